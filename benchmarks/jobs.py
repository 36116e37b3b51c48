"""The jobs that benchmarks run; each but the first notes in the ledger that it ran."""

import time

from benchmarks.ledger import ledger


def nothing() -> None:
    """No work at all: what is left is the queue's own."""


def mark(number: int) -> None:
    """No work but the proof that it ran, which takes a tenth of a microsecond."""
    ledger().marks[number] += 1


def stamp(number: int) -> None:
    """Note when it began, by both clocks, before anything else."""
    monotonic, wall = time.monotonic_ns(), time.time_ns()
    book = ledger()
    book.times[2 * number], book.times[2 * number + 1] = monotonic, wall
    book.marks[number] += 1


def sleep(number: int, seconds: float) -> None:
    """Wait, as for a network."""
    time.sleep(seconds)
    ledger().marks[number] += 1


def spin(number: int, steps: int) -> None:
    """Keep a processor busy."""
    for _ in range(steps):
        pass
    ledger().marks[number] += 1


def take(number: int, text: str) -> None:
    """No work either, but arguments that are checked and brought to life."""


JOBS = {job.__name__: job for job in (mark, stamp, sleep, spin)}
