"""minixai explain of several images: what is saved of each, the page of all, what fails, what --resume leaves out."""
import errno
import gc
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
import weakref
from html.parser import HTMLParser
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

import minixai
from minixai import figures, progress
from minixai.__main__ import main
from minixai.cli import folder as folder_run
from minixai.cli import image_files, question
from minixai.cli.index_page import Card, page
from minixai.cli.quick_overlay import quick_overlay
from minixai.explain import Explanation
from minixai.figures import on_photo
from minixai.files import alone_in
from minixai.heatmap import min_max, upsample
from minixai.images import PHOTOS, Preprocess, open_photo
from tests.test_progress import Stream

SCENE, CAT = PHOTOS / "scene.png", PHOTOS / "cat.png"
SMALL = ("--model", "small_cnn")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def photos(tmp_path):
    """A folder with three photos: a.png, b.jpg, c.png."""
    folder = tmp_path / "photos"
    folder.mkdir()
    with Image.open(SCENE) as scene, Image.open(CAT) as cat:
        scene.save(folder / "a.png")
        cat.convert("RGB").save(folder / "b.jpg")
        scene.convert("RGB").rotate(90).save(folder / "c.png")
    return folder


def run(*arguments, out):
    return main(["explain", *map(str, arguments), "--out", str(out)])


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def records(out):
    """{what the name begins with: the arrays of an image}"""
    return {path.name.partition("_")[0]: dict(np.load(path)) for path in sorted(out.glob("*.npz"))}


def errors(capsys):
    return capsys.readouterr().err.splitlines()


def times(out):
    """When each file was written, the page left out."""
    return {name: (out / name).stat().st_mtime_ns for name in names(out) if name != "index.html"}


# ------------------------------------------------------------------------------------------- what is saved of an image

def test_a_folder_gives_an_overlay_a_thumbnail_and_a_record_of_each_and_one_page(photos, out, capsys):
    assert run(photos, *SMALL, out=out) == 0
    each = [(f"{name}_small_cnn_gradcam.npz", f"{name}_small_cnn_gradcam_overlay.jpg",
             f"thumbnails/{name}_small_cnn_gradcam.jpg") for name in "abc"]
    assert names(out) == sorted(["index.html", *sum(each, ())])
    with Image.open(out / "b_small_cnn_gradcam_overlay.jpg") as overlay:
        assert overlay.size == (451, 300)
    with Image.open(out / "thumbnails/b_small_cnn_gradcam.jpg") as small:
        assert max(small.size) == 320
    printed = capsys.readouterr()
    assert printed.err == "" and "3 of 3 explained, all on one page:" in printed.out


@pytest.mark.parametrize("options", [(), ("--class", "2", "--layer", "stage3", "--method", "layercam")])
def test_the_record_holds_what_explain_gives_for_that_image_alone(photos, out, options):
    assert run(photos, *SMALL, *options, out=out) == 0
    model = minixai.load("small_cnn")
    method, target, layer = ("layercam", 2, "stage3") if options else ("gradcam", None, None)
    for path in photos.iterdir():
        record, photo = records(out)[path.stem], open_photo(path)
        result = minixai.explain(model, model.preprocess(photo), method, target, layer)
        np.testing.assert_allclose(record["heatmap"], result.heatmap[0], atol=1e-4)
        np.testing.assert_allclose(record["logits"], result.trace.logits[0], atol=1e-4)
        again = min_max(upsample(torch.from_numpy(record["coarse"]), (96, 96)))
        np.testing.assert_allclose(record["heatmap"], again, atol=1e-5)
        assert record["heatmap"].dtype == np.float32 and record["heatmap"].shape == (96, 96)
        assert record["target"] == result.target[0] and record["label"] == model.labels[result.target[0]]
        assert record["score"] == pytest.approx(result.trace.logits[0].softmax(-1)[result.target[0]].item(), abs=1e-5)
        said = [record[name].item() for name in ("method", "model", "layer", "head", "photo", "torch", "empty")]
        assert said == [method, "small_cnn", result.layer, -1, str(path), torch.__version__, ""]
        assert record["photo_size"].tolist() == list(photo.size)
        assert record["box"].tolist() == pytest.approx(model.preprocess.box(photo.size))
        assert record["minixai"].item()


