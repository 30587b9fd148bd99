"""The network of a memory-bank architecture, as plain modules.

One network for scoring, training and export: batch norms stand as in SMASH's derived network.
Shapes: B examples, C channels, then one, two or three axes of space.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hypernas.spaces.banks.architecture import Block as BlockPlan
from hypernas.spaces.banks.architecture import Convolution
from hypernas.spaces.banks.architecture import Op as OpPlan
from hypernas.spaces.banks.encoding import Encoding
from hypernas.spaces.banks.gabor import Fixed, gabor_filters
from hypernas.spaces.banks.settings import Settings, lengths
from hypernas.tasks import Signature

# each by the number of axes of space, less one
CONVOLUTIONS: tuple[Any, ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS: tuple[Any, ...] = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
MAX_POOLS: tuple[Any, ...] = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
AVG_POOLS: tuple[Any, ...] = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
GLOBAL_POOLS: tuple[Any, ...] = (
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
)
ACTIVATIONS = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
}


class MemoryBankNetwork(nn.Module):
    """Stem, blocks with a transition after each but the last, and a linear classifier.

    Attributes:
        encoding: the architecture as SMASH's hypernetwork reads it.
        idle: the parameters that make repeated ops add nothing where they are zero; there is no
            such attribute where they would change a bank even so.
        whole: every part of it reaches the output, for all banks are read at the end of a block.
    """

    whole = True

    def __init__(self, plans: Sequence[BlockPlan], data: Signature, settings: Settings) -> None:
        super().__init__()
        self.encoding = Encoding(settings, plans)
        axes, unit = settings.axes, settings.unit
        width = plans[0].inputs * unit
        conv = CONVOLUTIONS[axes - 1](
            width if data.vocabulary else data.input_shape[0],
            width,
            settings.stem_kernel,
            stride=settings.stem_stride,
            padding=settings.stem_kernel // 2,
            bias=False,
        )
        self.stem = Embedded(data.vocabulary, width, conv) if data.vocabulary else conv
        blocks = [Block(plan, settings) for plan in plans]
        self.blocks = nn.ModuleList(blocks)
        pairs = zip(plans, plans[1:], strict=False)
        self.transitions = nn.ModuleList(Transition(a, b, settings) for a, b in pairs)
        channels = plans[-1].units * unit
        self.head = nn.Sequential(
            NORMS[axes - 1](channels),
            nn.ReLU(inplace=True),
            GLOBAL_POOLS[axes - 1](1),
            nn.Flatten(),
            nn.Linear(channels, data.outputs),
        )
        self.cells = [f"blocks.{number}" for number in range(len(plans))]
        if all(can_idle(op) for plan in plans for op in plan.ops):
            self.idle = [f"blocks.{n}.{name}" for n, b in enumerate(blocks) for name in b.idle]

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block, transition in zip(self.blocks, self.transitions, strict=False):
            x = transition(block(x))
        return self.head(self.blocks[-1](x))


class Embedded(nn.Module):
    """The stem for texts: each token (B, L) becomes a vector, then a convolution along the text."""

    def __init__(self, vocabulary: int, width: int, conv: nn.Module) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.conv = conv

    def forward(self, tokens: Tensor) -> Tensor:
        return self.conv(self.tokens(tokens).transpose(1, 2))


class Block(nn.Module):
    """A memory of banks and the ops that read and write them."""

    def __init__(self, plan: BlockPlan, settings: Settings) -> None:
        super().__init__()
        unit = settings.unit
        self.sizes = [size * unit for _, size in plan.banks[: plan.first_new]]
        self.bank = plan.bank * unit
        self.plans = plan.ops * settings.repeats
        ops = [Op(op, settings, plan) for op in self.plans]
        self.ops = nn.ModuleList(ops)
        repeated = list(enumerate(ops))[len(plan.ops) :]
        self.idle = [f"ops.{number}.{name}" for number, op in repeated for name in op.idle()]

    def forward(self, x: Tensor) -> Tensor:
        banks = parts(x, self.sizes)
        writers = [1] * len(banks)
        for op, plan in zip(self.ops, self.plans, strict=True):
            if list(plan.reads) == list(range(len(self.sizes))) and max(writers) == 1:
                read = x  # the whole input, as it came
            else:
                read = _joined([banks[i] for i in plan.reads])
            pieces = op(read)
            for number, target in enumerate(plan.writes):
                piece = pieces[number % len(pieces)]
                if target == len(banks):
                    banks.append(piece)
                    writers.append(1)
                else:
                    banks[target] = written(plan.write, banks[target], piece, writers[target])
                    writers[target] += 1
        return _joined(banks)


def parts(x: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """Return ``x`` cut in parts of so many channels."""
    if len(sizes) == 1:
        return [x]
    cut = x.split(list(sizes), dim=1)
    return [cut[number] for number in range(len(sizes))]  # torch.fx cannot go through it else


def can_idle(op: OpPlan) -> bool:
    """Say whether an op changes nothing where its last convolutions are zero."""
    return op.write != "mean" and not (op.order == "post" and op.nonlinearity == "sigmoid")


def _joined(banks: list[Tensor]) -> Tensor:
    return torch.cat(banks, dim=1) if len(banks) > 1 else banks[0]


def written(how: str, bank: Tensor, piece: Tensor, writers: int) -> Tensor:
    """Return what a bank holds after ``piece`` is written into it.

    Args:
        how: ``add``; ``mean`` (FractalNet's join), in which what is there counts as often as it was
            written, however; or ``multiply`` by twice the sigmoid, which neither explodes nor, at
            0, changes anything.
        bank: what it holds.
        piece: what is written.
        writers: how often it was written.
    """
    if how == "mean":
        return bank * (writers / (writers + 1)) + piece * (1 / (writers + 1))
    if how == "multiply":
        return bank * (2 * torch.sigmoid(piece))
    return bank + piece


class Transition(nn.Module):
    """Brings a block's memory to the next block's input: norm, ReLU, 1×1 convolution, halving.

    Persistent units, the first of the memory, pass by the convolution.
    """

    def __init__(self, plan: BlockPlan, after: BlockPlan, settings: Settings) -> None:
        super().__init__()
        axes, unit = settings.axes, settings.unit
        channels, self.kept = plan.units * unit, settings.persistent * unit
        self.rest = channels - self.kept
        outputs = after.inputs * unit - self.kept
        self.mix = nn.Sequential(
            NORMS[axes - 1](self.rest),
            nn.ReLU(inplace=True),
            CONVOLUTIONS[axes - 1](self.rest, outputs, 1, bias=False),
        )
        self.shrink = shrinking(plan.shrink, outputs, axes)
        self.shrink_kept = shrinking("avg", self.kept, axes) if self.kept else None

    def forward(self, x: Tensor) -> Tensor:
        if self.shrink_kept is None:
            return self.shrink(self.mix(x))
        kept, rest = parts(x, [self.kept, self.rest])
        return torch.cat([self.shrink_kept(kept), self.shrink(self.mix(rest))], dim=1)


def shrinking(how: str, channels: int, axes: int) -> nn.Module:
    """Return what halves an image, odd sizes rounded up: a pool, or a convolution with stride 2."""
    if how == "conv":
        return CONVOLUTIONS[axes - 1](channels, channels, 3, stride=2, padding=1, bias=False)
    if how == "max":
        return MAX_POOLS[axes - 1](3, stride=2, padding=1)
    if axes == 3:
        return VolumeAverage((2,) * 3, stride=2)
    return AVG_POOLS[axes - 1](2, ceil_mode=True, count_include_pad=False)


class VolumeAverage(nn.Module):
    """Means over what lies in the volume of each window; nn.AvgPool3d refuses small volumes.

    Args:
        kernel: sides of the window; with stride 1 they are odd.
        stride: 1 keeps the size, 2 halves it, odd sizes rounded up.
    """

    def __init__(self, kernel: tuple[int, ...], stride: int) -> None:
        super().__init__()
        around = [((k - 1) // 2, k // 2) for k in reversed(kernel)]  # the last axis comes first
        sizes: Any = tuple(size for pair in around for size in pair)
        self.pad = nn.ConstantPad3d(sizes, 0.0)
        self.mean = AVG_POOLS[-1](kernel, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        inside = self.mean(self.pad(torch.ones_like(x[:, :1])))
        return self.mean(self.pad(x)) / inside


class Op(nn.Module):
    """Norm, ReLU, 1×1 convolution, norm; then paths of convolutions, joined; cut in pieces."""

    def __init__(self, plan: OpPlan, settings: Settings, block: BlockPlan) -> None:
        super().__init__()
        axes, unit = settings.axes, settings.unit
        read, middle = len(plan.units) * unit, plan.middle * unit
        self.reading = None
        if plan.attention in ("read", "both") and len(plan.reads) > 1:
            self.reading = Attention(read, [block.banks[i][1] * unit for i in plan.reads], axes)
        self.mix = nn.Sequential(
            NORMS[axes - 1](read),
            nn.ReLU(inplace=True),  # its input is the norm's own, which is not kept twice
            CONVOLUTIONS[axes - 1](read, middle, 1, bias=False),
            NORMS[axes - 1](middle),
        )
        self.paths = nn.ModuleList()
        for path, length in enumerate(lengths(plan.structure)):
            inputs = [middle] + [plan.width * unit] * (length - 1)
            slots = range(path * settings.longest, path * settings.longest + length)
            layers = [
                Layer(plan, plan.convolutions[slot], channels, plan.width * unit, settings)
                for slot, channels in zip(slots, inputs, strict=True)
            ]
            self.paths.append(nn.Sequential(*layers))
        self.gate = plan.gate
        self.bank, self.pieces = block.bank * unit, plan.outputs // block.bank
        self.writing = None
        if plan.attention in ("write", "both") and self.pieces > 1:
            self.writing = Attention(plan.outputs * unit, [self.bank] * self.pieces, axes)

    def forward(self, read: Tensor) -> Sequence[Tensor]:
        if self.reading is not None:
            read = self.reading(read)
        read = self.mix(read)
        joined = gated(self.gate, [path(read) for path in self.paths])
        if self.writing is not None:
            joined = self.writing(joined)
        return parts(joined, [self.bank] * self.pieces)

    def idle(self) -> list[str]:
        """Return the parameters that make the op's output zero where they are zero."""
        found = []
        for name, path in self.paths.named_children():
            number, last = list(path.named_children())[-1]
            found.append(f"paths.{name}.{number}.{last.last}")
        return found


def gated(how: str, paths: list[Tensor]) -> Tensor:
    """Return the paths as one tensor.

    Args:
        how: ``none``, their sum; ``product``, tanh of the first · sigmoid of the others' sum;
            ``split``, tanh of the sum's first half of the channels · sigmoid of the second.
        paths: tensors of one shape.
    """
    if how == "product" and len(paths) > 1:
        return torch.tanh(paths[0]) * torch.sigmoid(sum(paths[2:], paths[1]))
    whole = sum(paths[1:], paths[0])
    if how in ("split", "product"):
        values, gates = whole.chunk(2, dim=1) if how == "split" else (whole, whole)
        return torch.tanh(values) * torch.sigmoid(gates)
    return whole


class Attention(nn.Module):
    """Weighs banks by what they hold: a softmax over the banks, times their number."""

    def __init__(self, channels: int, sizes: Sequence[int], axes: int) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.logits = nn.Sequential(
            GLOBAL_POOLS[axes - 1](1), nn.Flatten(), nn.Linear(channels, len(sizes))
        )
        self.spread = (-1, len(sizes)) + (1,) * axes

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.softmax(self.logits(x), dim=1) * len(self.sizes)
        weights = torch.reshape(weights, self.spread)
        each = parts(weights, [1] * len(self.sizes))
        banks = parts(x, self.sizes)
        return torch.cat([bank * part for bank, part in zip(banks, each, strict=True)], dim=1)


class Layer(nn.Sequential):
    """A convolution, or what stands in its place, with its nonlinearity and perhaps a norm.

    Attributes:
        last: name of the parameter that makes the output zero where it is zero.
    """

    def __init__(
        self, op: OpPlan, plan: Convolution, inputs: int, outputs: int, settings: Settings
    ) -> None:
        core = kernel_layers(plan, inputs, outputs, settings.axes)
        act = {"act": ACTIVATIONS[op.nonlinearity]()}
        parts = core | act if op.order == "post" else act | core
        self.last = f"{list(core)[-1]}.weight"
        if op.norm == "each":
            norm = {"norm": NORMS[settings.axes - 1](inputs if op.order == "pre" else outputs)}
            match op.order:
                case "pre":
                    parts = norm | act | core
                case "post":
                    parts = core | norm | act
                case "late":
                    parts = act | core | norm
                    self.last = "norm.weight"
        super().__init__(OrderedDict(parts))


def kernel_layers(plan: Convolution, inputs: int, outputs: int, axes: int) -> dict[str, nn.Module]:
    """Return the modules that take ``inputs`` channels to ``outputs`` and keep the image's size."""
    convolution = CONVOLUTIONS[axes - 1]
    padding = tuple(d * (k // 2) for k, d in zip(plan.kernel, plan.dilation, strict=True))
    if plan.layer == "conv":
        conv = convolution(
            inputs,
            outputs,
            plan.kernel,
            padding=padding,
            dilation=plan.dilation,
            groups=plan.groups,
            bias=False,
        )
        return {"conv": conv}
    point = {"point": convolution(inputs, outputs, 1, bias=False)}
    if plan.layer == "separable":
        depth = convolution(
            inputs,
            inputs,
            plan.kernel,
            padding=padding,
            dilation=plan.dilation,
            groups=inputs,
            bias=False,
        )
        return {"depth": depth} | point
    if plan.layer == "gabor":
        return {"gabor": Fixed(gabor_filters(inputs, plan.kernel), padding)} | point
    pad = tuple(k // 2 for k in plan.kernel)
    if plan.layer == "max_pool":
        return {"pool": MAX_POOLS[axes - 1](plan.kernel, stride=1, padding=pad)} | point
    if axes == 3:
        return {"pool": VolumeAverage(plan.kernel, stride=1)} | point
    pool = AVG_POOLS[axes - 1](plan.kernel, stride=1, padding=pad, count_include_pad=False)
    return {"pool": pool} | point
