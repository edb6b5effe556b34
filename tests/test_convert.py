"""Published weights become files that load: every tensor accounted for, hashes kept, and a bad file is one line.

The networks are narrow ones under the usual names. What their libraries compute with the same seeded weights was
recorded by tests/reference/record.py; the files here have the names and shapes that publishers' files have.
"""
import json
import os
import struct
from functools import partial
from hashlib import sha256

import numpy as np
import pytest
import torch

from minixai import load
from minixai.images import Preprocess
from minixai.networks import registry, zoo
from minixai.networks.registry import NETWORKS, Entry
from minixai.networks.vit import SIZES, ViT
from tests.reference.near import SINGLE, relative_difference
from tests.reference.seeded import recorded, recorded_image, seeded_state
from weights_scripts import checkpoint_file, convert, convert_vit, source_network
from weights_scripts.checkpoint_file import read_checkpoint
from weights_scripts.layouts import LAYOUTS
from weights_scripts.published import PUBLISHED, Published

TEN = tuple(f"class {number}" for number in range(10))
NARROW = {"width": 48, "depth": 2, "heads": 3}
VITS = {    # recorded network: (our name, how its sizes differ from those of that name)
    "torchvision_vit": ("vit_b_16", "vit_base", NARROW | {"image_size": 96, "depth": 3, "classes": 10}),
    "timm_dino": ("dino_small8", "dino_small8", NARROW | {"image_size": 56}),
    "timm_dinov2": ("dinov2_small", "dinov2_small", NARROW | {"image_size": 98}),
    "timm_dinov2_reg": ("dinov2_small_reg", "dinov2_small_reg", NARROW | {"image_size": 98}),
    "transformers_vit": ("deit_tiny", "vit_small", NARROW | {"image_size": 96, "classes": 10}),
}


def use(monkeypatch, name, network, classes=TEN):
    """From now on `name` is that small network."""
    monkeypatch.setitem(NETWORKS, name, Entry(network, Preprocess((64, 64)), lambda: classes, "narrow"))


@pytest.fixture(autouse=True)
def no_library(monkeypatch):
    """Narrow networks have no twin in a library; what comparing does is tested by itself."""
    monkeypatch.setattr(convert, "difference", lambda model, state: ("torchvision", "it is not installed"))


@pytest.fixture
def vit(request, monkeypatch, tmp_path):
    """(record, our name, file): a published file of seeded weights, and our narrow network under its name."""
    record = recorded(f"network_{request.param}")
    name, size, changes = VITS[request.param]
    arguments = {**SIZES[size], **changes}
    use(monkeypatch, name, partial(ViT, **arguments), TEN if arguments["classes"] else ())
    torch.save(seeded_state(table(record)), tmp_path / "theirs.pth")
    return record, name, tmp_path / "theirs.pth"


@pytest.fixture
def resnet(monkeypatch, tmp_path):
    """(their state dict, file) of a ResNet-18 with an eighth of its channels, under the name resnet18."""
    use(monkeypatch, "resnet18", partial(zoo.resnet18, classes=10, width=1 / 8))
    shapes = {name: tuple(size // 8 if size > 10 else size for size in shape)
              for name, shape in table(recorded("network_torchvision_resnet18")).items()}
    state = seeded_state(shapes)
    torch.save(state, tmp_path / "theirs.pth")
    return state, tmp_path / "theirs.pth"


def table(record):
    pairs = (str(line).partition(" ") for line in record["shapes"])
    return {name: tuple(int(size) for size in sizes.split(",") if size) for name, _, sizes in pairs}


def run(name, file, *options):
    convert.main([name, "--file", str(file), "--out", str(file.parent / "ours.pt"), *options])
    return file.parent / "ours.pt"


def refused(name, file, *options):
    """The one line with which the conversion ends; nothing may have been written."""
    with pytest.raises(SystemExit) as end:
        run(name, file, *options)
    message = end.value.code
    assert message.startswith("convert: ") and "\n" not in message, message
    assert not (file.parent / "ours.pt").exists()
    return message


# ------------------------------------------------------------------------------------------------ from file to network

@pytest.mark.parametrize("vit", VITS, indirect=True)
@torch.no_grad()
def test_a_converted_vit_computes_what_its_library_did(vit):
    record, name, file = vit
    model = load(name, file=run(name, file))
    assert relative_difference(model(recorded_image(record, " square")), record["features square"]) <= SINGLE


RESNET_NAMES = {"conv1.weight": "stem.0.conv.weight", "bn1.running_mean": "stem.0.norm.running_mean",
                "layer3.1.bn2.running_var": "layer3.1.conv2.norm.running_var", "fc.bias": "head.fc.bias",
                "layer2.0.downsample.0.weight": "layer2.0.skip.conv.weight",
                "layer4.0.downsample.1.bias": "layer4.0.skip.norm.bias"}


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"model": state},
                                  lambda state: {"epoch": 3, "state_dict": state},
                                  lambda state: {f"module.{name}": value for name, value in state.items()}],
                         ids=["plain", "model", "state_dict", "module."])
