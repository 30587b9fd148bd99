"""What a run found out, as written to ``result.json``."""

from __future__ import annotations

from statistics import fmean
from typing import Any, Literal

import msgspec

Answer = Literal["yes", "no", "not shown"]
Source = Literal["search", "random", "biggest"]
Pairs = Literal["all", "better half", "equal size"]
"""of networks, over which a ranking is judged"""


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A frozen record that refuses unknown fields."""


class Limits(Struct, frozen=True):
    """Upper bounds that every candidate must meet; None is no bound."""

    max_params: int | None = None
    max_macs: int | None = None

    def admit(self, params: int, macs: int) -> bool:
        """Say whether a candidate of this size is within the bounds.

        >>> Limits(max_params=100).admit(100, 10**9)
        True
        """
        return (self.max_params is None or params <= self.max_params) and (
            self.max_macs is None or macs <= self.max_macs
        )


class Exit(Struct, frozen=True):
    """What an exit of a network reaches with generated weights.

    The first of a curve stands for silence: outputs of 0, which need no MACs.
    """

    macs: int
    """of all that it depends on"""
    score: float
    """minus the mean validation loss"""
    score_accuracy: float


class TrainedExit(Struct, frozen=True):
    """What an exit of a trained network reaches; the first of a curve stands for silence."""

    macs: int
    val_accuracy: float
    val_loss: float
    test_accuracy: float | None = None


class AskedExit(Struct, frozen=True):
    """An exit of a trained network that no cheaper one equals on the validation split."""

    number: int
    """its place among all exits"""
    macs: int
    """of all that it depends on"""
    stop_macs: int
    """spent when such exits are asked one after the other, up to this one"""
    val_accuracy: float
    test_accuracy: float | None


class Stop(Struct, frozen=True):
    """What comes of asking exits in turn until one is confident enough."""

    threshold: float
    """largest probability of a class at which an answer is taken"""
    val_macs: float
    """mean over the examples"""
    val_accuracy: float
    test_macs: float
    test_accuracy: float


class Training(Struct, frozen=True):
    """One training of one network for real."""

    seed: int
    epochs: int
    val_accuracy: float
    """what the task measures on the validation split, 0 to 1: of classifiers the share that is
    right; the same is meant wherever an accuracy is kept"""
    val_loss: float
    test_accuracy: float | None
    """the same on the test split; measured once, after the last epoch"""
    seconds: float
    """CPU seconds of the training"""
    test_deviation: float | None = None
    """how far it is off for the luck of the test split; None where that follows from its size"""
    curve: list[TrainedExit] = []
    """where a run has budgets; the accuracies above are then means over them"""
    by_epoch: list[float] = []
    """validation accuracy after each epoch, where asked for"""
    loss_by_epoch: list[float] = []
    """validation loss after each epoch, where asked for"""


class Final(Struct, frozen=True):
    """The weights that are exported: the winner's best training, or that and further epochs."""

    seed: int
    epochs: int
    """all epochs that these weights saw"""
    val_accuracy: float
    test_accuracy: float | None
    folder: str
    """where in the run folder the weights lie"""
    text: str
    """how they came about, in words"""
    curve: list[TrainedExit] = []
    """of its exits, where a run has budgets"""


class Exported(Struct, frozen=True):
    """Which weights ``best/`` holds, and how far each file was checked; ``export.json``."""

    weights: str
    checks: dict[str, str]
    exits: list[AskedExit] = []
    """those that the network's ``predict`` asks"""
    stops: list[Stop] = []


class Rebuilt(Struct, frozen=True):
    """An architecture trained beyond its search, with the means over its seeds."""

    choices: dict[str, Any]
    params: int
    macs: int
    val_accuracy: float
    test_accuracy: float
    seeds: list[Training]


