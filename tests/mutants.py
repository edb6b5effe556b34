"""python -m tests.mutants [PLACE ...]: which changes to the library's own code does no test notice?

Each mutant is the library with one small mistake in it: `<` for `<=`, `+` for `-`, a constant one too large, a
condition turned round, `return None`, a keyword argument or a statement left out. The tests that run the changed line
are run on it, up to the first that fails. A mutant that every test passes has survived: a test is missing, or the code
is not needed. Strings, annotations and what an error says are not changed.

Everything happens in a copy of the repository in a temporary folder. One process imports torch and the other libraries
and forks for every mutant. In the fork, an import hook puts the changed module in the place of the one on disk. Hence
`inspect.getsource` shows the unchanged text, so that no mutant is killed by a test that only quotes the source. It also
follows that a test that starts another Python sees no mutant: such tests are marked slow, and are left out.

Which tests run which lines is measured first, by one pass of the tests under `coverage` (`pip install -e .[mutants]`).
What it found is kept in the temporary folder of the system until the library or the test changes.

A survivor that has the same effect as the original goes into tests/mutants_known.txt: its line as printed, then || and
a reason. It then no longer counts. All this needs a system with os.fork: Linux or macOS.
"""
import argparse
import ast
import copy
import faulthandler
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
from dataclasses import dataclass
from functools import partial
from importlib.machinery import PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[1]
PACKAGE = "minixai"
KNOWN = "tests/mutants_known.txt"
COPIED = (PACKAGE, "tests", "lessons", "weights_scripts", ".github", "*.toml", "[A-Z]*", ".gitignore")
SHARED = ("torch", "numpy", "PIL.Image", "matplotlib.pyplot", "coverage")      # imported once, before the forks
# Its signals come faster than the library gets on when every line is counted, so that it never ends.
NEVER = ("-k", "not test_ctrl_c_in_the_middle_leaves_the_model_as_it_was")
STARTING = 0.4              # seconds until the first test of a file runs
SECONDS, TIMES = 10, 10     # a test on a mutant may take 10 s and 10 times as long as without it


# ---------------------------------------------------------------- the mutants of one file

@dataclass
class Mutant:
    path: str           # from the root of the repository
    lines: range        # of the statement, or of its head where it has a body
    line: int
    function: str       # the qualified name; "" at the top level
    before: str
    after: str
    tree: ast.Module    # of the whole file, not changed yet
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
NOT_CHANGED = {"annotation", "returns", "exc", "cause", "msg", "type_params"}      # fields of the syntax tree
LEFT_OUT = (ast.Raise, ast.Assert, ast.AugAssign, ast.Break, ast.Continue, ast.Delete)


def mutants_of(path, root):
    """Every mutant of one file, in the order of its lines."""
    source = (root / path).read_text(encoding="utf-8")
    tree = ast.parse(source)
    return sorted(find(tree, tree, "", None, partial(Mutant, path), source), key=lambda mutant: mutant.line)


def find(node, tree, function, lines, make, source):
    """The mutants at and below a node; `lines` are those of the statement that it is part of."""
    for put, child, field in children(node):
        if field in NOT_CHANGED or isinstance(child, ast.JoinedStr) or is_left_alone(child):
            continue
        inner = lines
        if isinstance(child, (ast.stmt, ast.ExceptHandler, ast.match_case)):
            inner = head(child)
        name = function
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and field == "body":
            name = f"{function}.{node.name}".lstrip(".")
        for new in instead_of(child, node, field):
            before, after = shown(source, child, new)
            yield make(inner, child.lineno, name, before, after, tree, partial(put, new))
        yield from find(child, tree, name, inner, make, source)


def children(node):
    """(put, child, field) of each node below: put(new) replaces the child."""
    for field, value in ast.iter_fields(node):
        if isinstance(value, list):
            yield from ((partial(value.__setitem__, i), child, field)
                        for i, child in enumerate(value) if isinstance(child, ast.AST))
        elif isinstance(value, ast.AST):
            yield partial(setattr, node, field), value, field


def is_left_alone(node):
    """`__all__ = ...` and `if __name__ == ...`."""
    names = node.targets if isinstance(node, ast.Assign) else [getattr(node.test, "left", None)] if isinstance(
        node, ast.If) else []
    return any(isinstance(name, ast.Name) and name.id in ("__all__", "__name__") for name in names)


