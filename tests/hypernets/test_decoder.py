"""The decoder writes what a plain loop over single values writes."""

from __future__ import annotations

import itertools
import math
from functools import cache
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from torch import Tensor

from hypernas.candidate import Candidate
from hypernas.graph import Graph, Node, Parameter
from hypernas.hypernets.decoder import BLOCK, DIGIT, VECTOR, Decoder, PerKind, Pieces
from hypernas.hypernets.operators import operators, side_by_side
from hypernas.hypernets.tensors import SIDE, Tensors, as_map, tensors_of

OWNED: list[tuple[str, tuple[int, ...], str]] = [
    ("conv", (20, 12, 3, 3), "weight"),
    ("conv", (20, 12, 3, 3), "weight"),
    ("conv", (4, 2, 1, 7), "weight"),
    ("conv", (9, 1, 5, 5), "weight"),
    ("conv", (3, 2, 2, 4), "weight"),
    ("conv", (4, 2, 11, 11), "weight"),
    ("conv", (17, 3, 3), "weight"),
    ("conv", (2, 3, 2, 3, 3), "weight"),
    ("conv", (20,), "bias"),
    ("conv_transpose", (3, 9, 2, 2), "weight"),
    ("linear", (10, 64), "weight"),
    ("linear", (DIGIT * BLOCK + 9, 2), "weight"),
    ("linear", (1, DIGIT * BLOCK + 9), "weight"),
    ("embedding", (DIGIT**2 * BLOCK + 9, 1), "weight"),
    ("linear", (VECTOR * DIGIT + 5,), "bias"),
    ("norm", (33,), "scale"),
    ("norm", (33,), "shift"),
    ("embedding", (11, 9), "weight"),
    ("parameter", (1, 5, 8), "other"),
    ("parameter", (3,), "other"),
    ("parameter", (), "other"),
]


def candidate(owned: list[tuple[str, tuple[int, ...], str]]) -> Candidate:
    nodes = [Node("input", "x", (), (4,))]
    for i, (kind, shape, role) in enumerate(owned):
        mine = (Parameter(f"p{i}", shape, role),)
        kernel = shape[2:] if kind == "conv" and role == "weight" else ()
        sources = (0,) if i % 2 else (0, len(nodes) - 1)
        more = {"kernel": kernel, "stride": (1,) * len(kernel), "dilation": (1,) * len(kernel)}
        nodes.append(Node(kind, f"n{i}", sources, (4,), mine, **(more if kernel else {})))
    graph = Graph(tuple(nodes), (len(nodes) - 1,))
    return cast(Candidate, SimpleNamespace(graph=graph, notes={}))