class Scaled(Rebuilt, frozen=True):
    """A winner trained under other options of its space."""

    options: dict[str, Any]
    """those that differ from the run's"""
    start: Literal["scratch", "grown"]
    """first weights: its own, or those of the trained winner (Net2Net)"""
    folder: str
    """where in the run folder it lies"""
    source: Literal["scaled"] = "scaled"


class Contrast(Struct, frozen=True):
    """How one network compares with others on a test split."""

    answer: Answer
    """whether it is better; "not shown" is a tie"""
    difference: tuple[float, float, float]
    """its test accuracy minus the mean of theirs, with its 95 % interval"""


class Transfer(Struct, frozen=True):
    """What a winner is worth on other data, all networks trained there by one recipe."""

    data: dict[str, Any]
    """name, fingerprint, input_shape, classes, and the number of examples of each split"""
    recipe: dict[str, Any]
    transferred: Rebuilt
    native: Rebuilt | None
    """the winner of a search on that data"""
    random: list[Rebuilt]
    against_native: Contrast | None
    against_random: Contrast
    text: str
    options: dict[str, Any] = {}
    """of the space that all have there, where they are not the run's"""


class Scored(Struct, frozen=True):
    """An architecture with its score."""

    choices: dict[str, Any]
    params: int
    macs: int
    score: float
    """minus the validation loss with generated weights, or what else the run ranks by"""
    interval: tuple[float, float]
    """95 % interval of the score over validation images"""
    score_accuracy: float | None
    """accuracy with generated weights, 0 to 1; None where untrained networks are ranked"""
    curve: list[Exit] = []
    """where a run has budgets; the score above is then the mean over them"""


class Network(Scored, frozen=True, kw_only=True):
    """A network trained for real, with the mean over its seeds."""

    val_accuracy: float
    test_accuracy: float | None
    seeds: list[Training]
    source: Source

    def by_seeds(self, first: int, last: int | None = None) -> Network:
        """Return the same by some of its seeds, of which there is one at least."""
        left = self.seeds[first:last]
        tested = [t.test_accuracy for t in left if t.test_accuracy is not None]
        return msgspec.structs.replace(
            self,
            seeds=left,
            val_accuracy=fmean(training.val_accuracy for training in left),
            test_accuracy=fmean(tested) if tested else None,
        )


class Search(Struct, frozen=True):
    """How much of the space was looked at."""

    scored: int
    feasible_share: float
    """share of random draws that meet the limits"""
    sampler: str
    score_by: str = "hypernet"
    """what ranked candidates"""
    stages: dict[str, int] = {}
    """how many candidates came from each stage of the sampler, where it has some"""


class Better(Struct, frozen=True):
    """How sure it is that one candidate scores higher than another."""

    probability: float
    """that it does, by what scores the search found"""
    difference: float
    """of the scores"""
    interval: tuple[float, float]
    """95 % interval of the difference"""
    images: float
    """deviation of the difference for the luck of the validation images"""
    fit: float | None
    """the same for the luck of the fit, from earlier states of the hypernetwork; None without"""
    larger: str = ""
    """in words, if one of them is larger than any that the hypernetwork was trained on"""


class Standing(Struct, frozen=True):
    """Where a candidate stands among the best by score."""

    choices: dict[str, Any]
    params: int
    macs: int
    score: float
    interval: tuple[float, float]
    """95 % interval of the score, over validation images and earlier states of the hypernetwork"""
    over_first: float | None
    """P(it is better than the first of the list); None of the first"""
    over_next: float | None
    """P(it is better than the next of the list); None of the last"""


class Comparison(Struct, frozen=True):
    """How far the best by score are told apart."""

    standings: list[Standing]
    """the best by score first"""
    tie: int
    """how many are not told from the first, itself included"""
    smallest: int
    """position of the smallest of these, from 0"""
    images: int
    """validation images"""
    states: int
    """earlier states of the hypernetwork; 0 where none were kept: P then knows the images alone"""
    text: str


