"""Says whether the search paid, from networks trained for real, no louder than the data allow.

Three differences of test accuracy are judged, each with a 95 % interval from 10,000 resamples:

- mean of the searched minus mean of the random networks;
- the best by validation among the searched minus the best by validation among the random, of as
  many: where one group is larger, what is to be expected of the best of so many of it;
- the best by validation among the searched minus the biggest that fits.

**What is resampled.** For the first two, networks within each group with replacement, then seeds
within each network with replacement; the best is chosen anew, by resampled validation accuracy, in
every resample. The biggest is one particular network and the finalists are the ones this search
gave, so for the third only seeds are resampled, and the pick among the finalists is made anew.

**Why that is stretched.** A bootstrap of k items is too narrow: for a mean by √((k-1)/k), and it
knows nothing of Student's t. The resampled deviations are stretched by the factor that makes the
interval of a difference of two means as wide as Student's: 1.7 for k = 3, 1.3 for k = 5, almost 1
for k = 50 (narrowness bias: Hesterberg, arXiv 1411.5279; he moves the percentiles instead).

**The test split is a sample too.** Seeds share its images, so more seeds do not average its luck
away: each network's accuracy gets one binomial draw of the split's size a resample (of a measure
that is no share of the examples, a normal draw of the deviation that resampled examples gave it).
Networks get independent draws although they share the examples; what they share would cancel in a
difference, so this errs towards "not shown".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, sqrt

import numpy as np
from scipy import stats

from hypernas.choices import canonical
from hypernas.results import Answer, Contrast, Network, Rebuilt, Verdict

RESAMPLES = 10_000

Difference = tuple[float, float, float]
"""a difference of accuracies (shares of 1) with its 95 % interval: (point, low, high)"""


def contrast(one: Rebuilt, others: Sequence[Rebuilt], *, test_examples: int) -> Contrast:
    """Say whether one network is better on a test split than others are on average.

    Seeds are resampled, and of several others the networks too. The answer is "not shown" where
    the interval holds 0, and where a single seed leaves luck unmeasured.

    Args:
        one: the network in question.
        others: one network to hold it against, or several that stand for their kind.
        test_examples: size of the test split.
    """
    rng = np.random.default_rng(0)
    a, b = _group([one]), _group(others)
    compare = _against_biggest if len(others) == 1 else _against_mean
    difference = compare(a, b, test_examples, rng)
    lucky = min(_fewest_seeds(a), _fewest_seeds(b)) < 2
    return Contrast(answer="not shown" if lucky else _answer(difference), difference=difference)


def interval_of_mean(values: Sequence[float]) -> tuple[float, float] | None:
    """Return Student's 95 % interval of the mean; None of a single value, which has no spread.

    >>> low, high = interval_of_mean([0.90, 0.91, 0.92])
    >>> round(low, 3), round(high, 3)
    (0.885, 0.935)
    """
    if len(values) < 2:
        return None
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / sqrt(len(values))
    return float(np.mean(values) - half), float(np.mean(values) + half)


def verdict(
    finalists: Sequence[Network],
    random: Sequence[Network],
    biggest: Network,
    *,
    test_examples: int,
    picks: Sequence[Network] | None = None,
) -> Verdict:
    """Compare the searched networks with random ones and with the biggest that fits.

    ``beats_random`` is "yes" when one of its two differences, of means or of bests, has its whole
    interval above 0 and the other is not negative; "no" when one has its whole interval below 0 and
    the other is not positive. Each of the two may err in 2.5 of 100 cases in each direction, so the
    answer errs in at most 5. With one network a group nothing is known of the spread between
    networks, and the answer is "not shown".

    ``beats_biggest`` follows the interval of the third difference. It is "not shown" when the pick
    is the biggest itself, and with a single seed, as two networks then differ by luck as well.

    Args:
        finalists: the searched.
        random: networks drawn at random within the same limits.
        biggest: the biggest network within the limits.
        test_examples: size of the test split.
        picks: the searched as they are held against the biggest, where that is another way, without
            the seed that chose them; by default the finalists. The pick is the one with the highest
            mean validation accuracy, of equals the smallest.
    """
    rng = np.random.default_rng(0)
    # of equally good networks the smallest is the pick, as in the run itself
    chosen = finalists if picks is None else picks
    finalists, random, chosen = (
        sorted(group, key=lambda n: n.params) for group in (finalists, random, chosen)
    )
    searched, drawn, picked, large = map(_group, (finalists, random, chosen, [biggest]))
    mean, best = _against_random(searched, drawn, test_examples, rng)
    large_gap = _against_biggest(picked, large, test_examples, rng)
    pick_is_biggest = canonical(chosen[picked.pick].choices) == canonical(biggest.choices)
    beats_random = _joint_answer(mean, best)
    if min(len(finalists), len(random)) < 2:
        beats_random = "not shown"
    beats_biggest = _answer(large_gap)
    if pick_is_biggest or min(_fewest_seeds(picked), _fewest_seeds(large)) < 2:
        beats_biggest = "not shown"
    # networks of one seed each differ by luck too, which their spread holds
    caveat = _caveat(
        min(len(finalists), len(random)),
        min(map(_fewest_seeds, (picked, large))),
        left_out=picks is not None,
    )
    return Verdict(
        beats_random=beats_random,
        beats_biggest=beats_biggest,
        text=(
            f"{_random_words(beats_random, mean, best, test_examples)}; "
            f"{_biggest_words(beats_biggest, large_gap, pick_is_biggest)}{caveat}."
        ),
        random_difference=mean,
        best_difference=best,
        biggest_difference=large_gap,
    )


@dataclass(frozen=True)
class _Group:
    """Accuracies of k networks, (k, seeds), padded with 0 where a network has fewer seeds."""

    val: np.ndarray
    test: np.ndarray
    counts: np.ndarray
    """seeds of each network, (k,)"""
    deviations: np.ndarray
    """how far each is off for the split's sake, (k,); NaN where that follows from its size"""

    @property
    def means(self) -> np.ndarray:
        """Test accuracy of each network over its seeds, (k,)."""
        return self.test.sum(1) / self.counts

    @property
    def pick(self) -> int:
        """Position of the network with the highest mean validation accuracy."""
        return int((self.val.sum(1) / self.counts).argmax())

    def best_of(self, count: int) -> float:
        """Return the expected accuracy of the best by validation of ``count`` of the networks."""
        k = len(self.counts)
        # of equals the first is the best, and stands last here
        order = np.lexsort((-np.arange(k), self.val.sum(1) / self.counts))
        shares = [comb(below, count - 1) / comb(k, count) for below in range(k)]
        return float(self.means[order] @ np.array(shares))


