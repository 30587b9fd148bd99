"""What the scores of a run depend on: choices, pairs, motifs; what MACs buy; the mean cell."""

from hypernas.explaining.explanation import MOST_ROWS, TITLES, explain, in_words, is_shown, show
from hypernas.explaining.record import Explanation
from hypernas.explaining.sample import Sample, at_random, of_all, of_search, sample_of
from hypernas.explaining.weighed import sections

__all__ = [
    "MOST_ROWS",
    "TITLES",
    "Explanation",
    "Sample",
    "at_random",
    "explain",
    "in_words",
    "is_shown",
    "of_all",
    "of_search",
    "sample_of",
    "sections",
    "show",
]
