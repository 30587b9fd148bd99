"""Where examples come from, how they are split, and the batches made of them."""

from hypernas.data.augmentation import Augmentation
from hypernas.data.batches import Batches, Normalisation
from hypernas.data.download import fetch
from hypernas.data.examples import Dataset, Examples
from hypernas.data.sources import Known, in_full, known, load
from hypernas.data.splits import Splits, split

__all__ = [
    "Augmentation",
    "Batches",
    "Dataset",
    "Examples",
    "Known",
    "Normalisation",
    "Splits",
    "fetch",
    "in_full",
    "known",
    "load",
    "split",
]