class Verdict(Struct, frozen=True):
    """Whether the search paid, in words a person can act on."""

    beats_random: Answer
    beats_biggest: Answer
    text: str
    random_difference: tuple[float, float, float] | None = None
    """mean test accuracy of the searched minus that of the random, with its 95 % interval"""
    best_difference: tuple[float, float, float] | None = None
    """test accuracy of the best by validation among the searched minus among the random"""
    biggest_difference: tuple[float, float, float] | None = None
    """test accuracy of the best of the searched minus that of the biggest that fits"""


class Estimate(Struct, frozen=True):
    """A statistic with its 95 % interval over resampled networks, and fits where there are many."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return it in words: ``0.71 (0.61 to 0.79)``.

        >>> str(Estimate(value=0.714, low=0.61, high=0.79))
        '0.71 (0.61 to 0.79)'
        """
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})".replace("-", "−")


class Ranked(Struct, frozen=True):
    """How well one signal ranks the sample."""

    name: str
    tau: dict[Pairs, Estimate]
    """Kendall's, of those pairs of which there are enough"""
    spearman: Estimate
    overlap: Estimate
    """share of its k best that are among the k most accurate"""
    regret: Estimate
    """best accuracy of the sample minus the best among its k best"""
    seconds: float
    """CPU seconds of each value, of a score with its share of the fit"""


class Tie(Struct, frozen=True):
    """Networks that the seeds do not tell apart."""

    networks: int
    """how many, the best included"""
    smallest: Network
    deviation: float
    """of an accuracy from seed to seed, pooled over networks"""


class Meter(Struct, frozen=True):
    """How far a run's scores may be believed."""

    networks: int
    """in the sample"""
    top: int
    """k of overlap and regret"""
    signals: list[Ranked]
    """the score first"""
    ceiling: dict[Pairs, Estimate] | None
    """Kendall's tau, by pairs, of the first two seeds of the networks that have two"""
    repeated: int
    """networks that have two seeds, finalists too: the range of these may be narrower"""
    beyond_size: Answer
    partial: Estimate
    """correlation of score and accuracy without what size explains"""
    tie: Tie | None
    """None where no network was trained twice"""
    random_search: Estimate | None
    """expected accuracy of the best of as many as the search would pay for, from the sample"""
    random_count: int
    text: str
    searched: float | None = None
    """accuracy of the best by validation of what the search found, each by as many seeds"""


class Result(Struct, frozen=True):
    """Everything a program may want to know of a finished run."""

    data: dict[str, Any]
    """name, fingerprint, input_shape, classes, and the number of examples of each split"""
    space: dict[str, Any]
    """name and options"""
    hypernet: dict[str, Any]
    """name, options, steps"""
    seed: int
    limits: Limits
    recipe: dict[str, Any]
    """how every network here was trained"""
    best: Network
    final: Final
    finalists: list[Network]
    """the top k by score, best first; of a ladder all that it trained to the end, best first, where
    those that it left have one seed"""
    random: list[Network]
    biggest: Network
    search: Search
    verdict: Verdict
    trust: Meter | None = None
    """how far the scores may be believed; None of too few random networks"""
    compared: Comparison | None = None
    """how far scores tell the finalists apart; None where no hypernetwork gave them"""
    export: dict[str, str] = {}
    """for each file of ``best``: how far its outputs are from the module, or why it is missing"""
    budgets: dict[str, Any] | None = None
    """low, high and scale of the budgets over which scores and accuracies are means"""
    exits: list[AskedExit] = []
    """those that ``best.module.predict`` asks"""
    stops: list[Stop] = []
    """what comes of stopping at the first exit that is confident enough"""
    larger: str = ""
    """which of the networks are larger than any that the hypernetwork was trained on, in words"""
    unfinished: str = ""
    """what a run that was stopped has yet to do, in words"""
    seconds: dict[str, float] = {}
    """wall-clock seconds of each step"""
    versions: dict[str, str] = {}
