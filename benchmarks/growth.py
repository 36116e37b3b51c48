"""
What each operation takes as the table grows, from 1,000 rows to 10,000,000.

    python -m benchmarks.growth [--rows 1000 10000000] [--kinds ready scheduled succeeded failed]
        [--queues 1 50] [--drivers apsw sqlite3] [--directory /tmp]

For each kind of rows, and rows in 1 queue or 50, a file is filled and every operation is repeated
on it by the adapter's own methods: medians, p99 of the largest file, ratios to the smallest. With
10,000,000 rows a file takes 4 GB and a minute. Commits do not wait for the disk (durability
"normal"), which would hide what grows.
"""

import argparse
import itertools
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.adapters.sqlite.inspection import Inspection
from litejobs.adapters.sqlite.rows import STATES
from litejobs.job import Find, NewJob, Outcome, StoredJob
from litejobs.testing import ManualClock

ROUNDS, REPEATS = 5, 60
PATIENCE = 0.5  # seconds of a round after which an operation is repeated no more
DELETED = Outcome("success", delete=True)
READY = 200  # jobs that are ready in each file, also where all others are of another kind
RARE = "rare"  # a queue whose only job is the oldest one
HANDLER = (
    '{"name":"send_welcome_email","path":"shop/jobs.py","args":[1234567,"ada@example.com"],'
    '"kwargs":{"template":"welcome-2","language":"en","attachments":[]}}'
)
#: What makes a row of that kind: state, run_at, attempts, finished_at.
KINDS = {
    "scheduled": "0, :now + 86400000 + mixed, 0, NULL",
    "ready": "1, :now - mixed, 0, NULL",
    "due at once": "0, :now, 0, NULL",
    "unloadable": "3, :now - mixed, 0, NULL",
    "succeeded": "4, NULL, 1, :now - mixed",
    "failed": "5, NULL, 24, :now - mixed",
}
FILL = """
INSERT INTO background_jobs (state, queue, run_at, attempts, failed_at, finished_at, last_error,
                             created_at, updated_at, handler)
WITH RECURSIVE
  series (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM series WHERE i + 1 < :rows),
  made AS (SELECT i, i * :stride % :rows AS mixed FROM series),
  kind (i, state, run_at, attempts, finished_at) AS (SELECT i, {columns} FROM made)
SELECT state, CASE i WHEN 0 THEN :rare ELSE 'q' || (i % :queues) END, run_at, attempts,
       iif(state = 5, finished_at, NULL), finished_at, iif(state = 5, 'OSError: no answer', NULL),
       :now, :now, :handler
FROM kind
"""


def fill(path: Path, kind: str, rows: int, queues: int, now: int, *, stride: int = 7919) -> None:
    """
    A database with so many rows of a kind.

    Their times lie in another order than they do: the worst case, in which each row that is next
    lies on another page. With a *stride* of 1 they lie one after the other.
    """
    adapter = SqliteAdapter(path)
    adapter.open()
    adapter.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -1000000")  # KiB
        indexes = connection.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
        ).fetchall()
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        values = {"rows": rows, "queues": queues, "now": now, "stride": stride}
        values |= {"rare": RARE, "handler": HANDLER}
        connection.execute(FILL.format(columns=KINDS[kind]), values)
        for _, sql in indexes:
            connection.execute(sql)
        connection.execute("PRAGMA journal_mode = WAL")


