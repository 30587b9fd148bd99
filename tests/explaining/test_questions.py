"""Questions: who is asked, who answers yes, and in which words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hypernas.explaining.questions import Question, of_choices, of_counts, of_motifs, ordered


def answers(questions: list[Question]) -> dict[str, list[int]]:
    """Return for each question the candidates that answer yes."""
    return {q.text: np.flatnonzero(q.having).tolist() for q in questions}


def test_each_value_of_a_decision_is_asked_about() -> None:
    architectures: list[Any] = [{"op": op} for op in ("conv", "pool", "skip", "conv")]
    assert answers(of_choices(architectures)) == {
        "op = conv": [0, 3],
        "op = pool": [1],
        "op = skip": [2],
    }


def test_of_two_values_one_is_enough() -> None:
    assert answers(of_choices([{"bias": False}, {"bias": True}])) == {"bias = yes": [1]}
    assert answers(of_choices([{"kernel": 5}, {"kernel": 3}])) == {"kernel = 5": [0]}


def test_only_those_that_face_a_decision_are_asked() -> None:
    found = of_choices([{"depth": 1}, {"depth": 2, "op1": "a"}, {"depth": 2, "op1": "b"}])
    asked = {q.text: np.flatnonzero(q.asked).tolist() for q in found}
    assert asked == {"depth = 2": [0, 1, 2], "op1 = b": [1, 2]}


def test_many_numbers_are_cut_in_halves() -> None:
    architectures: list[Any] = [{"width": width} for width in range(10)]
    assert answers(of_choices(architectures)) == {"width more than 4": [5, 6, 7, 8, 9]}


def test_options_of_a_subset_are_asked_about() -> None:
    found = answers(of_choices([{"heads": ["a"]}, {"heads": ["a", "b"]}, {"heads": []}]))
    assert found == {"heads has a": [0, 1], "heads has b": [1]}


def test_what_all_have_is_not_asked() -> None:
    assert of_choices([{"op": "conv"}, {"op": "conv"}]) == []
    assert of_motifs([{"depth": 3.0}, {"depth": 3.0}]) == []


def test_places_of_a_family_are_counted() -> None:
    ops = ["aab", "bbb", "aaa", "abb"]
    found = answers(of_counts([{f"n{i}.op": op for i, op in enumerate(row)} for row in ops]))
    assert found == {"n*.op = b: more than 1 of 3": [1, 3]}


def test_families_of_varying_number_are_shares_and_numbers_have_means() -> None:
    rows = [[1, 1, 7], [7], [1, 3], []]
    found = answers(of_counts([{f"k{i}": k for i, k in enumerate(row)} for row in rows]))
    assert found["k*, mean: more than 2"] == [0, 1]
    assert found["k* = 7: more than 0 % of them"] == [0, 1]


def test_how_many_options_subsets_hold() -> None:
    rows: list[Any] = [{"b0": [1], "b1": [1]}, {"b0": [1, 2], "b1": [3, 4]}]
    assert answers(of_counts(rows)) == {"b*, how many on average: more than 1": [1]}


def test_figures_that_a_graph_lacks_are_zero() -> None:
    assert answers(of_motifs([{"conv": 2.0}, {}])) == {"conv: more than 0": [0]}


def test_values_are_in_order() -> None:
    assert ordered([10, 9, 9, "b", None, "a", True]) == [9, 10, "a", "b", None, True]


@pytest.mark.parametrize("question", of_choices([{"a": 1}, {"b": 2}, {"a": 2}, {"b": 1}]))
def test_who_is_not_asked_does_not_answer(question: Question) -> None:
    assert not (question.having & ~question.asked).any()
