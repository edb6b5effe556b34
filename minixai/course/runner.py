"""What runs students' functions, for check and for grade: a process with torch and numpy, and nothing of this library.

    python -I -S runner.py      the first line of its input says where the packages are, each other one asks for a run

A run is one function of one file, on every pass: its inputs lie in the folder of the run, and so does, in the end, what
it gave. No expected value is here; worker.py, which asks, compares. Each run is a process of its own, behind fence.py.
On Linux it is forked from this one, which has torch and never runs a line of a student's; elsewhere it is this process
itself, which ends with it.
"""
import ast
import builtins
import inspect
import json
import os
import runpy
import sys
import tempfile
import types
from difflib import get_close_matches
from pathlib import Path

PACKAGES = {"torch", "numpy", "PIL", "matplotlib", "mpl_toolkits"}
ANSWERS = ("PREDICTION", "EXPLANATION")
LARGEST = 2**22             # bytes of what a function returns; the largest expected one has some thousands
SHOWN = 300                 # characters of a message
FRAMES = 5                  # of the student's own, the last ones
FORKS = sys.platform == "linux"
NO_KEYBOARD = ("there is no keyboard here, so input(), breakpoint() and pdb cannot wait for you: print what you want "
               "to see, or call your function from a script of your own")
OUT_OF_REACH = ("other files, other programs and the network are out of reach here, in check as when it is graded "
                "({0})")
PROGRAMS = {"os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile",
            "subprocess.Popen", "socket.connect", "socket.bind"}


def main():
    """Answer until the input ends: after each run, its exit code."""
    setup = json.loads(sys.stdin.readline())
    sys.path += setup["packages"]
    import numpy  # noqa: F401  before the first fork: no run pays for them
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


def in_a_process_of_its_own(request, setup, fence):
    """Never returns. Nothing of this process's input and output stays open, and no thread outlives the run."""
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
        for name in ("HOME", "TMPDIR", "MPLCONFIGDIR"):         # whoever needs a folder finds this one
            os.environ[name] = request["folder"]
        tempfile.tempdir = request["folder"]
        missing = fence(request["folder"], setup["readable"], request["limits"])
        sys.addaudithook(say_what_is_out_of_reach([request["folder"], os.devnull, *(
            path for path, whole in setup["readable"] if whole)]))
        report = answer(request)
        Path("report.json").write_text(json.dumps({**report, "missing": missing}), encoding="utf-8")
        code = 0
    finally:
        os._exit(code)


def say_what_is_out_of_reach(folders):
    """An audit hook: a sentence where the fence would say "not permitted", and where there is no fence.

    It stops what is done without thinking; a hostile file gets round it.
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


def answer(request):
    """What is to be reported of one run. Without a function the file is read and not run."""
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
    sys.modules["exercise"] = module        # dataclasses and typing look there
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


def import_what_is_there(name, *how):
    """`import` for a student's file: what every grader has. What torch itself imports does not come by here."""
    top = name.partition(".")[0]
    if top == "minixai":
        raise ImportError("minixai cannot be imported here, nor when it is graded: the functions to be written are in "
                          "it. Take the import out")
    if top not in PACKAGES | sys.stdlib_module_names:
        raise ModuleNotFoundError(f"{top} is not there when this is graded: Python's own modules, torch, numpy, PIL "
                                  "and matplotlib are. A file beside this one is not handed in with it", name=top)
    return __import__(name, *how)


def every_pass(function, request):
    """What is to be said of each pass, until one cannot be done; the arrays are saved as 0.npy, 1.npy, …"""
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


def argument(array, of_numpy):
    """An input as its function gets it: a tensor, an array, or a plain value. A copy: it may be written to."""
    import torch
    if array.ndim == 0 or array.dtype.kind == "i" and array.ndim == 1:     # a layer, a share; a grid, a size
        return tuple(array.tolist()) if array.ndim else array.item()
    return array.copy() if of_numpy else torch.from_numpy(array.copy())


def differs(value, before):
    """Whether a function has written into its input. That it now wants a gradient is no difference."""
    import numpy as np
    import torch
    value = value.detach().numpy() if isinstance(value, torch.Tensor) else value
    return isinstance(value, np.ndarray) and not np.array_equal(value, before)


def one_pass(function, inputs, of_numpy, file):
    """(what is to be said, the array or None) of one call. inputs: {parameter: array}, which stay as they are."""
    given = {name: argument(value, of_numpy) for name, value in inputs.items()}
    try:
        value = function(**given)
        changed = [name for name, after in given.items() if differs(after, inputs[name])]
        said, array = told_of(value)
        return {**said, "changed": changed}, array
    except BaseException as problem:
        return {"problem": raised(problem, file)}, None


def told_of(value):
    """(what is to be said, the array or None) of what a function returned."""
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


def plain(tensor):
    """The numbers of a tensor as an array; None if numpy has no such numbers, or if they do not lie in a row."""
    import numpy as np
    try:
        return np.ascontiguousarray(tensor.detach().cpu().resolve_conj().resolve_neg().numpy())
    except (TypeError, RuntimeError):       # bfloat16, sparse, meta
        return None


def raised(problem, file):
    """What is to be said of an exception: only what happened in the student's own lines, the last of them first."""
    try:
        text = str(problem).strip().partition("\n")[0]
    except BaseException:       # a student's own exception may do anything when it is read
        text = ""
    frames, at = [], problem.__traceback__
    while at is not None:
        if at.tb_frame.f_code.co_filename == file:
            frames.append((at.tb_lineno, at.tb_frame.f_code.co_name))
        at = at.tb_next
    return {"kind": "raised", "type": type(problem).__name__[:SHOWN], "text": text[:SHOWN],
            "line": frames[-1][0] if frames else 0, "frames": frames[-FRAMES:]}


def syntax(problem):
    """A SyntaxError in a line, with the text that it is about."""
    if isinstance(problem, UnicodeError) or "codec can't" in str(problem) or "null bytes" in str(problem):
        return "it is no UTF-8 text; save it as UTF-8"
    if isinstance(problem, SyntaxError) and problem.text:
        return f"{problem.msg}: {problem.text.strip()}"[:SHOWN]
    return str(getattr(problem, "msg", problem) or type(problem).__name__)[:SHOWN]


def answers_in(source):
    """{"PREDICTION": text, "EXPLANATION": text} of a file's bytes, which are not run; "" where there is none."""
    answers = dict.fromkeys(ANSWERS, "")
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            answers |= {target.id: node.value.value.strip() for target in node.targets
                        if isinstance(target, ast.Name) and target.id in ANSWERS}
    return answers


if __name__ == "__main__":
    main()
