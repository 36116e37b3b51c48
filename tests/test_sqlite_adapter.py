"""The jobs in the table, beyond what test_adapters.py says of every adapter. On both libraries."""

import json
import logging
import re
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from litejobs import defaults
from litejobs.adapters.base import BaseAdapter
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.adapters.sqlite.inspection import Counts, Inspection, share
from litejobs.errors import ConfigurationError, JobNotFoundError, JobStateError, StorageError
from litejobs.job import Find, NewJob, Outcome, StoredJob

SCHEDULED, READY, RUNNING, UNLOADABLE, SUCCEEDED, FAILED, CANCELLED = range(7)
OFF, NORMAL, FULL = range(3)
OUTCOMES = {
    "success": Outcome("success"),
    "deleted success": Outcome("success", delete=True),
    "success kept for a minute": Outcome("success", keep=60),
    "error": Outcome("error", "oh", run_at=1),
    "crash": Outcome("error", "oh", run_at=1, crashed=True),
    "failure": Outcome("failure", "oh"),
    "deleted failure": Outcome("failure", "oh", delete=True),
    "failure kept for a minute": Outcome("failure", "oh", keep=60),
    "unloadable": Outcome("unloadable", "gone"),
    "released": Outcome("released"),
}


def new(adapter, queue="default", priority=50, wait=0, handler="{}"):
    """A job that is due in *wait* milliseconds."""
    return NewJob(handler, queue, priority, adapter.clock.now() + wait)


def schedule(adapter, **job):
    return adapter.schedule([new(adapter, **job)])[0]


def find(adapter, *queues, limit=1, worker="w"):
    return adapter.find(worker=worker, queues=queues or ("*",), max_runtime=60, limit=limit)


def found_ids(adapter, *queues, limit=100):
    return [job.id for job in find(adapter, *queues, limit=limit)]


def rows(adapter, columns="id, state"):
    table = adapter.table
    return adapter.connection.execute(f"SELECT {columns} FROM {table} ORDER BY id")


def row(adapter, columns):
    [values] = rows(adapter, columns)
    return values


def synchronous(adapter):
    [(level,)] = adapter.connection.execute("PRAGMA synchronous")
    return level


# Storing


def test_a_job_due_now_is_stored_as_ready(adapter, clock):
    id_ = schedule(adapter, queue="mail", priority=3, handler='{"name": "send"}')

    stored = row(adapter, "id, state, queue, priority, run_at, attempts, handler, created_at")
    now = clock.now()
    assert stored == (id_, READY, "mail", 3, now, 0, '{"name": "send"}', now)


def test_a_job_due_later_is_stored_as_scheduled(adapter):
    schedule(adapter, wait=1)

    assert row(adapter, "state") == (SCHEDULED,)


def test_many_jobs_get_their_ids_in_order(adapter):
    ids = adapter.schedule([new(adapter, priority=number) for number in (3, 1, 2)])

    assert rows(adapter, "id, priority") == list(zip(ids, (3, 1, 2), strict=True))


@pytest.mark.parametrize("number", [0, 1, 2, 3, 100])
def test_each_of_many_jobs_is_stored_under_the_id_that_is_told(adapter, number):
    schedule(adapter, handler="before")
    handlers = [f"job {i}" for i in range(number)]

    ids = adapter.schedule([new(adapter, handler=handler) for handler in handlers])

    schedule(adapter, handler="after")
    stored = dict(rows(adapter, "id, handler"))
    assert [stored[id_] for id_ in ids] == handlers
    assert len(stored) == number + 2


def test_where_a_trigger_stores_jobs_between_them_many_are_refused(adapter):
    schedule(adapter)
    adapter.connection.execute(
        """
        CREATE TRIGGER another AFTER INSERT ON background_jobs WHEN NEW.queue = 'default' BEGIN
          INSERT INTO background_jobs (queue, handler, run_at) VALUES ('other', 'theirs', 1);
        END
        """
    )

    with pytest.raises(StorageError, match="a trigger stores more jobs in background_jobs"):
        adapter.schedule([new(adapter), new(adapter)])

    assert len(rows(adapter)) == 1
    id_ = schedule(adapter, handler="ours")
    assert rows(adapter, f"handler, id = {id_}") == [("{}", 0), ("ours", 1), ("theirs", 0)]


def test_many_jobs_are_stored_all_or_none(adapter):
    good, bad = new(adapter), new(adapter, queue=None)

    with pytest.raises(StorageError):
        adapter.schedule([good, bad])

    assert rows(adapter) == []


@pytest.mark.parametrize("number", [1, 3])
def test_the_bell_rings_once_the_jobs_can_be_found(
    adapter, database, driver, clock, number, monkeypatch
):
    adapter.open()
    other = SqliteAdapter(database, clock=clock, driver=driver)
    found = []
    monkeypatch.setattr(adapter, "ring", lambda: found.append(len(rows(other))))

    adapter.schedule([new(adapter) for _ in range(number)])

    assert found == [number]
    other.close()


def test_an_id_is_never_used_again(adapter):
    first = schedule(adapter)
    adapter.clear()

    assert schedule(adapter) > first


# Finding


def test_a_found_job_is_locked_for_its_worker(adapter, clock):
    id_ = schedule(adapter, queue="mail", priority=3, handler='{"name": "send"}')
    scheduled_at = clock.now()
    clock.advance(seconds=1)

    [job] = find(adapter, worker="me")

    assert job == StoredJob(id_, "mail", 3, scheduled_at, 1, "me", '{"name": "send"}')
    assert row(adapter, "state, locked_at, locked_by, attempts") == (RUNNING, clock.now(), "me", 1)


