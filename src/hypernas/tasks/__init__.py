"""What a batch is, how outputs become a loss and a score: one file a task.

Nothing outside this package knows of cross-entropy, of masks or of boxes.
"""

from hypernas.tasks.classification import Classification
from hypernas.tasks.detection import Detection
from hypernas.tasks.segmentation import Segmentation
from hypernas.tasks.task import Judged, Outputs, Signature, Task, exits, final

__all__ = [
    "Classification",
    "Detection",
    "Judged",
    "Outputs",
    "Segmentation",
    "Signature",
    "Task",
    "exits",
    "final",
    "of",
]

_TASKS: dict[str, type[Task]] = {
    "classification": Classification,
    "segmentation": Segmentation,
    "detection": Detection,
}


def of(name: str) -> Task:
    """Return the task of this name, which the labels of a data set set."""
    return _TASKS[name]()
