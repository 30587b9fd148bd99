"""Trains a network for real: the same recipe for all that are compared, resumable at any step.

All exits of a network are trained together (MSDNet, arXiv 1703.09844).
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec
import torch
from torch import Tensor, nn

from hypernas.curves import Reached, gathered, judge_exits
from hypernas.data import Augmentation, Batches
from hypernas.files import read_tensors, write_tensors
from hypernas.precision import autocast
from hypernas.randomness import derived_seed
from hypernas.results import Struct
from hypernas.scoring import WORST
from hypernas.tasks import Outputs, Task, exits

CHECKPOINT_SECONDS = 10.0
CLIP = 5.0
WARM_UP = 0.05


class Recipe(Struct, frozen=True):
    """How a network is trained: SGD with Nesterov momentum, a linear rise and a cosine to 0."""

    epochs: int
    batch: int = 128
    rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    augmentation: Augmentation | None = None
    start: Literal["scratch", "generated", "grown"] = "scratch"
    precision: str = "fp32"

    def factor(self, step: int, steps: int) -> float:
        """Return the learning rate at ``step`` of ``steps`` as a share of the highest."""
        warm = max(1, int(WARM_UP * steps))
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1)))


class Measured(Struct, frozen=True):
    """How a network does on a split."""

    accuracy: float
    """what the task measures, 0 to 1"""
    loss: float
    deviation: float | None = None
    """how far the measure is off for the luck of the split, where that follows not from its size"""


class Trained(Struct, frozen=True):
    """What a training reached on the validation split, and what it cost."""

    epochs: int
    accuracy: float
    loss: float
    seconds: float
    """CPU seconds"""
    by_epoch: list[float] = []
    """accuracy after each epoch, where asked for"""
    loss_by_epoch: list[float] = []
    """loss after each epoch, where asked for"""


class Trainer:
    """Trains one module with checkpoints in ``folder``.

    Args:
        module: with its first weights; trained in place.
        fit: batches of the fit split.
        task: judges outputs.
        recipe: counts and rates.
        folder: where ``checkpoint.safetensors`` is kept.
        seed: of the order of examples, augmentation and dropout.
        by_epoch: measure it after each epoch.
    """

    def __init__(
        self,
        module: nn.Module,
        fit: Batches,
        task: Task,
        recipe: Recipe,
        folder: Path,
        *,
        seed: int,
        by_epoch: bool = False,
    ) -> None:
        self.module = module.to(fit.inputs.device)
        if fit.channels_last:
            self.module.to(memory_format=torch.channels_last)  # ty: ignore[no-matching-overload]
        self.fit = fit
        self.task = task
        self.recipe = recipe
        self.checkpoint = folder / "checkpoint.safetensors"
        self.seed = seed
        self.steps = recipe.epochs * fit.batches_per_epoch
        self.step = 0
        self.seconds = 0.0
        self.measured: list[Measured] | None = [] if by_epoch else None
        self.momentum: dict[str, Tensor] = {}
        self._recorded: nn.Module | None = None

    def run(self, validation: Batches, progress: Callable[[int, int], None]) -> Trained:
        """Train to the end, from the checkpoint where there is one, and measure once."""
        self._advance_to(self.steps, validation, progress)
        reached = self._measure(validation)
        return Trained(
            epochs=self.recipe.epochs,
            accuracy=reached.accuracy,
            loss=reached.loss,
            seconds=self.seconds,
            by_epoch=[each.accuracy for each in self.measured or []],
            loss_by_epoch=[each.loss for each in self.measured or []],
        )

    def train(self, steps: int) -> None:
        """Train for so many steps in all, without a checkpoint."""
        self.steps = steps
        optimiser = self.optimiser()
        with torch.random.fork_rng(devices=[]):
            while self.step < steps:
                self.advance(optimiser)

    def run_to(self, epoch: int, validation: Batches) -> Measured:
        """Train as far as the end of an epoch, and return what it measures there.

        It is measured after each epoch, and what was done before is not done again.
        """
        assert self.measured is not None, "made with by_epoch"
        self._advance_to(epoch * self.fit.batches_per_epoch, validation, lambda done, total: None)
        return self.measured[epoch - 1]

    def _advance_to(
        self, steps: int, validation: Batches, progress: Callable[[int, int], None]
    ) -> None:
        if self.checkpoint.exists():
            self._load()
        optimiser = self.optimiser()
        with torch.random.fork_rng(devices=[]):
            saved = time.monotonic()
            while self.step < steps:
                began = time.process_time()
                self.advance(optimiser)
                self.seconds += time.process_time() - began
                if self.measured is not None and self.step % self.fit.batches_per_epoch == 0:
                    self.measured.append(self._measure(validation))
                progress(self.step, self.steps)
                if time.monotonic() - saved > CHECKPOINT_SECONDS:
                    self._save(optimiser)
                    saved = time.monotonic()
            if steps < self.steps:
                self._save(optimiser)

    def _measure(self, batches: Batches) -> Measured:
        return measure(self.module, batches, self.task, precision=self.recipe.precision)

    def optimiser(self) -> torch.optim.SGD:
        """Return the optimiser, with the momentum of the checkpoint."""
        parameters = dict(self.module.named_parameters())
        optimiser = torch.optim.SGD(
            [{"params": list(parameters.values())}],
            lr=self.recipe.rate,
            momentum=self.recipe.momentum,
            weight_decay=self.recipe.weight_decay,
            nesterov=True,
        )
        for name, buffer in self.momentum.items():
            device = parameters[name].device
            optimiser.state[parameters[name]]["momentum_buffer"] = buffer.to(device)
        return optimiser

    def advance(self, optimiser: torch.optim.SGD) -> None:
        """Do one step."""
        images, targets = self.fit.random(self.seed, "train", self.step)
        network = self._network(images).train()
        torch.manual_seed(derived_seed(self.seed, "dropout", self.step))
        with autocast(images.device, self.recipe.precision):
            outputs = network(images)
        loss = self.task.loss(outputs, targets)
        loss = loss * len(exits(outputs))  # the sum over the exits, as MSDNet learns
        optimiser.zero_grad(set_to_none=True)
        if loss.requires_grad:  # a network without parameters has nothing to learn
            loss.backward()
        nn.utils.clip_grad_norm_(list(self.module.parameters()), CLIP)
        for group in optimiser.param_groups:
            group["lr"] = self.recipe.rate * self.recipe.factor(self.step, self.steps)
        optimiser.step()
        self.step += 1

    def _network(self, images: Tensor) -> nn.Module:
        """Return what computes the outputs of batches, on a GPU recorded with the first of them."""
        if images.device.type != "cuda" or self.recipe.precision != "fp32":
            return self.module
        if self._recorded is None:
            self._recorded = recorded(self.module, images)
        return self._recorded

    def _save(self, optimiser: torch.optim.SGD) -> None:
        names: dict[Tensor, str] = {p: name for name, p in self.module.named_parameters()}
        tensors = {f"module/{k}": v for k, v in self.module.state_dict().items()}
        for parameter, state in optimiser.state.items():
            buffer = state.get("momentum_buffer")
            if buffer is not None:
                tensors[f"momentum/{names[parameter]}"] = buffer
        about = {"step": self.step, "seconds": self.seconds, "measured": self.measured}
        write_tensors(self.checkpoint, tensors, about)

    def _load(self) -> None:
        tensors, metadata = read_tensors(self.checkpoint)
        if self.measured is not None and metadata["measured"] is None:
            return  # it was not measured on the way, so it begins anew
        split = {"module": {}, "momentum": {}}
        for key, tensor in tensors.items():
            part, name = key.split("/", 1)
            split[part][name] = tensor
        self.module.load_state_dict(split["module"])
        self.momentum = split["momentum"]
        self.step, self.seconds = metadata["step"], metadata["seconds"]
        self.measured = msgspec.convert(metadata["measured"], list[Measured] | None)


def recorded(module: nn.Module, images: Tensor) -> nn.Module:
    """Return a module that computes the same with all kernels launched at once (a CUDA graph).

    Kernels of small networks take less time than their launches. The graph holds forward and
    backward for batches of this shape in training mode. A module that cannot be recorded (whose
    forward waits for a value of the GPU, say) is returned wrapped, and runs as before.
    """
    wrapped = nn.Sequential(module)  # its forward is replaced, that of the module is not
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    # gradients come from the graph's stream, which is meant
    torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the first use of a library in the backward pass
        try:
            # it runs the module a few times, which moves the statistics of batch norms
            torch.cuda.make_graphed_callables(wrapped, (images.clone(),), allow_unused_input=True)
        except RuntimeError:
            wrapped = nn.Sequential(module)
    with torch.no_grad():
        for name, buffer in module.named_buffers():
            buffer.copy_(before[name])
    return wrapped


@torch.no_grad()
def measure(
    module: nn.Module, batches: Batches, task: Task, *, precision: str = "fp32"
) -> Measured:
    """Return the measure and mean loss of ``module`` over all examples, by its own statistics.

    An example of several views is judged by the mean of their probabilities.
    """
    judged = [
        task.judge(task.over_views(outputs, batches.views), targets)
        for outputs, targets in answered(module, batches, precision)
    ]
    evidence = [each.evidence for each in judged]
    return Measured(
        accuracy=task.reached(evidence),
        loss=finite(torch.cat([each.losses for each in judged]).mean().item()),
        deviation=task.deviation(evidence),
    )


def finite(loss: float) -> float:
    """Return a loss as files can hold it; of outputs that are not finite it is as in scoring."""
    return loss if math.isfinite(loss) else -WORST


@torch.no_grad()
def measure_exits(
    module: nn.Module, batches: Batches, task: Task, *, precision: str = "fp32"
) -> Reached:
    """Return what silence, and then each exit, reaches over all examples; as :func:`measure`."""
    judged = [
        judge_exits(task, outputs, targets, views=batches.views)
        for outputs, targets in answered(module, batches, precision)
    ]
    return gathered(task, judged)


def answered(
    module: nn.Module, batches: Batches, precision: str
) -> Iterator[tuple[Outputs, Tensor]]:
    """Yield the outputs of ``module`` by its own statistics for each batch, and the targets."""
    module.eval()
    for inputs, targets in batches.in_order():
        with autocast(inputs.device, precision):
            outputs = module(inputs)
        yield outputs, targets
