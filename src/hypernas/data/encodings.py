"""What turns stored inputs into a network's: measured on the fit split, recorded with the run.

An encoding is a record. It says which tensor is kept on the device (``stored``), what a batch of it
becomes (``reader``), and the shape and the vocabulary that a space is told of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from hypernas.data.storage import chunks
from hypernas.errors import DataError
from hypernas.results import Struct

if TYPE_CHECKING:
    from hypernas.data.examples import Examples


class Encoding(Protocol):
    """How the inputs of examples become what a network reads."""

    @property
    def vocabulary(self) -> int | None:
        """How many different integers the network reads; None where it reads floats."""
        ...

    def shape(self, examples: Examples) -> tuple[int, ...]:
        """Return the shape of one example as the network sees it, without the batch."""
        ...

    def stored(self, examples: Examples) -> Tensor:
        """Return what is kept on the device, (n * V, ...).

        Raises:
            DataError: the examples are of another kind than those it was measured on.
        """
        ...

    def reader(self, device: str | torch.device) -> Callable[[Tensor], Tensor]:
        """Return what makes the network's inputs of stored ones, batch by batch."""
        ...


class Normalisation(Struct, frozen=True):
    """Mean and standard deviation of each channel, in units of full brightness (0 to 1)."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, examples: Examples) -> Normalisation:
        """Measure them over ``examples``; exact sums, so the same however they are chunked."""
        images, channels = examples.inputs, examples.shape[0]
        total, squares = np.zeros((2, channels), np.uint64)
        for part in chunks(images):
            views = images[part].reshape(-1, *examples.shape)
            axes = (0, *range(2, views.ndim))
            total += views.sum(axis=axes, dtype=np.uint64)
            squares += np.square(views, dtype=np.uint16).sum(axes, dtype=np.uint64)
        count = images.size // channels
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 1.0))  # at least one grey level
        return cls(mean=tuple((mean / 255).tolist()), std=tuple((deviation / 255).tolist()))

    @property
    def vocabulary(self) -> int | None:
        """None: images are floats."""
        return None

    def shape(self, examples: Examples) -> tuple[int, ...]:
        """Return the shape of one view, (C, *spatial)."""
        return examples.shape

    def stored(self, examples: Examples) -> Tensor:
        """Return the bytes, (n * V, C, *spatial), the views of an example one after the other.

        Raises:
            DataError: the images have other channels.
        """
        channels = examples.shape[0]
        if not channels == len(self.mean) == len(self.std):
            raise DataError(
                f"the normalisation is of {len(self.mean)} channels, the images have {channels}; "
                "measure it with Normalisation.of(fit examples)"
            )
        images = tensor(examples.inputs)
        return images.view(-1, *examples.shape) if examples.views > 1 else images

    def reader(self, device: str | torch.device) -> Callable[[Tensor], Tensor]:
        """Return what brings bytes to mean 0 and deviation 1, as float32."""
        mean, std = torch.tensor(self.mean), torch.tensor(self.std)
        scale, shift = ((1 / (255 * std)).to(device), (-mean / std).to(device))

        def read(images: Tensor) -> Tensor:
            ones = [1] * (images.ndim - 2)
            plain = images.to(torch.float32)
            return plain.mul_(scale.view(-1, *ones)).add_(shift.view(-1, *ones))

        return read


def unchanged(stored: Tensor) -> Tensor:
    """Return stored inputs as they are: what is kept is what a network reads."""
    return stored


def tensor(array: np.ndarray) -> Tensor:
    """Return a tensor that shares the array's memory where torch allows it."""
    return torch.from_numpy(array if array.flags.writeable else array.copy())
