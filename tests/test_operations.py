"""Shapes by rule are the shapes that the layers give; kinds and roles are as listed."""

from __future__ import annotations

import itertools
import operator
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from hypernas.errors import GraphError
from hypernas.graph import KINDS
from hypernas.layers import LAYERS
from hypernas.operations import (
    FUNCTIONS,
    Result,
    Value,
    function_result,
    geometry,
    kind_of,
    layer_result,
    role_of,
    writes_in_place,
)

SMALL = st.integers(1, 3)
SIZE = st.integers(1, 9)


def agree(layer: nn.Module, shape: tuple[int, ...]) -> None:
    """Compare the rule with the layer itself, or its refusal with the layer's."""
    try:
        expected = tuple(layer(torch.zeros(shape)).shape)
    except (RuntimeError, ValueError, IndexError):
        expected = None
    if expected is None or 0 in expected:
        with pytest.raises((GraphError, RuntimeError, IndexError)):
            layer_result(layer, (Value(0, shape),), {})
    else:
        assert layer_result(layer, (Value(0, shape),), {}) == Result(expected)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@given(
    st.integers(1, 3), SMALL, SMALL, SMALL, st.integers(0, 2), SIZE,
    st.sampled_from(["zeros", "circular", "reflect"]), st.sampled_from([None, "same", "valid"]),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_convolutions(
    axes: int, kernel: int, stride: int, dilation: int, padding: int, size: int, mode: str,
    named: str | None,
) -> None:  # fmt: skip
    assume(not (named == "same" and stride > 1))
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
    layer = kind(
        2, 4, kernel, stride, named or padding, dilation, groups=2, padding_mode=mode
    )  # fmt: skip
    agree(layer, (2, 2, *[size] * axes))


@given(
    st.integers(1, 3), SMALL, st.one_of(st.none(), SMALL), st.integers(0, 2), SMALL, SIZE, SIZE,
    st.booleans(),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_poolings(
    axes: int, kernel: int, stride: int | None, padding: int, dilation: int, height: int,
    width: int, ceil: bool,
) -> None:  # fmt: skip
    shape = (2, 3, *(height, width, width)[:axes])
    largest = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)[axes - 1]
    mean: Any = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)[axes - 1]
    agree(largest(kernel, stride, padding, dilation, ceil_mode=ceil), shape)
    agree(mean(kernel, stride, padding, ceil_mode=ceil), shape)


