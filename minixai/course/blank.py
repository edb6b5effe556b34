"""A function of the library without its body: signature and docstring stay, they are the exercise."""
import ast
import inspect
import textwrap


def blanked(function):
    """The source of a function with its body replaced by a NotImplementedError that says how long an answer is."""
    source = textwrap.dedent(inspect.getsource(function))
    return blanked_source(source, ast.parse(source).body[0])


def blanked_source(source, node):
    """The lines of one function, `node`, in `source`: head and docstring as they are, then how long the answer is."""
    lines = source.splitlines()[node.lineno - 1:node.end_lineno]
    docstring, *body = node.body
    kept = lines[:docstring.end_lineno - node.lineno + 1]
    return "\n".join([*kept, f'{" " * docstring.col_offset}raise NotImplementedError("{length_of(source, body)}")'])


def length_of(source, body):
    """'about 3 lines': code only, comments and empty lines not counted."""
    lines = source.splitlines()[body[0].lineno - 1:body[-1].end_lineno]
    count = sum(bool(line.strip()) and not line.strip().startswith("#") for line in lines)
    return f"about {count} line{'s' if count > 1 else ''}"


def body_lines(function):
    """The code lines of a function's body: what no student may find."""
    source = textwrap.dedent(inspect.getsource(function))
    _, *body = ast.parse(source).body[0].body
    lines = source.splitlines()[body[0].lineno - 1:body[-1].end_lineno]
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
