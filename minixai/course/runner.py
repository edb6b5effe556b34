"""What runs in a student's process: the student's functions on given inputs, and nothing else of the library.

    python -I runner.py SUBMISSION INPUTS RESULTS [FUNCTION …]

It reads a pickle-free .npz of inputs, writes one .npz for each function and pass as soon as it is there, and knows no
expected value. The library's own stages cannot be imported here by accident; see grade.py for what that is worth.
"""
import json
import os
import resource
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

MEMORY = 4 * 2**30          # bytes of address space, torch's own included
SECONDS = 20                # of processor time, for the whole submission
FILE_SIZE = 16 * 2**20      # bytes in any one file, printed output included


class NoLibrary(MetaPathFinder):
    """`import minixai` fails here: the stages to be written are in it."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "minixai":
            raise ImportError("minixai cannot be imported while it is graded")


def limit():
    """What this process may take. Limits are inherited by whatever it starts."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE, FILE_SIZE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_NPROC)
    few = 64 if most == resource.RLIM_INFINITY else min(64, most)
    resource.setrlimit(resource.RLIMIT_NPROC, (few, few))      # counts all of the user's; root is not bound by it


def main(submission, inputs, results, *wanted):
    """Run the wanted functions one after the other on every pass."""
    import numpy as np
    import torch
    torch.set_num_threads(1)
    with np.load(inputs, allow_pickle=False) as file:
        arrays = dict(file)
    plan = json.loads(str(arrays.pop("plan")))
    sys.meta_path.insert(0, NoLibrary())
    limit()
    names = {"__name__": "exercise", "__file__": submission}
    exec(compile(Path(submission).read_text(encoding="utf-8"), submission, "exec"), names)
    (Path(results) / "loaded").touch()
    for function, number, parameters in plan:
        if function in wanted:
            result = _one(names.get(function), {parameter: _argument(torch, arrays[f"{number}/{parameter}"], of_numpy)
                                                for parameter, of_numpy in parameters.items()}, torch, np)
            unfinished = Path(results) / "unfinished"
            with open(unfinished, "wb") as file:
                np.savez(file, **result)
            os.replace(unfinished, Path(results) / f"{function}.{number}.npz")


def _one(function, arguments, torch, np):
    """{"value": array} or {"error": text}."""
    if not callable(function):
        return {"error": np.array("the function is not in the file")}
    try:
        value = function(**arguments)
    except BaseException as problem:        # SystemExit and KeyboardInterrupt too: they cost this function only
        text = str(problem).splitlines()
        return {"error": np.array(f"{type(problem).__name__}: {text[0] if text else ''}"[:300])}
    if isinstance(value, torch.Tensor):
        return {"value": value.detach().cpu().numpy(), "tensor": np.array(True)}
    if type(value) is np.ndarray and value.dtype.kind in "fiub":
        return {"value": value, "tensor": np.array(False)}
    return {"error": np.array(f"it returns a {type(value).__name__}")}


def _argument(torch, array, of_numpy):
    if array.dtype.kind == "i" and array.ndim < 2:
        return tuple(array.tolist()) if array.ndim else int(array)
    return array.copy() if of_numpy else torch.from_numpy(array.copy())


if __name__ == "__main__":
    main(*sys.argv[1:])
