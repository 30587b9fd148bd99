"""Splits of a data set into examples to fit on, to choose by and to test with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hypernas.data.examples import Dataset, Examples
from hypernas.errors import DataError
from hypernas.randomness import numpy_rng


@dataclass(frozen=True, eq=False)
class Splits:
    """Disjoint examples with every class in each, where each example has one."""

    fit: Examples
    """to train hypernetworks and finalists on"""
    validation: Examples
    """to score and to choose by"""
    test: Examples
    """to measure the chosen with, once"""


def split(
    dataset: Dataset,
    *,
    seed: int,
    validation_share: float = 0.15,
    test_share: float = 0.15,
    max_examples: int | None = None,
) -> Splits:
    """Split ``dataset`` by class, as a function of it and ``seed`` only.

    Args:
        dataset: its own test set, if it has one, is the test split, whole.
        seed: of the draw.
        validation_share: part of the training examples, above 0.
        test_share: part of the training examples where there is no test set.
        max_examples: use no more than so many of the training examples, drawn by class.

    Raises:
        DataError: a class has too few examples, or an option cannot work.
    """
    shares = [validation_share] if dataset.test is not None else [validation_share, test_share]
    _require_shares(shares)
    labels = dataset.train.strata
    counts = np.bincount(labels, minlength=len(_strata(dataset)))
    _require_counts(dataset, counts, len(shares) + 1)
    quotas = _quotas(counts, len(shares) + 1, max_examples)
    chosen: list[list[np.ndarray]] = [[] for _ in range(len(shares) + 1)]
    for label, quota in enumerate(quotas):
        order = numpy_rng(seed, "split", label).permutation(np.flatnonzero(labels == label))
        ends = np.cumsum(_sizes(int(quota), shares))
        for part, indices in zip(chosen, np.split(order[:quota], ends), strict=True):
            part.append(indices)
    parts = [dataset.train.take(np.sort(np.concatenate(part))) for part in chosen]
    test = dataset.test if dataset.test is not None else parts[1]
    return Splits(fit=parts[-1], validation=parts[0], test=test)


def _strata(dataset: Dataset) -> tuple[str, ...]:
    """Return the names of the groups that are split evenly: of all where examples have no class."""
    return dataset.classes if dataset.train.labels.ndim == 1 else ("any",)


def _require_shares(shares: list[float]) -> None:
    if not (all(share > 0 for share in shares) and sum(shares) < 1):
        raise DataError(
            f"the shares of validation and test are {' and '.join(map(str, shares))}; "
            "each must be above 0 and their sum below 1"
        )


def _require_counts(dataset: Dataset, counts: np.ndarray, needed: int) -> None:
    """Refuse a class with fewer than ``needed`` training examples or none in the test set."""
    names = _strata(dataset)
    for name, count in zip(names, counts, strict=True):
        if count < needed:
            raise DataError(
                f"class {name!r} of {dataset.name} has {count} training examples, but {needed} are "
                "needed, one a split; add some or leave the class out"
            )
    if dataset.test is None:
        return
    tested = np.bincount(dataset.test.strata, minlength=len(names))
    for name, count in zip(names, tested, strict=True):
        if count == 0:
            raise DataError(
                f"class {name!r} of {dataset.name} has no example in the test set, but 1 is "
                "needed; add one or leave the class out"
            )


def _quotas(counts: np.ndarray, needed: int, limit: int | None) -> np.ndarray:
    """Return how many examples of each class are used, their sum at most ``limit``.

    Each class gets ``needed``; the rest goes by the classes' sizes, largest remainders first.
    """
    if limit is None or limit >= counts.sum():
        return counts
    least = needed * len(counts)
    if limit < least:
        raise DataError(
            f"--examples {limit} is too few: {len(counts)} classes of {needed} examples, "
            f"one a split, are {least}"
        )
    shares, left = counts - needed, limit - least
    exact = shares * left
    extra = exact // shares.sum()
    by_remainder = np.argsort(-(exact % shares.sum()), kind="stable")
    extra[by_remainder[: left - extra.sum()]] += 1
    return needed + extra


def _sizes(count: int, shares: list[float]) -> list[int]:
    """Return how many of ``count`` examples go to each share; one at least is left for the rest."""
    sizes, left = [], count
    for position, share in enumerate(shares):
        others = len(shares) - position  # later shares and the rest, one example each
        size = min(max(1, round(count * share)), left - others)
        sizes.append(size)
        left -= size
    return sizes
