"""What each operation is to the graph: its kind, its geometry, and the shape of its result.

One table for layers, one for functions and tensor methods. What stands in no table has the kind
``other``, and its result's shape is found by running this one operation on tensors without memory.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn import functional as F

from hypernas.errors import GraphError
from hypernas.graph import Shape

Geometry: TypeAlias = dict[str, Any]
LayerRule: TypeAlias = Callable[[Any, Shape], Shape]
"""from a layer and its input's shape, batch included, to its output's shape"""


@dataclass(frozen=True)
class Value:
    """A tensor during reading: the node that makes it, and its shape with a batch of 2."""

    node: int
    shape: Shape


BATCH = 2


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
    out = [
        (size - dilation * (kernel - 1) - 1) // stride + 1
        for size, dilation, kernel, stride in zip(
            padded, layer.dilation, layer.kernel_size, layer.stride, strict=True
        )
    ]
    return (shape[0], layer.out_channels, *_positive(out))


def _linear(layer: nn.Linear, shape: Shape) -> Shape:
    if shape[-1] != layer.in_features:
        raise GraphError(f"expected {layer.in_features} input features, got {shape[-1]}")
    return (*shape[:-1], layer.out_features)


def _norm(layer: Any, shape: Shape) -> Shape:
    _check_channels(layer.num_features, shape, len(shape) - 2)
    return shape


def _pool(layer: Any, shape: Shape) -> Shape:
    axes = len(shape) - 2
    kernel, stride, padding = (
        _tuple(a, axes) for a in (layer.kernel_size, layer.stride, layer.padding)
    )
    dilation = _tuple(getattr(layer, "dilation", 1), axes)
    out = []
    for size, k, s, p, d in zip(shape[2:], kernel, stride, padding, dilation, strict=True):
        span = size + 2 * p - d * (k - 1) - 1
        count = -(-span // s) + 1 if layer.ceil_mode else span // s + 1
        # with ceil_mode a window must begin inside the image or its left padding
        out.append(count - 1 if layer.ceil_mode and (count - 1) * s >= size + p else count)
    return (*shape[:2], *_positive(out))


def _adaptive_pool(layer: Any, shape: Shape) -> Shape:
    sizes = _tuple(layer.output_size, len(shape) - 2)
    return (*shape[:2], *(s if o is None else o for s, o in zip(shape[2:], sizes, strict=True)))


def _flatten(layer: nn.Flatten, shape: Shape) -> Shape:
    return tuple(torch.empty(shape, device="meta").flatten(layer.start_dim, layer.end_dim).shape)


def _check_channels(expected: int, shape: Shape, axes: int) -> None:
    if len(shape) != axes + 2:
        raise GraphError(f"expected {axes + 2} axes (batch, channels, …), got shape {shape}")
    if shape[1] != expected:
        raise GraphError(f"expected {expected} input channels, got {shape[1]}")


def _positive(sizes: list[int]) -> list[int]:
    if min(sizes) < 1:
        raise GraphError(f"the result would have size {sizes}; the input is too small")
    return sizes


def _tuple(value: Any, axes: int) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes


LAYERS: dict[type[nn.Module], tuple[str, LayerRule | None]] = {
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), ("conv", _conv)),
    **dict.fromkeys(
        (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), ("conv_transpose", None)
    ),
    nn.Linear: ("linear", _linear),
    **dict.fromkeys((nn.Embedding, nn.EmbeddingBag), ("embedding", None)),
    nn.MultiheadAttention: ("attention", None),
    **dict.fromkeys((nn.LSTM, nn.GRU, nn.RNN), ("recurrent", None)),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), ("norm", _norm)),
    **dict.fromkeys((nn.GroupNorm, nn.LayerNorm, nn.RMSNorm), ("norm", _same)),
    **dict.fromkeys((nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d), ("norm", _norm)),
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
    nn.Softmax: ("softmax", _same),
    **dict.fromkeys(
        (nn.ELU, nn.Hardswish, nn.Hardsigmoid, nn.Mish, nn.PReLU), ("activation", _same)
    ),
    nn.Identity: ("identity", _same),
    **dict.fromkeys((nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d), ("dropout", _same)),
    nn.Flatten: ("reshape", _flatten),
    nn.Unflatten: ("reshape", None),
}

FUNCTIONS: dict[Any, str] = {
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add", "add_"), "add"),
    **dict.fromkeys((operator.sub, torch.sub, "sub", "sub_"), "add"),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul, "mul", "mul_"), "multiply"),
    **dict.fromkeys((torch.cat, torch.concat), "concat"),
    **dict.fromkeys((operator.matmul, torch.matmul, torch.bmm, "matmul", "bmm"), "matmul"),
    F.scaled_dot_product_attention: "attention",
    **dict.fromkeys((F.max_pool1d, F.max_pool2d, F.max_pool3d), "max_pool"),
    **dict.fromkeys((F.avg_pool1d, F.avg_pool2d, F.avg_pool3d), "avg_pool"),
    **dict.fromkeys((F.adaptive_avg_pool1d, F.adaptive_avg_pool2d), "global_pool"),
    F.interpolate: "resize",
    **dict.fromkeys((F.relu, torch.relu, F.leaky_relu, F.relu6, "relu", "relu_"), "relu"),
    **dict.fromkeys((torch.sigmoid, F.sigmoid, "sigmoid"), "sigmoid"),
    **dict.fromkeys((torch.tanh, F.tanh, "tanh"), "tanh"),
    F.gelu: "gelu",
    F.silu: "silu",
    **dict.fromkeys((F.softmax, torch.softmax, "softmax"), "softmax"),
    **dict.fromkeys((F.elu, F.hardswish, F.mish), "activation"),
    **dict.fromkeys((F.dropout, F.dropout2d), "dropout"),
    **dict.fromkeys((operator.getitem, "contiguous", "to", "float"), "identity"),
    **dict.fromkeys(
        (torch.flatten, torch.reshape, torch.permute, torch.transpose, torch.unsqueeze), "reshape"
    ),
    **dict.fromkeys(
        (
            "flatten",
            "reshape",
            "view",
            "permute",
            "transpose",
            "unsqueeze",
            "squeeze",
            "chunk",
            "split",
        ),
        "reshape",
    ),
    **dict.fromkeys((torch.mean, torch.sum, torch.amax, "mean", "sum", "amax", "max"), "reduce"),
}


def kind_of(layer: nn.Module | None, function: Any) -> str:
    """Return the kind of a layer, or of a function or method name when there is no layer."""
    if layer is not None:
        return LAYERS.get(type(layer), ("other", None))[0]
    return FUNCTIONS.get(function, "other")


def geometry(layer: nn.Module | None, shape: Shape) -> Geometry:
    """Return kernel, stride, dilation and groups of a convolution or pooling layer."""
    kernel = getattr(layer, "kernel_size", None)
    if kernel is None:
        return {}
    axes = max(len(shape) - 2, 1)
    return {
        "kernel": _tuple(kernel, axes),
        "stride": _tuple(getattr(layer, "stride", None) or kernel, axes),
        "dilation": _tuple(getattr(layer, "dilation", 1), axes),
        "groups": getattr(layer, "groups", 1),
    }


def role_of(kind: str, attribute: str) -> str:
    """Return what a parameter is for: ``weight``, ``bias``, ``scale``, ``shift`` or ``other``."""
    if kind == "norm":
        return {"weight": "scale", "bias": "shift"}.get(attribute, "other")
    name = attribute.rsplit(".", 1)[-1]
    if kind in ("conv", "conv_transpose", "linear", "embedding", "attention", "recurrent"):
        return "bias" if "bias" in name else "weight"
    return "other"


def writes_in_place(layer: nn.Module | None, function: Any, kwargs: Mapping[str, Any]) -> bool:
    """Say whether a layer, or else a function or the method of this name, changes its input."""
    if layer is not None:
        return bool(getattr(layer, "inplace", False))
    name = function if isinstance(function, str) else getattr(function, "__name__", "")
    marked = name.endswith("_") and not name.endswith("__")
    return marked or bool(kwargs.get("inplace")) or "out" in kwargs


def layer_result(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the shape of what ``layer`` returns, or a nest of shapes."""
    rule = LAYERS.get(type(layer), ("other", None))[1]
    plain = len(args) == 1 and isinstance(args[0], Value) and not kwargs
    if rule is not None and plain and not getattr(layer, "return_indices", False):
        return Result(rule(layer, args[0].shape))
    tensors = {**dict(layer.named_parameters()), **dict(layer.named_buffers())}
    hollow = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    return _run(lambda *a, **k: torch.func.functional_call(layer, hollow, a, k), args, kwargs)


