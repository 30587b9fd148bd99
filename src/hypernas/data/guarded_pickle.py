"""The pickles that CIFAR and ImageNet32x32 are published as, read without running anything in them.

A pickle is a program for a small machine with a stack. Python's own machine can import any name and
call it, so a pickle can do anything. The machine here knows the steps that these files need and no
more: it builds numbers, strings, lists, tuples and dictionaries, and numpy arrays of plain numbers
out of the bytes given. It imports nothing and calls nothing: the four names that numpy's arrays are
pickled with are only recognised. ``pickletools`` splits the file into steps and runs none.
"""

from __future__ import annotations

import mmap
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hypernas.errors import DataError

PLAIN = re.compile(r"[|<>=]?(b1|[iu][1248]|f[248])")
"""the number types that an array may have"""
LONGEST = 80
"""characters of a refused name that are shown"""

VALUES = set(
    """INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING
    SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES
    BINBYTES8""".split()
)
"""the steps that push the value they carry"""
NOTHING = {"PROTO", "FRAME", "STOP"}


class _RefusedError(Exception):
    """Something that these files never hold."""


class _Name:
    """One of the names that may occur; it stands for what it names and cannot be called."""

    def __init__(self, name: str) -> None:
        self.name = name


RECONSTRUCT, NDARRAY, DTYPE, ENCODE = map(_Name, ("_reconstruct", "ndarray", "dtype", "encode"))
NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): RECONSTRUCT,
    ("numpy", "ndarray"): NDARRAY,
    ("numpy", "dtype"): DTYPE,
    ("_codecs", "encode"): ENCODE,
}


class _Type:
    """A number type under construction."""

    def __init__(self, code: str) -> None:
        self.code = code

    def build(self, state: Any) -> None:
        """Take the byte order from ``state``: (version, order, no parts, ...)."""
        if not (isinstance(state, tuple) and len(state) >= 5 and state[2:5] == (None,) * 3):
            raise _RefusedError("a number type of parts")
        self.code = f"{_text(state[1])}{self.code}"
        if not PLAIN.fullmatch(self.code):
            raise _RefusedError(f"an array of type {self.code[:LONGEST]!r}")


class _Array:
    """An array under construction."""

    def __init__(self) -> None:
        self.array: np.ndarray | None = None

    def build(self, state: Any) -> None:
        """Make the array from ``state``: (version, shape, type, by columns, bytes)."""
        if not (isinstance(state, tuple) and len(state) == 5):
            raise _RefusedError("an array without its state")
        _, shape, kind, fortran, content = state
        if isinstance(content, str):  # of Python 2, whose strings are bytes
            content = content.encode("latin-1")
        if not (isinstance(kind, _Type) and isinstance(content, bytes)):
            raise _RefusedError("an array of objects")
        if not PLAIN.fullmatch(kind.code):
            raise _RefusedError(f"an array of type {kind.code[:LONGEST]!r}")
        flat = np.frombuffer(content, np.dtype(kind.code))
        self.array = flat.reshape(shape, order="F" if fortran else "C")


def read_pickle(path: Path) -> dict[str, Any]:
    """Return the dictionary that the file holds: numbers, strings, lists and arrays by name.

    Strings of Python 2 and the names are decoded as Latin-1; arrays are read-only.

    Raises:
        DataError: the file is truncated or no pickle, or holds anything else.
    """
    machine = _Machine()
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            for step, value, _ in pickletools.genops(text):  # ty: ignore[invalid-argument-type]
                machine.do(step.name, value)
        return _finished(machine.stack)
    except _RefusedError as error:
        raise DataError(
            f"{path} holds {error}, which is no part of this data set and is not read: such a "
            "pickle could run anything; get the file again from where it is published"
        ) from error
    except (ValueError, IndexError, KeyError, TypeError, OSError, OverflowError) as error:
        raise DataError(
            f"{path} is truncated or is no pickle ({error or type(error).__name__}); "
            "get the file again"
        ) from error