def test_a_scheduled_job_is_never_found_early(adapter, clock):
    schedule(adapter, wait=1000)
    clock.advance(seconds=0.999)
    assert find(adapter) == []
    assert row(adapter, "state") == (SCHEDULED,)

    clock.advance(seconds=0.001)

    assert len(find(adapter)) == 1


def test_a_job_is_not_found_early_with_others_that_are_due(adapter, clock):
    due = schedule(adapter, wait=1000)
    schedule(adapter, wait=1001)

    clock.advance(seconds=1)

    assert found_ids(adapter) == [due]


def test_a_job_once_ready_stays_ready_when_the_clock_is_set_back(adapter, clock):
    schedule(adapter)
    clock.advance(seconds=-3600)

    assert len(find(adapter)) == 1


def test_a_promotion_makes_no_more_than_one_batch_ready(adapter, clock, monkeypatch):
    monkeypatch.setattr(defaults, "PROMOTION_BATCH", 2)
    last, first, second = adapter.schedule([new(adapter, wait=wait) for wait in (3, 1, 2)])
    clock.advance(seconds=1)

    assert found_ids(adapter) == [first, second]
    assert found_ids(adapter) == [last]


def test_finding_nothing_takes_no_write_lock(adapter, database, driver):
    schedule(adapter, wait=1)
    other = SqliteAdapter(database, driver=driver)

    with other.connection.transaction():
        assert find(adapter) == []
    other.close()


QUEUES = ("a", "b", "c", "")
jobs_of_a_table = st.lists(
    st.tuples(st.sampled_from(QUEUES), st.integers(-1, 2), st.integers(-2, 3)), max_size=25
)
queues_asked_for = st.lists(st.sampled_from((*QUEUES, "*", "unknown")), max_size=4)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(jobs_of_a_table, queues_asked_for, st.integers(1, 8))
def test_finding_is_sorting_what_is_due(adapter, clock, jobs, queues, limit):
    adapter.connection.execute(f"DELETE FROM {adapter.table}")
    wanted = [NewJob("{}", queue, priority, clock.now() + at) for queue, priority, at in jobs]
    stored = list(zip(adapter.schedule(wanted), wanted, strict=True))
    clock.advance(seconds=0.001)

    jobs = find(adapter, *queues, limit=limit) if queues else []

    due = [
        (job.priority, job.run_at, id_)
        for id_, job in stored
        if job.run_at <= clock.now() and ("*" in queues or job.queue in queues)
    ]
    assert [(job.priority, job.run_at, job.id) for job in jobs] == sorted(due)[:limit]
    assert {id_ for id_, state in rows(adapter) if state == RUNNING} == {job.id for job in jobs}


@pytest.mark.parametrize("limit", [1, 9], ids=["one by one", "together"])
@pytest.mark.parametrize("queues", [("default",), ("default", "other"), ("*",)], ids=str)
def test_jobs_are_found_in_their_order(adapter, queues, limit):
    places = [(50, -1), (50, -2), (51, -9), (49, 0), (50, -2)]
    ids = [schedule(adapter, priority=priority, wait=wait) for priority, wait in places]

    found = [ids.index(id_) for _ in ids for id_ in found_ids(adapter, *queues, limit=limit)]

    assert found == [3, 1, 4, 0, 2]


@pytest.mark.parametrize("queues", [("a", "b"), ("*",)], ids=str)
def test_jobs_of_several_queues_are_found_in_one_order(adapter, queues):
    for priority, queue in enumerate("baba"):
        schedule(adapter, queue=queue, priority=priority)

    assert [found_ids(adapter, *queues, limit=1) for _ in range(4)] == [[1], [2], [3], [4]]


# Looking


@pytest.mark.parametrize(
    ("wait", "queues", "due"),
    [
        (0, ("*",), True),
        (0, ("a",), True),
        (0, ("b",), False),
        (1, ("*",), False),
    ],
    ids=["ready", "of the queue", "of another queue", "later"],
)
def test_is_due_tells_whether_a_job_could_be_found(adapter, wait, queues, due):
    schedule(adapter, queue="a", wait=wait)

    assert adapter.is_due(queues) is due


def test_nothing_is_due_in_an_empty_table(adapter):
    assert adapter.is_due(("*",)) is False


def test_a_scheduled_job_is_due_when_its_time_has_come(adapter, clock):
    schedule(adapter, wait=1000)
    clock.advance(seconds=1)

    assert adapter.is_due(("*",)) is True


def test_the_jobs_due_are_counted_by_queue(adapter, clock):
    adapter.schedule([new(adapter, queue=queue) for queue in "aab"])
    adapter.schedule([new(adapter, queue="a", wait=wait) for wait in (1000, 1001)])
    clock.advance(seconds=1)

    counts = [adapter.count_due(queues) for queues in (("*",), ("a",), ("b",), ("a", "b"), ("c",))]

    assert counts == [4, 3, 1, 4, 0]


def test_next_run_at_is_that_of_the_first_scheduled_job(adapter, clock):
    adapter.schedule([new(adapter, wait=wait) for wait in (0, 500, 300)])

    assert adapter.next_run_at() == clock.now() + 300


def test_next_run_at_is_unknown_where_nothing_is_scheduled(adapter):
    schedule(adapter)

    assert adapter.next_run_at() is None