class Bench:
    """The operations on one file by one library, each of which times what is asked about."""

    def __init__(self, adapter: SqliteAdapter, clock: ManualClock, queues: int) -> None:
        self.adapter = adapter
        self.inspection = Inspection(adapter)
        self.clock = clock
        self.times: list[int] = []
        adapter.schedule([NewJob(HANDLER, f"q{n % queues}", 50, clock.now()) for n in range(READY)])

    def repeat(self, operation: Callable[[], None]) -> list[float]:
        """Run it many times; microseconds."""
        self.times = []
        end = time.monotonic() + PATIENCE
        while len(self.times) < REPEATS and (not self.times or time.monotonic() < end):
            operation()
        return [nanoseconds / 1000 for nanoseconds in self.times]

    @contextmanager
    def timed(self) -> Iterator[None]:
        """What is done inside counts."""
        started = time.perf_counter_ns()
        yield
        self.times.append(time.perf_counter_ns() - started)

    def times_of(self, call: Callable[[], object]) -> Callable[[], None]:
        """An operation that is one call."""

        def operation() -> None:
            with self.timed():
                call()

        return operation

    # What operations need before and after: the file stays as it was filled

    def job(self, wait: int = 0) -> NewJob:
        """One that is due in *wait* milliseconds."""
        return NewJob(HANDLER, "q0", 50, self.clock.now() + wait)

    def find(self, queues: Sequence[str] = ("*",), limit: int = 1) -> list[StoredJob]:
        """Lock the next jobs."""
        jobs = self.adapter.find(worker="w", queues=queues, max_runtime=60, limit=limit)
        assert len(jobs) == limit
        return jobs

    def give_back(self, jobs: Sequence[StoredJob]) -> None:
        """Release what was found."""
        self.adapter.exchange([(job, Outcome("released")) for job in jobs], [])

    def store_again(self, job: StoredJob) -> None:
        """Put one where a job was that is settled."""
        self.adapter.schedule([NewJob(job.handler, job.queue, job.priority, job.run_at)])

    # Operations

    def claim(self, queues: Sequence[str], limit: int = 1) -> None:
        """Find the next jobs of *queues*."""
        with self.timed():
            jobs = self.find(queues, limit)
        self.give_back(jobs)

    def settle(self, how: Callable[[StoredJob], bool]) -> None:
        """Record what became of a job."""
        [job] = self.find()
        with self.timed():
            held = how(job)
        assert held
        self.store_again(job)

    def exchange(self) -> None:
        """Settle one job and find the next."""
        [job] = self.find()
        with self.timed():
            [following] = self.adapter.exchange([(job, DELETED)], [Find("w", ("*",), 60)])
        self.store_again(job)
        self.give_back(following)

    def promote(self) -> None:
        """Find a job though another has just become due."""
        [id_] = self.adapter.schedule([self.job(wait=1)])
        self.clock.advance(seconds=0.001)
        with self.timed():
            jobs = self.find()
        assert self.inspection.record(id_).state != "scheduled"
        self.give_back(jobs)

    def retry(self) -> None:
        """A job that has failed is tried again."""
        [job] = self.find()
        self.adapter.failure(job, "OSError: no answer", delete=False)
        with self.timed():
            self.inspection.retry([job.id])

    def recover(self) -> None:
        """Look whether the worker of a running job lives."""
        jobs = self.find()
        with self.timed():
            self.adapter.recover(lambda _job: None)
        self.give_back(jobs)


