"""The mlp space: multilayer perceptrons for tables.

Each layer may be wider or narrower, with a norm and a way round it; what stands in no layer is the
linear classifier.
"""

from __future__ import annotations

from torch import Tensor, nn

from hypernas.choices import Chooser
from hypernas.spaces.space import require_positive
from hypernas.tasks import Signature

ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU, "tanh": nn.Tanh}
NORMS = {"none": nn.Identity, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


def mlp(
    choose: Chooser,
    data: Signature,
    *,
    widths: tuple[int, ...] = (8, 16, 32, 64),
    layers: int = 4,
) -> nn.Module:
    """Multilayer perceptrons, for tables.

    Args:
        choose: decides ``layers``, ``layer0.width``, ``layer0.norm``, ``layer0.activation``,
            ``layer0.round`` (whether what came in is added), ``layer0.dropout``, …
        data: number of columns and of classes.
        widths: units of a layer.
        layers: most hidden layers.
    """
    require_positive(layers=layers, widths=widths)
    units = data.input_shape[0]
    body: list[nn.Module] = []
    for index in range(choose.int("layers", 0, layers)):
        name = f"layer{index}"
        width = choose(f"{name}.width", list(widths))
        inner = nn.Sequential(
            nn.Linear(units, width),
            NORMS[choose(f"{name}.norm", list(NORMS))](width),
            ACTIVATIONS[choose(f"{name}.activation", list(ACTIVATIONS))](),
            nn.Dropout(choose(f"{name}.dropout", [0.0, 0.2])),
        )
        round_ = width == units and choose(f"{name}.round", [False, True])
        body.append(Round(inner) if round_ else inner)
        units = width
    return nn.Sequential(*body, nn.Linear(units, data.outputs))


class Round(nn.Module):
    """What came in is added to what comes out."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


mlp.reads = (("tables", "classification"),)  # ty: ignore[missing-attribute]
