"""
Adapters against a model: hypothesis takes both through the same steps, and they must agree.

    python tests/campaigns/model.py --adapter sqlite3 --examples 2000 --steps 50 --seed 1

The model is ``litejobs.testing.adapter_model``, a dictionary of rows. Here it knows more of
``SqliteAdapter``: worker processes with leases, which note what they begin and die; recovery;
people who try jobs again. After each step every column of every row is compared, also the counts
and each list of the inspection.

Exit code 1 where they differ: then the steps that lead there are printed, as few as were found.
``--break NAME`` shows that the campaign can fail: it takes a guard away first.
"""

import argparse
import json
import logging
import random
import sys
import time
import traceback
import types
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from functools import partial
from operator import attrgetter
from pathlib import Path
from unittest import mock

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from litejobs.adapters.sqlite import adapter as sqlite_adapter
from litejobs.adapters.sqlite import finding, queries, recovery, rows, storing
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.adapters.sqlite.connection import Connection
from litejobs.adapters.sqlite.inspection import Inspection, Record
from litejobs.defaults import KEEP_SUCCEEDED
from litejobs.errors import JobNotFoundError, JobStateError
from litejobs.job import Limits
from litejobs.retention import Keep
from litejobs.run_directory import identity
from litejobs.run_directory.lease import Lease
from litejobs.testing.adapter_model import MANY, PICKS, AdapterModel

EXAMPLE = Path(__file__).parents[2] / "examples" / "memory_adapter" / "memory_adapter.py"
COLUMNS = [column.name for column in fields(Record)]
SLOTS = 2
MAX_CRASHES = 3
AGE = 3_600_000  # of failed jobs, in milliseconds, until they may go
QUEUES = ("a", "b", "B", "nobody's")
LIMITS = (Limits(), Limits(max_attempts=2), Limits(max_attempts=1, delete_failed_jobs=True))
# In which order the jobs of a state are listed: by what, and whether from the end.
ORDERS = {
    "running": (attrgetter("locked_at", "id"), False),
    "ready": (attrgetter("priority", "run_at", "id"), False),
    "scheduled": (attrgetter("run_at", "id"), False),
    "unloadable": (attrgetter("id"), True),
    "failed": (attrgetter("finished_at", "id"), True),
    "cancelled": (attrgetter("finished_at", "id"), True),
    "succeeded": (attrgetter("finished_at", "id"), True),
}
STATES = st.sampled_from((None, *ORDERS))
MAYBE_A_QUEUE = st.sampled_from((None, *QUEUES))


@dataclass
class WorkerProcess:
    """One that holds a lease, and what it has noted there."""

    lease: Lease
    name: str
    slots: list
    begun: dict = field(default_factory=dict)  # slot: id and attempt


