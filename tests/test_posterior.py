"""What is believed of candidates holds as often as it says, also of those that were chosen."""

from __future__ import annotations

import numpy as np
import pytest
from ladder_worlds import World

from hypernas.posterior import (
    Climber,
    Features,
    Floats,
    Posterior,
    Prior,
    _chosen,
    _tamed,
    described,
    link,
)
from hypernas.scoring import WORST

PRIORS = [Prior()] * 3


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hypernas.posterior.DRAWS", 500)


def nothing(count: int) -> Features:
    """Return what is known of candidates of which nothing is."""
    return Features(np.zeros((count, 0)), np.zeros(0))


class Ladder:
    """Candidates of a world who climb as the posterior says, beside some that nothing chose."""

    def __init__(self, seed: int, count: int = 120) -> None:
        self.world = World(seed, candidates=count - 15, unchosen=15)
        self.truth = self.world.mean
        self.height = np.ones(count, dtype=int)
        self.height[-15:] = 4  # nothing chose them
        sizes = [(one.params, one.macs) for one in self.world.entries]
        self.features = described([one.choices for one in self.world.entries], sizes, {})

    @property
    def posterior(self) -> Posterior:
        climbers = [
            Climber(
                signals=list(self.world.signals[:height, number])[:3],
                accuracies=self._accuracies(number) if height == 4 else [],
            )
            for number, height in enumerate(self.height)
        ]
        return Posterior(climbers, PRIORS, self.features, seed=0)

    def _accuracies(self, number: int) -> list[float]:
        return list(self.world.accuracies[number][: self.world.entries[number].seeds or 1])

    def climb(self, counts: tuple[int, ...] = (40, 16, 8)) -> Posterior:
        for rung, count in enumerate(counts, start=2):
            there = np.flatnonzero(self.height == rung - 1)
            self.height[there[np.argsort(-self.posterior.means[there])[:count]]] = rung
        return self.posterior


def test_intervals_hold_on_every_rung() -> None:
    held: dict[int, list[bool]] = {1: [], 2: [], 3: [], 4: []}
    for seed in range(12):
        ladder = Ladder(seed)
        found = ladder.climb()
        gap = np.abs(ladder.truth - found.means) < 1.645 * found.deviations
        for rung, every in held.items():
            every += list(gap[ladder.height == rung])
    for rung, every in held.items():
        assert 0.82 < np.mean(every) < 0.98, f"rung {rung}: 90 % hold in {np.mean(every):.0%}"


def test_who_climbed_higher_is_known_better() -> None:
    ladder = Ladder(0)
    found = ladder.climb()
    deviations = [found.deviations[ladder.height == rung].mean() for rung in (1, 2, 3, 4)]
    assert deviations == sorted(deviations, reverse=True)


def test_the_best_of_many_that_were_trained_once_is_not_as_good_as_it_looked() -> None:
    """With more seeds it is believed, and so are the others."""

    def believed(seeds: int) -> Posterior:
        rng = np.random.default_rng(0)
        own = rng.normal(0.8, 0.01, 30)
        climbers = [
            Climber(signals=[0.0], accuracies=list(mean + rng.normal(0, 0.01, seeds)))
            for mean in own
        ]
        climbers[0] = Climber(signals=[0.0], accuracies=[0.85] * seeds)
        return Posterior(climbers, [Prior()], nothing(30), seed=0)

    once, often = believed(1), believed(8)
    assert once.means[0] < 0.843
    assert 0.845 < often.means[0] < 0.851
    assert often.deviations[0] < 0.7 * once.deviations[0]


def test_before_anybody_is_trained_the_highest_rung_is_foretold() -> None:
    climbers = [Climber(signals=[float(n)] + [2.0 * n] * (n % 2)) for n in range(40)]
    found = Posterior(climbers, PRIORS, nothing(40), seed=0)
    np.testing.assert_allclose(found.means[1::2], 2.0 * np.arange(1, 40, 2))
    np.testing.assert_allclose(found.means[0::2], 2.0 * np.arange(0, 40, 2), atol=6)


