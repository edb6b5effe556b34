"""Every name builds; what is packaged loads; a file that is missing, changed or no weights at all is refused."""
import hashlib
import json
import os
import pickle
import zipfile
from dataclasses import FrozenInstanceError, replace
from functools import partial
from pathlib import Path
from shutil import copy

import pytest
import torch

from minixai import build, load
from minixai.files import shown
from minixai.networks import registry
from minixai.networks.registry import NETWORKS, load_into, misfits
from minixai.networks.state_dict import read_state_dict
from weights_scripts.checkpoint_file import read_checkpoint

PACKAGED = [name for name, entry in NETWORKS.items() if entry.sha256 and not entry.script]
FETCHED = [name for name, entry in NETWORKS.items() if entry.script]
WITHOUT = [name for name, entry in NETWORKS.items() if not entry.sha256 and not entry.script]
SMALL = ["small_cnn", "small_vit"]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def half(state):
    return {name: value.half() if value.is_floating_point() else value for name, value in state.items()}


@pytest.fixture(params=SMALL)
def installed(request, tmp_path, monkeypatch):
    """(name, file): weights of a small network, installed in half precision and with their hash on record."""
    name, path = request.param, tmp_path / f"{request.param}.pt"
    torch.manual_seed(7)
    torch.save(half(build(name).state_dict()), path)
    monkeypatch.setattr(registry, "PACKAGED", tmp_path)
    record(monkeypatch, name, digest(path))
    return name, path


def record(monkeypatch, name, sha256):
    monkeypatch.setitem(NETWORKS, name, replace(NETWORKS[name], sha256=sha256))


# ------------------------------------------------------------------------------------------------------------- build

@pytest.mark.parametrize("name", NETWORKS)
def test_every_name_builds_a_network_that_takes_its_own_images(name):
    with torch.device("meta"):                      # shapes without numbers: the large ones would take seconds
        model = build(name)
        logits = model(torch.zeros(2, 3, *model.preprocess.size))
    assert not model.training and model.name == name
    assert logits.dim() == 2 and len(logits) == 2 and len(model.labels) in (0, logits.shape[1])
    assert (not model.labels) == (getattr(model, "classes", None) == 0)


HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
OF_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize("names, side, colours", [
    (["small_cnn", "small_cnn_biased", "small_vit", "small_vit_biased"], 96, HALVES),
    (["efficientnet_lite0", "vit_tiny", "vit_small", "vit_base"], 224, HALVES),        # trained in TensorFlow or JAX
    (["resnet18", "resnet34", "resnet50", "vgg16", "deit_tiny", "deit_small", "deit_base", "vit_b_16", "dino_small",
      "dino_small8", "dino_base"], 224, OF_IMAGENET),
    (["dinov2_small", "dinov2_base", "dinov2_small_reg", "dinov2_base_reg"], 448, OF_IMAGENET)])
def test_images_are_prepared_as_those_that_the_weights_were_trained_on(names, side, colours):
    for name in names:
        preprocess = NETWORKS[name].preprocess
        assert (preprocess.size, (preprocess.mean, preprocess.std)) == ((side, side), colours), name


@pytest.mark.parametrize("name", SMALL)
def test_build_is_random_and_follows_the_seed(name):
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(build(name).state_dict())
    same, other = ([torch.equal(value, state[key]) for key, value in states[0].items()] for state in states[1:])
    assert all(same) and not all(other)


def test_an_unknown_name_is_told_the_names():
    for make in (build, load):
        with pytest.raises(ValueError, match="no network named 'resnet19'; there are .*resnet18"):
            make("resnet19")


def test_the_classes_have_their_names_in_order():
    with torch.device("meta"):
        assert len(build("resnet18").labels) == 1000 and "Egyptian cat" in build("resnet18").labels[285]
        assert [name.lower() for name in build("small_cnn").labels] == ["cat", "dog", "wolf", "cow"]


# -------------------------------------------------------------------------------------------------------------- load