# Settling


@pytest.fixture
def job(adapter, clock):
    """A job that was found."""
    schedule(adapter)
    [job] = find(adapter)
    clock.advance(seconds=1)
    return job


def test_a_kept_success_says_when_it_finished_and_no_error(adapter, clock, job):
    adapter.error(job, "oh", clock.now())
    [job] = find(adapter)
    clock.advance(seconds=1)

    assert adapter.success(job, delete=False)

    kept = row(adapter, "state, finished_at, run_at, last_error, failed_at, locked_by, locked_at")
    assert kept == (SUCCEEDED, clock.now(), None, None, None, None, None)


def test_an_error_waits_for_its_next_run(adapter, clock, job):
    assert adapter.error(job, "oh", 7)

    waiting = row(adapter, "state, run_at, last_error, attempts, locked_by, locked_at, updated_at")
    assert waiting == (SCHEDULED, 7, "oh", 1, None, None, clock.now())


def test_a_kept_failure_says_when_and_why(adapter, clock, job):
    now = clock.now()

    assert adapter.failure(job, "oh", delete=False)

    kept = row(adapter, "state, failed_at, finished_at, run_at, last_error, attempts, locked_by")
    assert kept == (FAILED, now, now, None, "oh", 1, None)


def test_a_deleted_success_leaves_no_row(adapter, job):
    assert adapter.success(job, delete=True)

    assert rows(adapter) == []


def test_a_deleted_failure_leaves_no_row(adapter, job):
    assert adapter.failure(job, "oh", delete=True)

    assert rows(adapter) == []


def test_an_unloadable_job_gives_its_attempt_back(adapter, job):
    assert adapter.unloadable(job, "gone")

    kept = row(adapter, "state, attempts, last_error, run_at, locked_by, locked_at, failed_at")
    assert kept == (UNLOADABLE, 0, "gone", job.run_at, None, None, None)


def test_a_released_job_goes_back_as_it_was_found(adapter, job):
    assert adapter.release(job)

    back = row(adapter, "state, attempts, last_error, run_at, locked_by, locked_at")
    assert back == (READY, 0, None, job.run_at, None, None)


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
@pytest.mark.parametrize(
    "stale",
    [{"locked_by": "another"}, {"attempts": 2}, {"attempts": 0}, {"id": 99}],
    ids=["another worker", "later attempt", "earlier attempt", "another job"],
)
def test_an_attempt_that_lost_its_job_changes_nothing(adapter, job, outcome, stale, caplog):
    before = rows(adapter, "*")
    loser = job._replace(**stale)

    adapter.exchange([(loser, outcome)], [])

    assert rows(adapter, "*") == before
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    expected = f"job {loser.id} was no longer ours: its {outcome.kind} changed nothing"
    assert record.getMessage() == expected


@pytest.mark.parametrize("kind", ["deleted success", "success", "released"])
def test_of_many_that_ended_alike_those_that_were_lost_are_told(adapter, clock, kind, caplog):
    adapter.schedule([NewJob("{}", "default", 50, clock.now())] * 5)
    found = adapter.find(worker="w", queues=["*"], max_runtime=60, limit=5)
    outcome = OUTCOMES[kind]
    adapter.exchange([(found[1], OUTCOMES["error"])], [])
    stolen = [job._replace(locked_by="another") for job in found[3:4]]

    adapter.exchange([(job, outcome) for job in [*found[:3], *stolen, found[4]]], [])

    told = [record.getMessage() for record in caplog.records]
    assert told == [
        f"job {id_} was no longer ours: its {outcome.kind} changed nothing" for id_ in (2, 4)
    ]
    states = dict(rows(adapter, "id, state"))
    assert (states[2], states[4]) == (SCHEDULED, RUNNING)
    after = {"deleted success": None, "success": SUCCEEDED, "released": READY}[kind]
    assert [states.get(id_) for id_ in (1, 3, 5)] == [after] * 3


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
def test_a_settled_job_cannot_be_settled_again(adapter, job, outcome, caplog):
    adapter.exchange([(job, outcome)], [])
    after_first = rows(adapter, "*")
    assert caplog.records == []

    adapter.exchange([(job, Outcome("error", "again", run_at=0))], [])

    assert rows(adapter, "*") == after_first
    assert "changed nothing" in caplog.text


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        ("success", SUCCEEDED),
        ("error", SCHEDULED),
        ("failure", FAILED),
        ("unloadable", UNLOADABLE),
        ("released", READY),
    ],
)
def test_each_outcome_is_recorded_by_the_method_of_its_kind(adapter, job, outcome, state):
    adapter.settle(job, OUTCOMES[outcome])

    assert rows(adapter) == [(job.id, state)]


