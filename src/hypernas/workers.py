"""Processes that score and train beside each other.

Each is ``python -m hypernas.worker RUN`` and reads one job a line from its standard input, as JSON,
and answers with one line. Neither a fork (which hangs after OpenMP has run) nor a spawn of the
user's script (which may lack a guard) is used.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

import msgspec

from hypernas import errors
from hypernas.errors import HypernasError, RunError

Job = dict[str, Any]
Do = Callable[[Job], Any]
"""does one job in this process"""


class Pool:
    """Does jobs in ``count`` processes, or in this one when ``count`` is 1.

    Args:
        folder: the run folder that the workers open.
        count: number of processes.
        here: does a job in this process.
    """

    def __init__(self, folder: Path, count: int, here: Do) -> None:
        self.folder = folder
        self.count = count
        self.here = here
        self._idle: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        self._started: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self._started:
            if kind:
                process.kill()
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                with contextlib.suppress(BrokenPipeError):
                    stream.close()  # a worker ends with its input
            process.wait()

    def do(self, jobs: Sequence[Job]) -> Iterator[Any]:
        """Do the jobs and yield their answers in order.

        Raises:
            HypernasError: a job failed through its input; a RunError when a worker died.
        """
        if self.count == 1 or len(jobs) < 2:
            yield from map(self.here, jobs)
            return
        with ThreadPoolExecutor(self.count) as threads:
            futures = [threads.submit(self._ask, job) for job in jobs]
            try:
                for future in futures:
                    yield future.result()
            except BaseException:
                for future in futures:
                    future.cancel()
                for process in self._started:
                    process.kill()
                raise

    def _ask(self, job: Job) -> Any:
        process = self._worker()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(msgspec.json.encode(job) + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = b""
        finally:
            self._idle.put(process)  # a dead one too: who takes it fails at once, and never waits
        if not line.endswith(b"\n"):
            raise RunError(
                f"a worker process ended with status {process.wait()} (out of memory?); "
                "run the same command again, with --workers 1 if it repeats"
            )
        answer = msgspec.json.decode(line)
        if "error" in answer:
            raise getattr(errors, answer["kind"], HypernasError)(answer["error"])
        return answer["result"]

    def _worker(self) -> subprocess.Popen[bytes]:
        """Return an idle worker, a new one while there are fewer than ``count``."""
        with self._lock:
            if self._idle.empty() and len(self._started) < self.count:
                self._started.append(self._start())
                return self._started[-1]
        return self._idle.get()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "hypernas.worker", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for the main process, which ends its workers
        )


def serve(do: Do, lines: Iterable[bytes], answer: Callable[[bytes], Any]) -> None:
    """Answer jobs until the input ends."""
    for line in lines:
        try:
            reply = {"result": do(msgspec.json.decode(line))}
        except HypernasError as error:
            reply = {"error": str(error), "kind": type(error).__name__}
        answer(msgspec.json.encode(reply) + b"\n")
