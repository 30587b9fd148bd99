"""What good candidates of a run have in common: choices, motifs, and the mean cell."""

from hypernas.explaining.explanation import MOST_ROWS, TITLES, explain, in_words, is_shown, show
from hypernas.explaining.record import Explanation
from hypernas.explaining.sample import Sample, at_random, of_search

__all__ = [
    "MOST_ROWS",
    "TITLES",
    "Explanation",
    "Sample",
    "at_random",
    "explain",
    "in_words",
    "is_shown",
    "of_search",
    "show",
]