@pytest.mark.parametrize("name", PACKAGED)
def test_what_is_packaged_loads(name):
    path = registry.weights_path(name)
    assert path.parent == registry.PACKAGED and digest(path) == NETWORKS[name].sha256
    assert path.stat().st_size < (2e6 if name.startswith("small") else 10e6)
    model, again = load(name), load(name)
    assert not model.training and model.name == name
    for key, value in model.state_dict().items():
        assert value.isfinite().all() and torch.equal(value, again.state_dict()[key])
        assert value.dtype == (torch.float32 if value.is_floating_point() else torch.int64)


def test_every_file_of_weights_is_on_record():
    files = {path.stem for path in registry.PACKAGED.glob("*.pt")}
    assert files == set(PACKAGED)


@pytest.mark.parametrize("name", WITHOUT)
def test_without_trained_weights_load_says_so(name):
    with pytest.raises(ValueError, match=rf"no trained weights for '{name}', .*minixai.build\('{name}'\).* "
                                         rf"python -m weights_scripts.convert {name} --download"):
        load(name)


def test_load_gives_back_what_was_saved(installed):
    name, path = installed
    torch.manual_seed(7)
    expected = half(build(name).state_dict())
    torch.manual_seed(8)
    loaded = load(name)
    assert not loaded.training and loaded.labels and loaded.preprocess
    for key, value in loaded.state_dict().items():
        assert value.dtype != torch.float16 and torch.equal(value.to(expected[key].dtype), expected[key])


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b"",
                                    lambda data: data[:500] + bytes([data[500] ^ 1]) + data[501:]],
                         ids=["shorter", "longer", "empty", "one bit"])
def test_a_changed_file_is_refused_before_it_is_read(installed, damage, monkeypatch):
    name, path = installed
    path.write_bytes(damage(path.read_bytes()))
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(ValueError, match=f"{name}.pt is not the file it should be: sha256 [0-9a-f]+…, expected"):
        load(name)


def test_a_missing_packaged_file_is_named(installed):
    name, path = installed
    path.unlink()
    with pytest.raises(FileNotFoundError, match=f"{path} is not there; the installation is incomplete"):
        load(name)


@pytest.mark.parametrize("name", FETCHED)
def test_a_file_not_fetched_yet_comes_with_its_command(name, monkeypatch, tmp_path):
    monkeypatch.setenv("MINIXAI_CACHE", str(tmp_path))
    record(monkeypatch, name, NETWORKS[name].sha256 or "0" * 64)
    with torch.device("meta"), pytest.raises(FileNotFoundError) as error:
        load(name)
    command = f"python -m {NETWORKS[name].script}"
    assert str(tmp_path / f"{name}.pt") in str(error.value) and command in str(error.value)
    assert (Path(__file__).parents[1] / NETWORKS[name].script.replace(".", "/")).with_suffix(".py").exists()


@pytest.mark.parametrize("own, shared, expected", [
    ("/own", "/shared", "/own"), ("", "/shared", "/shared/minixai"), ("", "", "~/.cache/minixai")])
def test_the_cache_folder_is_the_users_choice(monkeypatch, own, shared, expected):
    monkeypatch.setenv("MINIXAI_CACHE", own)
    monkeypatch.setenv("XDG_CACHE_HOME", shared)
    assert registry.weights_path("dinov2_small") == Path(expected).expanduser() / "dinov2_small.pt"


