"""What recurs, as the database keeps it: each of its times makes one run, whoever looks."""

import json
import random
from datetime import UTC, datetime

import pytest

from litejobs import ConfigurationError, ScheduleNotFoundError, SqliteAdapter, defaults
from litejobs.handler import write
from litejobs.job import NewJob, Outcome, Unique
from litejobs.recurrence import StoredSchedule

MINUTE, HOUR = 60_000, 3_600_000
DONE = Outcome("success", delete=True)
JOB = NewJob(write("tick", "shop.py", None, "[]", "{}"), "default", 50, 0)


def schedule(name="tick", *, every=HOUR, cron=None, timezone="UTC", job=JOB, **how):
    options = {"missed": "once", "catch_up": 100, "overlap": "skip", "jitter": 0} | how
    return StoredSchedule(name, cron, timezone, None if cron else every, job=job, **options)


def jobs(adapter, columns="id, run_at"):
    return adapter.connection.execute(f"SELECT {columns} FROM background_jobs ORDER BY id")


def slots(adapter):
    rows = jobs(adapter, "json_extract(handler, '$.schedule'), json_extract(handler, '$.slot')")
    return [slot for _, slot in rows]


def one(adapter, name="tick"):
    return adapter.schedules.named(name)


def found(adapter):
    return adapter.find(worker="w", queues=["*"], max_runtime=60, limit=99)


def settle(adapter, job, outcome=DONE):
    adapter.exchange([(job, outcome)], [])


# Keeping


def test_the_first_run_is_that_of_the_next_time_never_now(adapter, clock):
    adapter.schedules.sync("shop:jobs", [schedule(), schedule("daily", cron="0 0 * * *")])

    adapter.schedules.fire()

    assert jobs(adapter) == []
    assert one(adapter).next_run_at == clock.now() + HOUR
    assert one(adapter, "daily").next_run_at == clock.now() // (24 * HOUR) * 24 * HOUR + 24 * HOUR
    assert adapter.schedules.next_at() == min(clock.now() + HOUR, one(adapter, "daily").next_run_at)


def test_a_restart_does_not_push_the_next_time(adapter, clock):
    adapter.schedules.sync("shop:jobs", [schedule()])
    before = one(adapter)
    clock.advance(1800)

    adapter.schedules.sync("shop:jobs", [schedule()])

    assert one(adapter) == before


def test_other_times_begin_anew_and_other_arguments_do_not(adapter, clock):
    adapter.schedules.sync("shop:jobs", [schedule()])
    first = one(adapter).next_run_at
    clock.advance(1800)

    other = JOB._replace(handler=write("tick", "shop.py", None, "[1]", "{}"), queue="slow")
    adapter.schedules.sync("shop:jobs", [schedule(job=other)])
    assert (one(adapter).next_run_at, one(adapter).queue) == (first, "slow")
    adapter.schedules.sync("shop:jobs", [schedule(every=2 * HOUR)])
    assert one(adapter).next_run_at == clock.now() + 2 * HOUR
    adapter.schedules.sync("shop:jobs", [schedule(cron="0 3 * * *")])
    rome = [schedule(cron="0 3 * * *", timezone="Europe/Rome")]
    utc = one(adapter).next_run_at
    adapter.schedules.sync("shop:jobs", rome)
    assert one(adapter).next_run_at != utc


def test_what_the_code_no_longer_declares_goes_and_nothing_else(adapter):
    adapter.schedules.sync("shop:jobs", [schedule("a"), schedule("b")])
    adapter.schedules.sync("bank:jobs", [schedule("c")])
    adapter.schedules.add(schedule("d"))

    adapter.schedules.sync("shop:jobs", [schedule("b")])
    assert [each.name for each in adapter.schedules.all()] == ["b", "c", "d"]
    adapter.schedules.sync("shop:jobs", [])
    assert [each.name for each in adapter.schedules.all()] == ["c", "d"]


def test_a_name_that_another_has_is_left_out_and_told(adapter, caplog):
    adapter.schedules.sync("bank:jobs", [schedule("a")])
    adapter.schedules.add(schedule("b"))

    adapter.schedules.sync("shop:jobs", [schedule(name, every=MINUTE) for name in "abc"])

    assert [each.owner for each in adapter.schedules.all()] == ["bank:jobs", None, "shop:jobs"]
    assert "of the code of bank:jobs" in caplog.messages[0]
    assert "added at run time" in caplog.messages[1]


