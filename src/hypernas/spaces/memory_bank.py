"""The memory-bank space of SMASH (arXiv 1708.05344): networks as programs on banks of features.

A block holds banks of feature maps. Each of its ops reads some banks, passes them through a 1×1
convolution and a few others, and writes banks: empty ones are filled, used ones are added to. What
is read and written makes residual, dense and fractal networks (:mod:`~hypernas.spaces.banks.named`)
and everything between. Between blocks the images are halved.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from torch import nn

from hypernas.choices import Chooser
from hypernas.errors import SpaceError
from hypernas.spaces.banks.architecture import drawn
from hypernas.spaces.banks.modules import MemoryBankNetwork
from hypernas.spaces.banks.settings import STRUCTURES, Settings
from hypernas.tasks import Signature

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"unit": 4, "cap": 4, "depth": 3, "width": 2, "kernel": 5, "groups": 4},
    "small": {"unit": 4, "cap": 8, "depth": 5, "width": 4, "kernel": 5, "groups": 4},
    "medium": {"unit": 8, "cap": 8, "depth": 8, "width": 4},
    "classic": {"stem_kernel": 7, "first_side": 32},
}
"""options of each preset, from the smallest to the largest; what is not named is classic's"""
CLASSIC: dict[str, Any] = {
    "unit": 8,
    "cap": 8,
    "depth": 12,
    "width": 4,
    "kernel": 7,
    "groups": 8,
    "stem_kernel": 3,
    "first_side": 16,
}


def memory_bank(
    choose: Chooser,
    data: Signature,
    *,
    preset: str | None = None,
    unit: int | None = None,
    cap: int | None = None,
    depth: int | None = None,
    width: int | None = None,
    kernel: int | None = None,
    groups: int | None = None,
    stem_kernel: int | None = None,
    stem_stride: int | None = None,
    blocks: int = 3,
    compression: int = 2,
    bottleneck: int = 4,
    most_bottleneck: int = 2,
    square: bool = False,
    dilation: int = 3,
    structures: tuple[str, ...] = tuple(STRUCTURES),
    nonlinearities: tuple[str, ...] = ("relu",),
    orders: tuple[str, ...] = ("pre",),
    norms: tuple[str, ...] = ("around",),
    gates: tuple[str, ...] = ("none",),
    writes: tuple[str, ...] = ("add",),
    attention: tuple[str, ...] = ("none",),
    layers: tuple[str, ...] = ("conv",),
    macro: bool = False,
    persistent: int = 0,
    repeats: int = 1,
    budget: float = 1.0,
    ease: float = 1.0,
) -> nn.Module:
    """Blocks of ops that read and write memory banks; ResNet, DenseNet, FractalNet within (SMASH).

    Lists are drawn from, op by op; a list of one is the same for all.

    Args:
        choose: decides ``block0.bank``, ``block0.op0.reads``, ``block0.op0.width``, …
        data: shape of an example, with one to three axes of space, and number of classes; the words
            of texts are embedded first.
        preset: tiny, small, medium or classic (SMASH's own sizes): gives the options that are None;
            in a run the largest that gets 2,000 fit steps in its minutes, else tiny.
        unit: channels of a unit, the quantum of every width; a found architecture built with twice
            as many is twice as wide.
        cap: most units that an op returns.
        depth: ops a block has at most, about, each reading ``width`` pairs of units.
        width: pairs of units with which the first block starts.
        kernel: largest kernel, odd, up to 7.
        groups: most groups of a convolution; a divisor of ``unit``.
        stem_kernel: side of the first convolution's kernel.
        stem_stride: its stride; None takes what brings images to 16 pixels or fewer (classic: 32).
        blocks: how many; images are halved between them.
        compression: units of input channels in a slice of the encoding; ops read whole slices.
        bottleneck: most times by which an op's 1×1 convolution is wider than its output.
        most_bottleneck: most times by which it is wider than ``cap``.
        square: one kernel size and dilation for all axes of an op's convolution.
        dilation: largest dilation, 1 to 3.
        structures: how an op's convolutions stand: 2+1 is two in a row beside one.
        nonlinearities: relu, tanh, sigmoid, silu, gelu.
        orders: pre (nonlinearity, convolution), post, or late (a norm last).
        norms: around the 1×1 convolution only, or also one at each convolution.
        gates: none, split (tanh · sigmoid of halves), product (tanh · sigmoid of paths).
        writes: into a used bank: add, mean, multiply.
        attention: over banks: none, read, write, both.
        layers: conv, separable, max_pool, avg_pool, gabor (fixed filters).
        macro: each block also decides how wide the next one starts and how images shrink.
        persistent: units that pass from block to block unchanged but for the shrinking.
        repeats: times that the ops of a block run, each time with weights of their own; more make a
            found architecture deeper.
        budget: largest share of a block's read budget that is drawn, 0.3 to 1.
        ease: 0 draws small budgets and kernels only, 1 all that is legal.
    """
    given = {name: value for name, value in locals().items() if name not in ("choose", "data")}
    settings = settings_of(given, data)
    return MemoryBankNetwork(drawn(choose, settings), data, settings)


def _ask(choose: Chooser, data: Signature, **options: Any) -> None:
    """Decide on an architecture without building it."""
    drawn(choose, settings_of(options, data))


memory_bank.reads = (  # ty: ignore[missing-attribute]
    ("images", "classification"),
    ("texts", "classification"),
)
memory_bank.presets = tuple(PRESETS)  # ty: ignore[missing-attribute]
memory_bank.ask = _ask  # ty: ignore[missing-attribute]


def settings_of(options: Mapping[str, Any], data: Signature) -> Settings:
    """Return what the space's options, each with its value or None, come to for some data.

    Raises:
        SpaceError: options that cannot be, or data that are no signals, images or volumes.
    """
    axes = len(data.sides)
    if not 1 <= axes <= 3:
        raise SpaceError(
            f"space 'memory-bank' got examples of shape {list(data.input_shape)}; expected "
            "channels and one to three axes of space: give texts, signals, images or volumes"
        )
    sizes = CLASSIC | _preset(options["preset"])
    sizes |= {name: options[name] for name in CLASSIC if options.get(name) is not None}
    if options["groups"] is None:
        sizes["groups"] = math.gcd(max(sizes["unit"], 1), sizes["groups"])
    stride = options["stem_stride"]
    sizes["stem_stride"] = _stride(data, sizes["first_side"]) if stride is None else stride
    values: dict[str, Any] = {**options, **sizes, "axes": axes}
    return Settings(**{field.name: values[field.name] for field in fields(Settings)})


def _preset(name: str | None) -> dict[str, Any]:
    if name is not None and name not in PRESETS:
        raise SpaceError(
            f"option preset={name}: expected {', '.join(PRESETS)}; give --set preset=small"
        )
    return PRESETS[name or "tiny"]


def _stride(data: Signature, side: int) -> int:
    """Return the power of 2 that brings images to ``side`` or less."""
    return 2 ** max(0, math.ceil(math.log2(max(data.sides) / side)))
