"""Questions to a finished search: other limits, other architectures. Nothing is trained again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import Any, TypeAlias

import msgspec

from hypernas.candidate import Candidate
from hypernas.choices import Architecture, canonical
from hypernas.config import require_range
from hypernas.console import Voice, share, short
from hypernas.curves import Budgets, Scale
from hypernas.errors import ConfigError, HypernasError
from hypernas.largest import Largest, fitted, larger
from hypernas.randomness import rng
from hypernas.results import Comparison, Limits, Scored, Struct
from hypernas.scoring import BLOCK, WORST, Score
from hypernas.searching import distinct, top
from hypernas.study import Study, finished
from hypernas.uncertainty import BETTER, probabilities
from hypernas.workplace import Workplace

MOST_NEW = 200
"""candidates that are scored anew when too few of the known ones fit"""
DRAWS = 5_000


@dataclass(frozen=True)
class Answer:
    """The best candidates within some limits.

    Attributes:
        found: best first; over other budgets than the run's their intervals reach everywhere: it
            takes the losses of the images to know them, as :mod:`hypernas.comparing` does.
        new: how many were scored for this question.
        larger: which of them are larger than any the hypernetwork was trained on, in words.
        budgets: over which their scores are means, where these are not the run's.
    """

    found: list[Scored]
    new: int
    budgets: Budgets | None = None
    larger: str = ""


class ScoredLine(Scored, frozen=True, kw_only=True):
    """A line of ``hypernas score``: an architecture with its score."""

    warnings: list[str]


class FailedLine(Struct, frozen=True):
    """A line of ``hypernas score``: an architecture with what is wrong with it."""

    choices: dict[str, Any]
    error: str


Line: TypeAlias = ScoredLine | FailedLine


def other_budgets(
    place: Workplace, span: tuple[int, int] | None, scale: Scale | None
) -> Budgets | None:
    """Return the budgets of a question; None where they are the run's.

    Args:
        place: the run.
        span: least and most MACs; by default the run's.
        scale: of the budgets between; by default the run's.

    Raises:
        ConfigError: they are no range, or the run's candidates have no curves to ask.
    """
    if span is None and scale is None:
        return None
    own = place.budgets
    if own is None:
        flag = f"--budget-scale {scale}" if span is None else f"--budgets {span[0]} {span[1]}"
        raise ConfigError(
            f"{flag}: networks of space {place.space.name} have one exit, and this run scored them "
            "without budgets; leave it out, or make a run with --budgets"
        )
    if span is not None:
        require_range(span)
    low, high = span or (own.low, own.high)
    asked = Budgets(low=low, high=high, scale=scale or own.scale)
    return None if asked == own else asked


def ask(
    place: Workplace,
    searched: Study,
    asked: Study,
    limits: Limits,
    count: int,
    budgets: Budgets | None = None,
) -> Answer:
    """Return the top ``count`` within ``limits``.

    Args:
        place: the run.
        searched: the study of its search.
        asked: the study of candidates scored for earlier questions; new ones are added to it.
        limits: the bounds now.
        count: how many candidates are wanted.
        budgets: over which scores are means, in place of the run's.

    Raises:
        ConfigError: no architecture of the survey meets the limits, or answers within the budgets,
            nor does a scored one.
    """

    def known() -> list[Scored]:
        return judged([*searched.scored, *asked.scored], budgets)

    def answer(new: int) -> Answer:
        found = _best(place, known(), limits, count)
        return Answer(found, new, budgets, larger(place, found))

    if budgets is not None and not any(_answers(scored, budgets) for scored in known()):
        place.survey.require_answers(budgets)
    found = answer(0)
    if len(found.found) >= count:
        return found
    if not found.found:
        place.survey.require(limits)
    if place.config.score_by == "training":  # a question is no reason to train hundreds
        if not found.found:
            raise ConfigError(
                "none of the trained candidates is within these limits; make a run with them"
            )
        return found
    new = _new(place, known(), limits)
    for candidate, score in zip(new, place.score(new), strict=True):
        asked.add(finished(candidate, score, aims=len(asked.directions)))
    return answer(len(new))


def judged(scored: Iterable[Scored], budgets: Budgets | None) -> list[Scored]:
    """Return candidates with the scores that they have over other budgets than the run's."""
    return [_judged(one, budgets) for one in scored]


def _judged(scored: Scored, budgets: Budgets | None) -> Scored:
    """Return a candidate with the score that its curve has over other budgets."""
    if budgets is None or scored.score == WORST:
        return scored
    if not scored.curve:
        raise ConfigError(
            "--budgets: candidates of this run were scored without their exits; leave it out"
        )
    score, accuracy = budgets.means(scored.curve)
    anywhere = (score + WORST, score - WORST)  # the losses of the images are not kept
    return msgspec.structs.replace(scored, score=score, interval=anywhere, score_accuracy=accuracy)


