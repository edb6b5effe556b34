"""Files that a user names: how a name is printed, what may be opened, what went wrong in one line, who may write."""
import os
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:     # Windows
    fcntl = None

KINDS = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a FIFO"), (stat.S_ISCHR, "a device"),
         (stat.S_ISBLK, "a device"), (stat.S_ISSOCK, "a socket"))
LONGEST_LIST = 10_000_000       # bytes of the list of parts in a zip file; in memory it takes some ten times as much
A_PICTURE = 200_000             # bytes


def shown(path: str | PathLike | BaseException) -> str:
    """A path as text that can be printed: one line, with escapes for what a terminal cannot show or would obey."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode()
                   for letter in str(path))


def must_be_regular(path: str | PathLike) -> None:
    """OSError unless `path` leads to a regular file. Nothing is opened: a FIFO would wait for a writer, a device may
    give bytes without end. The message is one line that begins with the file's name."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        raise one_line(path, error) from None
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in KINDS if is_kind(mode)), "something else")
        raise OSError(f"{shown(path)}: {kind}, not a file")


def opened(path: str | PathLike) -> BinaryIO:
    """A regular file, open to read bytes; OSError as in must_be_regular."""
    must_be_regular(path)
    try:
        return open(path, "rb")
    except OSError as error:
        raise one_line(path, error) from None


def one_line(path: str | PathLike, error: Exception) -> OSError:
    """The same error with a message of one line: the file's name, and why. A ValueError, for a name that no file can
    have, becomes an OSError."""
    kind = type(error) if isinstance(error, OSError) else OSError
    return kind(f"{shown(path)}: {why(error)}")


def why(error: Exception) -> str:
    """What an error says, without the number and the path that the system's errors carry."""
    if not getattr(error, "strerror", None):
        return shown(error)
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return "no permission" if isinstance(error, PermissionError) else shown(error.strerror)


def must_take_files(folder: Path) -> None:
    """OSError, in one line that begins with the folder's name, unless a picture can be written into it.

    If the folder is not there yet, its nearest parent is tried. Nothing stays.
    """
    try:
        with tempfile.TemporaryFile(dir=_nearest(folder)) as file:
            file.write(bytes(A_PICTURE))
    except (OSError, ValueError) as error:
        raise one_line(folder, error) from None


def _nearest(folder):
    """The folder itself or, if it is not there, the first of its parents that is."""
    for each in (folder.absolute(), *folder.absolute().parents):
        try:
            os.lstat(each)
            return each
        except FileNotFoundError:
            pass
    raise FileNotFoundError


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make a folder, and hold it until the block ends. Folders that were made and are empty then are removed.

    OSError if they cannot be made, or if another process holds the folder. Where the system has no such locks (Windows,
    some network disks) nothing is held.
    """
    made = [each for each in (folder, *folder.parents) if not os.path.lexists(each)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise one_line(folder, error) from None
    try:
        with _locked(folder):
            yield
    finally:
        for each in made:       # from the inside out
            with suppress(OSError):     # it is not empty
                each.rmdir()


@contextmanager
def _locked(folder):
    """The lock goes with the process, however that ends."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            busy = "another run writes into this folder; wait for it, or use another"
            raise OSError(f"{shown(folder)}: {busy}") from None
        except OSError:         # a disk without locks
            pass
        yield
    finally:
        os.close(descriptor)


def zip_parts(file: BinaryIO) -> list[zipfile.ZipInfo]:
    """The ZipInfo of every part of an open zip file. BadZipFile if it is damaged, ValueError if it lists so many that
    the list alone would fill the memory."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 22 - 65535))        # the end record, and the longest comment that may follow it
    for record in file.read().split(b"PK\5\6")[1:]:
        if int.from_bytes(record[8:12], "little") > LONGEST_LIST:
            raise ValueError("a zip file with too many parts")
    with zipfile.ZipFile(file) as archive:
        return archive.infolist()