def test_the_overlay_is_the_heatmap_on_the_photo(photos, out):
    assert run(photos, *SMALL, out=out) == 0
    photo, heatmap = open_photo(photos / "b.jpg"), torch.from_numpy(records(out)["b"]["heatmap"])
    expected = on_photo(photo, heatmap, minixai.load("small_cnn").preprocess).astype(float)
    with Image.open(out / "b_small_cnn_gradcam_overlay.jpg") as overlay:
        assert np.abs(np.asarray(overlay) - expected).mean() < 4        # of 255: JPEG


@pytest.mark.parametrize("size, photo_size, crop, most", [
    ((12, 20), (71, 39), 1.0, 4), ((16, 16), (40, 40), 0.7, 4), ((96, 96), (300, 200), 1.0, 4),
    ((20, 12), (31, 90), 0.7, 40), ((96, 96), (40, 31), 1.0, 40),      # the box's edges lie between pixels
    ((96, 96), (301, 200), 1.0, 8)])
@pytest.mark.parametrize("empty", [False, True])
def test_the_quick_overlay_is_that_of_one_image(size, photo_size, crop, most, empty):
    random = np.random.default_rng(0)
    photo = Image.fromarray(random.integers(0, 256, (*photo_size[::-1], 3), np.uint8))
    heatmap = min_max(upsample(torch.from_numpy(random.random((3, 4))).float(), size)) * (not empty)
    preprocess = Preprocess(size, crop=crop)
    quick = np.asarray(quick_overlay(photo, heatmap.numpy(), preprocess)).astype(int)
    difference = np.abs(quick - on_photo(photo, heatmap, preprocess))
    assert difference.max() <= (0 if empty else most) and difference.mean() < 2


def test_a_large_photo_gets_a_smaller_overlay_and_the_same_heatmap(tmp_path, out):
    (tmp_path / "photos").mkdir()
    with Image.open(CAT) as cat:
        cat.convert("RGB").resize((1400, 700)).save(tmp_path / "photos/large.bmp")
    assert run(tmp_path / "photos", *SMALL, out=out) == 0
    with Image.open(out / "large_small_cnn_gradcam_overlay.jpg") as overlay:
        assert overlay.size == (1280, 640)
    model = minixai.load("small_cnn")
    record = records(out)["large"]
    alone = minixai.explain(model, minixai.open_image(tmp_path / "photos/large.bmp", model))
    np.testing.assert_allclose(record["heatmap"], alone.heatmap[0], atol=1e-5)
    assert record["photo_size"].tolist() == [1400, 700]


@pytest.mark.slow
def test_stages_are_drawn_only_when_asked_for(photos, out):
    assert run(photos, *SMALL, "--stages", out=out) == 0
    assert [name for name in names(out) if name.endswith("_stages.png")] == [
        f"{name}_small_cnn_gradcam_stages.png" for name in "abc"]
    assert not [name for name in names(out) if name.endswith("_heads.png")]
    pages = links(out)
    assert all(f"{name}_small_cnn_gradcam_stages.png" in pages for name in "abc")


@pytest.mark.parametrize("method, head", [("attention", None), ("rollout", None), ("attention", 2)])
def test_a_vit_gives_the_overlay_of_the_method(photos, out, method, head):
    options = ["--model", "small_vit", "--method", method, *(() if head is None else ("--head", head))]
    assert run(photos, *options, out=out) == 0
    assert not list(out.glob("*.png"))
    model = minixai.load("small_vit")
    alone = minixai.explain(model, minixai.open_image(photos / "b.jpg", model), method, head=head)
    record = records(out)["b"]
    np.testing.assert_allclose(record["heatmap"], alone.heatmap[0], atol=1e-4)
    assert record["head"] == (-1 if head is None else head) and record["coarse"].shape == (12, 12)


def test_the_pictures_of_stages_and_heads_are_those_of_each_image(photos, out, monkeypatch):
    """Small pictures stand for those that take long to draw."""
    drawn = []

    def figure(kind, index):
        drawn.append((kind, index))
        return Figure(figsize=(1, 1))

    monkeypatch.setattr(Explanation, "figure", lambda result, rgb=None, index=0: figure("stages", index))
    monkeypatch.setattr(image_files, "every_head", lambda result, index=0: figure("heads", index))
    assert run(photos, "--model", "small_vit", "--stages", out=out) == 0
    assert drawn == [(kind, index) for index in (0, 0, 1) for kind in ("stages", "heads")]     # batches of 1 and of 2
    pictures = [f"{name}_small_vit_attention_{kind}.png" for name in "abc" for kind in ("heads", "stages")]
    assert sorted(path.name for path in out.glob("*.png")) == pictures and set(pictures) <= links(out)
    for picture in pictures:
        with Image.open(out / picture) as opened:
            assert opened.format == "PNG"


