"""python -m tests.mutants [PLACE ...]: which changes to the library's own code does no test notice?

Each mutant is the library with one small mistake in it: `<` for `<=`, `+` for `-`, a constant one too large, a
condition negated, `return None`, a keyword argument or a statement left out. Strings, annotations and messages of
errors are not changed. The tests that run the changed line are run on the mutant, up to the first that fails. A mutant
that no test notices has survived: a test is missing, or the code is not needed.

All this happens in a copy of the repository in a temporary folder. One process imports torch and the other libraries,
and forks for each mutant; it needs a system with os.fork (Linux, macOS). In the fork, an import hook loads the changed
module. The file on disk stays as it is, so `inspect.getsource` shows the unchanged text, and a test that only quotes
the source kills nothing. A test that starts another Python sees no mutant either. Such tests are marked slow.

First one pass under `coverage` (`pip install -e .[mutants]`) measures which tests run which lines, and how long they
take. The result is kept in the system's temporary folder until the library or the test file changes.

tests/mutants_known.txt lists the survivors that have the same effect as the original. An entry is the line as printed
for a survivor, then `||` and the reason. These mutants do not count.
"""
import argparse
import ast
import copy
import faulthandler
import gc
import hashlib
import importlib
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from functools import partial
from importlib.machinery import PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path

import pytest

PACKAGE = "minixai"
KNOWN = "tests/mutants_known.txt"
NOT_COPIED = (".git", ".venv", "__pycache__", ".*_cache", "build", "dist", "*.egg-info", "minixai-out")
IMPORTED = ("torch", "torch.distributed.tensor", "numpy", "PIL.Image", "matplotlib.pyplot", "coverage")   # by the tests
STARTING = 0.1              # seconds until the first test of a file runs
IMPORT_TIMES = 8            # what a module defines when it is imported is noticed anywhere: more seconds to look for it
SECONDS, TIMES = 5, 10      # a test has 5 s and 10 times what it takes without a mutant
# Its signals come faster than a library whose lines are counted gets on: it would not end.
NEVER_RUN = "test_ctrl_c_in_the_middle_leaves_the_model_as_it_was"


# ---------------------------------------------------------------- the mutants of one file

@dataclass
class Mutant:
    path: str           # from the root of the repository
    line: int
    function: str       # qualified name of the function or class around it; "" at the top level
    before: str
    after: str
    lines: range        # a test that runs one of them can notice: those of the statement without its body
    imported: bool      # do they run when the module is imported?
    tree: ast.Module    # the unchanged file
    change: partial     # the call that changes the tree

    @property
    def key(self):
        return self.path, self.function, self.before, self.after

    def __str__(self):
        return f"{self.path}:{self.line} {self.function} || {self.before} || {self.after}"


OTHER = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.MatMult: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}
NOT_CHANGED = ("annotation", "returns", "exc", "cause", "msg")      # fields of the syntax tree
LEFT_OUT = (ast.Raise, ast.Assert, ast.AugAssign, ast.Break, ast.Continue, ast.Delete)
WEAKER = (ast.BinOp, ast.BoolOp, ast.Compare, ast.IfExp)            # need brackets where a sign or `not` stood
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def mutants_of(path, root):
    """Every mutant of one file, in the order of its lines."""
    source = (root / path).read_text(encoding="utf-8")
    tree = ast.parse(source)

    def find(node, function, lines, imported):
        for put, child, field in children(node):
            if field in NOT_CHANGED or isinstance(child, ast.JoinedStr):
                continue
            inner = function, statement_lines(child) if isinstance(child, ast.stmt) else lines, imported
            if field == "body" and isinstance(node, (*FUNCTION, ast.ClassDef)):
                inner = f"{function}.{node.name}".lstrip("."), inner[1], imported and not isinstance(node, FUNCTION)
            if field == "args" and isinstance(node, FUNCTION):      # who calls the function notices its defaults
                inner = function, range(node.body[0].lineno, node.end_lineno + 1), False
            for new in replacements(child, node, field):
                before, after = shown(source, child, new)
                yield Mutant(path, child.lineno, inner[0], before, after, *inner[1:], tree, partial(put, new))
            if not (isinstance(child, ast.stmt) and ast.unparse(child).startswith(("__all__ =", "if __name__ =="))):
                yield from find(child, *inner)

    return sorted(find(tree, "", None, True), key=lambda mutant: mutant.line)


