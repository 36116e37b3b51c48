"""What is over goes in time: by age, by count, or when the job itself says."""

import json
from contextlib import closing
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from litejobs import Keep, defaults
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.adapters.sqlite.inspection import Inspection
from litejobs.adapters.sqlite.vacuum import vacuum
from litejobs.errors import ConfigurationError, JobStateError
from litejobs.job import NewJob, Outcome
from litejobs.run_directory.lease import held_lease

DAY = 24 * 3600
SUCCESS, FAILURE = Outcome("success"), Outcome("failure", "oh")


@pytest.fixture
def make(database, clock, driver):
    made = []

    def make(retention=None):
        made.append(SqliteAdapter(database, clock=clock, driver=driver, retention=retention))
        return made[-1]

    yield make
    for adapter in made:
        adapter.close()


def end(adapter, *outcomes, queue="default"):
    """Let one job for each of *outcomes* end so, one after the other; their ids."""
    ids = adapter.schedule([NewJob("{}", queue, 50, adapter.clock.now()) for _ in outcomes])
    for outcome in outcomes:
        [job] = adapter.find(worker="w", queues=[queue], max_runtime=60)
        adapter.exchange([(job, outcome)], [])
    return ids


def ids(adapter):
    rows = adapter.connection.execute("SELECT id FROM background_jobs ORDER BY id")
    return [id_ for (id_,) in rows]


def sweep(adapter):
    """All there is to delete; the ids of what stays."""
    while adapter.sweep():
        pass
    return ids(adapter)


def test_successes_that_are_kept_stay_for_a_week_and_failures_for_ever(make, clock):
    adapter = make()
    [_, failed] = end(adapter, SUCCESS, FAILURE)
    clock.advance(7 * DAY - 0.001)
    [second] = end(adapter, SUCCESS)
    assert len(sweep(adapter)) == 3

    clock.advance(0.001)

    assert sweep(adapter) == [failed, second]
    clock.advance(10_000 * DAY)
    assert sweep(adapter) == [failed]


def test_failures_go_when_the_retention_says_so(make, clock):
    adapter = make({"failed": Keep(age=timedelta(days=1)), "succeeded": Keep()})
    [succeeded, _] = end(adapter, SUCCESS, FAILURE)
    clock.advance(1000 * DAY)

    assert sweep(adapter) == [succeeded]


def test_of_as_many_as_the_retention_says_the_last_stay(make, clock):
    adapter = make({"failed": Keep(count=2)})
    first, _, third = end(adapter, FAILURE, FAILURE, FAILURE)
    clock.advance(1)
    Inspection(adapter).retry([first])
    [job] = adapter.find(worker="w", queues=["*"], max_runtime=60)
    adapter.failure(job, "again", delete=False)

    assert sweep(adapter) == [first, third]


def test_a_count_of_zero_keeps_none(make):
    adapter = make({"failed": Keep(count=0)})
    end(adapter, FAILURE, FAILURE)

    assert sweep(adapter) == []


def test_a_job_may_say_itself_how_long_it_stays(make, clock):
    adapter = make({"failed": Keep(age=60)})
    short, long, plain = end(
        adapter, SUCCESS._replace(keep=1.5), FAILURE._replace(keep=100.0), FAILURE
    )
    clock.advance(1.499)
    assert sweep(adapter) == [short, long, plain]

    clock.advance(0.001)
    assert sweep(adapter) == [long, plain]
    clock.advance(98.499)
    assert sweep(adapter) == [long]
    clock.advance(0.001)
    assert sweep(adapter) == []


def test_unloadable_jobs_go_by_the_time_at_which_they_were_due(make, clock):
    adapter = make({"unloadable": Keep(age=60)})
    end(adapter, Outcome("unloadable", "gone"), queue="a")
    clock.advance(60)
    [young] = end(adapter, Outcome("unloadable", "gone"), queue="b")

    assert sweep(adapter) == [young]


def test_jobs_that_are_not_over_stay_whatever_is_said(make, clock):
    adapter = make({state: Keep(age=0) for state in ("succeeded", "failed", "unloadable")})
    adapter.schedule([NewJob("{}", "a", 50, clock.now() + wait) for wait in (0, 0, 10**9)])
    adapter.find(worker="w", queues=["a"], max_runtime=60)
    clock.advance(DAY)

    assert len(sweep(adapter)) == 3


