"""Each operation of an adapter, by itself, and a database on which it has something to do."""

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import apsw
from workload import LIMITS, LIVING, RETENTION, START, dead_worker

from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.adapters.sqlite.inspection import Inspection
from litejobs.adapters.sqlite.vacuum import vacuum
from litejobs.errors import DuplicateJobError
from litejobs.job import Find, NewJob, Outcome, Unique
from litejobs.recurrence import StoredSchedule
from litejobs.testing import ManualClock

NAME = "jobs.sqlite"
NOW = ManualClock(START).now()
OUTCOMES = {
    "success": Outcome("success"),
    "deleted success": Outcome("success", delete=True),
    "kept success": Outcome("success", keep=60, result="1"),
    "error": Outcome("error", "ValueError: no luck", run_at=NOW + 1000),
    "failure": Outcome("failure", "ValueError: no luck"),
    "deleted failure": Outcome("failure", "ValueError: no luck", delete=True),
    "cancelled": Outcome("cancelled", "JobCancelled: no longer wanted"),
    "deleted cancelled": Outcome("cancelled", delete=True),
    "snoozed": Outcome("snoozed", run_at=NOW + 1000),
    "progress": Outcome("progress", progress='{"done": 1}'),
    "unloadable": Outcome("unloadable", "no such function"),
    "released": Outcome("released"),
}
FAILED, UNLOADABLE, OF_THE_DEAD, HELD, READY = 1, 2, 3, 4, 5  # ids of jobs that are there at first


@dataclass(frozen=True)
class Operation:
    """
    Something that is asked of an adapter.

    *before*: which of the databases of ``prepare``; *is_open*: the adapter has opened it before;
    *stores_once*: after an error it may be called again, and there is one row of its job.
    """

    do: Callable[[SqliteAdapter], object]
    before: str = "jobs"
    is_open: bool = True
    stores_once: bool = False


def prepare(directory):
    """In directories by these names: no database, an app's, one with jobs, and one without."""
    for name in ("nothing", "app", "jobs", "no jobs"):
        (directory / name).mkdir()
    with closing(sqlite3.connect(directory / "app" / NAME)) as app:
        app.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, text TEXT)")
        app.execute("INSERT INTO orders (text) VALUES (?)", ["x" * 5000])
        app.commit()
    store_jobs(directory / "jobs")
    adapter = new_adapter(directory / "no jobs")
    adapter.open()
    adapter.close()


def store_jobs(directory):
    """Leave jobs in every state, some of them in a -wal, as after the end of every process."""
    adapter = new_adapter(directory)
    adapter.schedule([new_job(queue) for queue in ("failed", "unloadable", "dead")])
    adapter.schedule([limited_job("held")])
    adapter.failure(found(adapter, "failed"), "ValueError: no luck", delete=False)
    adapter.unloadable(found(adapter, "unloadable"), "no such function")
    found(adapter, "dead", dead_worker())
    found(adapter, "held")
    adapter.schedule([new_job(text="x" * 6000), new_job(), new_job(wait=1000), new_job(wait=-1)])
    adapter.schedule([limited_job()])  # it waits for the end of the one that is held
    adapter.schedule_unique([unique_job("taken", "raise")])
    adapter.pause("paused")
    adapter.schedules.sync("app:jobs", [schedule("nightly"), schedule("hourly", new_job("hours"))])
    due = f"UPDATE {adapter.table}_recurring SET next_run_at = {NOW - 1}, last_job = {UNLOADABLE}"
    adapter.connection.execute(due)
    run = f"UPDATE {adapter.table} SET handler = json_set(handler, '$.schedule', 'hourly')"
    adapter.connection.execute(f"{run} WHERE id = {UNLOADABLE}")
    # https://sqlite.org/c3ref/c_dbconfig_defensive.html: the last to close leaves the -wal too.
    adapter.connection._raw.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    adapter.close()
    Path(f"{adapter.path}-shm").unlink()


def new_adapter(directory):
    return SqliteAdapter(directory / NAME, driver="apsw", clock=ManualClock(START))


def new_job(queue="default", *, text="", wait=0):
    return NewJob(f'{{"name": "{text}"}}', queue, 50, NOW + wait)


def limited_job(queue="default"):
    return new_job(queue)._replace(limit_key="one", limit_max=1)


def unique_job(key, policy, text="of a key"):
    return new_job(text=text)._replace(unique=Unique(key, policy, None))


def schedule(name, job=None):
    job = job or unique_job("nightly", "skip")
    return StoredSchedule(name, None, "UTC", 60_000, "once", 1, "skip", 0, job)


ONCE = unique_job("", "skip", "once").handler  # of the jobs of operations that store one


def store_once(key, policy, before="jobs"):
    def do(adapter):
        with suppress(DuplicateJobError):
            adapter.schedule_unique([unique_job(key, policy, "once")])

    return Operation(do, before, stores_once=True)