def test_the_prior_speaks_where_little_is_known() -> None:
    """A line through two points is no certainty, and one point is no error."""
    below = np.array([[1.0], [2.0]])
    features = Features(np.array([[0.0], [0.5]]), np.zeros(1))
    rng = np.random.default_rng(0)

    def fitted(count: int) -> tuple[Floats, Floats]:
        targets, weights = np.array([0.5, 0.7])[:count], np.ones(count)
        some = features.of(np.arange(2) < count)
        found = link(below[:count], some, targets, weights, Prior(), 0.1)
        return found.lines([np.broadcast_to(below[:, 0], (2000, 2))], features, rng)

    lines, noise = fitted(2)
    assert (lines.std(0) > 0.02).all()
    assert noise.mean() > 0.05
    assert np.isfinite(fitted(1)[0]).all()


def test_many_candidates_overrule_the_prior() -> None:
    rng = np.random.default_rng(0)
    below, values = rng.normal(size=(400, 1)), 0.3 * rng.normal(size=(400, 2))
    features = Features(values, np.array([0.5, 0.5]))
    targets = -0.5 * below[:, 0] + values[:, 0] + 0.1 * rng.normal(size=400)
    found = link(below, features, targets, np.ones(400), Prior(), 1.0)
    spread = below[:, 0].std()
    assert found.slopes[:3] == pytest.approx([-0.5 * spread, 1, 0], abs=0.1)
    assert found.squares / found.freedom == pytest.approx(0.02, abs=0.03)


def test_choices_say_nothing_until_they_are_seen_to() -> None:
    """Each "a" adds 2 points; one trained network says nothing of it, 60 say it."""
    rng = np.random.default_rng(0)
    architectures = [
        {f"edge{place}.op": str(rng.choice(["a", "b", "c"])) for place in range(6)}
        for _ in range(200)
    ]
    good = np.array([list(one.values()).count("a") for one in architectures])
    accuracy = 0.8 + 0.02 * good + 0.005 * rng.normal(size=200)
    features = described(architectures, [(1, 1)] * 200, {})

    def learned(trained: int) -> float:
        climbers = [
            Climber(signals=[0.0], accuracies=[accuracy[n]] if n < trained else [])
            for n in range(200)
        ]
        means = Posterior(climbers, [Prior()], features, seed=0).means
        return float(np.corrcoef(means[100:], accuracy[100:])[0, 1])

    assert learned(60) > 0.9
    spread = Posterior(
        [Climber(signals=[0.0], accuracies=[0.8] if n < 1 else []) for n in range(200)],
        [Prior()],
        features,
        seed=0,
    ).means.std()
    assert spread < 0.001


def test_what_is_chosen_where_is_learned_from() -> None:
    """Only the first place counts, so that how often "a" is chosen says little."""
    rng = np.random.default_rng(0)
    architectures = [
        {f"layer{place}": str(rng.choice(["a", "b", "c"])) for place in range(6)}
        for _ in range(200)
    ]
    good = np.array([one["layer0"] == "a" for one in architectures])
    accuracy = 0.8 + 0.02 * good + 0.005 * rng.normal(size=200)
    climbers = [
        Climber(signals=[0.0], accuracies=[accuracy[n]] if n < 40 else []) for n in range(200)
    ]
    features = described(architectures, [(1, 1)] * 200, {})
    means = Posterior(climbers, [Prior()], features, seed=0).means
    assert np.corrcoef(means[40:], good[40:])[0, 1] > 0.75


def test_a_zero_cost_score_is_learned_from() -> None:
    rng = np.random.default_rng(0)
    value = rng.normal(size=100)
    accuracy = 0.8 + 0.01 * value
    value[0], accuracy[0] = -1e9, 0.8  # it overflowed
    features = described([{}] * 100, [(1, 1)] * 100, {"naswot": value.tolist()})
    climbers = [
        Climber(signals=[0.0], accuracies=[right] if n < 30 else [])
        for n, right in enumerate(accuracy)
    ]
    means = Posterior(climbers, [Prior()], features, seed=0).means
    assert np.corrcoef(means[30:], accuracy[30:])[0, 1] > 0.99
    overflowed = described([{}] * 100, [(1, 1)] * 100, {"naswot": [-1e9, *[1.0] * 99]})
    assert (overflowed.values == 0).all(), "one that overflowed among equals tells nothing"


