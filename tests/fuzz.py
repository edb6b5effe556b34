"""python -m tests.fuzz --minutes 5: damaged images, maps and weights. Every reader has to keep the law on every file.

The law: a valid result, or an ImageError, ValueError or OSError whose message is one line that can be printed and holds
the file's name; in seconds; in bounded memory. A file on which a reader breaks it is kept, and its name printed.
"""
import argparse
import io
import json
import struct
import sys
import tempfile
import time
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from minixai import build
from minixai.files import shown
from minixai.images import open_photo
from minixai.networks.state_dict import read_state_dict
from minixai.verification.saved_map import ColouredMap, SavedMap, read_map
from weights_scripts.checkpoint_file import read_checkpoint

SECONDS = 10            # for one file, on a busy machine
BYTES = 3 << 30         # above what the process had before
PAGES = {"save_all": True}
MAGIC = [b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\0\0\0", b"\0\0\x10\0", b"PK\3\4"]


# ------------------------------------------------------------------------------------------------------ whole files

def images():
    """{name: bytes} of pictures in every format that this Pillow writes and minixai reads."""
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (21, 33, 3), dtype=np.uint8))
    floats = Image.fromarray(np.asarray(photo.convert("L"), dtype=np.float32) / 255)
    turned = Image.Exif()
    turned[0x0112] = 6
    kinds = [("png", photo, {}), ("png", photo.convert("P"), {"transparency": 3}), ("png", photo.convert("1"), {}),
             ("png", photo, PAGES), ("png", photo, {"exif": turned}), ("png", photo.convert("LA"), {}),
             ("jpg", photo, {}), ("jpg", photo, {"progressive": True, "exif": turned}), ("jpg", photo.convert("L"), {}),
             ("jpg", photo.convert("CMYK"), {}), ("mpo", photo, PAGES), ("gif", photo, {}), ("gif", photo, PAGES),
             ("bmp", photo, {}), ("bmp", photo.convert("P"), {}), ("tiff", photo, {}), ("tiff", photo, PAGES),
             ("tiff", photo, {"compression": "tiff_lzw"}), ("tiff", photo, {"compression": "jpeg"}),
             ("tiff", photo.convert("1"), {"compression": "group4"}), ("tiff", floats, {}),
             ("tiff", photo, {"compression": "tiff_adobe_deflate", **PAGES}), ("webp", photo, {}),
             ("webp", photo, PAGES), ("webp", photo, {"lossless": True}), ("avif", photo, {}), ("avif", photo, PAGES),
             ("jp2", photo, {}), ("ppm", photo, {}), ("pgm", photo.convert("L"), {}),
             ("ico", photo.resize((32, 32)), {}),
             ("tga", photo, {}), ("tga", photo, {"compression": "tga_rle"})]
    return {f"{number}.{ending}": _saved(picture, ending, options)
            for number, (ending, picture, options) in enumerate(kinds) if _writable(ending)}


def _saved(picture, ending, options):
    if "save_all" in options:
        options = options | {"append_images": [picture.rotate(90)]}
    buffer = io.BytesIO()
    picture.copy().save(buffer, Image.registered_extensions()[f".{ending}"], **options)    # save notes things in it
    return buffer.getvalue()


def _writable(ending):
    return Image.registered_extensions().get(f".{ending}") in Image.SAVE


def maps():
    """{name: bytes} of heatmaps in every format."""
    values = np.random.default_rng(1).random((7, 9))
    levels = [(255 * values).astype("u1"), (65535 * values).astype("u2"), np.dstack([255 * values] * 3).astype("u1")]
    found = {f"{number}.png": _saved(Image.fromarray(one), "png", {}) for number, one in enumerate(levels)}
    for kind in ("f8", "f4", ">f4", "f2", "u1"):
        found[f"{kind}.npy"] = _written(np.save, (9 * values).astype(kind))
    found["order.npy"] = _written(np.save, np.asfortranarray(values))
    found["plain.npz"] = _written(np.savez, values)
    found["packed.npz"] = _written(np.savez_compressed, values)
    for kind in (torch.float32, torch.float16, torch.bfloat16, torch.uint8):
        found[f"{kind}.pt"] = saved_by_torch(torch.from_numpy(9 * values).to(kind))
    found["legacy.pt"] = saved_by_torch(torch.from_numpy(values), legacy=True)
    return found