def test_a_converted_resnet_has_every_number_in_its_place(resnet, wrap):
    state, file = resnet
    torch.save(wrap(state), file)
    ours = torch.load(run("resnet18", file), weights_only=True)
    assert len(ours) == len(state) == 122
    for theirs, name in RESNET_NAMES.items():
        assert torch.equal(ours[name], state[theirs]) and ours[name].dtype == torch.float32


def test_half_precision_is_half_and_still_loads(resnet, capsys):
    state, file = resnet
    ours = torch.load(run("resnet18", file, "--half"), weights_only=True)
    assert ours["head.fc.weight"].dtype == torch.float16
    assert ours["stem.0.norm.num_batches_tracked"].dtype == torch.int64
    assert torch.equal(ours["head.fc.weight"], state["fc.weight"].half())
    assert "it loads: minixai.load('resnet18', file=" in capsys.readouterr().out
    assert torch.equal(load("resnet18", file=file.parent / "ours.pt").head.fc.weight, state["fc.weight"].half().float())


def test_numbers_too_large_for_half_precision_are_refused(resnet):
    state, file = resnet
    state["layer1.0.bn1.running_var"][3] = 1e6
    torch.save(state, file)
    assert "layer1.0.conv1.norm.running_var" in refused("resnet18", file, "--half")
    run("resnet18", file)


def test_files_from_before_norms_counted_batches_are_completed(resnet, capsys):
    state, file = resnet
    old = {name: value for name, value in state.items() if "num_batches" not in name}
    torch.save(old, file, _use_new_zipfile_serialization=False)
    ours = torch.load(run("resnet18", file), weights_only=True)
    assert len(old) == 102 and len(ours) == 122 and ours["layer4.1.conv2.norm.num_batches_tracked"] == 0
    assert capsys.readouterr().out.count("set to 0, only training uses it") == 20


def test_the_file_that_is_read_is_not_written_over(resnet):
    _, file = resnet
    before = file.read_bytes()
    with pytest.raises(SystemExit, match="is the file that is read"):
        convert.main(["resnet18", "--file", str(file), "--out", str(file)])
    assert file.read_bytes() == before


# -------------------------------------------------------------------------------------------------------------- report

@pytest.mark.parametrize("vit", ["timm_dinov2_reg"], indirect=True)
def test_every_tensor_is_reported_with_its_shape_and_its_fate(vit, capsys):
    record, name, file = vit
    run(name, file)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert "cls_token and register_tokens + pos_embed[:1] -> prefix (5, 48)" in lines
    assert "pos_embed[1:] -> positions (48, 7, 7)" in lines
    assert "mask_token left out: only training uses it (1, 48)" in lines
    assert "blocks.1.ls2.gamma -> blocks.1.scale2.factor (48,)" in lines
    assert "blocks.0.attn.qkv.weight -> blocks.0.attention.qkv.weight (144, 48)" in lines
    assert len(lines) == len(record["shapes"]) - 1      # three of theirs are two of ours


