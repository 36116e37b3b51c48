"""``limit=``: never more jobs of one key at once than may be, and none waits without need."""

import sqlite3
from contextlib import closing
from itertools import permutations
from tempfile import TemporaryDirectory

import pytest
from callers import KINDS
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from litejobs import ConfigurationError, JobManager, Key, Limit, SchedulingError, SqliteAdapter
from litejobs.adapters.sqlite.inspection import Inspection
from litejobs.job import Find, Limits, NewJob, Outcome
from litejobs.run_directory.bell import Bell
from litejobs.testing import ManualClock

WAITING, SCHEDULED, READY, RUNNING = -1, 0, 1, 2
OUTCOMES = {
    "success": lambda _now: Outcome("success", delete=True),
    "kept success": lambda _now: Outcome("success"),
    "error": lambda now: Outcome("error", "oh", run_at=now + 1000),
    "crash": lambda now: Outcome("error", "oh", run_at=now + 1000, crashed=True),
    "failure": lambda _now: Outcome("failure", "oh"),
    "deleted failure": lambda _now: Outcome("failure", "oh", delete=True),
    "unloadable": lambda _now: Outcome("unloadable", "gone"),
}
PLAIN = NewJob("{}", "default", 60, 0)


def new(adapter, key="k", most=1, *, priority=50, wait=0, queue="default"):
    run_at = adapter.clock.now() + 1000 * wait
    return NewJob("{}", queue, priority, run_at, limit_key=key, limit_max=most)


def states(adapter):
    rows = adapter.connection.execute(f"SELECT state FROM {adapter.table} ORDER BY id")
    return [state for (state,) in rows]


def find(adapter, limit=9):
    return adapter.find(worker="w", queues=("*",), max_runtime=60, limit=limit)


def test_of_many_jobs_stored_at_once_the_first_become_ready(adapter):
    adapter.schedule([new(adapter, most=2) for _ in range(5)])

    assert states(adapter) == [READY, READY, WAITING, WAITING, WAITING]


def test_of_jobs_stored_one_by_one_no_more_than_the_limit_become_ready(adapter):
    for _ in range(3):
        adapter.schedule([new(adapter, most=2)])

    assert states(adapter) == [READY, READY, WAITING]


def test_keys_do_not_wait_for_each_other_nor_do_jobs_without_one(adapter):
    adapter.schedule([new(adapter, "a"), new(adapter, "b"), new(adapter, "a"), PLAIN, PLAIN])

    assert states(adapter) == [READY, READY, WAITING, READY, READY]


def test_the_first_in_line_gets_the_place_also_when_it_comes_last(adapter):
    adapter.schedule([new(adapter), new(adapter), new(adapter, priority=1)])

    assert states(adapter) == [WAITING, WAITING, READY]


def test_a_running_job_keeps_its_place_from_one_that_is_more_urgent(adapter):
    adapter.schedule([new(adapter)])
    find(adapter)

    adapter.schedule([new(adapter, priority=1)])

    assert states(adapter) == [RUNNING, WAITING]


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
def test_a_place_is_given_back_once_whatever_becomes_of_its_job(adapter, clock, outcome):
    adapter.schedule([new(adapter) for _ in range(3)])
    [job] = find(adapter)

    [found] = adapter.exchange([(job, outcome(clock.now()))], [Find("w", ("*",), 60, 9)])

    assert [next_job.id for next_job in found] == [2]
    assert states(adapter)[-2:] == [RUNNING, WAITING]


def test_a_job_that_goes_back_keeps_its_place(adapter):
    adapter.schedule([new(adapter), new(adapter)])
    [job] = find(adapter)

    adapter.release(job)

    assert states(adapter) == [READY, WAITING]


def test_a_scheduled_job_takes_its_place_when_it_is_due(adapter, clock):
    adapter.schedule([new(adapter), new(adapter, wait=1), new(adapter, "b", wait=1)])
    assert states(adapter) == [READY, SCHEDULED, SCHEDULED]
    clock.advance(seconds=1)

    assert [job.id for job in find(adapter)] == [1, 3]

    assert states(adapter) == [RUNNING, WAITING, RUNNING]


def test_a_retry_by_hand_waits_for_its_place(adapter):
    adapter.schedule([new(adapter), new(adapter)])
    [job] = find(adapter)
    adapter.failure(job, "oh", delete=False)

    Inspection(adapter).retry([job.id])

    assert sorted(states(adapter)) == [WAITING, READY]