def test_code_that_declares_nothing_writes_nothing(adapter, monkeypatch):
    adapter.open()
    monkeypatch.setattr(adapter.connection, "transaction", None)

    adapter.schedules.sync("shop:jobs", [])


def test_one_is_added_changed_and_removed_at_run_time(adapter, clock):
    adapter.schedules.add(schedule())
    clock.advance(60)
    adapter.schedules.add(schedule(overlap="allow"))
    assert (one(adapter).overlap, one(adapter).next_run_at) == (
        "allow",
        clock.now() + HOUR - MINUTE,
    )

    adapter.schedules.remove("tick")
    assert adapter.schedules.all() == []
    with pytest.raises(ScheduleNotFoundError, match="no schedule 'tick'; there are: none"):
        adapter.schedules.remove("tick")


def test_at_run_time_none_that_is_in_the_code_is_changed(adapter):
    adapter.schedules.sync("shop:jobs", [schedule()])

    with pytest.raises(ConfigurationError, match="of the code of shop:jobs: change it there"):
        adapter.schedules.add(schedule(every=MINUTE))

    assert one(adapter).every == HOUR


# Firing


def test_each_time_makes_one_run_and_the_next_follows_it_not_the_clock(adapter, clock):
    adapter.schedules.sync("shop:jobs", [schedule(overlap="allow")])
    first = one(adapter).next_run_at
    clock.advance(3600 + 7)

    for _ in range(3):
        adapter.schedules.fire()

    assert jobs(adapter) == [(1, first)]
    assert slots(adapter) == [first]
    assert (one(adapter).next_run_at, one(adapter).last_run_at) == (first + HOUR, first)
    assert (one(adapter).last_job, one(adapter).last_state) == (1, "ready")
    [job] = found(adapter)
    assert json.loads(job.handler)["schedule"] == "tick"


def test_nothing_fires_before_its_time(adapter, clock):
    adapter.schedules.sync("shop:jobs", [schedule()])
    clock.advance(3599.999)
    adapter.schedules.fire()
    assert jobs(adapter) == []

    clock.advance(0.001)
    adapter.schedules.fire()
    assert len(jobs(adapter)) == 1


def test_of_many_workers_that_have_seen_a_time_one_makes_its_run(adapter, database, clock):
    adapter.schedules.sync("shop:jobs", [schedule(overlap="allow")])
    other = SqliteAdapter(database, clock=clock, driver=adapter.driver)
    clock.advance(3600)
    firing = other.schedules._firing
    other.schedules._firing = lambda *what: (adapter.schedules.fire(), firing(*what))[1]

    other.schedules.fire()  # has read what the first one then fires

    assert len(jobs(adapter)) == 1
    other.close()


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda schedules: schedules.add(schedule(cron="0 * * * *")),
        lambda schedules: schedules.add(schedule(job=JOB._replace(queue="slow"))),
        lambda schedules: schedules.pause("tick"),
        lambda schedules: schedules.remove("tick"),
    ],
    ids=["other times", "another queue", "paused", "removed"],
)
def test_one_that_is_changed_while_it_fires_makes_no_run_of_what_it_was(adapter, clock, meanwhile):
    adapter.schedules.add(schedule())
    clock.advance(3600)
    firing = adapter.schedules._firing
    adapter.schedules._firing = lambda *what: (meanwhile(adapter.schedules), firing(*what))[1]

    adapter.schedules.fire()

    assert jobs(adapter) == []


def test_an_error_while_it_fires_leaves_all_as_it_was(adapter, clock, monkeypatch):
    adapter.schedules.sync("shop:jobs", [schedule("a"), schedule("b")])
    before = adapter.schedules.all()
    store = adapter.schedules._store

    def fails(which, *more):
        assert which.name == "a", "the disk is full"
        return store(which, *more)

    monkeypatch.setattr(adapter.schedules, "_store", fails)
    clock.advance(3600)

    with pytest.raises(AssertionError, match="full"):
        adapter.schedules.fire()

    assert adapter.schedules.all() == before
    assert jobs(adapter) == []