def test_a_job_that_is_tried_again_is_kept_no_shorter_for_what_it_was(make, clock):
    adapter = make({"failed": Keep(age=60)})
    [id_] = end(adapter, FAILURE._replace(keep=1))
    Inspection(adapter).retry([id_])
    clock.advance(2)
    assert sweep(adapter) == [id_]

    [job] = adapter.find(worker="w", queues=["*"], max_runtime=60)
    adapter.failure(job, "again", delete=False)

    assert sweep(adapter) == [id_]


@pytest.fixture
def once_sought(monkeypatch):
    """Does something after the old jobs were sought, and before they are deleted."""

    def set_up(adapter, change):
        execute = adapter.connection.execute

        def meanwhile(statement, values=()):
            rows = execute(statement, values)
            if statement in (adapter.sql.aged, adapter.sql.aged_unloadable) and rows:
                monkeypatch.undo()
                change()
            return rows

        monkeypatch.setattr(adapter.connection, "execute", meanwhile)

    return set_up


@pytest.mark.parametrize("keep", [None, 60.0], ids=["by the retention", "by itself"])
def test_what_failed_once_more_since_it_was_sought_is_not_deleted(make, clock, once_sought, keep):
    adapter = make({"failed": Keep(age=60)})
    [id_] = end(adapter, FAILURE)
    clock.advance(61)

    def fail_again():
        Inspection(adapter).retry([id_])
        [job] = adapter.find(worker="w", queues=["*"], max_runtime=60)
        adapter.failure(job, "again", delete=False, keep=keep)

    once_sought(adapter, fail_again)
    adapter.sweep()

    assert ids(adapter) == [id_]


def test_what_was_changed_since_it_was_sought_is_not_deleted(make, clock, once_sought):
    adapter = make({"failed": Keep(age=60)})
    [id_] = end(adapter, FAILURE)
    clock.advance(61)

    once_sought(adapter, lambda: Inspection(adapter).retry([id_]))

    assert sweep(adapter) == [id_]


def test_what_waits_for_its_limit_since_it_was_sought_is_not_deleted(make, clock, once_sought):
    adapter = make({"unloadable": Keep(age=60)})
    [id_] = end(adapter, Outcome("unloadable", "no"))
    clock.advance(61)

    once_sought(
        adapter, lambda: adapter.connection.execute("UPDATE background_jobs SET state = -1")
    )

    assert sweep(adapter) == [id_]


def test_a_sweep_goes_by_batches(make, clock, monkeypatch):
    monkeypatch.setattr(defaults, "CHANGE_BATCH", 2)
    adapter = make({"failed": Keep(age=1)})
    end(adapter, *[FAILURE] * 3, *[SUCCESS._replace(keep=1)] * 3)
    clock.advance(2)

    left = []
    while adapter.sweep():
        left.append(len(ids(adapter)))

    assert left == [4, 1]
    assert ids(adapter) == []


def test_those_that_stay_longer_are_passed_over_once(make, clock, monkeypatch):
    monkeypatch.setattr(defaults, "CHANGE_BATCH", 2)
    adapter = make({"failed": Keep(age=1)})
    *stay, _ = end(adapter, *[FAILURE._replace(keep=1000)] * 5, FAILURE)
    clock.advance(2)
    assert sweep(adapter) == stay
    [other] = end(adapter, FAILURE)
    clock.advance(2)

    adapter.sweep()

    assert ids(adapter) == stay
    assert other not in stay


def test_what_ended_while_the_clock_was_set_back_goes_too(make, clock):
    adapter = make({"failed": Keep(age=60)})
    end(adapter, FAILURE)
    clock.advance(61)
    assert sweep(adapter) == []
    clock.advance(-DAY)
    assert sweep(adapter) == []
    end(adapter, FAILURE)

    clock.advance(61)

    assert sweep(adapter) == []


def test_a_sweep_that_finds_nothing_takes_no_write_lock(make, database, driver):
    adapter = make({state: Keep(age=60, count=None) for state in ("failed", "unloadable")})
    end(adapter, FAILURE, SUCCESS._replace(keep=1))

    with closing(SqliteAdapter(database, driver=driver)) as other, other.connection.transaction():
        assert not adapter.sweep()


