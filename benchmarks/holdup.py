"""
How far one long job holds others up, and how soon what a job did is recorded.

    python -m benchmarks.holdup [--jobs 10000] [--long 10]

With two performers, one long job among many that take no time: the most by which any of those began
later than one that was stored after it. Then, while jobs of 0 to 30 ms and one long one run: from
the end of each to the commit, as another connection sees it. Milliseconds, in three rounds.
"""

import argparse
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

APP = """
import os, time
from pathlib import Path
from litejobs import JobManager, SqliteAdapter, WorkerGroup, current_job

here = Path(__file__).parent
jobs = JobManager(
    {"sqlite": SqliteAdapter(here / "jobs.sqlite")}, workers=[WorkerGroup(count=2)]
)
later = jobs.create_scheduler()
log = os.open(here / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

@jobs.job
def run(seconds):
    begin = time.monotonic()
    if seconds:
        time.sleep(seconds)
    line = f'[{current_job().id}, {begin}, {time.monotonic()}]\\n'
    os.write(log, line.encode())
"""
STORE = """
import json, sys
from app import later, run

later.many(run, [[seconds] for seconds in json.load(sys.stdin)])
"""


class Bench:
    """One app in a directory of its own."""

    def __init__(self, directory: str) -> None:
        self.directory = Path(directory)
        (self.directory / "app.py").write_text(APP)
        (self.directory / "pyproject.toml").write_text("")

    def store(self, seconds: list[float]) -> None:
        """Store jobs that take so many seconds, each."""
        command = [sys.executable, "-c", STORE]
        text = json.dumps(seconds)
        subprocess.run(command, cwd=self.directory, input=text, text=True, check=True)

    def start(self) -> subprocess.Popen[bytes]:
        """Let two performers run them."""
        command = [sys.executable, "-m", "litejobs", "workoff", "--app", "app", "--json"]
        return subprocess.Popen(
            command, cwd=self.directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def runs(self, count: int) -> list[tuple[int, float, float]]:
        """Id, begin and end of each run, by id; each job must have been run once."""
        lines = (self.directory / "log.txt").read_text().splitlines()
        runs = sorted(tuple(json.loads(line)) for line in lines)
        if [id_ for id_, _, _ in runs] != list(range(1, count + 1)):
            raise SystemExit(f"{len(runs)} runs of {count} jobs")
        return runs


def overtaken(jobs: int, long: float) -> float:
    """The most by which a job began later than one that was stored after it."""
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(directory)
        bench.store([0] * (jobs // 3) + [long] + [0] * (jobs - jobs // 3 - 1))
        bench.start().wait()
        earliest, most = float("inf"), 0.0
        for _, begin, _ in reversed(bench.runs(jobs)):
            most = max(most, begin - earliest)
            earliest = min(earliest, begin)
    return most


def unrecorded(jobs: int, long: float) -> list[float]:
    """From the end of each job to its commit."""
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(directory)
        # Each third one takes no time, so that chunks grow, and then come some that do.
        bench.store([long] + [0.03 * (n % 10) / 10 if n % 3 else 0 for n in range(jobs - 1)])
        process = bench.start()
        gone = watch(bench.directory / "jobs.sqlite", jobs)
        process.wait()
        return [gone[id_] - end for id_, _, end in bench.runs(jobs)]


def watch(database: Path, jobs: int) -> dict[int, float]:
    """When each row was seen to be gone."""
    gone: dict[int, float] = {}
    left = set(range(1, jobs + 1))
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        while left:
            there = {id_ for (id_,) in connection.execute("SELECT id FROM background_jobs")}
            now = time.monotonic()
            gone |= dict.fromkeys(left - there, now)
            left &= there
            time.sleep(0.0005)
    return gone


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--long", type=float, default=10.0, help="seconds")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    most = [overtaken(options.jobs, options.long) for _ in range(options.rounds)]
    print(f"overtaken by later jobs by {' '.join(f'{1000 * m:.1f}' for m in most)} ms at most")
    for _ in range(options.rounds):
        waits = sorted(1000 * wait for wait in unrecorded(400, options.long / 5))
        print(
            f"recorded {statistics.median(waits):.1f} ms after its end (median), "
            f"p99 {waits[int(0.99 * len(waits))]:.1f}, at most {waits[-1]:.1f}"
        )


if __name__ == "__main__":
    main()
