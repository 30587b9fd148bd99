"""What each operation is to the graph: its kind, its geometry, and the shape of its result.

One table for layers (:mod:`hypernas.layers`), one for functions and tensor methods. What stands in
no table has the kind ``other``, and its result's shape is found by running this one operation on
tensors without memory.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import torch
from torch import nn

from hypernas.errors import GraphError
from hypernas.graph import Shape
from hypernas.layers import as_tuple, rule_of

Geometry: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Value:
    """A tensor during reading: the node that makes it, its shape with the batch, its type."""

    node: int
    shape: Shape
    dtype: torch.dtype = torch.float32


BATCH = 2
"""examples in a batch while a candidate is read"""


FUNCTIONS: dict[str, str] = {
    **dict.fromkeys(("add", "sub"), "add"),
    **dict.fromkeys(("mul", "multiply"), "multiply"),
    **dict.fromkeys(("cat", "concat"), "concat"),
    **dict.fromkeys(("matmul", "bmm", "baddbmm", "addmm", "einsum"), "matmul"),
    "linear": "linear",
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), "conv"),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), "conv_transpose"),
    "embedding": "embedding",
    **dict.fromkeys(("batch_norm", "layer_norm", "group_norm", "instance_norm"), "norm"),
    "rms_norm": "norm",
    "scaled_dot_product_attention": "attention",
    **dict.fromkeys(("max_pool1d", "max_pool2d", "max_pool3d"), "max_pool"),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "avg_pool3d"), "avg_pool"),
    **dict.fromkeys(("adaptive_avg_pool1d", "adaptive_avg_pool2d"), "global_pool"),
    "interpolate": "resize",
    **dict.fromkeys(("relu", "leaky_relu", "relu6"), "relu"),
    **{kind: kind for kind in ("sigmoid", "tanh", "gelu", "silu", "softmax")},
    **dict.fromkeys(("elu", "hardswish", "mish", "prelu"), "activation"),
    **dict.fromkeys(("dropout", "dropout2d"), "dropout"),
    **dict.fromkeys(("getitem", "contiguous", "to", "float", "detach", "clone"), "identity"),
    **dict.fromkeys(("flatten", "reshape", "view", "permute", "transpose", "unsqueeze"), "reshape"),
    **dict.fromkeys(("squeeze", "chunk", "split", "expand", "roll", "stack"), "reshape"),
    **dict.fromkeys(("mean", "sum", "amax", "max"), "reduce"),
}
"""kinds of functions, methods and operators, by their plain names: ``add`` for ``+=`` too"""

_WEIGHTS = ("input", "weight", "bias")
_STRIDES = (*_WEIGHTS, "stride", "padding")
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "linear": _WEIGHTS,
    "matmul": ("input", "weight"),
    "addmm": ("bias", "input", "weight"),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), (*_STRIDES, "dilation", "groups")),
    **dict.fromkeys(
        ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
        (*_STRIDES, "output_padding", "groups", "dilation"),
    ),
    **dict.fromkeys(("embedding", "prelu"), ("input", "weight")),
    **dict.fromkeys(("layer_norm", "rms_norm"), ("input", "normalized_shape", "weight", "bias")),
    "group_norm": ("input", "num_groups", "weight", "bias"),
    **dict.fromkeys(
        ("batch_norm", "instance_norm"), ("input", "running_mean", "running_var", "weight", "bias")
    ),
    **dict.fromkeys(
        ("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d"),
        ("input", "kernel_size", "stride", "padding", "dilation"),
    ),
}
"""functions that do what a layer does, and the names of their arguments in order"""


def name_of(function: Any) -> str:
    """Return the plain name of a function, a method, an operator or a property of tensors.

    >>> name_of("relu_"), name_of(operator.iadd), name_of(torch.Tensor.__radd__)
    ('relu', 'add', 'add')
    """
    name = function if isinstance(function, str) else getattr(function, "__name__", "")
    if name == "__get__":
        name = function.__self__.__name__
    name = name.strip("_")
    return name[1:] if name[1:] in ("add", "sub", "mul", "matmul") and name[0] in "ir" else name


def arguments(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a function that does what a layer does, by name; else nothing."""
    names = ARGUMENTS.get(name_of(function), ())
    return {**dict(zip(names, args, strict=False)), **kwargs} if names else {}


def kind_of(layer: nn.Module | None, function: Any) -> str:
    """Return the kind of a layer, or of a function or method name when there is no layer."""
    if layer is not None:
        return rule_of(layer)[0]
    return FUNCTIONS.get(name_of(function), "other")


NOTHING: Mapping[str, Any] = {}


def geometry(layer: nn.Module | None, shape: Shape, given: Mapping[str, Any] = NOTHING) -> Geometry:
    """Return kernel, stride, dilation and groups of a convolution or pooling.

    Args:
        layer: the layer; None where a function does it.
        shape: of the result, batch included.
        given: what the function was given, see :func:`arguments`.
    """
    settings = given if layer is None else vars(layer)
    kernel = settings.get("kernel_size")
    if kernel is None and isinstance(given.get("weight"), Value):
        kernel = given["weight"].shape[2:]
    if not kernel:
        return {}
    axes = max(len(shape) - 2, 1)
    convolves = layer is None and "weight" in given
    return {
        "kernel": as_tuple(kernel, axes),
        "stride": as_tuple(settings.get("stride") or (1 if convolves else kernel), axes),
        "dilation": as_tuple(settings.get("dilation", 1), axes),
        "groups": settings.get("groups", 1),
    }