@pytest.mark.parametrize("vit", ["transformers_vit"], indirect=True)
def test_what_is_made_of_three_names_the_three(vit, capsys):
    run(*vit[1:])
    layer = "encoder.layer.1.attention.attention"
    assert f"{layer}.query.bias, {layer}.key.bias, {layer}.value.bias -> blocks.1.attention.qkv.bias" in (
        capsys.readouterr().out)


def test_what_does_not_fit_is_reported_one_by_one_and_summed_up_in_a_line(resnet, capsys):
    state, file = resnet
    del state["layer1.1.conv2.weight"]
    state["fc.weight"] = torch.ones(7, 64)
    state["layer1.0.se.weight"] = torch.ones(2)
    torch.save(state, file)
    message = refused("resnet18", file)
    assert ("theirs.pth does not fit resnet18: 1 missing (layer1.1.conv2.conv.weight (8, 8, 3, 3)), "
            "1 other shape (head.fc.weight: theirs (7, 64), ours (10, 64)), 1 not ours (layer1.0.se.weight)") in message
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "MISSING -> layer1.1.conv2.conv.weight (8, 8, 3, 3)" in lines
    assert "fc.weight -> head.fc.weight (7, 64) OTHER SHAPE, ours is (10, 64)" in lines
    assert "layer1.0.se.weight NOT OURS: no place for it in this network (2,)" in lines


def test_the_file_of_another_network_is_told_which_it_fits(resnet, monkeypatch):
    _, file = resnet
    use(monkeypatch, "resnet50", partial(zoo.resnet50, classes=10, width=1 / 8))
    message = refused("resnet50", file)
    assert message.endswith("; it fits resnet18") and "theirs.pth does not fit resnet50: " in message


def test_a_layout_that_is_not_known_shows_its_first_names(tmp_path):
    torch.save({"tower.0.w": torch.ones(2), "tower.1.w": torch.ones(2)}, tmp_path / "a.pth")
    message = refused("resnet18", tmp_path / "a.pth")
    assert "an unknown layout" in message and "tensors are tower.0.w, tower.1.w" in message
    assert all(layout.title in message for layout in LAYOUTS)


def test_distilled_deit_is_refused_in_both_layouts(tmp_path):
    for names in (("patch_embed.proj.weight", "dist_token"), ("deit.embeddings.patch_embeddings.projection.weight",
                                                              "deit.embeddings.distillation_token")):
        torch.save({name: torch.ones(1, 1, 4) for name in names}, tmp_path / "a.pth")
        assert "a distilled DeiT has a second head" in refused("deit_tiny", tmp_path / "a.pth")


def test_a_vit_without_cls_or_learned_positions_is_refused(tmp_path):
    file = tmp_path / "a.pth"
    torch.save({"patch_embed.proj.weight": torch.ones(4, 3, 2, 2), "cls_token": torch.ones(1, 1, 4)}, file)
    assert "no pos_embed: this ViT has no CLS token or learns no positions" in refused("dino_small", file)


def test_query_key_and_value_come_together_or_not_at_all():
    layer = "encoder.layer.0.attention.attention"
    state = {"embeddings.cls_token": torch.ones(1, 1, 4), "embeddings.position_embeddings": torch.ones(1, 5, 4),
             f"{layer}.key.bias": torch.ones(4), f"{layer}.value.bias": torch.ones(4)}
    with pytest.raises(ValueError, match=r"no encoder.layer.0.attention.attention.query.bias beside .*key.bias"):
        convert_vit.from_transformers_vit(state)


def test_two_tensors_for_one_name_are_refused():
    layer = "encoder.layers.encoder_layer_0.mlp"
    state = {"class_token": torch.ones(1, 1, 4), "encoder.pos_embedding": torch.ones(1, 5, 4),
             f"{layer}.0.bias": torch.ones(4), f"{layer}.linear_1.bias": torch.ones(4)}
    with pytest.raises(ValueError, match="two tensors for one name: blocks.0.mlp.0.bias"):
        convert_vit.from_torchvision_vit(state)


