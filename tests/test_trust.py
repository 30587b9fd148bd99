"""The trust meter says yes, no and not shown where it must, and its intervals hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from types import MappingProxyType

import numpy as np
import pytest
from numpy.typing import NDArray

from hypernas.console import Voice
from hypernas.resampling import different
from hypernas.results import Meter, Network, Source, Training
from hypernas.trust import best_of_random, beyond, ceiling, meter, ranked, show, tied

Floats = NDArray[np.float64]


def network(
    number: int,
    accuracies: Sequence[float],
    *,
    score: float = 0.0,
    size: int = 100,
    source: Source = "random",
) -> Network:
    """Return a network with a training for each accuracy, of 10 CPU seconds."""
    seeds = [
        Training(seed=seed, epochs=1, val_accuracy=a, val_loss=0.0, test_accuracy=a, seconds=10.0)
        for seed, a in enumerate(accuracies)
    ]
    mean = sum(accuracies) / len(accuracies)
    return Network(
        choices={"n": number},
        params=size,
        macs=10 * size,
        score=score,
        interval=(score, score),
        score_accuracy=0.0,
        val_accuracy=mean,
        test_accuracy=mean,
        seeds=seeds,
        source=source,
    )


def sample(
    seed: int, count: int, *, by_size: float, by_score: float, noise: float = 0.5
) -> tuple[Floats, Floats, Floats]:
    """Return scores, accuracies and sizes (N,); both depend on size, and on something else."""
    rng = np.random.default_rng(seed)
    size, other = rng.normal(size=(2, count))
    accuracy = by_size * size + other + noise * rng.normal(size=count)
    scores = by_size * size + by_score * other + noise * rng.normal(size=count)
    return scores, accuracy, size


def test_beyond_size_covers() -> None:
    """Where a score knows the size alone, 95 of 100 intervals hold 0."""
    held = 0
    for seed in range(400):
        scores, accuracy, size = sample(seed, 20, by_size=2.0, by_score=0.0)
        found = beyond(scores, accuracy, [size])
        held += found.low <= 0 <= found.high
    assert 0.92 <= held / 400 <= 0.98


def test_beyond_size_finds_what_is_there() -> None:
    shown = 0
    for seed in range(50):
        scores, accuracy, size = sample(seed, 20, by_size=2.0, by_score=1.0)
        shown += beyond(scores, accuracy, [size]).low > 0
    assert shown > 40


def test_few_networks_show_nothing() -> None:
    found = beyond([1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 2.0, 3.0, 4.0, 5.0], [[1.0, 3, 2, 5, 4]] * 2)
    assert (found.low, found.high) == (-1, 1)


def test_a_score_that_is_the_size_adds_nothing() -> None:
    size = np.arange(20.0)
    found = beyond(size, size + np.tile([0.0, 3.0], 10), [size])
    assert found.value == 0
    assert found.low < 0 < found.high


def test_ties_are_those_of_the_seeds() -> None:
    """Three networks are drawn from one accuracy, one lies ten deviations below."""
    rng = np.random.default_rng(0)
    made = [
        network(n, list(0.9 + 0.005 * rng.normal(size=3)), size=100 * (3 - n)) for n in range(3)
    ]
    made.append(network(3, [0.85, 0.852, 0.848], size=10))
    found = tied(made)
    assert found is not None
    assert found.networks == 3
    assert found.smallest.choices == {"n": 2}
    within = [t.val_accuracy - n.val_accuracy for n in made for t in n.seeds]
    assert found.deviation == pytest.approx(sqrt(sum(d**2 for d in within) / 8))
    assert tied([network(0, [0.9]), network(1, [0.8])]) is None


def test_a_network_of_two_sources_counts_once() -> None:
    twice = [network(0, [0.9, 0.91], source=source) for source in ("search", "biggest")]
    found = tied([*twice, network(1, [0.5, 0.51])])
    assert found is not None
    assert found.networks == 1
    assert found.deviation == pytest.approx(0.01 / sqrt(2))


def test_of_two_sources_the_one_with_more_seeds_counts() -> None:
    once, often = network(1, [0.9]), network(1, [0.9, 0.7], source="biggest")
    (found,) = different([once, often])
    assert len(found.seeds) == 2
    (found,) = different([often, once])
    assert len(found.seeds) == 2


def test_networks_that_are_alike_are_a_tie() -> None:
    """Of 27 identical ones, 16 of them trained once, each is left out by luck in 5 of 100 worlds.

    A test of each against the best by Student's t left out a quarter, the best being that of 27.
    """
    rng, left_out = np.random.default_rng(0), []
    for _ in range(60):
        made = [
            network(n, list(0.8 + 0.01 * rng.normal(size=3 if n < 11 else 1))) for n in range(27)
        ]
        found = tied(made)
        assert found is not None
        left_out.append(1 - found.networks / 27)
    assert 0.01 < np.mean(left_out) < 0.06


def test_seeds_that_agree_to_the_last_digit_tell_all_apart() -> None:
    found = tied([network(0, [0.9, 0.9]), network(1, [0.8, 0.8]), network(2, [0.9])])
    assert found is not None
    assert (found.networks, found.deviation) == (2, 0.0)


def test_few_repetitions_tell_less_apart() -> None:
    """Of one pair of seeds Student's t has one degree of freedom: 6.3 deviations are luck."""
    repeated, other = network(0, [0.80, 0.82]), network(1, [0.72])
    tie = tied([repeated, other])
    assert tie is not None
    assert tie.networks == 2
    many = [network(n, [0.80, 0.82]) for n in range(2, 20)]
    tie = tied([*many, other])
    assert tie is not None
    assert tie.networks == 18


