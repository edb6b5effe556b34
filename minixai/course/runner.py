"""What runs students' functions: a process that has torch and the inputs, and nothing of this library.

    python -I runner.py        reads one request a line, forks a child for each, answers when the child has ended

The parent imports torch once and never runs a line of a student's. A child runs one function of one file on every
pass, within limits, writes what it gave to a file and ends; whatever it has started is ended with it. No expected value
is in any of these processes. See grade.py for what all this does not protect against.
"""
import ctypes
import errno
import importlib.abc
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

MARGIN = 2 * 2**30          # bytes of address space that torch itself takes, on top of what a function may
WHOLE_RESULT = 2**23        # bytes; the largest expected one has some thousands
SUBREAPER = 36              # prctl: processes that lose their parent become ours, not init's


class NoLibrary(importlib.abc.MetaPathFinder):
    """`import minixai` fails here: the stages to be written are in it."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "minixai":
            raise ImportError("minixai cannot be imported while it is graded")


def main():
    """Answer requests until the input ends."""
    import numpy  # noqa: F401  before the first fork: no child pays for them
    import torch
    torch.set_num_threads(1)
    sys.meta_path.insert(0, NoLibrary())
    _adopt_orphans()
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


def answer(request):
    """Run one request in a child of its own: {"ending": how it ended, or ""}."""
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _in_child(request)
    ending = _wait(child, started + request["wall_seconds"])
    _end_children()
    return {"ending": ending, "seconds": time.monotonic() - started}


def _wait(child, until):
    while time.monotonic() < until:
        pid, status, used = os.wait4(child, os.WNOHANG)
        if pid:
            return _ending(os.waitstatus_to_exitcode(status))
        time.sleep(0.005)
    _end_group(child)
    os.waitpid(child, 0)
    return "it was stopped: it did not come to an end in time"


def _ending(code):
    """How a child ended, in words; "" if it came to its end."""
    if code == 0:
        return ""
    said = {-signal.SIGXCPU: "too much processor time (an endless loop?)", -signal.SIGKILL: "killed by the system, "
            "for its memory or its processor time", -signal.SIGXFSZ: "it printed or wrote too much"}
    if code in said:
        return f"it was stopped: {said[code]}"
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    return f"it ended its process {how}, and gave nothing"


def _end_children():
    """End everything that the child has left behind, in its process group or out of it."""
    until = time.monotonic() + 2
    while time.monotonic() < until:
        for pid in _children():
            _end_group(pid)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.005)


def _children():
    """Process ids of our own children, from /proc; none where there is no /proc."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(after_name[1]) == os.getpid():
            yield int(stat.parent.name)


def _end_group(pid):
    for end in (os.killpg, os.kill):
        try:
            end(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


def _adopt_orphans():
    try:
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError):
        pass            # not Linux: a process that leaves its group then outlives its submission


