"""Is a solution left in a tree of files? Searched by syntax tree, with names made equal.

    a file ─► pieces of code in it ─► syntax trees ─► every expression in its plain form ─► is it one of a solution?

Code is looked for in Python, its strings and comments too; in blocks, lines and `spans` of pages; and in notebooks. The
plain form knows no names, no order of keywords or of a sum, and no difference between torch.mean(x, …) and x.mean(…).
A function that is called as one to write, and is not blank, is found whatever is in it.

What is not found: another way to write it (einsum in place of a sum), a description in words, what a picture shows, and
what is too short to tell, such as x.clamp(min=0).
"""
import ast
import html
import inspect
import io
import json
import re
import tokenize
import warnings
from copy import deepcopy
from pathlib import Path

from minixai.course.exercises import EXERCISES

TEXT = {"", ".py", ".typed", ".md", ".html", ".txt", ".toml", ".ipynb", ".json", ".cfg", ".csv"}
NO_TEXT = {".npz", ".pt", ".png", ".jpg"}           # arrays and pictures
LIBRARIES = {"torch", "np", "numpy", "F"}
EXPRESSIONS = ast.Call | ast.BinOp | ast.Subscript | ast.Compare | ast.IfExp
TELLING = 3                 # words of a plain form, operations and numbers: what has fewer is written everywhere
LARGEST = 60                # nodes of a tree: what has more is no temporary variable, but half a program
# These too: they are in solutions, and in what has nothing to do with one.
EVERYWHERE = """
x[:-2], x[-1], x > 0, x == y, x != 0, x.min() < 0, 255 * x, x.astype(y), x % y.shape[-3], x[..., k, :, :]
x.sum(dim=(-2, -1)), x.sum(dim=(-2, -1), keepdim=True), x.amax(dim=(-2, -1), keepdim=True)
x.sum(dim=-1, keepdim=True), x / x.sum(dim=-1, keepdim=True), (x * y).clamp(min=0)
"""


class Leak(ValueError):
    """A part of a solution is in the tree; the message says which, and where."""


def search(folder):
    """Leak if a part of a solution is in any file of the folder. Else what was searched, in a sentence."""
    telling, names, searched = telling_expressions(), set(functions()), 0
    paths = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    for path in paths:
        if path.suffix in TEXT:
            searched += 1
            if found := found_in(path, telling, names):
                raise Leak(f"{path.relative_to(folder)} holds a part of {found}")
        elif path.suffix not in NO_TEXT:
            raise Leak(f"{path.relative_to(folder)} is no text, no arrays and no picture: it cannot be searched")
    return (f"searched {searched} of {len(paths)} files, all but arrays and pictures, for {len(names)} functions by "
            f"name and {len(telling)} of their expressions: none left")


def functions():
    """{name: its syntax tree} of every function that a student writes."""
    tasks = (task for exercise in EXERCISES.values() for task in exercise.tasks)
    return {task.name: ast.parse(inspect.getsource(task.function)).body[0] for task in tasks}


def telling_expressions():
    """{plain form: name of the function} of every expression of a solution that tells."""
    return {form: name for name, function in functions().items()
            for form in plain_forms(ast.Module(function.body[1:], [])) - plain_forms(ast.parse(EVERYWHERE))}


def found_in(path, telling, names):
    """'channel_weights: mean(_, (-2, -1), True)' or None: the first part of a solution in a file."""
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

def plain_forms(tree):
    """The plain form of every expression of a tree that is long enough to tell: as it is written, and with temporary
    variables put in where they are used."""
    found = set()
    _plain(tree, found)
    _plain(_Inlined().visit(deepcopy(tree)), found)
    return found


def _plain(node, found):
    """One tree's plain form; that of each expression in it is added to `found`."""
    text = _form(node, found)
    if isinstance(node, EXPRESSIONS) and len(re.findall(r"[^\W_]+", text)) >= TELLING:
        found.add(text)
    return text


def _form(node, found):
    """Names are _, with what hangs on them: x, trace.gradients, maps[0]. A call is function(first, others sorted)."""
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
    """both = a * b; both.sum() is read as (a * b).sum()."""

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


# ---- where code is

def read(path):
    """The text of a file. ValueError names the file if it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text, so it cannot be searched for solutions") from None


def trees(path):
    """Every syntax tree that a file's text holds: a Python file's own, and those of what reads as code anywhere."""
    for text in _texts(read(path), path.suffix):
        yield from _parsed(text)


def _texts(text, suffix):
    """The texts of a file in which code may be, without what is around it."""
    if suffix == ".html":
        text = re.sub(r"</?(?:p|pre|div|li|td|h\d|section)\b[^>]*>", "\n\n", re.sub(r"</?code[^>]*>", "`", text))
        return [html.unescape(re.sub(r"<[^>]*>", "", text))]
    if suffix in (".ipynb", ".json"):
        return [*_strings(json.loads(text))]
    if suffix == ".py":
        return [text, *_strings_and_comments(text)]
    return [text]


def _strings(value):
    """Every string of a JSON file. A list of strings is one: a notebook has its lines in such lists."""
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
    """The trees of all that reads as Python: the text, its paragraphs and lines, with and without >>> or # in front,
    and its `spans`."""
    bare = re.sub(r"^[ \t]*(?:>>>|\.\.\.|[#>*-]+)(?: |$)", "", text, flags=re.MULTILINE)
    pieces = [text, bare, *re.findall(r"`([^`]+)`", text)]
    for one in (text, bare):
        pieces += [inspect.cleandoc(paragraph) for paragraph in re.split(r"\n[ \t]*\n|\n?```.*\n?", one)]
        pieces += [line.strip() for line in one.splitlines()]
    for piece in dict.fromkeys(pieces):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")         # prose has escapes and calls that Python finds strange
            try:
                yield ast.parse(piece)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