@pytest.mark.slow
def test_the_heads_of_a_vit_are_drawn_with_its_stages(photos, out):
    assert run(photos / "a.png", photos / "b.jpg", "--model", "small_vit", "--stages", out=out) == 0
    pictures = [f"{name}_small_vit_attention_{kind}.png" for name in "ab" for kind in ("heads", "stages")]
    assert sorted(path.name for path in out.glob("*.png")) == pictures and set(pictures) <= links(out)


def test_a_network_without_classes_is_explained_too(photos, out, monkeypatch, capsys):
    def build(name, file):
        model = minixai.build("small_vit")
        model.classes, model.head, model.labels = 0, torch.nn.Identity(), ()
        return model
    monkeypatch.setattr(question, "load", build)
    torch.manual_seed(0)
    code = run(photos, "--model", "small_vit", out=out)
    assert code == 0, capsys.readouterr().err
    record = records(out)["a"]
    assert record["target"] == -1 and record["label"] == "no class" and np.isnan(record["score"])
    assert "nan" not in (out / "index.html").read_text()


def test_own_stages_are_run_and_an_own_overlay_draws(photos, out, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(figures, "overlay", figures.overlay)        # which --mine replaces; put back after the test
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "def rectify(cam):\n    return -cam\n"
        "def overlay(rgb, heatmap, alpha=0.5):\n    return np.full((*heatmap.shape, 3), 200, np.uint8)\n")
    assert run(photos, *SMALL, "--mine", tmp_path / "mine.py", out=out) == 0
    assert "yours: rectify, overlay" in capsys.readouterr().out
    with Image.open(out / "a_small_cnn_gradcam_mine_overlay.jpg") as overlay:
        assert abs(np.asarray(overlay).astype(int) - 200).max() < 9
    model = minixai.load("small_cnn")
    alone = minixai.explain(model, minixai.open_image(photos / "a.png", model))
    np.testing.assert_allclose(records(out)["a"]["coarse"], -alone["C3"][0], atol=1e-4)


def test_images_are_explained_in_batches_as_large_as_memory_allows(photos, out, monkeypatch):
    sizes, explain = [], question.explain
    monkeypatch.setattr(question, "explain", lambda model, images, *rest: (
        sizes.append(len(images)), explain(model, images, *rest))[1])
    for number in range(8):
        Image.new("RGB", (40, 30)).save(photos / f"more{number}.png")
    assert run(photos, *SMALL, out=out) == 0
    assert sizes == [1, 4, 4, 2]
    monkeypatch.setattr(folder_run, "RECORDED", 1)
    sizes.clear()
    assert run(photos, *SMALL, out=out) == 0
    assert sizes == [1] * 11


def test_nothing_of_an_image_stays_after_it_is_done(photos, out, monkeypatch):
    alive, counts, explain = [], [], question.explain

    def explain_and_watch(*arguments):
        result = explain(*arguments)
        alive.append(weakref.ref(result.trace))
        counts.append(sum(reference() is not None for reference in alive))
        return result

    monkeypatch.setattr(question, "explain", explain_and_watch)
    for number in range(20):
        Image.new("RGB", (40, 30)).save(photos / f"more{number}.png")
    assert run(photos, *SMALL, out=out) == 0
    gc.collect()
    assert len(alive) == 7 and not any(reference() for reference in alive)
    assert max(counts) <= 2


def test_few_photos_are_open_at_once(photos, out, monkeypatch):
    alive, most, opened = [], [], image_files.Opened

    def watched(photo, size, image):
        alive.append(weakref.ref(image))
        most.append(sum(reference() is not None for reference in alive))
        return opened(photo, size, image)

    monkeypatch.setattr(image_files, "Opened", watched)
    for number in range(60):
        Image.new("RGB", (40, 30)).save(photos / f"more{number:02d}.png")
    assert run(photos, *SMALL, out=out) == 0
    assert len(alive) == 63 and max(most) <= 30


def test_when_the_page_is_written_no_thread_works_any_more(photos, out, monkeypatch):
    before, after, finish = {*threading.enumerate()}, [], folder_run.FolderRun.finish

    def look_and_finish(*arguments):
        after.extend({*threading.enumerate()} - before)
        return finish(*arguments)

    monkeypatch.setattr(folder_run.FolderRun, "finish", look_and_finish)
    assert run(photos, *SMALL, out=out) == 0 and not after


