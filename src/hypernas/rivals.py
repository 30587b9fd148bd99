"""What the score of a run is held against, on the networks that were trained for real."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hypernas.console import Update
from hypernas.jobs import ZeroCost
from hypernas.meter import meter
from hypernas.proxies import Timed, common
from hypernas.results import Meter, Network
from hypernas.workplace import Workplace


def trust(
    place: Workplace,
    networks: Sequence[Network],
    seconds: Mapping[str, float],
    scored: int,
    progress: Update = lambda *_: None,
) -> Meter | None:
    """Return how far the scores of a run may be believed.

    Args:
        place: of the run.
        networks: all that were trained for real.
        seconds: on the wall clock, of each step.
        scored: candidates of the search.
        progress: told for how many networks the rivals are computed.
    """
    sample = [network for network in networks if network.source == "random"]
    others = [network for network in networks if network.source != "random"]
    place.threads(1)  # as in the processes of a run: last digits depend on it
    found: list[dict[str, Timed]] = []
    for done, network in enumerate(sample, start=1):
        found.append(ZeroCost(choices=network.choices).do(place))
        progress(done, len(sample), "networks")
    rivals = {}
    for name in common(found):
        each = [values[name] for values in found]
        rivals[name] = [v.value for v in each], float(np.mean([v.seconds for v in each]))
    search = seconds.get("search", 0.0) * place.config.processes
    fit = seconds.get("fit", 0.0) * place.plan.threads
    return meter(sample, others, rivals, scored=scored, search_seconds=search + fit)
