"""Statistics of normalisation, re-estimated for one candidate with its generated weights.

Batch norms of a candidate keep no running statistics: they normalise by the batch. A network that
is trained for real is measured with statistics over its training images. Here a candidate gets such
statistics too, for as long as it is scored.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from hypernas.candidate import Candidate
from hypernas.config import Config
from hypernas.data import Batches
from hypernas.hypernets import Weights
from hypernas.precision import autocast
from hypernas.randomness import torch_generator

Batch = tuple[Tensor, Tensor]
"""examples (B, ...) and their targets (B, ...)"""


def fixed_batches(
    batches: Batches, examples: int, size: int, *, seed: int, purpose: str
) -> list[Batch]:
    """Return so many examples, the first of a shuffle, not augmented, in batches of one size.

    Args:
        batches: of the split they are taken from.
        examples: how many; hardly any are left out so that all batches are of one size.
        size: most examples in a batch.
        seed: of the shuffle.
        purpose: of the shuffle; another one takes other examples.
    """
    examples = min(examples, len(batches))
    count = -(-examples // size)
    size = examples // count
    order = torch.randperm(len(batches), generator=torch_generator(seed, purpose))
    return [batches.fixed(part) for part in order[: count * size].split(size)]


def fixed_images(fit: Batches, config: Config, size: int) -> list[Tensor]:
    """Return the images over which a run's scores are normalised, in batches of ``size``."""
    many, seed = config.statistics_images, config.seed
    return [x for x, _ in fixed_batches(fit, many, size, seed=seed, purpose="statistics")]


@contextlib.contextmanager
@torch.no_grad()
def reestimated(
    candidate: Candidate, weights: Weights, images: Sequence[Tensor], *, precision: str = "fp32"
) -> Generator[None, None, None]:
    """While the block runs, a candidate normalises by statistics over ``images``.

    They are each layer's mean and unbiased variance averaged over the batches, in which it
    normalises by the batch (as :func:`torch.optim.swa_utils.update_bn` does); dropout is off.
    Before and after, the candidate keeps none.

    Args:
        candidate: its layers that kept statistics where the space made them get some.
        weights: one tensor for each of its parameters.
        images: batches (B, ...), all of one size.
        precision: ``fp32`` or ``bf16``.
    """
    layers = candidate.norms
    momenta = [layer.momentum for layer in layers]
    candidate.module.eval()
    try:
        for layer in layers:
            _begin(layer, images[0].device)
        for batch in images:
            with autocast(batch.device, precision):
                candidate(weights, batch)
        for layer in layers:
            layer.eval()
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.running_mean = layer.running_var = layer.num_batches_tracked = None
            layer.track_running_stats, layer.momentum = False, momentum
            layer.eval()


def _begin(layer: _BatchNorm, device: torch.device) -> None:
    """Let a layer average the statistics of the batches to come."""
    layer.running_mean = torch.zeros(layer.num_features, device=device)
    layer.running_var = torch.ones(layer.num_features, device=device)
    layer.num_batches_tracked = torch.tensor(0, device=device)
    layer.momentum = None  # all batches count alike
    layer.track_running_stats = True
    layer.train()
