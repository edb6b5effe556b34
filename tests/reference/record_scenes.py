"""The drawings that the shipped networks were trained on, small: writes scenes.npz.

    python -m tests.reference.record_scenes

A test compares what is drawn now. A change of the drawings has to be followed by training the networks again.
"""
import numpy as np

from minixai.scenes import ACCESSORIES, BACKGROUNDS, CLASSES, draw_animal, draw_background, draw_scene
from tests.reference.seeded import FOLDER


def drawings():
    """{name: uint8 array}: animals with all that they may wear, backgrounds, and scenes with two animals."""
    found = {}
    for number, animal in enumerate(CLASSES):
        for place, kind in enumerate(("none", *ACCESSORIES)):
            layer = draw_animal(10 * number + place, 48, animal=animal, accessory=kind)
            found[f"{animal} {kind}"] = np.concatenate([layer.rgba, layer.parts[..., None]], axis=-1)
    for kind in BACKGROUNDS:
        found[kind] = np.stack([draw_background(seed, 32, kind) for seed in range(10)])
    for seed in range(6):
        scene = draw_scene(seed, 32, second="any", accessory="tie", accessory_bias=0.5, bias=0.5)
        found[f"scene {seed}"] = np.concatenate([scene.image, scene.owners[..., None], scene.part_map[..., None]], -1)
    return found


if __name__ == "__main__":
    np.savez_compressed(FOLDER / "scenes.npz", **drawings())
    print(f"scenes.npz {(FOLDER / 'scenes.npz').stat().st_size / 1000:.0f} kB")