def _in_child(request):
    """Never returns. Nothing of the parent's input and output is open here."""
    code = 1
    try:
        os.setsid()
        os.chdir(request["folder"])
        nothing = os.open(os.devnull, os.O_RDONLY)
        printed = os.open(request["printed"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for ours, theirs in ((nothing, 0), (printed, 1), (printed, 2)):
            os.dup2(ours, theirs)
        limit(request)
        run(request)
        sys.stdout.flush()
        code = 0
    except OSError as problem:
        code = 0 if problem.errno == errno.EPIPE else 1
    finally:
        os._exit(code)


def limit(request):
    """What a child may take. Limits are inherited by whatever it starts."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)       # Python ignores it: a flood would be an OSError to be caught
    memory, seconds = MARGIN + request["memory"], request["seconds"]
    for what, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, request["file_size"]),
                       (resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, 64)):
        resource.setrlimit(what, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    _, most = resource.getrlimit(resource.RLIMIT_NPROC)     # counts all of the user's; root is not bound by it
    if most == resource.RLIM_INFINITY or most > 4096:
        resource.setrlimit(resource.RLIMIT_NPROC, (4096, 4096))


def run(request):
    """Load the file, run its function on every pass, and write what came out, or why nothing did."""
    result = {"loaded": False}
    try:
        names = {"__name__": "exercise", "__file__": request["submission"]}
        exec(compile(Path(request["submission"]).read_text(encoding="utf-8-sig"), request["submission"], "exec"), names)
        Path(request["result"] + ".loaded").touch()
        result = {"loaded": True, **_of_every_pass(names.get(request["function"]), request)}
    except BaseException as problem:        # SystemExit and KeyboardInterrupt too
        result["problem"] = _one_line(problem)
    _write(request["result"], result)


def _of_every_pass(function, request):
    import numpy as np
    if not callable(function):
        return {"problem": "the function is not in the file: was it renamed?"}
    passes, arrays = [], {}
    with np.load(request["inputs"], allow_pickle=False) as file:
        inputs = dict(file)
    for number, parameters in enumerate(request["parameters"]):
        given = {name: _argument(inputs[f"{number}/{request['function']}.{name}"], request["of_numpy"])
                 for name in parameters}
        said, values = _one_pass(function, given)
        if values is not None:
            arrays[str(number)] = values
        said["changed"] = [name for name, value in given.items() if hasattr(value, "shape") and not np.array_equal(
            np.asarray(value), inputs[f"{number}/{request['function']}.{name}"])]
        passes.append(said)
    return {"passes": passes, "arrays": arrays}


def _one_pass(function, given):
    """({"problem" or "tensor"}, array or None)."""
    import numpy as np
    import torch
    try:
        value = function(**given)
    except NotImplementedError as problem:
        return {"problem": f"not written yet ({problem})" if str(problem) else "not written yet"}, None
    except BaseException as problem:
        return {"problem": f"it stops with {_one_line(problem)}"}, None
    tensor = isinstance(value, torch.Tensor)
    if not tensor and type(value) is not np.ndarray:
        returned = "nothing (is there a return?)" if value is None else f"a {type(value).__name__}"
        return {"problem": f"it returns {returned}"}, None
    if value.nbytes > WHOLE_RESULT:
        return {"problem": f"it returns {value.nbytes} bytes, of the shape {tuple(value.shape)}"}, None
    try:
        array = np.ascontiguousarray(value.detach().cpu().numpy() if tensor else value)
    except (TypeError, RuntimeError) as problem:
        return {"problem": f"what it returns cannot be read: {_one_line(problem)}"}, None
    if array.dtype.kind not in "fiub":
        return {"problem": f"wrong type of numbers: {array.dtype}"}, None
    return {"tensor": tensor, "dtype": array.dtype.str, "shape": list(np.shape(value))}, array.tobytes()


def _argument(array, of_numpy):
    import torch
    if array.ndim == 0 or array.dtype.kind == "i" and array.ndim == 1:     # a layer, a share; a grid, a size
        return tuple(array.tolist()) if array.ndim else array.item()
    return array.copy() if of_numpy else torch.from_numpy(array.copy())


def _write(path, result):
    """One line of JSON, then the bytes of the arrays, one pass after the other; the file has its name once whole."""
    arrays = result.pop("arrays", {})
    for number, said in enumerate(result.get("passes", [])):
        said["bytes"] = len(arrays.get(str(number), b""))
    with open(f"{path}.unfinished", "wb") as file:
        file.write(json.dumps(result).encode() + b"\n")
        for number in range(len(result.get("passes", []))):
            file.write(arrays.get(str(number), b""))
    os.replace(f"{path}.unfinished", path)


def _one_line(problem):
    try:
        text = str(problem).strip().splitlines()
    except BaseException:       # a student's own exception may do anything when it is read
        text = []
    frame, lines = problem.__traceback__, []
    while frame is not None:
        lines += [frame.tb_lineno] if frame.tb_frame.f_globals.get("__name__") == "exercise" else []
        frame = frame.tb_next
    where = f" (line {lines[-1]})" if lines else ""
    return f"{type(problem).__name__}: {text[0] if text else ''}"[:300] + where


if __name__ == "__main__":
    main()
