"""Of several calls that mean the same, one job: who comes second, and when."""

import sqlite3
import threading
from contextlib import closing
from datetime import timedelta

import pytest
from helpers import Jobs

from litejobs import DuplicateJobError, JobManager, Keep, Key, Limit, SchedulingError
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.adapters.sqlite.inspection import Inspection
from litejobs.errors import ConfigurationError, JobStateError
from litejobs.job import NewJob, Outcome
from litejobs.testing.adapter_suite import together

SUCCESS, DELETED = Outcome("success"), Outcome("success", delete=True)
ERROR, FAILURE = Outcome("error", "oh", run_at=0), Outcome("failure", "oh")


def sync(account, what="all"):
    """A job."""


@pytest.fixture
def manager(adapter, clock):
    return JobManager({"sqlite": adapter}, clock=clock)


@pytest.fixture
def job(manager):
    return manager.job(sync)


@pytest.fixture
def later(manager):
    return manager.create_scheduler()


def find(adapter):
    [job] = adapter.find(worker="w", queues=["*"], max_runtime=60)
    return job


def end(adapter, outcome):
    adapter.exchange([(find(adapter), outcome)], [])


def rows(adapter, columns="id"):
    return adapter.connection.execute(f"SELECT {columns} FROM background_jobs ORDER BY id")


def args(adapter):
    return [args for (args,) in rows(adapter, "json_extract(handler, '$.args')")]


LIVE = {
    "scheduled": lambda adapter, _: None,
    "ready": lambda adapter, clock: clock.advance(10),
    "waiting for its retry": lambda adapter, clock: (clock.advance(10), end(adapter, ERROR)),
    "unloadable": lambda adapter, clock: (
        clock.advance(10), end(adapter, Outcome("unloadable", "gone")),
    ),
}  # fmt: skip


@pytest.mark.parametrize("bring", [*LIVE.values(), lambda a, c: (c.advance(10), find(a))],
                         ids=[*LIVE, "running"])  # fmt: skip
def test_a_call_whose_key_a_live_job_has_stores_nothing_and_returns_that_one(
    later, job, adapter, clock, bring
):
    first = later(job, [1], wait=10, key="a")
    bring(adapter, clock)

    second = later(job, [2], key="a")

    assert (first.is_new, second.is_new) == (True, False)
    assert second == first
    assert second.args == (1,)
    assert args(adapter) == ["[1]"]


@pytest.mark.parametrize("outcome", [SUCCESS, DELETED, FAILURE], ids=lambda one: one.kind)
def test_the_key_of_a_job_that_is_over_is_free(later, job, adapter, outcome):
    later(job, [1], key="a")
    end(adapter, outcome)

    assert later(job, [2], key="a").is_new


def test_other_keys_other_jobs_and_no_keys_are_no_hindrance(later, job, manager, adapter):
    @manager.job
    def other(account):
        pass

    calls = [later(job, [1], key="a"), later(job, [1], key="b"), later(other, [1], key="a")]
    calls += [later(job, [1]), later(job, [1])]

    assert all(call.is_new for call in calls)
    assert len({call.id for call in calls}) == len(rows(adapter)) == 5


@pytest.mark.parametrize("bring", LIVE.values(), ids=LIVE)
def test_one_that_waits_is_replaced_where_the_key_says_so(later, job, adapter, clock, bring):
    first = later(job, [1], wait=10, key="a")
    bring(adapter, clock)

    second = later(job, [2], priority=7, key=Key("a", "replace"))

    assert second == first
    assert second.is_new
    assert rows(adapter, "state, priority, attempts, last_error") == [(1, 7, 0, None)]
    assert find(adapter).handler.count('"args":[2]') == 1


def test_like_named_functions_of_two_files_have_keys_of_their_own(project):
    for file in ("a", "b"):
        project.write(f"{file}.py", "def report(): pass")
    project.write(
        "both.py",
        """
        import a, b
        from litejobs import Key, later

        later(a.report, key="daily")
        print(later(b.report, key=Key("daily", policy="replace")).is_new)
        """,
    )

    assert project.run("both.py", env={"LITEJOBS_DATABASE": "db.sqlite"}).out == "True\n"
    assert Jobs(project).rows("json_extract(handler, '$.path')") == [("a.py",), ("b.py",)]


def test_one_that_runs_is_left_as_it_is_and_returned(later, job, adapter):
    first = later(job, [1], key="a")
    running = find(adapter)

    second = later(job, [2], key=Key("a", "replace"))

    assert second == first
    assert not second.is_new
    assert adapter.success(running, delete=True)


