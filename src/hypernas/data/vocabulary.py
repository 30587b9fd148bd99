"""Texts as integers: a vocabulary of words, or bytes, measured on the texts to learn from.

Shapes: n texts of L tokens.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from hypernas.data.encodings import tensor, unchanged
from hypernas.errors import DataError
from hypernas.results import Struct

if TYPE_CHECKING:
    from hypernas.data.examples import Examples

Unit = Literal["words", "bytes"]

PADDING, UNKNOWN = 0, 1
"""numbers that stand for no word"""
PATTERN = r"\w+|[^\w\s]"
"""a word, or a sign that stands alone; texts are put in lower case before"""
MOST_WORDS = 4000
LEAST_COUNT = 2
"""texts a word must stand in to have a number of its own"""
MOST_LENGTH = {"words": 128, "bytes": 512}
"""tokens of a text where the user asks for no other length"""
USUAL_SHARE = 0.9
"""share of the texts that are not cut then"""


class Vocabulary(Struct, frozen=True):
    """What stands for each word: 0 fills up short texts, 1 is any other word, 2 the commonest.

    Of bytes, number k + 1 is byte k; of texts that came as numbers, they are as they came.
    """

    unit: Literal["words", "bytes", "numbers"]
    length: int
    """tokens of a text, L: longer ones are cut, shorter ones filled up"""
    size: int
    """how many different numbers there are"""
    words: tuple[str, ...] = ()
    """those with a number of their own, the commonest first; the first one is number 2"""

    @classmethod
    def of(cls, texts: Examples, *, unit: Unit, length: int | None = None) -> Vocabulary:
        """Measure it on ``texts``: words that stand in at least two of them, at most 4,000."""
        plain = _decoded(texts)
        cut = [_words(text) for text in plain]
        lengths = [len(text.encode()) for text in plain] if unit == "bytes" else map(len, cut)
        usual = int(np.quantile(list(lengths), USUAL_SHARE))
        length = length or max(2, min(usual, MOST_LENGTH[unit]))
        if unit == "bytes":
            return cls(unit=unit, length=length, size=257)
        counts = Counter(word for words in cut for word in set(words))
        known = sorted((-n, word) for word, n in counts.items() if n >= LEAST_COUNT)
        words = tuple(word for _, word in known[:MOST_WORDS])
        return cls(unit=unit, length=length, size=len(words) + 2, words=words)

    @classmethod
    def given(cls, tokens: Examples) -> Vocabulary:
        """Return that of texts that came as numbers."""
        size = int(tokens.inputs.max()) + 1
        return cls(unit="numbers", length=tokens.shape[0], size=size)

    @property
    def vocabulary(self) -> int | None:
        """How many different numbers there are."""
        return self.size

    def shape(self, examples: Examples) -> tuple[int, ...]:
        """Return (L,)."""
        return (self.length,)

    def stored(self, examples: Examples) -> Tensor:
        """Return the numbers of each text, int64 (n, L).

        Raises:
            DataError: the examples are no texts, or numbers beyond the vocabulary.
        """
        expected = "tokens" if self.unit == "numbers" else "text"
        if examples.kind != expected:
            raise DataError(f"a vocabulary of {self.unit} is for {expected}, not {examples.kind}")
        if self.unit == "numbers":
            largest = int(examples.inputs.max(initial=0))
            if largest >= self.size:
                raise DataError(
                    f"a text holds the token {largest}, but those to learn from go only to "
                    f"{self.size - 1}; number the rare ones as one unknown token"
                )
            return tensor(examples.inputs.astype(np.int64))
        numbers = {word: number for number, word in enumerate(self.words, start=UNKNOWN + 1)}
        found = np.full((len(examples), self.length), PADDING, np.int64)
        for row, text in zip(found, _decoded(examples), strict=True):
            if self.unit == "bytes":
                known = [byte + 1 for byte in text.encode()[: self.length]]
            else:
                known = [numbers.get(w, UNKNOWN) for w in _words(text)[: self.length]]
            row[: len(known)] = known
        return tensor(found)

    def reader(self, device: str | torch.device) -> Callable[[Tensor], Tensor]:
        """Return the numbers as they are."""
        return unchanged


def _decoded(texts: Examples) -> list[str]:
    """Return texts that are stored as UTF-8, filled up with zeros; a cut last sign is left out."""
    return [row.tobytes().rstrip(b"\0").decode("utf-8", "ignore") for row in texts.inputs]


def _words(text: str) -> list[str]:
    return re.findall(PATTERN, text.lower())
