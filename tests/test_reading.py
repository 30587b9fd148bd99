"""Any module is read, followed or run, into the same graph, and is afterwards as it was."""

from __future__ import annotations

import hashlib
import random
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from dataclasses import replace as changed
from typing import Any

import numpy as np
import pytest
import torch
from test_tracing import TEN, Celled, Dead, Nothing, TwoInputs
from torch import Tensor, nn
from torch.nn import functional as F

from hypernas.candidate import Candidates, build_network
from hypernas.errors import GraphError
from hypernas.graph import Graph, Node
from hypernas.listing import Listing
from hypernas.operations import result_of
from hypernas.reading import graph_of, read
from hypernas.recording import record, untouched
from hypernas.spaces import find
from hypernas.tasks import Signature
from hypernas.tracing import follow


def both_ways(module: nn.Module, *example: Tensor) -> list[Graph]:
    with untouched(module):
        return [
            follow(Listing(module), tuple(map(result_of, example)), {}),
            record(Listing(module), example, {}),
        ]


def without_names_of_functions(graph: Graph, module: nn.Module) -> tuple[Any, ...]:
    """Return all of a graph but the names of functions, which each way of reading gives its own."""
    first = {part: path for path, part in module.named_modules()}
    named = {p: first[part] for p, part in module.named_modules(remove_duplicate=False)}
    named |= {name: name for name, _ in module.named_parameters()}
    nodes = tuple(changed(node, path=named.get(node.path, "")) for node in graph.nodes)
    return nodes, graph.outputs, graph.unwritten, graph.dead


@pytest.mark.parametrize(
    ("make", "shapes"), [row[:2] for row in TEN], ids=lambda x: getattr(x, "__name__", str(x))
)
def test_ten_modules_give_equal_graphs_both_ways(make: Any, shapes: Any) -> None:
    module = make()
    followed, run = both_ways(module, *(torch.randn(2, *shape) for shape in shapes))
    assert without_names_of_functions(followed, module) == without_names_of_functions(run, module)


@pytest.mark.parametrize("module", [Dead(), Celled(["body.0", "body.1.1"])])
def test_what_is_dead_and_what_is_a_cell_is_the_same_both_ways(module: nn.Module) -> None:
    followed, run = both_ways(module, torch.randn(2, 4))
    assert without_names_of_functions(followed, module) == without_names_of_functions(run, module)


class GivesBack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.same, self.drop = nn.Identity(), nn.Dropout()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        y = F.dropout(self.drop(self.same(x)), training=self.training)
        return self.b(x) + y


def test_who_reads_an_input_that_was_given_back_reads_the_input() -> None:
    module = GivesBack()
    followed, run = both_ways(module, torch.randn(2, 4))
    assert without_names_of_functions(followed, module) == without_names_of_functions(run, module)
    assert [(n.kind, n.inputs) for n in run.nodes] == [
        ("input", ()), ("linear", (0,)), ("identity", (1,)), ("dropout", (2,)),
        ("dropout", (3,)), ("linear", (1,)), ("add", (5, 4)),
    ]  # fmt: skip


