"""How a command ends: always with an exit code, and at most one line that says why. cli/ has the commands.

Little is imported at the top. A Ctrl-C while torch is being imported ends in one line too.
"""
import io
import os
import signal
import sys
import warnings


class Stopped(KeyboardInterrupt):
    """Ctrl-C, or the system's request to end; its argument is the exit code."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code.

    arguments: default those of the process.
    0: done. 1: some images could not be used, or a map does not agree, or an exercise is not all right. 2: nothing
    could be done. 130, 141, 143: stopped from outside. MINIXAI_TRACEBACK=1 shows where an error was raised.
    """
    try:
        if arguments is None:       # this is the program, and not a function that another program called
            _catch_signals()
        return _run(arguments)
    except KeyboardInterrupt as stop:
        _say("stopped")
        return stop.args[0] if isinstance(stop, Stopped) else 130
    except BrokenPipeError:         # the reader, such as `head`, has read enough
        return 141                  # what a shell reports for a program that a closed pipe ended
    except Exception as error:
        _say(_sentence(error))
        return 2
    finally:
        _drop_what_cannot_be_written()
        if arguments is None:
            # Only Python's own end is left. An exception there would be printed as a traceback.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _run(arguments):
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):        # a terminal that knows only ASCII gets \u2026 for …
            stream.reconfigure(errors="backslashreplace")
    from minixai.cli import parser
    with warnings.catch_warnings():         # another program may call main, and goes on
        warnings.showwarning = lambda message, *_: print(f"note: {_printable(message)}", file=sys.stderr)
        try:
            options = parser().parse_args(arguments)        # --help prints, and leaves by SystemExit
            return _run_no_exit(options)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()          # a full disk may raise only here


def _run_no_exit(options):
    try:
        return options.run(options)
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:      # such as SystemExit of a student's stage, whose exit code is not ours
        raise RuntimeError(f"{type(error).__name__}: {error}") from error


def _sentence(error):
    """An error in one line: our own message, or the type of another error and how to find out more."""
    if os.environ.get("MINIXAI_TRACEBACK"):
        import traceback
        traceback.print_exception(error)
    # ImageError is a ValueError; a student's unwritten stage is NotImplemented.
    if isinstance(error, ValueError | TypeError | OSError | NotImplementedError) and str(error):
        return _printable(error)
    return f"{type(error).__name__}: {_printable(error)}; MINIXAI_TRACEBACK=1 shows where"


def _printable(text):
    from minixai.files import shown
    return shown(text)


def _say(sentence):
    try:
        print(f"minixai: {sentence}", file=sys.stderr)
    except OSError:         # nobody can be told
        pass


def _drop_what_cannot_be_written():
    """Otherwise Python would try to write it again at its end, and print an error."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        except AttributeError:      # None: closed before we began
            pass


def _catch_signals():
    def stop(number, frame):
        signal.signal(number, signal.SIG_DFL)       # a second signal ends the process at once
        if _importing(frame):
            leave(128 + number)
        raise Stopped(128 + number)

    def leave(code):
        _say("stopped")
        os._exit(code)

    def not_raised(unraisable):         # Python cannot raise in a destructor, and would go on
        if isinstance(unraisable.exc_value, Stopped):
            leave(unraisable.exc_value.args[0])
        sys.__unraisablehook__(unraisable)

    sys.unraisablehook = not_raised
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


def _importing(frame):
    """Whether a module is being imported. Many libraries catch every exception there, and go on without the module."""
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


if __name__ == "__main__":
    sys.exit(main())