def _written(save, values):
    buffer = io.BytesIO()
    save(buffer, values)
    return buffer.getvalue()


def saved_by_torch(values, legacy=False):
    """The bytes of a file that torch.save writes; legacy: in the format before torch 1.6."""
    buffer = io.BytesIO()
    torch.save(values, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def weights():
    """{name: bytes} of state dicts: small ones, and that of a network."""
    few = {"a.weight": torch.randn(3, 4), "a.bias": torch.randn(3).half(), "count": torch.tensor(7)}
    return {"few.pt": saved_by_torch(few), "legacy.pt": saved_by_torch(few, legacy=True),
            "model.pt": saved_by_torch({"model": few}), "network.pt": saved_by_torch(build("small_cnn").state_dict()),
            "few.safetensors": safetensors({"a.weight": ("F32", [3, 4], 48), "a.bias": ("F16", [3], 6)})}


def safetensors(tensors):
    """{name: (type, shape, bytes)} -> such a file, of zeros."""
    header, end = {}, 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)


# ----------------------------------------------------------------------------------------------------------- damage

def damaged(data, random, others):
    """A file, and others to take pieces from -> the file after one to four mishaps."""
    if data[:2] == b"PK" and random.random() < 0.6:
        return _one_part_damaged(data, random, others)
    for _ in range(random.integers(1, 5)):
        data = MISHAPS[random.integers(len(MISHAPS))](data, random, others)
    return _with_sums_of_png(data) if data[:4] == b"\x89PNG" and random.random() < 0.7 else data


def _cut(data, random, _):
    return data[:random.integers(len(data) + 1)]


def _bit(data, random, _):
    return _replaced(data, random, bytes([random.integers(256)]))


def _bit_at_the_front(data, random, _):
    return _replaced(data[:128], random, bytes([random.integers(256)])) + data[128:]


def _number(data, random, _):
    return _replaced(data, random, MAGIC[random.integers(len(MAGIC))])


def _replaced(data, random, piece):
    at = random.integers(len(data) + 1)
    return data[:at] + piece + data[at + len(piece):]


def _inserted(data, random, _):
    at = random.integers(len(data) + 1)
    return data[:at] + random.bytes(random.integers(1, 40)) + data[at:]


def _removed(data, random, _):
    at = random.integers(len(data) + 1)
    return data[:at] + data[at + random.integers(1, 40):]