def _group(networks: Sequence[Network | Rebuilt]) -> _Group:
    if not networks or any(not network.seeds for network in networks):
        raise ValueError("each group needs a network, and each network a training")
    counts = np.array([len(network.seeds) for network in networks])
    val, test = np.zeros((2, len(networks), counts.max()))
    for row, network in enumerate(networks):
        for column, training in enumerate(network.seeds):
            if training.test_accuracy is None:
                raise ValueError(f"no test accuracy: {network.choices}, seed {training.seed}")
            val[row, column], test[row, column] = training.val_accuracy, training.test_accuracy
    deviations = [[t.test_deviation for t in network.seeds] for network in networks]
    known = [np.mean(np.array(each, float)) for each in deviations]  # of None it is NaN
    return _Group(val, test, counts, np.array(known))


def _fewest_seeds(group: _Group) -> int:
    return int(group.counts.min())


def _against_random(
    searched: _Group, drawn: _Group, examples: int, rng: np.random.Generator
) -> tuple[Difference, Difference]:
    """Return the difference of the means and that of the bests by validation."""
    a, b = (_resampled(group, _with_replacement(group, rng), rng) for group in (searched, drawn))
    noise_a, noise_b = (
        np.take_along_axis(_split_luck(group, examples, rng), draws.networks, 1)
        for group, draws in ((searched, a), (drawn, b))
    )
    fewer = min(len(searched.counts), len(drawn.counts))
    stretch = _stretch(fewer)
    means = _interval(
        searched.means.mean() - drawn.means.mean(),
        a.test.mean(1) - b.test.mean(1),
        noise_a.mean(1) - noise_b.mean(1),
        stretch,
    )
    bests = _interval(
        searched.best_of(fewer) - drawn.best_of(fewer),
        a.best(a.test, fewer) - b.best(b.test, fewer),
        a.best(noise_a, fewer) - b.best(noise_b, fewer),
        stretch,
    )
    return means, bests


def _against_biggest(
    searched: _Group, large: _Group, examples: int, rng: np.random.Generator
) -> Difference:
    """Return the difference between the pick among the searched and the biggest."""
    a, b = (
        _resampled(group, np.tile(np.arange(len(group.counts)), (RESAMPLES, 1)), rng)
        for group in (searched, large)
    )
    return _interval(
        searched.means[searched.pick] - large.means[0],
        a.best(a.test) - b.test[:, 0],
        a.best(_split_luck(searched, examples, rng)) - _split_luck(large, examples, rng)[:, 0],
        _stretch(min(_fewest_seeds(searched), _fewest_seeds(large))),
    )


def _against_mean(
    one: _Group, others: _Group, examples: int, rng: np.random.Generator
) -> Difference:
    """Return the difference between one network and the mean of several.

    The two sides have different numbers of items, seeds and networks, so each is stretched by its
    own; what is resampled from one group alone has k - 1 degrees of freedom.
    """
    a = _resampled(one, np.zeros((RESAMPLES, 1), int), rng)
    b = _resampled(others, _with_replacement(others, rng), rng)
    point = one.means[0] - others.means.mean()
    seeds, networks = _fewest_seeds(one), len(others.counts)
    draws = (
        point
        + _stretch(seeds, seeds - 1) * (a.test[:, 0] - one.means[0])
        - _stretch(networks, networks - 1) * (b.test.mean(1) - others.means.mean())
    )
    luck = np.take_along_axis(_split_luck(others, examples, rng), b.networks, 1).mean(1)
    return _interval(point, draws, _split_luck(one, examples, rng)[:, 0] - luck, 1.0)


