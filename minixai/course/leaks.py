"""Search a folder for parts of the exercises' solutions, by comparing syntax trees.

    a file ─► pieces of code in it ─► syntax trees ─► every expression in its plain form ─► is it part of a solution?

Code is searched in Python files, including strings and comments, in the blocks, lines and `spans` of pages, and in
notebooks. The plain form ignores names, the order of keywords and of the terms of a sum, and the difference between
torch.mean(x, …) and x.mean(…). A function with the name of an exercise's function has to be blank.

The search does not find: another formula (einsum in place of a sum), a description in words, the content of a picture,
and expressions that are too short, such as x.clamp(min=0).
"""
import ast
import html
import inspect
import io
import json
import re
import tokenize
import warnings
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

from minixai.course.exercises import EXERCISES

TEXT = {"", ".typed", ".py", ".md", ".html", ".txt", ".toml", ".ipynb", ".json", ".cfg", ".csv"}
NO_TEXT = {".npz", ".pt", ".png", ".jpg"}           # arrays and pictures
LIBRARIES = {"torch", "np", "numpy", "F"}
EXPRESSIONS = ast.Call | ast.BinOp | ast.Subscript | ast.Compare | ast.IfExp
TELLING = 3                 # least number of words (operations and numbers) in a plain form that is searched for
LARGEST = 60                # most nodes in the tree of a temporary variable's value
# Expressions of solutions that other code needs too. They are not searched for.
EVERYWHERE = """
x[:-2], x[-1], x > 0, x == y, x != 0, x.min() < 0, 255 * x, x.astype(y), x % y.shape[-3], x[..., k, :, :]
x.sum(dim=(-2, -1)), x.sum(dim=(-2, -1), keepdim=True), x.amax(dim=(-2, -1), keepdim=True)
x.sum(dim=-1, keepdim=True), x / x.sum(dim=-1, keepdim=True), (x * y).clamp(min=0)
"""


class Leak(ValueError):
    """A part of a solution is in the folder. The message names the function and the file."""


def search(folder: Path) -> str:
    """Raise Leak if a file in the folder contains a part of a solution. Returns a sentence about what was searched."""
    telling, names, searched = telling_expressions(), set(functions()), 0
    paths = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    for path in paths:
        if path.suffix in TEXT:
            searched += 1
            if found := found_in(path, telling, names):
                raise Leak(f"{path.relative_to(folder)} holds a part of {found}")
        elif path.suffix not in NO_TEXT:
            raise Leak(f"{path.relative_to(folder)} is neither text nor arrays nor a picture: it cannot be searched")
    return (f"searched {searched} of {len(paths)} files (not arrays and pictures) for {len(names)} functions by name "
            f"and {len(telling)} of their expressions: none found")


def functions() -> dict[str, ast.FunctionDef]:
    """{name: syntax tree} of every function that a student writes."""
    tasks = (task for exercise in EXERCISES.values() for task in exercise.tasks)
    return {task.name: ast.parse(inspect.getsource(task.function)).body[0] for task in tasks}


def telling_expressions() -> dict[str, str]:
    """{plain form: name of the function} of every expression of a solution that is searched for."""
    return {form: name for name, function in functions().items()
            for form in plain_forms(ast.Module(function.body[1:], [])) - plain_forms(ast.parse(EVERYWHERE))}


def found_in(path: Path, telling: dict[str, str], names: set[str]) -> str | None:
    """The first part of a solution in a file, such as "channel_weights: mean(_, (-2, -1), True)", or None."""
    for tree in trees(path):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name in names and not _is_blank(node):
                return f"{node.name}: a function of this name that is not blank"
        for form in sorted(plain_forms(tree) & telling.keys()):
            return f"{telling[form]}: {form}"
    return None


def _is_blank(function):
    last = function.body[-1]
    return isinstance(last, ast.Raise) or isinstance(last, ast.Expr) and isinstance(last.value, ast.Constant)


# ---- the plain form

def plain_forms(tree: ast.AST) -> set[str]:
    """The plain forms of all expressions of a tree that are long enough.

    Each expression is taken as it is written, and with the values of temporary variables inserted.
    """
    found = set()
    _plain(tree, found)
    _plain(_Inlined().visit(deepcopy(tree)), found)
    return found


def _plain(node, found):
    """The plain form of a tree. The forms of all expressions inside it are added to `found`."""
    text = _form(node, found)
    if isinstance(node, EXPRESSIONS) and len(re.findall(r"[^\W_]+", text)) >= TELLING:
        found.add(text)
    return text


