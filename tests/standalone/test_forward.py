"""A written ``forward`` computes what the module computes, in lines that a person would write."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .rebuilding import Given, rebuilt


class SwappedSequential(nn.Sequential):
    def forward(self, input: Tensor) -> Tensor:
        return self[0](self[1](input)) + self[1](input) + input


def twice(m: Any, x: Tensor) -> Tensor:
    return m.inner(m.inner(x)) + m.inner[0].weight.sum()


def changed_in_place(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    y.mul_(2)
    z = y.flatten(1)
    z.add_(1)
    F.relu(m.dead(x), inplace=True)  # changes nothing that is used
    return y


def sizes(m: Any, x: Tensor) -> Tensor:
    return x.reshape(x.shape[0], x.size(1) * (x.shape[2] - 1 + 1), -1) ** 2 / -3


FUNCTIONS = {
    "called twice": Given(twice, inner=nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())),
    "in place": Given(changed_in_place, conv=nn.Conv2d(3, 4, 1), dead=nn.Conv2d(3, 4, 1)),
    "sizes": Given(sizes),
    "names that are no identifiers": Given(lambda m, x: getattr(m, "a-b")(x), **{"a-b": nn.Tanh()}),
    "parameter list": Given(
        lambda m, x: x * m.p[1] + m.p[2], p=nn.ParameterList([torch.ones(1) * i for i in range(3)])
    ),
    "slices": Given(lambda m, x: x[:, 1:, ..., ::2] - x[:, :-1, :, None, 0]),
    "chunks": Given(lambda m, x: torch.stack(x.chunk(2, dim=2), 1).amax(dim=(1,), keepdim=False)),
    "split sizes": Given(lambda m, x: F.silu(x.split([1, 2], 1)[1]) * torch.sigmoid(x[:, :1])),
    "a constant": Given(lambda m, x: x * torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)),
    "a fixed filter": Given(
        lambda m, x: F.conv2d(x, m.blur * m.gain, padding=1, groups=3),
        blur=torch.rand(3, 1, 3, 3),
        gain=torch.tensor(2.0),
    ),
    "several results": Given(
        lambda m, x: m.cell(x)[0] - m.cell.last(x),
        cell=Given(lambda m, x: (m.last(x) + 1, x), last=nn.Conv2d(3, 3, 1)),
    ),
    "comparison": Given(lambda m, x: torch.where(x > 0, x, -x).clamp(min=0.1).to(torch.float64)),
    "functional dropout": Given(lambda m, x: F.dropout(x, 0.5, m.training)),
    "attention": Given(lambda m, x: F.scaled_dot_product_attention(x, x, x, is_causal=True)),
    "embedding": Given(
        lambda m, x: F.linear(x, m.table.weight) + m.table(m.rows),
        table=nn.Embedding(8, 8),
        rows=torch.arange(8),
    ),
    "holes": Given(
        lambda m, x: m.list[2](m.net[1](x)) + m.list[0](x),
        list=nn.ModuleList([nn.Conv2d(3, 3, 1), nn.Tanh(), nn.Conv2d(3, 3, 1)]),
        net=nn.Sequential(nn.Linear(2, 2), nn.Sigmoid()),
    ),
    "a chain with nothing in it": nn.Sequential(
        nn.Conv2d(3, 3, 1), Given(lambda m, x: x), nn.Conv2d(3, 3, 1)
    ),
    "numbers as names in the network itself": SwappedSequential(nn.Conv2d(3, 3, 1), nn.Tanh()),
    "the input itself": Given(lambda m, x: (x, m.fc(x)), fc=nn.Linear(8, 2)),
    "keywords": Given(
        lambda m, x: m.inner(x=m.conv(x)),
        conv=nn.Conv2d(3, 3, 1),
        inner=Given(lambda m, x: x.mean(dim=(2, 3))),
    ),
    "long lines": Given(
        lambda m, x: torch.cat(
            [x.roll(shifts=i, dims=3) + x.roll(shifts=-i, dims=2) for i in range(9)]
        )
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    rebuilt(FUNCTIONS[name])


def forward_lines(module: nn.Module) -> list[str]:
    """Return the lines of the last ``forward`` of the rebuilt module, without comments."""
    text = rebuilt(module)[0].rpartition("def forward(")[2].partition("\n\n")[0]
    return [line.partition("  #")[0].strip() for line in text.splitlines()[1:]]


def layers(count: int) -> nn.ModuleList:
    return nn.ModuleList(nn.Conv2d(3, 3, 1) for _ in range(count))


def test_what_is_used_once_is_written_where_it_is_used() -> None:
    module = Given(lambda m, x: m.two(m.one(x + 1)) - x, one=layers(1)[0], two=layers(1)[0])
    assert forward_lines(module) == ["return self.two(self.one(x + 1)) - x"]


def test_members_of_a_list_name_their_values() -> None:
    def nodes(m: Any, x: Tensor) -> Tensor:
        first = m.nodes[0](x)
        second = m.nodes[1](x + first)
        third = m.nodes[2](x - first)
        return torch.cat([third, m.nodes[3](second + x), x], 1)

    assert forward_lines(Given(nodes, nodes=layers(4))) == [
        "node0 = self.nodes[0](x)",
        "node1 = self.nodes[1](x + node0)",
        "node2 = self.nodes[2](x - node0)",
        "node3 = self.nodes[3](node1 + x)",
        "return torch.cat([node2, node3, x], 1)",
    ]


def test_what_changes_in_place_runs_in_its_order() -> None:
    def ordered(m: Any, x: Tensor) -> Tensor:
        y = m.conv(x)
        before = y.sum()
        y.mul_(2)
        return y * before + y.sum()

    rebuilt(Given(ordered, conv=layers(1)[0]))


def test_only_needed_parentheses() -> None:
    module = Given(lambda m, x: (x - 1 - (x - 2)) * 3)
    assert forward_lines(module)[-1] == "return (x - 1 - (x - 2)) * 3"
    module = Given(lambda m, x: x + x * 2 + 1)
    assert forward_lines(module)[-1] == "return x + x * 2 + 1"