class Handwritten(nn.Module):
    """Layers without layer objects: their parameters are still what they are in layers."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(4, 3, 3, 3))
        self.w, self.b = nn.Parameter(torch.randn(5, 4)), nn.Parameter(torch.randn(5))
        self.weight, self.bias = nn.Parameter(torch.ones(4)), nn.Parameter(torch.ones(5))
        self.gain, self.offset = nn.Parameter(torch.ones(4)), nn.Parameter(torch.ones(4))
        self.token = nn.Parameter(torch.zeros(1, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.kernel, None, stride=(2, 1), padding=1, groups=1)
        x = F.layer_norm(x.mean((2, 3)), (4,), self.gain, bias=self.offset)
        x = x * self.weight + self.token
        return F.linear(x, self.w, self.b) + self.bias


def test_functions_own_the_parameters_that_they_read_as_layers_do() -> None:
    module = Handwritten()
    followed, run = both_ways(module, torch.randn(2, 3, 6, 6))
    assert without_names_of_functions(followed, module) == without_names_of_functions(run, module)
    roles = {p.name: (n.kind, p.role) for n in run.nodes for p in n.parameters}
    assert roles == {
        "kernel": ("conv", "weight"),
        "gain": ("norm", "scale"),
        "offset": ("norm", "shift"),
        "weight": ("parameter", "scale"),
        "token": ("parameter", "other"),
        "w": ("linear", "weight"),
        "b": ("linear", "bias"),
        "bias": ("parameter", "bias"),
    }
    (conv,) = (node for node in run.nodes if node.kind == "conv")
    assert (conv.kernel, conv.stride, conv.dilation) == ((3, 3), (2, 1), (1, 1))
    assert conv.inputs == (0,)
    assert run.macs == 4 * 3 * 6 * 27 + 20


# --- what only a run can read -------------------------------------------------------------------


class ByValue(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(x) if x.sum() > 0 else self.down(x)


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.places = nn.Embedding(11, 4), nn.Embedding(6, 4)
        self.register_buffer("numbers", torch.arange(6))
        self.core = nn.LSTM(4, 3, batch_first=True)

    def forward(self, *, ids: Tensor, mask: Tensor | None = None) -> dict[str, Any]:
        x = self.table(ids) + self.places(self.numbers[: ids.shape[1]])
        if mask is not None:
            x = x * mask[..., None]
        _, (hidden, _) = self.core(x)
        return {"hidden": hidden[-1], "length": ids.shape[1]}


class Assigns(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        out = torch.zeros(len(x), 4)
        out[:, :2] = self.inner(x)
        return torch.cat([out, out.relu_()], 1)


@dataclass
class Answer:
    logits: Tensor
    name: str = "answer"


class Wrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 2)

    def forward(self, x: Tensor, **more: Any) -> Answer:
        return Answer(self.inner(x))


def kinds(graph: Graph) -> list[str]:
    return [node.kind for node in graph.nodes]


def test_a_branch_on_values_is_the_one_that_the_example_takes() -> None:
    for sign, used in ((1, "up"), (-1, "down")):
        graph = graph_of(ByValue(), sign * torch.ones(1, 4))
        assert graph.reader == "run"
        assert [n.path for n in graph.nodes] == ["input0", used]


def test_keyword_inputs_token_ids_and_tables_of_places() -> None:
    ids = torch.randint(0, 11, (3, 5))
    graph = graph_of(Tokens(), {"ids": ids, "mask": torch.ones(3, 5)})
    assert kinds(graph)[:3] == ["input", "input", "embedding"]
    assert [n.path for n in graph.nodes if n.kind == "input"] == ["ids", "mask"]
    assert graph.unwritten == ()
    assert graph.nodes[graph.outputs[0]].path == "core"
    assert graph.nodes[graph.outputs[0]].shape == (5, 3)
    assert "multiply" not in kinds(graph_of(Tokens(), {"ids": ids}))


def test_what_is_assigned_into_a_tensor_reaches_the_output() -> None:
    graph = graph_of(Assigns(), torch.randn(2, 4))
    assert kinds(graph) == ["input", "linear", "constant", "other", "relu", "concat"]
    assert graph.nodes[3].inputs == (2, 1)


def test_inputs_of_every_form() -> None:
    image, vector = torch.randn(1, 3, 6, 6), torch.randn(1, 5)
    by_position = graph_of(TwoInputs(), (image, vector))
    by_name = graph_of(TwoInputs(), {"x": image, "y": vector})
    assert by_position.reader == by_name.reader == "torch.fx"
    assert [n.path for n in by_name.nodes[:2]] == ["x", "y"]
    assert kinds(by_name) == kinds(by_position)
    assert graph_of(Wrapped(), torch.randn(2, 4)).params == 10
    assert graph_of(Wrapped(), (torch.randn(2, 4),)).reader == "run"


def test_windows_folded_into_the_batch_count_for_one_example() -> None:
    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x.reshape(-1, 4, 3)).reshape(x.shape)

    for batch in (1, 2):
        graph = graph_of(Windows(), torch.randn(batch, 8, 3))
        assert graph.nodes[2] == Node(
            "linear", "fc", (1,), (2, 4, 3), graph.nodes[2].parameters
        )  # fmt: skip
        assert graph.macs == 8 * 9


# --- a module is as it was ----------------------------------------------------------------------


class Meddler(nn.Module):
    """Its forward changes whatever it can reach."""

    def __init__(self, follow: bool) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.drop, self.calls, self.seen = nn.Dropout(0.5), 0, [1]
        self.register_buffer("total", torch.zeros(1))
        self.memory = {"a": 1}
        self.follow = follow

    def forward(self, x: Tensor) -> Tensor:
        if not self.follow and bool(x.sum() == torch.inf):
            return x
        self.calls += 1
        self.seen.append(2)
        self.memory["b"] = x
        self.total.add_(1)
        self.made = torch.ones(1)
        random.random()
        np.random.rand()
        self.conv.weight.data.mul_(1 if self.follow else 2)
        self.conv.register_forward_hook(lambda *_: None)
        self.train()
        return self.drop(self.norm(self.conv(x))) + torch.rand(1)


def digest(module: nn.Module) -> str:
    """Return a digest of everything that a module is and of all random states."""
    parts: list[Any] = [torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()]
    for path, part in module.named_modules():
        for name, value in sorted(vars(part).items()):
            held = {k: id(v) for k, v in value.items()} if isinstance(value, dict) else value
            parts.append((path, name, held))
    tensors = [*module.named_parameters(), *module.named_buffers()]
    parts += [(n, id(t), t.requires_grad, t.detach().tolist()) for n, t in tensors]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("follow", [True, False], ids=["fx", "run"])
def test_reading_leaves_no_trace(follow: bool, training: bool) -> None:
    torch.manual_seed(0)
    module = Meddler(follow).train(training)
    module.norm.eval()
    module.conv.weight.requires_grad_(False)
    module.conv.register_forward_pre_hook(lambda *_: None)
    example = torch.randn(1, 3, 6, 6)
    before, image = digest(module), example.clone()
    graph = graph_of(module, example)
    assert graph.reader == ("torch.fx" if follow else "run")
    assert {"conv", "norm"} <= set(kinds(graph))
    assert digest(module) == before
    assert torch.equal(example, image)


class Thing:
    """An object of a class that nobody here knows."""

    count = 0


class Hoarder(nn.Module):
    """Its forward changes what its attributes hold, at any depth."""

    def __init__(self, follow: bool) -> None:
        super().__init__()
        self.fc, self.follow = nn.Linear(4, 2), follow
        self.nested = {"a": [], "b": {"c": [[1]]}}
        self.lists, self.pair = [[], [deque([1], 1)]], ([1], {2})
        self.names, self.last, self.tally = {"a"}, deque([1, 2], 3), Counter("aab")
        self.order = OrderedDict(a=1, b=2)
        self.plain, self.within = torch.ones(2), [{"t": torch.ones(2)}]
        self.thing = Thing()

    def forward(self, x: Tensor) -> Tensor:
        if not self.follow and bool(x.sum() == torch.inf):
            return x
        self.nested["a"].append(1)
        self.nested["b"]["c"][0].append(2)
        self.lists[0].append(3)
        self.lists[1][0].append(4)
        self.pair[0].append(5)
        self.pair[1].add(6)
        self.names.clear()
        self.last.extend([7, 8, 9])
        self.tally["a"] += 1
        self.order.move_to_end("a")
        self.plain += 1
        self.within[0]["t"].zero_()
        self.thing.count += 1
        return self.fc(x)


@pytest.mark.parametrize("follow", [True, False], ids=["fx", "run"])
def test_what_attributes_hold_is_put_back_at_any_depth(follow: bool) -> None:
    module = Hoarder(follow)
    names = ("nested", "lists", "pair", "names", "last", "tally", "order", "plain", "within")
    inner = module.nested["b"]["c"][0], module.lists[1][0], module.plain
    before = {name: repr(getattr(module, name)) for name in names}
    assert graph_of(module, torch.ones(1, 4)).reader == ("torch.fx" if follow else "run")
    assert {name: repr(getattr(module, name)) for name in names} == before
    assert list(module.order) == ["a", "b"]
    assert inner[0] is module.nested["b"]["c"][0]
    assert inner[1] is module.lists[1][0]
    assert inner[2] is module.plain
    assert module.thing.count > 0, "of which the docs say that it is not put back"


class Normed(nn.Module):
    """Keeps its weight's norm by writing a new one, as networks for EEG do."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.table = nn.Linear(4, 2), nn.Embedding(5, 4, max_norm=0.1)

    def forward(self, x: Tensor) -> Tensor:
        self.fc.weight.data = torch.renorm(self.fc.weight.data, 2, 0, 0.1)
        return self.fc(self.table(x))


