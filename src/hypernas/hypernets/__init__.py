"""Hypernetworks: modules from candidates to weights, chosen by name."""

from hypernas.hypernets.hypernet import Hypernet, Weights, known, make

__all__ = ["Hypernet", "Weights", "known", "make"]
