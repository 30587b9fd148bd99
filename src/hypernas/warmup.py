"""The timed warm-up of a run with a time budget: what a step, a score and an epoch cost here."""

from __future__ import annotations

import math
import time

import torch

from hypernas.budget import Costs, clock
from hypernas.candidate import Candidate, build_network
from hypernas.config import cores
from hypernas.hypernets import Hypernet
from hypernas.jobs import WARM_STEPS
from hypernas.proxies import PROXIES, Proxies
from hypernas.pruning import expected_epochs
from hypernas.randomness import rng
from hypernas.scoring import BLOCK
from hypernas.signals import Signal
from hypernas.training import Trainer, measure
from hypernas.workplace import Workplace

FIT_STEPS = 12
ENOUGH = 4.0
"""seconds after which fewer steps must do"""
STEPS = 1000
"""of the fit that the timed steps are part of"""
NETWORKS = 4
TRAIN_STEPS = 3
OVERHEAD = 25.0
"""seconds for starting processes, the export with its checks, and the report"""


def costs(place: Workplace) -> Costs:
    """Measure the costs of a run's parts on this machine; nothing of it is kept."""
    config = place.config
    step, threads, score = 0.0, config.threads or 1, 0.0
    training = config.score_by == "training"
    if config.fits:
        hypernet = place.new_hypernet()
        step, threads = step_cost(place, hypernet)
        score = _score(place, place.scorer(hypernet.eval()), BLOCK)
    elif not training:
        score = _score(place, place.score, NETWORKS)
    place.threads(1)
    block = [place.candidates.draw(rng(config.seed, "warm-up", i)) for i in range(BLOCK)]
    fitting = [c for c in block if config.limits.admit(c.params, c.macs)][:NETWORKS]
    seconds = [_epoch(place, candidate) for candidate in [*fitting, place.biggest]]
    epoch = sum(seconds) / len(seconds)
    generated, more = config.climbs and config.fits, place.data.validation / config.score_images
    return Costs(
        step=step,
        threads=threads,
        score=epoch * expected_epochs(config.pruner, place.score_epochs) if training else score,
        epoch=epoch,
        biggest_epoch=seconds[-1],
        overhead=OVERHEAD,
        zero_cost=_zero_cost(place) if config.climbs else 0.0,
        again=score * more if generated and more > 1 else 0.0,
        warm=epoch * WARM_STEPS / place.train_batches.batches_per_epoch if generated else 0.0,
        alone=place.sampler.alone(config.given(1).get("trials", 0)),
    )


def _score(place: Workplace, signal: Signal, count: int) -> float:
    """Return the seconds in which a signal ranks a candidate, drawing it included."""
    place.threads(1)

    def drawn(first: int) -> list[Candidate]:
        numbers = range(first, first + count)
        return [place.candidates.draw(rng(place.config.seed, "warm-up", n)) for n in numbers]

    signal(drawn(0))
    began = time.perf_counter()
    signal(drawn(count))  # others: known candidates are not built and read again
    return (time.perf_counter() - began) / count


def _zero_cost(place: Workplace) -> float:
    """Return the seconds of a candidate's zero-cost scores, building it included."""
    compute = Proxies(place, seed=place.config.seed)

    def one(number: int) -> None:
        candidate = place.candidates.draw(rng(place.config.seed, "warm-up, zero-cost", number))
        compute.timed(candidate, PROXIES)

    return clock(one, range(NETWORKS), enough=ENOUGH)


@torch.random.fork_rng(devices=[])
def step_cost(
    place: Workplace, hypernet: Hypernet, *, repeats: int = FIT_STEPS
) -> tuple[float, int]:
    """Return the seconds of a fit step, and the number of threads with which it takes these.

    More threads are not always faster: on a machine that does other work they wait for each other.

    Args:
        place: has the space, its survey and the data.
        hypernet: is trained a little.
        repeats: steps over which the mean is taken, fewer where they take long.
    """
    work = place.fit(hypernet, steps=STEPS)
    work.step = math.ceil(place.fit_recipe.anneal * STEPS)  # eased steps would cost too little
    tried = [place.config.threads] if place.config.threads else sorted({1, cores()})
    taken = []
    for threads in tried:
        place.threads(threads)
        cost = clock(lambda _: work.advance(), range(repeats), enough=ENOUGH)
        taken.append((cost, threads))
    return min(taken)


@torch.random.fork_rng(devices=[])
def _epoch(place: Workplace, candidate: Candidate) -> float:
    """Estimate the seconds of an epoch of real training, and of measuring where it ends each."""
    module = build_network(place.space, candidate.choices, place.signature, seed=0)
    trainer = Trainer(
        module, place.train_batches, place.task, place.recipe(1), place.folder, seed=0
    )
    optimiser = trainer.optimiser()
    step = clock(lambda _: trainer.advance(optimiser), range(TRAIN_STEPS))
    validation, task = place.validation_batches, place.task
    measuring = 0.0
    if place.config.pruner != "none":
        measuring = clock(lambda _: measure(module, validation, task), range(1))
    return step * place.train_batches.batches_per_epoch + measuring
