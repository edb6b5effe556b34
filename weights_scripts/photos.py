"""python -m weights_scripts.photos: write the four example photos and a drawn scene. It takes seconds.

The photos come from the scikit-image package. Three are copied byte for byte. The fourth is converted to JPEG, which
makes it eight times smaller. NOTICE names their authors and licences. The scene is drawn here: a cow on a beach.
"""
import io
from pathlib import Path

import numpy as np
from PIL import Image

from minixai.scenes import draw_scene
from weights_scripts.packages import files_from, sha256_of

PACKAGE = "scikit-image==0.26.0"
FOLDER = Path(__file__).parents[1] / "minixai" / "photos"
PHOTOS = {  # file name here: (path in the package, sha256)
    "cat.png": ("skimage/data/chelsea.png",
                "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb"),
    "coffee.png": ("skimage/data/coffee.png",
                   "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7"),
    "rocket.jpg": ("skimage/data/rocket.jpg",
                   "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c"),
    "astronaut.jpg": ("skimage/data/astronaut.png",
                      "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"),
}


def main() -> None:
    """Write all five files into minixai/photos."""
    FOLDER.mkdir(exist_ok=True)
    for name, data in zip(PHOTOS, files_from(PACKAGE, dict(PHOTOS.values()))):
        if name == "astronaut.jpg":
            data = as_jpeg(data)
        (FOLDER / name).write_bytes(data)
        print(f"wrote {FOLDER / name}, {len(data):,} bytes, sha256 {sha256_of(data)}")
    Image.fromarray(cow_on_the_beach()).save(FOLDER / "scene.png")
    print(f"drew {FOLDER / 'scene.png'}")


def cow_on_the_beach(size: int = 384) -> np.ndarray:
    """The drawn scene, uint8 (size,size,3): four times as large as the input of the small networks, to look good."""
    return draw_scene(5, size, animal="cow", background="beach", place=(0.7, 0.72), facing="left").image


def as_jpeg(data: bytes) -> bytes:
    """Convert the bytes of an image file to a JPEG of high quality."""
    out = io.BytesIO()
    Image.open(io.BytesIO(data)).convert("RGB").save(out, "JPEG", quality=92, subsampling=0)
    return out.getvalue()


if __name__ == "__main__":
    main()
