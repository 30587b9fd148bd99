"""SMASH op by op, as one writes it first: what ``smash_speed.py`` compares hypernas with.

The same architectures, weights and function as the memory-bank space with the ``smash``
hypernetwork (:meth:`PlainSmash.logits` gives the same logits), in the manner of the public code of
2017: the encoding is painted slice by slice, every layer of the generator joins its inputs and
applies their ReLU anew, generated numbers are put in order by a list of indices, banks are joined
for each read, shared kernels are sliced for each op, and tensors keep the default layout.

It covers the classic network: one convolution an op, plain adding writes, 2-D images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from hypernas.hypernets.smash import SMASH
from hypernas.spaces.banks.architecture import Block, Op
from hypernas.spaces.banks.encoding import layout_of
from hypernas.spaces.banks.settings import Settings

SLOPE = 0.02


class PlainSmash:
    """A SMASH network with parameters of its own, which start as those of a hypernetwork.

    Args:
        hypernet: whose table has room for the architectures that are met.
        settings: of the space.
    """

    def __init__(self, hypernet: SMASH, settings: Settings) -> None:
        self.settings = settings
        self.layout = layout_of(settings)
        self.parameters = {
            name: parameter.detach().clone().contiguous().requires_grad_()
            for name, parameter in hypernet.named_parameters()
        }
        free = [p for name, p in self.parameters.items() if name.startswith("table.")]
        rest = [p for name, p in self.parameters.items() if not name.startswith("table.")]
        self.optimiser = torch.optim.Adam(
            [{"params": rest, "weight_decay": 0.0}, {"params": free, "weight_decay": 1e-4}],
            lr=1e-3,
            betas=(0.5, 0.999),
            eps=1e-4,
        )

    def step(self, blocks: Sequence[Block], images: Tensor, targets: Tensor) -> float:
        """Train one architecture on one batch; return the loss."""
        loss = F.cross_entropy(self.logits(blocks, images), targets)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.item()

    def logits(
        self, blocks: Sequence[Block], images: Tensor, noise: Tensor | None = None
    ) -> Tensor:
        """Return the logits (B, classes) of an architecture for images (B, C, H, W).

        Args:
            blocks: the architecture.
            images: in the default layout.
            noise: the noise of the map, (R, S); new noise where there is none.
        """
        return self._network(blocks, self.generate(blocks, noise), images)

    # -- weights ----------------------------------------------------------------------------------

    def encode(self, blocks: Sequence[Block]) -> Tensor:
        """Return the map (C, R, S), painted read by read."""
        slices = sum(self._slices(op) for block in blocks for op in block.ops)
        code = torch.zeros(self.layout.channels, self.layout.rows, slices)
        place, step, start = self.layout.place, self.settings.compression, 0
        for number, block in enumerate(blocks):
            for op in block.ops:
                code[place["first", True], : op.middle, start] = 1
                channels = self._channels(number, block, op)
                for position, unit in enumerate(op.units):
                    at = start + position // step
                    code[place["read", unit], : op.middle, at] = 1
                    for channel in channels:
                        code[channel, : op.middle, at] = 1
                start += self._slices(op)
        return code

    def _slices(self, op: Op) -> int:
        return -(-len(op.units) // self.settings.compression)

    def _channels(self, number: int, block: Block, op: Op) -> list[int]:
        """Return the channels that are 1 in every slice of an op."""
        convolution = op.convolutions[0]
        answers = [("weight", "mix"), ("block", number), ("bank", block.bank), ("width", op.width)]
        for axis in range(self.settings.axes):
            answers.append((f"kernel0.{axis}", convolution.kernel[axis]))
            answers.append((f"dilation0.{axis}", convolution.dilation[axis]))
        answers.append(("groups0", convolution.groups))
        for bank in op.writes:
            first, size = block.banks[bank]
            answers += [("written", unit) for unit in range(first, first + size)]
        return [self.layout.place[answer] for answer in answers if answer in self.layout.place]

    def generate(self, blocks: Sequence[Block], noise: Tensor | None = None) -> list[Tensor]:
        """Return the weight of each op's 1×1 convolution, in order."""
        code = self.encode(blocks)
        rows, slices = code.shape[1:]
        noise = torch.randn(rows, slices) if noise is None else noise
        numbers = torch.eye(rows)[:, :, None].expand(-1, -1, slices)
        known = torch.cat([noise[None], numbers, code])[None]
        x = self._convolved("generator.first", known)
        for block in range(3):
            layer = 0
            while f"generator.blocks.{block}.{layer}.weight" in self.parameters:
                seen = torch.cat([known, F.leaky_relu(x, SLOPE)], dim=1)
                x = torch.cat(
                    [x, self._convolved(f"generator.blocks.{block}.{layer}", seen)], dim=1
                )
                layer += 1
            if f"generator.squeezes.{block}.weight" in self.parameters:
                seen = torch.cat([known, F.leaky_relu(x, SLOPE)], dim=1)
                x, known = self._convolved(f"generator.squeezes.{block}", seen), known[:, :0]
        head = self.parameters["heads.mix.weight"]
        made = F.conv2d(F.leaky_relu(x, SLOPE), head[:, :, None, None])[0]
        return self._cut(blocks, made)

    def _convolved(self, name: str, x: Tensor) -> Tensor:
        weight = self.parameters[f"{name}.weight"]
        return F.conv2d(x, weight / weight.norm(), padding=1)

    def _cut(self, blocks: Sequence[Block], made: Tensor) -> list[Tensor]:
        """Put generated numbers (N · dN, R, S) in order, and cut each op's weight from them."""
        unit = self.settings.unit
        wide = unit * self.settings.compression
        rows, slices = made.shape[1:]
        # columns: slice, then input channel; rows: unit of outputs, then output channel
        order = [output * wide + channel for channel in range(wide) for output in range(unit)]
        made = made[torch.tensor(order)].view(wide, unit, rows, slices)
        whole = made.permute(3, 0, 2, 1).reshape(slices * wide, rows * unit)
        found, start = [], 0
        for block in blocks:
            for op in block.ops:
                outputs, inputs = op.middle * unit, len(op.units) * unit
                weight = whole[start : start + inputs, :outputs].t()
                weight = weight * (math.sqrt(2 * outputs) / weight.norm())
                found.append(weight.contiguous()[:, :, None, None])
                start += self._slices(op) * wide
        return found

    # -- network ----------------------------------------------------------------------------------

    def _shared(self, name: str, *shape: int) -> Tensor:
        """Return the first part of a shared tensor, or the middle of a kernel."""
        whole = self.parameters[f"table.entries.{name}#{len(shape)}"]
        for axis, size in enumerate(shape):
            start = 0 if axis < 2 else (whole.shape[axis] - size) // 2
            whole = whole.narrow(axis, start, size)
        return whole

    def _normed(self, name: str, x: Tensor) -> Tensor:
        weight = self._shared(f"{name}/weight", x.shape[1])
        bias = self._shared(f"{name}/bias", x.shape[1])
        return F.batch_norm(x, None, None, weight, bias, training=True)

    def _network(self, blocks: Sequence[Block], weights: list[Tensor], x: Tensor) -> Tensor:
        unit, side = self.settings.unit, self.settings.stem_kernel
        inputs = blocks[0].inputs * unit
        stem = self._shared("stem/weight", inputs, x.shape[1], side, side)
        x = F.conv2d(x, stem, stride=self.settings.stem_stride, padding=side // 2)
        left = iter(weights)
        for number, block in enumerate(blocks):
            if number:
                name = f"transitions/{number - 1}/mix"
                x = F.relu(self._normed(f"{name}/0", x))
                x = F.conv2d(
                    x, self._shared(f"{name}/2/weight", block.inputs * unit, x.shape[1], 1, 1)
                )
                x = F.avg_pool2d(x, 2)
            banks = [x[:, u * unit : (u + n) * unit] for u, n in block.banks[: block.first_new]]
            for op in block.ops:
                self._run(f"blocks/{number}/ops", block, op, banks, next(left))
            x = torch.cat(banks, dim=1)
        x = F.relu(self._normed("head/0", x)).mean(dim=(2, 3))
        weight = self.parameters["table.entries.head/4/weight#2"]
        bias = self._shared("head/4/bias", weight.shape[0])
        return F.linear(x, weight[:, : x.shape[1]], bias)

    def _run(self, name: str, block: Block, op: Op, banks: list[Tensor], weight: Tensor) -> None:
        """Run one op: read, transform, and write banks."""
        unit, convolution = self.settings.unit, op.convolutions[0]
        read = torch.cat([banks[number] for number in op.reads], dim=1)
        x = F.conv2d(F.relu(self._normed(f"{name}/mix/0", read)), weight)
        x = F.relu(self._normed(f"{name}/mix/3", x))
        outputs, inputs = op.width * unit, op.middle * unit // convolution.groups
        kernel = self._shared(f"{name}/paths/0/0/conv/weight", outputs, inputs, *convolution.kernel)
        pad = [d * (k // 2) for k, d in zip(convolution.kernel, convolution.dilation, strict=True)]
        x = F.conv2d(
            x, kernel, padding=pad, dilation=convolution.dilation, groups=convolution.groups
        )
        pieces = x.split(block.bank * unit, dim=1)
        for number, target in enumerate(op.writes):
            piece = pieces[number % len(pieces)]
            if target == len(banks):
                banks.append(piece)
            else:
                banks[target] = banks[target] + piece
