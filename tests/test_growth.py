"""
What an operation costs does not grow with the table: on both libraries, rows of every kind.

Counted are the steps of SQLite's virtual machine, which are the same on every machine.
"""

import pytest

from litejobs.adapters.sqlite import inspection
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.adapters.sqlite.inspection import LISTED, Inspection
from litejobs.job import NewJob, Outcome

FEW, MANY = 1_000, 5_000  # more than is listed, counted or changed at once, in every queue
QUEUES = 4
KINDS = {
    "scheduled": "0, :now + 1000 + i, NULL",
    "ready": "1, :now - i, NULL",
    "unloadable": "3, :now - i, NULL",
    "succeeded": "4, NULL, :now - i",
    "failed": "5, NULL, :now - i",
}
FILL = """
INSERT INTO background_jobs (state, run_at, finished_at, queue, handler)
WITH RECURSIVE series (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM series WHERE i + 1 < :rows)
SELECT {columns}, iif(i = 0, 'rare', 'q' || i % :queues), '{{}}' FROM series
"""
INDEXES = ("ready", "scheduled", "running", "ended", "resting")


def job(adapter, wait=0):
    return NewJob("{}", "q0", 50, adapter.clock.now() + wait)


def find(adapter, *queues):
    return adapter.find(worker="w", queues=queues, max_runtime=60)


def settle(adapter, outcome):
    """Find a job, as there is always one, and record what became of it."""
    [found] = find(adapter, "*")
    adapter.settle(found, outcome)


def promote(adapter):
    adapter.schedule([job(adapter, wait=1)])
    adapter.clock.advance(seconds=0.001)
    find(adapter, "*")


def retry_one(adapter):
    [found] = find(adapter, "*")
    adapter.settle(found, Outcome("failure", "oh"))
    Inspection(adapter).retry([found.id])


OPERATIONS = {
    "schedule": lambda adapter: adapter.schedule([job(adapter)]),
    "schedule for later": lambda adapter: adapter.schedule([job(adapter, wait=60_000)]),
    "is_due of all": lambda adapter: adapter.is_due(["*"]),
    "is_due of two": lambda adapter: adapter.is_due(["q0", "rare"]),
    "next_run_at": lambda adapter: adapter.next_run_at(),
    "find in all": lambda adapter: find(adapter, "*"),
    "find in two": lambda adapter: find(adapter, "q0", "rare"),
    "promote": promote,
    "success": lambda adapter: settle(adapter, Outcome("success")),
    "success, deleted": lambda adapter: settle(adapter, Outcome("success", delete=True)),
    "error": lambda adapter: settle(adapter, Outcome("error", "oh", adapter.clock.now() + 9)),
    "failure": lambda adapter: settle(adapter, Outcome("failure", "oh")),
    "unloadable": lambda adapter: settle(adapter, Outcome("unloadable", "gone")),
    "release": lambda adapter: settle(adapter, Outcome("released")),
    "release_strays": lambda adapter: adapter.release_strays(["v"], []),
    "recover": lambda adapter: adapter.recover(lambda _job: None),
    "holders": lambda adapter: adapter.holders(),
    "has_unloadable": lambda adapter: adapter.has_unloadable(),
    "orphans": lambda adapter: adapter.orphans(),
    "retry": retry_one,
    "counts": lambda adapter: Inspection(adapter).counts(),
    "check_queue": lambda adapter: Inspection(adapter).check_queue("rare"),
    "record": lambda adapter: Inspection(adapter).record(1),
    "list": lambda adapter: Inspection(adapter).records(),
    "list of a queue": lambda adapter: Inspection(adapter).records(queue="q0"),
    "list of a rare queue": lambda adapter: Inspection(adapter).records(queue="rare"),
    **{
        f"list of {state}, {queue}": lambda adapter, s=state, q=queue: Inspection(adapter).records(
            state=s, queue=q
        )
        for state in LISTED
        for queue in (None, "q0", "rare")
    },
}


def filled(database, clock, driver, kind, rows):
    """A database with so many rows of a kind, and a few jobs that are ready."""
    adapter = SqliteAdapter(database.with_stem(f"{rows}"), clock=clock, driver=driver)
    values = {"now": clock.now(), "rows": rows, "queues": QUEUES}
    adapter.connection.execute(FILL.format(columns=KINDS[kind]), values)
    adapter.schedule([job(adapter)] * 20)
    return adapter


def steps(adapter, operation):
    """How many steps SQLite takes for it."""
    taken = 0

    def count():
        nonlocal taken
        taken += 1
        return False

    raw = adapter.connection._raw
    raw.set_progress_handler(count, 1)
    try:
        operation(adapter)
    finally:
        raw.set_progress_handler(None, 1)
    return taken


def grown(few, many):
    """Operations that take more steps where there are many rows, with both numbers."""
    found = {}
    for name, operation in OPERATIONS.items():
        numbers = steps(few, operation), steps(many, operation)
        if numbers[1] > 1.2 * numbers[0] + 20:
            found[name] = numbers
    return found


@pytest.fixture
def files(database, clock, driver, monkeypatch):
    """Makes two databases, with few rows and with many."""
    monkeypatch.setattr(inspection, "_COUNTED", 100 * QUEUES)
    made = []

    def make(kind, change=""):
        for rows in (FEW, MANY):
            made.append(filled(database, clock, driver, kind, rows))
            if change:
                made[-1].connection.execute(change)
        return made

    yield make
    for adapter in made:
        adapter.close()


@pytest.mark.parametrize("statistics", ["", "ANALYZE"], ids=["fresh", "analyzed"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_operation_grows_with_the_table(files, kind, statistics):
    assert grown(*files(kind, statistics)) == {}


@pytest.mark.parametrize("kind", ["ready", "scheduled", "failed"])
@pytest.mark.parametrize("index", INDEXES)
def test_without_one_of_the_indexes_some_would(files, index, kind):
    assert grown(*files(kind, f"DROP INDEX background_jobs_{index}")) != {}
