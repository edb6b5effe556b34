"""Names are printed on one line, and only regular files are opened."""
import os
import socket

import pytest

from minixai.files import must_be_regular, opened, shown


@pytest.mark.parametrize("name, printed", [
    ("cat.png", "cat.png"), ("Käse 猫.png", "Käse 猫.png"), ("a\nb", r"a\nb"), ("\x1b[31mred", r"\x1b[31mred"),
    (os.fsdecode(b"caf\xe9"), r"caf\udce9"), ("\u202egnp.exe", r"\u202egnp.exe"), ("a\tb\r", r"a\tb\r")])
def test_a_name_is_printed_as_one_line_that_no_terminal_obeys(name, printed):
    assert shown(name) == printed
    shown(name).encode("utf-8")


def _fifo(path):
    os.mkfifo(path)


def _socket(path):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


def _loop(path):
    path.symlink_to(path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
@pytest.mark.parametrize("make, cause", [
    (os.mkdir, "a folder, not a file"), (_fifo, "a FIFO, not a file"), (_socket, "a socket, not a file"),
    (lambda path: path.symlink_to("/dev/zero"), "a device, not a file"), (_loop, "symbolic links"),
    (lambda path: None, "no such file")])
def test_what_is_no_regular_file_is_refused_unopened(make, cause, tmp_path, monkeypatch):
    path = tmp_path / "a\nb"
    monkeypatch.chdir(tmp_path)     # the address of a socket may not be long
    make(path.relative_to(tmp_path))
    monkeypatch.setattr("builtins.open", lambda *_: pytest.fail("it was opened"))
    for read in (must_be_regular, opened):
        with pytest.raises(OSError, match=cause) as error:
            read(path)
        assert str(error.value).startswith(f"{tmp_path}/a\\nb: ") and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "\ud800"], ids=["too long", "zero byte", "no character"])
def test_a_name_that_no_file_can_have_is_one_line_too(name):
    with pytest.raises(OSError) as error:
        opened(name)
    assert str(error.value).startswith(shown(name) + ": ") and str(error.value).isprintable()


def test_a_regular_file_is_opened_also_through_a_link(tmp_path):
    (tmp_path / "file").write_bytes(b"bytes")
    with opened(tmp_path / "file") as file:
        assert file.read() == b"bytes"
    if os.name != "nt":
        (tmp_path / "link").symlink_to(tmp_path / "file")
        must_be_regular(tmp_path / "link")