def found(adapter, queue, worker=LIVING):
    [job] = adapter.find(worker=worker, queues=[queue], max_runtime=60)
    return job


def held(adapter):
    [job] = adapter.held_by(LIVING)
    return job


def settle_and_find(outcome):
    def do(adapter):
        [job] = adapter.held_by(LIVING)
        return adapter.exchange([(job, outcome)], [Find(LIVING, ("*",), 60, 2)])

    return Operation(do)


def settle(outcome):
    return Operation(lambda adapter: adapter.settle(held(adapter), outcome))


def promote(adapter):
    adapter.clock.advance(2)
    return adapter.find(worker=LIVING, queues=["default"], max_runtime=60, limit=9)


def sweep(adapter):
    adapter.retention = RETENTION
    adapter.clock.advance(10)
    while adapter.sweep():
        pass


def clear(adapter):
    adapter.recover(lambda _: LIMITS)
    adapter.release(held(adapter))
    return adapter.clear()


def look_at_all(adapter):
    inspection = Inspection(adapter)
    inspection.records(), inspection.counts(), inspection.begun(limit=9), inspection.orphans()
    adapter.is_due(["default"]), adapter.count_due(["*"]), adapter.next_run_at()
    adapter.has_unloadable(), adapter.get_meta("root")


OPERATIONS = {
    "enqueue one": Operation(lambda adapter: adapter.schedule([new_job(text="x" * 6000)])),
    "enqueue many": Operation(lambda adapter: adapter.schedule([new_job()] * 60)),
    "enqueue on a new file": Operation(
        lambda adapter: adapter.schedule([new_job()]), "nothing", is_open=False
    ),
    "enqueue in an app's file": Operation(
        lambda adapter: adapter.schedule([new_job()]), "app", is_open=False
    ),
    "enqueue with a limit": Operation(lambda adapter: adapter.schedule([limited_job()] * 3)),
    "enqueue with the first limit": Operation(
        lambda adapter: adapter.schedule([limited_job()] * 3), "no jobs"
    ),
    "enqueue once": store_once("free", "skip"),
    "enqueue once or replace": store_once("free", "replace"),
    "enqueue once or raise": store_once("free", "raise"),
    "enqueue once on a new file": store_once("free", "skip", "nothing"),
    "replace": store_once("taken", "replace"),
    "find": Operation(
        lambda adapter: adapter.find(worker=LIVING, queues=["*"], max_runtime=60, limit=9)
    ),
    "find where no job is": Operation(
        lambda adapter: adapter.find(worker=LIVING, queues=["*"], max_runtime=60), "no jobs"
    ),
    **{f"{name} and find": settle_and_find(outcome) for name, outcome in OUTCOMES.items()},
    **{name: settle(outcome) for name, outcome in OUTCOMES.items()},
    "promote": Operation(promote),
    "cancel": Operation(lambda adapter: adapter.cancel(READY)),
    "cancel a running one": Operation(lambda adapter: adapter.cancel(HELD)),
    "cancel all": Operation(lambda adapter: Inspection(adapter).cancel_all()),
    "pause": Operation(lambda adapter: adapter.pause("default")),
    "resume": Operation(lambda adapter: adapter.resume("paused")),
    "sync": Operation(
        lambda adapter: adapter.schedules.sync("app:jobs", [schedule("hourly"), schedule("new")])
    ),
    "fire": Operation(lambda adapter: adapter.schedules.fire()),
    "pause what recurs": Operation(lambda adapter: adapter.schedules.pause("hourly")),
    "run now": Operation(lambda adapter: adapter.schedules.run_now("hourly")),
    "sweep": Operation(sweep),
    "empty the log": Operation(lambda adapter: adapter.connection.empty_log()),
    "vacuum": Operation(vacuum),
    "recover": Operation(lambda adapter: adapter.recover(lambda _: LIMITS)),
    "release strays": Operation(lambda adapter: adapter.release_strays([LIVING], [])),
    "tell of an overdue job": Operation(lambda adapter: adapter.overdue(held(adapter), "slow")),
    "retry": Operation(lambda adapter: Inspection(adapter).retry([FAILED, UNLOADABLE])),
    "retry all": Operation(lambda adapter: Inspection(adapter).retry_all()),
    "reload": Operation(lambda adapter: adapter.reload()),
    "clear": Operation(clear),
    "set meta": Operation(lambda adapter: adapter.set_meta("root", "here")),
    "look": Operation(look_at_all),
    "open": Operation(lambda adapter: adapter.open(), is_open=False),
    "create": Operation(lambda adapter: adapter.open(), "nothing", is_open=False),
    "adopt": Operation(lambda adapter: adapter.open(), "app", is_open=False),
    "close": Operation(lambda adapter: adapter.close()),
}
