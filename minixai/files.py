"""Files that a user names: how a name is printed, what may be opened, and what went wrong, in one line."""
import os
import stat

KINDS = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a FIFO"), (stat.S_ISCHR, "a device"),
         (stat.S_ISBLK, "a device"), (stat.S_ISSOCK, "a socket"))


def shown(path):
    """A path as text that can be printed: one line, with escapes for what a terminal cannot show or would obey."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode()
                   for letter in str(path))


def must_be_regular(path):
    """OSError unless `path` leads to a regular file. Nothing is opened: a FIFO would wait for a writer, a device may
    give bytes without end. The message is one line that begins with the file's name."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        raise one_line(path, error) from None
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in KINDS if is_kind(mode)), "something else")
        raise OSError(f"{shown(path)}: {kind}, not a file")


def opened(path):
    """A regular file, open to read bytes; OSError as in must_be_regular."""
    must_be_regular(path)
    try:
        return open(path, "rb")
    except OSError as error:
        raise one_line(path, error) from None


def one_line(path, error):
    """The same error with a message of one line: the file's name, and why. A ValueError, for a name that no file can
    have, becomes an OSError."""
    kind = type(error) if isinstance(error, OSError) else OSError
    return kind(f"{shown(path)}: {why(error)}")


def why(error):
    """What an error says, without the number and the path that the system's errors carry."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, PermissionError):
        return "no permission"
    return shown(getattr(error, "strerror", None) or error)
