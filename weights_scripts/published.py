"""The addresses and hashes of the published weights of each network."""
from dataclasses import dataclass
from pathlib import PurePosixPath

import torch

TORCHVISION = "https://download.pytorch.org/models/"
META = "https://dl.fbaipublicfiles.com/"
TIMM = "https://huggingface.co/timm/{}/resolve/main/model.safetensors"


@dataclass(frozen=True)
class Published:
    """A file of weights. sha256: the whole hash or its first digits, or "" if it is unknown."""
    address: str
    sha256: str = ""

    @property
    def file(self) -> str:
        """Its file name in torch.hub's folder. It contains the network's name where publishers use equal names."""
        path = PurePosixPath(self.address)
        return f"{path.parts[-4]}.safetensors" if path.suffix == ".safetensors" else path.name


def _named(address):
    """A file whose name ends with the first digits of its sha256, as torch.hub requires."""
    return Published(address, torch.hub.HASH_REGEX.search(PurePosixPath(address).name)[1])


PUBLISHED = {
    "resnet18": _named(TORCHVISION + "resnet18-f37072fd.pth"),
    "resnet34": _named(TORCHVISION + "resnet34-b627a593.pth"),
    "resnet50": _named(TORCHVISION + "resnet50-0676ba61.pth"),
    "vgg16": _named(TORCHVISION + "vgg16-397923af.pth"),
    "vit_b_16": _named(TORCHVISION + "vit_b_16-c867db91.pth"),
    "deit_tiny": _named(META + "deit/deit_tiny_patch16_224-a1311bcf.pth"),
    "deit_small": _named(META + "deit/deit_small_patch16_224-cd65a155.pth"),
    "deit_base": _named(META + "deit/deit_base_patch16_224-b5f2ef4d.pth"),
    "vit_tiny": Published(TIMM.format("vit_tiny_patch16_224.augreg_in21k_ft_in1k")),
    "vit_small": Published(TIMM.format("vit_small_patch16_224.augreg_in21k_ft_in1k")),
    "vit_base": Published(TIMM.format("vit_base_patch16_224.augreg_in21k_ft_in1k")),
    "dino_small": Published(META + "dino/dino_deitsmall16_pretrain/dino_deitsmall16_pretrain.pth"),
    "dino_small8": Published(META + "dino/dino_deitsmall8_pretrain/dino_deitsmall8_pretrain.pth"),
    "dino_base": Published(META + "dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth"),
    # Their names contain no hash, and the publisher names none. Several users recorded these hashes.
    "dinov2_small": Published(META + "dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth",
                              "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9"),
    "dinov2_base": Published(META + "dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth",
                             "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73"),
    "dinov2_small_reg": Published(META + "dinov2/dinov2_vits14/dinov2_vits14_reg4_pretrain.pth",
                                  "f433177089a681826f849f194ece3bb48f4d63fb38d32fc837e3dc7a4e5641fb"),
    "dinov2_base_reg": Published(META + "dinov2/dinov2_vitb14/dinov2_vitb14_reg4_pretrain.pth",
                                 "73182a088cf94833c94b1666d1c99e02fe87e2007bff57b564fb6206e25dba71"),
}