class _Machine:
    """The stack, its marks and the memory of a pickle's program."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []
        self.memory: dict[int, Any] = {}

    def do(self, step: str, value: Any) -> None:
        """Do one step."""
        if step in VALUES:
            self.stack.append(value)
        elif step in STEPS:
            STEPS[step](self, value)
        elif step not in NOTHING:
            raise _RefusedError(f"the step {step}")

    def put(self, value: Any) -> None:
        """Remember the top of the stack under a number."""
        self.memory[len(self.memory) if value is None else int(value)] = self.stack[-1]

    def mark(self, value: Any) -> None:
        """Begin a new part of the stack."""
        self.outer.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        """Take what was pushed since the last mark."""
        part, self.stack = self.stack, self.outer.pop()
        return part

    def collect(self, kind: Callable[[list[Any]], Any]) -> None:
        """Push what ``kind`` makes of the part since the mark."""
        part = self.since_mark()
        self.stack.append(kind(part))

    def tie(self, count: int) -> None:
        """Push a tuple of the ``count`` top values."""
        if len(self.stack) < count:
            raise IndexError("the stack is too short")
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def add(self, values: list[Any]) -> None:
        """Append to the list on top."""
        _of(list, self.stack[-1]).extend(values)

    def fill(self, pairs: list[Any]) -> None:
        """Set entries of the dictionary on top."""
        _of(dict, self.stack[-1]).update(_entries(pairs))

    def name(self, module: Any, name: Any) -> None:
        """Push one of the known names."""
        if (module, name) not in NAMES:
            raise _RefusedError(f"{f'{module}.{name}'[:LONGEST]!r}")
        self.stack.append(NAMES[module, name])

    def reduce(self, value: Any) -> None:
        """Push what a known name makes of its arguments."""
        arguments, maker = self.stack.pop(), self.stack.pop()
        self.stack.append(_made(maker, arguments))

    def build(self, value: Any) -> None:
        """Give the array or type on top its state."""
        state = self.stack.pop()
        if not isinstance(self.stack[-1], _Array | _Type):
            raise _RefusedError(f"a state for a {type(self.stack[-1]).__name__}")
        self.stack[-1].build(state)


def _pushes(value: Any) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.stack.append(value)


STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "NONE": _pushes(None),
    "NEWTRUE": _pushes(True),
    "NEWFALSE": _pushes(False),
    "EMPTY_TUPLE": _pushes(()),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "MARK": _Machine.mark,
    "LIST": lambda machine, _: machine.collect(list),
    "TUPLE": lambda machine, _: machine.collect(tuple),
    "DICT": lambda machine, _: machine.collect(lambda part: _entries(part)),
    "TUPLE1": lambda machine, _: machine.tie(1),
    "TUPLE2": lambda machine, _: machine.tie(2),
    "TUPLE3": lambda machine, _: machine.tie(3),
    "APPEND": lambda machine, _: machine.add([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.add(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.fill([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _: machine.fill(machine.since_mark()),
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.put,
    "GET": lambda machine, value: machine.stack.append(machine.memory[int(value)]),
    "BINGET": lambda machine, value: machine.stack.append(machine.memory[value]),
    "LONG_BINGET": lambda machine, value: machine.stack.append(machine.memory[value]),
    "GLOBAL": lambda machine, value: machine.name(*value.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.name(machine.stack.pop(-2), machine.stack.pop()),
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
}
"""every other step that is known"""


def _made(maker: Any, arguments: Any) -> Any:
    """Return what numpy's and Python's own functions would, for the only arguments that occur."""
    match maker, arguments:
        case _Name(name="_reconstruct"), (_Name(name="ndarray"), (0,), b"b" | "b"):
            return _Array()
        case _Name(name="dtype"), (str() | bytes() as code, *_):
            return _Type(_text(code))
        case _Name(name="encode"), (str() as text, "latin1" | "latin-1"):
            return text.encode("latin-1")
    shown = maker.name if isinstance(maker, _Name) else type(maker).__name__
    raise _RefusedError(f"a call of {shown!r} with other arguments than its own")


def _of(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise _RefusedError(f"entries for a {type(value).__name__}")
    return value


def _entries(pairs: list[Any]) -> dict[Any, Any]:
    """Return keys and values that follow each other as a dictionary; the keys must be strings."""
    return dict(zip(map(_text, pairs[::2]), pairs[1::2], strict=True))


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if not isinstance(value, str):
        raise _RefusedError(f"a {type(value).__name__} where a name belongs")
    return value


def _finished(stack: list[Any]) -> dict[str, Any]:
    """Return the dictionary that the program ended with, its arrays finished."""
    if len(stack) != 1 or not isinstance(stack[0], dict):
        raise _RefusedError("no dictionary")
    return {key: _array(value) for key, value in stack[0].items()}


def _array(value: Any) -> Any:
    if isinstance(value, _Name | _Type) or (isinstance(value, _Array) and value.array is None):
        raise _RefusedError("an array that was never filled")
    return value.array if isinstance(value, _Array) else value