def test_a_settlement_that_fails_takes_the_whole_exchange_back(adapter, job):
    schedule(adapter)
    [second] = find(adapter)
    schedule(adapter)
    adapter.connection.execute(
        f"CREATE TRIGGER refuse BEFORE UPDATE ON {adapter.table} WHEN OLD.id = {second.id} "
        "BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    before = rows(adapter, "*")

    with pytest.raises(StorageError, match="no"):
        adapter.exchange(
            [(job, OUTCOMES["success"]), (second, OUTCOMES["error"])], [Find("v", ("*",), 60)]
        )

    assert rows(adapter, "*") == before


# Putting right


def test_unloadable_jobs_are_made_ready_again(adapter, job):
    schedule(adapter)
    adapter.unloadable(job, "gone")

    assert adapter.reload() == 1

    assert [state for _, state in rows(adapter)] == [READY, READY]
    assert job.id in found_ids(adapter)


def test_strays_of_a_worker_are_released_and_known_jobs_are_not(adapter):
    ids = adapter.schedule([new(adapter) for _ in range(4)])
    mine = find(adapter, worker="me", limit=2)
    find(adapter, worker="another")

    released = adapter.release_strays({"me", "me too"}, {mine[0].id})

    assert released == 1
    assert rows(adapter, "id, state, attempts, locked_by") == [
        (ids[0], RUNNING, 1, "me"),
        (ids[1], READY, 0, None),
        (ids[2], RUNNING, 1, "another"),
        (ids[3], READY, 0, None),
    ]


def test_all_jobs_are_cleared_and_counted(adapter):
    adapter.schedule([new(adapter), new(adapter, wait=1)])

    assert adapter.clear() == 2

    assert rows(adapter) == []


def test_nothing_is_cleared_while_a_job_runs(adapter, job):
    schedule(adapter)

    with pytest.raises(JobStateError, match="nothing was deleted, for jobs are running: 1"):
        adapter.clear()

    assert len(rows(adapter)) == 2


def test_a_fact_about_the_file_is_stored_and_replaced(adapter):
    assert adapter.get_meta("seen") is None

    adapter.set_meta("seen", "one")
    adapter.set_meta("seen", "two")

    assert adapter.get_meta("seen") == "two"
    assert adapter.get_meta("schema_version") == "1"


# Durability


@pytest.mark.parametrize("number", [1, 2])
def test_a_stored_job_survives_a_power_cut_and_finding_it_waits_for_no_disk(adapter, number):
    adapter.schedule([new(adapter)] * number)
    assert synchronous(adapter) == FULL

    find(adapter, limit=number)
    assert synchronous(adapter) == NORMAL

    adapter.schedule([new(adapter)] * number)
    assert synchronous(adapter) == FULL


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
@pytest.mark.parametrize("way", ["alone", "exchange"])
def test_a_recorded_outcome_survives_a_power_cut(adapter, job, outcome, way):
    assert synchronous(adapter) == NORMAL  # the job was only found

    if way == "alone":
        adapter.settle(job, outcome)
    else:
        adapter.exchange([(job, outcome)], [Find("v", ("*",), 60)])

    assert synchronous(adapter) == FULL


def test_a_fact_about_the_file_survives_a_power_cut(adapter, job):
    assert synchronous(adapter) == NORMAL  # the job was only found

    adapter.set_meta("seen", "one")

    assert synchronous(adapter) == FULL


def test_with_normal_durability_nothing_waits_for_the_disk(database, clock, driver):
    adapter = SqliteAdapter(database, clock=clock, driver=driver, durability="normal")
    schedule(adapter)
    levels = [synchronous(adapter)]

    [job] = find(adapter)
    levels.append(synchronous(adapter))
    adapter.success(job, delete=True)
    levels.append(synchronous(adapter))
    adapter.close()

    assert levels == [NORMAL, NORMAL, NORMAL]


# Plans


def plan(adapter, statement):
    values = dict.fromkeys(re.findall(r":(\w+)", getattr(adapter.sql, statement)), "[]")
    text = getattr(adapter.sql, statement)
    return [step[3] for step in adapter.connection.execute(f"EXPLAIN QUERY PLAN {text}", values)]


def fill(adapter):
    """Statistics, as an app's own ANALYZE makes them, must not lead the planner away."""
    table = adapter.table
    adapter.connection.execute(
        f"INSERT INTO {table} (state, queue, run_at, handler) "
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) "
        "SELECT i % 2, 'q' || (i % 3), i, '{}' FROM n"
    )
    adapter.connection.execute("ANALYZE")
    adapter.close()


@pytest.mark.parametrize("analyzed", [False, True], ids=["fresh", "analyzed"])
@pytest.mark.parametrize(
    ("statement", "indexes"),
    [
        ("look", {"ready", "scheduled"}),
        ("look_at_all", {"ready", "scheduled"}),
        ("next_run_at", {"scheduled"}),
        ("count_due", {"ready", "resting"}),
        ("promote", {"scheduled"}),
        ("find", {"ready"}),
        ("find_among", {"ready"}),
        ("delete", set()),
        ("success", set()),
        ("error", set()),
        ("failure", set()),
        ("unloadable", set()),
        ("cancelled", set()),
        ("cancel", set()),
        ("cancel_some", {"ready", "resting"}),
        ("ask_to_end", set()),
        ("asked_to_end", {"running"}),
        ("is_asked_to_end", set()),
        ("release", set()),
        ("release_strays", {"running"}),
        ("has_unloadable", {"ended"}),
        ("reload", {"ended"}),
        ("retry", set()),
        ("retry_some", {"resting"}),
        ("running", {"running"}),
        ("places", {"ready", "running", "resting"}),
        ("count_place", {"ready", "running", "resting"}),
        ("record", set()),
        ("list_scheduled", {"scheduled", "resting"}),
        ("list_waiting", {"ended", "resting"}),
        ("list_ready", {"ready"}),
        ("list_running", {"running"}),
        ("list_ended", {"ended", "resting"}),
    ],
)
def test_a_statement_uses_its_partial_indexes_and_never_scans_the_table(
    adapter, statement, indexes, analyzed
):
    if analyzed:
        fill(adapter)

    steps = plan(adapter, statement)

    on_the_table = [step for step in steps if re.match(rf"\w+ ({adapter.table}|j)\b", step)]
    named = re.findall(rf"INDEX {adapter.table}_(\w+)", "\n".join(on_the_table))
    assert set(named) == indexes
    assert on_the_table
    assert all("INDEX" in step or "PRIMARY KEY (rowid=?)" in step for step in on_the_table)


