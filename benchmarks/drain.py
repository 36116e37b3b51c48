"""
How fast no-op jobs are drained: through one performer, through a background thread, and bare.

    python -m benchmarks.drain [--jobs 20000] [--durability full|normal]

Bare is a loop that claims and deletes the same rows with plain SQL, one transaction a job. Every
figure is checked: each job is gone exactly once.
"""

import argparse
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.jobs import nothing
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.adapters.sqlite.connection import Durability
from litejobs.handler import write
from litejobs.job import NewJob

HERE = Path(__file__).resolve().parent.parent
CLAIM = """
UPDATE background_jobs SET state = 2, attempts = attempts + 1, locked_by = 'bare'
WHERE id = (SELECT id FROM background_jobs WHERE state = 1 AND queue = 'default'
            ORDER BY priority, run_at, id LIMIT 1)
RETURNING id, handler
"""


def fill(database: Path, jobs: int, durability: Durability) -> None:
    """Store the jobs in one transaction."""
    handler = write(nothing.__name__, "benchmarks/jobs.py", "benchmarks.jobs", "[]", "{}")
    adapter = SqliteAdapter(database, durability=durability)
    adapter.schedule([NewJob(handler, "default", 50, 0)] * jobs)
    adapter.close()


def bare(database: Path, durability: Durability) -> None:
    """Claim and delete in one transaction a job, with prepared statements and nothing else."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute(f"PRAGMA synchronous = {durability}")
    while True:
        connection.execute("BEGIN IMMEDIATE")
        found = connection.execute(CLAIM).fetchall()
        for id_, _ in found:
            connection.execute("DELETE FROM background_jobs WHERE id = ?", [id_]).fetchall()
        connection.execute("COMMIT")
        if not found:
            connection.close()
            return


def performer(database: Path, durability: Durability) -> None:
    """``litejobs workoff`` of an app with one worker, from its start to its end."""
    _run(database, durability, "-m", "litejobs", "workoff", "--app", "benchmarks.app:jobs")


def thread(database: Path, durability: Durability) -> None:
    """A background thread of one process, from its start to its end."""
    _run(database, durability, "-m", "benchmarks.thread")


def _run(database: Path, durability: Durability, *words: str) -> None:
    environment = {"BENCHMARK_DATABASE": str(database), "BENCHMARK_DURABILITY": durability}
    command = ["env", *(f"{k}={v}" for k, v in environment.items()), sys.executable, *words]
    subprocess.run(command, cwd=HERE, check=True, capture_output=True)


def measure(way: Callable[[Path, Durability], None], jobs: int, durability: Durability) -> float:
    """Jobs per second, of which the start of processes is a part."""
    with tempfile.TemporaryDirectory() as directory:
        database = Path(directory) / "jobs.sqlite"
        fill(database, jobs, durability)
        started = time.perf_counter()
        way(database, durability)
        seconds = time.perf_counter() - started
        left = sqlite3.connect(database).execute("SELECT count(*) FROM background_jobs").fetchone()
        if left != (0,):
            raise SystemExit(f"{way.__name__} left {left} jobs")
    return jobs / seconds


def main() -> None:
    """Print jobs per second and ratios to bare, medians of three interleaved rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--durability", choices=["full", "normal"], default="full")
    options = parser.parse_args()
    ways = [bare, performer, thread]
    rounds = [
        [measure(way, options.jobs, options.durability) for way in ways]
        for _ in range(options.rounds)
    ]
    medians = [sorted(column)[len(column) // 2] for column in zip(*rounds, strict=True)]
    print(f"{options.jobs} no-op jobs, durability {options.durability}, {options.rounds} rounds")
    for way, median in zip(ways, medians, strict=True):
        print(f"{way.__name__:<10}{median:>9,.0f} jobs/s{median / medians[0]:>7.2f} of bare")


if __name__ == "__main__":
    main()
