"""What good candidates of a run have in common: choices, motifs, and the mean cell."""

from hypernas.explaining.explanation import explain, show
from hypernas.explaining.record import Explanation

__all__ = ["Explanation", "explain", "show"]