def test_the_table_of_networks_says_how_to_get_the_weights_of_each(installed, monkeypatch, tmp_path):
    name, path = installed
    copy(Path(registry.__file__).parents[1] / "weights" / "imagenet_classes.txt", tmp_path)
    monkeypatch.setenv("MINIXAI_CACHE", str(tmp_path))

    def row(name):
        table, _, note = registry.describe().partition("\n\n")
        assert note == ("* published weights, in a checkout of minixai: python -m weights_scripts.convert NAME "
                        "--download")
        start = next(i for i, line in enumerate(table.splitlines()) if line.startswith(f"{name} "))
        return [line.strip() for line in table.splitlines()[start:start + 3]]

    assert row("resnet50") == [f"{'resnet50':20s}ResNet-50, 25.6 M weights",
                               "architecture only, random weights: minixai.build; published ones: see * below",
                               "input 224x224, 1000 classes, layers: stem layer1 layer2 layer3 layer4"]
    not_fetched = "not fetched yet: in a checkout of minixai, python -m weights_scripts.dinov2_small"
    assert row("dinov2_small")[1:] == [not_fetched, "input 448x448, no classes, layers: blocks 0 to 11"]
    assert row(name)[1] == "ready to load"
    (tmp_path / "dinov2_small.pt").touch()
    path.unlink()
    assert row("dinov2_small")[1] == "ready to load" and row(name)[1] == "missing from this installation"


def test_what_was_saved_on_another_device_is_read_on_this_one(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:7")
        torch.save({"weight": torch.ones(3)}, tmp_path / "mine.pt")
    assert read_state_dict(tmp_path / "mine.pt")["weight"].device.type == "cpu"


class Evil:
    """Unpickled without care, it makes a folder."""
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2))],
                         ids=["torch.save", "pickle"])
def test_a_file_that_carries_code_is_refused_and_nothing_of_it_runs(installed, save, monkeypatch, tmp_path):
    name, path = installed
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")     # takes torch's own guard away, as before torch 2.6
    trap = tmp_path / "trap"
    save({"stem": Evil(trap)}, path)
    record(monkeypatch, name, digest(path))
    for of_mine in (None, path):
        with pytest.raises(ValueError) as error:
            load(name, of_mine)
        assert "mkdir" in str(error.value) and "runs no code" in str(error.value) and "\n" not in str(error.value)
    assert not trap.exists()
    pickle.loads(pickle.dumps(Evil(trap)))
    assert trap.exists()            # the trap is a real one


# ------------------------------------------------------------------------------------------------- a file of the user

@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("precision", [torch.float32, torch.float16])
def test_a_file_of_mine_is_loaded_and_not_the_packaged_one(name, precision, tmp_path):
    torch.manual_seed(11)
    state = {key: value.to(precision) if value.is_floating_point() else value + 3
             for key, value in build(name).state_dict().items()}
    torch.save(state, tmp_path / "mine.pt")
    for file in (tmp_path / "mine.pt", str(tmp_path / "mine.pt")):
        model = load(name, file=file)
        assert not model.training and model.name == name and model.labels and model.preprocess
        for key, value in model.state_dict().items():
            assert value.dtype in (torch.float32, torch.int64) and torch.equal(value, state[key].to(value.dtype))


def test_a_network_without_weights_of_its_own_takes_a_file(tmp_path, monkeypatch):
    monkeypatch.setitem(NETWORKS, "resnet18", replace(NETWORKS["resnet18"], network=NETWORKS["small_cnn"].network))
    torch.save(build("small_cnn").state_dict(), tmp_path / "r.pt")
    assert load("resnet18", file=tmp_path / "r.pt").preprocess.size == (224, 224)