def test_who_deletes_a_row_by_hand_gives_its_place_back(adapter, database):
    adapter.schedule([new(adapter) for _ in range(3)])
    find(adapter)
    adapter.close()

    with closing(sqlite3.connect(database)) as other, other:
        other.execute("DELETE FROM background_jobs WHERE id = 1")

    assert states(adapter) == [READY, WAITING]


def test_all_can_be_cleared(adapter):
    adapter.schedule([new(adapter) for _ in range(20)])

    assert adapter.clear() == 20
    assert states(adapter) == []


@pytest.mark.parametrize("order", list(permutations([3, 1, 2])), ids=str)
def test_where_limits_of_one_key_differ_the_smallest_holds(adapter, order):
    for most in order:
        adapter.schedule([new(adapter, most=most, priority=most) for _ in range(2)])

    assert sorted(states(adapter)) == [WAITING] * 5 + [READY]
    placed = []
    while found := find(adapter):
        placed.append(len(found))
        for job in found:
            adapter.success(job, delete=True)

    assert placed == [1, 1, 2, 2]  # those of the smallest limit are first in line


def test_a_lowered_limit_holds_as_soon_as_a_job_with_it_is_stored(adapter):
    adapter.schedule([new(adapter, most=3) for _ in range(4)])
    [job] = find(adapter, limit=1)

    adapter.schedule([new(adapter, most=1)])

    assert states(adapter) == [RUNNING, *[WAITING] * 4]
    adapter.success(job, delete=True)
    assert states(adapter) == [READY, *[WAITING] * 3]


@pytest.mark.parametrize(
    "leave",
    [
        lambda adapter, id_: adapter.cancel(id_),
        lambda adapter, id_: adapter.connection.execute(
            f"DELETE FROM {adapter.table} WHERE id = ?", [id_]
        ),
    ],
    ids=["cancelled", "deleted"],
)
def test_places_are_free_once_the_smallest_limit_is_nobodys(adapter, leave):
    adapter.schedule([new(adapter, most=3) for _ in range(3)])
    [low] = adapter.schedule([new(adapter, most=1, priority=90)])
    assert states(adapter) == [READY, *[WAITING] * 3]

    leave(adapter, low)

    assert states(adapter)[:3] == [READY] * 3


def test_workers_are_woken_when_a_place_is_given_back(adapter, monkeypatch):
    adapter.schedule([new(adapter), new(adapter), PLAIN])
    limited, plain = find(adapter)
    rings = []
    monkeypatch.setattr(adapter, "ring", lambda: rings.append(states(adapter)))

    adapter.exchange([(plain, Outcome("success", delete=True))], [])
    assert rings == []
    adapter.exchange([(limited, Outcome("error", "oh", run_at=0, crashed=True))], [])

    assert rings == [[SCHEDULED, READY]]


def test_without_limits_the_table_has_no_triggers(adapter):
    adapter.schedule([PLAIN])
    assert triggers(adapter) == 0

    adapter.schedule([new(adapter)])

    assert triggers(adapter) == 2


def triggers(adapter):
    [(number,)] = adapter.connection.execute(
        "SELECT count(*) FROM sqlite_master WHERE type = 'trigger'"
    )
    return number


def test_another_process_that_was_there_before_the_first_limit_heeds_it(adapter, database, clock):
    other = SqliteAdapter(database, clock=clock, driver=adapter.driver)
    assert find(other) == []
    adapter.schedule([new(adapter), new(adapter)])
    [job] = find(other)

    other.success(job, delete=True)

    assert states(other) == [READY]
    other.close()


def test_waiting_jobs_are_counted_and_listed(adapter):
    adapter.schedule([new(adapter, queue=queue) for queue in ("a", "a", "b")])
    inspection = Inspection(adapter)

    assert inspection.counts().queues == {"a": {"ready": 1, "waiting": 1}, "b": {"waiting": 1}}
    assert [one.id for one in inspection.records(state="waiting")] == [2, 3]
    assert [one.id for one in inspection.records(state="waiting", queue="b")] == [3]
    assert inspection.record(2).state == "waiting"


# A limit as an app declares it


def charge(user, amount=1):
    """A job."""


def by_user(user, amount=1):
    return f"user-{user}" if user else None