def _answers(scored: Scored, budgets: Budgets) -> bool:
    """Say whether a candidate has an exit that some of the budgets pay for."""
    return any(0 < exit.macs <= budgets.high for exit in scored.curve)


def show(voice: Voice, answer: Answer, compared: Comparison | None, wanted: int, word: str) -> None:
    """Print the candidates of an answer, of which so many were wanted.

    Args:
        voice: prints.
        answer: what was found.
        compared: how far the first of them are told apart, where that is known.
        wanted: how many candidates were asked for.
        word: what the task measures, in short.
    """
    if answer.new:
        voice.say(f"fewer than {wanted} of the scored fit: scored {answer.new} new candidates")
    asked = answer.budgets
    title = "best by score" + (f", mean over budgets of {asked}" if asked is not None else "")
    told = compared.standings if compared else []
    listed = list(zip_longest(answer.found, told))
    scores = [_in_figures(scored.score, (stands or scored).interval) for scored, stands in listed]
    header = ("rank", "score ± 95 %" if any("±" in text for text in scores) else "score")
    rows = [
        (
            f"{number}",
            text,
            *(probabilities(stands) if compared else ()),
            share(scored.score_accuracy),
            short(scored.params),
            short(scored.macs),
        )
        for number, (text, (scored, stands)) in enumerate(zip(scores, listed, strict=True), start=1)
    ]
    better = BETTER if compared else ()
    voice.table(title, (*header, *better, f"score {word}", "params", "MACs"), rows)
    if compared:
        first = f"of the first {len(told)}, " if len(told) < len(answer.found) else ""
        voice.say(first + compared.text)
    if answer.larger:
        voice.say(answer.larger)


def _in_figures(score: float, interval: tuple[float, float]) -> str:
    """Write a score, with half its interval where that is known: of losses, over the images."""
    half = (interval[1] - interval[0]) / 2
    return f"{score:.3f} ± {half:.3f}" if 0 < half < -WORST / 2 else f"{score:.3f}"


def _best(place: Workplace, scored: Sequence[Scored], limits: Limits, count: int) -> list[Scored]:
    """Return the best different networks."""
    by_score = top(scored, len(scored), limits)
    records = {canonical(s.choices): s for s in by_score}
    kept = distinct((place.candidates.of(s.choices) for s in by_score), count)
    return [records[canonical(candidate.choices)] for candidate in kept]


def _new(place: Workplace, known: Sequence[Scored], limits: Limits) -> list[Candidate]:
    """Return up to MOST_NEW candidates within ``limits`` that were not scored yet."""
    seed = place.config.seed
    fitting = [a.choices for a in place.survey.drawn if limits.admit(a.params, a.macs)]
    bases = fitting or [s.choices for s in known if limits.admit(s.params, s.macs)]
    seen = {canonical(scored.choices) for scored in known}
    found: list[Candidate] = []
    for number in range(DRAWS):
        generator = rng(seed, "ask", number)
        if number < len(fitting):
            candidate = place.candidates.of(fitting[number])
        else:
            base = generator.choice(bases)
            candidate = place.candidates.perturb(base, 2 / max(len(base), 1), generator)
        key = canonical(candidate.choices)
        if key not in seen and limits.admit(candidate.params, candidate.macs):
            seen.add(key)
            found.append(candidate)
        if len(found) == MOST_NEW:
            break
    return found


def score(place: Workplace, architectures: Iterable[Architecture]) -> Iterator[Line]:
    """Yield one line for each architecture, in order; blocks pass the hypernetwork together."""
    remaining, bound = iter(architectures), fitted(place)
    while block := list(islice(remaining, BLOCK)):
        made = [_candidate(place, choices) for choices in block]
        candidates = [found for found in made if isinstance(found, Candidate)]
        scores = iter(place.score(candidates))
        for found in made:
            if isinstance(found, Candidate):
                yield _line(place, found, next(scores), bound)
            else:
                yield found


def _candidate(place: Workplace, choices: Architecture) -> Candidate | FailedLine:
    try:
        return place.candidates.of(choices)
    except HypernasError as error:
        return FailedLine(choices=choices, error=str(error))


def _line(
    place: Workplace, candidate: Candidate, reached: Score, bound: Largest | None
) -> ScoredLine:
    warnings = bound.warnings(candidate) if bound else []
    if untrained := place.hypernet.untrained(candidate) if place.config.fits else []:
        warnings.append(f"{len(untrained)} weights were never fitted, such as {untrained[0]}")
    return ScoredLine(
        choices=candidate.choices,
        score=reached.score,
        interval=reached.interval,
        score_accuracy=reached.score_accuracy,
        curve=reached.curve,
        params=candidate.params,
        macs=candidate.macs,
        warnings=warnings,
    )
