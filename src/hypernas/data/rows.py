"""Texts and tables from ``.csv`` and ``.jsonl`` files: one example a row, with named cells.

A cell ``label`` (or ``class`` or ``target``) is what is to be told. With a cell ``text`` the rows
are texts, without one a table. A cell ``split`` that is ``test`` puts a row into the test set.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from hypernas.data.columns import Column
from hypernas.data.examples import Dataset, Examples
from hypernas.errors import DataError

SUFFIXES = (".csv", ".jsonl")
LABELS = ("label", "class", "target")
TEXT, SPLIT = "text", "split"
MOST_BYTES = 8192
"""of a text; what is longer is cut"""

Row = dict[str, str]


def load_rows(path: Path) -> Dataset:
    """Load a ``.csv`` file with a header, or a ``.jsonl`` file with one object a line.

    Raises:
        DataError: the file cannot be read, or a row lacks a cell.
    """
    rows = _read_csv(path) if path.suffix.lower() == ".csv" else _read_lines(path)
    if not rows:
        raise DataError(f"{path} holds no rows; give a header and an example a line")
    label = next((name for name in LABELS if name in rows[0]), None)
    if label is None:
        raise DataError(
            f"{path} has no column {', '.join(LABELS[:-1])} or {LABELS[-1]} (it has: "
            f"{', '.join(rows[0])}); name the one to tell {LABELS[0]}"
        )
    tested = np.array([row.get(SPLIT, "").lower() == "test" for row in rows])
    if tested.all():
        raise DataError(f"{path}: every row is of the split test; leave some to learn from")
    given = [row[label] for row in rows]
    if TEXT in rows[0]:
        inputs, columns = stored_texts([row[TEXT] for row in rows]), ()
    else:
        names = [name for name in rows[0] if name not in (label, SPLIT)]
        inputs, columns = _table(path, {name: [row[name] for row in rows] for name in names})
    return labelled(path, inputs, given, tested, columns)


def labelled(
    path: Path,
    inputs: np.ndarray,
    given: Sequence[str],
    tested: np.ndarray,
    columns: tuple[Column, ...] = (),
) -> Dataset:
    """Return the data set of ``inputs`` (n, ...) whose labels are names, those to learn from alone.

    Args:
        path: the file that it is named by.
        inputs: texts, tokens or a table.
        given: the label of each.
        tested: which are the test set, bool (n,); none leaves it to the splits.
        columns: of a table.

    Raises:
        DataError: fewer than two classes, or one that only the test set has.
    """
    names = np.array(given)
    classes = _classes(names[~tested])
    if len(classes) < 2:
        raise DataError(
            f"{path}: labels hold only the class {classes[0]!r}; at least two classes are needed"
        )
    strange = sorted(set(given) - set(classes))
    if strange:
        raise DataError(
            f"{path}: label {strange[0]!r} is in the test set only; leave those rows out or add "
            "such rows to learn from"
        )
    numbers = {name: number for number, name in enumerate(classes)}
    labels = np.array([numbers[name] for name in given], np.int64)
    train = Examples(inputs[~tested], labels[~tested])
    test = Examples(inputs[tested], labels[tested]) if tested.any() else None
    return Dataset(path.stem, train, test, classes, columns=columns)


def stored_texts(texts: Sequence[str]) -> np.ndarray:
    """Return texts as uint8 (n, most bytes): UTF-8, filled up with zeros, at most 8,192 bytes."""
    coded = [text.replace("\0", " ").encode()[:MOST_BYTES] for text in texts]
    found = np.zeros((len(coded), max(1, *map(len, coded))), np.uint8)
    for row, code in zip(found, coded, strict=True):
        row[: len(code)] = np.frombuffer(code, np.uint8)
    return found


def _classes(names: np.ndarray) -> tuple[str, ...]:
    """Return the different labels in order; numbers by their value."""
    found = sorted(set(names.tolist()))
    return tuple(sorted(found, key=float) if all(map(_is_number, found)) else found)


def _table(path: Path, cells: dict[str, list[str]]) -> tuple[np.ndarray, tuple[Column, ...]]:
    """Return cells as float32 (n, columns): numbers, or positions among a column's categories."""
    if not cells:
        raise DataError(f"{path} has no column beside the label; give what it is to be told from")
    columns, stored = [], []
    for name, values in cells.items():
        known = [value for value in values if value.strip()]
        if all(map(_is_number, known)):
            columns.append(Column(name=name))
            stored.append([float(value) if value.strip() else np.nan for value in values])
            continue
        categories = tuple(sorted(set(values)))
        columns.append(Column(name=name, categories=categories))
        stored.append([categories.index(value) for value in values])
    return np.array(stored, np.float32).T.copy(), tuple(columns)


def _is_number(text: str) -> bool:
    try:
        return np.isfinite(float(text)).item()
    except ValueError:
        return False


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}; save it as UTF-8") from error


def _read_csv(path: Path) -> list[Row]:
    reader = csv.reader(io.StringIO(_text_of(path), newline=""))
    try:
        header, *lines = [line for line in reader if line] or [[]]
    except csv.Error as error:
        raise DataError(f"{path} cannot be read as .csv: {error}; write it again") from error
    for number, line in enumerate(lines, start=2):
        if len(line) != len(header):
            raise DataError(
                f"{path}, row {number}: {len(line)} cells, but the header names {len(header)}; "
                "put quotes around cells that hold commas"
            )
    return [dict(zip(header, line, strict=True)) for line in lines]


def _read_lines(path: Path) -> list[Row]:
    rows: list[Row] = []
    for number, line in enumerate(_text_of(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = msgspec.json.decode(line, type=dict[str, str | int | float | bool | None])
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise DataError(
                f"{path}, line {number}: {error}; expected one JSON object of plain values a line"
            ) from error
        cells = {name: _written(value) for name, value in row.items()}
        if rows and cells.keys() != rows[0].keys():
            odd = min(cells.keys() ^ rows[0].keys())
            raise DataError(
                f"{path}, line {number}: {odd!r} is not in every line; give all lines the same keys"
            )
        rows.append(cells)
    return rows


def _written(value: str | float | bool | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
