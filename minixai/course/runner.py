"""The process that runs students' functions, for `check` and `grade`. It imports torch and numpy, not this library.

    python -I -S runner.py      the first line of input names the packages' folders; each further line is one run

A run is one function of one file, on every pass. Its folder holds the inputs, and then the results. Expected values are
not in this process: check.py compares later. Each run is a process of its own, inside fence.py. On Linux this process
forks for each run, and never runs a student's code itself. On other systems the run happens in this process, which then
ends.
"""
from __future__ import annotations

import ast
import builtins
import inspect
import json
import os
import runpy
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:           # imported late, when the packages' folders are known
    import numpy as np
    import torch

PACKAGES = {"torch", "numpy", "PIL", "matplotlib", "mpl_toolkits"}
ANSWERS = ("PREDICTION", "EXPLANATION")
LARGEST = 2**22             # bytes of a result; the largest expected result has some thousands
SHOWN = 300                 # characters of a message
FRAMES = 5                  # how many lines of a traceback are reported
FORKS = sys.platform == "linux"
NO_KEYBOARD = ("there is no keyboard here, so input(), breakpoint() and pdb do not work: print the values, or call "
               "your function from a script of your own")
OUT_OF_REACH = "other files, other programs and the network are out of reach here, in check and in grading ({0})"
PROGRAMS = {"os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile",
            "subprocess.Popen", "socket.connect", "socket.bind"}


