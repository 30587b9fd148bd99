"""Splits: disjoint, stratified, a function of data and seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hypernas.data import Examples, split
from hypernas.errors import DataError

PROPERTY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
COUNTS = st.lists(st.integers(3, 60), min_size=2, max_size=5)


def numbers(examples: Examples) -> list[int]:
    """Return which examples of the toy data these are."""
    high, low = examples.inputs[:, 0, 0, 0].astype(int), examples.inputs[:, 0, 0, 1]
    return (high * 256 + low).tolist()


@PROPERTY
@given(
    counts=COUNTS,
    seed=st.integers(0, 9),
    validation=st.floats(0.01, 0.49),
    test=st.floats(0.01, 0.49),
)
def test_disjoint_complete_and_stratified(make_dataset, counts, seed, validation, test):
    dataset = make_dataset(counts)
    splits = split(dataset, seed=seed, validation_share=validation, test_share=test)
    parts = (splits.fit, splits.validation, splits.test)
    assert sorted(number for part in parts for number in numbers(part)) == list(range(sum(counts)))
    for label, count in enumerate(counts):
        sizes = [int((part.labels == label).sum()) for part in parts]
        assert min(sizes) >= 1
        assert abs(sizes[1] - count * validation) <= 1
        assert abs(sizes[2] - count * test) <= 2
    again = split(dataset, seed=seed, validation_share=validation, test_share=test)
    assert numbers(again.fit) == numbers(splits.fit)


@PROPERTY
@given(counts=COUNTS, limit=st.integers(15, 120))
def test_max_examples(make_dataset, counts, limit):
    splits = split(make_dataset(counts), seed=0, max_examples=limit)
    parts = (splits.fit, splits.validation, splits.test)
    used = [number for part in parts for number in numbers(part)]
    assert len(used) == len(set(used)) == min(limit, sum(counts))
    labels = np.concatenate([part.labels for part in parts])
    kept = np.bincount(labels, minlength=len(counts))
    assert (kept <= counts).all()
    order = np.argsort(counts, kind="stable")
    assert (np.diff(kept[order]) >= -1).all()  # bigger classes keep more


def test_seeds_differ(make_dataset):
    dataset = make_dataset([50, 50])
    assert numbers(split(dataset, seed=0).fit) != numbers(split(dataset, seed=1).fit)


def test_own_test_set_is_never_mixed(make_dataset):
    dataset = make_dataset([10, 10], tested=[2, 3])
    splits = split(dataset, seed=0, validation_share=0.2, max_examples=10)
    assert splits.test is dataset.test
    assert (len(splits.fit), len(splits.validation)) == (8, 2)


def test_too_few_examples_name_the_class(make_dataset):
    with pytest.raises(DataError, match="'class1' of toy has 2 training examples, but 3 are"):
        split(make_dataset([9, 2]), seed=0)
    with pytest.raises(DataError, match="'class1' of toy has 1 training examples, but 2 are"):
        split(make_dataset([9, 1], tested=[1, 1]), seed=0)
    with pytest.raises(DataError, match="'class1' of toy has no example in the test set"):
        split(make_dataset([9, 9], tested=[1]), seed=0)


def test_options_that_cannot_work(make_dataset):
    dataset = make_dataset([9, 9])
    with pytest.raises(DataError, match=r"--examples 5 is too few.*are 6"):
        split(dataset, seed=0, max_examples=5)
    with pytest.raises(DataError, match=r"validation and test are 0\.5 and 0\.5"):
        split(dataset, seed=0, validation_share=0.5, test_share=0.5)
    with pytest.raises(DataError, match="above 0"):
        split(dataset, seed=0, validation_share=0.0)
