"""Layers of torch.nn: their kinds, and the shapes of their results by a rule for each kind.

A layer without a rule is run on tensors without memory where its result's shape is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import nn

from hypernas.errors import GraphError
from hypernas.graph import Shape

LayerRule: TypeAlias = Callable[[Any, Shape], Shape]
"""from a layer and its input's shape, batch included, to its output's shape"""


def _same(_: nn.Module, shape: Shape) -> Shape:
    return shape


def _conv(layer: Any, shape: Shape) -> Shape:
    _check_channels(layer.in_channels, shape, len(layer.kernel_size))
    sizes = shape[2:]
    if isinstance(layer.padding, str):
        total = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        padded = [
            s + (t if layer.padding == "same" else 0) for s, t in zip(sizes, total, strict=True)
        ]
    else:
        padded = [s + 2 * p for s, p in zip(sizes, layer.padding, strict=True)]
    for size, more in zip(sizes, padded, strict=True):
        widest = size - 1 if layer.padding_mode == "reflect" else size
        if layer.padding_mode in ("reflect", "circular") and more - size > 2 * widest:
            raise GraphError(f"padding {layer.padding_mode!r} is wider than sizes {sizes} allow")
    out = [
        (size - dilation * (kernel - 1) - 1) // stride + 1
        for size, dilation, kernel, stride in zip(
            padded, layer.dilation, layer.kernel_size, layer.stride, strict=True
        )
    ]
    return (shape[0], layer.out_channels, *_positive(out))


def _conv_transpose(layer: Any, shape: Shape) -> Shape:
    _check_channels(layer.in_channels, shape, len(layer.kernel_size))
    steps = zip(layer.output_padding, layer.stride, layer.dilation, strict=True)
    if any(more >= max(stride, dilation) for more, stride, dilation in steps):
        raise GraphError(
            f"output padding {layer.output_padding} is not below stride or dilation of its axis"
        )
    out = [
        (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + more + 1
        for size, stride, padding, dilation, kernel, more in zip(
            shape[2:],
            *(layer.stride, layer.padding, layer.dilation, layer.kernel_size),
            layer.output_padding,
            strict=True,
        )
    ]
    return (shape[0], layer.out_channels, *_positive(out))


def _linear(layer: nn.Linear, shape: Shape) -> Shape:
    if shape[-1] != layer.in_features:
        raise GraphError(f"expected {layer.in_features} input features, got {shape[-1]}")
    return (*shape[:-1], layer.out_features)


def _batch_norm(layer: Any, shape: Shape) -> Shape:
    axes = _axes(layer)
    _check_channels(layer.num_features, shape, 0 if (axes, len(shape)) == (1, 2) else axes)
    if layer.running_mean is None:
        _check_several(shape[0] * math.prod(shape[2:]))
    return shape


def _instance_norm(layer: Any, shape: Shape) -> Shape:
    _check_channels(layer.num_features, shape, _axes(layer))
    if layer.running_mean is None:
        _check_several(math.prod(shape[2:]))
    return shape


def _group_norm(layer: nn.GroupNorm, shape: Shape) -> Shape:
    _check_channels(layer.num_channels, shape, len(shape) - 2)
    _check_several(math.prod(shape) // layer.num_groups)
    return shape


def _layer_norm(layer: Any, shape: Shape) -> Shape:
    expected = tuple(layer.normalized_shape)
    if shape[-len(expected) :] != expected:
        raise GraphError(f"expected a shape that ends in {expected}, got {shape}")
    return shape


def _softmax(layer: nn.Softmax, shape: Shape) -> Shape:
    axes = max(len(shape), 1)
    if layer.dim is not None and not -axes <= layer.dim < axes:
        raise GraphError(f"axis {layer.dim} is none of shape {shape}")
    return shape


def _prelu(layer: nn.PReLU, shape: Shape) -> Shape:
    if layer.num_parameters > 1:
        _check_channels(layer.num_parameters, shape, len(shape) - 2)
    return shape


def _dropout1d(_: nn.Module, shape: Shape) -> Shape:
    if len(shape) not in (2, 3):
        raise GraphError(f"expected 2 or 3 axes, got shape {shape}")
    return shape


def _pool(layer: Any, shape: Shape) -> Shape:
    axes = _axes(layer)
    _check_axes(shape, axes)
    kernel, stride, padding = (
        as_tuple(a, axes) for a in (layer.kernel_size, layer.stride, layer.padding)
    )
    dilation = as_tuple(getattr(layer, "dilation", 1), axes)
    out = []
    for size, k, s, p, d in zip(shape[2:], kernel, stride, padding, dilation, strict=True):
        if 2 * p > k:
            raise GraphError(f"padding {p} is more than half of a window of {k}")
        if isinstance(layer, nn.AvgPool3d) and size < k:  # which does not count its padding
            raise GraphError(f"a window of {k} is larger than an input of {size}")
        span = size + 2 * p - d * (k - 1) - 1
        count = -(-span // s) + 1 if layer.ceil_mode else span // s + 1
        # with ceil_mode a window must begin inside the image or its left padding
        out.append(count - 1 if layer.ceil_mode and (count - 1) * s >= size + p else count)
    return (*shape[:2], *_positive(out))


def _adaptive_pool(layer: Any, shape: Shape) -> Shape:
    _check_axes(shape, _axes(layer))
    if layer.output_size is None:
        raise GraphError("output_size is None; expected a number, or one or None for each axis")
    sizes = as_tuple(layer.output_size, len(shape) - 2)
    return (*shape[:2], *(s if o is None else o for s, o in zip(shape[2:], sizes, strict=True)))


def _flatten(layer: nn.Flatten, shape: Shape) -> Shape:
    return tuple(torch.empty(shape, device="meta").flatten(layer.start_dim, layer.end_dim).shape)


def _axes(layer: nn.Module) -> int:
    """Return the spatial axes that a layer of torch.nn has in its name, such as ``MaxPool2d``."""
    return int(type(layer).__name__[-2])


def _check_axes(shape: Shape, axes: int) -> None:
    if len(shape) != axes + 2:
        raise GraphError(f"expected {axes + 2} axes (batch, channels, …), got shape {shape}")


def _check_channels(expected: int, shape: Shape, axes: int) -> None:
    _check_axes(shape, max(axes, 0))
    if shape[1] != expected:
        raise GraphError(f"expected {expected} input channels, got {shape[1]}")


def _check_several(values: int) -> None:
    if values == 1:
        raise GraphError("expected more than one value to take the mean and the deviation of")


def _positive(sizes: list[int]) -> list[int]:
    if min(sizes, default=1) < 1:
        raise GraphError(f"the result would have size {sizes}; the input is too small")
    return sizes


def as_tuple(value: Any, axes: int) -> tuple[Any, ...]:
    """Return a setting as one number for each of ``axes``."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes


LAYERS: dict[type[nn.Module], tuple[str, LayerRule | None]] = {
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), ("conv", _conv)),
    **dict.fromkeys(
        (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
        ("conv_transpose", _conv_transpose),
    ),
    nn.Linear: ("linear", _linear),
    **dict.fromkeys((nn.Embedding, nn.EmbeddingBag), ("embedding", None)),
    nn.MultiheadAttention: ("attention", None),
    **dict.fromkeys((nn.LSTM, nn.GRU, nn.RNN), ("recurrent", None)),
    **dict.fromkeys((nn.LSTMCell, nn.GRUCell, nn.RNNCell), ("recurrent", None)),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), ("norm", _batch_norm)),
    **dict.fromkeys(
        (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d), ("norm", _instance_norm)
    ),
    nn.GroupNorm: ("norm", _group_norm),
    **dict.fromkeys((nn.LayerNorm, nn.RMSNorm), ("norm", _layer_norm)),
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d), ("max_pool", _pool)),
    **dict.fromkeys((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), ("avg_pool", _pool)),
    **dict.fromkeys(
        (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
        ("global_pool", _adaptive_pool),
    ),
    **dict.fromkeys(
        (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
        ("global_pool", _adaptive_pool),
    ),
    nn.Upsample: ("resize", None),
    **dict.fromkeys((nn.ReLU, nn.ReLU6, nn.LeakyReLU), ("relu", _same)),
    nn.Sigmoid: ("sigmoid", _same),
    nn.Tanh: ("tanh", _same),
    nn.GELU: ("gelu", _same),
    nn.SiLU: ("silu", _same),
    nn.Softmax: ("softmax", _softmax),
    **dict.fromkeys((nn.ELU, nn.Hardswish, nn.Hardsigmoid, nn.Mish), ("activation", _same)),
    nn.PReLU: ("activation", _prelu),
    nn.Identity: ("identity", _same),
    **dict.fromkeys((nn.Dropout, nn.Dropout2d, nn.Dropout3d), ("dropout", _same)),
    nn.Dropout1d: ("dropout", _dropout1d),
    nn.Flatten: ("reshape", _flatten),
    nn.Unflatten: ("reshape", None),
}


def rule_of(layer: nn.Module) -> tuple[str, LayerRule | None]:
    """Return a layer's kind and rule by its class; a parametrised one has one of its own above."""
    kind = type(layer)
    if kind not in LAYERS and "parametrizations" in layer._modules:
        kind = kind.__mro__[1]
    return LAYERS.get(kind, ("other", None))