def test_what_the_ladder_spent_counts_for_random_search() -> None:
    networks = [network(n, [0.5 + 0.01 * n], score=n) for n in range(10)]
    found = [
        meter(networks, networks, {}, scored=10, search_seconds=50.0, paid_seconds=paid)
        for paid in (50.0, 80.0)
    ]
    assert [each.random_count for each in found if each] == [5, 8]
    assert len({each.signals[0].seconds for each in found if each}) == 1, "scores cost the same"


def test_best_of_random_by_drawing() -> None:
    accuracies = [0.1, 0.5, 0.7, 0.9]
    rng = np.random.default_rng(0)
    for count in (1, 3, 10):
        drawn = rng.choice(accuracies, (20_000, count)).max(1).mean()
        found = best_of_random(accuracies, accuracies, count)
        assert found.value == pytest.approx(drawn, abs=0.01)
        assert found.low <= found.value <= found.high + 1e-9 <= 0.9 + 1e-6


def test_the_best_of_random_is_chosen_by_validation() -> None:
    found = best_of_random([0.1, 0.2, 0.9, 0.3], [0.9, 0.8, 0.4, 0.7], 100)
    assert found.value == pytest.approx(0.4, abs=1e-6)


def test_ceiling_is_that_of_the_first_two_seeds() -> None:
    twice = [network(n, [n / 10, n / 10 + 0.001 * (-1) ** n]) for n in range(9)]
    found = ceiling(twice)
    assert found is not None
    assert found["all"].value == 1
    assert ceiling(twice[:7]) is None


def made(seed: int = 0, count: int = 24) -> list[Network]:
    scores, accuracy, size = sample(seed, count, by_size=1.0, by_score=1.0)
    right = 0.5 + accuracy / 20
    return [
        network(n, [float(right[n])], score=float(scores[n]), size=int(1000 + 100 * size[n]))
        for n in range(count)
    ]


def judged(
    sample: Sequence[Network],
    rivals: Mapping[str, tuple[Sequence[float], float]] = MappingProxyType({}),
    others: Sequence[Network] = (),
    *,
    seconds: float = 0.0,
) -> Meter | None:
    """Return what the meter says of a sample from a search of 100 candidates."""
    everything = [*sample, *others]
    return meter(
        sample, everything, rivals, scored=100, search_seconds=seconds, paid_seconds=seconds
    )


