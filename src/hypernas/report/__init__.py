"""The page a person reads at the end of a run, and the drawing of a network."""

from hypernas.report.charts import Scored
from hypernas.report.drawing import draw
from hypernas.report.page import write_report

__all__ = ["Scored", "draw", "write_report"]