def children(node):
    """(put, child, field) of each node below this one; put(new) replaces the child."""
    for field, value in ast.iter_fields(node):
        if isinstance(value, list):
            yield from ((partial(value.__setitem__, i), child, field)
                        for i, child in enumerate(value) if isinstance(child, ast.AST))
        elif isinstance(value, ast.AST):
            yield partial(setattr, node, field), value, field


def statement_lines(statement):
    body = getattr(statement, "body", None)
    return range(statement.lineno, max(statement.lineno, body[0].lineno - 1 if body else statement.end_lineno) + 1)


def replacements(node, parent, field):
    """The nodes that may take the place of this one, each with one mistake."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
        yield ast.Constant(not node.value if isinstance(node.value, bool) else node.value + 1)
    elif isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            yield changed(node, ops=[*node.ops[:i], OTHER[type(op)](), *node.ops[i + 1:]])
    elif isinstance(node, (ast.BinOp, ast.BoolOp, ast.AugAssign)):
        yield changed(node, op=OTHER[type(node.op)]())
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Call):
        for i in range(len(node.keywords)):
            yield changed(node, keywords=node.keywords[:i] + node.keywords[i + 1:])
    elif isinstance(node, ast.Return) and node.value and ast.unparse(node.value) != "None":
        yield ast.Return(ast.Constant(None))
    if field in ("test", "ifs") and not isinstance(parent, ast.Assert) and not is_negated_above(node):
        yield ast.UnaryOp(ast.Not(), node)
    if isinstance(node, LEFT_OUT) or is_call(node) or is_stored_in_an_object(node):
        yield ast.Pass()


def is_negated_above(test):
    """Is the opposite of this condition already among the mutants?"""
    return isinstance(test, (ast.UnaryOp, ast.Constant)) or (
        isinstance(test, ast.Compare) and not isinstance(test.ops[0], (ast.Lt, ast.LtE, ast.Gt, ast.GtE)))


def is_call(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)


def is_stored_in_an_object(node):
    """`a.b = c` and `a[b] = c`; without `a = c`, a mere name is missing, which every test notices."""
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], (ast.Attribute, ast.Subscript))


def changed(node, **fields):
    new = copy.copy(node)
    vars(new).update(fields)
    return new


def shown(source, old, new):
    """The lines of a node as they are, and with the new one in its place; each written as one line."""
    lines = [line.encode() for line in source.splitlines()[old.lineno - 1:old.end_lineno]]
    text = ast.unparse(new)
    if isinstance(old, ast.UnaryOp) and isinstance(new, WEAKER) or isinstance(getattr(old, "op", None), ast.Pow):
        text = f"({text})"
    after = lines[0][:old.col_offset] + text.encode() + lines[-1][old.end_col_offset:]
    return [" ".join(text.decode().split()) for text in (b" ".join(lines), after)]


# ---------------------------------------------------------------- what runs in a process of its own

class Hook(SourceFileLoader):
    """Finds and loads the one changed module."""

    def __init__(self, mutant, root):
        super().__init__(".".join(Path(mutant.path).with_suffix("").parts).removesuffix(".__init__"),
                         str(root / mutant.path))
        mutant.change()
        self.code = compile(ast.fix_missing_locations(mutant.tree), self.path, "exec")

    def find_spec(self, name, path=None, target=None):
        return spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, name):
        return self.code


class Tests:
    """A plugin of pytest: runs the chosen tests in the chosen order, and notes what fails.

    A test that the measuring pass did not see runs too: a mutant can change the names of tests.
    """

    def __init__(self, chosen=(), left_out=(), seconds=None):
        self.order, self.left_out = {test: i for i, test in enumerate(chosen)}, {*left_out} - {*chosen}
        self.seconds = seconds or {}
        self.failed = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        kept = [item for item in items if item.nodeid not in self.left_out]
        items[:] = sorted(kept, key=lambda item: self.order.get(item.nodeid, len(self.order)))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item):
        give(self.seconds.get(item.nodeid, 6))

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_collectreport(self, report):
        if report.failed:
            self.failed.append(report.nodeid)


class Contexts(Tests):
    """Notes how long each test takes, and tells coverage which one is running.

    "" stands for what the tests of a file share: imports and wider fixtures. The seconds are those of the processor,
    since a busy machine makes others longer.
    """

    def __init__(self, coverage):
        super().__init__()
        self.switch, self.test = coverage.switch_context, ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        for name, module in [*sys.modules.items()]:
            if name.split(".")[0] == PACKAGE:
                for value in [*vars(module).values()]:      # or only the first test would be seen to run what is cached
                    getattr(value, "cache_clear", int)() if callable(value) else None
        self.test, start = item.nodeid, sum(os.times()[:4])
        self.switch(self.test)
        result = yield
        self.switch("")
        self.seconds[self.test] = sum(os.times()[:4]) - start
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        self.switch(self.test if fixturedef.scope == "function" else "")
        try:
            return (yield)
        finally:
            self.switch(self.test)


def give(seconds):
    """End this process, unless it calls this again in time: that of the processor, or 10 times as long on the clock."""
    limit = SECONDS + TIMES * seconds
    signal.setitimer(signal.ITIMER_PROF, limit)
    faulthandler.dump_traceback_later(10 * limit, exit=True)


def run_pytest(file, plugin, folder, options):
    give(10)
    return pytest.main([file, "-x" if plugin.order else "-q", "--tb=no", "-k", f"not {NEVER_RUN}", "--disable-warnings",
                        "-p", "no:cacheprovider", "-p", "no:faulthandler", f"--basetemp={folder}",
                        *["--slow"] * options.slow], plugins=[plugin])


def measure(file, folder, options):
    """Seconds of each test of a file, and for every line of the library the numbers of the tests that run it."""
    from coverage import Coverage
    counted = Coverage(data_file=None, config_file=False, include=[f"{options.copy / PACKAGE}/*"])
    plugin = Contexts(counted)
    counted.start()
    code = run_pytest(file, plugin, folder, options)
    counted.stop()
    tests = {test: seconds for test, seconds in sorted(plugin.seconds.items()) if test not in plugin.failed}
    number = {test: i for i, test in enumerate(tests)} | {"": -1}
    lines = {}
    for path in counted.get_data().measured_files():
        contexts = counted.get_data().contexts_by_lineno(path)
        lines[str(Path(path).relative_to(options.copy))] = {
            line: [number[test] for test in names if test in number] for line, names in contexts.items()}
    return {"ran": code in (0, 1, 5), "tests": tests, "failed": plugin.failed, "lines": lines}


def judge(mutant, folder, options, passes, kills):
    """The test that notices the mutant, or None; and whether there was time for all that run the line."""
    chosen, all_of_them = plan(mutant, passes, kills, options.cap)
    sys.meta_path.insert(0, Hook(mutant, options.copy))
    for file, tests in chosen.items():
        known = passes[file]["tests"]
        plugin = Tests(tests, [*known, *passes[file]["failed"]], known)
        if run_pytest(file, plugin, folder, options) not in (0, 5):
            return {"killer": [*plugin.failed, file][0]}
    return {"killer": None, "all": all_of_them}


def plan(mutant, passes, kills, cap):
    """{test file: its tests} for a mutant, and whether these are all tests that run the line.

    The fastest are chosen until the seconds are used up. The n-th test of one function counts as n times as slow: other
    functions notice more than other parameters. The files that killed earlier mutants of the module are run first, then
    those most of whose tests run the module; where the line runs at import, the first are also chosen first.
    """
    pool, share = [], {}
    for file, known in passes.items():
        lines = known["lines"].get(mutant.path, {})
        running = {test for line in mutant.lines for test in lines.get(str(line), ())}
        tests, functions = [*known["tests"].items()], Counter()
        everyone = running and (mutant.imported or -1 in running)
        for i in sorted(range(len(tests)) if everyone else running, key=lambda i: (i not in running, tests[i][1])):
            test, seconds = tests[i]
            function = test.partition("[")[0]
            functions[function] += 1
            new = mutant.imported and not kills[mutant.path, file]
            pool.append((new, i not in running, seconds * functions[function], seconds, file, test))
        share[file] = len({test for tests in lines.values() for test in tests}) / (1 + len(tests))
    chosen, left = defaultdict(list), cap * (IMPORT_TIMES if mutant.imported else 1)
    for *_, seconds, file, test in sorted(pool):
        left -= seconds + (0 if file in chosen else STARTING)
        if left < 0:
            break
        chosen[file].append(test)
    order = sorted(chosen, key=lambda file: (-kills[mutant.path, file], -share[file], file))
    return {file: chosen[file] for file in order}, left >= 0


def forked(function, tasks, options):
    """(task, function(task, folder)) for each, as they end; None for a process that was ended."""
    waiting, running = [*tasks][::-1], {}
    try:
        while waiting or running:
            while waiting and len(running) < options.jobs:
                task, folder = waiting.pop(), Path(tempfile.mkdtemp(dir=options.copy.parent))
                if not (process := os.fork()):
                    in_the_fork(function, task, folder)
                running[process] = task, folder
            process, _ = os.wait()
            task, folder = running.pop(process)
            end_group(process)
            answer = folder / "answer.json"
            value = json.loads(answer.read_text()) if answer.exists() else None
            shutil.rmtree(folder, ignore_errors=True)
            yield task, value
    finally:
        for process in running:
            end_group(process)


def in_the_fork(function, task, folder):
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for stream in (0, 1, 2):
            os.dup2(os.open(os.devnull, os.O_RDWR), stream)
        value = function(task, folder / "pytest")
        faulthandler.cancel_dump_traceback_later()
        (folder / "answer.json").write_text(json.dumps(value))
    finally:
        os._exit(0)


def end_group(process):
    """End a fork, and all that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)