def test_what_the_meter_says() -> None:
    networks = made()
    searched = [network(100 + n, [0.7, 0.71], source="search") for n in range(2)]
    sizes = [float(one.params) for one in networks]
    noise = list(np.random.default_rng(1).normal(size=len(networks)))
    rivals = {"params": (sizes, 0.0), "noise": (noise, 2.0)}
    found = judged(networks, rivals, searched, seconds=100.0)
    assert found is not None
    assert [signal.name for signal in found.signals] == ["score", "params", "noise"]
    assert found.beyond_size == "yes"
    assert "adds information beyond size: yes" in found.text
    assert (found.networks, found.top, found.random_count) == (24, 5, 10)
    assert found.tie is not None
    assert found.tie.networks >= 2
    assert found.random_search is not None
    assert found.random_search.value <= max(n.test_accuracy or 0 for n in networks)
    again = judged(networks[::-1], {}, searched, seconds=100.0)
    assert again is not None
    assert again.signals[0].tau["all"].value == pytest.approx(found.signals[0].tau["all"].value)


def test_random_search_pays_for_as_many_seeds_as_the_sample_has() -> None:
    for seeds, count in ((1, 10), (2, 5)):
        drawn = [network(n, [0.5 + 0.01 * n] * seeds) for n in range(8)]
        searched = [
            network(90, [0.7, 0.9], source="search"),
            network(91, [0.8], source="search"),
        ]
        found = judged(drawn, others=searched, seconds=100.0)
        assert found is not None
        assert found.random_count == count
        assert found.searched == (0.8 if seeds == 1 else 0.9 / 2 + 0.7 / 2)


def test_nothing_is_told_of_a_few_pairs() -> None:
    """Eight networks have six pairs in their better half, and four of equal size."""
    kinds = [list(each.signals[0].tau) for n in (8, 20) if (each := judged(made(count=n)))]
    assert kinds == [["all"], ["all", "better half", "equal size"]]


def test_the_table_fits_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With all its columns, and the line of another seed."""
    monkeypatch.setenv("COLUMNS", "80")
    networks = [
        network(n, [0.3 + 0.01 * n, 0.9 - 0.01 * (n * 7 % 20)], size=100 + n) for n in range(20)
    ]
    show(Voice(), judged(networks, {"jacob-cov": ([-float(n * 3 % 20) for n in range(20)], 0.01)}))
    lines = capsys.readouterr().err.splitlines()
    for name in ("score", "jacob-cov", "another seed (20)"):
        (own,) = (line for line in lines if line.startswith(f"│ {name} "))
        assert own.count(" to ") == 1
        assert own.count("│") == 7


def test_the_smallest_of_a_tie_can_be_found() -> None:
    networks = [*made(), network(100, [0.2, 0.21], size=1, source="search")]
    found = judged([network(n, [0.9, 0.91], size=50 - n) for n in range(10)], {}, networks)
    assert found is not None
    assert found.tie is not None
    assert found.tie.smallest.choices == {"n": 9}
    assert "the smallest of them, a random one, has 41 params" in found.text


def test_a_rival_that_ranks_as_well_is_named() -> None:
    networks = made()
    perfect = [one.test_accuracy or 0.0 for one in networks]
    found = judged(networks, {"params": (perfect, 0.0)})
    assert found is not None
    assert (
        "params ranks them as well or better, 1.00 (1.00 to 1.00), at no higher cost" in found.text
    )
    dear = judged(networks, {"params": (perfect, 9.0)})
    assert dear is not None
    assert "params ranks" not in dear.text
    assert "no network was trained twice" in found.text
    assert found.random_search is None


def test_a_score_of_the_wrong_sign_says_no() -> None:
    networks = [
        network(n, [0.5 + n / 100], score=-float(n), size=100 + (7 * n) % 24) for n in range(24)
    ]
    found = judged(networks)
    assert found is not None
    assert found.beyond_size == "no"
    assert found.signals[0].tau["all"].value == -1


def test_too_few_networks() -> None:
    assert judged(made()[:7], seconds=1.0) is None


def test_equal_sizes_and_ties_in_rankings() -> None:
    one = ranked("x", [1.0] * 6, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [5.0] * 6, 0.0, 2)
    assert one.tau["all"].value == one.tau["equal size"].value == 0
    assert one.regret.value == pytest.approx(0.4)
