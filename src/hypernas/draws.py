"""The candidates that a hypernetwork is fitted on: which one at which step.

What is drawn here is a function of (seed, step); `fit_samplers` also listens to the losses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from hypernas.candidate import Candidate, Candidates
from hypernas.choices import Chooser, Decision, Value
from hypernas.randomness import rng
from hypernas.results import Struct
from hypernas.survey import Survey

By: TypeAlias = Literal["balanced", "uniform", "operations"]


class Told(Struct, frozen=True, array_like=True):
    """The loss of a candidate at a step of the fit."""

    step: int
    position: int
    choices: dict[str, Any]
    loss: float


class Draws:
    """The candidates of fitting: a function of (seed, step).

    Args:
        candidates: makes them.
        known: the survey; balanced draws start from its architectures.
        by: ``balanced`` gives each number of operations with weights the same share of the draws,
            ``operations`` each answer of a decision (see :class:`Deal`); ``uniform`` draws by the
            space's own weights.
        meta_batch: candidates of a step.
        annealed: steps over which the ease of the draws rises from 0 to 1; until then they are by
            the space's own weights at that ease, for the survey knows only ease 1.
        seed: of the draws.

    Attributes:
        told: what a checkpoint must keep of the losses.
    """

    ATTEMPTS = 2

    def __init__(
        self,
        candidates: Candidates,
        known: Survey,
        *,
        by: By,
        meta_batch: int = 1,
        annealed: float = 0.0,
        seed: int,
    ) -> None:
        self.candidates = candidates
        self.groups = list(known.by_operations.items())
        self.by = by
        self.meta_batch = meta_batch
        self.annealed = annealed
        self.seed = seed
        self.told: list[Told] = []

    def ease(self, step: int) -> float:
        """Return the ease of a step's draws, 0 to 1; steps before the first are not eased."""
        return step / self.annealed if 0 <= step < self.annealed else 1.0

    def __call__(self, step: int, position: int = 0) -> Candidate:
        """Return the candidate of a step (and its position in the meta-batch)."""
        generator = rng(self.seed, "draw", step, position)
        ease = self.ease(step)
        if ease < 1 or self.by == "uniform":
            return self.candidates.draw(generator, ease=ease)
        if self.by == "operations":
            return self.candidates.make(Deal(self.seed, step * self.meta_batch + position))
        operations, group = generator.choice(self.groups)
        parent = generator.choice(group)
        # A relative with as many operations, so that draws are not only those of the survey.
        for _ in range(self.ATTEMPTS):
            child = self.candidates.perturb(
                parent.choices, 2 / max(len(parent.choices), 1), generator
            )
            if child.graph.parametrised_operations == operations:
                return child
        return self.candidates.of(parent.choices)

    def tell(self, step: int, candidates: Sequence[Candidate], losses: Sequence[float]) -> None:
        """Hear the losses of a step's candidates, in their order; what is drawn ignores them."""


class Deal(Chooser):
    """Deals answers as from a shuffled pack: each option once in as many draws as there are.

    So every operation that may stand in a place is trained equally often, up to one draw, and not
    only on average. The space's weights have no part, except that what has weight 0 is never dealt.
    A decision that some architectures do not ask is fair on average. Lists are drawn as the space
    draws them, which prefers none of their options.

    Source: strict fairness of FairNAS (arXiv 1907.01845), where the draws of one pack make one
    step: a meta-batch of as many candidates as options does that.

    Args:
        seed: of the packs.
        number: of the draw.
    """

    def __init__(self, seed: int, number: int) -> None:
        super().__init__()
        self.seed, self.number = seed, number

    def decide(self, decision: Decision) -> Value:
        if decision.kind == "subset":
            return decision.draw(rng(self.seed, "subset", decision.name, self.number))
        weights = decision.weights or [1.0] * len(decision.options)
        options = [o for o, weight in zip(decision.options, weights, strict=True) if weight > 0]
        pack, place = divmod(self.number, len(options))
        generator = rng(self.seed, "pack", decision.name, len(options), pack)
        return generator.sample(options, len(options))[place]