def head(statement):
    """The lines of a statement; of one with a body, those above the body."""
    body = getattr(statement, "body", None)
    first = min([statement.lineno] + [each.lineno for each in getattr(statement, "decorator_list", [])]) \
        if hasattr(statement, "lineno") else statement.pattern.lineno
    return range(first, max(first + 1, body[0].lineno) if body else statement.end_lineno + 1)


def instead_of(node, parent, field):
    """The nodes that may stand in the place of this one, each one small mistake."""
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
    elif isinstance(node, ast.Return) and node.value and getattr(node.value, "value", ...) is not None:
        yield ast.Return(ast.Constant(None))
    if field in ("test", "ifs") and not isinstance(parent, ast.Assert) and not turned_round(node):
        yield ast.UnaryOp(ast.Not(), node)
    if isinstance(node, LEFT_OUT) or isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) or isinstance(
            node, ast.Assign) and isinstance(node.targets[0], (ast.Attribute, ast.Subscript)):
        yield ast.Pass()


def turned_round(test):
    """Is the opposite of this condition one of its other mutants?"""
    return isinstance(test, (ast.UnaryOp, ast.Constant)) or isinstance(test, ast.Compare) and isinstance(
        test.ops[0], (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn))


def changed(node, **fields):
    new = copy.copy(node)
    for field, value in fields.items():
        setattr(new, field, value)
    return new


def shown(source, old, new):
    """The lines of a node as they are and with the new one in its place, each as one line."""
    lines = [line.encode() for line in source.splitlines()[old.lineno - 1:old.end_lineno]]
    start, end = lines[0][:old.col_offset], lines[-1][old.end_col_offset:]
    after = start + ast.unparse(new).encode() + end
    return tuple(" ".join(text.decode().split()) for text in (b" ".join(lines), after))


def in_function(mutant):
    """Does the changed line run when something is called, not when the module is imported?"""
    return any(isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and
               node.body[0].lineno <= mutant.line <= node.end_lineno for node in ast.walk(mutant.tree))


# ---------------------------------------------------------------- what runs in a process of its own

class Hook(SourceFileLoader):
    """Finds and loads the one changed module."""

    def __init__(self, mutant, root):
        parts = Path(mutant.path).with_suffix("").parts
        package = parts[-1] == "__init__"
        super().__init__(".".join(parts[:-1] if package else parts), str(root / mutant.path))
        mutant.change()
        self.code = compile(ast.fix_missing_locations(mutant.tree), self.path, "exec")

    def find_spec(self, name, path=None, target=None):
        return spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, name):
        return self.code


class Tests:
    """A plugin of pytest that runs the chosen tests of a file in the chosen order and keeps the first that fails."""

    def __init__(self, order=None, others=(), seconds=()):
        self.order, self.left_out, self.seconds = order, set(others), dict(seconds)
        self.failed, self.durations = [], defaultdict(float)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        if self.order is not None:
            items[:] = sorted((item for item in items if item.nodeid not in self.left_out),
                              key=lambda item: self.order.get(item.nodeid, len(self.order)))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        watch(self.seconds.get(item.nodeid, 6))
        return (yield)

    def pytest_runtest_logreport(self, report):
        self.durations[report.nodeid] += report.duration
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_collectreport(self, report):
        if report.failed:
            self.failed.append(report.nodeid)


class Contexts(Tests):
    """Tells coverage which test runs; "" is what all tests of the file share: imports and the wider fixtures."""

    def __init__(self, coverage):
        super().__init__()
        self.coverage, self.test = coverage, ""

    def switch(self, context):
        self.coverage.switch_context(context)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        for module in [module for name, module in sys.modules.items() if name.split(".")[0] == PACKAGE]:
            for value in list(vars(module).values()):       # or else only the first test is seen to run what is kept
                if callable(getattr(type(value), "cache_clear", None)):
                    value.cache_clear()
        watch(60)
        self.test = item.nodeid
        self.switch(self.test)
        result = yield
        self.switch("")
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        if fixturedef.scope == "function":
            return (yield)
        self.switch("")
        try:
            return (yield)
        finally:
            self.switch(self.test)


def watch(seconds):
    """End this process with exit code 1 when it has not called again in time."""
    faulthandler.dump_traceback_later(SECONDS + TIMES * seconds, exit=True)


