"""An experiment: a candidate's last layer fitted to its data, in place of the generated one.

The layer is fitted in closed form, by ridge regression on one-hot labels, to what reaches it of
images of the fit split. The score is then the network's as ever, by the loss of its outputs.

Legend: B images, D features that reach the layer, C classes.
"""

from __future__ import annotations

import torch
from sklearn.linear_model import Ridge
from torch import Tensor, nn
from torch.nn import functional as F

from hypernas.candidate import Candidate
from hypernas.hypernets import Weights
from hypernas.normalising import fixed_batches
from hypernas.workplace import SCORE_BATCH, Workplace

IMAGES, PENALTY = 1000, 1e-2
"""of the fit split; of slopes of standard features, for each image"""


@torch.no_grad()
def refitted(place: Workplace, candidate: Candidate, weights: Weights) -> Weights:
    """Return a classifier's weights with those of its last linear layer fitted."""
    name, layer = [
        (name, module)
        for name, module in candidate.module.named_modules()
        if isinstance(module, nn.Linear)
    ][-1]
    reached: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, given: reached.append(given[0]))
    batches = fixed_batches(
        place.fit_batches, IMAGES, SCORE_BATCH, seed=place.config.seed, purpose="refitted"
    )
    try:
        for images, _ in batches:
            candidate(weights, images)
    finally:
        hook.remove()
    labels = F.one_hot(torch.cat([targets for _, targets in batches]), layer.out_features)
    slopes, intercept = ridge(torch.cat(reached), labels.float())
    return {**weights, f"{name}.weight": slopes, f"{name}.bias": intercept}


def ridge(features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return slopes (C, D) and intercepts (C,) from features (B, D) to targets (B, C)."""
    spread = features.std(0) + 1e-6
    model = Ridge(alpha=PENALTY * len(features)).fit((features / spread).numpy(), targets.numpy())
    return torch.from_numpy(model.coef_) / spread, torch.from_numpy(model.intercept_)