def test_a_clock_that_goes_back_makes_no_run_twice(adapter, clock):
    adapter.schedules.add(schedule(overlap="allow"))
    clock.advance(3600)
    adapter.schedules.fire()

    clock.advance(-3600)
    adapter.schedules.fire()
    clock.advance(3600)
    adapter.schedules.fire()

    assert len(jobs(adapter)) == 1


def test_more_than_one_transaction_takes_fire_one_after_the_other(adapter, clock, monkeypatch):
    monkeypatch.setattr(defaults, "FIRE_BATCH", 2)
    adapter.schedules.sync("shop:jobs", [schedule(name) for name in "abcde"])
    clock.advance(3600)

    while adapter.schedules.next_at() <= clock.now():
        adapter.schedules.fire()

    assert len(jobs(adapter)) == 5


def test_a_run_is_later_by_chance_where_there_is_jitter(adapter, clock):
    random.seed(7)
    adapter.schedules.sync("shop:jobs", [schedule(str(n), jitter=MINUTE) for n in range(50)])
    clock.advance(3600)

    adapter.schedules.fire()

    late = [run_at - clock.now() for _, run_at in jobs(adapter)]
    assert 0 <= min(late) < MINUTE // 4 < 3 * MINUTE // 4 < max(late) <= MINUTE
    assert set(slots(adapter)) == {clock.now()}
    assert not found(adapter)[5:]


# Missed times


@pytest.mark.parametrize(
    ("missed", "overlap", "expected"),
    [("once", "skip", [5]), ("skip", "skip", []), ("all", "allow", [1, 2, 3, 4, 5])],
)
def test_times_at_which_nobody_was_there(adapter, clock, missed, overlap, expected):
    adapter.schedules.add(schedule(missed=missed, overlap=overlap))
    first = one(adapter).next_run_at
    clock.advance(5 * 3600 + 600)

    adapter.schedules.fire()

    assert slots(adapter) == [first + (number - 1) * HOUR for number in expected]
    assert one(adapter).next_run_at == first + 5 * HOUR


def test_a_time_that_is_seen_a_little_late_is_not_missed(adapter, clock):
    adapter.schedules.add(schedule(missed="skip"))
    clock.advance(3600 + 60)
    adapter.schedules.fire()
    assert len(jobs(adapter)) == 1


def test_of_all_that_were_missed_the_last_are_caught_up(adapter, clock):
    adapter.schedules.add(schedule(every=MINUTE, missed="all", overlap="allow", catch_up=3))
    clock.advance(30 * 24 * 3600)

    adapter.schedules.fire()

    assert slots(adapter) == [clock.now() - 2 * MINUTE, clock.now() - MINUTE, clock.now()]


# Overlap and failing runs


def test_a_time_is_passed_over_while_the_last_run_is_unfinished(adapter, clock):
    adapter.schedules.add(schedule())
    clock.advance(3600)
    adapter.schedules.fire()
    [job] = found(adapter)
    clock.advance(3600)
    adapter.schedules.fire()
    assert len(jobs(adapter)) == 1

    settle(adapter, job)
    clock.advance(3600)
    adapter.schedules.fire()

    assert slots(adapter) == [clock.now()]


def test_where_runs_may_overlap_each_time_makes_one(adapter, clock):
    adapter.schedules.add(schedule(overlap="allow"))
    for _ in range(3):
        clock.advance(3600)
        adapter.schedules.fire()

    assert len(jobs(adapter)) == 3


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome("error", "ValueError: boom", 1_900_000_000_000),
        Outcome("unloadable", "ValueError: boom"),
    ],
    ids=lambda outcome: outcome.kind,
)
def test_a_run_that_failed_makes_room_for_the_next_and_is_kept(adapter, clock, outcome):
    adapter.schedules.add(schedule())
    clock.advance(3600)
    adapter.schedules.fire()
    settle(adapter, found(adapter)[0], outcome)

    clock.advance(3600)
    adapter.schedules.fire()

    (_, state, error), (_, new_state, _) = jobs(adapter, "id, state, last_error")
    assert (state, new_state) == (6, 1)
    assert error == (
        "JobCancelled: the next run of its schedule took its place; before that: ValueError: boom"
    )
    assert found(adapter)[0].attempts == 1