def one_line(file, kind=ValueError, name="small_cnn"):
    """What load says of a file: one line that begins with its name."""
    with pytest.raises(kind) as error:
        load(name, file=file)
    message = str(error.value)
    assert message.startswith(shown(file)) and message.isprintable(), message
    return message


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_damaged_file_of_mine_is_one_line(tmp_path, legacy):
    path = tmp_path / "mine.pt"
    torch.save(build("small_cnn").state_dict(), path, _use_new_zipfile_serialization=not legacy)
    whole = path.read_bytes()
    for data in (whole[:-100], whole[:len(whole) // 2], whole[:1000], whole[:5], b"", b"no weights at all",
                 bytes(range(256)) * 9):
        path.write_bytes(data)
        assert "damaged" in one_line(path)


@pytest.mark.parametrize("value", [[torch.ones(3)], torch.ones(3), {}, {"model": {"a": torch.ones(3)}}, {"a": 1}, 7],
                         ids=["list", "tensor", "nothing", "wrapped", "number", "int"])
def test_what_is_no_state_dict_is_refused(tmp_path, value):
    torch.save(value, tmp_path / "mine.pt")
    assert "not a state dict" in one_line(tmp_path / "mine.pt")


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert "no such file" in one_line(tmp_path / "mine.pt", FileNotFoundError)
    assert "a folder" in one_line(tmp_path, OSError)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
@pytest.mark.parametrize("installed_too", [False, True])
def test_a_fifo_or_a_device_is_refused_and_not_waited_for(installed, installed_too, tmp_path):
    name, path = installed
    for make in (os.mkfifo, lambda path: os.symlink("/dev/zero", path)):
        path.unlink()
        make(path)
        with pytest.raises(OSError, match="not a file"):
            load(name, None if installed_too else path)


ODD = {
    "sparse": torch.zeros(3, 4).to_sparse(), "meta": torch.zeros(3, 4, device="meta"),
    "quantised": torch.quantize_per_tensor(torch.zeros(3, 4), 0.1, 0, torch.quint8),
    "nested": torch.nested.nested_tensor([torch.zeros(2, 3), torch.zeros(4, 3)]),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("read", [partial(load, "small_cnn"), read_checkpoint], ids=["load", "convert"])
def test_tensors_that_are_no_plain_numbers_are_named(tmp_path, kind, read):
    state = build("small_cnn").state_dict() | {"head\n.fc": ODD[kind]}
    torch.save(state, tmp_path / "mine.pt")
    with pytest.raises(ValueError) as error:
        read(tmp_path / "mine.pt")
    assert str(error.value).startswith(f"{tmp_path / 'mine.pt'}: 1 of its tensors are sparse")
    assert str(error.value).endswith(r"the first is head\n.fc")


def test_weights_with_other_bits_or_fewer_digits_are_read(tmp_path):
    state = build("small_cnn").state_dict()
    first, second, third = [name for name, value in state.items() if value.is_floating_point()][:3]
    odd = state | {first: torch._neg_view(-state[first]), second: torch.nn.Parameter(state[second]),
                   third: torch.ones_like(state[third]).to(torch.float8_e4m3fn)}
    torch.save(odd, tmp_path / "mine.pt")
    for read in (load("small_cnn", tmp_path / "mine.pt").state_dict(), read_checkpoint(tmp_path / "mine.pt")):
        assert torch.equal(read[first], state[first]) and torch.equal(read[second], state[second])
        assert (read[third] == 1).all()


@pytest.mark.parametrize("read", [partial(load, "small_cnn"), read_checkpoint], ids=["load", "convert"])
def test_a_few_numbers_that_claim_to_be_many_are_refused(tmp_path, read):
    torch.save({"a": torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "mine.pt")
    with pytest.raises(ValueError, match="mine.pt: its tensors repeat the same few numbers"):
        read(tmp_path / "mine.pt")
    shared = torch.ones(3)
    torch.save({"a": shared, "b": shared}, tmp_path / "mine.pt")        # two layers may share their weights
    assert read is not read_checkpoint or len(read(tmp_path / "mine.pt")) == 2


@pytest.mark.parametrize("shape, offsets", [([6], (0, 24)), ([10**30], (0, 4 * 10**30))], ids=["overlap", "beyond"])
def test_tensors_of_a_safetensors_file_lie_in_it_and_beside_each_other(tmp_path, shape, offsets):
    header = {"a": {"dtype": "F32", "shape": [6], "data_offsets": (0, 24)},
              "b": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}
    text = json.dumps(header).encode()
    (tmp_path / "mine.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(24))
    with pytest.raises(ValueError, match="not a .safetensors file, or damaged"):
        read_checkpoint(tmp_path / "mine.safetensors")


def test_a_packed_file_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    torch.save(build("small_cnn").state_dict(), tmp_path / "plain.pt")
    with zipfile.ZipFile(tmp_path / "plain.pt") as plain, \
            zipfile.ZipFile(tmp_path / "mine.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was unpacked"))
    assert "unpacks to more than its own size" in one_line(tmp_path / "mine.pt")


@pytest.mark.filterwarnings("error")
def test_of_a_file_in_a_newer_pickle_torch_says_nothing_that_does_not_name_it(tmp_path):
    state = build("small_cnn").state_dict()
    torch.save(state, tmp_path / "mine.pt", pickle_protocol=3)
    assert torch.equal(load("small_cnn", tmp_path / "mine.pt").head.fc.bias, state["head.fc.bias"])


def test_names_that_are_no_text_are_no_state_dict(tmp_path):
    torch.save({1: torch.ones(3)}, tmp_path / "mine.pt")
    assert "not a state dict" in one_line(tmp_path / "mine.pt")


def test_names_of_files_and_tensors_are_printed_on_one_line(tmp_path):
    path = tmp_path / "mi\nne.pt"
    for values in (build("small_vit").state_dict(), {"a\nb\x1b[31m": torch.ones(3)}, [1]):
        torch.save(values, path)
        one_line(path)
    path.write_bytes(b"no weights")
    one_line(path)


def test_a_file_of_another_network_is_one_line_that_says_what_to_do(tmp_path):
    path = tmp_path / "mine.pt"
    torch.save(build("small_vit").state_dict(), path)
    message = one_line(path)
    ours, theirs = (len(build(name).state_dict()) for name in SMALL)
    assert f"{ours} missing (stem.0.conv.weight (16, 3, 3, 3), …), {theirs} not ours (prefix (1, 96), …)" in message
    assert "python -m weights_scripts.convert small_cnn --file" in message


# ------------------------------------------------------------------------------------------------ what does not fit

def changed(state):
    """A state dict with one tensor too few, one too many and one of another shape."""
    state = dict(state)
    first, second = list(state)[:2]
    state["extra.weight"] = torch.zeros(2, 3)
    state[second] = torch.zeros(7)
    return first, state.pop(first).shape, second, state


def test_misfits_are_listed_tensor_by_tensor():
    model = build("small_cnn")
    first, shape, second, state = changed(model.state_dict())
    assert misfits(model.state_dict(), model) == []
    assert misfits(state, model) == [
        f"missing      {first} {tuple(shape)}", "not ours     extra.weight (2, 3)",
        f"other shape  {second}: theirs (7,), ours {tuple(model.state_dict()[second].shape)}"]


def test_whole_numbers_are_no_weights():
    model = build("small_cnn")
    state = model.state_dict() | {"head.fc.bias": torch.ones(4, dtype=torch.int64)}
    assert misfits(state, model) == ["other kind   head.fc.bias: theirs torch.int64, ours torch.float32"]
    assert misfits({name: value.double() if value.is_floating_point() else value for name, value in
                    model.state_dict().items()}, model) == []


def test_weights_that_do_not_fit_are_refused_whole():
    model = build("small_cnn")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, _, second, state = changed({name: value + 1 for name, value in before.items()})
    with pytest.raises(ValueError, match=f"(?s)do not fit this network:\n.*{first}.*extra.weight.*{second}"):
        load_into(model, state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_tensor_that_repeats_its_numbers_three_times_is_refused_and_shared_weights_are_not(tmp_path):
    torch.save({"weight": torch.ones(5).expand(3, 5)}, tmp_path / "repeated.pt")
    with pytest.raises(ValueError, match="repeat the same few numbers"):
        read_state_dict(tmp_path / "repeated.pt")
    shared = torch.ones(5)
    torch.save({"one": shared, "other": shared}, tmp_path / "shared.pt")
    assert list(read_state_dict(tmp_path / "shared.pt")) == ["one", "other"]


def test_an_entry_of_the_table_of_networks_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        registry.NETWORKS["small_cnn"].sha256 = None
