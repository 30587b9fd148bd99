"""What the score of a run is held against, on the networks that were trained for real.

Values are kept in ``rivals.json``: they depend on the network and the run's seed alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from hypernas.choices import identity
from hypernas.console import Update
from hypernas.errors import ConfigError
from hypernas.files import read_json, write_json
from hypernas.meter import meter
from hypernas.proxies import PROXIES, Proxies
from hypernas.results import Meter, Network, Struct
from hypernas.workplace import Workplace


class Values(Struct, frozen=True):
    """What a rival gives networks."""

    of: dict[str, float]
    """by the identity of the choices"""
    seconds: float
    """CPU seconds that they took in all"""


def measured(
    place: Workplace, networks: Sequence[Network], progress: Update = lambda *_: None
) -> dict[str, Values]:
    """Return the value of each network by each rival that can be computed here."""
    path = place.folder / "rivals.json"
    known = read_json(path, dict[str, Values]) if path.exists() else {}
    compute = Proxies(place, seed=place.config.seed)
    for done, name in enumerate(PROXIES, start=1):
        before = known.get(name, Values(of={}, seconds=0.0))
        lacking = {identity(n.choices): n for n in networks if identity(n.choices) not in before.of}
        if not lacking:
            continue
        candidates = [place.candidates.of(network.choices) for network in lacking.values()]
        progress(done, len(PROXIES), name)
        _ = compute.batch  # data are loaded before the clock starts
        began = time.process_time()
        try:
            values = compute(name, candidates)
        except ConfigError:
            known.pop(name, None)  # of such inputs or networks there is no such value
            continue
        spent = before.seconds + time.process_time() - began
        found = dict(zip(lacking, values, strict=True))
        known[name] = Values(of=before.of | found, seconds=spent)
        write_json(path, known)
    return known


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
        progress: told which rival is computed.
    """
    sample = [network for network in networks if network.source == "random"]
    others = [network for network in networks if network.source != "random"]
    rivals = {}
    for name, values in measured(place, sample, progress).items():
        each = [values.of[identity(network.choices)] for network in sample]
        rivals[name] = each, values.seconds / len(values.of)
    search = seconds.get("search", 0.0) * place.config.processes
    fit = seconds.get("fit", 0.0) * place.plan.threads
    return meter(sample, others, rivals, scored=scored, search_seconds=search + fit)
