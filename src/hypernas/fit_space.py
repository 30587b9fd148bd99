"""Fitting on other options of the space than the search has: small cells, say, for large ones.

Source: Graph HyperNetworks (arXiv 1810.05749): fitted on cells of 7 nodes, the hypernetwork ranks
cells of 17 better than fitted on these. A hypernetwork must be able to read both.
"""

from __future__ import annotations

from hypernas.candidate import Candidate, Candidates
from hypernas.errors import ConfigError
from hypernas.options import in_words
from hypernas.survey import Surveyed
from hypernas.workplace import Workplace

FITTED, SEARCHED = 100, 40
"""architectures of either space that a hypernetwork is tried with"""
CHANCE = 0.15
"""share of them that may lack weights by the luck of so few draws"""


def require_readable(place: Workplace) -> None:
    """Refuse options of the fit from which too little is learned for the search.

    A hypernetwork is given what fitting would meet; what candidates of the search then lack
    (weights that are looked up by name, networks that belong to one cell), and would not lack had
    it met their own space, is never fitted.

    Args:
        place: with both surveys.

    Raises:
        ConfigError: such weights are there, or the hypernetwork cannot read both spaces.
    """
    options = place.config.fit_options
    if not options:
        return
    drawn = place.survey.drawn
    count = min(SEARCHED, -(-len(drawn) // 4))
    searched = [place.candidates.of(a.choices) for a in drawn[-count:]]
    lacking = _lacking(place, place.fit_candidates, place.fit_survey.drawn[:-count], searched)
    if not lacking:
        return
    usual = _lacking(place, place.candidates, drawn[:-count], searched)
    if len(lacking) > len(usual) + CHANCE * len(searched):
        raise ConfigError(
            f"--fit-set {in_words(options)}: hypernetwork {place.config.hypernet!r} would never "
            f"fit {lacking[0]}, which candidates of the search have; give other options, or "
            f"{place.new_hypernet().reads_more}"
        )


def _lacking(
    place: Workplace, candidates: Candidates, met: list[Surveyed], searched: list[Candidate]
) -> list[str]:
    """Return a weight that each candidate lacks, of those that lack some, after fitting ``met``."""
    hypernet = place.new_hypernet()
    hypernet.prepare([candidates.of(a.choices) for a in met[:FITTED]])
    return [names[0] for candidate in searched if (names := hypernet.untrained(candidate))]