def run_pytest(file, plugin, work, *options):
    watch(10)
    return pytest.main([file, "-q", "--tb=no", "-p", "no:cacheprovider", "-p", "no:faulthandler", "-W", "ignore",
                        f"--basetemp={work}", *NEVER, *options], plugins=[plugin])


def measure(file, work, options):
    """Which lines of the library does each test of a file run, and how long does it take?"""
    from coverage import Coverage
    measured = Coverage(data_file=None, config_file=False, include=[f"{options.copy / PACKAGE}/*"])
    plugin = Contexts(measured)
    measured.start()
    code = run_pytest(file, plugin, work, *["--slow"] * options.slow)
    measured.stop()
    data = measured.get_data()
    names = sorted(set(plugin.durations) - set(plugin.failed))
    number = {name: i for i, name in enumerate(names)} | {"": -1}
    lines = {}
    for path in data.measured_files():
        lines[str(Path(path).relative_to(options.copy))] = {
            line: [number[test] for test in tests if test in number]
            for line, tests in data.contexts_by_lineno(path).items()}
    return {"tests": {name: plugin.durations[name] for name in names}, "failed": plugin.failed, "lines": lines,
            "ended": int(code) in (0, 1, 5)}


def judge(mutant, work, options, passes, kills):
    """The test that notices the mutant, or None; and whether all tests that could have been run."""
    sys.meta_path.insert(0, Hook(mutant, options.copy))
    chosen, everything = plan(mutant, passes, kills, options.cap)
    for file, tests in chosen.items():
        known = passes[file]["tests"]
        plugin = Tests({test: i for i, test in enumerate(tests)}, {*known, *passes[file]["failed"]} - {*tests}, known)
        if run_pytest(file, plugin, work, "-x", *["--slow"] * options.slow) not in (0, 5):
            return {"killer": [*plugin.failed, file][0]}
    return {"killer": None, "everything": everything}


def plan(mutant, passes, kills, cap):
    """{test file: its tests} for a mutant, and whether these are all that run the line.

    One test of each function comes before the same test with other parameters, the fastest first, until the seconds are
    used up. Of the files, those come first that killed the mutants before this one, then those most of whose tests run
    the module.
    """
    pool, direct = [], {}
    for file, known in passes.items():
        lines = known["lines"].get(mutant.path, {})
        here = {test for line in mutant.lines for test in lines.get(str(line), ())}
        if not here:
            continue
        tests, functions = list(known["tests"].items()), set()
        everyone = -1 in here or not in_function(mutant)
        for i in sorted(range(len(tests)) if everyone else here, key=lambda i: (i not in here, tests[i][1])):
            test, seconds = tests[i]
            function = test.partition("[")[0]
            pool.append((function in functions, seconds, file, test))
            functions.add(function)
        direct[file] = len({test for tests in lines.values() for test in tests}) / (1 + len(tests))
    chosen, left = defaultdict(list), cap
    for _, seconds, file, test in sorted(pool):
        left -= seconds + (0 if file in chosen else STARTING)
        if left < 0:
            break
        chosen[file].append(test)
    order = sorted(chosen, key=lambda file: (-kills[mutant.path, file], -direct[file], file))
    return {file: chosen[file] for file in order}, left >= 0