def test_the_next_scheduled_job_is_sought_not_counted(adapter):
    [step] = [step for step in plan(adapter, "next_run_at") if adapter.table in step]

    assert step.startswith("SEARCH")


@pytest.mark.parametrize("statement", ["find", "find_among"])
def test_finding_sorts_no_queue(adapter, statement):
    fill(adapter)

    assert not [step for step in plan(adapter, statement) if "TEMP B-TREE" in step]


def test_listing_ready_jobs_seeks_each_by_the_one_before(adapter):
    fill(adapter)

    steps = plan(adapter, "list_ready")

    assert any("(queue=? AND (priority,run_at,rowid)>(?,?,?))" in step for step in steps)


def test_an_unknown_statement_is_an_attribute_error(adapter):
    with pytest.raises(AttributeError, match="dance"):
        _ = adapter.sql.dance


# Options


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"driver": "mysql"}, "driver must be 'sqlite3' or 'apsw', got 'mysql'"),
        ({"durability": "off"}, "durability must be 'full' or 'normal', got 'off'"),
        ({"table": "a b"}, "table must be a plain name"),
        ({"table": "a;DROP"}, "table must be a plain name"),
        ({"table": "1a"}, "table must be a plain name"),
        ({"table": ""}, "table must be a plain name"),
        ({"table": "a\n"}, "table must be a plain name"),
        ({"table": "a" * 64}, "table must be a plain name"),
    ],
    ids=["driver", "durability", "space", "SQL", "digit", "empty", "newline", "long"],
)
def test_an_option_that_is_not_of_its_kind_is_refused_at_once(database, options, words):
    with pytest.raises(ConfigurationError, match=words):
        SqliteAdapter(database, **options)


@pytest.mark.parametrize("path", ["", ":memory:"])
def test_jobs_need_a_file_on_disk(path):
    with pytest.raises(ConfigurationError, match=f"jobs need a file on disk, got '{path}'"):
        SqliteAdapter(path)


def test_jobs_live_in_a_table_of_another_name(database, clock, driver):
    adapter = SqliteAdapter(database, clock=clock, driver=driver, table="our_Jobs_2")
    id_ = schedule(adapter)

    jobs = found_ids(adapter)

    names = {name for (name,) in adapter.connection.execute("SELECT name FROM sqlite_master")}
    adapter.close()
    assert jobs == [id_]
    assert {"our_Jobs_2", "our_Jobs_2_meta", "our_Jobs_2_view", "our_Jobs_2_ready"} <= names


def test_two_tables_in_one_file_do_not_meet(adapter, database, clock, driver):
    other = SqliteAdapter(database, clock=clock, driver=driver, table="others")
    schedule(adapter)

    assert find(other) == []
    assert len(find(adapter)) == 1
    other.close()


def test_the_path_is_resolved_when_the_adapter_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    adapter = SqliteAdapter("jobs.sqlite")
    monkeypatch.chdir("/")

    assert adapter.describe() == str(tmp_path / "jobs.sqlite")


def test_the_view_shows_states_and_times_as_text(adapter, clock):
    clock.move_to(datetime.fromtimestamp(1_700_000_000, UTC))
    schedule(adapter, wait=60_000)

    shown = adapter.connection.execute(
        f"SELECT state, run_at, created_at FROM {adapter.table}_view"
    )

    assert shown == [("scheduled", "2023-11-14 22:14:20", "2023-11-14 22:13:20")]


def test_a_row_written_by_hand_needs_only_handler_and_run_at(adapter):
    adapter.connection.execute(
        f"INSERT INTO {adapter.table} (handler, run_at) VALUES ('h', 0) RETURNING id"
    )

    [job] = find(adapter)

    assert (job.queue, job.priority, job.handler) == ("default", 50, "h")


# Inspecting


@pytest.fixture
def inspection(adapter):
    return Inspection(adapter)


def all_kinds(adapter, clock):
    """One job of each kind, all in queue mail but the last; their ids by kind."""
    ids = {}
    for kind in ("success", "error", "failure", "unloadable"):
        ids[kind] = schedule(adapter, queue="mail")
        [job] = find(adapter)
        outcome = OUTCOMES[kind]
        adapter.settle(job, outcome if kind != "error" else Outcome("error", "oh", clock.now() + 5))
    ids["running"] = schedule(adapter, queue="mail")
    find(adapter)
    ids["ready"] = schedule(adapter, queue="mail")
    ids["scheduled"] = schedule(adapter, queue="other", wait=1)
    return ids


def test_jobs_are_counted_by_queue_and_state(adapter, clock, inspection):
    all_kinds(adapter, clock)

    states = ("scheduled", "ready", "running", "unloadable", "succeeded", "failed")
    counts = {"mail": dict.fromkeys(states, 1), "other": {"scheduled": 1}}
    assert inspection.counts() == Counts(counts, up_to=None)