def test_the_names_in_torchvisions_published_vit_are_those_of_before():
    layer = "encoder.layers.encoder_layer_0.mlp"
    state = {"class_token": torch.ones(1, 1, 4), "encoder.pos_embedding": torch.ones(1, 5, 4),
             f"{layer}.linear_1.bias": torch.full((4,), 1.0), f"{layer}.linear_2.bias": torch.full((4,), 2.0)}
    ours = convert_vit.from_torchvision_vit(state)
    assert ours["blocks.0.mlp.0.bias"][0] == 1 and ours["blocks.0.mlp.2.bias"][0] == 2


# ------------------------------------------------------------------------------------------------------------- compare

@pytest.mark.parametrize("result", [2e-4, float("nan"), float("inf")])
def test_other_logits_than_the_library_has_write_nothing(resnet, monkeypatch, result):
    monkeypatch.setattr(convert, "difference", lambda model, state: ("torchvision", result))
    assert "the network of torchvision gives other logits" in refused("resnet18", resnet[1])


def test_equal_logits_and_a_missing_library_are_said(resnet, monkeypatch, capsys):
    run("resnet18", resnet[1])
    assert "logits not compared with torchvision: it is not installed" in capsys.readouterr().out
    monkeypatch.setattr(convert, "difference", lambda model, state: ("torchvision", 3e-7))
    run("resnet18", resnet[1])
    assert "logits of torchvision and ours differ by 3.0e-07 of the largest" in capsys.readouterr().out


class Shifted(torch.nn.Module):
    """A library's network that adds to what ours says."""
    def __init__(self, model, shift):
        super().__init__()
        self.model, self.shift = model, shift

    def forward(self, image):
        return self.model(image) + self.shift


@torch.no_grad()
def test_the_difference_is_a_part_of_the_largest_logit(monkeypatch):
    torch.manual_seed(0)
    model = zoo.resnet18(classes=10, width=1 / 8).eval()
    model.name, model.preprocess = "resnet18", Preprocess((64, 64))
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(source_network.importlib.util, "find_spec", lambda library: library)
    for shift in (0.0, 0.5):
        monkeypatch.setattr(source_network, "in_torchvision", lambda model, state, shift=shift: Shifted(model, shift))
        library, result = source_network.difference(model, {})
        assert library == "torchvision" and result == pytest.approx(shift / (model(image) + shift).abs().max().item())
    monkeypatch.setattr(source_network, "in_torchvision", lambda model, state: {}["gone"])
    assert source_network.difference(model, {}) == ("torchvision", "it does not take them: 'gone'")
    monkeypatch.setattr(source_network.importlib.util, "find_spec", lambda library: None)
    assert source_network.difference(model, {}) == ("torchvision", "it is not installed")


# --------------------------------------------------------------------------------------------------- hash and download

def test_every_network_without_weights_of_its_own_has_an_address():
    assert set(PUBLISHED) == {name for name, entry in NETWORKS.items() if entry.sha256 is None} | {"dinov2_small"}
    assert len({each.file for each in PUBLISHED.values()}) == len(PUBLISHED)
    assert all(each.address.startswith("https://") and len(each.sha256) in (0, 8, 64) for each in PUBLISHED.values())
    assert PUBLISHED["resnet50"].sha256 == "0676ba61" and PUBLISHED["vit_b_16"].sha256 == "c867db91"
    assert PUBLISHED["vit_small"].file == "vit_small_patch16_224.augreg_in21k_ft_in1k.safetensors"


def publish(monkeypatch, name, file, digits=8):
    """From now on, that file is the published one of a network. Returns its sha256."""
    found = sha256(file.read_bytes()).hexdigest()
    monkeypatch.setitem(PUBLISHED, name, Published(file.resolve().as_uri(), found[:digits]))
    return found