# ---------------------------------------------------------------- the command

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("places", nargs="*", metavar="PLACE", help=f"file or folder (default: all of {PACKAGE})")
    parser.add_argument("--sample", type=int, metavar="N", help="judge N of the mutants, chosen at random")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: %(default)s)")
    parser.add_argument("--only", type=Path, metavar="FILE", help="judge the mutants that are printed in this file")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default: %(default)s)")
    parser.add_argument("--cap", type=float, default=10, help="seconds of tests for one mutant (default: %(default)s;"
                        f" {IMPORT_TIMES} times as many where the line runs at import)")
    parser.add_argument("--slow", action="store_true", help="run the slow tests too")
    parser.add_argument("--list", action="store_true", help="print the mutants and judge none")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1], help=argparse.SUPPRESS)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))     # the forks end and the copy is removed
    root = options.root.resolve()
    paths = files_in(options.places or [PACKAGE], root)
    mutants = [mutant for path in paths for mutant in mutants_of(path, root)]
    known = {key: reason for key, reason in read_keys(root / KNOWN).items() if key[0] in paths}
    gone = set(known) - {mutant.key for mutant in mutants}
    if options.only:
        printed = read_keys(options.only)
        mutants = [mutant for mutant in mutants if mutant.key in printed]
    if options.sample is not None and options.sample < len(mutants):
        print(f"{options.sample} of {len(mutants)} mutants, chosen with seed {options.seed}")
        numbers = random.Random(options.seed).sample(range(len(mutants)), options.sample)
        mutants = [mutants[i] for i in sorted(numbers)]
    if options.list:
        print(*mutants, sep="\n")
        return
    with tempfile.TemporaryDirectory(prefix="mutants_") as folder:
        options.copy = Path(folder).resolve() / "copy"
        prepare(root, options.copy)
        results = judge_all(mutants, measure_all(options), options)
    report(results, known, gone)