def test_many_jobs_are_counted_up_to_a_share_of_what_is_counted_in_all(
    adapter, inspection, monkeypatch
):
    monkeypatch.setattr("litejobs.adapters.sqlite.inspection._COUNTED", 25)
    adapter.schedule([new(adapter, queue=queue) for queue in "a" * 12 + "b" * 9])

    counts = inspection.counts()

    assert counts == Counts({"a": {"ready": 10}, "b": {"ready": 9}}, up_to=10)
    assert [counts.is_exact(number) for number in (10, 9)] == [False, True]
    assert inspection.counts(exact=True) == Counts({"a": {"ready": 12}, "b": {"ready": 9}}, None)


def test_a_queue_that_is_no_text_is_counted_and_tried_again(adapter, inspection):
    adapter.connection.execute(
        f"INSERT INTO {adapter.table} (state, queue, finished_at, handler) "
        "VALUES (5, CAST(x'ff00' AS TEXT), 1, '{}')"
    )

    counts = inspection.counts().queues

    assert counts == {"\N{REPLACEMENT CHARACTER}\0": {"failed": 1}}
    assert inspection.retry_all() == 1


@pytest.mark.parametrize("queues", [["default"], ["default", "mail"]], ids=["one", "two"])
def test_a_job_of_as_many_attempts_as_can_be_keeps_no_other_from_being_found(adapter, queues):
    schedule(adapter)
    schedule(adapter)
    adapter.connection.execute(f"UPDATE {adapter.table} SET attempts = 1000000000 WHERE id = 1")

    found = find(adapter, *queues, limit=2)

    assert [job.attempts for job in found] == [1_000_000_000, 1]


def test_a_job_in_no_attempt_is_released_as_others_are(adapter):
    schedule(adapter)
    [job] = find(adapter)
    adapter.connection.execute(f"UPDATE {adapter.table} SET attempts = 0")

    assert adapter.release(job._replace(attempts=0))
    assert row(adapter, "state, attempts") == (READY, 0)


def test_queues_that_are_no_text_and_are_shown_alike_are_counted_together(adapter, inspection):
    insert_no_text(adapter, "ff", "fe")

    assert inspection.counts().queues == {"\N{REPLACEMENT CHARACTER}": {"ready": 2}}


def test_a_job_of_a_queue_that_is_no_text_is_found_among_all_others(adapter):
    insert_no_text(adapter, "ff", "eda080")
    schedule(adapter, queue="mail")

    assert found_ids(adapter) == [1, 2, 3]
    assert not adapter.is_due(["*"])


def test_the_only_queue_with_jobs_may_be_no_text(adapter, inspection):
    insert_no_text(adapter, "ff")

    listed = [record.id for record in inspection.records(state="ready")]

    assert listed == found_ids(adapter) == [1]


def insert_no_text(adapter, *queues):
    for queue in queues:
        adapter.connection.execute(
            f"INSERT INTO {adapter.table} (state, queue, run_at, handler) "
            f"VALUES (1, CAST(x'{queue}' AS TEXT), 1, '{{}}')"
        )


def test_the_sizes_are_of_the_database_and_its_log(adapter, database, inspection):
    schedule(adapter)

    assert inspection.sizes() == (
        database.stat().st_size,
        database.with_name("jobs.sqlite-wal").stat().st_size,
    )


def test_the_newest_jobs_are_listed_first(adapter, inspection):
    ids = adapter.schedule([new(adapter, queue=queue) for queue in "aba"])

    listed = [[r.id for r in inspection.records(**options)] for options in ({}, {"limit": 2})]

    assert listed == [ids[::-1], ids[:0:-1]]


@pytest.mark.parametrize("queues", ["aaaaaa", "abcabc", "bbaabb"])
@pytest.mark.parametrize("limit", [50, 4])
def test_ready_jobs_are_listed_as_they_will_run(adapter, clock, inspection, queues, limit):
    for queue, priority in zip(queues, (2, 1, 2, 1, 2, 1), strict=True):
        schedule(adapter, queue=queue, priority=priority)
        clock.advance(seconds=0.001 * (priority - 1))  # some are due in the same millisecond

    listed = [record.id for record in inspection.records(state="ready", limit=limit)]
    of_a = [record.id for record in inspection.records(state="ready", queue="a", limit=limit)]

    assert listed == found_ids(adapter, limit=6)[:limit]
    assert of_a == [id_ for id_ in [2, 4, 6, 1, 3, 5] if queues[id_ - 1] == "a"][:limit]


@pytest.mark.parametrize("queue", [None, "a"])
def test_scheduled_jobs_are_listed_with_the_soonest_first(adapter, inspection, queue):
    ids = adapter.schedule([new(adapter, queue="a", wait=wait) for wait in (3, 1, 2, 1)])

    listed = [record.id for record in inspection.records(state="scheduled", queue=queue, limit=3)]

    assert listed == [ids[1], ids[3], ids[2]]


@pytest.mark.parametrize("queue", [None, "a"])
def test_running_jobs_are_listed_with_the_longest_first(adapter, clock, inspection, queue):
    for priority in (2, 1):
        schedule(adapter, queue="a", priority=priority)
    for worker in "zy":
        find(adapter, worker=worker)
        clock.advance(seconds=1)

    listed = [record.id for record in inspection.records(state="running", queue=queue)]

    assert listed == [2, 1]


