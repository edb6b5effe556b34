"""minixai explain of one image, verify and models, run as a user runs them."""
import errno
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import minixai
from minixai import images
from minixai.__main__ import main
from minixai.cli import question, single

CAT = images.PHOTOS / "cat.png"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def run(*arguments, out):
    return main(["explain", *map(str, arguments), "--out", str(out)])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_photo_prints_its_classes_and_stages_and_saves_two_pictures(out, capsys):
    assert run(CAT, out=out) == 0
    printed = capsys.readouterr().out
    assert "451x300 pixels" in printed
    assert printed.index("0.38  285 Egyptian cat".replace("0.38", "")) < printed.index("282 tiger cat")
    places = [printed.index(f"    {stage}  ") for stage in ("C1", "C2", "C3", "C4", "M1", "M2", "M3")]
    assert places == sorted(places)
    assert names(out) == ["cat_efficientnet_lite0_gradcam_overlay.png", "cat_efficientnet_lite0_gradcam_stages.png"]
    with Image.open(out / "cat_efficientnet_lite0_gradcam_overlay.png") as overlay:
        assert overlay.size == (451, 300)


def test_what_is_printed_are_the_classes_the_question_and_every_value(out, capsys):
    assert run(images.PHOTOS / "scene.png", "--model", "small_cnn", out=out) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    model = minixai.load("small_cnn")
    result = minixai.explain(model, minixai.open_image(images.PHOTOS / "scene.png", model))
    assert first.endswith("scene.png: 384x384 pixels, seen by small_cnn at 96x96")
    order = result.trace.logits[0].argsort(descending=True).tolist()
    shares = result.trace.logits[0].softmax(dim=0)
    count = min(5, len(order))
    assert lines[:count] == [f"  {shares[c]:.3f}  {c:3d} {model.labels[c]}" for c in order[:count]]
    assert lines[count] == f"  {result.title()}"
    C2 = result["C2"][0]
    assert f"    C2  channel weights                   ({len(C2)},1,1) {C2.min():.3g} to {C2.max():.3g}" in lines
    assert "    M3  overlay                           (96,96,3)" in lines
    assert sum(line.startswith("    C1 ") and line.count(" to ") == 2 for line in lines) == 1
    names = [f"scene_small_cnn_gradcam_{kind}.png" for kind in ("stages", "overlay")]
    assert lines[-3:] == [*(f"  saved {out / name}" for name in names), ""]


def test_an_empty_heatmap_is_explained_in_words(out, capsys, monkeypatch):
    model = minixai.load("small_cnn")
    torch.nn.init.zeros_(model.head.fc.weight)
    monkeypatch.setattr(question, "load", lambda *_: model)
    assert run(CAT, "--model", "small_cnn", out=out) == 0
    assert "\n  the heatmap is empty: the gradient of class" in capsys.readouterr().out


def test_a_network_without_classes_says_so(out, capsys, monkeypatch):
    model = minixai.load("small_vit")
    model.classes, model.head, model.labels = 0, torch.nn.Identity(), ()
    monkeypatch.setattr(question, "load", lambda *_: model)
    assert run(CAT, "--model", "small_vit", out=out) == 0
    assert "  this network has no class head; its attention knows no class\n" in capsys.readouterr().out
    assert names(out) == [f"cat_small_vit_attention_{kind}.png" for kind in ("heads", "overlay", "stages")]


def test_the_same_command_gives_the_same_pictures(tmp_path):
    for folder in ("one", "two"):
        run(CAT, "--class", "tabby", "--layer", "stage5", out=tmp_path / folder)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_without_arguments_the_shipped_examples_are_explained(out, capsys):
    assert run(out=out) == 0
    printed = capsys.readouterr().out
    for stage in ("C1", "C2", "C3", "C4", "A1", "A2", "A3", "A4", "A5", "M1", "M2", "M3"):
        assert f"    {stage}  " in printed
    assert len([name for name in names(out) if name.endswith("_stages.png")]) == 3
    assert "scene_small_vit_attention_heads.png" in names(out)


@pytest.mark.parametrize("options, examples", [
    ([], ["cat gradcam", "scene attention", "scene rollout"]),
    (["--model", "small_vit"], ["scene attention", "scene rollout"]),
    (["--model", "small_vit", "--method", "rollout"], ["scene rollout"]),
    (["--method", "gradcam"], ["cat gradcam"])])