def test_one_that_failed_for_good_stops_nothing(adapter, clock):
    adapter.schedules.add(schedule())
    clock.advance(3600)
    adapter.schedules.fire()
    settle(adapter, found(adapter)[0], Outcome("failure", "ValueError: boom"))
    assert one(adapter).last_state == "failed"

    clock.advance(3600)
    adapter.schedules.fire()

    assert jobs(adapter, "state") == [(5,), (1,)]


@pytest.mark.parametrize("policy", ["skip", "raise", "replace"])
def test_a_run_whose_key_another_job_has_is_not_made(adapter, clock, policy, caplog):
    job = JOB._replace(unique=Unique("tick:a", policy, None))
    adapter.schedules.add(schedule(job=job, overlap="allow"))
    adapter.schedule_unique([job._replace(run_at=clock.now())])
    found(adapter)  # it runs

    clock.advance(3600)
    adapter.schedules.fire()

    assert len(jobs(adapter)) == 1
    assert one(adapter).next_run_at == clock.now() + HOUR


@pytest.mark.parametrize("policy", ["skip", "raise"])
def test_a_job_that_has_the_key_of_a_run_is_none_of_the_schedule_and_is_let_alone(
    adapter, clock, policy
):
    job = JOB._replace(unique=Unique("tick:a", policy, None))
    adapter.schedules.add(schedule(job=job))
    adapter.schedule_unique([job._replace(run_at=clock.now())])
    settle(adapter, found(adapter)[0], Outcome("error", "ValueError: boom", clock.now() + 9**9))

    for _ in range(2):
        clock.advance(3600)
        adapter.schedules.fire()

    assert jobs(adapter, "state") == [(0,)]
    assert (one(adapter).last_job, one(adapter).last_run_at) == (None, None)


def test_a_run_that_replaces_a_job_is_the_schedules(adapter, clock):
    job = JOB._replace(unique=Unique("tick:a", "replace", None))
    adapter.schedules.add(schedule(job=job))
    adapter.schedule_unique([job._replace(run_at=clock.now() + 9**9)])

    clock.advance(3600)
    adapter.schedules.fire()

    assert slots(adapter) == [clock.now()]
    assert (one(adapter).last_job, one(adapter).last_run_at) == (1, clock.now())


def test_a_job_that_replaced_a_run_is_none_of_the_schedule_and_is_let_alone(adapter, clock):
    adapter.schedules.add(schedule(job=JOB._replace(unique=Unique("tick:a", "skip", None))))
    clock.advance(3600)
    adapter.schedules.fire()
    users = JOB._replace(unique=Unique("tick:a", "replace", None), run_at=clock.now())
    adapter.schedule_unique([users])
    settle(adapter, found(adapter)[0], Outcome("error", "ValueError: boom", clock.now() + 9**9))

    clock.advance(3600)
    adapter.schedules.fire()

    assert (jobs(adapter, "state"), slots(adapter)) == ([(0,)], [None])


def test_limits_hold_for_runs_too(adapter, clock):
    job = JOB._replace(limit_key="one", limit_max=1)
    adapter.schedules.sync("shop:jobs", [schedule(name, job=job) for name in "abc"])
    clock.advance(3600)

    adapter.schedules.fire()

    assert sorted(jobs(adapter, "state")) == [(-1,), (-1,), (1,)]


def test_a_limited_run_that_makes_room_lets_another_have_its_place(adapter, clock):
    job = JOB._replace(limit_key="one", limit_max=1)
    adapter.schedules.add(schedule(job=job))
    clock.advance(3600)
    adapter.schedules.fire()
    settle(adapter, found(adapter)[0], Outcome("error", "ValueError: boom", clock.now() + 9**9))
    clock.advance(3600)

    adapter.schedules.fire()

    assert jobs(adapter, "state") == [(6,), (1,)]


# Steering


def test_a_pause_holds_over_restarts_and_what_it_passed_over_is_not_caught_up(adapter, clock):
    adapter.schedules.sync("shop:jobs", [schedule(missed="all", overlap="allow")])
    first = one(adapter).next_run_at
    adapter.schedules.pause("tick")
    assert adapter.schedules.next_at() is None
    clock.advance(5 * 3600 + 60)
    adapter.schedules.sync("shop:jobs", [schedule(missed="all", overlap="allow")])
    adapter.schedules.fire()
    assert jobs(adapter) == []

    adapter.schedules.resume("tick")

    assert one(adapter).next_run_at == first + 5 * HOUR
    assert one(adapter).paused_at is None


