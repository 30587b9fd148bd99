"""A network as one file of plain PyTorch, for people who want it without this library."""

from hypernas.standalone.preprocessing import Inputs, Normalisation
from hypernas.standalone.template import source_of

__all__ = ["Inputs", "Normalisation", "source_of"]
