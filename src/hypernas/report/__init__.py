"""The page a person reads at the end of a run, and the drawing of a network."""

from hypernas.report.drawing import draw
from hypernas.report.mean_cell import draw_mean
from hypernas.report.page import write_report

__all__ = ["draw", "draw_mean", "write_report"]