@pytest.mark.parametrize("threads", [1, 5])
def test_torch_leaves_half_of_the_cores_to_the_other_threads(threads, photos, out, monkeypatch):
    used, explain = [], question.explain

    def explain_and_count(*arguments):
        used.append(torch.get_num_threads())
        torch.set_num_threads(1)
        return explain(*arguments)

    monkeypatch.setattr(question, "explain", explain_and_count)
    torch.set_num_threads(threads)
    try:
        assert run(photos, *SMALL, out=out) == 0
        assert torch.get_num_threads() == threads and used[0] == max(1, threads // 2)
    finally:
        torch.set_num_threads(1)            # as conftest says


def test_on_a_terminal_a_line_counts_the_images_those_that_fail_too(photos, out, monkeypatch):
    (photos / "bad.png").write_text("no picture")
    monkeypatch.setattr(progress, "PAUSE", -1)
    monkeypatch.setattr(sys, "stderr", stderr := Stream(True))
    assert run(photos, *SMALL, out=out) == 1
    counts = [int(count) for count in re.findall(r"(\d) of 4, \d+\.\d a second, \d+ s left", stderr.getvalue())]
    assert counts == [1, 2, 3, 4]
    assert [line.rpartition("/")[2][:20] for line in stderr.screen()] == ["bad.png: not an imag", ""]
    stderr.truncate(0)
    assert run(photos, *SMALL, "--resume", out=out) == 1
    assert "3 of 4" in stderr.getvalue() and "3 of 4, " not in stderr.getvalue()       # there is no rate of no work


# ---------------------------------------------------------------------------------------------------------- the names

def test_two_images_of_one_name_do_not_overwrite_each_other(tmp_path, out):
    for folder, source in (("a", CAT), ("b", SCENE)):
        (tmp_path / folder).mkdir()
        shutil.copy(source, tmp_path / folder / "photo.png")
    (tmp_path / "b/photo.png").rename(tmp_path / "b/Photo.png")
    assert run(tmp_path / "a", tmp_path / "b", *SMALL, out=out) == 0
    assert [name for name in names(out) if name.endswith(".npz")] == ["Photo_small_cnn_gradcam-2.npz",
                                                                      "photo_small_cnn_gradcam.npz"]


def test_a_later_run_does_not_take_the_name_of_another_photo(tmp_path, out):
    for folder, source in (("a", CAT), ("b", SCENE)):
        (tmp_path / folder).mkdir()
        shutil.copy(source, tmp_path / folder / "photo.png")
        assert run(tmp_path / folder, *SMALL, out=out) == 0
    assert run(tmp_path / "a", *SMALL, out=out) == 0           # takes its own name again
    found = {path.name: np.load(path)["photo"].item() for path in out.glob("*.npz")}
    assert found == {"photo_small_cnn_gradcam.npz": str(tmp_path / "a/photo.png"),
                     "photo_small_cnn_gradcam-2.npz": str(tmp_path / "b/photo.png")}


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="no such names there")
def test_a_name_that_is_no_text_is_explained_and_printed_escaped(photos, out, capsys):
    shutil.copy(CAT, photos / os.fsdecode(b"caf\xe9.png"))
    assert run(photos, *SMALL, out=out) == 0
    printed = capsys.readouterr().out
    printed.encode("utf-8")
    assert r"caf\udce9.png" in printed and len(list(out.glob("*.npz"))) == 4
    written = times(out)
    assert run(photos, *SMALL, "--resume", out=out) == 0 and times(out) == written


def test_a_name_as_long_as_names_may_be_is_explained(tmp_path, out):
    (tmp_path / "photos").mkdir()
    for end in ("", "y"):
        shutil.copy(CAT, tmp_path / f"photos/{'x' * 246}{end}.png")
    assert run(tmp_path / "photos", *SMALL, out=out) == 0
    assert len(list(out.glob("*.npz"))) == 2


# ----------------------------------------------------------------------------------------------------------- the page

class Links(HTMLParser):
    """The targets of the links and pictures of a page, its text, and the tags used."""

    def __init__(self, text):
        super().__init__()
        self.targets, self.texts, self.tags = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.targets += [value for name, value in attributes if name in ("href", "src")]

    def handle_data(self, data):
        self.texts.append(data)


