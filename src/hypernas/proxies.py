"""Zero-cost scores: values of an untrained network, from one batch at most; higher is better.

They are rivals of a hypernetwork's score, as collected in arXiv 2101.08134. A network is built by
its space with its own initialisation, normalises by the batch and drops nothing, as candidates do
when they are scored. What is summed over *weights* is summed over the parameters of two or more
axes: no biases, gains or shifts. A value depends on the architecture, the data and the seed alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hypernas.candidate import Candidate, build_network, own_random_numbers, prepare
from hypernas.errors import ConfigError
from hypernas.normalising import Batch, fixed_batches
from hypernas.operations import kind_of, name_of, replace
from hypernas.options import hint
from hypernas.randomness import derived_seed
from hypernas.results import Struct
from hypernas.scoring import WORST
from hypernas.tasks import Outputs, exits
from hypernas.workplace import Workplace

EXAMPLES = 64
"""in the batch, or as many as there are"""


class Timed(Struct, frozen=True):
    """A zero-cost score and what it cost."""

    value: float
    """higher is better"""
    seconds: float
    """CPU seconds"""


class Proxies:
    """Computes zero-cost scores of candidates.

    Args:
        place: data, space, task and device.
        seed: of the initialisations and the batch.
    """

    def __init__(self, place: Workplace, *, seed: int = 0) -> None:
        self.place = place
        self.seed = seed

    @cached_property
    def batch(self) -> Batch:
        """What networks are shown: examples of the fit split (B, ...) and their targets (B, ...).

        The same for all candidates, not augmented. The first use loads the data.
        """
        fit = self.place.train_batches
        return fixed_batches(fit, EXAMPLES, EXAMPLES, seed=self.seed, purpose="proxies")[0]

    def __call__(self, name: str, candidates: Sequence[Candidate]) -> list[float]:
        """Return the value of each candidate, in order.

        What is no number, or beyond those of the format it is computed in, counts as
        :data:`hypernas.scoring.WORST`, as outputs do that are not finite.

        Args:
            name: one of :data:`PROXIES`.
            candidates: of the space of the place.

        Raises:
            ConfigError: there is no such proxy, or none of such data.
        """
        if name not in PROXIES:
            raise ConfigError(
                f"no proxy {name!r}{hint(name, PROXIES)}; known are {', '.join(PROXIES)}"
            )
        return [self._value(PROXIES[name], candidate) for candidate in candidates]

    def timed(self, candidate: Candidate, names: Iterable[str]) -> dict[str, Timed | None]:
        """Return values of a candidate by name, with what each cost.

        None stands for a value that there is none of such data, or that the network does not let be
        computed, as where an operation has no gradient.
        """
        _ = self.batch  # data are loaded before the clock starts

        def one(name: str) -> Timed | None:
            began = time.process_time()
            try:
                (value,) = self(name, [candidate])
            except torch.OutOfMemoryError:
                raise
            except (ConfigError, RuntimeError):
                return None
            return Timed(value=value, seconds=time.process_time() - began)

        return {name: one(name) for name in names}

    def _value(self, proxy: Proxy, candidate: Candidate) -> float:
        with own_random_numbers(derived_seed(self.seed, "proxies")), torch.enable_grad():
            value = float(proxy(Untrained(candidate, self)))
        return value if math.isfinite(value) else WORST


@dataclass(frozen=True, eq=False)
class Untrained:
    """A network that one value has to itself, so that it may do with it as it likes."""

    candidate: Candidate
    by: Proxies

    @cached_property
    def module(self) -> nn.Module:
        """The network as it was initialised."""
        place = self.by.place
        made = build_network(
            place.space, self.candidate.choices, place.signature, seed=self.by.seed
        )
        prepare(made, place.config.device)
        return made.to(place.config.device)

    @property
    def inputs(self) -> Tensor:
        """The examples (B, ...), a copy: a network may write into what it is given."""
        return self.by.batch[0].clone()

    @property
    def loss(self) -> Tensor:
        """The task's loss of the batch, a scalar."""
        return self.by.place.task.loss(self.module(self.inputs), self.by.batch[1])

    def slopes(self, value: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield each of the weights with the gradient of a scalar, of the same shape."""
        weights = [p for p in self.module.parameters() if p.ndim > 1 and p.requires_grad]
        for weight, slope in zip(weights, _gradients(value, weights), strict=True):
            yield weight.detach(), slope


Proxy: TypeAlias = Callable[[Untrained], float | Tensor]
"""what computes a value"""


def _params(network: Untrained) -> float:
    """Return the number of parameters that reach the output."""
    return network.candidate.params


def _macs(network: Untrained) -> float:
    """Return the multiply-accumulates of one example."""
    return network.candidate.macs


def _synflow(network: Untrained) -> float:
    """Return log Σ |w · ∂R/∂w|, where R sums the outputs of |w| for an input of ones.

    Source: arXiv 2006.05467, summed over all weights as in arXiv 2101.08134; in logarithms and
    float64, as R is a product over depth. Norms are identities, for what comes before one would
    not count. The input of texts is the same token everywhere.
    """
    signature, module = network.by.place.signature, network.module.double()
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            tensor.data.abs_()
    kind = torch.int64 if signature.vocabulary is not None else torch.float64
    ones = torch.ones(1, *signature.input_shape, dtype=kind, device=network.by.place.config.device)
    with _Unnormalised():
        flow = _total(module(ones))
    found = _saliency(network, flow)
    return math.log(found) if found > 0 else -math.inf


def _naswot(network: Untrained) -> float | Tensor:
    """Return log det K, where K[i, j] counts the rectified units that are on, or off, for both.

    Source: arXiv 2006.04647v2; a unit is on where its rectifier is given more than 0.
    The codes of many small networks do not span all examples, and K is singular. Each direction
    that they lack counts as the smallest number of float64, so the fewer are lacking the better;
    without rectified units all are.
    """
    inputs = network.inputs
    # in which axis the examples lie is told by a second run, on another number of them
    other = inputs[torch.arange(3 if len(inputs) == 2 else 2) % len(inputs)]
    with torch.no_grad():
        fewer, _ = _codes(network.module, other)
        codes, outputs = _codes(network.module, inputs)
    if not _total(outputs).isfinite():
        return math.nan
    kernel = torch.zeros(len(inputs), len(inputs), dtype=torch.float64, device=inputs.device)
    for code, few in zip(codes, fewer, strict=True):
        sizes = enumerate(zip(code.shape, few.shape, strict=True))
        axis = next((axis for axis, (one, another) in sizes if one != another), None)
        if axis is not None:
            signs = 2.0 * code.movedim(axis, 0).reshape(len(inputs), -1) - 1
            kernel += (signs.shape[1] + (signs @ signs.T).double()) / 2
    found, double = torch.linalg.eigvalsh(kernel), torch.finfo(torch.float64)
    rounding = len(found) * double.eps * found[-1]
    return torch.where(found > rounding, found, double.tiny).log().sum()


def _jacob_cov(network: Untrained) -> float | Tensor:
    """Return -Σ (log v + 1/v) over the eigenvalues v of the correlations of input gradients.

    Source: arXiv 2006.04647v1; the gradient is that of the summed outputs, and v has 1e-5
    added. An example whose gradient is the same everywhere, to which the outputs need not even
    respond, correlates with nothing.

    Raises:
        ConfigError: the inputs are integers.
    """
    inputs = network.inputs
    if not inputs.is_floating_point():
        raise ConfigError(
            "jacob-cov compares gradients with respect to the inputs, and "
            f"{network.by.place.signature.inputs} are read as integers, which have none; leave it "
            "out, or take naswot, which needs none"
        )
    inputs.requires_grad_()
    (slopes,) = _gradients(_total(network.module(inputs.clone())), [inputs])
    rows = slopes.flatten(1).double()
    if not rows.isfinite().all():
        return math.nan
    away = rows - rows.mean(1, keepdim=True)
    size = away.norm(dim=1, keepdim=True)
    differs = size > FLOAT32 * rows.norm(dim=1, keepdim=True)
    units = torch.where(differs, away / size, 0.0)
    found = torch.linalg.eigvalsh(units @ units.T).clamp(min=0) + 1e-5
    return -(found.log() + 1 / found).sum()


FLOAT32 = 1e-6
"""relative differences below which are rounding"""


def _grad_norm(network: Untrained) -> float:
    """Return Σ ‖∂L/∂w‖, of the loss L of the batch and each tensor of weights w.

    Source: arXiv 2101.08134.
    """
    return sum(slope.norm().item() for _, slope in network.slopes(network.loss))


def _snip(network: Untrained) -> float:
    """Return Σ |w · ∂L/∂w|, what the loss L of the batch loses to first order with each weight.

    Source: arXiv 1810.02340, summed over all weights as in arXiv 2101.08134.
    """
    return _saliency(network, network.loss)


PROXIES: dict[str, Proxy] = {
    "params": _params,
    "macs": _macs,
    "synflow": _synflow,
    "naswot": _naswot,
    "jacob-cov": _jacob_cov,
    "grad-norm": _grad_norm,
    "snip": _snip,
}
"""what computes a value, by its name"""
SIZES = ("params", "macs")
"""those that no network need be built for"""


def common(found: Sequence[Mapping[str, Timed]]) -> list[str]:
    """Return the names of the values that all of several networks have, in their usual order."""
    return [name for name in PROXIES if found and all(name in each for each in found)]


def _saliency(network: Untrained, value: Tensor) -> float:
    """Return Σ |w · ∂value/∂w| over all weights."""
    return sum((w * slope).abs().sum().item() for w, slope in network.slopes(value))


def _total(outputs: Outputs) -> Tensor:
    """Return the sum of what all exits give all examples."""
    return torch.stack([exit_.sum() for exit_ in exits(outputs)]).sum()


def _gradients(value: Tensor, of: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return the gradient of a scalar with respect to each tensor, 0 where it has no part in it."""
    if not of or not value.requires_grad:
        return tuple(map(torch.zeros_like, of))
    return torch.autograd.grad(value, of, materialize_grads=True)


class _Unnormalised(TorchFunctionMode):
    """Norms give back what they are given, and all floats are float64."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given, named = replace((args, dict(kwargs or {})), Tensor, _double)
        if kind_of(None, func) == "norm":
            # a tensor of its own, for what comes after a norm may write into it
            return (given[0] if given else named["input"]).clone()
        return replace(func(*given, **named), Tensor, _double)


def _double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _codes(module: nn.Module, inputs: Tensor) -> tuple[list[Tensor], Outputs]:
    """Return which units are on, of each rectifier in the order of their calls, and the outputs."""
    with _Rectifiers() as seen:
        outputs = module(inputs)
    return seen.codes, outputs


class _Rectifiers(TorchFunctionMode):
    """Notes where what rectifiers are given is above 0, before they can write into it."""

    def __init__(self) -> None:
        super().__init__()
        self.codes: list[Tensor] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        if _rectifies(name_of(func), args, named):
            self.codes.append((args[0] if args else named["input"]) > 0)
        return func(*args, **named)


RECTIFIERS = (
    *("relu", "relu6", "leaky_relu", "prelu", "rrelu", "threshold"),
    *("elu", "celu", "selu", "gelu", "silu", "mish", "hardswish", "softplus"),
)
"""functions that let through what is above 0, and little or nothing of what is below"""


def _rectifies(name: str, args: tuple[Any, ...], named: Mapping[str, Any]) -> bool:
    """Say whether a function rectifies: it is known to, or clamps at 0 as ``nn.ReLU6`` does."""
    if name not in ("hardtanh", "clamp", "clip", "clamp_min"):
        return name in RECTIFIERS
    lowest = args[1] if len(args) > 1 else named.get("min", named.get("min_val"))
    return isinstance(lowest, (int, float)) and lowest == 0
