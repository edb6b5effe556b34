"""Read the weights and nodes of an ONNX file without the onnx package.

An ONNX file is a protobuf message. A protobuf message is a list of fields; each has a key (a number and a kind) and a
value, which may be a message itself. The field numbers below are those of onnx.proto.
"""
import math
from collections import namedtuple

import numpy as np

Node = namedtuple("Node", "operation name inputs outputs")
FLOAT32 = 1


def read_graph(data: bytes) -> tuple[list[Node], dict[str, np.ndarray]]:
    """The bytes of an ONNX file -> (nodes in order, {name: array} of all float32 initializers)."""
    (graph,) = [value for number, value in _fields(memoryview(data)) if number == 7]
    nodes = [_node(value) for number, value in _fields(graph) if number == 1]
    tensors = [_tensor(value) for number, value in _fields(graph) if number == 5]
    return nodes, {name: array for name, array in tensors if array is not None}


def _node(message):
    texts = [(number, bytes(value).decode()) for number, value in _fields(message) if number in (1, 2, 3, 4)]
    inputs, outputs, names, operations = ([text for number, text in texts if number == wanted]
                                          for wanted in (1, 2, 3, 4))
    return Node("".join(operations), "".join(names), inputs, outputs)


def _tensor(message):
    shape, kind, name, raw = [], None, "", b""
    for number, value in _fields(message):
        if number == 1:
            # Older writers use one field for each dimension, newer ones pack all into one field.
            shape += [value] if isinstance(value, int) else _varints(value)
        elif number == 2:
            kind = value
        elif number == 8:
            name = bytes(value).decode()
        elif number == 9:
            raw = value
    if kind != FLOAT32:
        return name, None
    if len(raw) != 4 * math.prod(shape):
        raise ValueError(f"{name}: {len(raw)} bytes do not make float32 numbers of shape {tuple(shape)}")
    return name, np.frombuffer(raw, "<f4").reshape(shape)


def _fields(message):
    """(number, value) of each field of a message. A value is an integer, or the bytes of a text, message or list."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(message, at)
        else:
            if kind == 2:
                size, at = _varint(message, at)
            else:
                size = {1: 8, 5: 4}[kind]
            value, at = message[at:at + size], at + size
        yield number, value


def _varints(message):
    at, values = 0, []
    while at < len(message):
        value, at = _varint(message, at)
        values.append(value)
    return values


def _varint(message, at):
    """(number, end) of a variable-length integer: seven bits a byte, lowest first; a byte below 128 is the last."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
