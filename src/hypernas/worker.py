"""A worker process: ``python -m hypernas.worker RUN`` (see :mod:`hypernas.workers`)."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import torch

from hypernas import jobs
from hypernas.config import Config
from hypernas.files import read_json
from hypernas.workers import serve
from hypernas.workplace import Workplace


def main() -> None:
    """Open the run folder and do the jobs of the standard input."""
    _end_with(os.getppid())
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    place = Workplace(folder, read_json(folder / "config.json", Config))
    # What libraries print must not mix with the answers.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    try:
        serve(lambda job: jobs.do(place, job), sys.stdin.buffer, answers.write)
    except KeyboardInterrupt:
        os._exit(130)


def _end_with(parent: int) -> None:
    """End this process when the one that started it is gone, even if that was killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.3)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main()
