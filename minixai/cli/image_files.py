"""The files of one image in a folder run: which names they have, whether they are there, how they are made.

    NAME_overlay.jpg   NAME.npz   thumbnails/NAME.jpg   and with --stages NAME_stages.png, of a ViT NAME_heads.png
"""
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from minixai.attention import Attn
from minixai.cli.index_page import OVERLAY, RECORD, THUMBNAIL
from minixai.cli.pictures import every_head, fitting, save
from minixai.cli.question import Question
from minixai.cli.quick_overlay import quick_overlay
from minixai.cli.record import read_record, record_of
from minixai.explain import Explanation
from minixai.figures import on_photo
from minixai.images import open_photo

SIDE = 1280                                 # pixels: the longest side of an overlay
SMALL = 320                                 # of a thumbnail
JPEG = {"format": "jpeg", "quality": 90}    # 1 megapixel: 140 kB in 5 ms, where a PNG takes 1 MB and 700 ms
PNG = {"format": "png"}


@dataclass(frozen=True)
class Job:
    """One image that is to be explained."""
    number: int         # its place among all
    path: Path
    name: str           # what the names of its files begin with
    asked: str          # all that decides the result


@dataclass(frozen=True)
class Opened:
    """A photo, small enough to be kept for its overlay, and what the network is given of it."""
    photo: Image.Image
    size: tuple             # (width, height) of the file
    image: torch.Tensor     # (1,3,H,W)


class ImageFiles:
    """Names and makes the files of every image of a run; `open` and `save` may run in any thread."""

    def __init__(self, question: Question, folder: Path, with_stages: bool):
        self.question, self.folder = question, folder
        self.preprocess = question.model.preprocess
        self.kinds = (["stages", "heads"] if isinstance(question.recipe, Attn) else ["stages"]) if with_stages else []
        self.names = set()      # those that images of this run have

    def place(self, path: Path) -> tuple[str, dict | None]:
        """The name for an image's files, and the record of the same photo that is there under this name.

        Two folders may both hold a cat.jpg. Neither takes the name of the other, in this run or in a later one.
        """
        base = f"{fitting(path.stem)}_{self.question.model.name}_{self.question.method}"
        for number in count(1):
            name = base if number == 1 else f"{base}-{number}"
            if name.casefold() in self.names:       # many file systems take Cat and cat for one name
                continue
            record = read_record(self.folder / RECORD.format(name))
            if record is None or record["photo"] == str(path.absolute()):
                self.names.add(name.casefold())
                return name, record

    def further(self, name: str) -> list[str]:
        """The names of the pictures of the stages."""
        return [f"{name}_{kind}.png" for kind in self.kinds]

    def all_there(self, name: str) -> bool:
        """Whether the pictures of an image are there."""
        names = [OVERLAY.format(name), THUMBNAIL.format(name), *self.further(name)]
        return all((self.folder / each).is_file() for each in names)

    def open(self, path: Path) -> Opened:
        """ImageError if the photo cannot be used."""
        photo = open_photo(path)
        size, image = photo.size, self.preprocess(photo)
        photo.thumbnail((SIDE, SIDE))       # a smaller one stays as it is
        return Opened(photo, size, image)

    def draw(self, job: Job, opened: Opened, result: Explanation, index: int) -> tuple[Image.Image, dict]:
        """Save the pictures of the stages. Returns what `save` needs besides the job.

        To be called in the main thread: matplotlib is made for one.
        """
        # From here on the pictures may be those of another question than the record that is there.
        (self.folder / RECORD.format(job.name)).unlink(missing_ok=True)
        figures = {"stages": lambda: result.figure(index=index), "heads": lambda: every_head(result, index)}
        for kind, name in zip(self.kinds, self.further(job.name)):
            save(self.folder / name, figures[kind]().savefig, **PNG)
        return opened.photo, {
            **record_of(self.question, result, index), "photo": str(job.path.absolute()), "photo_size": opened.size,
            "box": self.preprocess.box(opened.size), "asked": job.asked}

    def save(self, job: Job, photo: Image.Image, record: dict) -> dict:
        """Save overlay, thumbnail and record. Returns the record."""
        heatmap = record["heatmap"]
        if self.question.own_overlay:
            overlay = Image.fromarray(on_photo(photo, torch.from_numpy(heatmap), self.preprocess))
        else:
            overlay = quick_overlay(photo, heatmap, self.preprocess)
        save(self.folder / OVERLAY.format(job.name), overlay.save, **JPEG)
        overlay.thumbnail((SMALL, SMALL), reducing_gap=1.0)     # twice as fast as with the usual 2.0
        save(self.folder / THUMBNAIL.format(job.name), overlay.save, **JPEG)
        save(self.folder / RECORD.format(job.name), np.savez, **record)       # last: if it is there, all are
        return record