def files_in(places, root):
    paths = set()
    for place in places:
        meant = [path for path in (root / place, root / PACKAGE / place) if path.exists()]
        if not meant:
            sys.exit(f"there is no {place}")
        files = [meant[0]] if meant[0].is_file() else meant[0].rglob("*.py")
        paths |= {str(file.relative_to(root)) for file in files}
    return sorted(paths)


def read_keys(file):
    """{key of a mutant: what stands after it} of the lines that have the form of a printed mutant."""
    keys = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        place, *texts = [part.strip() for part in line.split("||")]
        if len(texts) > 1 and not line.startswith("#"):
            path, _, function = re.sub(r"^(killed|survived|timed out|not run) +", "", place).partition(" ")
            keys[path.partition(":")[0], function.strip(), texts[0], texts[1]] = "".join(texts[2:])
    return keys


def prepare(root, folder):
    """Copy the repository, let Python find the copy, and import once what the forks share."""
    shutil.copytree(root, folder, ignore=shutil.ignore_patterns(*NOT_COPIED))
    os.chdir(folder)
    sys.path[:] = [str(folder), *(path for path in sys.path if Path(path).resolve() != root)]
    found = PathFinder.find_spec(PACKAGE).origin
    assert Path(found).is_relative_to(folder), f"another {PACKAGE} would be tested: {found}"
    for name in IMPORTED:
        importlib.import_module(name)
    sys.modules["torch"].set_num_threads(1)
    with open(os.devnull, "w") as nothing, redirect_stdout(nothing):
        pytest.main(["--markers", "--noconftest"])      # imports the plugins of pytest
    gc.freeze()         # what is imported stays: the garbage collections of the forks need not go through it


