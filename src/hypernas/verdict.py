"""Says whether the search paid, from networks trained for real, no louder than the data allow.

Three differences of test accuracy are judged, each with a 95 % interval from 10,000 resamples:

- mean of the searched minus mean of the random networks;
- the best by validation among the searched minus the best by validation among the random, of as
  many: where one group is larger, what is to be expected of the best of so many of it;
- the best of the searched by validation of its first seed minus the biggest that fits, both by
  the seeds after it.

**By which seeds.** The first two hold networks against each other by the seeds that all of them
have, for a seed's luck is in part common to networks; where as many random networks as searched
have further seeds, these alone are taken. A seed that chose is lucky, on the test split too. So the
third is by seeds that had no say in the pick; and where the searched were chosen by their first
seed (``--score-by training``) that one is left out of the others. Luck that is common to networks
of a size alone does not cancel so, and is not in the interval (docs/log.md, 2026-11-30); nor is
that of the first third of a training, by which a ladder chooses from 20 epochs on (docs/trust.md).

**What is resampled.** For the first two, networks within each group with replacement, then seeds
within each network with replacement; the best is chosen anew, by resampled validation accuracy, in
every resample. The pick and the biggest are two particular networks, so for the third only the
luck of seeds is drawn. That luck is taken to be alike for all networks: what is drawn are the
residuals of every network that was trained several times, so that a single seed has its luck too.

**Why that is stretched.** A bootstrap of k items is too narrow: for a mean by √((k-1)/k), and it
knows nothing of Student's t. The resampled deviations are stretched by the factor that makes the
interval of a difference of two means as wide as Student's: 1.7 for k = 3, 1.3 for k = 5, almost 1
for k = 50 (narrowness bias: Hesterberg, arXiv 1411.5279; he moves the percentiles instead).
Residuals are brought to the deviation that they estimate, and stretched by Student's t of as many
degrees of freedom as they have.

**The test split is a sample too.** Seeds share its images, so more seeds do not average its luck
away: each network's accuracy gets one binomial draw of the split's size a resample (of a measure
that is no share of the examples, a normal draw of the deviation that resampled examples gave it).
Networks get independent draws although they share the examples; what they share would cancel in a
difference, so this errs towards "not shown".
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
from scipy import stats

from hypernas.choices import canonical
from hypernas.resampling import (
    RESAMPLES,
    Difference,
    Group,
    Luck,
    alike,
    interval,
    stretch,
    without_choice,
)
from hypernas.results import Answer, Contrast, Network, Rebuilt, Verdict


def contrast(one: Rebuilt, others: Sequence[Rebuilt], *, test_examples: int) -> Contrast:
    """Say whether one network is better on a test split than others are on average.

    Of one other the luck of seeds is drawn, of several they are resampled, and the networks too.
    The answer is "not shown" where the interval holds 0, and where luck is not measured.

    Args:
        one: the network in question.
        others: one network to hold it against, or several that stand for their kind.
        test_examples: size of the test split.
    """
    rng = np.random.default_rng(0)
    a, b = Group.of([one]), Group.of(others)
    if len(others) == 1:
        luck = Luck.of([one, *others])
        difference = _against_one(a, b, luck, test_examples, rng)
        known = luck is not None
    else:
        difference = _against_mean(a, b, test_examples, rng)
        known = min(a.fewest_seeds, b.fewest_seeds) > 1
    return Contrast(answer=_answer(difference) if known else "not shown", difference=difference)


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
    chosen: bool = False,
) -> Verdict:
    """Compare the searched networks with random ones and with the biggest that fits.

    ``beats_random`` is "yes" when one of its two differences, of means or of bests, has its whole
    interval above 0 and the other is not negative; "no" when one has its whole interval below 0 and
    the other is not positive. Each of the two may err in 2.5 of 100 cases in each direction, so the
    answer errs in at most 5. With one network a group nothing is known of the spread between
    networks, and the answer is "not shown".

    ``beats_biggest`` follows the interval of the third difference. It is "not shown" when the pick
    is the biggest itself, and when one of the two has a single seed.

    Args:
        finalists: the searched.
        random: networks drawn at random within the same limits.
        biggest: the biggest network within the limits.
        test_examples: size of the test split.
        chosen: whether the first seed of the finalists has chosen them. Where they have no other
            nothing is shown.
    """
    rng = np.random.default_rng(0)
    # of equally good networks the smallest is the best, as in the run itself
    finalists, random = (sorted(group, key=lambda n: n.params) for group in (finalists, random))
    fewest = min((len(network.seeds) for network in finalists), default=0)
    others = [network for network in random if len(network.seeds) >= fewest]
    others = others if len(others) >= len(finalists) else random
    fair = not chosen or min(len(network.seeds) for network in [*finalists, *others]) > 1
    those = alike([*finalists, *others], first=int(chosen and fair))
    searched, drawn = Group.of(those[: len(finalists)]), Group.of(those[len(finalists) :])
    mean, best = _against_random(searched, drawn, test_examples, rng)
    beats_random = _joint_answer(mean, best)
    if min(len(finalists), len(random)) < 2 or not fair:
        beats_random = "not shown"

    pick = _pick(finalists)
    itself = canonical(pick.choices) == canonical(biggest.choices)
    later = min(len(pick.seeds), len(biggest.seeds)) > 1
    luck = Luck.of(without_choice([*finalists, *random, biggest], int(chosen)))
    one, large = (Group.of([n]) for n in alike([pick, biggest], first=int(later)))
    large_gap = _against_one(one, large, luck, test_examples, rng)
    beats_biggest = _answer(large_gap)
    if itself or luck is None or not later:
        beats_biggest = "not shown"
    # random networks of one seed each differ by luck too, which their spread holds
    caveat = _caveat(min(len(finalists), len(random)), luck)
    return Verdict(
        beats_random=beats_random,
        beats_biggest=beats_biggest,
        text=(
            f"{_random_words(beats_random, mean, best, test_examples, fair=fair)}; "
            f"{_biggest_words(beats_biggest, large_gap, pick_is_biggest=itself, later=later)}"
            f"{caveat}."
        ),
        random_difference=mean,
        best_difference=best,
        biggest_difference=large_gap,
    )


def _pick(finalists: Sequence[Network]) -> Network:
    """Return, of those with the most seeds, the best by validation of the first."""
    most = max(len(network.seeds) for network in finalists)
    several = [network for network in finalists if len(network.seeds) == most]
    return max(several, key=lambda network: network.seeds[0].val_accuracy)


def _against_random(
    searched: Group, drawn: Group, examples: int, rng: np.random.Generator
) -> tuple[Difference, Difference]:
    """Return the difference of the means and that of the bests by validation."""
    a, b = (group.resampled(group.with_replacement(rng), rng) for group in (searched, drawn))
    noise_a, noise_b = (
        np.take_along_axis(group.split_luck(examples, rng), draws.networks, 1)
        for group, draws in ((searched, a), (drawn, b))
    )
    fewer = min(len(searched.counts), len(drawn.counts))
    wider = stretch(fewer)
    means = interval(
        searched.means.mean() - drawn.means.mean(),
        a.test.mean(1) - b.test.mean(1),
        noise_a.mean(1) - noise_b.mean(1),
        wider,
    )
    bests = interval(
        searched.best_of(fewer) - drawn.best_of(fewer),
        a.best(a.test, fewer) - b.best(b.test, fewer),
        a.best(noise_a, fewer) - b.best(noise_b, fewer),
        wider,
    )
    return means, bests


def _against_one(
    one: Group, other: Group, luck: Luck | None, examples: int, rng: np.random.Generator
) -> Difference:
    """Return the difference between two networks, each a group of its own."""
    a, b = (group.with_luck(luck, rng)[:, 0] for group in (one, other))
    c, d = (group.split_luck(examples, rng)[:, 0] for group in (one, other))
    wider = luck.stretch if luck else 1.0
    return interval(one.means[0] - other.means[0], a - b, c - d, wider)


def _against_mean(one: Group, others: Group, examples: int, rng: np.random.Generator) -> Difference:
    """Return the difference between one network and the mean of several.

    The two sides have different numbers of items, seeds and networks, so each is stretched by its
    own; what is resampled from one group alone has k - 1 degrees of freedom.
    """
    a = one.resampled(np.zeros((RESAMPLES, 1), int), rng)
    b = others.resampled(others.with_replacement(rng), rng)
    point = one.means[0] - others.means.mean()
    seeds, networks = one.fewest_seeds, len(others.counts)
    draws = (
        point
        + stretch(seeds, seeds - 1) * (a.test[:, 0] - one.means[0])
        - stretch(networks, networks - 1) * (b.test.mean(1) - others.means.mean())
    )
    luck = np.take_along_axis(others.split_luck(examples, rng), b.networks, 1).mean(1)
    return interval(point, draws, one.split_luck(examples, rng)[:, 0] - luck, 1.0)


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


def _random_words(
    answer: Answer, mean: Difference, best: Difference, examples: int, *, fair: bool
) -> str:
    start = {
        "yes": "Search beat random picks",
        "no": "Search did worse than random picks",
        "not shown": "No difference between search and random picks was shown",
    }[answer]
    return (
        f"{start} on the test split of {examples:,} examples: {with_interval(mean)} on average and "
        f"{with_interval(best, '')} best against best"
        + ("" if fair else ", by the seed that chose the searched, which shows nothing")
    )


def _biggest_words(
    answer: Answer, difference: Difference, *, pick_is_biggest: bool, later: bool
) -> str:
    if pick_is_biggest:
        return "the biggest network that fits was itself the best of the searched"
    start = {
        "yes": "the best searched network beat the biggest that fits:",
        "no": "the biggest network that fits did better than the best searched:",
        "not shown": "against the biggest network that fits no difference was shown:",
    }[answer]
    seeds = "the seeds after the first" if later else "one seed, which shows nothing"
    return f"{start} {with_interval(difference)} by {seeds}"


def _caveat(networks: int, luck: Luck | None) -> str:
    """Say what too few networks in a group, or too few seeds, left unmeasured."""
    lucky = []
    if networks == 1:
        lucky.append("one network a group")
    if luck is None:
        lucky.append("one seed")
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
