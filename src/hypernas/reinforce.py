"""REINFORCE over choices: a policy that makes likely what scored above average.

Each decision has a logit for every option (of a subset, one for every option that may be in it), as
the controllers of NAS-Bench-101 (arXiv 1902.09635, 4.1) and NAS-Bench-201 have them, in place of
the recurrent network of Zoph and Le (arXiv 1611.01578). A candidate's advantage is its score minus
an average of those before it, in units of their spread, so that scores of any scale can be learned
from.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterable

from hypernas.candidate import Candidates
from hypernas.choices import Chooser, Decision, Scalar, Value
from hypernas.results import Scored
from hypernas.scoring import WORST

Logits = dict[tuple[str, Scalar], float]

DECAY = 0.9
"""of the averages over scores, a candidate"""
MOST = 3.0
"""largest advantage, so that one candidate decides nothing"""
LARGEST = 20.0
"""largest logit; what is certain cannot be unlearned"""


class Policy(Chooser):
    """Draws answers by logits; an option of which nothing was learned has logit 0.

    A subset whose size is not legal is drawn by the space's own weights.
    """

    def __init__(self, logits: Logits, rng: random.Random) -> None:
        super().__init__()
        self.logits, self.rng = logits, rng

    def decide(self, decision: Decision) -> Value:
        if decision.kind != "subset":
            return self.rng.choices(decision.options, shares(self.logits, decision))[0]
        chosen = zip(decision.options, shares(self.logits, decision), strict=True)
        picked: Value = [option for option, share in chosen if self.rng.random() < share]
        return picked if decision.admits(picked) else decision.draw(self.rng)


def shares(logits: Logits, decision: Decision) -> list[float]:
    """Return how likely each option is: a softmax, or of a subset each by itself."""
    found = [logits.get((decision.name, option), 0.0) for option in decision.options]
    if decision.kind == "subset":
        return [1 / (1 + math.exp(-logit)) for logit in found]
    weights = decision.weights or [1.0] * len(found)
    # the space's own weights are where learning starts
    raised = [w * math.exp(logit - max(found)) for w, logit in zip(weights, found, strict=True)]
    return [each / sum(raised) for each in raised]


def learned(history: Iterable[Scored], candidates: Candidates, rate: float) -> Logits:
    """Return the logits after every candidate of ``history``, one step of ascent each.

    Args:
        history: what was scored, in order.
        candidates: tells the decisions of each.
        rate: step, in logits for an advantage of one spread.
    """
    logits: Logits = defaultdict(float)
    mean = spread = 0.0
    count = 0
    for scored in history:
        advantage = -MOST  # of what overflowed; averages are of the others
        if scored.score > WORST:
            share = 1 - DECAY if count * (1 - DECAY) > 1 else 1 / (count + 1)  # first plain means
            gap = scored.score - mean if count else 0.0
            deviation = math.sqrt(spread)
            mean = mean + share * gap if count else scored.score
            spread += share * (gap**2 - spread)
            count += 1
            advantage = max(-MOST, min(MOST, gap / deviation)) if deviation else 0.0
        for decision in candidates.of(scored.choices).decisions.values():
            value = scored.choices[decision.name]
            taken = value if isinstance(value, list) else [value]
            for option, likely in zip(decision.options, shares(logits, decision), strict=True):
                step = rate * advantage * ((option in taken) - likely)
                moved = logits[decision.name, option] + step
                logits[decision.name, option] = max(-LARGEST, min(LARGEST, moved))
    return dict(logits)