ended = st.tuples(
    st.sampled_from(["succeeded", "failed"]), st.integers(0, 30), st.none() | st.integers(1, 40)
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(ended, max_size=12),
    st.none() | st.integers(0, 20), st.none() | st.integers(0, 4),
    st.integers(30, 60), st.integers(1, 3),
)  # fmt: skip
def test_what_stays_is_what_the_retention_says(
    make, clock, monkeypatch, jobs, age, count, now, batch
):
    monkeypatch.setattr(defaults, "CHANGE_BATCH", batch)
    adapter = make({"failed": Keep(age=age, count=count), "succeeded": Keep()})
    adapter.clear()
    start = clock.time
    rows = []  # id, state, when it ended, when it goes by itself
    for state, at, keep in sorted(jobs, key=lambda job: job[1]):
        clock.move_to(start + timedelta(seconds=at))
        outcome = SUCCESS if state == "succeeded" else FAILURE
        rows += [
            (id_, state, at, keep and at + keep)
            for id_ in end(adapter, outcome._replace(keep=keep))
        ]
    clock.move_to(start + timedelta(seconds=now))

    kept = [row for row in rows if row[3] is None or row[3] > now]
    failed = [row for row in kept if row[1] == "failed"]
    last = {row[0] for row in failed[max(0, len(failed) - count) :]} if count else set()
    expected = [
        id_
        for id_, state, at, goes in kept
        if state == "succeeded" or goes is not None
        or ((age is None or at > now - age) and (count is None or id_ in last))
    ]  # fmt: skip
    assert sweep(adapter) == expected
    clock.move_to(start)


@pytest.mark.parametrize(
    ("retention", "reason"),
    [
        ({"faild": Keep()}, "'faild' is not an option of retention; did you mean 'failed'"),
        ({"failed": 60}, "retention of failed must be a Keep, got 60"),
        (["failed"], "retention must be a dict of Keep by state, got"),
        ({"unloadable": Keep(count=3)}, "retention of unloadable goes by age, it takes no count"),
    ],
)  # fmt: skip
def test_a_retention_that_is_none_is_refused(database, retention, reason):
    with pytest.raises(ConfigurationError, match=reason):
        SqliteAdapter(database, retention=retention)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"age": -1}, "age must be at least 0 seconds, got -1"),
        ({"age": "a week"}, "age must be a number of seconds, got 'a week'"),
        ({"count": -1}, "count must be at least 0, got -1"),
        ({"count": 1.5}, r"count must be a whole number, got 1\.5"),
    ],
)
def test_a_keep_that_is_none_is_refused(options, reason):
    with pytest.raises(ConfigurationError, match=reason):
        Keep(**options)


# The file


def fill_and_empty(adapter):
    adapter.schedule([NewJob(json.dumps({"x": "x" * 900}), "a", 50, 1) for _ in range(1000)])
    adapter.clear()


def test_a_vacuum_gives_space_back_and_keeps_jobs(make):
    adapter = make()
    fill_and_empty(adapter)
    kept = end(adapter, FAILURE)

    before, after = vacuum(adapter)

    assert before > 1_000_000
    assert after < 200_000
    assert Inspection(adapter).sizes() == (after, 0)
    assert ids(adapter) == kept
    assert end(adapter, FAILURE)[0] > kept[0]


def test_a_vacuum_is_refused_while_workers_are_there(make):
    adapter = make()

    with held_lease(adapter.run_directory):
        with pytest.raises(JobStateError, match="workers are there: stop them first"):
            vacuum(adapter)
        vacuum(adapter, force=True)

    vacuum(adapter)


def test_the_command_tells_the_sizes(project, driver):
    file = project.directory / "db.sqlite"
    with closing(SqliteAdapter(file)) as adapter:
        fill_and_empty(adapter)

    result = json.loads(project.litejobs("vacuum", "db.sqlite", "--json").out)

    assert result["bytes_before"] > 10 * result["bytes_after"]
    assert " before, " in project.litejobs("vacuum", "db.sqlite").out
    with held_lease(f"{file}.run"):
        assert "stop them first" in project.litejobs("vacuum", "db.sqlite", code=1).sentence
        project.litejobs("vacuum", "db.sqlite", "--force")