def links(out):
    """The files that the page leads to."""
    targets = Links((out / "index.html").read_text(encoding="utf-8")).targets
    assert all(target.startswith("./") for target in targets)
    return {os.fsdecode(unquote_to_bytes(target))[2:] for target in targets}


ODD_NAMES = ["<b>A&B' \"#1?%.png", "a\nb.png", "100%25.png", "semi;colon:.png", "\u202egnp.png", "猫.png"]


@pytest.mark.skipif(os.name == "nt", reason="no such names there")
def test_every_link_of_the_page_leads_to_a_file_whatever_its_name(tmp_path, out):
    (tmp_path / "photos").mkdir()
    odd = ODD_NAMES + ([os.fsdecode(b"caf\xe9.png")] if sys.platform == "linux" else [])
    for name in odd:
        shutil.copy(SCENE, tmp_path / "photos" / name)
    (tmp_path / "photos/<i>bad.png").write_text("no picture")
    assert run(tmp_path / "photos", *SMALL, out=out) == 1
    assert links(out) == {name for name in names(out) if name != "index.html"}
    assert len(links(out)) == 3 * len(odd)
    shown = Links((out / "index.html").read_text(encoding="utf-8"))
    assert not shown.tags & {"b", "i", "script"}
    assert any("<b>A&B' \"#1?%.png" in text for text in shown.texts)
    assert any("<i>bad.png: not an image" in text for text in shown.texts)


def test_the_page_says_class_score_and_what_failed(photos, out, tmp_path):
    (photos / "bad.png").write_text("no picture")
    (tmp_path / "none").mkdir()
    assert run(photos, tmp_path / "none", *SMALL, "--class", "cow", out=out) == 1
    texts = Links((out / "index.html").read_text(encoding="utf-8")).texts
    assert "3 images explained" in texts and "small_cnn, gradcam, class cow." in texts
    assert texts.count("cow") == 3
    scores = [f"{record['score']:.3f}" for record in records(out).values()]
    assert [text for text in texts if text in scores] == scores         # in the order of the images
    assert "2 not explained" in texts
    assert [any(word in text for text in texts) for word in ("none: no images", "bad.png: not an image")] == [True] * 2


def test_an_empty_heatmap_says_why_and_leaves_the_photo_without_colours(photos, out, tmp_path):
    (tmp_path / "mine.py").write_text("def rectify(cam):\n    return 0 * cam\n")
    assert run(photos, *SMALL, "--mine", tmp_path / "mine.py", out=out) == 0
    assert all(record["empty"].item().startswith("the map is flat") for record in records(out).values())
    assert (out / "index.html").read_text(encoding="utf-8").count("empty: the map is flat") == 3
    with Image.open(out / "c_small_cnn_gradcam_mine_overlay.jpg") as overlay:       # square: all of it is seen
        assert np.abs(np.asarray(overlay) - np.asarray(open_photo(photos / "c.png")).astype(float)).mean() < 4


@pytest.mark.parametrize("options, title", [
    (SMALL, "small_cnn, gradcam, each image's top class."),
    ((*SMALL, "--layer", "stage2", "--class", "1"), "small_cnn, gradcam at layer stage2, class cow."),
    (("--model", "small_vit", "--layer", "2", "--head", "0"), "small_vit, attention at layer 2, head 0.")])
def test_the_page_says_what_was_asked(options, title, photos, out):
    assert run(photos, *options, out=out) == 0
    texts = Links((out / "index.html").read_text(encoding="utf-8")).texts
    assert title.replace("cow", minixai.load("small_cnn").labels[1]) in texts
    assert [text for text in texts if text.startswith("photos/")] == ["photos/a.png", "photos/b.jpg", "photos/c.png"]
    assert f'title="{photos}/b.jpg"' in (out / "index.html").read_text(encoding="utf-8")


def test_a_page_of_one_image_and_why_a_heatmap_is_empty():
    card = Card("cat", "photos/cat.jpg", "tabby & co", "0.123", "no feature is active <here>", ["cat_heads.png"])
    text = page("any <page>", [card], [])
    assert "any &lt;page&gt;" in text
    assert "<h1>1 image explained</h1>" in text and "not explained" not in text
    assert "tabby &amp; co" in text and "empty: no feature is active &lt;here&gt;" in text and ">heads</a>" in text


# -------------------------------------------------------------------------------------------------------- what fails