def stored(adapter):
    return adapter.connection.execute(
        f"SELECT limit_key, limit_max FROM {adapter.table} ORDER BY id"
    )


def declare(adapter, clock, limit):
    manager = JobManager({"sqlite": adapter}, clock=clock)
    return manager.create_job(perform=charge, limit=limit), manager.create_scheduler()


def test_a_number_is_the_limit_of_all_calls_of_a_job(adapter, clock):
    job, later = declare(adapter, clock, 2)

    later(job, [1])
    later.many(job, [[2], [3]])

    assert stored(adapter) == [("tests/test_limit.py:charge", 2)] * 3


@pytest.mark.parametrize("key", [None, Key(str)], ids=["", "with a key"])
def test_a_handle_says_that_its_job_waits_for_a_place(adapter, clock, key):
    job, later = declare(adapter, clock, 1)

    assert [later(job, [1], key=key).state, later(job, [2], key=key).state] == ["ready", "waiting"]
    assert [one.state for one in later.many(job, [[3], [4]], key=key)] == ["waiting", "waiting"]


def test_a_key_is_made_of_the_arguments_when_they_are_stored(adapter, clock):
    job, later = declare(adapter, clock, Limit(1, key=by_user))

    later(job, [7], {"amount": 2})
    later.many(job, [[7], [8], [0]])

    assert stored(adapter) == [("user-7", 1), ("user-7", 1), ("user-8", 1), (None, None)]
    assert states(adapter) == [READY, WAITING, READY, READY]


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        (0, "limit must be at least 1, got 0"),
        (True, "limit must be a whole number, got True"),
        ("2", "limit must be a whole number, got '2'"),
    ],
)
def test_what_is_no_limit_is_refused_where_it_is_declared(adapter, clock, limit, reason):
    with pytest.raises(ConfigurationError, match=reason):
        declare(adapter, clock, limit)


def test_a_key_must_be_a_function():
    with pytest.raises(
        ConfigurationError, match=r"key of a limit must be a function .* got 'user'"
    ):
        Limit(1, key="user")


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (lambda _user: 5, "key of the limit of charge must be a text of 1 to 255 char.*, got 5"),
        (lambda _user: "", "must be a text of 1 to 255 characters, got ''"),
        (lambda _user: "x" * 256, "must be a text of 1 to 255 characters, got 'xxx"),
        (lambda: "x", "the key of the limit of charge raised TypeError: "),
    ],
)
def test_a_key_that_is_none_is_refused_and_nothing_stored(adapter, clock, key, reason):
    job, later = declare(adapter, clock, Limit(1, key=key))

    with pytest.raises(SchedulingError, match=reason):
        later(job, [1])

    assert states(adapter) == []


def test_storage_that_keeps_no_limits_is_not_given_any(adapter, clock, monkeypatch):
    monkeypatch.setattr(type(adapter), "keeps_limits", False)
    job, later = declare(adapter, clock, 1)

    with pytest.raises(SchedulingError, match=r"charge has a limit, which .* cannot keep"):
        later(job, [1])


# Whatever happens

KEYS = {"a": 1, "b": 2, None: None}


