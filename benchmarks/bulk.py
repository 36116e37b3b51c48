"""
What heaps of jobs do to others: a producer's waits while a million jobs are changed at once.

    python -m benchmarks.bulk [--rows 1000000] [--scenes promotion retry clear] [--directory /tmp]

Beside each scene a process of its own stores one job after the other, with a millisecond between
them, at durability "normal". Its waits are told, and how long the scene took.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.growth import DELETED, HANDLER, fill
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.adapters.sqlite.inspection import Inspection
from litejobs.clock import SystemClock
from litejobs.errors import DatabaseBusyError
from litejobs.job import Find, NewJob

A_WEEK = 7 * 86_400_000  # milliseconds
HERE = Path(__file__).resolve().parent.parent


def produce(file: str) -> None:
    """Store jobs until stdin is closed; then print their waits, in milliseconds, as JSON."""
    adapter = SqliteAdapter(file, durability="normal")
    waits, refused, done = [], 0, threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), done.set()), daemon=True).start()
    adapter.schedule([NewJob(HANDLER, "produced", 50, 0)])
    print("ready", flush=True)
    while not done.wait(0.001):
        started = time.perf_counter()
        try:
            adapter.schedule([NewJob(HANDLER, "produced", 50, 0)])
        except DatabaseBusyError:
            refused += 1
        waits.append(1000 * (time.perf_counter() - started))
    print(json.dumps({"waits": sorted(waits), "refused": refused}))


def beside_a_producer(file: Path, scene: Callable[[SqliteAdapter], str]) -> str:
    """Play *scene*; what it tells, how long it took, and the producer's waits."""
    command = [sys.executable, "-m", "benchmarks.bulk", "--produce", str(file)]
    with subprocess.Popen(
        command, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as producer:
        assert producer.stdout is not None
        producer.stdout.readline()
        adapter = SqliteAdapter(file, driver="apsw")
        adapter.open()
        started = time.perf_counter()
        told = scene(adapter)
        seconds = time.perf_counter() - started
        output, _ = producer.communicate()
        adapter.close()
    found = json.loads(output)
    waits = found["waits"]
    share = {name: waits[int(len(waits) * part)] for name, part in (("p50", 0.5), ("p99", 0.99))}
    words = ", ".join(f"{name} {wait:.1f}" for name, wait in share.items())
    return (
        f"{told}, {seconds:.1f} s in all; the producer's {len(waits):,} waits: {words}, "
        f"longest {waits[-1]:.0f} ms, {found['refused']} refused"
    )


def promotion(adapter: SqliteAdapter) -> str:
    """All are due: a worker finds 100 at a time, until none is scheduled any more."""
    started = time.perf_counter()
    first, longest, jobs = 0.0, 0.0, []
    while True:
        began = time.perf_counter()
        [jobs] = adapter.exchange(
            [(job, DELETED) for job in jobs], [Find("w", ("q0",), 60, limit=100)]
        )
        longest = max(longest, time.perf_counter() - began)
        first = first or time.perf_counter() - started
        if adapter.next_run_at() is None:
            adapter.exchange([(job, DELETED) for job in jobs], [])
            return (
                f"promotion: the first job found after {1000 * first:.0f} ms, "
                f"longest exchange {1000 * longest:.0f} ms"
            )


def retry(adapter: SqliteAdapter) -> str:
    """``litejobs retry --all``."""
    return f"retry --all: {Inspection(adapter).retry_all():,} jobs"


def reload(adapter: SqliteAdapter) -> str:
    """What a runner does first."""
    return f"reload: {adapter.reload():,} jobs"


def clear(adapter: SqliteAdapter) -> str:
    """``litejobs clear``."""
    return f"clear: {adapter.clear():,} jobs"


SCENES = {"promotion": "due at once", "retry": "failed", "reload": "unloadable", "clear": "ready"}


def main() -> None:
    """Play each scene on a new file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--scenes", nargs="+", choices=SCENES, default=list(SCENES))
    parser.add_argument("--directory", help="where the files are made and removed")
    parser.add_argument("--produce", metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.produce:
        produce(options.produce)
        return
    for name in options.scenes:
        with tempfile.TemporaryDirectory(dir=options.directory) as directory:
            file = Path(directory) / "jobs.sqlite"
            fill(file, SCENES[name], options.rows, 1, SystemClock().now() - A_WEEK, stride=1)
            print(beside_a_producer(file, globals()[name]), flush=True)


if __name__ == "__main__":
    main()