@lru_cache(maxsize=1024)
def role_of(kind: str, attribute: str) -> str:
    """Return what a parameter is for: ``weight``, ``bias``, ``scale``, ``shift`` or ``other``.

    Args:
        kind: of the node or of the part of it that holds the parameter.
        attribute: its name there; of a parametrised tensor the name of an original.
    """
    name = _called(attribute)
    if kind == "norm":
        return {"weight": "scale", "bias": "shift"}.get(name, "other")
    if name == GAIN:
        return "scale"
    if kind in _WEIGHTED:
        return "bias" if "bias" in name else "weight"
    return "other"


_WEIGHTED = (
    *("conv", "conv_transpose", "linear", "matmul", "embedding", "attention", "recurrent"),
)
GAIN = "gain"
"""what a weight norm multiplies a direction by; its parameter has other names"""


def role_of_own(path: str, axes: int) -> str:
    """Return what a parameter is for that no layer holds, by its name in its module.

    What is called ``weight`` and ``bias`` there serves as in layers: hand-written norms and linear
    maps. Everything else (class tokens, position tables, layer scales) is ``other``.
    """
    match _called(path):
        case "weight":
            return "weight" if axes > 1 else "scale"
        case "gain":
            return "scale"
        case "bias":
            return "bias"
        case _:
            return "other"


def _called(path: str) -> str:
    """Return a parameter's own name; of a parametrised one that of the tensor made of it."""
    *_, owner, name = ("", *path.split("."))
    if name in ("original0", "weight_g"):  # of a weight norm, the newer and the older
        return GAIN
    return owner if name.startswith("original") else name


def writes_in_place(layer: nn.Module | None, function: Any, kwargs: Mapping[str, Any]) -> bool:
    """Say whether a layer, or else a function or the method of this name, changes its input."""
    if layer is not None:
        return bool(getattr(layer, "inplace", False))
    name = function if isinstance(function, str) else getattr(function, "__name__", "")
    marked = (name.endswith("_") and not name.endswith("__")) or name in _IN_PLACE
    return marked or bool(kwargs.get("inplace")) or "out" in kwargs


_IN_PLACE = ("setitem", "__setitem__", "__iadd__", "__isub__", "__imul__", "__itruediv__")
"""methods and operators that change their tensor without a name that says so"""


def layer_result(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the shape of what ``layer`` returns, or a nest of shapes."""
    rule = rule_of(layer)[1]
    plain = len(args) == 1 and isinstance(args[0], Value) and not kwargs
    if rule is not None and plain and not getattr(layer, "return_indices", False):
        return Result(rule(layer, args[0].shape), args[0].dtype)
    tensors = {**dict(layer.named_parameters()), **dict(layer.named_buffers())}
    hollow = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    return _run(lambda *a, **k: torch.func.functional_call(layer, hollow, a, k), args, kwargs)


def function_result(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the shape of what a function, or the method of this name, returns (or a nest)."""
    if isinstance(function, str):
        return _run(lambda self, *a, **k: getattr(self, function)(*a, **k), args, kwargs)
    alone = len(args) == 1 and isinstance(args[0], Value) and not kwargs
    if alone and kind_of(None, function) in ("relu", "gelu", "silu"):
        return Result(args[0].shape, args[0].dtype)  # torch takes 0.4 ms to say so
    if function in (operator.add, operator.iadd, operator.mul) and _are_alike(args):
        return Result(args[0].shape, args[0].dtype)
    if function is torch.cat and not kwargs.keys() - {"dim"}:
        dim = kwargs.get("dim", args[1] if len(args) > 1 else 0)
        return Result(_concatenated([value.shape for value in args[0]], dim), args[0][0].dtype)
    return _run(function, args, kwargs)


def _are_alike(args: tuple[Any, ...]) -> bool:
    return all(isinstance(a, Value) for a in args) and args[0].shape == args[1].shape


def _concatenated(shapes: list[Shape], dim: int) -> Shape:
    first, axis = shapes[0], dim % len(shapes[0])
    rest = [shape[:axis] + shape[axis + 1 :] for shape in shapes]
    if any(other != rest[0] for other in rest) or not -len(first) <= dim < len(first):
        raise GraphError(f"cannot concatenate {shapes} along axis {dim}")
    return (*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :])


@dataclass(frozen=True)
class Result:
    """The shape, batch included, and type of a tensor that an operation returns."""

    shape: Shape
    dtype: torch.dtype = torch.float32


def _run(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Run an operation on tensors without memory; tensors in its result become shapes."""
    hollow = replace((args, kwargs), Value, _hollow)
    with torch.no_grad():
        result = function(*hollow[0], **hollow[1])
    return replace(result, torch.Tensor, result_of)


def _hollow(value: Value) -> torch.Tensor:
    return torch.empty(value.shape, dtype=value.dtype, device="meta")


def result_of(tensor: torch.Tensor) -> Result:
    """Return a tensor's shape and type."""
    return Result(tuple(tensor.shape), tensor.dtype)


def replace(nest: Any, kind: type, function: Callable[[Any], Any]) -> Any:
    """Apply ``function`` to everything of ``kind`` in a nest of tuples, lists and dictionaries."""
    if isinstance(nest, kind):
        return function(nest)
    if isinstance(nest, dict):
        return {key: replace(value, kind, function) for key, value in nest.items()}
    if isinstance(nest, (tuple, list)) and not isinstance(nest, torch.Size):
        items = [replace(value, kind, function) for value in nest]
        # a named tuple may check what it is given, so that it is not asked
        return tuple.__new__(type(nest), items) if hasattr(nest, "_fields") else type(nest)(items)
    return nest