@given(
    st.integers(1, 3), SMALL, SMALL, SMALL, st.integers(0, 2), st.integers(0, 2), SMALL,
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_transposed_convolutions(
    axes: int, kernel: int, stride: int, dilation: int, padding: int, more: int, size: int
) -> None:
    kind = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[axes - 1]
    agree(kind(2, 3, kernel, stride, padding, more, dilation=dilation), (2, 2, *[size] * axes))


OTHERS = [
    *(nn.BatchNorm1d(4), nn.BatchNorm2d(4, track_running_stats=False), nn.BatchNorm3d(4)),
    *(nn.GroupNorm(4, 4), nn.GroupNorm(2, 4), nn.LayerNorm(4), nn.LayerNorm((2, 4)), nn.RMSNorm(2)),
    *(nn.InstanceNorm1d(4, affine=True), nn.InstanceNorm2d(4, affine=True)),
    *(nn.AdaptiveAvgPool1d(2), nn.AdaptiveMaxPool2d((None, 1)), nn.AdaptiveAvgPool3d(2)),
    *(nn.Softmax(-3), nn.Softmax(2), nn.PReLU(), nn.PReLU(4), nn.Linear(4, 2), nn.Flatten(2)),
    *(nn.ReLU(), nn.GELU(), nn.Sigmoid(), nn.Mish(), nn.Identity(), nn.Dropout(), nn.Dropout1d()),
]
WITHOUT_BATCH = {"InstanceNorm1d": 2, "InstanceNorm2d": 3}
WITHOUT_BATCH |= {"AdaptiveAvgPool1d": 2, "AdaptiveMaxPool2d": 3, "AdaptiveAvgPool3d": 4}
"""axes of an input without a batch, which torch takes there and the rules do not"""


@pytest.mark.parametrize("layer", OTHERS, ids=str)
def test_other_layers_take_the_shapes_that_their_rules_take(layer: nn.Module) -> None:
    for axes in range(1, 6):
        for sizes in itertools.product((1, 2, 4), repeat=axes - 1):
            if axes != WITHOUT_BATCH.get(type(layer).__name__):
                agree(layer.eval(), (1, *sizes))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(2, 3, (1, 7), stride=(2, 1), padding=(0, 3)), (2, 2, 5, 9)),
        (nn.ConvTranspose2d(2, 3, 3, stride=2, output_padding=1), (2, 2, 5, 4)),
        (nn.MaxPool2d((3, 2), stride=(1, 2)), (2, 2, 5, 9)),
        (nn.AdaptiveAvgPool2d(1), (2, 3, 5, 7)),
        (nn.AdaptiveAvgPool2d((None, 2)), (2, 3, 5, 7)),
        (nn.AdaptiveMaxPool1d(3), (2, 3, 7)),
        (nn.Linear(5, 2), (2, 3, 5)),
        (nn.Linear(5, 2), (2, 5)),
        (nn.BatchNorm1d(4), (2, 4)),
        (nn.BatchNorm1d(4), (2, 4, 3)),
        (nn.GroupNorm(2, 4), (2, 4, 3)),
        (nn.LayerNorm(3), (2, 4, 3)),
        (nn.Flatten(), (2, 3, 4, 5)),
        (nn.Flatten(2, 3), (2, 3, 4, 5)),
        (nn.Unflatten(1, (2, 3)), (2, 6, 4)),
        (nn.Upsample(scale_factor=2), (2, 3, 4, 5)),
        (nn.PReLU(), (2, 3)),
        (nn.ZeroPad2d(1), (2, 3, 4, 5)),
        (nn.PixelShuffle(2), (2, 8, 3, 3)),
    ],
    ids=str,
)
def test_layers(layer: nn.Module, shape: tuple[int, ...]) -> None:
    agree(layer, shape)


@pytest.mark.parametrize(
    ("layer", "shape", "words"),
    [
        (nn.Conv2d(3, 4, 3), (2, 4, 8, 8), "expected 3 input channels, got 4"),
        (nn.Conv2d(3, 4, 3), (2, 3, 8), "expected 4 axes"),
        (nn.Conv2d(3, 4, 5), (2, 3, 4, 4), "the input is too small"),
        (nn.MaxPool2d(4), (2, 3, 3, 3), "the input is too small"),
        (nn.Linear(5, 2), (2, 4), "expected 5 input features, got 4"),
        (nn.BatchNorm2d(3), (2, 4, 8, 8), "expected 3 input channels, got 4"),
    ],
    ids=str,
)
def test_what_does_not_fit_says_what_was_expected(
    layer: nn.Module, shape: tuple[int, ...], words: str
) -> None:
    with pytest.raises(GraphError, match=words):
        layer_result(layer, (Value(0, shape),), {})


def test_layers_with_several_results_give_all_their_shapes() -> None:
    values, (hidden, _) = layer_result(nn.LSTM(3, 4, batch_first=True), (Value(0, (2, 5, 3)),), {})
    assert (values, hidden) == (Result((2, 5, 4)), Result((1, 2, 4)))
    pair = layer_result(nn.MaxPool2d(2, return_indices=True), (Value(0, (2, 3, 4, 4)),), {})
    assert pair == (Result((2, 3, 2, 2)), Result((2, 3, 2, 2), torch.int64))


