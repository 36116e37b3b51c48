"""
What is left when no queue is there: SQL statements alone, and loops of the jobs alone.

    python -m benchmarks.baselines NAME JSON

The statements are those that a queue of litejobs' table can't do without; the table, its indexes
and pragmas are litejobs' own.
"""

import json
import multiprocessing
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.ledger import WrongResult
from litejobs import SqliteAdapter

INSERT = """
INSERT INTO background_jobs (state, queue, priority, run_at, created_at, updated_at, handler)
VALUES (1, 'default', 50, :now, :now, :now, :handler)
"""
CLAIM = """
UPDATE background_jobs
SET state = 2, attempts = attempts + 1, locked_at = :now, locked_by = 'bare', updated_at = :now
WHERE id IN (SELECT id FROM background_jobs WHERE state = 1 AND queue = 'default'
             ORDER BY priority, run_at, id LIMIT 100)
RETURNING id, handler
"""
DELETE = "DELETE FROM background_jobs WHERE id = ? AND state = 2 AND locked_by = 'bare'"
encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def values(number: int) -> dict[str, Any]:
    """A row as the queue would store it: the arguments become JSON, the clock is read."""
    handler = {"name": "mark", "path": "benchmarks/jobs.py", "args": [number], "kwargs": {}}
    return {"now": time.time_ns() // 1_000_000, "handler": encode(handler)}


def made(directory: Path) -> Path:
    """A new database with litejobs' table."""
    database = directory / "jobs.sqlite"
    adapter = SqliteAdapter(database)
    adapter.open()
    adapter.close()
    return database


def opened(directory: Path, durability: str) -> sqlite3.Connection:
    """A connection of the library that ``later`` uses too."""
    connection = sqlite3.connect(made(directory), isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {durability}")
    return connection


def one_by_one(directory: Path, durability: str, seconds: float) -> dict[str, float]:
    """INSERT, one commit each."""
    connection = opened(directory, durability)
    number, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        connection.execute(INSERT, values(number))
        number += 1
    taken = time.perf_counter() - started
    _check(connection, number)
    return {"jobs/s": number / taken}


def bulk(directory: Path, durability: str, count: int) -> dict[str, float]:
    """The same INSERT by executemany, in one transaction."""
    connection = opened(directory, durability)
    started = time.perf_counter()
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(INSERT, map(values, range(count)))
    connection.execute("COMMIT")
    taken = time.perf_counter() - started
    _check(connection, count)
    return {"jobs/s": count / taken}


def drain(directory: Path, durability: str, count: int) -> dict[str, float]:
    """Claim a hundred by one UPDATE, delete each, commit; by apsw, as the runner; run nothing."""
    connection = opened(directory, "off")
    connection.execute("BEGIN")
    connection.executemany(INSERT, map(values, range(count)))
    connection.execute("COMMIT")
    connection.close()
    taken, ids = _claimed_by_apsw(directory / "jobs.sqlite", durability)
    if len(ids) != count or len(set(ids)) != count:
        raise WrongResult(f"of {count} rows {len(ids)} were claimed, {len(set(ids))} once")
    return {"jobs/s": count / taken}


def _claimed_by_apsw(database: Path, durability: str) -> tuple[float, list[int]]:
    import apsw  # noqa: PLC0415  # here alone: no connection of the other library is left

    connection = apsw.Connection(str(database))
    connection.execute(f"PRAGMA synchronous = {durability}")
    ids: list[int] = []
    started = time.perf_counter()
    while True:
        connection.execute("BEGIN IMMEDIATE")
        now = {"now": time.time_ns() // 1_000_000}
        found = [row[0] for row in connection.execute(CLAIM, now)]
        connection.executemany(DELETE, [(id_,) for id_ in sorted(found)])
        connection.execute("COMMIT")
        if not found:
            return time.perf_counter() - started, ids
        ids += found


def loop(kind: str, amount: float, count: int, workers: int) -> dict[str, float]:
    """The jobs' own time: so many processes, each with its share of a bare loop."""
    context = multiprocessing.get_context("fork")
    share = count // workers
    barrier = context.Barrier(workers + 1)
    ends = context.SimpleQueue()
    processes = [
        context.Process(target=_share, args=(kind, amount, share, barrier, ends))
        for _ in range(workers)
    ]
    for process in processes:
        process.start()
    barrier.wait()
    started = time.monotonic()
    last = max(ends.get() for _ in processes)
    for process in processes:
        process.join()
    return {"jobs/s": share * workers / (last - started)}


def _share(kind: str, amount: float, count: int, barrier: Any, ends: Any) -> None:
    barrier.wait()
    for _ in range(count):
        if kind == "sleep":
            time.sleep(amount)
        else:
            spin(int(amount))
    ends.put(time.monotonic())


def spin(steps: int) -> None:
    """What ``jobs.spin`` does."""
    for _ in range(steps):
        pass


def steps_for(seconds: float) -> int:
    """How many steps of ``spin`` take so long here: the least of several tries."""
    steps = 20_000
    return int(steps * seconds / min(_spin_seconds(steps) for _ in range(20)))


def _spin_seconds(steps: int) -> float:
    started = time.perf_counter()
    spin(steps)
    return time.perf_counter() - started


def _check(connection: sqlite3.Connection, count: int) -> None:
    [(found,)] = connection.execute("SELECT count(*) FROM background_jobs")
    if found != count:
        raise WrongResult(f"the table does not hold {count} rows")


BASELINES = {baseline.__name__: baseline for baseline in (one_by_one, bulk, drain, loop)}


def main(name: str, options: str) -> None:
    """Print what one of them found."""
    given = json.loads(options)
    if "directory" in given:
        given["directory"] = Path(given["directory"])
    print(json.dumps(BASELINES[name](**given)))


if __name__ == "__main__":
    main(*sys.argv[1:])