def test_of_the_examples_those_are_explained_that_were_asked_for(options, examples, out, monkeypatch):
    explained = []
    monkeypatch.setattr(single, "_explain",
                        lambda question, path, out: explained.append(f"{path.stem} {question.method}"))
    assert run(*options, out=out) == 0 and explained == examples


def _lines(capsys):
    return capsys.readouterr().err.splitlines()


def _full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("place", ["file", "file/below", "/dev/null/below", "x" * 300, "full"])
@pytest.mark.parametrize("command", ["explain", "verify"])
def test_a_folder_that_takes_no_files_is_found_out_before_anything_is_loaded(
        place, command, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    if place == "full":
        monkeypatch.setattr("tempfile.TemporaryFile", _full)
    monkeypatch.setattr(question, "load", lambda *_: pytest.fail("the network was loaded"))
    np.save(tmp_path / "map.npy", np.zeros((7, 7)))
    arguments = [CAT] if command == "explain" else [tmp_path / "map.npy", CAT]
    assert main([command, *map(str, arguments), "--out", str(tmp_path / place)]) == 2
    (line,) = _lines(capsys)
    assert line.startswith(f"minixai: {tmp_path / place}: ")
    assert names(tmp_path) == ["file", "map.npy"]


@pytest.mark.parametrize("place", ["here", "not/yet/there"])
def test_looking_whether_a_folder_takes_files_leaves_nothing(place, tmp_path, capsys):
    (tmp_path / "here").mkdir()
    assert run(CAT, "--layer", "stage9", out=tmp_path / place) == 2
    assert names(tmp_path) == ["here"] and not names(tmp_path / "here")


def test_a_disk_that_gets_full_leaves_no_half_of_a_picture(tmp_path, out, capsys, monkeypatch):
    save = Image.Image.save
    def some_bytes_only(image, file, **options):
        save(image, file, **options)
        if "overlay" in str(file.name):
            file.truncate(99)
            _full()
    monkeypatch.setattr(Image.Image, "save", some_bytes_only)
    assert run(CAT, out=out) == 2
    (line,) = _lines(capsys)
    assert line.endswith(".png: No space left on device") and str(out) in line
    assert [name.rpartition("_")[2] for name in names(out)] == ["stages.png"]


PEAK = """
import re, sys
from pathlib import Path
from minixai.__main__ import main
code, status = main(sys.argv[1:]), Path("/proc/self/status")
if status.exists():
    kilobytes = int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read_text())[1])
else:
    import resource
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(code, kilobytes / 1e6)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows does not say how much memory a process had")
@pytest.mark.parametrize("mode, size, kind, gigabytes", [
    ("RGB", (4000, 3000), "jpg", 0.7), ("1", (8000, 8000), "png", 2.5)])
def test_a_large_photo_takes_little_memory(mode, size, kind, gigabytes, tmp_path, out):
    Image.linear_gradient("L").resize(size).convert(mode).save(tmp_path / f"large.{kind}")
    done = subprocess.run([sys.executable, "-c", PEAK, "explain", str(tmp_path / f"large.{kind}"), "--out", str(out)],
                          capture_output=True, text=True, check=True)
    code, peak = done.stdout.splitlines()[-1].split()
    assert code == "0" and float(peak) <= gigabytes


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of a file")
def test_a_full_disk_is_found_out_before_anything_is_loaded(tmp_path, out):
    script = ("import resource, sys\nresource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
              "from minixai.cli import question\nfrom minixai.__main__ import main\n"
              "question.load = lambda *_: sys.exit('the network was loaded')\nsys.exit(main(sys.argv[1:]))")
    done = subprocess.run([sys.executable, "-c", script, "explain", str(CAT), "--out", str(out)],
                          capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.strip() == f"minixai: {out}: File too large"
    assert not out.exists()


@pytest.mark.parametrize("arguments, message", [
    (["nowhere.png"], "nowhere.png: no such file"),
    ([CAT, "--class", "tabbi"], "281 tabby"),
    ([CAT, "--class", "1000"], "classes 0 to 999"),
    ([CAT, "--layer", "stage9"], "stage"),
    ([CAT, "--model", "resnet51"], "there are"),
    ([CAT, "--model", "resnet50"], "no trained weights"),
    ([CAT, "--method", "magic"], "there are gradcam, hirescam"),
    ([CAT, "--method", "rollout", "--model", "efficientnet_lite0"], "use gradcam"),
    ([CAT, "--method", "cam", "--model", "small_vit"], "CAM needs what follows the layer"),
    ([CAT, "--head", "0"], "no heads"),
    ([CAT, "--model", "small_vit", "--head", "99"], "heads 0 to"),
    ([CAT, "--model", "small_vit", "--layer", "99"], "layers 0 to"),
])
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(arguments, message, out, capsys):
    assert run(*arguments, out=out) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("minixai: ") and message in said and "\n" not in said
    assert not out.exists()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert run(CAT, out=tmp_path / "file" / "out") == 2
    assert "minixai: " in capsys.readouterr().err


def test_a_folder_without_images_is_one_line(tmp_path, out, capsys):
    assert run(tmp_path, out=out) == 2
    assert "no images in this folder" in capsys.readouterr().err


def test_cuda_is_used_where_it_is_and_refused_where_it_is_not(out, capsys):
    import torch
    if torch.cuda.is_available():
        assert run(CAT, "--device", "cuda", out=out) == 0
    else:
        assert run(CAT, "--device", "cuda", out=out) == 2
        assert "no CUDA device" in capsys.readouterr().err


def test_dinov2_without_its_file_names_the_command_that_fetches_it(out, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("MINIXAI_CACHE", str(tmp_path))
    assert run(CAT, "--model", "dinov2_small", "--method", "attention", "--head", "5", out=out) == 2
    assert "python -m weights_scripts.dinov2_small" in capsys.readouterr().err


def test_a_method_of_vits_without_one_names_both_ways_out(out, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("MINIXAI_CACHE", str(tmp_path))
    assert run(CAT, "--method", "rollout", out=out) == 2
    assert "rollout needs a ViT: --model small_vit" in capsys.readouterr().err
    assert run(CAT, "--weights", "own.pt", out=out) == 2
    assert "--weights needs --model" in capsys.readouterr().err


class Strange(BaseException):
    """What a student's stage may raise, or pytest's own ways out of a test."""


@pytest.mark.parametrize("error", [
    RuntimeError("no"), MemoryError(), RecursionError("too deep"), KeyError("x"), ImportError("no"), AttributeError(),
    ZeroDivisionError("division by zero"), AssertionError(), StopIteration(), SystemExit(1), SystemExit(0),
    Strange("odd"), UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), ValueError(), OSError(28, "No space left"),
    ValueError("two\nlines\x1b[31m"), NotImplementedError("C3"), TypeError("of another kind")], ids=repr)
def test_whatever_is_raised_is_one_line_and_exit_code_2(error, monkeypatch, capsys):
    from minixai.networks import registry

    def describe():
        raise error

    monkeypatch.setattr(registry, "describe", describe)
    assert main(["models"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("minixai: ") and said.endswith("\n") and said[:-1].isprintable()
    ours = isinstance(error, ValueError | TypeError | OSError | NotImplementedError) and str(error)
    assert ours or type(error).__name__ in said and "MINIXAI_TRACEBACK=1" in said
    monkeypatch.setenv("MINIXAI_TRACEBACK", "1")
    assert main(["models"]) == 2
    assert "Traceback" in (shown := capsys.readouterr().err) and "in describe" in shown and shown.endswith(said)


@pytest.mark.parametrize("nan, reason", [(True, "NaN or infinity (first seen in its activations.*'stem.0.conv.weight'"),
                                         (False, None)])
def test_a_network_that_holds_nan_gets_no_verdict(nan, reason, out, tmp_path, capsys):
    """Exit code 1 would say that the map is wrong."""
    import re

    import numpy as np
    import torch

    from minixai import load
    state = load("small_cnn").state_dict()
    state["stem.0.conv.weight"].view(-1)[0] = torch.nan if nan else 1
    torch.save(state, tmp_path / "weights.pt")
    np.save(tmp_path / "map.npy", np.random.RandomState(0).rand(12, 12).astype(np.float32))
    code = main(["verify", str(tmp_path / "map.npy"), str(CAT), "--model", "small_cnn", "--weights",
                 str(tmp_path / "weights.pt"), "--out", str(out)])
    said = capsys.readouterr()
    assert code == (2 if nan else 1)
    assert re.search(reason.replace("(", r"\("), said.err) if nan else "not explained" in said.out


@pytest.mark.parametrize("command", ["explain", "verify", "models", "start", "check", "release", "grade"])
def test_help_shows_an_example(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    usage, description, *_ = printed.split("\n\n")
    assert usage.startswith(f"usage: minixai {command}") and description[0].isupper()
    examples = printed.partition("example")[2]
    assert f"  minixai {command}" in examples
    if command == "explain":
        assert {"--stages", "--resume"} <= set(printed.split()) and "--resume" in examples


@pytest.mark.parametrize("command", ["explain", "verify"])
def test_every_option_is_described_in_the_help(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    options, arguments = capsys.readouterr().out.partition("example")[0].split("options:")[::-1]
    described = re.findall(r"^  (?:-h, )?(--[a-z]+)(?: \S+)?\s+\S", options.replace("\n                ", " "), re.M)
    assert len(described) == options.count("\n  -") > 7
    assert "default: minixai-out" in options and {"--out DIR", "--class CLASS", "--weights FILE"} <= {
        " ".join(line.split()[:2]) for line in options.splitlines()}
    assert re.findall(r"\n  (\S+)  +\S", arguments) == (["IMAGE"] if command == "explain" else ["MAP", "IMAGE"])


def test_the_commands_are_described_and_one_is_needed(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    assert printed.endswith("\n") and not printed.endswith("\n\n")
    assert printed.startswith("usage: minixai [-h] COMMAND") and "Grad-CAM and attention maps" in printed
    for command in ("explain", "verify", "models", "start", "check", "release", "grade"):
        assert re.search(rf"^    {command} +\w", printed, re.M)
    assert main([]) == 2
    assert "required: COMMAND" in capsys.readouterr().err


def test_the_pictures_go_to_minixai_out_and_mine_may_be_given_twice(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (9, 9)).save("a.png")
    (tmp_path / "one.py").write_text("def rectify(cam):\n    return cam\n")
    (tmp_path / "two.py").write_text("def weighted_sum(activations, weights):\n    return activations.sum(-3)\n")
    assert main(["explain", "a.png", "a.png", "--model", "small_cnn", "--mine", "one.py", "--mine", "two.py"]) == 0
    assert "yours: weighted_sum, rectify" in capsys.readouterr().out
    assert "index.html" in names(tmp_path / "minixai-out")


def test_models_lists_every_network_with_its_layers_and_how_to_get_it(capsys):
    from minixai.networks.registry import NETWORKS
    assert main(["models"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in NETWORKS)
    assert "stem stage1 stage2 stage3 stage4" in printed and "blocks 0 to 11" in printed


@pytest.mark.parametrize("turned, code, said", [(False, 0, "agrees: gradcam at stage4"),
                                                (True, 1, "M1: the map upside down")])
def test_verify_compares_a_saved_map_and_draws_it(turned, code, said, tmp_path, out, capsys):
    model = minixai.load("small_cnn")
    right = minixai.explain(model, minixai.open_image(CAT, model)).heatmap[0].numpy()
    np.save(tmp_path / "map.npy", right[::-1] if turned else right)
    assert main(["verify", str(tmp_path / "map.npy"), str(CAT), "--model", "small_cnn", "--out", str(out)]) == code
    printed = capsys.readouterr().out
    assert said in printed and printed.endswith(f"\nsaved {out}/map_verdict.png\n")
    with Image.open(out / "map_verdict.png") as picture:
        assert picture.format == "PNG"


@pytest.mark.slow
def test_verify_says_whether_a_saved_map_agrees_and_saves_a_picture(tmp_path, out, capsys):
    from minixai import explain, load, open_image
    model = load("efficientnet_lite0")
    right = explain(model, open_image(CAT, model), target=281).heatmap[0].numpy()
    np.save(tmp_path / "right.npy", right)
    np.save(tmp_path / "flipped.npy", right[::-1])
    verify = ["--class", "tabby", "--out", str(out)]
    assert main(["verify", str(tmp_path / "right.npy"), str(CAT), *verify]) == 0
    assert "agrees: gradcam at features, class 281 (tabby" in capsys.readouterr().out
    assert main(["verify", str(tmp_path / "flipped.npy"), str(CAT), *verify]) == 1
    assert "M1: the map upside down" in capsys.readouterr().out
    assert names(out) == ["flipped_verdict.png", "right_verdict.png"]
    assert main(["verify", str(tmp_path / "none.npy"), str(CAT), *verify]) == 2
    assert "no such file" in capsys.readouterr().err