def _pieces_exchanged(data, random, _):
    a, b, c = sorted(random.integers(len(data) + 1, size=3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def _spliced(data, random, others):
    other = others[random.integers(len(others))]
    return data[:random.integers(len(data) + 1)] + other[random.integers(len(other) + 1):]


def _repeated(data, random, _):
    a, b = sorted(random.integers(len(data) + 1, size=2))
    return data[:b] + data[a:b] * int(random.integers(1, 4)) + data[b:]


MISHAPS = [_cut, _bit, _bit, _bit_at_the_front, _bit_at_the_front, _number, _inserted, _removed, _pieces_exchanged,
           _spliced, _repeated]


def _one_part_damaged(data, random, others):
    """A zip file whose sums are right and one of whose parts is not: what a reader sees behind the unpacking."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = sorted(parts)[random.integers(len(parts))]
    parts[name] = MISHAPS[random.integers(len(MISHAPS))](parts[name], random, others)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if random.random() < 0.3 else zipfile.ZIP_STORED) as archive:
        for each, content in parts.items():
            archive.writestr(each, content)
    return buffer.getvalue()


def _with_sums_of_png(data):
    """The PNG with the right checksum in every chunk, as far as its chunks can be found."""
    at, mended = 8, data[:8]
    while at + 12 <= len(data):
        length = struct.unpack(">I", data[at:at + 4])[0]
        chunk = data[at + 4:at + 8 + length]
        mended += data[at:at + 4] + chunk + struct.pack(">I", zlib.crc32(chunk))
        at += 12 + length
    return mended + data[at:]


# ---------------------------------------------------------------------------------------------------------- the law

def _is_photo(photo):
    return photo.mode == "RGB" and 0 < photo.width * photo.height <= 64_000_000 and len(photo.tobytes()) > 0


def _is_map(saved):
    if isinstance(saved, ColouredMap):
        return saved.rgb.dtype == np.uint8 and saved.rgb.shape[2] == 3
    return isinstance(saved, SavedMap) and saved.values.dim() == 3 and bool(saved.values.isfinite().all())


def _is_state(state):
    return all(isinstance(name, str) and value.numel() >= 0 for name, value in state.items())


KINDS = {   # kind -> (what makes whole files, [(reader, is its result valid?)])
    "images": (images, [(open_photo, _is_photo)]),
    "maps": (maps, [(read_map, _is_map)]),
    "weights": (weights, [(read_state_dict, _is_state), (read_checkpoint, _is_state)]),
}


def breach(reader, is_valid, path):
    """How a reader breaks the law on one file, in words; or ""."""
    started, before = time.monotonic(), peak()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            wrong = "" if is_valid(reader(path)) else "the result is not valid"
        except (ValueError, OSError) as error:
            wrong = _breach_of(str(error), path)
        except Exception as error:
            wrong = f"raised {type(error).__name__}: {error}"
    wrong = wrong or next(filter(None, (_breach_of(str(one.message), path) for one in said)), "")
    if not wrong and time.monotonic() - started > SECONDS:
        wrong = f"took {time.monotonic() - started:.0f} seconds"
    return wrong or (f"took {(peak() - before) >> 20} MiB" if peak() - before > BYTES else "")


def _breach_of(message, path):
    if not message.isprintable():
        return f"said what cannot be printed in one line: {message!r}"
    return "" if shown(path) in message else f"did not name the file: {message!r}"


def peak():
    """The most memory that this process has had, in bytes; 0 where the system does not say."""
    try:
        import resource
    except ImportError:         # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def files(kind, random):
    """Damaged files of one kind, (ending, bytes), without end."""
    whole = KINDS[kind][0]()
    names, contents = list(whole), list(whole.values())
    while True:
        chosen = random.integers(len(names))
        yield Path(names[chosen]).suffix, damaged(contents[chosen], random, contents)


def broken(kind, count, seed, folder):
    """Try `count` damaged files of a kind: [(path, what was wrong)]. The name of the file holds what turns a line."""
    found = []
    for number, (ending, data) in zip(range(count), files(kind, np.random.default_rng(seed))):
        path = folder / f"{kind} \u202e{seed}-{number}{ending}"
        path.write_bytes(data)
        wrongs = [breach(reader, is_valid, path) for reader, is_valid in KINDS[kind][1]]
        if any(wrongs):
            found.append((path, "; ".join(filter(None, wrongs))))
        else:
            path.unlink()
    return found


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[2],
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: the time")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    options = parser.parse_args()
    folder, end = Path(tempfile.mkdtemp(prefix="minixai-fuzz-")), time.monotonic() + 60 * options.minutes
    seed, tried, found = options.seed, 0, 0
    while time.monotonic() < end:
        for kind in options.kinds:
            for path, wrong in broken(kind, 50, seed, folder):
                found += 1
                print(f"{ascii(str(path))}: {wrong}", flush=True)
            tried += 50
        seed += 1
    print(f"{tried} files, seeds {options.seed} to {seed - 1}: {found} break the law; peak memory {peak() >> 20} MiB")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
