"""A few hundred damaged files of every kind keep the law of tests/fuzz.py, and the law is one that can be broken."""
import warnings
from itertools import islice

import numpy as np
import pytest

from tests import fuzz


@pytest.mark.parametrize("kind, count", [("images", 250), ("maps", 150), ("weights", 80)])
def test_damaged_files_are_read_or_refused_in_one_line_that_names_them(kind, count, tmp_path):
    assert fuzz.broken(kind, count, seed=0, folder=tmp_path) == []


@pytest.mark.filterwarnings("ignore:.*more than one frame")
def test_undamaged_files_are_read(tmp_path):
    for whole, readers in fuzz.KINDS.values():
        for name, data in whole().items():
            path = tmp_path / name
            path.write_bytes(data)
            assert readers[-1][1](readers[-1][0](path))


def test_the_seed_decides_the_files():
    one, same, other = (list(islice(fuzz.files("images", np.random.default_rng(seed)), 20)) for seed in (1, 1, 2))
    assert one == same and one != other


def _raises(error):
    def read(path):
        raise error
    return read


def _warns(path):
    warnings.warn("of no file", stacklevel=2)


@pytest.mark.parametrize("reader, wrong", [
    (_raises(TypeError("x")), "raised TypeError"), (_raises(ValueError("bad")), "did not name"),
    (_raises(ValueError("photo.png:\nbad")), "cannot be printed"), (lambda path: path, "not valid"),
    (_warns, "of no file"), (lambda path: None, "")])
def test_the_law_is_broken_by(reader, wrong, tmp_path):
    assert wrong in fuzz.breach(reader, lambda result: result is None, tmp_path / "photo.png")
    if not wrong:
        assert fuzz.breach(reader, lambda result: result is None, tmp_path / "photo.png") == ""


def test_what_takes_long_breaks_it_too(monkeypatch, tmp_path):
    monkeypatch.setattr(fuzz, "SECONDS", -1)
    assert "took" in fuzz.breach(lambda path: None, lambda result: True, tmp_path / "photo.png")