@pytest.mark.parametrize("queue", [None, "a"])
@pytest.mark.parametrize(("kind", "state"), [("success", "succeeded"), ("failure", "failed")])
def test_finished_jobs_are_listed_with_the_last_first(
    adapter, clock, inspection, kind, state, queue
):
    ids = adapter.schedule([new(adapter, queue="a", priority=number) for number in (3, 1, 2)])
    for job in find(adapter, limit=3):
        clock.advance(seconds=1)
        adapter.settle(job, OUTCOMES[kind])

    listed = [record.id for record in inspection.records(state=state, queue=queue, limit=2)]

    assert listed == [ids[0], ids[2]]


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize(("queue", "expected"), [(None, [3, 2, 1]), ("a", [2, 3, 1])])
def test_unloadable_jobs_are_listed_with_the_newest_or_of_a_queue_the_last_to_run_first(
    adapter, inspection, queue, expected, limit
):
    adapter.schedule([new(adapter, queue="a", wait=wait) for wait in (-3, -1, -2)])
    for job in find(adapter, limit=3):
        adapter.settle(job, OUTCOMES["unloadable"])

    listed = inspection.records(state="unloadable", queue=queue, limit=limit)

    assert [record.id for record in listed] == expected[:limit]


@pytest.mark.parametrize("limit", [50, 3])
def test_the_jobs_of_a_queue_are_listed_state_by_state(adapter, clock, inspection, limit):
    all_kinds(adapter, clock)

    listed = [record.state for record in inspection.records(queue="mail", limit=limit)]

    states = ["running", "ready", "scheduled", "unloadable", "failed", "succeeded"]
    assert listed == states[:limit]


def test_jobs_are_listed_by_state(adapter, clock, inspection):
    ids = all_kinds(adapter, clock)

    [failed] = inspection.records(state="failed")

    assert (failed.id, failed.state, failed.last_error) == (ids["failure"], "failed", "oh")
    assert (failed.failed_at, failed.run_at, failed.attempts) == (clock.now(), None, 1)


@pytest.mark.parametrize("id_", [7, 10**30], ids=["unknown", "beyond SQLite's integers"])
def test_a_job_that_is_not_there_is_named(inspection, id_):
    with pytest.raises(JobNotFoundError, match=f"there is no job {id_} in"):
        inspection.record(id_)


@pytest.mark.parametrize("kind", ["failure", "unloadable", "error"])
def test_a_job_that_went_wrong_is_retried_with_all_its_attempts(adapter, clock, inspection, kind):
    id_ = all_kinds(adapter, clock)[kind]
    clock.advance(seconds=1)

    inspection.retry([id_])

    record = inspection.record(id_)
    assert (record.state, record.attempts, record.run_at) == ("ready", 0, clock.now())
    assert (record.failed_at, record.finished_at) == (None, None)


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("success", "succeeded"),
        ("running", "running"),
        ("ready", "ready"),
        ("scheduled", "scheduled"),
    ],
)
def test_a_job_that_did_not_go_wrong_is_not_retried(adapter, clock, inspection, kind, state):
    id_ = all_kinds(adapter, clock)[kind]

    with pytest.raises(JobStateError, match=f"job {id_} is {state}: there is nothing to retry"):
        inspection.retry([id_])


def test_jobs_are_retried_all_or_none(adapter, clock, inspection):
    ids = all_kinds(adapter, clock)
    before = rows(adapter, "*")

    with pytest.raises(JobNotFoundError):
        inspection.retry([ids["failure"], 99])

    assert rows(adapter, "*") == before


@pytest.mark.parametrize(("queue", "number"), [(None, 2), ("mail", 2), ("other", 0)])
def test_all_failed_and_unloadable_jobs_are_retried(adapter, clock, inspection, queue, number):
    ids = all_kinds(adapter, clock)

    assert inspection.retry_all(queue) == number

    states = dict(rows(adapter))
    assert (states[ids["failure"]] == READY) is bool(number)
    assert (states[ids["unloadable"]] == READY) is bool(number)
    assert states[ids["success"]] == SUCCEEDED
    assert states[ids["error"]] == SCHEDULED


@pytest.fixture
def in_twos(adapter, monkeypatch):
    """Jobs are made ready in batches of two; calls a function, once told, after each of them."""
    monkeypatch.setattr(defaults, "CHANGE_BATCH", 2)
    calls = []
    monkeypatch.setattr(adapter, "ring", lambda: [call() for call in calls])
    return calls.append


def of_kind(adapter, kind, count):
    """So many jobs that have become of that kind."""
    adapter.schedule([new(adapter, priority=number) for number in range(count)])
    for job in find(adapter, limit=count):
        adapter.settle(job, OUTCOMES[kind])


@pytest.mark.parametrize(
    ("kind", "again"),
    [
        ("failure", lambda adapter: Inspection(adapter).retry_all()),
        ("unloadable", lambda adapter: Inspection(adapter).retry_all()),
        ("unloadable", lambda adapter: adapter.reload()),
    ],
    ids=["retry failed", "retry unloadable", "reload"],
)
def test_others_can_write_while_many_are_made_ready(
    adapter, database, clock, driver, in_twos, kind, again
):
    of_kind(adapter, kind, 5)
    other = SqliteAdapter(database, clock=clock, driver=driver)
    seen = []

    def write():
        schedule(other, queue="other")
        seen.append(Inspection(other).counts().queues["default"]["ready"])

    in_twos(write)

    assert again(adapter) == 5

    assert seen[:3] == [2, 4, 5]
    other.close()