def test_one_bad_file_does_not_stop_the_others(photos, out, capsys):
    (photos / "bad.png").write_text("not a picture")
    (photos / "notes.txt").write_text("not meant to be one")
    assert run(photos, *SMALL, out=out) == 1
    printed = capsys.readouterr()
    assert "bad.png: not an image" in printed.err
    assert "3 of 4 explained" in printed.out
    assert set(records(out)) == {"a", "b", "c"}


def test_every_file_that_fails_is_named_and_the_others_are_explained(tmp_path, photos, out, capsys):
    Image.new("RGB", (64, 64)).save(photos / "pages.tif", save_all=True, append_images=[Image.new("RGB", (64, 64))])
    (photos / "pages.tif").write_bytes((photos / "pages.tif").read_bytes()[:12000])
    (photos / "bad\n\x1b[31m.png").write_text("no picture")
    (photos / "folder.png").mkdir()
    (tmp_path / "empty").mkdir()
    arguments = [photos, tmp_path / "empty", tmp_path / "nowhere.png", tmp_path / ("x" * 300 + ".png")]
    assert run(*arguments, *SMALL, out=out) == 1
    notes, *lines = sorted(errors(capsys), key=lambda line: line.startswith("minixai: "))
    assert notes == f"note: {photos}/pages.tif: holds more than one frame; the first one is used"
    assert len(lines) == 6 and all(line.startswith("minixai: ") and line.isprintable() for line in lines)
    for cause in ("pages.tif: damaged", r"bad\n\x1b[31m.png: not an image", "folder.png: a folder", "empty: no images",
                  "nowhere.png: no such file", "xxx.png: "):
        assert len([line for line in lines if cause in line]) == 1, cause
    assert all(line.count(str(tmp_path)) == 1 for line in lines)
    assert set(records(out)) == {"a", "b", "c"}


@pytest.mark.parametrize("error, batch", [
    (ValueError("the network's numbers hold NaN"), 3), (MemoryError(), 2), (RuntimeError("a\nb"), 3),
    (OSError(errno.ENOSPC, "No space left on device"), 3)])
def test_whatever_fails_on_one_file_the_others_of_its_batch_are_explained(error, batch, photos, out, capsys,
                                                                          monkeypatch):
    def explain_but_one(model, images, *others):
        if (images.std(dim=(1, 2, 3)) < 1e-6).any():
            raise error
        return explain(model, images, *others)
    explain = question.explain
    monkeypatch.setattr(question, "explain", explain_but_one)
    monkeypatch.setattr(folder_run, "BATCH", {"cpu": batch, "cuda": batch})
    Image.new("L", (30, 20), 99).save(photos / "bad.png")       # behind b.jpg, in the second batch
    assert run(photos, *SMALL, out=out) == 1
    (line,) = errors(capsys)
    assert "bad.png: " in line and line.isprintable()
    assert "there is not enough memory" in line or not isinstance(error, MemoryError)
    assert set(records(out)) == {"a", "b", "c"}


def test_what_fails_for_every_image_is_said_once_and_not_a_thousand_times(photos, out, capsys):
    for number in range(8):
        shutil.copy(SCENE, photos / f"more{number}.png")
    assert run(photos, *SMALL, "--layer", "stage9", out=out) == 2
    lines = errors(capsys)
    assert len(lines) == 3 and "no layer named 'stage9'" in lines[-1] and ".png" not in lines[-1]
    assert not out.exists()


def test_a_stage_that_is_not_written_yet_is_said_once(photos, out, tmp_path, capsys):
    (tmp_path / "mine.py").write_text("def rectify(cam):\n    raise NotImplementedError('about 1 line')\n")
    assert run(photos, *SMALL, "--mine", tmp_path / "mine.py", out=out) == 2
    assert errors(capsys) == ["minixai: about 1 line"] and not out.exists()


def test_if_no_file_can_be_explained_nothing_was_done(tmp_path, out, capsys):
    assert run(tmp_path / "a.png", tmp_path / "b.png", *SMALL, out=out / "below") == 2
    printed = capsys.readouterr()
    assert [line.partition(": ")[2] for line in printed.err.splitlines()] == [
        f"{tmp_path}/{name}.png: no such file" for name in "ab"]
    assert "0 of 2 explained" in printed.out
    assert not out.exists()


def test_a_folder_without_images_is_one_line(tmp_path, out, capsys):
    (tmp_path / "photos").mkdir()
    assert run(tmp_path / "photos", out=out) == 2
    (line,) = errors(capsys)
    assert "no images in this folder" in line and not out.exists()