class SqliteModel(AdapterModel):
    """What is promised of ``SqliteAdapter`` beside the contract, and all that can be seen of it."""

    driver = "sqlite3"
    table = "background_jobs"

    def __init__(self):
        super().__init__()
        self.workers = {}  # by number: those that live
        self.dead = {}  # by name: what had been begun

    def make(self, place, clock):
        return SqliteAdapter(
            place / "jobs.sqlite",
            driver=self.driver,
            table=self.table,
            durability="normal",
            retention={"failed": Keep(age=AGE // 1000)},
            clock=clock,
        )

    def worker(self, number):
        return self.process(number).name

    def process(self, number):
        if number not in self.workers:
            lease = Lease(self.adapter.run_directory)
            name = identity.locked_by(f"w{number}", lease.name)
            slots = [lease.new_slot() for _ in range(SLOTS)]
            self.workers[number] = WorkerProcess(lease, name, slots)
        return self.workers[number]

    def teardown(self):
        for process in self.workers.values():
            process.lease.close()
        super().teardown()

    # What is promised where the contract leaves a choice: ready stays ready, promotion is by find

    def may_be_found(self, row):
        return row.state == "ready" or self.must_be_found(row)

    def must_be_found(self, row):
        return row.state == "ready" or super().must_be_found(row)

    # Worker processes

    @precondition(lambda self: len(self.running()) > len(self.orphans()))
    @rule(pick=PICKS, slot=st.integers(0, SLOTS - 1))
    def begin(self, pick, slot):
        held = [row for row in self.running() if row.locked_by not in self.dead]
        row = held[pick % len(held)]
        process = next(one for one in self.workers.values() if one.name == row.locked_by)
        process.slots[slot].note(row.id, row.attempts)
        process.begun[slot] = row.id, row.attempts

    @precondition(lambda self: len(self.running()) > len(self.orphans()))
    @rule(pick=PICKS)
    def die(self, pick):
        """As by SIGKILL: the system lets go of the lease."""
        number = sorted(self.workers)[pick % len(self.workers)]
        process = self.workers.pop(number)
        process.lease.forget()
        self.dead[process.name] = set(process.begun.values())

    @precondition(lambda self: self.running())
    @rule(limits=st.sampled_from(LIMITS), judged=st.sets(st.sampled_from(QUEUES[:3]), min_size=1))
    def recover(self, limits, judged):
        expected = {}
        for row in self.orphans():
            if row.queue in judged:
                self.lose(row)
                expected[row.id] = self.bury(row, limits)

        settled = self.adapter.recover(lambda job: limits if job.queue in judged else None)

        assert {job.id: outcome.kind for job, outcome in settled} == expected
        self.tally["recovered"] += len(settled)

    def bury(self, row, limits):
        """What becomes of the job of a worker that died; the kind of its outcome."""
        if (row.id, row.attempts) not in self.dead[row.locked_by]:
            row.give_back(self.now)
            return "released"
        row.crashes += 1
        error = f"WorkerDied: {identity.in_words(row.locked_by)} ended while it ran this job"
        if row.attempts < limits.max_attempts and row.crashes < MAX_CRASHES:
            row.try_later(self.now, self.now + 1000 * row.attempts**4, error)
            return "error"
        row.end(self.now, "failed", error)
        if limits.delete_failed_jobs:
            del self.rows[row.id]
        return "failure"

    def orphans(self):
        return [row for row in self.running() if row.locked_by in self.dead]

    # People

    @precondition(lambda self: self.rows)
    @rule(picks=st.lists(PICKS, min_size=1, max_size=3))
    def retry(self, picks):
        """Some jobs, by their ids: all, or none where one cannot be tried again."""
        likely = [row.id for row in self.rows.values() if self.can_be_retried(row)]
        known = [*(2 * likely), *self.rows, 10**9]
        ids = [*dict.fromkeys(known[pick % len(known)] for pick in picks)]
        chosen = [self.rows.get(id_) for id_ in ids]
        wrong = next((row for row in chosen if row is None or not self.can_be_retried(row)), ())

        try:
            Inspection(self.adapter).retry(ids)
        except JobNotFoundError:
            assert wrong is None
        except JobStateError:
            assert wrong
        else:
            assert wrong == ()
            for row in chosen:
                self.try_again(row)

    def can_be_retried(self, row):
        return (
            row.state in ("unloadable", "failed", "cancelled")
            or (row.state == "scheduled" and row.attempts > 0)
            or row.locked_by in self.dead
        )

    @precondition(lambda self: any(map(self.can_be_retried, self.rows.values())))
    @rule(queue=MAYBE_A_QUEUE)
    def retry_all(self, queue):
        orphans = self.orphans()
        chosen = [
            row
            for row in self.rows.values()
            if queue in (None, row.queue)
            and (row.state in ("unloadable", "failed") or row in orphans)
        ]

        assert Inspection(self.adapter).retry_all(queue) == len(chosen)

        for row in chosen:
            self.try_again(row)

    def try_again(self, row):
        if row.state == "running":
            self.lose(row)
        row.unlock(
            self.now,
            state="ready",
            run_at=self.now,
            attempts=0,
            crashes=0,
            cancel_at=None,
            failed_at=None,
            finished_at=None,
            expires_at=None,
            progress=None,
        )
        self.tally["tried again"] += 1

    @precondition(lambda self: len(self.rows) > MANY)
    @rule()
    def clear(self):
        may_go = len(self.running()) == len(self.orphans())

        super().clear()

        assert may_go == (not self.rows)

    @precondition(lambda self: any(row.finished_at is not None for row in self.rows.values()))
    @rule(milliseconds=st.sampled_from((0, 500, AGE, 2 * AGE)))
    def sweep(self, milliseconds):
        """What was kept for long enough goes, some time later."""
        self._set_clock(self.now + milliseconds)
        gone = [row.id for row in self.rows.values() if self.may_go(row)]

        assert not self.adapter.sweep()

        for id_ in gone:
            del self.rows[id_]
        self.tally["swept"] += len(gone)

    def may_go(self, row):
        """Whether it was kept for as long as it says, or else as is said of its state."""
        if row.expires_at is not None:
            return row.expires_at <= self.now
        age = {"failed": AGE, "succeeded": 1000 * KEEP_SUCCEEDED}.get(row.state)
        return age is not None and row.finished_at <= self.now - age

    @rule(state=STATES, queue=MAYBE_A_QUEUE, limit=st.sampled_from((1, 3, 100)))
    def look(self, state, queue, limit):
        """At jobs of a state or a queue, and at how many there are."""
        inspection, rows = Inspection(self.adapter), self.rows.values()
        counted = {
            (name, state): number
            for name, states in inspection.counts().queues.items()
            for state, number in states.items()
        }
        assert counted == Counter((row.queue, row.state) for row in rows)
        assert sorted(inspection.orphans()) == [row.id for row in self.orphans()]
        wanted = [row for row in rows if queue in (None, row.queue)]
        queues = ("*",) if queue is None else (queue,)
        due = [row for row in wanted if self.must_be_found(row)]
        assert self.adapter.count_due(queues) == sum(not self.is_paused(row) for row in due)
        held_back = Counter(row.queue for row in due if self.is_paused(row))
        assert self.adapter.held_back(queues) == held_back

        listed = inspection.records(state=state, queue=queue, limit=limit)

        if state is None and queue is None:
            expected = wanted[::-1]
        else:
            expected = [
                row
                for name in (ORDERS if state is None else (state,))
                for row in in_order(name, wanted, queue)
            ]
        assert [record.id for record in listed] == [row.id for row in expected[:limit]]

    # After each step

    @invariant()
    def every_row_is_as_it_should_be(self):
        rows = self.rows.values()
        records = Inspection(self.adapter).records(limit=10**6)
        stored = [[getattr(record, name) for name in COLUMNS] for record in reversed(records)]
        assert stored == [[getattr(row, name) for name in COLUMNS] for row in rows]
        hidden = self.adapter.connection.execute(
            f"SELECT id, crashes, expires_at, result FROM {self.table} ORDER BY id"
        )
        assert hidden == [(row.id, row.crashes, row.expires_at, row.result) for row in rows]
        self.tally["steps"] += 1

    @invariant()
    def a_worker_is_told_exactly_when_to_look(self):
        scheduled = [row.run_at for row in self.rows.values() if row.state == "scheduled"]
        assert self.adapter.next_run_at() == min(scheduled, default=None)
        is_promoted = any(run_at <= self.now for run_at in scheduled)
        rows = [row for row in self.rows.values() if row.state == "ready"]
        ready = {row.queue for row in rows if not self.is_paused(row)}
        for queues in (("a",), ("b", "nobody's"), ("*",)):
            is_ready = bool(ready) if "*" in queues else not ready.isdisjoint(queues)
            assert self.adapter.is_due(queues) == (is_promoted or is_ready)


def in_order(state, rows, queue):
    """Those of *rows* that are in a state, as they are listed: all, or those of a queue."""
    place, reverse = ORDERS[state]
    if state == "unloadable" and queue is not None:
        place = attrgetter("run_at", "id")
    return sorted((row for row in rows if row.state == state), key=place, reverse=reverse)


class ApswModel(SqliteModel):
    driver = "apsw"


class OwnTableModel(SqliteModel):
    table = "chores"


class MemoryModel(AdapterModel):
    """The example of an adapter of one's own: no more than the contract is known of it."""

    def make(self, place, clock):
        return load(EXAMPLE.read_text("utf-8"), place).MemoryAdapter("jobs", clock=clock)


def load(text, place):
    """The example's module, with *text* for its code, whose jobs are in *place*."""
    module = types.ModuleType("memory_adapter")
    sys.modules[module.__name__] = module  # where its dataclass looks for its module
    exec(compile(text, str(EXAMPLE), "exec"), vars(module))
    module.SHARED_MEMORY = place
    return module


MACHINES = {
    "sqlite3": SqliteModel,
    "apsw": ApswModel,
    "table": OwnTableModel,
    "memory": MemoryModel,
}


def unless_asked(state, run_at):
    """The text by which a job goes into a state, if it was not asked to end."""
    return (
        f"iif(cancel_at IS NULL, {state}, 6), run_at = iif(cancel_at IS NULL, {run_at}, NULL),"
        "\n    finished_at = iif(cancel_at IS NULL, NULL, :now)"
    )


# Guards of the SQL: a text of it, and what takes its place; or several.
SQL = {
    "fence by worker": "AND locked_by = :worker AND att -> AND :worker != '' AND att",
    "fence by attempts": "AND attempts = :attempts -> AND :attempts > 0",
    "fence by state": "state = 2 AND locked_by = :worker -> coalesce(locked_by, :worker) = :worker",
    "order by priority": "BY priority, run_at, id LIMIT -> BY run_at, priority, id LIMIT",
    "order by run_at": "BY priority, run_at, id LIMIT -> BY priority, id LIMIT",
    "order over queues": "ORDER BY 1, 2, 3 LIMIT -> ORDER BY 4, 1, 2, 3 LIMIT",
    "not before it is due": "AND run_at <= :now ORDER -> AND run_at <= :now + 1 ORDER",
    "once it is due": "AND run_at <= :now ORDER -> AND run_at < :now ORDER",
    "the queue": "queue = CAST(:queue AS TEXT)\n               AND NOT -> :queue != '' AND NOT",
    "attempts are counted": "attempts = min(attempts, 999999999) + 1, -> ",
    "attempts are given back": "worker'),\n    attempts = max(attempts - 1, 0), -> worker'),",
    "no attempt where it does not load": ":now), attempts = max(attempts - 1, 0), -> :now),",
    "the backoff": "IS NULL, :run_at, NULL) -> IS NULL, :run_at - 1, NULL)",
    "no attempt where it is snoozed": "later'),\n    attempts = max(attempts - 1, 0), -> later'),",
    "what is cancelled has not failed": "6, finished_at = :now, exp -> 5, finished_at = :now, exp",
    "crashes are counted": "crashes = min(crashes, 999999999) + 1 -> crashes = crashes",
    "what is known is no stray": "AND id NOT IN (SELECT value -> AND id NOT IN (SELECT -value",
    "all attempts for a person": "run_at = :now, attempts = 0, -> run_at = :now,",
    "all crashes for a person": "attempts = 0, crashes = 0, -> attempts = 0,",
    "only what went wrong is tried again": "(state IN (3, 5, 6) -> (state IN (3, 4, 5, 6)",
    "all that asks for the end for a person": "cancel_at = NULL, failed_at -> failed_at",
    "what is asked to end is not put off": f"{unless_asked('0', ':run_at')} -> 0, run_at = :run_at",
    "what is asked to end is not given back": f"{unless_asked('1', 'run_at')} -> 1",
    "what is asked to end has not failed": "iif(cancel_at IS NULL, 5, 6) -> 5",
    "what is over is not cancelled": "state IN (-1, 0, 1, 3) -> state IN (-1, 0, 1, 3, 5)",
    "a queue that is paused": "p.queue = wanted.value) -> p.queue = '?')",
    "every queue that is paused": "queue = '*') -> queue = '?')",
    "only that queue is resumed": "paused WHERE queue = :queue -> paused WHERE :queue != ''",
    "what says how long it stays": "NULL AND expires_at <= :now -> NULL AND expires_at <= 0",
    "what stays longer than others": (
        "expires_at IS NULL FROM -> 1 FROM",
        "coalesce(expires_at, finished_at, run_at) <= -> coalesce(finished_at, run_at) <=",
    ),
    "ids are never used again": "PRIMARY KEY AUTOINCREMENT -> PRIMARY KEY",
}


def commit_whatever_happens(connection, **_):
    """In place of ``Connection.transaction``."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("COMMIT")


def held_too_long(adapter):
    """In place of ``SqliteAdapter.holders``."""
    late = adapter.clock.now() - 1000 * 3600
    return [
        name
        for (name,) in adapter.connection.execute(
            f"SELECT DISTINCT locked_by FROM {adapter.table} WHERE state = 2 AND locked_at < {late}"
        )
    ]


# Guards of the code: whose attribute, and what takes its place.
CODE = {
    "order of what is returned": [(finding, "_PLACE_IN_LINE", attrgetter("id"))],
    "not ready before it is due": [
        (place, "new_row", lambda job, now: rows.new_row(job, now + 1))
        for place in (sqlite_adapter, storing)
    ],
    "lease": [
        (SqliteAdapter, "holders", held_too_long),
        (SqliteAdapter, "is_dead", lambda *_: True),
    ],
    "what was begun": [(recovery, "begun_by", lambda *_: None)],
    "what was only found": [(recovery, "begun_by", lambda *_: ())],
    "all or nothing": [(Connection, "transaction", contextmanager(commit_whatever_happens))],
    "the age": [(Keep, "ended_before", lambda _, now: now)],
    "nothing goes while jobs run": [(SqliteAdapter, "check_idle", lambda _: None)],
}


def replaced(text, right, wrong, part):
    """A part of the SQL with other words in it."""
    return text(part).replace(right, wrong)


@contextmanager
def broken(name):
    """Without the guard of that name, if there is one."""
    with ExitStack() as stack:
        changes = SQL.get(name, ())
        for change in (changes,) if isinstance(changes, str) else changes:
            right, _, wrong = change.partition(" -> ")
            text = queries._text
            parts = ("queries.sql", "schema.sql")
            assert any(right in text(part) for part in parts), right
            patch = mock.patch.object(queries, "_text", partial(replaced, text, right, wrong))
            stack.enter_context(patch)
        for target, attribute, wrong in CODE.get(name, ()):
            stack.enter_context(mock.patch.object(target, attribute, wrong))
        yield


def differs(machine, options):
    """The first difference that is found, in words; None where there is none."""
    phases = [Phase.generate] if options.breaks else [Phase.generate, Phase.shrink]
    chosen = settings(
        max_examples=options.examples,
        stateful_step_count=options.steps,
        phases=phases,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(seed(options.seed)(machine), settings=chosen)
    except Exception as error:
        return "".join(traceback.format_exception(error))
    return None


def is_kept(report):
    """Whether the adapter did as the model."""
    return report["differences"] == 0


def parse(words=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--adapter", choices=MACHINES, default="sqlite3")
    parser.add_argument("--examples", type=int, default=2_000)
    parser.add_argument("--steps", type=int, default=50, help="of an example")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--break", dest="breaks", choices=sorted(SQL | CODE))
    return parser.parse_args(words)


def main(words=None):
    options = parse(words)
    logging.getLogger("litejobs").addHandler(logging.NullHandler())  # of outcomes that come late
    machine = type("Machine", (MACHINES[options.adapter],), {})
    started = time.monotonic()
    with broken(options.breaks):
        difference = differs(machine, options)
    if difference:
        print(difference, file=sys.stderr)
    report = {
        "adapter": options.adapter,
        **machine.tally,
        "differences": int(difference is not None),
        "seconds": round(time.monotonic() - started),
        "seed": options.seed,
    }
    print(json.dumps(report))
    return report


if __name__ == "__main__":
    sys.exit(0 if is_kept(main()) else 1)
