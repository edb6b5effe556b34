"""A library function with its body removed. The signature and the docstring stay: they are the exercise."""
import ast
import inspect
import re
import textwrap
from collections.abc import Callable

BLANK = re.compile(r"about \d+ lines?")


def blanked(function: Callable) -> str:
    """The source of a function whose body is replaced by `raise NotImplementedError("about 3 lines")`."""
    source = textwrap.dedent(inspect.getsource(function))
    node = ast.parse(source).body[0]
    return blanked_source(source, node, length_of(source, node))


def blanked_source(source: str, node: ast.FunctionDef, message: str) -> str:
    """The lines of the function `node` in `source`, with its body replaced by a NotImplementedError of this message.

    The function has to have a docstring.
    """
    lines = source.splitlines()[node.lineno - 1:node.end_lineno]
    docstring = node.body[0]
    kept = lines[:docstring.end_lineno - node.lineno + 1]
    return "\n".join([*kept, f'{" " * docstring.col_offset}raise NotImplementedError("{message}")'])


def length_of(source: str, node: ast.FunctionDef) -> str:
    """The length of the function's body, as "about 3 lines". Comments and empty lines do not count.

    The body of a function that is blank already names the length of the solution, and that length is returned.
    """
    code = _code(source, node.body[1:])
    if said := BLANK.search(code[0]):
        return said[0]
    return f"about {len(code)} line{'s' if len(code) > 1 else ''}"


def _code(source, body):
    lines = source.splitlines()[body[0].lineno - 1:body[-1].end_lineno]
    return [line.partition("  # ")[0].strip() for line in lines if line.strip() and not line.strip().startswith("#")]