def test_the_publishers_file_is_recognised(resnet, monkeypatch, capsys):
    found = publish(monkeypatch, "resnet18", resnet[1])
    run("resnet18", resnet[1])
    output = capsys.readouterr()
    assert f"sha256 {found}\nthis is the recorded sha256 of file://" in output.out and not output.err


def test_another_file_under_a_published_name_is_refused_before_it_is_read(resnet, monkeypatch):
    publish(monkeypatch, "resnet18", resnet[1])
    resnet[1].write_bytes(resnet[1].read_bytes() + b"x")
    monkeypatch.setattr(convert, "read_checkpoint", lambda path: pytest.fail("it was read"))
    for name in ("resnet18", "resnet34"):
        assert "theirs.pth is damaged, or another file under that name: its sha256 should begin" in (
            refused(name, resnet[1]))


def test_a_published_file_of_another_network_is_refused_though_it_fits(resnet, monkeypatch):
    """DeiT's and timm's ViTs have the same shapes and want their pixels in other ranges."""
    publish(monkeypatch, "resnet34", resnet[1])
    assert "theirs.pth is the published file of resnet34, not of resnet18" in refused("resnet18", resnet[1])


def test_a_file_without_a_recorded_hash_is_taken_with_a_note(resnet, capsys):
    run("resnet18", resnet[1])
    output = capsys.readouterr()
    assert sha256(resnet[1].read_bytes()).hexdigest() in output.out
    assert output.err.startswith("note: no hash is recorded for this file")