class Whatever(RuleBasedStateMachine):
    """All that can happen to jobs, in any order, beside a plain count of who has a place."""

    @initialize(recursive=st.booleans())
    def begin(self, recursive):
        self.directory = TemporaryDirectory()
        self.clock = ManualClock()
        file = f"{self.directory.name}/jobs.sqlite"
        self.adapter = SqliteAdapter(file, clock=self.clock, durability="normal")
        self.inspection = Inspection(self.adapter)
        # Whichever an app has: https://sqlite.org/pragma.html#pragma_recursive_triggers
        self.adapter.connection.execute(f"PRAGMA recursive_triggers = {int(recursive)}")
        self.held = []

    def teardown(self):
        if hasattr(self, "directory"):
            self.adapter.close()
            self.directory.cleanup()

    @rule(
        keys=st.lists(st.sampled_from(list(KEYS)), min_size=1, max_size=4),
        more=st.sampled_from([0, 0, 0, 1]),
        priority=st.integers(1, 3),
        wait=st.sampled_from([0, 0, 1]),
        queue=st.sampled_from("qr"),
    )
    def store(self, keys, more, priority, wait, queue):
        how = {"priority": priority, "wait": wait, "queue": queue}
        limits = {key: most and most + more for key, most in KEYS.items()}
        self.adapter.schedule([new(self.adapter, key, limits[key], **how) for key in keys])

    @rule(limit=st.integers(1, 4))
    def find(self, limit):
        self.held += find(self.adapter, limit)

    @rule()
    def time_passes(self):
        self.clock.advance(seconds=1)

    @rule(
        data=st.data(),
        outcome=st.sampled_from([*OUTCOMES.values(), lambda _now: Outcome("released")]),
    )
    def settle(self, data, outcome):
        jobs = data.draw(st.sets(st.sampled_from(self.held))) if self.held else set()
        self.held = [job for job in self.held if job not in jobs]
        self.adapter.exchange([(job, outcome(self.clock.now())) for job in jobs], [])

    @rule()
    def the_worker_dies(self):
        self.adapter.is_dead = lambda _worker: True
        self.adapter.recover(lambda _job: Limits())
        self.held = []

    @rule()
    def strays_go_back(self):
        self.held = self.held[1:]
        self.adapter.release_strays({"w"}, {job.id for job in self.held})

    @rule()
    def code_changes(self):
        self.adapter.reload()

    @rule()
    def a_person_retries(self):
        self.adapter.is_dead = lambda _worker: False
        self.inspection.retry_all()

    @rule(number=st.integers(1, 9))
    def somebody_deletes(self, number):
        table = self.adapter.table
        self.adapter.connection.execute(f"DELETE FROM {table} WHERE id % 9 = :n", {"n": number})
        self.held = [job for job in self.held if job.id % 9 != number]

    @rule(queue=st.sampled_from("qr*"), is_paused=st.booleans())
    def a_queue_is_held_back(self, queue, is_paused):
        (self.adapter.pause if is_paused else self.adapter.resume)(queue)

    @invariant()
    def places_are_taken_but_no_more_than_there_are(self):
        rows = self.adapter.connection.execute(
            f"SELECT limit_key, state, limit_max FROM {self.adapter.table}"
            f" WHERE state IN ({WAITING}, {READY}, {RUNNING}) AND limit_key IS NOT NULL"
        )
        for key in {key for key, _, _ in rows}:
            mine = [state for its_key, state, _ in rows if its_key == key]
            most = min(limit for its_key, _, limit in rows if its_key == key)
            placed = mine.count(READY) + mine.count(RUNNING)
            assert WAITING not in mine or placed >= most
            assert placed <= most or READY not in mine  # what runs cannot be called back


Whatever.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestWhateverHappens = Whatever.TestCase


def test_a_limit_holds_in_a_transaction_of_the_apps_too(database, clock):
    with (
        closing(SqliteAdapter(database, clock=clock)) as adapter,
        closing(sqlite3.connect(database)) as connection,
    ):
        adapter.open()
        adapter.schedule_within(connection, [new(adapter), new(adapter)])
        connection.rollback()
        assert states(adapter) == []

        adapter.schedule_within(connection, [new(adapter), new(adapter)])
        connection.commit()

        assert states(adapter) == [READY, WAITING]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_first_limit_is_kept_in_a_transaction_that_holds_the_lock(database, clock, kind):
    adapter = SqliteAdapter(database, clock=clock, driver=kind.driver)
    adapter.open()
    app = kind(database)

    for end in (app.roll_back, app.commit):
        assert states(adapter) == []
        app.begin()
        app.execute("INSERT INTO notes VALUES ('done')")
        adapter.schedule_within(app.connection, [new(adapter)])
        adapter.schedule_within(app.connection, [new(adapter), new(adapter)])
        end()
    adapter.schedule([new(adapter)])

    assert states(adapter) == [READY, WAITING, WAITING, WAITING]
    adapter.connection.execute(f"DELETE FROM {adapter.table} WHERE state = {READY}")
    assert states(adapter) == [READY, WAITING, WAITING]
    app.close()
    adapter.close()


def test_a_job_that_finishes_itself_gives_its_place_back_and_rings(database, clock):
    with (
        closing(SqliteAdapter(database, clock=clock)) as adapter,
        closing(sqlite3.connect(database)) as connection,
    ):
        adapter.schedule([new(adapter), new(adapter)])
        [job] = find(adapter)
        with closing(Bell(adapter.run_directory)) as bell:
            adapter.finish_within(connection, job, Outcome("success", delete=True))
            connection.commit()
            assert bell.drain()

        assert states(adapter) == [READY]
