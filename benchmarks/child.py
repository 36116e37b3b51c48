"""
What contestants do in processes of their own: ``python -m benchmarks.child CLASS ACTIVITY JSON``.

The options come as JSON, ``-``: on standard input; what an activity finds is the last line printed.
"""

import importlib
import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.contestants.base import Contestant, Workers
from benchmarks.ledger import VARIABLE, Ledger


def work(contestant: Contestant, **options: Any) -> None:
    """Run jobs until told to end."""
    contestant.work(Workers(**options))


def fill(contestant: Contestant, job: str, args_list: list[list[Any]]) -> None:
    """Store jobs; nothing of it is timed."""
    if contestant.enqueue_many is not None:
        contestant.enqueue_many(job, args_list)
        return
    for args in args_list:
        contestant.enqueue(job, args)


def one_by_one(contestant: Contestant, seconds: float) -> dict[str, float]:
    """Store jobs one after the other for *seconds*; the first few warm it up."""
    warm = 20
    for number in range(warm):
        contestant.enqueue("mark", [number])
    number, started = warm, time.perf_counter()
    while time.perf_counter() - started < seconds:
        contestant.enqueue("mark", [number])
        number += 1
    taken = time.perf_counter() - started
    return {"jobs/s": (number - warm) / taken, "stored": number}


def bulk(contestant: Contestant, count: int) -> dict[str, float]:
    """Store *count* jobs at once, after a few that warm it up."""
    assert contestant.enqueue_many is not None
    warm = 20
    contestant.enqueue_many("mark", [[number] for number in range(warm)])
    args_list = [[number] for number in range(warm, warm + count)]
    started = time.perf_counter()
    contestant.enqueue_many("mark", args_list)
    return {"jobs/s": count / (time.perf_counter() - started), "stored": warm + count}


def wake(
    contestant: Contestant, samples: int, first: int, pause: float, spread: float, *,
    beside: bool = False,
) -> dict[str, list[float]]:  # fmt: skip
    """
    Milliseconds from the call that stores a job to its first line, on a worker that waits.

    *pause* seconds come before each, and up to *spread* more, to be out of step with looks.
    """
    if beside:
        contestant.start_beside()
    book, waited = Ledger(Path(os.environ[VARIABLE])), []
    for number in range(first, first + samples):
        time.sleep(pause + spread * random.random())  # noqa: S311  # no secret
        called = time.monotonic_ns()
        contestant.enqueue("stamp", [number])
        while not book.marks[number]:
            time.sleep(0.001)
        waited.append((book.times[2 * number] - called) / 1e6)
    return {"ms": waited[1:]}  # the first one finds everything cold


def delay(contestant: Contestant, samples: int, first: int, pause: float) -> dict[str, list[float]]:
    """Milliseconds from when a job is due to its first line; negative: early."""
    book, due = Ledger(Path(os.environ[VARIABLE])), []
    for number in range(samples):
        wait = 0.5 + pause * (number + random.random())  # noqa: S311  # as above
        due.append(time.time_ns() + int(wait * 1e9))
        contestant.enqueue("stamp", [first + number], wait=wait)
    while not book.has_run(range(first, first + samples)):
        time.sleep(0.01)
    began = [book.times[2 * (first + number) + 1] for number in range(samples)]
    return {"ms": [(at - moment) / 1e6 for at, moment in zip(began, due, strict=True)]}


def contend(contestant: Contestant, seconds: float, first: int, ahead: int) -> dict[str, Any]:
    """Store jobs while others do, no more than *ahead* of the workers; each call is timed."""
    book = Ledger(Path(os.environ[VARIABLE]))
    took, refused, number = [], [], first
    start = wait_for_the_start()
    while time.monotonic() < start + seconds:
        if number - ahead >= first and not book.marks[number - ahead]:
            time.sleep(0.001)
            continue
        called = time.perf_counter()
        try:
            contestant.enqueue("mark", [number])
        except Exception as error:  # noqa: BLE001  # whatever a peer raises is counted
            refused.append(number)
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        took.append(round(1000 * (time.perf_counter() - called), 3))
        number += 1
    return {"ms": took, "refused": refused, "end": number}


def wait_for_the_start() -> float:
    """Say that this process is up, and wait until all are; returns the moment."""
    directory = Path(os.environ["BENCHMARK_DIRECTORY"])
    (directory / f"waiting-{os.getpid()}").touch()
    while not (directory / "start").exists():
        time.sleep(0.001)
    start = float((directory / "start").read_text())
    time.sleep(max(0, start - time.monotonic()))
    return start


ACTIVITIES: dict[str, Callable[..., Any]] = {
    activity.__name__: activity for activity in (work, fill, one_by_one, bulk, wake, delay, contend)
}


def main(place: str, activity: str, options: str) -> None:
    """Do it, and print what it found."""
    module, _, name = place.partition(":")
    kind: type[Contestant] = getattr(importlib.import_module(module), name)
    text = sys.stdin.read() if options == "-" else options
    contestant = kind(Path(os.environ["BENCHMARK_DIRECTORY"]), os.environ["BENCHMARK_DURABILITY"])
    found = ACTIVITIES[activity](contestant, **json.loads(text))
    print(f"\n{json.dumps(found)}", flush=True)
    os._exit(0)  # threads of peers need not end in their own time


if __name__ == "__main__":
    main(*sys.argv[1:])
