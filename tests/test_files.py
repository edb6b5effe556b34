"""Names are printed on one line, and only regular files are opened."""
import errno
import io
import os
import socket
import zipfile

import pytest

from minixai import files
from minixai.files import alone_in, must_be_regular, must_take_files, opened, shown, zip_parts


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


def test_what_the_system_refuses_is_said_in_its_words_and_with_its_kind_of_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"bytes")
    for error, cause in ((PermissionError(errno.EACCES, "Permission denied", "elsewhere"), "no permission"),
                         (OSError(errno.EIO, "Input/output error", "elsewhere"), "Input/output error")):
        def refuse(*_, error=error):
            raise error
        monkeypatch.setattr("builtins.open", refuse)
        with pytest.raises(type(error)) as found:
            opened(tmp_path / "file")
        assert str(found.value) == f"{tmp_path}/file: {cause}"
    with pytest.raises(FileNotFoundError, match="none: no such file"):
        must_be_regular(tmp_path / "none")


@pytest.mark.parametrize("system", ["no locks", "a disk without locks"])
def test_where_there_are_no_locks_nothing_is_held(system, tmp_path, monkeypatch):
    if system == "no locks":
        monkeypatch.setattr(files, "fcntl", None)
    else:
        def refuse(*_):
            raise OSError(errno.ENOLCK, "No locks available")
        monkeypatch.setattr(files.fcntl, "flock", refuse)
    with alone_in(tmp_path), alone_in(tmp_path):
        (tmp_path / "file").write_text("written")


def test_a_folder_takes_files_if_a_large_one_fits(tmp_path, monkeypatch):
    class Disk(io.BytesIO):
        def write(self, data):
            if len(data) > 100_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    must_take_files(tmp_path / "not" / "yet")
    monkeypatch.setattr("tempfile.TemporaryFile", lambda dir: Disk())
    with pytest.raises(OSError, match="yet: No space left on device"):
        must_take_files(tmp_path / "not" / "yet")
    assert not list(tmp_path.iterdir())


def test_the_list_of_a_zip_file_is_found_behind_the_longest_comment(monkeypatch):
    def with_comment(length):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("one", bytes(70_000))
            archive.writestr("two", b"2")
            archive.comment = b"c" * length
        return file

    for length in (0, 65535):
        assert [part.filename for part in zip_parts(with_comment(length))] == ["one", "two"]
    monkeypatch.setattr(files, "LONGEST_LIST", 97)      # two entries of 46 bytes, with names of 3
    with pytest.raises(ValueError, match="too many parts"):
        zip_parts(with_comment(65535))
    monkeypatch.setattr(files, "LONGEST_LIST", 98)
    assert len(zip_parts(with_comment(65535))) == 2