@pytest.mark.parametrize("kind", ["overlay", "npz", pytest.param("stages", marks=pytest.mark.slow)])
def test_an_image_that_cannot_be_saved_is_named_and_leaves_no_record(kind, photos, out, capsys, monkeypatch):
    save = image_files.save

    def full(path, write, *values, **options):
        if path.name.startswith("b_") and kind in path.name:
            raise OSError(f"{path}: No space left on device")
        return save(path, write, *values, **options)

    assert run(photos, *SMALL, out=out) == 0
    monkeypatch.setattr(image_files, "save", full)
    assert run(photos, *SMALL, "--class", "1", *(["--stages"] if kind == "stages" else []), out=out) == 1
    (line,) = errors(capsys)
    assert "b.jpg: " in line and "No space left on device" in line
    assert set(records(out)) == {"a", "c"}          # not that of the run before either: its overlay may be gone


def test_a_note_about_a_file_is_one_line(photos, out, capsys):
    frames = [Image.new("RGB", (70, 50), color) for color in ("red", "lime")]
    frames[0].save(photos / "moves.gif", save_all=True, append_images=frames[1:])
    before = list(warnings.filters)
    assert run(photos, *SMALL, out=out) == 0
    assert errors(capsys) == [f"note: {photos}/moves.gif: holds more than one frame; the first one is used"]
    assert warnings.filters == before


# --------------------------------------------------------------------------------------------------------- to go on

def test_resume_leaves_out_what_is_there_and_makes_the_rest(photos, out, capsys):
    assert run(photos / "a.png", photos / "b.jpg", *SMALL, out=out) == 0
    before = times(out)
    capsys.readouterr()
    assert run(photos, *SMALL, "--resume", out=out) == 0
    printed = capsys.readouterr().out
    assert "3 of 3 explained (2 by an earlier run)" in printed and "c.png: " in printed and "a.png: " not in printed
    assert {name: times(out)[name] for name in before} == before
    assert links(out) == {name for name in names(out) if name != "index.html"} and len(links(out)) == 9
    texts = Links((out / "index.html").read_text()).texts
    for record in records(out).values():
        assert f"{record['score']:.3f}" in texts and record["label"].item() in texts


def test_without_resume_all_is_made_again(photos, out):
    assert run(photos, *SMALL, out=out) == 0
    before = times(out)
    assert run(photos, *SMALL, out=out) == 0
    assert all(times(out)[name] > before[name] for name in before)


@pytest.mark.parametrize("options", [("--class", "1"), ("--layer", "stage2"), ("--weights", "own.pt"),
                                     ("--mine", "mine.py"), pytest.param(("--stages",), marks=pytest.mark.slow)],
                         ids=" ".join)