@pytest.mark.parametrize(
    ("kind", "again"),
    [
        ("failure", lambda adapter: Inspection(adapter).retry_all()),
        ("unloadable", lambda adapter: adapter.reload()),
    ],
    ids=["retry", "reload"],
)
def test_each_job_is_made_ready_once_though_it_goes_wrong_again_meanwhile(
    adapter, database, clock, driver, in_twos, kind, again
):
    of_kind(adapter, kind, 5)
    clock.advance(seconds=1)
    other = SqliteAdapter(database, clock=clock, driver=driver)
    seen = []

    def work():
        for job in find(other, limit=100 if len(seen) < 20 else 0):
            seen.append(job.id)
            other.settle(job, OUTCOMES[kind])

    in_twos(work)

    assert again(adapter) == 5

    assert sorted(seen) == [1, 2, 3, 4, 5]
    other.close()


def test_jobs_that_are_retried_together_run_in_the_order_of_their_ids(
    adapter, clock, inspection, in_twos
):
    adapter.schedule([new(adapter, queue=queue) for queue in "bbaab"])
    for job in find(adapter, limit=5):
        adapter.settle(job, OUTCOMES["failure" if job.id % 2 else "unloadable"])
    in_twos(lambda: clock.advance(seconds=1))

    inspection.retry_all()

    assert found_ids(adapter) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("whole", "parts", "each"), [(100, 0, 100), (100, 1, 100), (100, 2, 10), (9, 1, 1), (9, 10, 1)]
)
def test_a_share_is_a_round_number(whole, parts, each):
    assert share(whole, parts) == each


def test_a_queue_without_jobs_is_refused_with_those_that_have_some(adapter, inspection):
    adapter.schedule([new(adapter, queue=queue) for queue in "ab"])
    inspection.check_queue("a")

    with pytest.raises(JobNotFoundError, match="no jobs in queue 'c'; queues with jobs: a, b"):
        inspection.check_queue("c")


def test_an_empty_database_has_no_queues(inspection):
    with pytest.raises(JobNotFoundError, match="queues with jobs: none"):
        inspection.check_queue("a")


# What storage of another kind inherits


class ListAdapter(BaseAdapter):
    """The least that an adapter can be: it notes what it is asked."""

    def __init__(self):
        self.asked = []
        self.holds = True

    def schedule(self, jobs):
        return [1 for _ in jobs]

    def find(self, *, worker, queues, max_runtime, limit=1):
        self.asked.append(("find", worker, queues, max_runtime, limit))
        return []

    def success(self, job, *, delete, keep=None, result=None):
        self.asked.append(("success", delete, keep, result))
        return self.holds

    def error(self, job, error, run_at):
        self.asked.append(("error", error, run_at))
        return self.holds

    def failure(self, job, error, *, delete, keep=None):
        self.asked.append(("failure", error, delete, keep))
        return self.holds

    def clear(self):
        return 0


STORED = StoredJob(1, "q", 50, 1234, 1, "w", json.dumps({}))


@pytest.mark.parametrize(
    ("outcome", "asked"),
    [
        ("success", ("success", False, None, None)),
        ("deleted success", ("success", True, None, None)),
        ("success kept for a minute", ("success", False, 60, None)),
        ("error", ("error", "oh", 1)),
        ("failure", ("failure", "oh", False, None)),
        ("deleted failure", ("failure", "oh", True, None)),
        ("failure kept for a minute", ("failure", "oh", False, 60)),
        ("unloadable", ("failure", "gone", False, None)),
        ("released", ("error", "stopped before it was finished", 1234)),
    ],
)
def test_a_small_adapter_records_each_outcome_with_what_it_has(outcome, asked, caplog):
    adapter = ListAdapter()

    adapter.settle(STORED, OUTCOMES[outcome])

    assert adapter.asked == [asked]
    assert caplog.records == []


def test_a_small_adapter_exchanges_step_by_step():
    adapter = ListAdapter()

    found = adapter.exchange(
        [(STORED, OUTCOMES["success"])], [Find("one", ("a",), 60, 2), Find("two", ("b",), 70)]
    )

    assert found == [[], []]
    assert adapter.asked == [
        ("success", False, None, None),
        ("find", "one", ("a",), 60, 2),
        ("find", "two", ("b",), 70, 1),
    ]


def test_a_small_adapter_warns_when_its_row_was_lost(caplog):
    adapter = ListAdapter()
    adapter.holds = False

    adapter.settle(STORED, OUTCOMES["success"])

    assert "job 1 was no longer ours: its success changed nothing" in caplog.text


def test_a_small_adapter_knows_nothing_more():
    adapter = ListAdapter()
    adapter.set_meta("key", "value")
    adapter.close()

    assert adapter.describe() == "ListAdapter"
    assert adapter.reload() == 0
    assert adapter.release_strays({"w"}, set()) == 0
    assert adapter.is_due(("*",)) is False
    assert adapter.next_run_at() is None
    assert adapter.get_meta("key") is None
    assert adapter.run_directory is None
    assert adapter.sweep() is False


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"state": 3, "run_at": None}, id="unloadable without a time"),
        pytest.param({"state": 0, "run_at": 1, "attempts": 2**62}, id="attempts without end"),
    ],
)
def test_a_row_that_would_stop_a_worker_is_refused_by_the_table(adapter, values):
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    sql = f"INSERT INTO background_jobs (handler, {names}) VALUES ('{{}}', {marks})"

    with pytest.raises(StorageError, match="CHECK"):
        adapter.connection.execute(sql, values)
