"""
Faults of the disk: what is lost, and what is done twice, when reading or writing fails?

    python tests/campaigns/io_faults.py

On a file system that is told what to do wrong, each operation of an adapter is done again and
again: once for every read, write, sync, truncation, size, lock, opening and deletion of a file that
it needs, with that one going wrong, and with it and all later ones of its kind. Afterwards the
database must be sound and as it was before or after the operation: as after it, where that had
returned. Whether it was done is unknown after an error: a job with a key may be stored again then,
and is there once. The adapter must work again as soon as the fault has ended, and a power cut must
then take nothing. Whatever the caller was told must have been an error of litejobs, in one
sentence.

The same with a worker that runs jobs: each must be run once, and recorded in the end. Exit code 1
where something is not so.

``--break`` shows that the campaign can fail: ``halves`` does without transactions, ``swallow``
takes an error for a success, ``keyless`` stores jobs without their keys, ``raw`` passes on the
errors of SQLite as they are, ``forget`` drops outcomes that could not be recorded, ``strays``
leaves what was found and never heard of.
"""

import argparse
import json
import logging
import random
import re
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from unittest import mock

import apsw
from history import History, noted
from operations import NAME, ONCE, OPERATIONS, new_adapter, new_job, prepare
from power_cut import look
from saboteur import Saboteur, faults
from vfs import watched

from litejobs import JobManager, WorkerGroup, defaults
from litejobs.adapters.sqlite import connection
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.adapters.sqlite.connection import Connection
from litejobs.adapters.sqlite.inspection import Inspection
from litejobs.errors import DiskError, LitejobsError, StorageError
from litejobs.worker import Worker

# Pages in the -wal that lead to a checkpoint and pages in memory: with a checkpoint after each
# commit, as it is by default; and with none, but transactions that write before they end.
SIZES = [(1, -2000), (2000, 1)]
PATIENCE = 0.005  # seconds that an operation waits for a lock
LASTING = 20  # calls that go wrong of a fault that a worker waits out
JOBS = 12
DEADLINE = 20  # seconds that a worker may take for its jobs


run, close, set_up = Connection._run, Connection.close, Connection.set_up
exchange = Worker._exchange


def close_as_sqlite(self):
    """SQLite tells of no error when it closes; apsw does, where a VFS in Python has raised it."""
    with suppress(apsw.Error):
        close(self)


@contextmanager
def hurried(checkpoint, cache):
    """With so many pages to a checkpoint and in memory, and without pauses."""

    def set_up_small(self):
        set_up(self)
        self.execute(f"PRAGMA cache_size = {cache}")

    with (
        mock.patch.object(connection, "_CHECKPOINT", checkpoint),
        mock.patch.object(connection, "LOCK_PATIENCE", PATIENCE),
        mock.patch.object(defaults, "RECORDING_BACKOFF", (0.0001, 0.001)),
        mock.patch.object(defaults, "RESTART_BACKOFF", (0.0001, 0.001)),
        mock.patch.multiple(Connection, close=close_as_sqlite, set_up=set_up_small),
    ):
        yield


@contextmanager
def statement_by_statement(self, *, durable=True):
    self.synchronise(durable=durable)
    yield


def swallowing(self, how, sql, values=()):
    try:
        return run(self, how, sql, values)
    except DiskError:
        if how == self._driver.insert:
            return 1
        return ([], 0) if how == self._settled else []


def forgetting(self, finds):
    found = exchange(self, finds)
    if self._trouble:
        self._outcomes = []
    return found


def keyless(self, jobs):
    return self.schedule([job._replace(unique=None) for job in jobs])


BROKEN = {
    "halves": (Connection, "transaction", statement_by_statement),
    "swallow": (Connection, "_run", swallowing),
    "keyless": (SqliteAdapter, "schedule_unique", keyless),
    "raw": (Connection, "_translated", lambda self, error: error),
    "forget": (Worker, "_exchange", forgetting),
    "strays": (SqliteAdapter, "release_strays", lambda self, workers, known: 0),
}
PROMISES = (
    "lost", "neither before nor after", "corrupt", "stuck", "not once", "lost by a cut", "raw",
    "unclear", "run again", "never run", "recorded wrong",
)  # fmt: skip


