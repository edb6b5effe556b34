"""How a command ends: whatever happens, with an exit code and at most one line that says why. cli.py has the commands.

Little is imported here at the top: what is imported later can be stopped with one line too.
"""
import io
import os
import signal
import sys
import warnings


class Stopped(KeyboardInterrupt):
    """Ctrl-C, or the system's request to end; its argument is the exit code."""


def main(arguments=None):
    """Run one command; returns the exit code.

    0 done, 1 some images could not be used or a map does not agree or an exercise is not all right, 2 nothing could
    be done, 130, 141 or 143 stopped from outside. MINIXAI_TRACEBACK=1 shows where in the code an error was raised.
    """
    try:
        if arguments is None:       # we are the program, not a function that some other program called
            _catch_signals()
        return _run(arguments)
    except KeyboardInterrupt as stop:
        _say("stopped")
        return stop.args[0] if isinstance(stop, Stopped) else 130
    except BrokenPipeError:         # whoever reads us, `head` say, has read enough
        return 141                  # what a shell reports of a program that a closed pipe ended; it did not finish
    except Exception as error:
        _say(_sentence(error))
        return 2
    finally:
        _drop_what_cannot_be_written()
        if arguments is None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)        # it is done: what is left is Python's own end, where
            signal.signal(signal.SIGTERM, signal.SIG_DFL)       # an exception would be printed as a traceback


def _run(arguments):
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):        # a terminal that knows only ASCII gets \u2026 for an ellipsis
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = lambda message, *_: print(f"note: {_printable(message)}", file=sys.stderr)
    from minixai.cli import parser
    try:
        options = parser().parse_args(arguments)        # --help prints, and leaves by SystemExit
        return _run_no_exit(options)
    finally:
        if sys.stdout is not None:
            sys.stdout.flush()          # a disk that is full says so only now


def _run_no_exit(options):
    try:
        return options.run(options)
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:      # SystemExit of a student's stage, say, whose code is none of ours
        raise RuntimeError(f"{type(error).__name__}: {error}") from error


def _sentence(error):
    """An error in one line. Ours say what is wrong; for others, their type and a way to find out more."""
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
    """Or Python tries once more at its end, and complains."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        except AttributeError:      # None: closed before we began
            pass


def _catch_signals():
    def stop(number, frame):
        signal.signal(number, signal.SIG_DFL)       # a second one does not wait for what the first one lets finish
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
    """Whether a module is being imported. Many a library catches whatever is raised there, and goes on without it."""
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


if __name__ == "__main__":
    sys.exit(main())
