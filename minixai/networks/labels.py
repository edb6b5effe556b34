"""From the name of a class to its index."""
from collections.abc import Sequence
from difflib import get_close_matches


def find_class(wanted: str | int, labels: Sequence[str]) -> int:
    """The index of a class, from its index or its name or a unique part of the name. labels: the names of all classes.

    Case does not matter. ValueError, with similar names and their indices, if no class fits or more than one.
    """
    if not labels:
        raise ValueError("this network has no classes to choose from")
    wanted = str(wanted).strip()
    if is_integer(wanted):
        return _in_range(int(wanted), labels)
    name, names = wanted.lower(), [label.lower() for label in labels]
    exact = [index for index, label in enumerate(names) if label == name]
    parts = [index for index, label in enumerate(names) if name in label]
    found = exact or parts
    if name and len(found) == 1:
        return found[0]
    if name and found:
        raise ValueError(f"{wanted!r} could be {_listed(found, labels)}; give the number")
    near = [names.index(match) for match in get_close_matches(name, names, n=5)]
    hint = f"near it: {_listed(near, labels)}" if near else f"it is one of {len(labels)}, such as {labels[0]!r}"
    raise ValueError(f"no class is called {wanted!r}; {hint}")


def is_integer(text: str) -> bool:
    """Whether int(text) succeeds. str.isdigit would be wrong: it accepts ², which int does not."""
    return text.removeprefix("-").isdecimal()


def _in_range(index, labels):
    if not 0 <= index < len(labels):
        raise ValueError(f"class {index} does not exist; this network has classes 0 to {len(labels) - 1}")
    return index


def _listed(indices, labels, most=8):
    more = f" and {len(indices) - most} more" if len(indices) > most else ""
    return ", ".join(f"{index} {labels[index]}" for index in indices[:most]) + more
