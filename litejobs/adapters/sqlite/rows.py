"""Rows of the table of jobs, and the values that stand for them."""

from collections.abc import Sequence
from typing import Any

from litejobs.job import Glimpse, NewJob, StoredJob

#: The names of the states, by the number that a row holds; that of the last one is -1.
STATES = (
    "scheduled", "ready", "running", "unloadable", "succeeded", "failed", "cancelled", "waiting",
)  # fmt: skip

#: The greatest that SQLite can number a row with.
MAX_ID = 2**63 - 1


def new_row(job: NewJob, now: int) -> tuple[Any, ...]:
    """The values of a new row: ready where it is due, else scheduled."""
    handler, queue, priority, run_at, _, _, _ = job
    return (run_at <= now, queue, priority, run_at, now, now, handler)


def limited_row(job: NewJob, now: int) -> tuple[Any, ...]:
    """As ``new_row``, of a job that may have a limit."""
    return (*new_row(job, now), job.limit_key, job.limit_max)


def stored_job(row: Sequence[Any]) -> StoredJob:
    """A row as ``find`` and ``held`` return it."""
    id_, queue, priority, run_at, attempts, worker, handler, crashes = row
    return StoredJob(id_, text(queue), priority, run_at, attempts, worker, text(handler), crashes)


def name(stored: bytes) -> str:
    """Text from the database that is to name the same row again, by way of ``stored_name``."""
    return stored.decode("utf-8", "surrogateescape")


def stored_name(name: str) -> bytes:
    """The bytes of a name, to be bound where a statement casts them to text."""
    return name.encode("utf-8", "surrogateescape")


def glimpse(row: Sequence[Any]) -> Glimpse:
    """A row as ``glimpse`` returns it."""
    state, queue, priority, run_at, handler, *texts = row
    error, result = (None if one is None else text(one) for one in texts)
    return Glimpse(STATES[state], text(queue), priority, run_at, text(handler), error, result)


def text(stored: bytes) -> str:
    """Text from the database, where a row written by hand may hold any bytes."""
    return stored.decode("utf-8", "replace")