def test_to_resume_what_is_not_paused_changes_nothing(adapter, clock):
    adapter.schedules.add(schedule())
    clock.advance(2 * 3600)
    before = one(adapter).next_run_at

    adapter.schedules.resume("tick")

    assert one(adapter).next_run_at == before


def test_a_run_is_made_at_once_beside_those_of_its_times(adapter, clock):
    adapter.schedules.add(schedule())
    adapter.schedules.pause("tick")
    before = one(adapter).next_run_at
    clock.advance(60)

    assert adapter.schedules.run_now("tick") == 1
    assert adapter.schedules.run_now("tick") == 2

    assert slots(adapter) == [clock.now(), clock.now()]
    assert one(adapter).next_run_at == before


def test_a_last_run_that_goes_on_is_not_forgotten_for_one_that_is_made_at_once(adapter, clock):
    adapter.schedules.add(schedule())
    clock.advance(3600)
    adapter.schedules.fire()
    [job] = found(adapter)

    assert adapter.schedules.run_now("tick") == 2
    [beside] = found(adapter)
    settle(adapter, beside)
    assert (one(adapter).last_job, one(adapter).last_run_at) == (1, clock.now())
    clock.advance(3600)
    adapter.schedules.fire()
    assert jobs(adapter, "id") == [(1,)]

    settle(adapter, job)
    assert adapter.schedules.run_now("tick") == 3
    assert (one(adapter).last_job, one(adapter).last_run_at) == (3, clock.now())


@pytest.mark.parametrize(
    "outcome", [DONE, Outcome("error", "ValueError: boom", 1_900_000_000_000)], ids=["done", "bad"]
)
def test_a_time_is_passed_over_while_a_run_that_was_made_at_once_goes_on(adapter, clock, outcome):
    adapter.schedules.add(schedule())
    clock.advance(3600)
    adapter.schedules.fire()
    [job] = found(adapter)
    adapter.schedules.run_now("tick")
    [beside] = found(adapter)
    settle(adapter, job, outcome)
    before = jobs(adapter, "id, state, last_error")

    clock.advance(3600)
    adapter.schedules.fire()
    assert jobs(adapter, "id, state, last_error") == before

    settle(adapter, beside)
    clock.advance(3600)
    adapter.schedules.fire()
    assert slots(adapter)[-1] == clock.now()


def test_where_runs_may_overlap_the_last_is_the_newest(adapter, clock):
    adapter.schedules.add(schedule(overlap="allow"))
    clock.advance(3600)
    adapter.schedules.fire()

    adapter.schedules.run_now("tick")

    assert one(adapter).last_job == 2


def test_a_run_at_once_that_replaces_the_last_one_is_the_last(adapter, clock):
    adapter.schedules.add(schedule(job=JOB._replace(unique=Unique("tick:a", "replace", None))))
    clock.advance(3600)
    adapter.schedules.fire()
    clock.advance(60)

    assert adapter.schedules.run_now("tick") == 1

    assert (one(adapter).last_job, one(adapter).last_run_at) == (1, clock.now())


@pytest.mark.parametrize("what", ["remove", "pause", "resume", "run_now", "named"])
def test_a_name_that_nobody_has_is_refused_with_those_there_are(adapter, what):
    adapter.schedules.sync("shop:jobs", [schedule("a"), schedule("b")])

    with pytest.raises(ScheduleNotFoundError, match="no schedule 'c'; there are: a, b"):
        getattr(adapter.schedules, what)("c")


def test_each_change_rings_the_bell(adapter, clock, monkeypatch):
    rings = []
    monkeypatch.setattr(adapter, "ring", lambda **_: rings.append(1))

    for change in (
        lambda: adapter.schedules.sync("shop:jobs", [schedule("a")]),
        lambda: adapter.schedules.add(schedule()),
        lambda: adapter.schedules.pause("tick"),
        lambda: adapter.schedules.resume("tick"),
        lambda: adapter.schedules.run_now("tick"),
        lambda: adapter.schedules.remove("tick"),
        lambda: (clock.advance(3600), adapter.schedules.fire()),
    ):
        rings.clear()
        change()
        assert rings


