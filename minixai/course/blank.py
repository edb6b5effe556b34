"""A function of the library without its body: signature and docstring stay, they are the exercise."""
import ast
import inspect
import re
import textwrap

BLANK = re.compile(r"about \d+ lines?")


def blanked(function):
    """The source of a function with its body replaced by a NotImplementedError that says how long an answer is."""
    source = textwrap.dedent(inspect.getsource(function))
    node = ast.parse(source).body[0]
    return blanked_source(source, node, length_of(source, node))


def blanked_source(source, node, message):
    """The lines of one function, `node`, in `source`: head and docstring stay, then comes an error with the message."""
    lines = source.splitlines()[node.lineno - 1:node.end_lineno]
    docstring = node.body[0]
    kept = lines[:docstring.end_lineno - node.lineno + 1]
    return "\n".join([*kept, f'{" " * docstring.col_offset}raise NotImplementedError("{message}")'])


def length_of(source, node):
    """'about 3 lines': code only, comments and empty lines not counted. What was blanked already says it itself."""
    code = _code(source, node.body[1:])
    if said := BLANK.search(code[0]):
        return said[0]
    return f"about {len(code)} line{'s' if len(code) > 1 else ''}"


def body_lines(function):
    """The code lines of a function's body: what no student may find."""
    source = textwrap.dedent(inspect.getsource(function))
    return _code(source, ast.parse(source).body[0].body[1:])


def _code(source, body):
    lines = source.splitlines()[body[0].lineno - 1:body[-1].end_lineno]
    return [line.partition("  # ")[0].strip() for line in lines if line.strip() and not line.strip().startswith("#")]
