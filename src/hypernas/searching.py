"""Search: proposes candidates in rounds, scores them, keeps them in the study."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from hypernas.candidate import Candidate, Candidates
from hypernas.errors import ConfigError
from hypernas.isomorphism import network_digest
from hypernas.results import Limits, Scored
from hypernas.samplers import ROUND, Asked, Sampler, propose
from hypernas.scoring import BLOCK, Score, Scorer
from hypernas.study import Study, finished

DRAWS_PER_CANDIDATE = 50
"""proposals after which a place in a round is given up, divided by the share that is feasible"""

MOST_DRAWS = 50_000
RANDOM_DRAWS = 20_000
"""after which no more random networks are looked for"""

ScoreBlocks = Callable[[list[list[Candidate]], int], Iterable[list[Score]]]
"""scores blocks of candidates, perhaps in several processes, and yields the scores in order; told
the number of candidates to which a block is padded"""


def search(
    candidates: Candidates,
    study: Study,
    score_blocks: ScoreBlocks,
    *,
    sampler: Sampler,
    trials: int,
    limits: Limits,
    feasible_share: float,
    seed: int,
    scorer: Scorer | None = None,
    block: int = BLOCK,
    progress: Callable[[int, int, str], None] = lambda done, total, text: None,
) -> None:
    """Score candidates until the study holds ``trials``, or until no new ones are found.

    A round's proposals depend on the rounds before it alone, so a search that was cut within a
    round goes on as if it had not been.
    """
    start = number = 0
    while start < trials:
        history = study.scored[:start]
        if len(history) < start:
            return  # the round before was short: the space has no more
        size = sampler.round_size(start)
        wanted = min(size, trials - start)
        if len(study.trials) < start + wanted:
            asked = Asked(candidates, history, study.trials[:start], seed, number, limits, scorer)
            most = min(int(ROUND * DRAWS_PER_CANDIDATE / max(feasible_share, 1e-3)), MOST_DRAWS)
            # A whole round is proposed even if fewer are wanted, so that asking for more later
            # continues the same search.
            proposed = propose(sampler, asked, size, most_draws=most)
            _score_round(study, proposed[:wanted], start, score_blocks, sampler, block)
            if len(proposed) < wanted:
                progress(len(study.trials), len(study.trials), "no new candidates are found")
                return
        best = max(scored.score for scored in study.scored)
        progress(len(study.trials), trials, f"best score {best:.3f}")
        start, number = start + size, number + 1


def _score_round(
    study: Study,
    proposed: list[Candidate],
    start: int,
    score_blocks: ScoreBlocks,
    sampler: Sampler,
    block: int,
) -> None:
    """Score the blocks of the round that began at ``start`` and are not in the study yet."""
    aims, most = len(sampler.directions), sampler.most_parameters
    blocks = [proposed[i : i + block] for i in range(0, len(proposed), block)]
    finished_blocks, cut = divmod(len(study.trials) - start, block)
    remaining = blocks[finished_blocks:]
    padded = min(block, sampler.round_size(start))
    for position, scores in enumerate(score_blocks(remaining, padded)):
        skip = cut if position == 0 else 0  # of a block that was cut, the first are in the study
        pairs = list(zip(remaining[position], scores, strict=True))
        for candidate, score in pairs[skip:]:
            study.add(finished(candidate, score, aims=aims, most=most))


def top(scored: Sequence[Scored], count: int, limits: Limits) -> list[Scored]:
    """Return the best candidates within ``limits``, by score; ties by fewer parameters."""
    fitting = [s for s in scored if limits.admit(s.params, s.macs)]
    return sorted(fitting, key=lambda s: (-s.score, s.params))[:count]


def distinct(candidates: Iterable[Candidate], count: int) -> list[Candidate]:
    """Return the first ``count`` candidates that are different networks.

    Different choices can make the same network: the parts in which they differ cannot reach the
    output, or the same operations stand at other places that are wired alike.
    """
    found: list[Candidate] = []
    seen: set[bytes] = set()
    for candidate in candidates:
        digest = network_digest(candidate.graph)
        if digest not in seen:
            seen.add(digest)
            found.append(candidate)
        if len(found) == count:
            break
    return found


def random_feasible(
    draw: Callable[[int], Candidate], count: int, limits: Limits, most_draws: int = RANDOM_DRAWS
) -> list[Candidate]:
    """Return ``count`` different networks within ``limits`` from a stream of random draws.

    Raises:
        ConfigError: too few draws meet the limits.
    """
    stream = (draw(number) for number in range(most_draws))
    found = distinct((c for c in stream if limits.admit(c.params, c.macs)), count)
    if not found:
        raise ConfigError(
            f"none of {most_draws} random architectures meets the limits; raise the limit"
        )
    return found