# Rows written by hand


@pytest.mark.parametrize(
    ("column", "value", "error"),
    [
        ("cron", "every day", "must have five fields"),
        ("timezone", "Mars/Base", "no time zone 'Mars/Base'"),
    ],
)
def test_a_row_that_cannot_be_read_makes_no_runs_says_why_and_stops_no_other(
    adapter, clock, caplog, column, value, error
):
    adapter.schedules.sync("shop:jobs", [schedule("a", cron="0 * * * *"), schedule("b")])
    adapter.connection.execute(
        f"UPDATE background_jobs_recurring SET {column} = ? WHERE name = 'a'", [value]
    )
    clock.advance(3600)

    adapter.schedules.fire()

    assert len(jobs(adapter)) == 1
    assert error in one(adapter, "a").last_error
    assert one(adapter, "a").next_run_at is None
    assert "the schedule a makes no more runs" in caplog.text
    assert one(adapter, "a").next_times(5) == []
    adapter.schedules.sync("shop:jobs", [schedule("a", cron="0 * * * *"), schedule("b")])
    assert one(adapter, "a").last_error is None
    assert one(adapter, "a").next_run_at > clock.now()


def test_an_error_that_nobody_expects_of_one_keeps_no_other_from_firing(
    adapter, clock, monkeypatch
):
    adapter.schedules.sync("shop:jobs", [schedule("a", cron="0 * * * *"), schedule("b")])
    clock.advance(3600)
    monkeypatch.setattr("litejobs.rules.cron.Cron.after", lambda *_: {}["no key"])

    adapter.schedules.fire()

    assert one(adapter, "a").last_error.startswith("KeyError")
    assert one(adapter, "b").last_run_at == clock.now()


def test_whatever_bytes_and_numbers_stand_in_a_row_no_other_is_kept_from_firing(adapter, clock):
    adapter.schedules.sync("shop:jobs", [schedule("b")])
    execute = adapter.connection.execute
    for values in (
        "CAST(x'41ff00' AS TEXT), '* * * * *', NULL, 0, '{}'",
        "'x', CAST(x'ff' AS TEXT), NULL, 0, '{}'",
        "'y', NULL, 9223372036854775807, 1, ''",
        "'z', NULL, 1000, -9223372036854775808, 'nothing'",
        "'u', '* * * * *', NULL, -9223372036854775808, '{}'",
    ):
        execute(
            "INSERT INTO background_jobs_recurring (name, cron, every, next_run_at, handler) "
            f"VALUES ({values})"
        )
    execute("UPDATE background_jobs_recurring SET jitter = 9223372036854775807 WHERE name < 'b'")
    clock.advance(3600)

    adapter.schedules.fire()

    assert one(adapter, "b").last_run_at == clock.now()
    assert one(adapter, "y").last_error == "its times are over"
    assert adapter.schedules.next_at() is None or adapter.schedules.next_at() > clock.now()


def test_a_time_set_by_hand_makes_a_run(adapter, clock):
    adapter.schedules.add(schedule(cron="0 3 * * *"))
    adapter.connection.execute(
        "UPDATE background_jobs_recurring SET next_run_at = ?", [clock.now()]
    )

    adapter.schedules.fire()

    assert slots(adapter) == [clock.now()]


def test_the_next_times_follow_each_other(adapter, clock):
    adapter.schedules.add(schedule(cron="30 2 * * *", timezone="Europe/Rome"))

    times = one(adapter).next_times(3)

    assert [datetime.fromtimestamp(each / 1000, UTC).hour for each in times] == [1, 1, 1]
    assert one(adapter)._replace(next_run_at=None).next_times(3) == []


def test_while_it_is_paused_there_are_no_next_times(adapter, clock):
    adapter.schedules.add(schedule())
    adapter.schedules.pause("tick")
    clock.advance(5 * 3600)
    assert one(adapter).next_times(3) == []

    adapter.schedules.resume("tick")

    assert one(adapter).next_times(2) == [clock.now() + HOUR, clock.now() + 2 * HOUR]
