"""Texts and tables are read from rows, and what is wrong is said in a line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hypernas import data
from hypernas.data.rows import MOST_BYTES, load_rows, stored_texts
from hypernas.errors import DataError

TEXTS = [("a good film", "yes"), ("a bad, bad film", "no"), ("ein schöner Film", "yes")]


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def read_texts(path: Path) -> list[str]:
    inputs = load_rows(path).train.inputs
    return [row.tobytes().rstrip(b"\0").decode() for row in inputs]


def test_texts_of_both_kinds_are_the_same(tmp_path: Path) -> None:
    rows = ["text,label", *(f'"{text}",{label}' for text, label in TEXTS)]
    table = load_rows(write(tmp_path / "texts.csv", *rows))
    lines = [json.dumps({"text": text, "label": label}) for text, label in TEXTS]
    other = load_rows(write(tmp_path / "texts.jsonl", *lines))
    assert table.fingerprint == other.fingerprint
    assert table.classes == ("no", "yes")
    assert table.train.labels.tolist() == [1, 0, 1]
    assert read_texts(tmp_path / "texts.csv") == [text for text, _ in TEXTS]
    assert (table.train.kind, table.train.task) == ("text", "classification")


def test_a_table_has_numbers_and_categories(tmp_path: Path) -> None:
    rows = ["age,town,class,split", "3,Ulm,0,train", ",Bonn,1,train", "5.5,Ulm,1,", "7,Kiel,0,test"]
    found = load_rows(write(tmp_path / "people.csv", *rows))
    assert [(c.name, c.categories) for c in found.columns] == [
        ("age", ()),
        ("town", ("Bonn", "Kiel", "Ulm")),
    ]
    np.testing.assert_array_equal(found.train.inputs, [[3, 2], [np.nan, 0], [5.5, 2]])
    assert found.test is not None
    np.testing.assert_array_equal(found.test.inputs, [[7, 1]])
    assert (found.train.labels.tolist(), found.test.labels.tolist()) == ([0, 1, 1], [0])


def test_numbers_as_labels_keep_their_order(tmp_path: Path) -> None:
    rows = ["x,target", *(f"1,{label}" for label in (10, 9, 2))]
    assert load_rows(write(tmp_path / "t.csv", *rows)).classes == ("2", "9", "10")


def test_a_file_is_found_by_its_ending(tmp_path: Path) -> None:
    path = write(tmp_path / "few.csv", "x,label", "1,a", "2,b")
    assert data.load(str(path)).train.kind == "table"


def test_long_texts_are_cut() -> None:
    assert stored_texts(["ab", "x" * (MOST_BYTES + 5), ""]).shape == (3, MOST_BYTES)


@pytest.mark.parametrize(
    ("name", "lines", "words"),
    [
        ("a.csv", [], "holds no rows"),
        (
            "a.csv",
            ["text,kind", "x,1"],
            "has no column label, class or target (it has: text, kind)",
        ),
        ("a.csv", ["text,label", "x,1", "x,1,2"], "row 3: 3 cells, but the header names 2"),
        ("a.csv", ["text,label", "x,1", "y,1"], "only the class '1'"),
        ("a.csv", ["text,label,split", "x,1,test"], "every row is of the split test"),
        (
            "a.csv",
            ["x,label,split", "1,a,", "1,b,", "1,c,test"],
            "label 'c' is in the test set only",
        ),
        ("a.csv", ["label", "a", "b"], "no column beside the label"),
        ("a.jsonl", ['{"text": "x", "label": 1}', "{}"], "line 2: 'label' is not in every line"),
        ("a.jsonl", ['{"text": ["x"], "label": 1}'], "line 1"),
        ("a.jsonl", ["{"], "expected one JSON object of plain values a line"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, name: str, lines: list[str], words: str) -> None:
    with pytest.raises(DataError) as caught:
        load_rows(write(tmp_path / name, *lines))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