def test_parameters_that_a_forward_writes_are_put_back() -> None:
    module = Normed()
    before = digest(module)
    graph_of(module, torch.tensor([[1, 2]]))
    assert digest(module) == before


def test_an_example_is_not_written_into() -> None:
    class Writes(ByValue):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.add_(1))

    example = torch.ones(2, 4)
    assert graph_of(Writes(), example).reader == "run"
    assert torch.equal(example, torch.ones(2, 4))


def test_a_failed_reading_leaves_no_trace_either() -> None:
    module = ByValue()
    before = digest(module), nn.Module.__call__, nn.Module.__getattr__
    with pytest.raises(GraphError, match="ByValue does not run on an example of shape"):
        graph_of(module, torch.ones(2, 7))
    assert (digest(module), nn.Module.__call__, nn.Module.__getattr__) == before


@pytest.mark.parametrize(
    ("module", "example", "words"),
    [
        (3, torch.ones(2), "network is of type int; expected a torch.nn.Module"),
        (lambda x: x, torch.ones(2), "network is of type function; expected a torch.nn.Module"),
        (
            nn.LazyLinear(3),
            torch.ones(2, 4),
            "'weight', which has no shape before the module has run",
        ),
        (nn.Linear(4, 2), 3, "example is of type int; expected a tensor, a tuple"),
        (nn.Linear(4, 2), [torch.ones(2, 4)], "example is of type list"),
        (nn.Linear(4, 2), (), "holds no tensor"),
        (nn.Linear(4, 2), torch.ones(2, 3), r"Linear does not run on an example of shape \(2, 3\)"),
        (Nothing(), torch.ones(2), "Nothing returns no tensor"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_line(module: Any, example: Any, words: str) -> None:
    with pytest.raises(GraphError, match=words) as caught:
        graph_of(module, example)
    assert "\n" not in str(caught.value)


PLANE = torch.ones(1, 4, 3, 3)


@pytest.mark.parametrize(
    ("module", "example"),
    [
        (nn.Sequential(nn.Linear(4, 2)), (torch.ones(2, 4), torch.ones(2, 4))),
        (TwoInputs(), {"x": torch.ones(1, 3, 6, 6), "y": torch.ones(1, 5), "z": torch.ones(1)}),
        (nn.LayerNorm(5), torch.ones(2, 4)),
        (nn.GroupNorm(2, 8), PLANE),
        (nn.PReLU(7), PLANE),
        (nn.MaxPool2d(3, padding=2), PLANE),
        (nn.Conv2d(4, 2, 3, padding=9, padding_mode="reflect"), PLANE),
        (nn.ReflectionPad2d(9), PLANE),
        (nn.AdaptiveAvgPool2d(2), torch.ones(2, 4)),
        (nn.Linear(4, 2), torch.ones(2, 4, dtype=torch.int64)),
        (nn.Linear(4, 2), torch.ones(2, 4, dtype=torch.float64)),
        (nn.Embedding(5, 2), torch.tensor([[7]])),
    ],
    ids=str,
)
@pytest.mark.parametrize("within", [False, True])
def test_an_example_that_the_module_does_not_run_on_is_refused(
    module: nn.Module, example: Any, within: bool
) -> None:
    if within and isinstance(example, Tensor):
        module = nn.Sequential(module)
    before = digest(module)
    with pytest.raises(GraphError, match=r"does not run on an example of shape \(.*give one that"):
        graph_of(module, example)
    assert digest(module) == before


class Optional(nn.Module):
    """Asks whether it is given a second input."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.more = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor, other: Tensor | None = None, times: float = 1.0) -> Tensor:
        x = self.fc(x) * times
        return x if other is None else x + self.more(other)


def test_an_input_that_is_not_there_is_none() -> None:
    x, module = torch.ones(2, 4), Optional()
    alone = ["input", "linear", "multiply"]
    for example in (x, (x, None), {"x": x, "other": None}, {"x": x, "times": 2.0}):
        graph = graph_of(module, example)
        assert (graph.reader, kinds(graph)) == ("torch.fx", alone)
    both = ["input", "input", "linear", "multiply", "linear", "add"]
    for example in ((x, x), {"x": x, "other": x}, {"other": x, "x": x, "times": 2.0}):
        graph = graph_of(module, example)
        assert (graph.reader, kinds(graph)) == ("torch.fx", both)
    row = nn.Sequential(module, Optional())
    row.cells = ["1"]
    for graph in both_ways(row, x):
        assert kinds(graph) == [*alone, *alone[1:]]
        assert len(graph.unwritten) == 4


class BuiltIn(nn.Module):
    forward = torch.relu


def test_a_forward_that_does_not_say_its_inputs_is_run() -> None:
    graph = graph_of(BuiltIn(), torch.ones(2, 4))
    assert (graph.reader, kinds(graph)) == ("run", ["input", "relu"])


class AsksForItsType(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.several = nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x: Any) -> Tensor:
        return self.one(x) if isinstance(x, Tensor) else self.several(x[0])


def test_where_fx_takes_another_way_than_the_example_the_run_counts() -> None:
    graph = graph_of(AsksForItsType(), torch.ones(2, 4))
    assert (graph.reader, [n.path for n in graph.nodes]) == ("run", ["input0", "one"])
    graph = graph_of(AsksForItsType(), ([torch.ones(2, 4)],))
    assert [n.path for n in graph.nodes] == ["input0", "several"]


def test_a_run_that_may_not_be_needed_is_left_out_on_request() -> None:
    calls = []
    module = nn.Sequential(nn.Linear(4, 2))
    module.register_forward_hook(lambda *_: calls.append(1))
    followed = read(module, torch.ones(2, 4))
    assert calls == []
    assert graph_of(module, torch.ones(2, 4)) == followed
    assert calls == [1]


# --- networks of our own spaces -----------------------------------------------------------------

SPACES: dict[str, dict[str, Any]] = {
    "cell": {"width": 4, "cells": 3},
    "nas-bench-201": {"width": 4, "cells": 1},
    "memory-bank": {"preset": "small"},
    "anytime": {},
}


@pytest.mark.parametrize("name", SPACES)
def test_networks_of_our_spaces_have_equal_graphs_both_ways(name: str) -> None:
    data = Signature(input_shape=(3, 32, 32), outputs=5)
    space = find(name, SPACES[name])
    candidate = Candidates(space, data).draw(random.Random(2))
    network = build_network(space, candidate.choices, data, seed=0)
    assert graph_of(network, data.example_input()) == candidate.graph
    followed, run = both_ways(network, data.example_input())
    assert without_names_of_functions(followed, network) == without_names_of_functions(run, network)