@dataclass(frozen=True)
class _Draws:
    """Resampled groups, each array (RESAMPLES, k)."""

    networks: np.ndarray
    """which network stands in each place"""
    val: np.ndarray
    test: np.ndarray

    def best(self, values: np.ndarray, count: int | None = None) -> np.ndarray:
        """Return the value of the best by validation of each resample, (RESAMPLES,).

        Of the first ``count`` networks of each, if that is given.
        """
        return np.take_along_axis(values, self.val[:, :count].argmax(1)[:, None], 1)[:, 0]


def _with_replacement(group: _Group, rng: np.random.Generator) -> np.ndarray:
    k = len(group.counts)
    return rng.integers(k, size=(RESAMPLES, k))


def _resampled(group: _Group, networks: np.ndarray, rng: np.random.Generator) -> _Draws:
    """Draw the seeds of each network in ``networks`` (RESAMPLES, k) with replacement; average."""
    most = group.val.shape[1]
    counts = group.counts[networks][..., None]
    seeds = (rng.random((*networks.shape, most)) * counts).astype(int)
    there = np.arange(most) < counts
    val, test = (
        (values[networks[..., None], seeds] * there).sum(2) / counts[..., 0]
        for values in (group.val, group.test)
    )
    return _Draws(networks, val, test)


def _split_luck(group: _Group, examples: int, rng: np.random.Generator) -> np.ndarray:
    """Return how far each accuracy is off for the split's sake, (RESAMPLES, k).

    Two right and two wrong examples are added before drawing (Agresti and Coull), or a network
    without an error would have no uncertainty.
    """
    share = (group.means * examples + 2) / (examples + 4)
    luck = rng.binomial(examples, share, size=(RESAMPLES, len(share))) / examples - share
    if np.isnan(group.deviations).all():
        return luck
    drawn = rng.normal(size=luck.shape) * group.deviations
    return np.where(np.isnan(group.deviations), luck, drawn)


def _stretch(k: int, freedom: int | None = None) -> float:
    """Return by how much deviations from k resampled items fall short of Student's interval.

    Args:
        k: items on a side.
        freedom: degrees of freedom; by default those of a difference of two sides.
    """
    if k < 2:
        return 1.0
    t = stats.t.ppf(0.975, 2 * k - 2 if freedom is None else freedom)
    return sqrt(k / (k - 1)) * float(t / stats.norm.ppf(0.975))


def _interval(point: float, draws: np.ndarray, noise: np.ndarray, stretch: float) -> Difference:
    low, high = np.quantile(point + stretch * (draws - point) + noise, [0.025, 0.975])
    return float(point), float(min(low, point)), float(max(high, point))


def _answer(difference: Difference) -> Answer:
    _, low, high = difference
    return "yes" if low > 0 else "no" if high < 0 else "not shown"


def _joint_answer(mean: Difference, best: Difference) -> Answer:
    answers = {_answer(mean), _answer(best)}
    points = (mean[0], best[0])
    if "yes" in answers and min(points) >= 0:
        return "yes"
    if "no" in answers and max(points) <= 0:
        return "no"
    return "not shown"


def _random_words(answer: Answer, mean: Difference, best: Difference, examples: int) -> str:
    start = {
        "yes": "Search beat random picks",
        "no": "Search did worse than random picks",
        "not shown": "No difference between search and random picks was shown",
    }[answer]
    return (
        f"{start} on the test split of {examples:,} examples: {with_interval(mean)} on average and "
        f"{with_interval(best, '')} best against best"
    )


def _biggest_words(answer: Answer, difference: Difference, pick_is_biggest: bool) -> str:
    if pick_is_biggest:
        return "the biggest network that fits was itself the best of the searched"
    start = {
        "yes": "the best searched network beat the biggest that fits:",
        "no": "the biggest network that fits did better than the best searched:",
        "not shown": "against the biggest network that fits no difference was shown:",
    }[answer]
    return f"{start} {with_interval(difference)}"


def _caveat(networks: int, seeds: int, *, left_out: bool) -> str:
    """Say what too few networks in a group, or too few seeds, left unmeasured."""
    lucky = []
    if networks == 1:
        lucky.append("one network a group")
    if seeds == 1:
        lucky.append("one seed but the one that chose" if left_out else "one seed")
    return f", with {' and '.join(lucky)}, whose luck was not measured" if lucky else ""


def with_interval(difference: Difference, unit: str = " points") -> str:
    """Write a difference with its interval in percentage points.

    >>> with_interval((0.008, 0.003, 0.013))
    '+0.8 points (+0.3 to +1.3)'
    """
    point, low, high = map(points, difference)
    return f"{point}{unit} ({low} to {high})"


def points(difference: float) -> str:
    """Write a difference of two shares in percentage points.

    >>> points(0.008), points(-0.0312), points(-0.0002)
    ('+0.8', '−3.1', '0.0')
    """
    value = round(100 * difference, 1)
    return f"{value:+.1f}".replace("-", "−") if value else "0.0"
