"""What a batch is, how outputs become a loss and a score: one file a task.

Nothing outside this package knows of cross-entropy, of masks or of boxes.
"""

from hypernas.tasks.classification import Classification
from hypernas.tasks.task import Judged, Outputs, Signature, Task, final

__all__ = ["Classification", "Judged", "Outputs", "Signature", "Task", "final"]