@pytest.mark.parametrize(
    ("function", "args", "shape"),
    [
        (operator.add, (Value(0, (2, 3)), Value(1, (2, 3))), (2, 3)),
        (operator.add, (Value(0, (2, 3, 1)), Value(1, (4,))), (2, 3, 4)),
        (operator.mul, (Value(0, (2, 3)), 2), (2, 3)),
        (torch.cat, ([Value(0, (2, 3, 5)), Value(1, (2, 4, 5))], 1), (2, 7, 5)),
        (torch.cat, ([Value(0, (2, 3, 5)), Value(1, (2, 3, 1))], -1), (2, 3, 6)),
        (torch.matmul, (Value(0, (2, 3, 4)), Value(1, (4, 5))), (2, 3, 5)),
        ("mean", (Value(0, (2, 3, 4)), (1, 2)), (2,)),
        ("transpose", (Value(0, (2, 3, 4)), 1, 2), (2, 4, 3)),
        (F.interpolate, (Value(0, (2, 3, 4, 4)), (7, 7)), (2, 3, 7, 7)),
    ],
)
def test_functions(function: Any, args: tuple[Any, ...], shape: tuple[int, ...]) -> None:
    assert function_result(function, args, {}) == Result(shape)


def test_concatenation_refuses_what_does_not_line_up() -> None:
    with pytest.raises(GraphError, match="cannot concatenate"):
        function_result(torch.cat, ([Value(0, (2, 3)), Value(1, (3, 3))],), {"dim": 1})
    parts = function_result("chunk", (Value(0, (2, 6)), 2, 1), {})
    assert list(parts) == [Result((2, 3))] * 2


def test_every_kind_in_the_tables_is_a_kind() -> None:
    listed = {kind for kind, _ in LAYERS.values()} | set(FUNCTIONS.values())
    assert listed < set(KINDS)
    assert kind_of(nn.Conv1d(1, 1, 1), None) == "conv"
    assert kind_of(nn.ZeroPad2d(1), None) == kind_of(None, torch.sort) == "other"
    assert kind_of(None, "relu_") == "relu"


@pytest.mark.parametrize(
    ("kind", "attribute", "role"),
    [
        ("conv", "weight", "weight"),
        ("linear", "bias", "bias"),
        ("norm", "weight", "scale"),
        ("norm", "bias", "shift"),
        ("attention", "in_proj_weight", "weight"),
        ("attention", "out_proj.bias", "bias"),
        ("recurrent", "bias_ih_l0", "bias"),
        ("recurrent", "weight_hh_l0", "weight"),
        ("activation", "weight", "other"),
        ("other", "weight", "other"),
    ],
)
def test_roles(kind: str, attribute: str, role: str) -> None:
    assert role_of(kind, attribute) == role


def test_geometry_has_a_number_for_each_axis() -> None:
    shape = (2, 4, 5, 5)
    assert geometry(nn.Conv2d(4, 4, (1, 7), stride=2, dilation=(1, 3), groups=4), shape) == {
        "kernel": (1, 7), "stride": (2, 2), "dilation": (1, 3), "groups": 4,
    }  # fmt: skip
    assert geometry(nn.MaxPool2d(3), shape)["stride"] == (3, 3)
    assert geometry(nn.Linear(2, 2), (2, 2)) == {}


@pytest.mark.parametrize(
    ("layer", "function", "kwargs", "answer"),
    [
        (nn.ReLU(), None, {}, False),
        (nn.ReLU(inplace=True), None, {}, True),
        (None, "add_", {}, True),
        (None, "add", {}, False),
        (None, "__add__", {}, False),
        (None, torch.relu_, {}, True),
        (None, F.relu, {"inplace": True}, True),
        (None, F.relu, {"inplace": False}, False),
        (None, torch.add, {"out": 1}, True),
    ],
)
def test_what_writes_in_place(layer: Any, function: Any, kwargs: Any, answer: bool) -> None:
    assert writes_in_place(layer, function, kwargs) is answer