def measure_all(options):
    """{test file: what `measure` returned}."""
    kept = Path(tempfile.gettempdir()) / "minixai_mutants"
    kept.mkdir(exist_ok=True)
    files = [path for path in options.copy.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    shared = [path for path in files if not path.name.startswith(("test_", "mutants"))]
    common = digest(shared, options.copy) + f"{sys.version} {options.slow}"
    names = {}
    for path in sorted(options.copy.glob("tests/test_*.py")):
        key = hashlib.sha256((common + digest([path], options.copy)).encode()).hexdigest()
        names[str(path.relative_to(options.copy))] = kept / f"{key[:32]}.json"
    passes = {file: json.loads(name.read_text()) for file, name in names.items() if name.exists()}
    missing = [file for file in names if file not in passes]
    for i, (file, found) in enumerate(forked(partial(measure, options=options), missing, options), 1):
        progress(f"which tests run which lines: {i} of {len(missing)} test files")
        if found is None or not found["ran"]:
            print(f"left out, since it does not run without a mutant: {file}")
            continue
        passes[file] = found
        names[file].write_text(json.dumps(found))
    for file in sorted(passes):
        for test in passes[file]["failed"]:
            print(f"left out, since it fails without a mutant: {test}")
    return passes


def digest(paths, root):
    return "".join(f"{path.relative_to(root)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n"
                   for path in sorted(paths))


def judge_all(mutants, passes, options):
    """[(mutant, "killed", "timed out", "survived" or "not run")]."""
    kills, results, start = Counter(), [], time.perf_counter()
    for mutant, answer in forked(partial(judge, options=options, passes=passes, kills=kills), mutants, options):
        note = ""
        if answer is None:
            outcome = "timed out"
        elif answer["killer"]:
            outcome, note = "killed", answer["killer"]
            kills[mutant.path, note.partition("::")[0]] += 1
        elif answer["all"] and not plan(mutant, passes, kills, options.cap)[0]:
            outcome = "not run"
        else:
            outcome, note = "survived", "" if answer["all"] else "(there was no time for all tests)"
        print(f"{outcome:9s} {mutant} || {note}", flush=True)
        results.append((mutant, outcome))
        minutes = (time.perf_counter() - start) / 60
        progress(f"{len(results)} of {len(mutants)} mutants, "
                 f"{minutes / len(results) * (len(mutants) - len(results)):.0f} minutes left")
    return sorted(results, key=lambda result: (result[0].path, result[0].line))


def progress(text):
    if sys.stderr.isatty():
        print(f"\r{text}\033[K", end="\r", file=sys.stderr, flush=True)


def report(results, known, gone):
    lists = defaultdict(list)
    counts = defaultdict(Counter)
    for mutant, outcome in results:
        survived = outcome in ("survived", "not run")
        if mutant.key in known and survived:
            outcome = "known"
            lists[f"Survived, as {KNOWN} says"].append(f"{mutant} || {known[mutant.key]}")
        elif mutant.key in known:
            lists[f"Killed: take it out of {KNOWN}"].append(mutant)
        elif survived:
            lists["Survived" if outcome == "survived" else "On lines that no test runs"].append(mutant)
        for place in (mutant.path, f"{Path(mutant.path).parent}/", "all"):
            counts[place][outcome] += 1
    lists[f"No mutant any more: take it out of {KNOWN}"] = [" || ".join((f"{path} {function}", *texts))
                                                            for path, function, *texts in sorted(gone)]
    for heading, entries in lists.items():
        if entries:
            print(f"\n{heading}: {len(entries)}", *entries, sep="\n")
    print(f"\n{'':36s}{'mutants':>9s}{'killed':>9s}{'share':>9s}{'timed out':>11s}{'not run':>9s}{'known':>9s}")
    for place in sorted(counts, key=lambda place: (place == "all", place.endswith("/"), place)):
        row = counts[place]
        counted, killed = row.total() - row["known"], row["killed"] + row["timed out"]
        share = f"{killed / counted:.1%}" if counted else ""
        print(f"{place:36s}{row.total():9d}{killed:9d}{share:>9s}"
              f"{row['timed out']:11d}{row['not run']:9d}{row['known']:9d}")
    print("killed includes timed out; share leaves out the known; what is not run has survived too")


if __name__ == "__main__":
    main()