def test_a_download_is_checked_kept_and_not_fetched_again(resnet, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    publish(monkeypatch, "resnet18", resnet[1])
    out = tmp_path / "ours.pt"
    convert.main(["resnet18", "--download", "--out", str(out)])
    kept = tmp_path / "torch" / "hub" / "checkpoints" / "theirs.pth"
    assert kept.read_bytes() == resnet[1].read_bytes() and out.exists()
    resnet[1].unlink()
    convert.main(["resnet18", "--download", "--out", str(out)])
    kept.write_bytes(b"tampered with")
    with pytest.raises(SystemExit, match="convert: .*theirs.pth is damaged, or another file under that name"):
        convert.main(["resnet18", "--download", "--out", str(out)])


@pytest.mark.parametrize("break_it, says", [(lambda file: file.write_bytes(b"other"), "invalid hash value"),
                                            (lambda file: file.unlink(), "No such file")], ids=["changed", "gone"])
def test_a_download_that_fails_is_one_line_and_leaves_nothing(resnet, monkeypatch, tmp_path, break_it, says):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    publish(monkeypatch, "resnet18", resnet[1])
    break_it(resnet[1])
    with pytest.raises(SystemExit) as end:
        convert.main(["resnet18", "--download", "--out", str(tmp_path / "ours.pt")])
    assert end.value.code.startswith("convert: could not fetch file://") and says in end.value.code
    assert "\n" not in end.value.code and list((tmp_path / "torch" / "hub" / "checkpoints").iterdir()) == []


def test_a_network_without_an_address_says_which_have_one():
    with pytest.raises(SystemExit, match="no address is known for small_cnn; there are addresses for resnet18"):
        convert.main(["small_cnn", "--download"])


def test_help_lists_layouts_and_addresses(capsys):
    with pytest.raises(SystemExit):
        convert.main(["--help"])
    text = capsys.readouterr().out
    assert "resnet50-0676ba61.pth" in text and "ViT of torchvision" in text and "--half" in text


def test_gradients_are_left_as_they_were(resnet):
    run("resnet18", resnet[1])
    assert torch.is_grad_enabled()


# --------------------------------------------------------------------------------------------------------------- files

def test_a_safetensors_file_gives_the_numbers_that_went_in(tmp_path):
    record = recorded("file_safetensors")
    path = tmp_path / "b3f1a7"              # as in a cache, where the name says nothing
    path.write_bytes(record["stored"].tobytes())
    state = read_checkpoint(path)
    assert set(state) == set(record) - {"versions", "stored"}
    for name, value in state.items():
        assert value.shape == record[name].shape and np.array_equal(value.double().numpy(), record[name].astype(
            np.float32 if name == "double" else np.float64))
    assert state["half"].dtype == state["brain"].dtype == state["full"].dtype == torch.float32
    assert state["count"].dtype == torch.int64


def stored(header, numbers=b"\0" * 24):
    """A .safetensors file written by hand from its specification."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + numbers


def entry(dtype="F32", shape=(2, 3), data_offsets=(0, 24), **more):
    return {"weight": {"dtype": dtype, "shape": shape, "data_offsets": data_offsets, **more}}


@pytest.mark.parametrize("data", [
    stored(entry())[:-1], stored(entry())[:60], stored(entry(shape=(2, 4))), stored(entry(data_offsets=(0, 20))),
    stored(entry(data_offsets=(-24, 0))), stored(entry(data_offsets=(24, 0))), stored(entry(shape=(-2, -3))),
    stored(entry(dtype="F7")), stored(entry(data_offsets=(0,))), stored(entry(extra=1)), stored({"weight": 3}),
    stored(entry(shape="ab")), struct.pack("<Q", 1 << 60) + b'{"weight":', stored(entry(data_offsets=(0.0, 24.0)))],
    ids=["cut", "no numbers", "shape", "bytes", "before", "backwards", "negative", "type", "one end", "more",
         "no entry", "text", "endless header", "fractions"])
def test_a_damaged_safetensors_file_is_one_line(tmp_path, data):
    (tmp_path / "good.safetensors").write_bytes(stored(entry()))
    assert torch.equal(read_checkpoint(tmp_path / "good.safetensors")["weight"], torch.zeros(2, 3))
    (tmp_path / "bad.safetensors").write_bytes(data)
    assert "not a .safetensors file, or damaged, or cut short" in refused("resnet18", tmp_path / "bad.safetensors")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_damaged_checkpoint_is_one_line(resnet, legacy):
    state, file = resnet
    torch.save(state, file, _use_new_zipfile_serialization=not legacy)
    whole = file.read_bytes()
    for data in (whole[:-50], whole[:len(whole) // 3], whole[:9], b"", b"<html>404</html>"):
        file.write_bytes(data)
        assert "theirs.pth: no file of weights, or damaged, or cut short" in refused("resnet18", file)
    assert "no such file" in refused("resnet18", file.parent / "nowhere.pth")


class Evil:
    """Unpickled without care, it makes a folder."""
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_checkpoint_that_carries_code_is_refused_and_nothing_of_it_runs(resnet, tmp_path):
    state, file = resnet
    torch.save({"model": state, "args": Evil(tmp_path / "trap")}, file)
    assert "holds more than tensors" in refused("resnet18", file) and not (tmp_path / "trap").exists()
    torch.load(file, weights_only=False)
    assert (tmp_path / "trap").exists()         # the trap is a real one


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(resnet, number):
    state, file = resnet
    state["layer2.0.conv1.weight"][1, 2, 0, 0] = number
    torch.save(state, file)
    assert "1 tensors hold numbers that are not finite, the first is layer2.0.conv1.weight" in refused("resnet18", file)


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    for value in ([1, 2], {"model": {"epoch": 3}}, {"state_dict": {}}):
        torch.save(value, tmp_path / "a.pth")
        assert "not a state dict" in refused("resnet18", tmp_path / "a.pth")


def test_hashes_are_of_the_whole_file(tmp_path):
    data = bytes(range(251)) * 9001             # more than a piece, and no whole number of them
    (tmp_path / "a").write_bytes(data)
    assert checkpoint_file.sha256_of_file(tmp_path / "a") == sha256(data).hexdigest()


def test_the_command_in_messages_is_this_one():
    assert registry.CONVERTER.startswith("python -m weights_scripts.convert ")