def test_before_any_training_the_bigger_is_supposed_to_be_better() -> None:
    """And what has more of the zero-cost scores that rank nearly everywhere; not of the others."""
    values = {"naswot": [0.0, 0.0, 1.0, 0.0], "snip": [0.0, 0.0, 0.0, 1.0]}
    features = described([{}] * 4, [(10, 10), (20, 20), (10, 10), (10, 10)], values)
    climbers = [Climber(signals=[0.0], accuracies=[0.8] if n == 0 else []) for n in range(4)]
    plain, bigger, richer, other = Posterior(climbers, [Prior()], features, seed=0).means
    assert bigger > plain + 0.001
    assert richer > plain + 0.001
    assert other == pytest.approx(plain, abs=0.0015)
    again = Prior(0.95, 0.1, features=False)
    rescored = [Climber(signals=[0.0, 0.0] if n == 0 else [0.0]) for n in range(4)]
    means = Posterior(rescored, [again, Prior()], features, seed=0).means
    assert np.ptp(means) < 0.1, "a score on more images is the same score"


def test_architectures_are_described_by_how_often_and_by_where() -> None:
    one, other = {"node0.op": "a", "node1.op": "b"}, {"node0.op": "b", "node1.op": "a"}
    third = {"node0.op": "a", "node1.op": "a", "reads": [1, 2]}
    counts, places = np.split(_chosen([one, other, third]), [4], axis=1)  # a, b, reads 1, reads 2
    assert places.shape == (3, 4), "a name without numbers has no places"
    np.testing.assert_allclose(counts[0], counts[1])
    assert not np.allclose(places[0], places[1])
    assert not np.allclose(counts[0], counts[2])
    found = described([one, other, third], [(10, 100), (10, 100), (20, 300)], {}).values
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-12)
    alike = described([one, one], [(10, 100), (10, 100)], {}).values
    assert alike.shape == (2, 2)  # what all have in common is no feature
    assert (alike == 0).all()


def test_a_space_of_many_places_is_described_by_no_more_columns_than_candidates() -> None:
    """What is believed depends on the inner products of the rows alone, which are the same."""
    rng = np.random.default_rng(0)
    many = [
        {f"node{n}.op": str(rng.choice(["a", "b", "c"])) for n in range(200)} for _ in range(20)
    ]
    found = described(many, [(1, 1)] * 20, {}).values[:, 2:]
    assert found.shape == (20, 19)
    every = _chosen(many)
    assert every.shape[1] > 500
    np.testing.assert_allclose(found @ found.T, every @ every.T, atol=1e-12)


def test_what_lies_far_below_keeps_its_order() -> None:
    """A run knows the best of hundreds, a narrow band, and random ones far below."""
    rng = np.random.default_rng(0)
    band, far = rng.normal(0, 0.01, 270), np.array([-0.2, -0.3, -0.25, -0.15, -0.4])
    tamed = _tamed(np.concatenate([band, far]))
    assert (np.argsort(tamed[270:]) == np.argsort(far)).all()
    assert len(set(tamed[270:].tolist())) == len(far)
    near = np.abs(band - np.median(band)) < 0.02
    np.testing.assert_allclose(tamed[:270][near], band[near])


def test_many_without_a_value_hide_no_other() -> None:
    values = np.concatenate([np.linspace(0, 1, 60), np.full(40, WORST)])
    tamed = _tamed(values)
    np.testing.assert_allclose(tamed[:60], values[:60])
    assert (tamed[60:] < -1).all()
    assert (tamed[60:] > -10).all()
    equal = np.array([0.1] * 8 + [0.3, 0.2])
    np.testing.assert_allclose(_tamed(equal), equal)
    assert (_tamed(np.full(3, WORST)) == 0).all()


def test_a_signal_that_overflowed_hides_no_other() -> None:
    rng = np.random.default_rng(0)
    score = rng.normal(size=60)
    accuracy = 0.8 + 0.01 * score

    def correlation(values: Floats) -> float:
        climbers = [
            Climber(signals=[value], accuracies=[right] if n < 20 else [])
            for n, (value, right) in enumerate(zip(values, accuracy, strict=True))
        ]
        means = Posterior(climbers, [Prior()], nothing(60), seed=0).means
        return float(np.corrcoef(means[21:], accuracy[21:])[0, 1])

    broken = score.copy()
    broken[[0, 20]] = -1e9
    assert correlation(score) > 0.99
    assert correlation(broken) > 0.99
