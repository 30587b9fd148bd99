"""Pickles: what the data sets hold is read; anything else is refused and nothing happens."""

from __future__ import annotations

import builtins
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from hypernas.data.guarded_pickle import read_pickle
from hypernas.errors import DataError

RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
CONTENT = {
    "data": np.arange(60, dtype=np.uint8).reshape(5, 12),
    "mean": np.linspace(0, 1, 12),
    "labels": [3, 300, 70_000, -1, 2**40],
    "pair": (1, 2.5, None, True, False, ()),
    "names": ["a", "ü", b"raw"],
    "empty": [[], {}],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "batch"


@pytest.mark.parametrize("protocol", range(5))
def test_what_the_data_sets_hold_is_read(path: Path, protocol: int) -> None:
    path.write_bytes(pickle.dumps(CONTENT, protocol))
    found = read_pickle(path)
    assert found.keys() == CONTENT.keys()
    for key in ("data", "mean"):
        assert found[key].dtype == CONTENT[key].dtype
        assert np.array_equal(found[key], CONTENT[key])
    assert {k: v for k, v in found.items() if k not in ("data", "mean")} == {
        k: v for k, v in CONTENT.items() if k not in ("data", "mean")
    }


def test_strings_of_python_2(path: Path) -> None:
    """As CIFAR's own files are: protocol 2, byte strings, pixels in one of them."""
    data = np.array([[0, 128], [255, 7]], np.uint8)
    path.write_bytes(
        b"\x80\x02}(U\x04dataq\x00cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02"
        b"K\x00\x85U\x01b\x87Rq\x03(K\x01K\x02K\x02\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x04"
        + data.tobytes()
        + b"tb"
        b"U\x06labels](K\x01K\x00eu."
    )
    found = read_pickle(path)
    assert np.array_equal(found["data"], data)
    assert found["labels"] == [1, 0]


def test_arrays_by_columns_and_of_other_byte_order(path: Path) -> None:
    arrays = {"f": np.asfortranarray(np.arange(6).reshape(2, 3)), "b": np.arange(3, dtype=">i4")}
    path.write_bytes(pickle.dumps(arrays, 2))
    found = read_pickle(path)
    assert all(np.array_equal(found[key], array) for key, array in arrays.items())


class Call:
    """Pickles as a call of ``function``."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.reduced

    def __call__(self) -> None:
        """Let the result of a call be called in turn."""


def attacks(target: str) -> dict[str, bytes]:
    """Return pickles that would write, or import and run, ``target`` if they were obeyed."""
    shell = f"touch {target}"
    evil = {
        "os.system": Call(os.system, shell),
        "eval": Call(eval, f"open({target!r}, 'w')"),
        "exec": Call(exec, f"open({target!r}, 'w')"),
        "open": Call(open, target, "w"),
        "nested getattr": Call(Call(getattr, Call(__import__, "os"), "system"), shell),
        "numpy loads": Call(np.load, target, None, True),
        "numpy save": Call(np.save, target, np.zeros(2)),
        "numpy memmap": Call(np.memmap, target, "u1", "w+", 0, (4,)),
        "in a list": [1, Call(os.system, shell)],
        "object array": np.array([Call(os.system, shell)], dtype=object),
        "plain object array": np.array([None, "a"], dtype=object),
        "builtins": builtins.print,
    }
    made = {
        f"{name}, protocol {protocol}": pickle.dumps({"data": it}, protocol)
        for name, it in evil.items()
        for protocol in (0, 2, 4)
    }
    quoted = shell.encode()
    return made | {
        "INST": b"(S'" + quoted + b"'\nios\nsystem\n.",
        "OBJ": b"(cos\nsystem\nS'" + quoted + b"'\no.",
        "NEWOBJ": b"\x80\x02cos\nsystem\nU" + bytes([len(quoted)]) + quoted + b"\x85\x81.",
        "reconstruct of another": RECONSTRUCT + b"(cnumpy\ndtype\n(I0\ntS'b'\ntR.",
        "reconstruct of a shape": RECONSTRUCT + b"(cnumpy\nndarray\n(I9\ntS'b'\ntR.",
        "another codec": b"c_codecs\nencode\n(Vabc\nVbz2\ntR.",
        "call of an array": b"cnumpy\nndarray\n(I9999999\ntR.",
        "call of a number": b"(dS'a'\nI1\n(tRs.",
        "state of a name": b"cnumpy\nndarray\n(dS'shape'\nI1\nsb.",
        "state of a list": b"](dS'a'\nI1\nsb.",
        "submodule": b"\x80\x04\x8c\x05numpy\x8c\x0bcore.memmap\x93.",
        "dotted": b"cnumpy\nndarray.tofile\n.",
        "persistent": b"(dS'a'\nPos\ns.",
        "persistent, binary": b"\x80\x02}U\x01aU\x01bQs.",
        "extension": b"\x80\x02}U\x01a\x82\x01s.",
        "set": pickle.dumps({"a": {1, 2}}, 4),
        "buffer": b"\x80\x05}\x8c\x01a\x97s.",
        "no dictionary": pickle.dumps([1], 2),
        "empty array": b"}U\x01a" + RECONSTRUCT + b"(cnumpy\nndarray\n(I0\ntS'b'\ntRs.",
        "key of numbers": pickle.dumps({1: 2}, 2),
    }


@pytest.mark.parametrize("name", attacks("x"))
def test_anything_else_is_refused_and_nothing_happens(
    path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = path.with_name("written")
    calls: list[str] = []
    content = attacks(str(target))[name]
    monkeypatch.setattr(os, "system", lambda command: calls.append(command))
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_pickle(path)
    text = str(caught.value)
    assert str(path) in text
    assert "is no part of this data set" in text, text
    assert "\n" not in text
    assert not target.exists()
    assert calls == []


def test_the_refused_is_named(path: Path) -> None:
    path.write_bytes(pickle.dumps({"a": Call(os.system, "true")}, 2))
    with pytest.raises(DataError, match=r"holds 'posix\.system'"):
        read_pickle(path)
    path.write_bytes(attacks("x")["plain object array, protocol 2"])
    with pytest.raises(DataError, match=r"an array of type '\|O8'"):
        read_pickle(path)
    path.write_bytes(b"c" + b"a" * 10_000 + b"\nb\n.")
    with pytest.raises(DataError) as caught:
        read_pickle(path)
    assert len(str(caught.value)) < 500


def test_damage_is_said(path: Path) -> None:
    whole = pickle.dumps(CONTENT, 2)
    huge = struct.pack("<I", 2**31 - 1)
    for content in (
        *(whole[:length] for length in range(0, len(whole) - 1, 7)),
        b"text",
        b"\x80\x02}X" + huge + b"ab.",
        b"0.",
        b"R.",
        b"}h\x05.",
        b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.",
    ):
        path.write_bytes(content)
        with pytest.raises(DataError) as caught:
            read_pickle(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="is truncated or is no pickle"):
        read_pickle(path.with_name("nothing"))
