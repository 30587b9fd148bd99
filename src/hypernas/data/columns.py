"""Tables as numbers: columns of mean 0 and deviation 1, and one column a category.

Measured on the rows to learn from. Shapes: n rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hypernas.data.encodings import tensor, unchanged
from hypernas.errors import DataError
from hypernas.results import Struct

if TYPE_CHECKING:
    from hypernas.data.examples import Examples


class Column(Struct, frozen=True):
    """A column of a table as it is stored."""

    name: str
    categories: tuple[str, ...] = ()
    """what its numbers stand for; empty where they are numbers"""


class Numeric(Struct, frozen=True, tag="numeric"):
    """A column of numbers; an empty cell counts as the mean."""

    name: str
    mean: float
    std: float

    width = 1

    def encoded(self, cells: np.ndarray) -> np.ndarray:
        """Return cells (n,) as (n, 1) of mean 0 and deviation 1."""
        return np.nan_to_num((cells - self.mean) / self.std)[:, None]


class Categorical(Struct, frozen=True, tag="categorical"):
    """A column of categories; one that it does not know is 0 everywhere."""

    name: str
    categories: tuple[str, ...]
    """those of the rows it was measured on"""
    numbers: tuple[int, ...]
    """how each is stored"""

    @property
    def width(self) -> int:
        """How many columns it becomes."""
        return len(self.categories)

    def encoded(self, cells: np.ndarray) -> np.ndarray:
        """Return cells (n,) as (n, categories): 1 where the cell is of the category, else 0."""
        return (cells[:, None] == np.array(self.numbers)).astype(np.float64)


class Columns(Struct, frozen=True):
    """What each column of a table becomes."""

    columns: tuple[Numeric | Categorical, ...]

    @classmethod
    def of(cls, rows: Examples, columns: Sequence[Column]) -> Columns:
        """Measure means, deviations and categories on ``rows``."""
        return cls(
            columns=tuple(
                _measured(column, rows.inputs[:, position].astype(np.float64))
                for position, column in enumerate(columns)
            )
        )

    @property
    def vocabulary(self) -> int | None:
        """None: cells are floats."""
        return None

    def shape(self, examples: Examples) -> tuple[int, ...]:
        """Return the number of columns that the network sees."""
        return (sum(column.width for column in self.columns),)

    def stored(self, examples: Examples) -> Tensor:
        """Return the encoded rows, float32 (n, columns).

        Raises:
            DataError: the examples are no such table.
        """
        if examples.kind != "table" or examples.shape != (len(self.columns),):
            raise DataError(
                f"the columns are {len(self.columns)} of a table, the examples are "
                f"{examples.kind} {examples.shape}; encode them as they were loaded"
            )
        cells = examples.inputs.astype(np.float64).T
        parts = [c.encoded(values) for c, values in zip(self.columns, cells, strict=True)]
        return tensor(np.concatenate(parts, axis=1).astype(np.float32))

    def reader(self, device: str | torch.device) -> Callable[[Tensor], Tensor]:
        """Return the rows as they are."""
        return unchanged


def _measured(column: Column, cells: np.ndarray) -> Numeric | Categorical:
    known = cells[~np.isnan(cells)]
    if column.categories:
        numbers = tuple(sorted({int(number) for number in known}))
        names = tuple(column.categories[number] for number in numbers)
        return Categorical(name=column.name, categories=names, numbers=numbers)
    mean = float(known.mean()) if len(known) else 0.0
    std = float(known.std()) if len(known) else 0.0
    return Numeric(name=column.name, mean=mean, std=std or 1.0)