def function_result(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the shape of what a function, or the method of this name, returns (or a nest)."""
    if isinstance(function, str):
        return _run(lambda self, *a, **k: getattr(self, function)(*a, **k), args, kwargs)
    if function in (operator.add, operator.iadd, operator.mul) and _are_alike(args):
        return Result(args[0].shape)
    if function is torch.cat and not kwargs.keys() - {"dim"}:
        dim = kwargs.get("dim", args[1] if len(args) > 1 else 0)
        return Result(_concatenated([value.shape for value in args[0]], dim))
    return _run(function, args, kwargs)


def _are_alike(args: tuple[Any, ...]) -> bool:
    return all(isinstance(a, Value) for a in args) and args[0].shape == args[1].shape


def _concatenated(shapes: list[Shape], dim: int) -> Shape:
    first, axis = shapes[0], dim % len(shapes[0])
    rest = [shape[:axis] + shape[axis + 1 :] for shape in shapes]
    if any(other != rest[0] for other in rest):
        raise GraphError(f"cannot concatenate {shapes} along axis {dim}")
    return (*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :])


@dataclass(frozen=True)
class Result:
    """The shape, batch included, of a tensor that an operation returns."""

    shape: Shape


def _run(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Run an operation on tensors without memory; tensors in its result become shapes."""
    hollow = replace((args, kwargs), Value, lambda v: torch.empty(v.shape, device="meta"))
    with torch.no_grad():
        result = function(*hollow[0], **hollow[1])
    return replace(result, torch.Tensor, lambda tensor: Result(tuple(tensor.shape)))


def replace(nest: Any, kind: type, function: Callable[[Any], Any]) -> Any:
    """Apply ``function`` to everything of ``kind`` in a nest of tuples, lists and dictionaries."""
    if isinstance(nest, kind):
        return function(nest)
    if isinstance(nest, dict):
        return {key: replace(value, kind, function) for key, value in nest.items()}
    if isinstance(nest, (tuple, list)) and not isinstance(nest, torch.Size):
        return type(nest)(replace(value, kind, function) for value in nest)
    return nest
