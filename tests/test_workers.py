"""Processes answer in order, fail in words, and never outlive the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hypernas import errors
from hypernas.errors import ConfigError, HypernasError, RunError
from hypernas.files import write_json
from hypernas.jobs import ScoreBlock, Train
from hypernas.runs import Run
from hypernas.workers import Job, Pool, serve

STUB = """
import os, sys, time
from hypernas import errors
from hypernas.workers import serve

def do(job):
    time.sleep(job.get("sleep", 0))
    if "die" in job:
        os._exit(job["die"])
    if "torn" in job:
        os.write(1, b'{"result": ')
        os._exit(0)
    if "fail" in job:
        raise getattr(errors, job["fail"])(job["text"])
    return {"echo": job.get("echo"), "pid": os.getpid()}

serve(do, sys.stdin.buffer, lambda line: os.write(1, line))
"""


class StubPool(Pool):
    """A pool whose workers start at once, since they need no torch."""

    def __init__(self, count: int = 2) -> None:
        super().__init__(Path(), count, lambda job: {"echo": job.get("echo"), "pid": os.getpid()})

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", STUB], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )


def within(seconds: float, work: Callable[[], Any]) -> Any:
    """Do ``work`` with an alarm, so that a hang is a failure."""

    def ring(number: int, frame: Any) -> None:
        raise AssertionError(f"it hangs: not done in {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return work()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def gone(pid: int) -> bool:
    """Say whether a process has ended (a zombie that nobody fetches has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def alone(jobs: list[Job], count: int = 2) -> list[Any]:
    with StubPool(count) as pool:
        return list(pool.do(jobs))


def test_answers_are_in_order_and_from_all_processes() -> None:
    jobs = [{"echo": i, "sleep": 0.05 * (i % 3)} for i in range(12)]
    answers = within(20, lambda: alone(jobs, 3))
    assert [answer["echo"] for answer in answers] == list(range(12))
    pids = {answer["pid"] for answer in answers}
    assert len(pids) == 3
    assert os.getpid() not in pids
    assert all(gone(pid) for pid in pids)


def test_one_process_or_one_job_needs_no_other() -> None:
    here = {"echo": 1, "pid": os.getpid()}
    assert alone([{"echo": 1}, {"echo": 1}], count=1) == [here, here]
    assert alone([{"echo": 1}]) == [here]
    assert alone([]) == []


def test_pool_keeps_its_processes() -> None:
    with StubPool() as pool:
        jobs = [{"echo": i, "sleep": 0.1} for i in range(4)]
        pids = [{answer["pid"] for answer in pool.do(jobs)} for _ in range(3)]
    assert pids[0] == pids[1] == pids[2]
    assert len(pids[0]) == 2


@pytest.mark.parametrize("kind", ["ConfigError", "SpaceError", "DataError", "RunError"])
def test_error_of_a_job_is_raised_as_itself(kind: str) -> None:
    jobs: list[Job] = [{"echo": 0}, {"fail": kind, "text": "width is 0; give 1"}, {"echo": 2}]
    with pytest.raises(HypernasError) as raised:
        within(20, lambda: alone(jobs))
    assert type(raised.value) is getattr(errors, kind)
    assert str(raised.value) == "width is 0; give 1"


def test_answers_before_an_error_arrive() -> None:
    found = []

    def work() -> None:
        with StubPool() as pool:
            for answer in pool.do([{"echo": 0}, {"echo": 1}, {"fail": "RunError", "text": "no"}]):
                found.append(answer["echo"])

    with pytest.raises(RunError, match="no"):
        within(20, work)
    assert found == [0, 1]


@pytest.mark.parametrize(
    "jobs",
    [
        [{"die": 3}, {"echo": 1}],
        # the thread of the dead process takes up the next job before the error is seen
        [{"die": 3}, {"echo": 1, "sleep": 0.5}, *({"echo": i} for i in range(8))],
        [{"echo": 0}, {"echo": 1, "sleep": 0.3}, {"die": 3}, {"die": 3}, *[{"echo": 4}] * 5],
        [{"die": 3}] * 6,
    ],
)
def test_worker_that_dies_is_an_error_and_no_hang(jobs: list[Job]) -> None:
    with pytest.raises(RunError, match=r"ended with status 3 .*--workers 1"):
        within(20, lambda: alone(jobs))


def test_worker_that_dies_while_it_answers_is_an_error() -> None:
    with pytest.raises(RunError, match="ended with status 0"):
        within(20, lambda: alone([{"torn": 1}, {"echo": 1}, {"echo": 2}]))


def test_worker_killed_between_jobs_is_an_error() -> None:
    def work() -> None:
        with StubPool() as pool:
            jobs = [{"echo": i, "sleep": 0.1} for i in range(2)]
            for answer in list(pool.do(jobs)):
                os.kill(answer["pid"], signal.SIGKILL)
            list(pool.do(jobs))

    with pytest.raises(RunError, match="ended with status -9"):
        within(20, work)


def test_processes_end_with_an_error_of_the_caller() -> None:
    pids: list[int] = []

    def work() -> None:
        with StubPool() as pool:
            for answer in pool.do([{"echo": i, "sleep": 0.05} for i in range(20)]):
                pids.append(answer["pid"])
                if len(pids) == 4:
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        within(20, work)
    assert all(gone(pid) for pid in pids)


def test_serve_answers_line_by_line() -> None:
    def do(job: Job) -> Any:
        if job["n"] == 2:
            raise ConfigError("two is too many")
        return job["n"] * 10

    answers: list[Any] = []
    lines = [msgspec.json.encode({"n": n}) + b"\n" for n in (1, 2, 3)]
    serve(do, lines, lambda line: answers.append(msgspec.json.decode(line)))
    assert answers == [
        {"result": 10},
        {"error": "two is too many", "kind": "ConfigError"},
        {"result": 30},
    ]


def test_two_processes_score_as_one_does(own_run: Run) -> None:
    expected = own_run.scored
    (own_run.folder / "study.journal").unlink()
    write_json(own_run.folder / "config.json", msgspec.structs.replace(own_run.config, workers=2))
    again = Run.open(own_run.folder, quiet=True)
    again.search()
    assert len(expected) == 40
    assert again.scored == expected


PARENT = """
import sys
from pathlib import Path
import msgspec
from hypernas.workers import Pool

folder, *jobs = sys.argv[1:]
jobs = [msgspec.json.decode(job) for job in jobs]
with Pool(Path(folder), 2, None) as pool:
    list(pool.do(jobs[:2]))
    print(*(process.pid for process in pool._started), flush=True)
    list(pool.do(jobs[2:]))
"""


def test_workers_end_when_their_parent_is_killed(own_run: Run) -> None:
    choices = own_run.scored[0].choices
    score = ScoreBlock(block=[choices])
    hours = [Train(choices=choices, seed=seed, epochs=10**6) for seed in (90, 91)]
    texts = [msgspec.json.encode(job).decode() for job in (score, score, *hours)]
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT), str(own_run.folder), *texts],
        stdout=subprocess.PIPE,
    )
    try:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        time.sleep(0.5)  # both are training now
        assert not any(gone(pid) for pid in pids)
    finally:
        parent.kill()
        parent.communicate()
    until = time.monotonic() + 3
    while not all(gone(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    left = [pid for pid in pids if not gone(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left