def coordinate(digits: Tensor, piece: int) -> Tensor:
    found = digits[0, piece % DIGIT] + digits[1, piece // DIGIT % DIGIT]
    return found + digits[2, piece // DIGIT**2] if piece >= DIGIT**2 else found


def fan_scale(kind: str, shape: tuple[int, ...], role: str) -> float:
    if role == "other" or kind == "embedding":
        return 0.02
    # a transposed convolution's weight is (inputs, outputs, …)
    summed = (shape[0], *shape[2:]) if kind == "conv_transpose" else shape[1:]
    return math.sqrt((2 if kind == "conv" else 1) / math.prod(summed))


def looped(decoder: Pieces, about: Tensor, kind: str, shape: tuple[int, ...], role: str) -> Tensor:
    """Write one tensor value by value; ``about`` is what is known of it, (H,)."""
    if len(shape) <= 1:
        values = []

        @cache
        def piece(number: int) -> Tensor:
            place = coordinate(decoder.rows, number)
            return decoder.deeper(about + place) * place

        for i in range(math.prod(shape)):
            values.append(piece(i // VECTOR) @ decoder.vector[:, i % VECTOR])
        raw = torch.stack(values).reshape(shape)
        if role == "scale":
            return 2 * torch.sigmoid(raw / 2)
        if role in ("bias", "shift"):
            return torch.tanh(raw / 5)
        return raw * fan_scale(kind, shape, role)
    outputs, inputs, *kernel = shape
    if len(kernel) == 3:  # one axis more than a map has: it counts as inputs
        inputs, kernel = inputs * kernel[0], kernel[1:]
    height, width = [1] * (2 - len(kernel)) + kernel
    if max(height, width) > SIDE:
        inputs, height, width = inputs * height * width, 1, 1
    top, left = (SIDE - height) // 2, (SIDE - width) // 2

    @cache
    def block(row: int, column: int) -> Tensor:
        down, across = coordinate(decoder.rows, row), coordinate(decoder.columns, column)
        return decoder.deeper(about + down + across) * down * across

    filters = []
    for o, i in itertools.product(range(outputs), range(inputs)):
        window = decoder.matrix[
            :, o % BLOCK, i % BLOCK, top : top + height, left : left + width
        ]  # fmt: skip
        filters.append(torch.einsum("h,hyx->yx", block(o // BLOCK, i // BLOCK), window))
    return torch.stack(filters).reshape(shape) * fan_scale(kind, shape, role)


def about(decoder: Pieces, states: Tensor, tensors: Tensors, place: int) -> Tensor:
    """Return what is known of the tensor at ``place``, (H,)."""
    state = states[int(tensors.operator[place])]
    return decoder.from_state(state) + decoder.from_tensor(tensors.features[place])


@pytest.mark.parametrize("depth", [2, 4])
def test_every_tensor_equals_the_loop_in_values_and_gradients(depth: int) -> None:
    torch.manual_seed(0)
    decoder = Pieces(state=5, hidden=6, depth=depth)
    both = [candidate(OWNED), candidate(OWNED[::-1])]
    graph = side_by_side([operators(c) for c in both])
    tensors = tensors_of(both, graph)
    states = torch.randn(len(graph), 5)
    written = decoder(states, tensors)
    assert sorted(tensors.names) == sorted((c, f"p{i}") for c in (0, 1) for i in range(len(OWNED)))
    parameters = list(decoder.parameters())
    for place, ((owner, name), value) in enumerate(zip(tensors.names, written, strict=True)):
        kind, shape, role = (OWNED, OWNED[::-1])[owner][int(name[1:])]
        operator = int(tensors.operator[place])
        assert any(
            p.name == name
            for i in graph.members[operator]
            for p in both[owner].graph.nodes[i].parameters
        )
        assert graph.owner[operator] == owner
        assert value.shape == shape
        if math.prod(shape) > 20_000:  # too slow for the loop; a piece with a third digit is new
            assert not torch.isclose(value[-9:], value[:9]).any()
            continue
        expected = looped(decoder, about(decoder, states, tensors, place), kind, shape, role)
        assert torch.allclose(value, expected, atol=1e-5, rtol=1e-4), (kind, shape, role)
        if math.prod(shape) < 2000:
            weight = torch.randn(shape)
            grads = [
                torch.autograd.grad(
                    (v * weight).sum(), parameters, retain_graph=True, allow_unused=True
                )
                for v in (value, expected)
            ]
            for one, other in zip(*grads, strict=True):
                assert (one is None or not one.any()) == (other is None or not other.any())
                assert one is None or other is None or torch.allclose(one, other, atol=1e-4)


def test_each_kind_is_written_by_its_own_decoder() -> None:
    torch.manual_seed(0)
    made: list[Decoder] = []

    def make() -> Pieces:
        made.append(Pieces(state=5, hidden=6))
        return cast(Pieces, made[-1])

    per_kind = PerKind(make)
    both = [candidate(OWNED), candidate(OWNED[::-1])]
    graph = side_by_side([operators(c) for c in both])
    tensors = tensors_of(both, graph)
    states = torch.randn(len(graph), 5)
    by = {"conv": 0, "linear": 2, "norm": 3}
    each = [decoder(states, tensors) for decoder in made]
    for place, value in enumerate(per_kind(states, tensors)):
        owner, name = tensors.names[place]
        kind = (OWNED, OWNED[::-1])[owner][int(name[1:])][0]
        assert torch.allclose(value, each[by.get(kind, 4)][place], atol=1e-5)


def test_norms_that_are_left_alone_are_listed() -> None:
    one = candidate(OWNED)
    tensors = tensors_of([one], operators(one), norms=False)
    assert {(owner, p.role) for owner, p in tensors.fixed} == {(0, "scale"), (0, "shift")}
    assert len(tensors.names) == len(OWNED) - 2


def test_a_candidate_without_parameters_has_no_tensors() -> None:
    empty = candidate([])
    tensors = tensors_of([empty], operators(empty))
    assert Pieces(state=5, hidden=6)(torch.randn(1, 5), tensors) == []


def test_tensors_of_one_operator_are_told_apart() -> None:
    alike: list[tuple[str, tuple[int, ...], str]] = [("conv", (8, 8, 3, 3), "weight")] * 5
    nodes = [Node("input", "x", (), (4,))] + [
        Node(kind, f"n{i}", (i,), (4,), (Parameter(f"p{i}", shape, role),), (3, 3), (1, 1), (1, 1))
        for i, (kind, shape, role) in enumerate(alike)
    ]
    chain = cast(Candidate, SimpleNamespace(graph=Graph(tuple(nodes), (5,)), notes={}))
    graph = operators(chain)
    assert len(graph) == 2  # the fifth begins another operator
    tensors = tensors_of([chain], graph)
    written = Pieces(state=4, hidden=16)(torch.randn(2, 4), tensors)
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(written, 2))


def test_a_tensor_of_two_operations_is_written_once() -> None:
    shared = (Parameter("w", (4, 4), "weight"),)
    nodes = (
        Node("input", "x", (), (4,)),
        Node("linear", "a", (0,), (4,), shared),
        Node("linear", "b", (0, 1), (4,), shared),
    )
    tied = cast(Candidate, SimpleNamespace(graph=Graph(nodes, (2,)), notes={}))
    tensors = tensors_of([tied, tied], side_by_side([operators(tied)] * 2))
    assert tensors.names == ((0, "w"), (1, "w"))


@pytest.mark.parametrize(
    ("shape", "read"),
    [
        ((4, 3), (4, 3, 1, 1)),
        ((4, 3, 5), (4, 3, 1, 5)),
        ((4, 3, 9), (4, 27, 1, 1)),
        ((4, 3, 2, 3, 3), (4, 6, 3, 3)),
        ((4, 3, 7, 8), (4, 168, 1, 1)),
    ],
)
def test_weights_read_as_maps(shape: tuple[int, ...], read: tuple[int, ...]) -> None:
    assert as_map(shape) == read
    assert math.prod(read) == math.prod(shape)