def forked(function, tasks, work, jobs):
    """(task, what function(task, folder) returns), in the order in which they end; None where the process was ended."""
    waiting, running = list(tasks)[::-1], {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                task, folder = waiting.pop(), Path(tempfile.mkdtemp(dir=work))
                if not (pid := os.fork()):
                    in_the_fork(function, task, folder)
                running[pid] = task, folder
            pid, _ = os.wait()
            task, folder = running.pop(pid)
            end_group(pid)
            answer = folder / "answer.json"
            value = json.loads(answer.read_text()) if answer.exists() else None
            shutil.rmtree(folder, ignore_errors=True)
            yield task, value
    finally:
        for pid in running:
            end_group(pid)


def in_the_fork(function, task, folder):
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    try:
        value = function(task, folder / "pytest")
        faulthandler.cancel_dump_traceback_later()
        (folder / "answer.tmp").write_text(json.dumps(value))
        (folder / "answer.tmp").rename(folder / "answer.json")
    finally:
        os._exit(0)


def end_group(pid):
    """End a fork, and what it may have started."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


# ---------------------------------------------------------------- the command

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("places", nargs="*", metavar="PLACE", help=f"file or folder (default: all of {PACKAGE})")
    parser.add_argument("--sample", type=int, metavar="N", help="judge only N of the mutants, chosen at random")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default: %(default)s)")
    parser.add_argument("--cap", type=float, default=10, help="seconds of tests for a mutant (default: %(default)s)")
    parser.add_argument("--slow", action="store_true", help="run the slow tests too")
    parser.add_argument("--only", type=Path, metavar="FILE", help="judge only the mutants that stand in this file")
    parser.add_argument("--list", action="store_true", help="print the mutants and judge none")
    parser.add_argument("--root", type=Path, default=HERE, help=argparse.SUPPRESS)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))      # so that the forks are ended and the copy removed
    start, root = time.perf_counter(), options.root.resolve()
    mutants = [mutant for path in files_in(options.places or [PACKAGE], root) for mutant in mutants_of(path, root)]
    paths = {mutant.path for mutant in mutants}
    known = {key: reason for key, reason in read_keys(root / KNOWN).items() if key[0] in paths}
    gone = set(known) - {mutant.key for mutant in mutants}
    if options.only:
        only = set(read_keys(options.only))
        mutants = [mutant for mutant in mutants if mutant.key in only]
    if options.sample is not None and options.sample < len(mutants):
        chosen = random.Random(options.seed).sample(range(len(mutants)), options.sample)
        print(f"{options.sample} of {len(mutants)} mutants, chosen with seed {options.seed}")
        mutants = [mutants[i] for i in sorted(chosen)]
    if options.list:
        print(*mutants, sep="\n")
        return
    with tempfile.TemporaryDirectory(prefix="mutants_") as work:
        options.work, options.copy = Path(work), Path(work) / "copy"
        prepare(root, options.copy)
        passes = measure_all(options)
        results = judge_all(mutants, passes, options)
    report(results, known, gone)
    print(f"\n{(time.perf_counter() - start) / 60:.1f} minutes")


def files_in(places, root):
    paths = set()
    for place in places:
        meant = [path for path in (Path(place).resolve(), root / place, root / PACKAGE / place) if path.exists()]
        if not meant:
            sys.exit(f"there is no {place}")
        files = [meant[0]] if meant[0].is_file() else meant[0].rglob("*.py")
        paths |= {str(file.relative_to(root)) for file in files}
    return sorted(paths)


def prepare(root, folder):
    """Copy the repository, and import what every test needs."""
    for pattern in COPIED:
        for path in root.glob(pattern):
            copied = folder / path.name
            copied.parent.mkdir(exist_ok=True)
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(path, copied, ignore=ignored) if path.is_dir() else shutil.copy2(path, copied)
    os.chdir(folder)
    sys.path[:] = [str(folder)] + [path for path in sys.path if Path(path or ".").resolve() != root]
    for name in SHARED:
        importlib.import_module(name)
    sys.modules["torch"].set_num_threads(1)
    found = PathFinder.find_spec(PACKAGE, sys.path)
    assert found and Path(found.origin).is_relative_to(folder), f"another {PACKAGE} is found first: {found}"


def measure_all(options):
    """{test file: what `measure` found}; kept for the next time, until the library, a helper or the test changes."""
    files = sorted(str(path.relative_to(options.copy)) for path in options.copy.glob("tests/test_*.py"))
    shared = [path for pattern in COPIED for top in options.copy.glob(pattern)
              for path in ([top] if top.is_file() else top.rglob("*"))
              if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("test_")
              and path.name not in (Path(KNOWN).name, Path(__file__).name)]
    common = digest([*shared], options.copy) + f"{sys.version} {options.slow}"
    kept = Path(tempfile.gettempdir()) / "minixai_mutants_cache"
    kept.mkdir(exist_ok=True)
    names = {file: kept / (hashlib.sha256((common + digest([options.copy / file], options.copy)).encode())
                           .hexdigest()[:32] + ".json") for file in files}
    missing = [file for file in files if not names[file].exists()]
    measured = forked(partial(measure, options=options), missing, options.work, options.jobs)
    for i, (file, found) in enumerate(measured, 1):
        progress(f"which tests run which lines: {i} of {len(missing)} test files")
        if found is None or not found["ended"]:
            print(f"left out, since it does not run without a mutant: {file}")
            found = {"tests": {}, "failed": [], "lines": {}}
        else:
            written = names[file].with_suffix(f".{os.getpid()}")
            written.write_text(json.dumps(found))
            written.rename(names[file])
        if found["failed"]:
            print("left out, since they fail without a mutant:", *found["failed"])
        if not names[file].exists():
            names[file] = None
    return {file: json.loads(name.read_text()) for file, name in names.items() if name}


def digest(paths, root):
    whole = hashlib.sha256()
    for path in sorted(paths):
        whole.update(str(path.relative_to(root)).encode() + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def judge_all(mutants, passes, options):
    """[(mutant, "killed", "timed out", "survived" or "not run")]."""
    kills, results, counts, start = Counter(), [], Counter(), time.perf_counter()
    judged = partial(judge, options=options, passes=passes, kills=kills)
    for mutant, answer in forked(judged, mutants, options.work, options.jobs):
        killer = answer and answer["killer"]
        if answer is None:
            outcome = "timed out"
        elif killer:
            outcome = "killed"
            kills[mutant.path, killer.split("::")[0]] += 1
        else:
            outcome = "survived" if any(plan(mutant, passes, kills, options.cap)[0]) else "not run"
        counts[outcome] += 1
        capped = "" if answer is None or killer or answer["everything"] else f" (after {options.cap:g} s of tests)"
        print(f"{outcome:9s} {mutant}" + (f"   {killer}" if killer else capped), flush=True)
        results.append((mutant, outcome))
        left = (time.perf_counter() - start) / len(results) * (len(mutants) - len(results)) / 60
        progress(f"{len(results)} of {len(mutants)}, {len(results) - counts['survived'] - counts['not run']} killed, "
                 f"{left:.0f} minutes left")
    return results


def progress(text):
    if sys.stderr.isatty():
        print(f"\r{text}\033[K\r", end="", file=sys.stderr, flush=True)


def read_keys(file):
    """{key of a mutant: the reason why no test can notice it}; other lines than those of mutants are passed over."""
    keys = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        place, *texts = (part.strip() for part in line.split("||"))
        if len(texts) > 1 and not line.startswith("#"):
            path, _, function = re.sub(r"^(killed|survived|timed out|not run) +", "", place).partition(" ")
            keys[re.sub(r":\d+$", "", path), function.strip(), texts[0], texts[1]] = "".join(texts[2:])
    return keys


def report(results, known, gone):
    results = sorted(results, key=lambda result: (result[0].path, result[0].line))
    survivors = [(mutant, outcome) for mutant, outcome in results if outcome in ("survived", "not run")]
    lists = {
        "Survivors": [mutant for mutant, outcome in survivors if outcome == "survived" and mutant.key not in known],
        "Survivors on lines that no test runs": [mutant for mutant, outcome in survivors
                                                 if outcome == "not run" and mutant.key not in known],
        f"Known survivors ({KNOWN})": [f"{mutant} || {known[mutant.key]}" for mutant, _ in survivors
                                       if mutant.key in known],
        f"No mutant any more, take it out of {KNOWN}": [" || ".join((f"{path} {function}", *texts))
                                                        for path, function, *texts in sorted(gone)],
        f"Killed, take it out of {KNOWN}": [mutant for mutant, outcome in results if mutant.key in known
                                            and outcome in ("killed", "timed out")],
    }
    for heading, entries in lists.items():
        if entries:
            print(f"\n{heading}: {len(entries)}", *entries, sep="\n")
    counts = defaultdict(Counter)
    for mutant, outcome in results:
        outcome = "known" if outcome in ("survived", "not run") and mutant.key in known else outcome
        folder = str(Path(mutant.path).parent)
        for place in (mutant.path, folder + "/", "all"):
            counts[place][outcome] += 1
    print(f"\n{'':36s}{'mutants':>9s}{'killed':>9s}{'share':>9s}{'timed out':>11s}{'not run':>9s}{'known':>9s}")
    for place in sorted(counts, key=lambda place: (place == "all", place.endswith("/"), place)):
        row = counts[place]
        total, killed = row.total() - row["known"], row["killed"] + row["timed out"]
        share = f"{100 * killed / total:.1f} %" if total else ""
        print(f"{place:36s}{row.total():9d}{killed:9d}{share:>9s}"
              f"{row['timed out']:11d}{row['not run']:9d}{row['known']:9d}")
    print("killed includes timed out; share leaves out the known; not run is part of the survivors")


if __name__ == "__main__":
    main()