class Campaign:
    """Runs it in *directory*."""

    def __init__(self, directory, options):
        self.directory = Path(directory)
        self.options = options
        self.chance = random.Random(options.seed)
        self.counts = Counter()
        self.faulted = Counter()  # how many faults there were, by operation
        self.said = set()
        self.tries = 0
        prepare(self.directory)

    def run(self):
        """All of it."""
        for sizes in SIZES:
            with hurried(*sizes), self.listening():
                for name in self.options.only or [*OPERATIONS, "work"]:
                    if name == "work":
                        self.sweep_work()
                    else:
                        self.sweep(name)

    def faults(self, calls, lasting):
        """Those of ``faults``; of these only every so many, where that was asked for."""
        for fault in faults(calls, lasting):
            self.tries += 1
            if self.tries % self.options.every == 0:
                yield fault

    @contextmanager
    def database(self, before):
        """A copy of one of those that ``prepare`` has made."""
        with tempfile.TemporaryDirectory(dir=self.directory) as place:
            yield Path(shutil.copytree(self.directory / before, place, dirs_exist_ok=True))

    # One operation

    def sweep(self, name):
        """An operation, with all that can go wrong in it."""
        operation = OPERATIONS[name]
        calls, states = self.rehearse(operation)
        for fault in self.faults(calls, float("inf")):
            with self.database(operation.before) as directory:
                self.attempt(operation, fault, directory, states)
            self.faulted[name] += 1

    def rehearse(self, operation):
        """Nothing goes wrong: the calls that the operation needs, and the states it leads to."""
        with self.database(operation.before) as directory:
            saboteur = Saboteur(directory, self.chance)
            with watched(saboteur):
                adapter = new_adapter(directory)
                if operation.is_open:
                    adapter.open()
                saboteur.start()
                operation.do(adapter)
                calls = saboteur.calls.copy()
                adapter.close()
        with self.database(operation.before) as directory:
            history = History(look(directory / NAME))
            adapter = new_adapter(directory)
            if operation.is_open:
                adapter.open()
            with noted(history):
                operation.do(adapter)
            adapter.close()
        return calls, history.states

    def attempt(self, operation, fault, directory, states):
        """Let it go wrong, and look at what came of it."""
        saboteur = Saboteur(directory, self.chance)
        adapter = new_adapter(directory)
        try:
            with watched(saboteur):
                if operation.is_open:
                    adapter.open()
                saboteur.start(fault)
                with self.broken():
                    returned = self.tell(operation.do, adapter)
                saboteur.start()
                self.check_state(directory, states, returned)
                if operation.stores_once and not returned:
                    self.repeat(operation, adapter)
                self.counts["stuck"] += not self.go_on(adapter, directory, saboteur)
        finally:
            adapter.close()

    def tell(self, do, adapter):
        """Whether it returned; what it raises has to be said well."""
        try:
            do(adapter)
        except Exception as error:
            self.counts["raised"] += 1
            self.hear(error)
            return False
        self.counts["returned"] += 1
        return True

    def hear(self, error):
        """A caller was told that."""
        self.said.add(re.sub(r"/\S+/|\d+", "..", f"{type(error).__name__}: {error}"))
        self.counts["raw"] += not isinstance(error, LitejobsError)
        self.counts["unclear"] += type(error) is StorageError or "\n" in str(error)

    def check_state(self, directory, states, returned):
        now = look(directory / NAME)
        if now is None:
            self.counts["corrupt"] += 1
        elif now not in states:
            self.counts["neither before nor after"] += 1
        elif returned:
            self.counts["lost"] += now != states[-1]
        else:
            self.counts["recovered"] += now == states[-1] != states[0]

    def repeat(self, operation, adapter):
        """Whether it was stored is unknown: called again, it has to be there once."""
        with self.broken():
            operation.do(adapter)
        sql = f"SELECT count(*) FROM {adapter.table} WHERE handler = ?"
        self.counts["repeated"] += 1
        self.counts["not once"] += adapter.connection.execute(sql, [ONCE]) != [(1,)]

    def go_on(self, adapter, directory, saboteur):
        """Whether jobs are stored and found again; then the power is cut."""
        try:
            adapter.schedule([new_job("new")])
            [job] = adapter.find(worker="new", queues=["new"], max_runtime=60)
            adapter.success(job, delete=False)
        except LitejobsError as error:
            self.hear(error)
            return False
        state = look(directory / NAME)
        with tempfile.TemporaryDirectory(dir=self.directory) as place:
            for name, content in saboteur.disk.after_cut(self.chance).items():
                (Path(place) / name).write_bytes(content)
            self.counts["lost by a cut"] += look(Path(place) / NAME) != state
        return True

    @contextmanager
    def listening(self):
        """What the log tells of errors is heard too."""
        ear, log = Ear(self.hear), logging.getLogger("litejobs")
        log.addHandler(ear)
        try:
            yield
        finally:
            log.removeHandler(ear)

    def broken(self):
        """With the guard broken, if one is to be."""
        breaks = self.options.breaks
        return mock.patch.object(*BROKEN[breaks]) if breaks else nullcontext()

    # A worker

    def sweep_work(self):
        """A worker and its jobs, with all that can go wrong."""
        for fault in self.faults(self.work(None), LASTING):
            self.work(fault)
            self.faulted["work"] += 1

    def work(self, fault):
        """Store jobs and let workers run them; the calls that these needed."""
        ran.clear()
        with self.database("no jobs") as directory:
            adapter = new_adapter(directory)
            group = WorkerGroup(max_attempts=1, delete_successful_jobs=False)
            manager = JobManager({"sqlite": adapter}, workers=[group], clock=adapter.clock)
            later = manager.create_scheduler()
            later.many(manager.job()(note), [[number] for number in range(JOBS // 2)])
            limited = manager.job(limit=1)(note_in_turn)
            later.many(limited, [[number] for number in range(JOBS // 2, JOBS)])
            adapter.close()
            saboteur = Saboteur(directory, self.chance)
            with watched(saboteur), self.broken():
                saboteur.start(fault)
                self.let_work(manager)
                calls = saboteur.calls.copy()
                saboteur.start()
                adapter.close()
            self.check_work(Inspection(adapter).records(limit=JOBS))
            adapter.close()
            self.counts["corrupt"] += look(directory / NAME) is None
        return calls

    def let_work(self, manager):
        """Until nothing is due: with a new worker after one that gave up."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            worker = manager.create_worker(0, workoff=True)
            timer = threading.Timer(DEADLINE, worker.stop)
            timer.start()
            try:
                worker.run()
            except Exception as error:
                self.hear(error)
            else:
                return
            finally:
                timer.cancel()
        self.counts["stuck"] += 1

    def check_work(self, records):
        """What became of the jobs that ``work`` has stored."""
        self.counts["run again"] += len(ran) - len(set(ran))
        self.counts["never run"] += JOBS - len(set(ran))
        self.counts["recorded wrong"] += JOBS - len(records)
        for number, record in enumerate(sorted(records, key=lambda record: record.id)):
            wanted = ("failed", 1) if is_bad(number) else ("succeeded", 1)
            self.counts["recorded wrong"] += (record.state, record.attempts) != wanted
            self.counts["recorded wrong"] += "WorkerDied" in (record.last_error or "")

    def report(self):
        names = ("returned", "raised", "recovered", "repeated", *PROMISES)
        return (
            {"operations": len(self.faulted), "faults": sum(self.faulted.values())}
            | {"of a worker": self.faulted["work"]}
            | {name: self.counts[name] for name in names}
        )


ran = []  # numbers of the jobs that a worker has run


def note(number: int) -> None:
    """The job."""
    ran.append(number)
    if is_bad(number):
        raise ValueError("no luck")


def note_in_turn(number: int) -> None:
    """The same, but one after the other: each leaves its place to the next."""
    note(number)


def is_bad(number):
    """Whether that job goes wrong."""
    return number % 4 == 3


class Ear(logging.Handler):
    """Tells *hear* of the errors that are logged."""

    def __init__(self, hear):
        super().__init__()
        self.hear = hear

    def emit(self, record):
        for error in record.args or ():
            if isinstance(error, Exception):
                self.hear(error)


def is_kept(report):
    """Whether every promise was kept."""
    return not any(report[name] for name in PROMISES)


def parse(words=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--every", type=int, default=1, help="try only every so many faults")
    parser.add_argument("--only", nargs="*", choices=[*OPERATIONS, "work"], metavar="OPERATION")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--break", dest="breaks", choices=sorted(BROKEN))
    parser.add_argument("--said", action="store_true", help="print what callers were told, too")
    return parser.parse_args(words)


def main(words=None):
    """Run a campaign and print its report."""
    options = parse(words)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="campaign-") as directory:
        campaign = Campaign(directory, options)
        campaign.run()
        report = campaign.report() | {
            "seconds": round(time.monotonic() - began),
            "seed": options.seed,
        }
    if options.said:
        print(*sorted(campaign.said), sep="\n", file=sys.stderr)
    print(json.dumps(report))
    return report


if __name__ == "__main__":
    sys.exit(0 if is_kept(main()) else 1)
