"""What a network reads is measured on the fit split alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from hypernas.data import Batches, Columns, Examples, Vocabulary
from hypernas.data.columns import Column
from hypernas.data.examples import Dataset
from hypernas.data.rows import stored_texts
from hypernas.data.vocabulary import UNKNOWN
from hypernas.errors import DataError

FIT = ["the cat sat, the cat!", "The dog sat.", "a bird"]


def texts(*given: str) -> Examples:
    return Examples(stored_texts(given), np.zeros(len(given), np.int64))


def table(rows: list[list[float]]) -> Examples:
    return Examples(np.array(rows, np.float32), np.zeros(len(rows), np.int64))


def test_words_of_two_texts_are_known_the_commonest_first() -> None:
    found = Vocabulary.of(texts(*FIT), unit="words", length=6)
    assert found.words == ("sat", "the")  # "cat" stands in one text only, if twice
    assert (found.vocabulary, found.shape(texts(*FIT))) == (4, (6,))
    stored = found.stored(texts("The cat sat on the mat, the end", "", "sat"))
    assert stored.tolist() == [
        [3, UNKNOWN, 2, UNKNOWN, 3, UNKNOWN],
        [0] * 6,
        [2, 0, 0, 0, 0, 0],
    ]
    assert stored.dtype == torch.int64


def test_bytes_need_no_vocabulary() -> None:
    found = Vocabulary.of(texts("ab", "é"), unit="bytes", length=3)
    assert found.stored(texts("é", "abcd")).tolist() == [[0xC3 + 1, 0xA9 + 1, 0], [98, 99, 100]]
    assert found.vocabulary == 257


def test_nine_of_ten_texts_are_not_cut() -> None:
    many = texts(*["word " * count for count in range(1, 12)])
    assert Vocabulary.of(many, unit="words").length == 10
    assert Vocabulary.of(texts("word " * 999), unit="words").length == 128
    assert Vocabulary.of(texts("word " * 999), unit="bytes").length == 512


def test_tokens_are_as_they_came() -> None:
    train = Examples(np.array([[1, 2, 9], [4, 0, 0]], np.int32), np.zeros(2, np.int64))
    found = Vocabulary.given(train)
    assert (found.vocabulary, found.length) == (10, 3)
    assert found.stored(train).tolist() == [[1, 2, 9], [4, 0, 0]]
    beyond = Examples(np.array([[1, 10, 0]], np.int32), np.zeros(1, np.int64))
    with pytest.raises(DataError, match="holds the token 10, but those to learn from go only to 9"):
        found.stored(beyond)


def test_columns_have_mean_0_and_deviation_1() -> None:
    names = (Column(name="x"), Column(name="town", categories=("a", "b", "c")), Column(name="same"))
    fit = table([[1, 0, 5], [3, 2, 5], [np.nan, 0, 5]])
    found = Columns.of(fit, names)
    assert found.shape(fit) == (4,)
    np.testing.assert_allclose(found.stored(fit), [[-1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0]])
    # a category that the fit split has not is none of the known ones
    np.testing.assert_allclose(found.stored(table([[2, 1, 6]])), [[0, 0, 0, 1]])


@pytest.mark.parametrize("other", [table([[1, 2, 3]]), texts("x")])
def test_other_inputs_are_refused(other: Examples) -> None:
    columns = Columns.of(table([[1], [2]]), (Column(name="x"),))
    with pytest.raises(DataError, match="encode them as they were loaded"):
        columns.stored(other)
    if other.kind == "table":
        with pytest.raises(DataError, match="is for text, not table"):
            Vocabulary.of(texts(*FIT), unit="words").stored(other)


@pytest.mark.parametrize(
    ("examples", "columns", "kind"),
    [(texts(*FIT), (), torch.int64), (table([[1], [2], [4]]), (Column(name="x"),), torch.float32)],
)
def test_batches_of_what_is_no_image(examples: Examples, columns: Any, kind: torch.dtype) -> None:
    dataset = Dataset("few", examples, None, ("a", "b"), columns=columns)
    encoding = dataset.encoding(examples)
    batches = Batches(examples=examples, batch_size=2, encoding=encoding, channels_last=False)
    inputs, labels = batches.random(0, "fit", 0)
    assert (inputs.shape, inputs.dtype) == ((2, *dataset.signature.input_shape), kind)
    assert labels.tolist() == [0, 0]
    whole = torch.cat([inputs for inputs, _ in batches.in_order()])
    torch.testing.assert_close(whole, encoding.stored(examples))
    torch.testing.assert_close(batches.fixed(torch.tensor([2]))[0], whole[2:])


def test_the_signature_says_what_a_space_needs() -> None:
    signature = Dataset("few", texts(*FIT), None, ("a", "b")).signature
    assert (signature.inputs, signature.vocabulary, signature.task) == (
        "texts",
        4,
        "classification",
    )
    example = signature.example_input()
    assert example.shape == (2, *signature.input_shape)
    assert int(example.min()) >= 0
    assert int(example.max()) < 4
