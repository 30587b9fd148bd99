"""Where examples come from, how they are split, and the batches made of them."""

from hypernas.data.augmentation import Augmentation
from hypernas.data.batches import Batches
from hypernas.data.columns import Columns
from hypernas.data.download import fetch
from hypernas.data.encodings import Encoding, Normalisation
from hypernas.data.examples import Dataset, Examples
from hypernas.data.sources import Known, in_full, known, load
from hypernas.data.splits import Splits, split
from hypernas.data.vocabulary import Vocabulary

__all__ = [
    "Augmentation",
    "Batches",
    "Columns",
    "Dataset",
    "Encoding",
    "Examples",
    "Known",
    "Normalisation",
    "Splits",
    "Vocabulary",
    "fetch",
    "in_full",
    "known",
    "load",
    "split",
]