def main() -> None:
    """Do one run for each line of input, and print its exit code."""
    setup = json.loads(sys.stdin.readline())
    sys.path += setup["packages"]
    import numpy  # noqa: F401  imported before the first fork, so that no run has to do it
    import torch
    torch.set_num_threads(1)
    fence = runpy.run_path(str(Path(__file__).with_name("fence.py")))["close"]
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork() if FORKS else 0
        if child == 0:
            in_a_process_of_its_own(request, setup, fence)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def in_a_process_of_its_own(request: dict, setup: dict, fence: Callable) -> NoReturn:
    """Do one run, write report.json, and end the process. Its input and output are closed before the run."""
    code = 1
    try:
        os.chdir(request["folder"])
        nothing = os.open(os.devnull, os.O_RDONLY)
        printed = os.open("printed", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for ours, theirs in ((nothing, 0), (printed, 1), (printed, 2)):
            os.dup2(ours, theirs)
        os.closerange(3, 256)
        sys.stdin = open(0, encoding="utf-8", closefd=False)
        sys.stdout = sys.stderr = open(1, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)
        for name in ("HOME", "TMPDIR", "MPLCONFIGDIR"):         # where libraries put their files
            os.environ[name] = request["folder"]
        tempfile.tempdir = request["folder"]
        missing = fence(request["folder"], setup["readable"], request["limits"])
        sys.addaudithook(explain_what_is_out_of_reach([request["folder"], os.devnull, *(
            path for path, whole in setup["readable"] if whole)]))
        report = answer(request)
        Path("report.json").write_text(json.dumps({**report, "missing": missing}), encoding="utf-8")
        code = 0
    finally:
        os._exit(code)


def explain_what_is_out_of_reach(folders: list[str]) -> Callable:
    """An audit hook that raises an error with a sentence where the fence would only say "not permitted".

    It works without a fence too, but only against honest files: a hostile file can get around it.
    """
    folders = tuple(os.path.normcase(os.path.realpath(folder)) for folder in folders)

    def hook(event, arguments):
        if event in ("builtins.input", "builtins.breakpoint"):
            raise RuntimeError(NO_KEYBOARD)
        if event in PROGRAMS:
            raise PermissionError(OUT_OF_REACH.format(event))
        if event == "open" and not isinstance(arguments[0], int):
            path = os.path.normcase(os.path.realpath(os.fsdecode(arguments[0])))
            if not path.startswith(folders):
                raise PermissionError(OUT_OF_REACH.format(os.fsdecode(arguments[0])))
    return hook


def answer(request: dict) -> dict:
    """The report on one run. Without a function in the request the file is read, and not run."""
    try:
        source = Path(request["file"]).read_bytes()
        code = compile(source, request["file"], "exec", dont_inherit=True)
        if not request["function"]:
            return {"answers": answers_in(source)}
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        return {"problem": {"kind": "syntax", "line": getattr(problem, "lineno", 0) or 0, "text": syntax(problem)}}
    module = types.ModuleType("exercise")
    module.__dict__.update(__file__=os.path.abspath(request["file"]), __builtins__={
        **vars(builtins), "__import__": import_what_is_there})
    sys.modules["exercise"] = module        # dataclasses and typing look it up there
    try:
        exec(code, module.__dict__)
    except BaseException as problem:        # SystemExit and KeyboardInterrupt too
        return {"problem": {**raised(problem, request["file"]), "loading": True}}
    Path("loaded").touch()
    function = module.__dict__.get(request["function"])
    if not callable(function):
        own = [name for name, value in module.__dict__.items() if getattr(value, "__module__", "") == "exercise"]
        return {"problem": {"kind": "gone", "text": "".join(get_close_matches(request["function"], own, n=1))}}
    return {"passes": list(every_pass(function, request))}


def import_what_is_there(name: str, *how) -> types.ModuleType:
    """`import` for a student's file: only modules that every grader has. Imports inside torch do not use it."""
    top = name.partition(".")[0]
    if top == "minixai":
        raise ImportError("minixai cannot be imported here: it contains the functions to write. Remove the import")
    if top not in PACKAGES | sys.stdlib_module_names:
        raise ModuleNotFoundError(f"{top} cannot be imported in grading: only Python's own modules, torch, numpy, PIL "
                                  "and matplotlib can. Other files of yours are not handed in with this one", name=top)
    return __import__(name, *how)


def every_pass(function: Callable, request: dict) -> Iterator[dict]:
    """The report on each pass, up to the first one that fails. The results are saved as 0.npy, 1.npy, …"""
    import numpy as np
    with np.load("inputs.npz", allow_pickle=False) as file:
        inputs = dict(file)
    os.remove("inputs.npz")
    for number in range(request["passes"]):
        before = {name.partition("/")[2]: value for name, value in inputs.items() if name.startswith(f"{number}/")}
        try:
            inspect.signature(function).bind(**before)
        except (TypeError, ValueError):
            yield {"problem": {"kind": "head", "text": ", ".join(before)}}
            return
        said, array = one_pass(function, before, request["of_numpy"], request["file"])
        if array is not None:
            np.save(f"{number}.npy", array, allow_pickle=False)
        yield said
        if "problem" in said:
            return


def argument(array: np.ndarray, of_numpy: bool) -> torch.Tensor | np.ndarray | tuple | int | float | str:
    """An input in the form that a function gets: a tensor, an array, a tuple or a plain value. It is always a copy."""
    import torch
    if array.ndim == 0 or array.dtype.kind == "i" and array.ndim == 1:     # such as a layer, or a size
        return tuple(array.tolist()) if array.ndim else array.item()
    return array.copy() if of_numpy else torch.from_numpy(array.copy())


def differs(value: Any, before: np.ndarray) -> bool:
    """Whether a function has written into its input. A change of requires_grad does not count."""
    import numpy as np
    import torch
    value = value.detach().numpy() if isinstance(value, torch.Tensor) else value
    return isinstance(value, np.ndarray) and not np.array_equal(value, before)


def one_pass(function: Callable, inputs: dict[str, np.ndarray], of_numpy: bool,
             file: str) -> tuple[dict, np.ndarray | None]:
    """(report, result or None) of one call. inputs: {parameter: array}; they are not changed."""
    given = {name: argument(value, of_numpy) for name, value in inputs.items()}
    try:
        value = function(**given)
        changed = [name for name, after in given.items() if differs(after, inputs[name])]
        said, array = told_of(value)
        return {**said, "changed": changed}, array
    except BaseException as problem:
        return {"problem": raised(problem, file)}, None


def told_of(value: Any) -> tuple[dict, np.ndarray | None]:
    """(report, array or None) of a returned value."""
    import numpy as np
    import torch
    tensor = isinstance(value, torch.Tensor)
    if not tensor and not isinstance(value, np.ndarray):
        what = "nothing (is there a return?)" if value is None else f"a {type(value).__name__}"
        return {"problem": {"kind": "type", "text": what[:SHOWN]}}, None
    size = value.numel() * value.element_size() if tensor else value.nbytes
    if size > LARGEST:
        return {"problem": {"kind": "large", "text": f"{tuple(value.shape)}, {size} bytes"[:SHOWN]}}, None
    array = plain(value) if tensor else np.ascontiguousarray(value)
    if array is None or array.dtype.kind not in "fiub":
        what = f"{value.dtype}, {value.layout}" if tensor and value.layout != torch.strided else str(value.dtype)
        return {"problem": {"kind": "numbers", "text": what[:SHOWN]}}, None
    return {"tensor": tensor, "graph": tensor and value.grad_fn is not None}, array.reshape(value.shape)


def plain(tensor: torch.Tensor) -> np.ndarray | None:
    """A tensor as an array; None if numpy has no such dtype, or if the tensor is sparse or has no data."""
    import numpy as np
    try:
        return np.ascontiguousarray(tensor.detach().cpu().resolve_conj().resolve_neg().numpy())
    except (TypeError, RuntimeError):       # bfloat16, sparse, meta
        return None


def raised(problem: BaseException, file: str) -> dict:
    """The report on an exception. Of its traceback only the lines of the student's file are reported."""
    try:
        text = str(problem).strip().partition("\n")[0]
    except BaseException:       # the __str__ of a student's exception may do anything
        text = ""
    frames, at = [], problem.__traceback__
    while at is not None:
        if at.tb_frame.f_code.co_filename == file:
            frames.append((at.tb_lineno, at.tb_frame.f_code.co_name))
        at = at.tb_next
    return {"kind": "raised", "type": type(problem).__name__[:SHOWN], "text": text[:SHOWN],
            "line": frames[-1][0] if frames else 0, "frames": frames[-FRAMES:]}


def syntax(problem: Exception) -> str:
    """One line about a file that cannot be compiled, with the faulty text."""
    if isinstance(problem, UnicodeError) or "codec can't" in str(problem) or "null bytes" in str(problem):
        return "it is not UTF-8 text; save it as UTF-8"
    if isinstance(problem, SyntaxError) and problem.text:
        return f"{problem.msg}: {problem.text.strip()}"[:SHOWN]
    return (str(getattr(problem, "msg", problem)) or type(problem).__name__)[:SHOWN]


def answers_in(source: bytes) -> dict[str, str]:
    """{"PREDICTION": text, "EXPLANATION": text} of a file's bytes, which are not run. A missing answer is ""."""
    answers = dict.fromkeys(ANSWERS, "")
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            answers |= {target.id: node.value.value.strip() for target in node.targets
                        if isinstance(target, ast.Name) and target.id in ANSWERS}
    return answers


if __name__ == "__main__":
    main()
