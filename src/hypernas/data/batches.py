"""Batches on the device: uint8 there once, normalised and augmented batch by batch.

Shapes: B examples a batch, V views of each, C channels; *spatial* is (H, W) of images and
(D, H, W) of volumes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import InitVar, dataclass, field

import numpy as np
import torch
from torch import Tensor

from hypernas.data.augmentation import Augmentation, Draws, VolumeDraws, augmented, cut_out
from hypernas.data.examples import Examples
from hypernas.data.storage import chunks
from hypernas.errors import DataError
from hypernas.randomness import torch_generator
from hypernas.results import Struct


class Normalisation(Struct, frozen=True):
    """Mean and standard deviation of each channel, in units of full brightness (0 to 1)."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, examples: Examples) -> Normalisation:
        """Measure them over ``examples``; exact sums, so the same however they are chunked."""
        images, channels = examples.images, examples.shape[0]
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


@dataclass(eq=False, kw_only=True)
class Batches:
    """Batches of a split, each a function of (seed, purpose, step).

    Raises:
        DataError: there are no examples, the batch size is below 1, or the normalisation is of
            other channels.
    """

    examples: InitVar[Examples]
    batch_size: int
    normalisation: Normalisation
    augmentation: Augmentation | None = None
    device: str | torch.device = "cpu"
    channels_last: bool = False
    """the memory format of images, not of volumes; the shape is (B, C, H, W) all the same"""
    dtype: torch.dtype = torch.float32
    images: Tensor = field(init=False, repr=False)
    """uint8, (n * V, C, *spatial), on the device, the views of an example one after the other"""
    labels: Tensor = field(init=False, repr=False)
    """int64, (n,), on the device"""
    views: int = field(init=False)
    """V"""

    def __post_init__(self, examples: Examples) -> None:
        channels, *spatial = examples.shape
        if not len(examples) or self.batch_size < 1:
            raise DataError(
                f"cannot make batches of {self.batch_size} from {len(examples)} examples; "
                "both must be 1 or more"
            )
        if not channels == len(self.normalisation.mean) == len(self.normalisation.std):
            raise DataError(
                f"the normalisation is of {len(self.normalisation.mean)} channels, the images have "
                f"{channels}; measure it with Normalisation.of(fit examples)"
            )
        self.views = examples.views
        images = _tensor(examples.images).to(self.device)
        self.images = images.view(-1, *examples.shape) if self.views > 1 else images
        self.labels = _tensor(examples.labels).to(self.device)
        mean, std = (torch.tensor(v) for v in (self.normalisation.mean, self.normalisation.std))
        ones = [1] * len(spatial)
        self._scale = (1 / (255 * std)).view(-1, *ones).to(self.device)
        self._shift = (-mean / std).view(-1, *ones).to(self.device)
        self._orders: dict[tuple[int, str], tuple[int, Tensor]] = {}

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.labels)

    @property
    def batches_per_epoch(self) -> int:
        """Whole batches in one pass; 1 where a batch is all of the examples."""
        return max(1, len(self) // self.batch_size)

    def random(self, seed: int, purpose: str, step: int) -> tuple[Tensor, Tensor]:
        """Return batch number ``step`` of an endless shuffled and augmented stream.

        Each epoch is a permutation of the examples without its last partial batch; each example
        shows one of its views, drawn at random.

        Returns:
            images (B, C, *spatial) of ``dtype`` and labels (B,), B the batch size or, if there are
            fewer, the number of all examples.
        """
        epoch, position = divmod(step, self.batches_per_epoch)
        start = position * self.batch_size
        indices = self._order(seed, purpose, epoch)[start : start + self.batch_size]
        images, labels = self._take(indices, self._drawn_views(len(indices), seed, purpose, step))
        if self.augmentation is None:
            return self._laid_out(self._normalised(images)), labels
        generator = torch_generator(seed, purpose, "augment", step)
        kind = Draws if images.ndim == 4 else VolumeDraws
        draws = kind.of(self.augmentation, images.shape, generator).to(self.device)
        images = self._normalised(augmented(images, self.augmentation, draws))
        return self._laid_out(cut_out(images, self.augmentation.cutout, draws)), labels

    def fixed(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first view of the examples at ``indices`` (int64, (B,)), not augmented."""
        images, labels = self._take(indices.to(self.device))
        return self._laid_out(self._normalised(images)), labels

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all examples in order without augmentation, the last batch perhaps smaller.

        All views of an example come one after the other: images (B * V, C, *spatial) with labels
        (B,), where B * V is at most the batch size (but B at least 1).
        """
        count = max(1, self.batch_size // self.views)
        for start in range(0, len(self), count):
            stop = start + count
            images = self.images[start * self.views : stop * self.views]
            yield self._laid_out(self._normalised(images)), self.labels[start:stop]

    def _order(self, seed: int, purpose: str, epoch: int) -> Tensor:
        """Return the epoch's permutation, drawn on the CPU so that all devices see the same."""
        known, order = self._orders.get((seed, purpose), (None, None))
        if order is None or known != epoch:
            generator = torch_generator(seed, purpose, "epoch", epoch)
            order = torch.randperm(len(self), generator=generator).to(self.device)
            self._orders[seed, purpose] = (epoch, order)
        return order

    def _drawn_views(self, count: int, seed: int, purpose: str, step: int) -> Tensor | int:
        """Return the view (B,) that each of ``count`` examples shows at this step."""
        if self.views == 1:
            return 0
        generator = torch_generator(seed, purpose, "view", step)
        return torch.randint(self.views, (count,), generator=generator).to(self.device)

    def _take(self, indices: Tensor, view: Tensor | int = 0) -> tuple[Tensor, Tensor]:
        """Return uint8 images (B, C, *spatial) and labels (B,); 20 times faster than indexing."""
        places = indices if self.views == 1 else indices * self.views + view
        return self.images.index_select(0, places), self.labels.index_select(0, indices)

    def _normalised(self, images: Tensor) -> Tensor:
        """Return uint8 images (B, C, *spatial) as float32 with mean 0 and deviation 1."""
        return images.to(torch.float32).mul_(self._scale).add_(self._shift)

    def _laid_out(self, images: Tensor) -> Tensor:
        """Return float32 images (B, C, *spatial) in the type and memory format asked for."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return images.to(self.dtype).contiguous(memory_format=layout)


def _tensor(array: np.ndarray) -> Tensor:
    """Return a tensor that shares the array's memory where torch allows it."""
    return torch.from_numpy(array if array.flags.writeable else array.copy())
