"""
What ``later`` adds to the INSERT that it makes: one job in each commit, and many in one.

    python -m benchmarks.enqueue [--durability full|normal] [--rounds 15] [--jobs 1000]

Raw is the same INSERT into the same table of the same file by the same library, in a connection
with the same modes: prepared, with ``RETURNING id`` where it stores one job, by ``executemany``
where it stores many. It encodes the same arguments by ``json.dumps`` and checks nothing. Both take
turns, 20 calls each; the figures are medians of the rounds, and the ratio is the median of each
round's. Every round counts the rows that came in.
"""

import argparse
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.jobs import take
from litejobs import JobManager, SqliteAdapter
from litejobs.adapters.sqlite.connection import Durability
from litejobs.handler import head

TURN = 20  # calls of one way before it is the other's turn
MANY = 10_000
INSERT = """
INSERT INTO background_jobs (state, queue, priority, run_at, created_at, updated_at, handler)
VALUES (1, 'default', 50, ?, ?, ?, ?)
"""


class Raw:
    """What one would write by hand, to store jobs that a worker finds."""

    def __init__(self, adapter: SqliteAdapter, path: str) -> None:
        """*path* is that of the job's file, as rows hold it."""
        self.connection = sqlite3.connect(adapter.path, isolation_level=None)
        for pragma in ("synchronous", "wal_autocheckpoint", "journal_size_limit"):
            [(value,)] = adapter.connection.execute(f"PRAGMA {pragma}")
            self.connection.execute(f"PRAGMA {pragma} = {value}")
        self._head = head(take.__name__, path, None)

    def one(self, args: Sequence[Any]) -> int:
        """Store one job and return its id."""
        row = self._row(args, time.time_ns() // 1_000_000)
        return self.connection.execute(f"{INSERT} RETURNING id", row).fetchone()[0]  # type: ignore[no-any-return]

    def many(self, args_list: Sequence[Sequence[Any]]) -> None:
        """Store a job for each, in one transaction."""
        now = time.time_ns() // 1_000_000
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany(INSERT, [self._row(args, now) for args in args_list])
        self.connection.execute("COMMIT")

    def count(self) -> int:
        """How many jobs are stored."""
        return self.connection.execute("SELECT count(*) FROM background_jobs").fetchone()[0]  # type: ignore[no-any-return]

    def _row(self, args: Sequence[Any], now: int) -> tuple[int, int, int, str]:
        return now, now, now, f'{self._head},"args":{json.dumps(args)},"kwargs":{{}}}}'


@dataclass(frozen=True)
class Result:
    """Microseconds a job, medians; and what the raw way takes of ours."""

    ours: float
    raw: float
    ratio: float


def compare(
    ours: Callable[[], object], raw: Callable[[], object], rounds: int, turns: int, calls: int
) -> Result:
    """Let both take *turns* of *calls* each, *rounds* times."""
    found = []
    for _ in range(rounds):
        spent = [0.0, 0.0]
        for _ in range(turns):
            for which, way in enumerate((ours, raw)):
                started = time.perf_counter()
                for _ in range(calls):
                    way()
                spent[which] += time.perf_counter() - started
        found.append([seconds / turns / calls * 1e6 for seconds in spent])
    return Result(
        median(mine for mine, _ in found),
        median(theirs for _, theirs in found),
        median(theirs / mine for mine, theirs in found),
    )


def measure(durability: Durability, rounds: int, jobs: int) -> tuple[Result, Result]:
    """One by one, *jobs* a round; and MANY at once."""
    with tempfile.TemporaryDirectory() as directory:
        adapter = SqliteAdapter(Path(directory) / "jobs.sqlite", durability=durability)
        manager = JobManager({"sqlite": adapter})
        job = manager.create_job(perform=take)
        later = manager.create_scheduler()
        later(job, [0, "x"])
        raw = Raw(adapter, "benchmarks/jobs.py")
        with closing(raw.connection):
            one = compare(
                lambda: later(job, [1, "x"]), lambda: raw.one([1, "x"]), rounds, jobs // TURN, TURN
            )
            check(raw, 1 + 2 * rounds * (jobs // TURN) * TURN)
            calls = [[number, "x"] for number in range(MANY)]
            many = compare(
                lambda: later.many(job, calls), lambda: raw.many(calls), max(3, rounds // 3), 1, 1
            )
            check(raw, 1 + 2 * rounds * (jobs // TURN) * TURN + 2 * max(3, rounds // 3) * MANY)
        adapter.close()
    return one, Result(many.ours / MANY, many.raw / MANY, many.ratio)


def check(raw: Raw, expected: int) -> None:
    """A figure counts only if each job is there."""
    if raw.count() != expected:
        raise SystemExit(f"{raw.count():,} jobs are stored, not {expected:,}")


def main() -> None:
    """Print microseconds a job and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--durability", choices=["full", "normal"], default="full")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--jobs", type=int, default=1000, help="one by one, in each round")
    options = parser.parse_args()
    one, many = measure(options.durability, options.rounds, options.jobs)
    print(
        f"durability {options.durability}, {options.rounds} rounds, SQLite {sqlite3.sqlite_version}"
    )
    for name, result in {"later": one, f"later.many of {MANY:,}": many}.items():
        print(
            f"{name:<22}{result.ours:>8.1f} us a job, raw {result.raw:>8.1f}, "
            f"{result.ratio:>5.2f} of raw"
        )


if __name__ == "__main__":
    main()