def test_where_the_key_says_so_a_duplicate_is_an_error(later, job, adapter):
    later(job, [1], key="a")

    there = r"the key '.*test_keys\.py:sync:a' is there already: 1"
    with pytest.raises(DuplicateJobError, match=there):
        later(job, [2], key=Key("a", "raise"))

    assert args(adapter) == ["[1]"]


@pytest.mark.parametrize("outcome", [SUCCESS, DELETED], ids=["kept", "deleted"])
@pytest.mark.parametrize("policy", ["skip", "replace"])
def test_for_its_period_after_a_success_a_key_is_taken(later, job, adapter, clock, outcome, policy):
    key = Key("a", policy, period=timedelta(seconds=60))
    first = later(job, [1], key=key)
    end(adapter, outcome)
    clock.advance(59.999)
    adapter.sweep()
    assert later(job, [2], key=key) == first
    assert later(job, [2], key="a").state == "succeeded"

    clock.advance(0.001)

    second = later(job, [2], key=key)
    assert second.is_new
    assert second != first
    adapter.sweep()
    assert len(rows(adapter)) == (2 if outcome is SUCCESS else 1)


def test_a_key_with_a_period_is_free_after_a_failure(later, job, adapter):
    later(job, [1], key=Key("a", period=60))
    end(adapter, FAILURE._replace(delete=True))

    assert later(job, [2], key="a").is_new


def test_a_row_stays_for_the_longer_of_its_keys_period_and_the_retention(database, clock, driver):
    adapter = SqliteAdapter(
        database, clock=clock, driver=driver, retention={"succeeded": Keep(age=100)}
    )
    manager = JobManager({"sqlite": adapter}, clock=clock)
    later, job = manager.create_scheduler(), manager.job(sync)
    for number, period in enumerate((10, 1000)):
        later(job, [1], key=Key(f"{number}", period=period))
        end(adapter, SUCCESS)
    clock.advance(99)
    adapter.sweep()
    assert len(rows(adapter)) == 2
    clock.advance(1)
    adapter.sweep()
    assert rows(adapter) == [(2,)]
    clock.advance(900)
    adapter.sweep()
    assert rows(adapter) == []
    adapter.close()


def test_a_key_may_be_made_from_the_arguments(later, manager, adapter):
    by_account = manager.job(key=lambda account, what="all": f"{account}-{what}")(sync)

    later(by_account, [1])
    calls = [
        later(by_account, [1]),
        later(by_account, [1], {"what": "mail"}),
        later(by_account, [2]),
    ]

    assert [call.is_new for call in calls] == [False, True, True]
    assert later(by_account, [1], key="quite another").is_new


def test_many_share_a_transaction_and_their_keys(later, job, adapter):
    later(job, [1], key="1")

    jobs = later.many(job, [[1], [2], [2], [3]], key=lambda account: f"{account}")

    assert [one.is_new for one in jobs] == [False, True, False, True]
    assert jobs[1] == jobs[2]
    with pytest.raises(DuplicateJobError):
        later.many(job, [[4], [3]], key=Key(str, "raise"))
    assert args(adapter) == ["[1]", "[2]", "[3]"]


def test_of_many_who_store_at_once_one_does(database, driver):
    def store():
        adapter = SqliteAdapter(database, driver=driver)
        manager = JobManager({"sqlite": adapter})
        later, job = manager.create_scheduler(), manager.job(sync)
        stored.append(later(job, [threading.get_ident()], key="a"))
        adapter.close()

    stored = []
    together(*[store] * 8)

    assert len({one.id for one in stored}) == 1
    assert sum(one.is_new for one in stored) == 1


def test_a_failed_job_is_not_tried_again_beside_a_live_one_with_its_key(later, job, adapter):
    for _ in range(3):
        later(job, [1], key="a")
        end(adapter, FAILURE)
    live = later(job, [1], key="a")
    inspection = Inspection(adapter)

    with pytest.raises(JobStateError, match="job 1 is not tried again: another with its key"):
        inspection.retry([1])
    assert inspection.retry_all() == 0
    end(adapter, DELETED)
    assert inspection.retry_all() == 1

    assert rows(adapter, "id, state") == [(1, 1), (2, 5), (3, 5)]
    assert live.refresh() == "gone"


