"""The verdict says no more than the networks, seeds and test images allow."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hypernas.results import Network, Training, Verdict
from hypernas.verdict import points, verdict


def network(name: int | str, val: list[float], test: Sequence[float | None]) -> Network:
    """Return a network with these accuracies, one of each a seed."""
    known = [accuracy for accuracy in test if accuracy is not None]
    return Network(
        choices={"name": name},
        params=1,
        macs=1,
        score=-1.0,
        interval=(-1.1, -0.9),
        score_accuracy=0.5,
        val_accuracy=float(np.mean(val)),
        test_accuracy=float(np.mean(known)) if known else None,
        seeds=[
            Training(
                seed=seed, epochs=1, val_accuracy=v, val_loss=0.1, test_accuracy=t, seconds=1.0
            )
            for seed, (v, t) in enumerate(zip(val, test, strict=True))
        ],
        source="search",
    )


def group(
    mean: float, *, k: int = 5, seeds: int = 3, spread: float = 0.003, first: int = 0
) -> list[Network]:
    """Return k networks around ``mean``; equal arguments give equal networks."""
    rng = np.random.default_rng(first)
    found = []
    for name in range(first, first + k):
        level = mean + spread * rng.standard_normal()
        val, test = level + 0.001 * rng.standard_normal((2, seeds))
        found.append(network(name, [float(v) for v in val], [float(t) for t in test]))
    return found


def big(mean: float, seeds: int = 3) -> Network:
    """Return the biggest network."""
    return group(mean, k=1, seeds=seeds, spread=0.0, first=900)[0]


def differences(found: Verdict) -> list[tuple[float, float, float]]:
    """Return all three differences."""
    three = (found.random_difference, found.best_difference, found.biggest_difference)
    return [difference for difference in three if difference is not None]


def test_clearly_better_search_is_a_yes():
    found = verdict(group(0.95), group(0.90, first=50), big(0.92), test_examples=10_000)
    assert (found.beats_random, found.beats_biggest) == ("yes", "yes")
    beaten = "Search beat random picks on the test split of 10,000 examples: +5."
    assert found.text.startswith(beaten)
    assert "the best searched network beat the biggest that fits: +" in found.text
    assert found.text.count(".") == found.text.count(".", 0, -1) + 1  # one sentence
    assert ". " not in found.text


def test_clearly_worse_search_is_a_no():
    found = verdict(group(0.90), group(0.95, first=50), big(0.94), test_examples=10_000)
    assert (found.beats_random, found.beats_biggest) == ("no", "no")
    assert "Search did worse than random picks" in found.text
    assert "the biggest network that fits did better" in found.text


def test_equal_groups_are_not_told_apart():
    found = verdict(group(0.9), group(0.9, first=50), big(0.9), test_examples=10_000)
    assert (found.beats_random, found.beats_biggest) == ("not shown", "not shown")
    assert "No difference between search and random picks was shown" in found.text


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_digits_are_too_few_for_a_verdict(seeds: int):
    """270 test images, three networks a group, accuracies as the tiny run gives them."""
    searched = [
        network(0, [0.974, 0.978, 0.97][:seeds], [0.970, 0.981, 0.967][:seeds]),
        network(1, [0.970, 0.967, 0.974][:seeds], [0.967, 0.963, 0.974][:seeds]),
        network(2, [0.981, 0.974, 0.978][:seeds], [0.978, 0.970, 0.981][:seeds]),
    ]
    drawn = [
        network(3, [0.959, 0.963, 0.956][:seeds], [0.956, 0.952, 0.963][:seeds]),
        network(4, [0.967, 0.970, 0.963][:seeds], [0.963, 0.967, 0.956][:seeds]),
        network(5, [0.952, 0.959, 0.956][:seeds], [0.952, 0.956, 0.948][:seeds]),
    ]
    largest = network(6, [0.970, 0.974, 0.967][:seeds], [0.963, 0.970, 0.967][:seeds])
    found = verdict(searched, drawn, largest, test_examples=270)
    assert (found.beats_random, found.beats_biggest) == ("not shown", "not shown")


def test_same_networks_same_verdict():
    arguments = group(0.91), group(0.9, first=50), big(0.9)
    first, second = (verdict(*arguments, test_examples=1000) for _ in range(2))
    assert first == second


def test_trading_places_turns_the_signs():
    one, other = group(0.91), group(0.9, first=50)
    there = verdict(one, other, big(0.9), test_examples=2000)
    back = verdict(other, one, big(0.9), test_examples=2000)
    for a, b in zip(differences(there)[:2], differences(back)[:2], strict=True):
        point, low, high = b
        assert a == pytest.approx((-point, -high, -low), abs=1e-3)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=3), min_size=4, max_size=7),
    st.integers(1, 2),
    st.integers(1, 20_000),
)
def test_interval_holds_the_point(tests: list[list[float]], searched: int, examples: int):
    """Whatever the accuracies, also with seeds missing here and there, and all right or wrong."""
    networks = [network(i, list(reversed(test)), list(test)) for i, test in enumerate(tests)]
    found = verdict(
        networks[:searched], networks[searched:-1], networks[-1], test_examples=examples
    )
    for point, low, high in differences(found):
        assert low <= point <= high
        assert high > low


def test_fewer_test_images_widen_the_interval():
    wide, narrow = (
        differences(verdict(group(0.91), group(0.9, first=50), big(0.9), test_examples=n))
        for n in (200, 20_000)
    )
    for (_, low, high), (_, lower, higher) in zip(wide, narrow, strict=True):
        assert high - low > 1.5 * (higher - lower)


def test_a_measure_that_is_no_share_brings_its_own_deviation():
    """The size of the split then says nothing: what resampled examples gave counts instead."""

    def measured(found: Network, deviation: float) -> Network:
        seeds = [replace(training, test_deviation=deviation) for training in found.seeds]
        return replace(found, seeds=seeds)

    wide, narrow = (
        differences(
            verdict(
                [measured(n, deviation) for n in group(0.91)],
                [measured(n, deviation) for n in group(0.9, first=50)],
                measured(big(0.9), deviation),
                test_examples=20,
            )
        )
        for deviation in (0.02, 0.0)
    )
    for (_, low, high), (_, lower, higher) in zip(wide, narrow, strict=True):
        assert high - low > 1.5 * (higher - lower)
    plain = differences(verdict(group(0.91), group(0.9, first=50), big(0.9), test_examples=20))
    for (_, low, high), (_, lower, higher) in zip(plain, wide, strict=True):
        assert high - low > 1.5 * (higher - lower)  # a binomial of 20 is wider than either


def test_fewer_networks_widen_the_interval():
    few, many = (
        verdict(
            group(0.91, k=k, spread=0.01),
            group(0.9, k=k, spread=0.01, first=50),
            big(0.9),
            test_examples=10**6,
        ).random_difference
        for k in (3, 30)
    )
    assert few is not None
    assert many is not None
    assert few[2] - few[1] > 3 * (many[2] - many[1])


def test_single_seed_is_said_and_proves_nothing_against_the_biggest():
    found = verdict(
        group(0.95, seeds=1), group(0.9, seeds=1, first=50), big(0.8, 1), test_examples=10_000
    )
    assert (found.beats_random, found.beats_biggest) == ("yes", "not shown")
    assert found.text.endswith(", with one seed, whose luck was not measured.")


def test_single_network_proves_nothing_against_random():
    found = verdict(group(0.99, k=1), group(0.8, k=1, first=50), big(0.8), test_examples=10_000)
    assert found.beats_random == "not shown"
    assert "with one network a group" in found.text


def test_pick_that_is_the_biggest_is_not_compared_with_itself():
    searched = group(0.95)
    largest = max(searched, key=lambda n: n.val_accuracy)
    found = verdict(searched, group(0.9, first=50), largest, test_examples=10_000)
    assert found.beats_biggest == "not shown"
    assert "the biggest network that fits was itself the best of the searched" in found.text


def test_comparisons_that_contradict_show_nothing():
    """A best far above, a mean below: neither may win alone."""
    searched = [network(i, [0.7] * 3, [0.7] * 3) for i in range(7)]
    searched += [network(7 + i, [0.99] * 3, [0.99] * 3) for i in range(5)]
    drawn = group(0.93, k=12, first=50)
    found = verdict(searched, drawn, big(0.9), test_examples=100_000)
    assert found.best_difference is not None
    assert found.best_difference[1] > 0
    assert found.random_difference is not None
    assert found.random_difference[0] < 0
    assert found.beats_random == "not shown"


def test_interval_of_the_mean_is_calibrated():
    """Of 95 % intervals around no difference, about 95 % hold it."""
    rng = np.random.default_rng(1)
    misses = 0
    for _ in range(60):
        pair = []
        for _ in range(2):
            levels = rng.normal(0.9, 0.01, size=(5, 1)) + rng.normal(0, 0.003, size=(5, 3))
            pair.append([network(i, list(row), list(row)) for i, row in enumerate(levels)])
        found = verdict(*pair, big(0.9), test_examples=10**7)
        assert found.random_difference is not None
        misses += not found.random_difference[1] <= 0 <= found.random_difference[2]
    assert misses <= 8  # binomial(60, 0.05): 9 or more once in 500


def test_missing_test_accuracy_is_our_bug():
    with pytest.raises(ValueError, match="no test accuracy"):
        verdict([network(0, [0.9], [None])], group(0.9), big(0.9), test_examples=10)
    with pytest.raises(ValueError, match="each group needs a network"):
        verdict([], group(0.9), big(0.9), test_examples=10)


def test_points_have_a_true_minus():
    assert [points(x) for x in (0.0123, -0.0123, 0.0)] == ["+1.2", "−1.2", "0.0"]


def test_training_more_candidates_than_random_ones_is_no_advantage() -> None:
    """Forty of which the scores say nothing, one seed each: the best of them is better by luck."""
    rng, yes, bests = np.random.default_rng(0), 0, []

    def drawn(first: int, count: int) -> list[Network]:
        found = []
        for name in range(first, first + count):
            level = 0.8 + 0.012 * rng.standard_normal()
            val, test = (level + 0.007 * rng.standard_normal(2)).tolist()
            found.append(network(name, [val], [test]))
        return found

    for world in range(40):
        found = verdict(drawn(0, 40), drawn(40, 8), big(0.8, 1), test_examples=10_000)
        assert found.best_difference is not None
        yes += found.beats_random == "yes"
        bests.append(found.best_difference[0])
        assert found.beats_biggest == "not shown", world
    assert yes <= 3
    assert abs(np.mean(bests)) < 0.004


def test_the_best_of_as_many_is_their_mean_over_all_choices() -> None:
    val = [0.5, 0.9, 0.7, 0.6]
    test = [0.1, 0.4, 0.3, 0.2]
    four = [network(n, [v], [t]) for n, (v, t) in enumerate(zip(val, test, strict=True))]
    two = [network(n, [v], [v]) for n, v in ((8, 0.5), (9, 0.55))]
    found = verdict(four, two, big(0.8), test_examples=100)
    every = [test[max(pair, key=lambda n: val[n])] for pair in combinations(range(4), 2)]
    assert found.best_difference is not None
    assert found.best_difference[0] == pytest.approx(np.mean(every) - 0.55)


def test_the_pick_is_judged_by_seeds_that_did_not_choose_it() -> None:
    """And the biggest by the same ones."""
    searched = [network(0, [0.9, 0.8, 0.8], [0.95, 0.8, 0.8]), network(1, [0.7] * 3, [0.7] * 3)]
    once = network(2, [0.99], [0.99])  # the others were trained further, and it was not
    large = network("large", [0.6, 0.7, 0.7], [0.5, 0.72, 0.74])
    found = verdict([*searched, once], group(0.7), large, test_examples=10_000)
    assert found.biggest_difference is not None
    assert found.biggest_difference[0] == pytest.approx(0.8 - 0.73)
    assert "by the seeds after the first" in found.text
    large = replace(large, seeds=large.seeds[:2])
    found = verdict([*searched, once], group(0.7), large, test_examples=10_000)
    assert found.biggest_difference is not None
    assert found.biggest_difference[0] == pytest.approx(0.8 - 0.72)


@pytest.mark.parametrize("seeds", [2, 3])
def test_the_best_of_equal_ones_does_not_beat_one_more(seeds: int) -> None:
    """Whose seed was luckiest on validation was so on test; by that seed it would beat it often."""
    rng, yes = np.random.default_rng(seeds), 0
    for _ in range(100):
        reached = 0.8 + 0.01 * rng.normal(size=(16, seeds))
        *others, large = [network(n, list(each), list(each)) for n, each in enumerate(reached)]
        found = verdict(others[:10], others[10:], large, test_examples=10**6)
        yes += found.beats_biggest == "yes"
    assert yes <= 7  # binomial(100, 0.025): 8 or more once in 300


def test_networks_are_held_against_each_other_by_the_seeds_that_all_have() -> None:
    """The first seed is lucky for all of them, by three points."""
    searched = [network(n, v := [0.83, 0.8, 0.8], v) for n in range(5)]
    drawn = [network(10 + n, v := [0.83, 0.8, 0.8][: 3 if n < 4 else 1], v) for n in range(8)]
    found = verdict(searched, drawn, big(0.8), test_examples=10_000)
    assert found.random_difference is not None
    assert found.best_difference is not None
    assert found.random_difference[0] == pytest.approx(0)
    assert found.best_difference[0] == pytest.approx(0)


def test_further_seeds_count_where_as_many_random_ones_have_them() -> None:
    searched = [network(n, v := [0.83, 0.8, 0.8], v) for n in range(5)]
    drawn = [network(10 + n, v := [0.83, 0.77, 0.77][: 3 if n < 5 else 1], v) for n in range(8)]
    found = verdict(searched, drawn, big(0.8), test_examples=10_000)
    assert found.random_difference is not None
    assert found.random_difference[0] == pytest.approx(0.02)
    once = [replace(one, seeds=one.seeds[: 1 if n else 3]) for n, one in enumerate(searched)]
    found = verdict(once, drawn, big(0.8), test_examples=10_000)
    assert found.random_difference is not None
    assert found.random_difference[0] == pytest.approx(0)


def test_a_pick_of_one_seed_shows_nothing_though_luck_is_known() -> None:
    found = verdict(group(0.9), group(0.8, first=50), big(0.8, 1), test_examples=10_000)
    assert found.biggest_difference is not None
    assert found.biggest_difference[1] > 0
    assert found.beats_biggest == "not shown"
    assert "by one seed, which shows nothing" in found.text
    assert "whose luck was not measured" not in found.text


def test_a_first_seed_that_chose_is_left_out() -> None:
    searched = [network(n, v := [0.9 + 0.001 * n, 0.8], v) for n in range(5)]
    drawn = [network(10 + n, v := [0.7, 0.79 + 0.001 * n], v) for n in range(5)]
    found = verdict(searched, drawn, big(0.8), test_examples=10**6, chosen=True)
    assert found.random_difference is not None
    assert found.random_difference[0] == pytest.approx(0.8 - 0.792)
    once = [replace(one, seeds=one.seeds[:1]) for one in searched]
    found = verdict(once, drawn, big(0.8), test_examples=10**6, chosen=True)
    assert found.random_difference is not None
    assert found.random_difference[1] > 0
    assert (found.beats_random, found.beats_biggest) == ("not shown", "not shown")
    assert "by the seed that chose the searched, which shows nothing" in found.text
    assert verdict(once, drawn, big(0.8), test_examples=10**6).beats_random == "yes"


def test_a_seed_that_chose_is_no_measure_of_luck() -> None:
    """First seeds of the searched are the luckiest of many, and would widen the interval."""
    searched = [network(n, v := [0.9, 0.8, 0.801], v) for n in range(5)]
    drawn = [replace(network(9 + n, v := [0.7, 0.701], v), source="random") for n in range(5)]
    large = replace(big(0.75), source="biggest")
    found = verdict(searched, drawn, large, test_examples=10**7, chosen=True)
    assert found.beats_biggest == "yes"
    assert verdict(searched, drawn, large, test_examples=10**7).beats_biggest == "not shown"


def test_one_seed_has_the_luck_of_networks_that_have_several() -> None:
    """Of 95 % intervals around no difference about 95 % hold it, of one seed that is judged."""
    rng, misses, clear = np.random.default_rng(2), 0, 0

    def reached(level: float) -> list[float]:
        return [float(v) for v in level + 0.006 * rng.normal(size=2)]

    for _ in range(100):
        several = [network(n, v := reached(0.8 + 0.01 * rng.normal()), v) for n in range(6)]
        one, other = reached(0.8), reached(0.8)
        large = network("large", other, other)
        found = verdict([network("pick", one, one)], several, large, test_examples=10**7)
        misses += found.beats_biggest != "not shown"
        better = [v + 0.05 for v in one]
        found = verdict([network("pick", better, better)], several, large, test_examples=10**7)
        clear += found.beats_biggest == "yes"
        assert "luck was not measured" in found.text  # of one network a group
    assert 1 <= misses <= 11  # binomial(100, 0.05)
    assert clear > 90