def operations(bench: Bench) -> dict[str, Callable[[], None]]:
    """Every operation by its name."""
    adapter, look, once = bench.adapter, bench.inspection, bench.times_of
    lists = {"'*'": ["*"], "2 names": ["q0", RARE], "50 names": [f"q{n}" for n in range(50)]}
    [shown] = adapter.schedule([bench.job(wait=90_000_000)])
    found: dict[str, Callable[[], None]] = {
        "enqueue, due now": once(lambda: adapter.schedule([bench.job()])),
        "enqueue, due later": once(lambda: adapter.schedule([bench.job(wait=90_000_000)])),
        **{f"claim of {words}": lambda q=q: bench.claim(q) for words, q in lists.items()},
        "claim of '*', 100 at once": lambda: bench.claim(["*"], 100),
        "settle: deleted": lambda: bench.settle(lambda job: adapter.success(job, delete=True)),
        "settle: kept": lambda: bench.settle(lambda job: adapter.success(job, delete=False)),
        "settle: error": lambda: bench.settle(
            lambda job: adapter.error(job, "OSError: no answer", bench.clock.now() + 90_000_000)
        ),
        "settle: failure": lambda: bench.settle(
            lambda job: adapter.failure(job, "OSError: no answer", delete=False)
        ),
        "exchange": bench.exchange,
        "promotion of one": bench.promote,
        "next_run_at": once(adapter.next_run_at),
        **{f"look at {words}": once(lambda q=q: adapter.is_due(q)) for words, q in lists.items()},
        "holders": once(adapter.holders),
        "recover": bench.recover,
        "has_unloadable": once(adapter.has_unloadable),
        "count_due of '*'": once(lambda: adapter.count_due(["*"])),
        "count_due of 2 names": once(lambda: adapter.count_due(["q0", RARE])),
        "show": once(lambda: look.record(shown)),
        "retry one": bench.retry,
        "status": once(look.counts),
        "list": once(look.records),
        "list --queue rare": once(lambda: look.records(queue=RARE)),
        "list --queue q0": once(lambda: look.records(queue="q0")),
    }
    for state in STATES:
        found[f"list --state {state}"] = once(lambda s=state: look.records(state=s))
        found[f"list --state {state} --queue q0"] = once(
            lambda s=state: look.records(state=s, queue="q0")
        )
    return found


def measure(benches: Sequence[Bench]) -> dict[str, list[list[float]]]:
    """Of each operation, its times in microseconds, sorted, in each of *benches*."""
    columns = [operations(bench) for bench in benches]
    measured = {}
    for name in columns[0]:
        times: list[list[float]] = [[] for _ in benches]
        for _ in range(ROUNDS):  # in turn, for the machine is not equally fast at all times
            for bench, column, sofar in zip(benches, columns, times, strict=True):
                sofar.extend(bench.repeat(column[name]))
        measured[name] = [sorted(found) for found in times]
    return measured


def table(title: str, sizes: Sequence[int], measured: dict[str, list[list[float]]]) -> str:
    """Markdown: medians of each size, p99 of the largest, the ratio of largest to smallest."""
    heads = [title, *(f"{size:,} rows" for size in sizes), "p99", "ratio"]
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1)]
    for name, columns in measured.items():
        medians = [statistics.median(times) for times in columns]
        times = columns[-1]
        p99 = times[int(len(times) * 0.99)]
        cells = [*(f"{median:,.0f}" for median in medians), f"{p99:,.0f}"]
        lines.append([name, *cells, f"{medians[-1] / medians[0]:.2f}"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Print a table for each kind of rows, number of queues and library; microseconds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 100_000, 10_000_000])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--queues", type=int, nargs="+", default=[1, 50])
    parser.add_argument(
        "--drivers", nargs="+", choices=SqliteAdapter.drivers, default=SqliteAdapter.drivers
    )
    parser.add_argument("--directory", help="where the files are made and removed")
    options = parser.parse_args()
    for kind, queues in itertools.product(options.kinds, options.queues):
        with tempfile.TemporaryDirectory(dir=options.directory) as directory:
            clock = ManualClock()
            files = {rows: Path(directory) / f"{rows}.sqlite" for rows in options.rows}
            for rows, file in files.items():
                fill(file, kind, rows, queues, clock.now())
            for driver in options.drivers:
                adapters = [
                    SqliteAdapter(file, driver=driver, durability="normal", clock=clock)
                    for file in files.values()
                ]
                title = f"{kind}, {queues} queue{'s' if queues > 1 else ''}, {driver}, µs"
                measured = measure([Bench(adapter, clock, queues) for adapter in adapters])
                print(f"{table(title, options.rows, measured)}\n", flush=True)
                for adapter in adapters:  # before another library opens the file: never two at once
                    adapter.close()


if __name__ == "__main__":
    main()