def test_a_failed_job_is_not_tried_again_while_a_success_keeps_its_key(later, job, adapter, clock):
    failed = later(job, [1], key=Key("a", period=60))
    end(adapter, FAILURE)
    later(job, [2], key=Key("a", period=60))
    end(adapter, DELETED)
    inspection = Inspection(adapter)

    for seconds, is_over in ((59.9, False), (0.1, True)):
        clock.advance(seconds)
        if not is_over:
            with pytest.raises(JobStateError, match="has succeeded and keeps it for its period"):
                inspection.retry([failed.id])
        assert inspection.retry_all() == is_over


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "a key must be printable text, got ''"),
        ("a\nb", r"a key must be printable text, got 'a\\nb'"),
        (5, "a key must be printable text, got 5"),
        ("x" * 1001, "a key must be at most 1000 characters, got 1001"),
        (lambda account: account, "a key must be printable text, got 1"),
        (lambda account: 1 / 0, "the key of sync raised ZeroDivisionError: division by zero"),
    ],
)
def test_what_is_no_key_is_refused(later, job, adapter, key, reason):
    with pytest.raises(SchedulingError, match=reason):
        later(job, [1], key=key)

    assert rows(adapter) == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"policy": "sikp"}, "policy of a key must be one of skip, replace, raise, got 'sikp'"),
        ({"period": 0}, "period must be more than 0 seconds, got 0"),
    ],
)
def test_what_is_no_option_of_a_key_is_refused(options, reason):
    with pytest.raises(ConfigurationError, match=reason):
        Key("a", **options)


def test_the_keys_of_a_job_are_checked_where_it_is_declared(manager):
    with pytest.raises(ConfigurationError, match="a key must be printable text, got 7"):
        manager.job(key=7)(sync)


def test_all_looks_for_a_key_are_seeks(adapter):
    values = {
        "state": 1, "queue": "q", "priority": 1, "run_at": 1, "now": 1, "handler": "{}",
        "key": "k", "period": None, "limit_key": None, "limit_max": None,
    }  # fmt: skip
    sql = adapter.sql
    for statement in (sql.schedule_unique, sql.replace_unique, sql.with_key):
        plan = adapter.connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)
        assert not [step for *_, step in plan if step.startswith("SCAN background_jobs")], plan
        assert [step for *_, step in plan if "_key" in step], plan


def test_storage_that_knows_no_keys_says_so(manager, later, job, monkeypatch):
    from litejobs.adapters.base import BaseAdapter

    monkeypatch.setattr(SqliteAdapter, "schedule_unique", BaseAdapter.schedule_unique)

    with pytest.raises(ConfigurationError, match="knows no keys of jobs"):
        later(job, [1], key="a")


def test_a_job_without_a_key_is_stored_as_ever(adapter, clock):
    assert adapter.schedule([NewJob("{}", "q", 50, clock.now())] * 2) == [1, 2]
    assert rows(adapter, "unique_key, key_period") == [(None, None)] * 2


def test_a_key_holds_in_a_transaction_of_the_apps_too(database, clock):
    adapter = SqliteAdapter(database, clock=clock)
    manager = JobManager({"sqlite": adapter}, clock=clock)
    later, job = manager.create_scheduler(), manager.job(sync)
    adapter.open()
    with closing(sqlite3.connect(database)) as connection:
        first = later(job, [1], key="a", connection=connection)
        assert later(job, [2], key="a", connection=connection) == first
        with pytest.raises(DuplicateJobError):
            later.many(job, [[3], [4]], key=Key("a", "raise"), connection=connection)
        assert rows(adapter) == []
        connection.rollback()

        second = later(job, [5], key="a", connection=connection)
        replaced = later(job, [6], key=Key("a", "replace"), connection=connection)
        connection.commit()

    assert second.is_new
    assert replaced == second
    assert args(adapter) == ["[6]"]
    adapter.close()


def test_a_key_and_a_limit_go_together(later, manager, adapter):
    one = manager.job(limit=1)(sync)
    later(one, [1], key="a")
    assert later(one, [2], key="b", wait=60).state == "scheduled"
    later(one, [3], key="c")
    assert rows(adapter, "state") == [(1,), (0,), (-1,)]

    later(one, [4], key=Key("b", "replace"))
    later(one, [5], key=Key("c", "replace"))
    assert sorted(rows(adapter, "state")) == [(-1,), (-1,), (1,)]
    end(adapter, DELETED)

    assert sorted(rows(adapter, "state")) == [(-1,), (1,)]


def test_what_replaces_a_job_leaves_the_place_that_that_one_had(later, manager, adapter):
    by_account = manager.job(limit=Limit(1, key=lambda account, what="all": f"{account}"))(sync)
    later(by_account, [1], key="a")
    later(by_account, [1], key="b")
    assert rows(adapter, "state") == [(1,), (-1,)]

    later(by_account, [2], key=Key("a", "replace"))

    assert rows(adapter, "state, limit_key") == [(1, "2"), (1, "1")]