def test_resume_makes_again_what_was_asked_otherwise(options, photos, out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(minixai.load("small_cnn").state_dict(), "own.pt")
    (tmp_path / "mine.py").write_text("def rectify(cam):\n    return cam\n")
    assert run(photos, *SMALL, out=out) == 0
    before = times(out)
    assert run(photos, *SMALL, *options, "--resume", out=out) == 0
    changed = {name for name in times(out) if times(out)[name] != before.get(name)}
    assert len([name for name in changed if name.endswith(".npz")]) == 3
    again = times(out)
    assert run(photos, *SMALL, *options, "--resume", out=out) == 0
    assert times(out) == again


def test_resume_asks_what_is_in_the_files_given(photos, out, tmp_path):
    mine = tmp_path / "mine.py"
    for text, made in (("return cam", 3), ("return -cam", 3), ("return -cam", 0)):
        before = times(out) if out.exists() else {}
        mine.write_text(f"def rectify(cam):\n    {text}\n")
        assert run(photos, *SMALL, "--mine", mine, "--resume", out=out) == 0
        assert sum(times(out)[name] != before.get(name) for name in times(out) if name.endswith(".npz")) == made


def test_heads_are_told_apart(photos, out):
    vit = ("--model", "small_vit")
    assert run(photos, *vit, "--head", "0", out=out) == 0
    before = times(out)
    assert run(photos, *vit, "--resume", out=out) == 0
    assert all(times(out)[name] != before[name] for name in before)


def _touched(photos, out):
    with Image.open(CAT) as cat:
        cat.rotate(180).save(photos / "a.png")


def _gone(name):
    return lambda photos, out: (out / name).unlink()


def _half(photos, out):
    path = out / "a_small_cnn_gradcam.npz"
    path.write_bytes(path.read_bytes()[:-300])


def _empty(photos, out):
    (out / "a_small_cnn_gradcam.npz").write_bytes(b"")


def _unfinished(photos, out):
    (out / "a_small_cnn_gradcam.npz").rename(out / "a_small_cnn_gradcam.4711.part")


@pytest.mark.parametrize("damage", [_touched, _gone("a_small_cnn_gradcam_overlay.jpg"), _half, _empty, _unfinished,
                                    _gone("thumbnails/a_small_cnn_gradcam.jpg"), _gone("a_small_cnn_gradcam.npz")])
def test_resume_makes_again_what_is_damaged_or_gone_or_of_another_photo(damage, photos, out):
    assert run(photos, *SMALL, out=out) == 0
    whole = names(out)
    damage(photos, out)
    before = times(out)
    assert run(photos, *SMALL, "--resume", out=out) == 0
    changed = {name for name in times(out) if times(out)[name] != before.get(name)}
    assert changed == {name for name in whole if "a_small" in name}


def test_while_one_run_writes_into_a_folder_another_one_does_not(photos, out, capsys):
    with alone_in(out):
        assert run(photos, *SMALL, out=out) == 2
    (line,) = errors(capsys)
    assert line == f"minixai: {out}: another run writes into this folder; wait for it, or use another"
    assert not out.exists()
    assert run(photos, *SMALL, out=out) == 0 and run(photos, *SMALL, out=out) == 0


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_that_stays_empty_goes_again_unless_it_was_there(there, tmp_path):
    folder = tmp_path / "a/b"
    if there:
        folder.mkdir(parents=True)
    with alone_in(folder):
        assert folder.is_dir()
    assert folder.exists() == there and (tmp_path / "a").exists() == there
    with alone_in(folder):
        (folder / "file").write_text("stays")
    assert (folder / "file").exists()


# ---------------------------------------------------------------------------------------------- in a process of its own

@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_a_run_that_is_stopped_leaves_whole_files_and_is_ended_by_resume(photos, out):
    for number in range(200):
        shutil.copy(SCENE, photos / f"more{number:03d}.png")
    command = [sys.executable, "-m", "minixai", "explain", str(photos), *SMALL, "--out", str(out)]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    while not list(out.glob("*.npz")):
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    assert running.communicate(timeout=60)[1] == "minixai: stopped\n" and running.returncode == 130
    before = times(out)
    assert 0 < len(list(out.glob("*.npz"))) < 203 and not list(out.rglob("*.part"))
    subprocess.run([*command, "--resume"], check=True, capture_output=True)
    assert len(list(out.glob("*.npz"))) == 203
    whole = [name for name in before if name.endswith(".npz")]
    assert all(times(out)[name] == before[name] for name in whole)


PEAK = "import resource, sys; from minixai.__main__ import main; main(sys.argv[1:]); " \
       "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="kilobytes are Linux's unit")
def test_the_memory_of_a_run_does_not_grow_with_the_number_of_images(tmp_path):
    peaks = []
    for count in (20, 200):
        folder = tmp_path / f"{count}"
        folder.mkdir()
        for number in range(count):
            shutil.copy(CAT, folder / f"{number}.png")
        done = subprocess.run([sys.executable, "-c", PEAK, "explain", str(folder), *SMALL, "--out",
                               str(tmp_path / f"out{count}")], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout.splitlines()[-1]))
    assert peaks[1] < peaks[0] + 30_000         # one photo more in memory for each image: 70 MB


def test_after_a_stop_no_more_photos_are_opened(photos, out, monkeypatch):
    opened, ended, shut_down = [], threading.Event(), folder_run.ThreadPoolExecutor.shutdown

    def slowly(path):
        opened.append(path)
        assert len(opened) == 1 or ended.wait(60)       # the second one takes until the run ends
        return open_photo(path)

    def stopped(*_):
        raise KeyboardInterrupt

    def shutdown(pool, wait=True, **options):
        shut_down(pool, wait=False, **options)
        ended.set()
        shut_down(pool, wait=wait)

    monkeypatch.setattr(os, "cpu_count", lambda: 1)         # one thread opens photos: the others wait their turn
    monkeypatch.setattr(image_files, "open_photo", slowly)
    monkeypatch.setattr(question, "explain", stopped)
    monkeypatch.setattr(folder_run.ThreadPoolExecutor, "shutdown", shutdown)
    assert run(photos, *SMALL, out=out) == 130
    assert len(opened) <= 2         # the one that was explained, and the one that was being opened
