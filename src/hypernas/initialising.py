"""Writes the parameters of any module by a hypernetwork, in place."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from hypernas import hypernets
from hypernas.candidate import Candidate
from hypernas.errors import ConfigError
from hypernas.foreign import foreign, left_alone
from hypernas.graph import Graph
from hypernas.hypernets import Hypernet
from hypernas.reading import Example
from hypernas.runs import Run
from hypernas.scoring import evaluating

PASSED_ON = ("reshape", "identity", "dropout")
"""kinds of operations whose result is what they are given, laid out otherwise"""
JOINED = ("add", "concat", "attention")
"""kinds of operations by which tables of positions and class tokens come in"""


@dataclass(frozen=True)
class Initialised:
    """Which parameters of a module were written, and which were left as they were.

    Attributes:
        written: number of values by parameter name.
        left: why, by parameter name.
        values: number of values in all parameters.
        reader: how the module was read: ``torch.fx`` followed it, or it was ``run``.
    """

    written: dict[str, int]
    left: dict[str, str]
    values: int
    reader: str

    @property
    def share(self) -> float:
        """Share of the module's parameter values that were written, 0 to 1."""
        return sum(self.written.values()) / self.values if self.values else 1.0

    def __str__(self) -> str:
        """Return it in a line: how much was written, and the reasons for the rest."""
        reasons = Counter(self.left.values())
        rest = "".join(f"; {count} left: {reason}" for reason, count in reasons.items())
        return f"{len(self.written)} tensors written, {self.share:.1%} of the parameters{rest}"


@torch.no_grad()
def initialise(
    module: nn.Module, hypernet: Hypernet | Run | str | Path, example: Example
) -> Initialised:
    """Write every parameter of ``module`` that a hypernetwork can write, in place.

    Tensors that several layers share are written once. Frozen ones, those that do not reach the
    output, those that a parametrisation ties to other values, those whose role in the module is not
    known (slopes, layer scales, temperatures) and those that a trained hypernetwork was never
    fitted for keep what they hold and are listed. The row of an embedding that stands for padding
    keeps what it holds too: no gradient would ever change it. Buffers are not touched: running
    statistics of batch norms do not fit the new weights before some batches went through in
    training mode. Weights before norms are not brought to an ordinary scale, as trainings of a run
    do (:mod:`hypernas.scale_free`).

    Args:
        module: any module, see :func:`hypernas.graph_of`.
        hypernet: a hypernetwork, a run or its folder, or the name of a hypernetwork, which is then
            new and untrained.
        example: an input that the module runs on: a tensor, a tuple of arguments, or a dictionary
            of keyword arguments.

    Returns:
        What was written, and what was left and why.

    Raises:
        GraphError: it is no module, or cannot be read with the example.
        ConfigError: there is no such hypernetwork, or it reads only networks of a space.
        RunError: the run has no trained hypernetwork.

    >>> net = nn.Sequential(nn.Conv1d(1, 4, 3), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(8, 2))
    >>> print(initialise(net, "ghn", torch.zeros(1, 1, 4)))
    6 tensors written, 100.0% of the parameters
    """
    candidate = foreign(module, example)
    made = hypernet if isinstance(hypernet, Hypernet) else _found(hypernet, candidate)
    left = left_alone(module, candidate.graph)
    for name in () if _is_name(hypernet) else made.untrained(candidate):
        left.setdefault(name, "the hypernetwork was never fitted for it")
    for name in _of_unknown_role(candidate.graph):
        left.setdefault(name, "what it is for is not known")
    padding = _padding(module)
    with evaluating(made):
        (weights,) = made([candidate])
    parameters = dict(module.named_parameters())
    written = {}
    for name, parameter in parameters.items():
        if name in left:
            continue
        if name not in weights:
            left[name] = "the hypernetwork does not write it"
        elif not torch.isfinite(weights[name].sum()):  # a tenth of what looking at each costs
            left[name] = "what the hypernetwork wrote is not finite"
        else:
            parameter.copy_(weights[name])
            written[name] = parameter.numel()
    for row, kept in padding:
        row.copy_(kept)
    values = sum(parameter.numel() for parameter in parameters.values())
    return Initialised(written, left, values, candidate.graph.reader)


def _of_unknown_role(graph: Graph) -> list[str]:
    """Return the names of the parameters of which neither layer, name nor use says what they do."""
    known: dict[str, bool] = {}
    for position, node in enumerate(graph.nodes):
        for parameter in node.parameters:
            told = parameter.role != "other" or (
                node.kind == "parameter"
                and math.prod(parameter.shape) > 1
                and _only_joined(graph, position)
            )
            known[parameter.name] = told or known.get(parameter.name, False)
    return [name for name, told in known.items() if not told]


def _only_joined(graph: Graph, position: int) -> bool:
    """Say whether a node's value is added or joined to others wherever it is used."""
    users = graph.consumers()[position]
    return bool(users) and all(
        graph.nodes[user].kind in JOINED
        or (graph.nodes[user].kind in PASSED_ON and _only_joined(graph, user))
        for user in users
    )


def _padding(module: nn.Module) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return each row of an embedding that stands for padding, and a copy of what it holds."""
    rows = [
        layer.weight[layer.padding_idx]
        for layer in module.modules()
        if isinstance(layer, (nn.Embedding, nn.EmbeddingBag)) and layer.padding_idx is not None
    ]
    return [(row, row.clone()) for row in rows]


def _is_name(hypernet: Hypernet | Run | str | Path) -> bool:
    return isinstance(hypernet, str) and hypernet.partition(":")[0] in hypernets.known()


def _found(hypernet: Run | str | Path, candidate: Candidate) -> Hypernet:
    if isinstance(hypernet, Run):
        return hypernet.place.hypernet
    if _is_name(hypernet):
        return hypernets.make(str(hypernet), example=candidate)
    if not isinstance(hypernet, (str, Path)) or not Path(hypernet).exists():
        raise ConfigError(
            f"no hypernetwork and no run folder {str(hypernet)!r}; give the folder of a run, or "
            f"one of {', '.join(hypernets.known())}"
        )
    return Run.open(hypernet, quiet=True).place.hypernet