def _form(node, found):
    """x, trace.gradients and maps[0] are all written as _. A call is function(first argument, sorted others)."""
    def plain(child):
        return _plain(child, found)
    match node:
        case ast.Name():
            return "_"
        case ast.Constant(value):
            return repr(value)
        case ast.UnaryOp(ast.USub(), operand):
            return f"-{plain(operand)}"
        case ast.Attribute(value, name):
            inside = plain(value)
            return inside if inside == "_" else f"{inside}.{name}"
        case ast.Subscript(value, place):
            inside, at = plain(value), plain(place)
            return "_" if inside == "_" and isinstance(place, ast.Constant | ast.Name) else f"{inside}[{at}]"
        case ast.BinOp(left, operation, right):
            sides = [plain(left), plain(right)]
            sides = sorted(sides) if isinstance(operation, ast.Add | ast.Mult) else sides
            return f"({type(operation).__name__} {' '.join(sides)})"
        case ast.Call(function, arguments, keywords):
            given = [plain(one) for one in arguments]
            if isinstance(function, ast.Attribute) and getattr(function.value, "id", None) not in LIBRARIES:
                given.insert(0, plain(function.value))
            given += [plain(keyword.value) for keyword in keywords]
            return f"{getattr(function, 'attr', '_')}({', '.join(given[:1] + sorted(given[1:]))})"
        case ast.Slice(start, stop):
            return f"{plain(start) if start else ''}:{plain(stop) if stop else ''}"
    children = [plain(child) for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr_context)]
    return f"({' '.join([type(node).__name__, *children])})"


class _Inlined(ast.NodeTransformer):
    """Insert the values of temporary variables: after both = a * b, both.sum() becomes (a * b).sum()."""

    def __init__(self):
        self.stands_for = {}

    def visit_FunctionDef(self, node):
        inside = _Inlined()
        node.body = [inside.visit(statement) for statement in node.body]
        return node

    def visit_Assign(self, node):
        node.value = self.visit(node.value)
        target, value = node.targets[0], node.value
        pairs = [(target, value)]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = zip(target.elts, value.elts)
        for name, one in pairs:
            if isinstance(name, ast.Name) and sum(1 for _ in ast.walk(one)) <= LARGEST:
                self.stands_for[name.id] = one
        return node

    def visit_Name(self, node):
        return self.stands_for.get(node.id, node) if isinstance(node.ctx, ast.Load) else node


# ---- the code in a file

def read(path: Path) -> str:
    """The text of a file. ValueError if it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text, so it cannot be searched for solutions") from None


def trees(path: Path) -> Iterator[ast.Module]:
    """The syntax trees of all parts of a file that are valid Python."""
    for text in _texts(read(path), path.suffix):
        yield from _parsed(text)


def _texts(text, suffix):
    """The texts of a file that may contain code, without markup."""
    if suffix == ".html":
        text = re.sub(r"</?(?:p|pre|div|li|td|h\d|section)\b[^>]*>", "\n\n", re.sub(r"</?code[^>]*>", "`", text))
        return [html.unescape(re.sub(r"<[^>]*>", "", text))]
    if suffix in (".ipynb", ".json"):
        return [*_strings(json.loads(text))]
    if suffix == ".py":
        return [text, *_strings_and_comments(text)]
    return [text]


def _strings(value):
    """Every string in a JSON value. A list of strings counts as one string: notebooks store lines in such lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and all(isinstance(one, str) for one in value):
        yield "".join(value)
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _strings(one)


def _strings_and_comments(code):
    comments = [""] * (code.count("\n") + 1)
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.COMMENT:
            comments[token.start[0] - 1] = token.string
    constants = (node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant))
    return ["\n".join(comments), *(value for value in constants if isinstance(value, str))]


def _parsed(text):
    """The trees of all parts of a text that are valid Python.

    The parts are the whole text, its paragraphs and lines, with and without >>> or # in front, and its `spans`.
    """
    bare = re.sub(r"^[ \t]*(?:>>>|\.\.\.|[#>*-]+)(?: |$)", "", text, flags=re.MULTILINE)
    pieces = [text, bare, *re.findall(r"`([^`]+)`", text)]
    for one in (text, bare):
        pieces += [inspect.cleandoc(paragraph) for paragraph in re.split(r"\n[ \t]*\n|\n?```.*\n?", one)]
        pieces += [line.strip() for line in one.splitlines()]
    for piece in dict.fromkeys(pieces):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")         # Python warns about prose that looks like strange code
            try:
                yield ast.parse(piece)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
