"""litejobs.testing: a user's tests run jobs the real way, on temporary files, when they say so."""

import asyncio
import contextvars
import logging
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

import litejobs
from litejobs import JobManager, SqliteAdapter, WorkerGroup, current_job, testing
from litejobs.errors import ConfigurationError, SchedulingError, UnloadableError
from litejobs.testing import ManualClock

NOON = datetime(2027, 1, 1, 12, tzinfo=UTC)
done = []


@pytest.fixture(autouse=True)
def nothing_done():
    done.clear()


def note(word):
    done.append(word)


def raises():
    raise ValueError("no luck")


def leave():
    sys.exit(3)


async def note_later(word):
    done.append(word)


@pytest.fixture
def manager(tmp_path):
    """Two adapters, three groups; its own files must stay untouched."""
    manager = JobManager(
        {key: SqliteAdapter(tmp_path / "own" / f"{key}.sqlite") for key in ("first", "second")},
        queues=["default", "email"],
        workers=[
            WorkerGroup(queue="default", count=2),
            WorkerGroup(queue="email", max_attempts=1),
            WorkerGroup(adapter="second"),
        ],
    )
    for function in (note, raises, leave, note_later):
        manager.create_job(perform=function)
    yield manager
    assert not (tmp_path / "own").exists()


def job(manager, function):
    return next(job for job in manager.declared.values() if job.perform is function)


@pytest.fixture
def later(manager):
    scheduler = manager.create_scheduler()  # made before the mode, as an app's is

    def call(function, *args, **options):
        return scheduler(job(manager, function), *args, **options)

    return call


# manual


def test_in_manual_mode_jobs_wait_for_the_drain(manager, later):
    with testing.manual(manager) as jobs:
        later(note, ["a"])
        later(note, ["b"])
        assert done == []

        outcomes = jobs.drain()

    assert done == ["a", "b"]
    assert outcomes == {"success": 2}


def test_a_drain_runs_what_jobs_schedule_too(manager):
    """The third group's job makes one for the first, which had nothing to do before."""
    first, second = manager.create_scheduler("first"), manager.create_scheduler("second")

    def pass_on(number):
        done.append(number)
        if number:
            [second, first][number % 2](declared, [number - 1])

    declared = manager.create_job(perform=pass_on)
    with testing.manual(manager) as jobs:
        second(declared, [3])

        assert jobs.drain() == {"success": 4}

    assert done == [3, 2, 1, 0]


def test_a_drain_reaches_every_adapter_and_group(manager, later):
    second = manager.create_scheduler("second")
    with testing.manual(manager) as jobs:
        later(note, ["email"], queue="email")
        second(job(manager, note), ["second"])
        later(note, ["default"])

        assert jobs.drain() == {"success": 3}

    assert sorted(done) == ["default", "email", "second"]


def test_a_drain_with_nothing_stored_does_nothing(manager):
    with testing.manual(manager) as jobs:
        assert jobs.drain(with_scheduled=True) == {}


def test_a_job_that_is_not_due_waits_until_the_test_moves_the_clock(manager, later):
    with testing.manual(manager) as jobs:
        later(note, ["soon"], wait=60)
        assert jobs.drain() == {}

        jobs.clock.advance(60)

        assert jobs.drain() == {"success": 1}


def test_with_scheduled_the_clock_goes_to_the_last_job_that_waits(manager, later):
    with testing.manual(manager, clock=ManualClock(NOON)) as jobs:
        later(note, ["b"], wait=120)
        later(note, ["a"], wait=60)

        assert jobs.drain(with_scheduled=True) == {"success": 2}

        assert jobs.clock.time == NOON + timedelta(minutes=2)
    assert done == ["a", "b"]


@pytest.mark.parametrize(
    "limit", [90, 90.0, timedelta(seconds=90), NOON + timedelta(seconds=90)], ids=repr
)
def test_with_scheduled_the_clock_goes_as_far_as_it_is_told(manager, later, limit):
    with testing.manual(manager, clock=ManualClock(NOON)) as jobs:
        later(note, ["in time"], wait=60)
        later(note, ["too late"], wait=120)

        assert jobs.drain(with_scheduled=limit) == {"success": 1}

        assert jobs.clock.time == NOON + timedelta(seconds=90)
    assert done == ["in time"]


def test_a_date_that_is_past_does_not_set_the_clock_back(manager, later):
    with testing.manual(manager, clock=ManualClock(NOON)) as jobs:
        later(note, ["now"])

        assert jobs.drain(with_scheduled=NOON - timedelta(days=1)) == {"success": 1}

        assert jobs.clock.time == NOON


@pytest.mark.parametrize("limit", [-1, float("nan"), datetime(2027, 1, 1)], ids=repr)  # noqa: DTZ001
def test_a_limit_that_is_none_is_refused(manager, limit):
    with testing.manual(manager) as jobs, pytest.raises(SchedulingError):
        jobs.drain(with_scheduled=limit)


def test_what_a_job_raises_is_recorded_and_raised_by_the_drain(manager, later):
    with testing.manual(manager) as jobs:
        later(raises)
        later(note, ["after it"])

        with pytest.raises(ValueError, match="no luck") as raised:
            jobs.drain()

        assert any(entry.name == "raises" for entry in raised.traceback)
        [waiting] = jobs.records("scheduled")
        assert waiting.last_error.startswith("ValueError: no luck")
        assert done == []
        assert jobs.drain() == {"success": 1}


def test_errors_are_counted_where_they_are_not_to_be_raised(manager, later):
    with testing.manual(manager) as jobs:
        later(raises)
        later(raises, queue="email")

        assert jobs.drain(raising=False) == {"error": 1, "failure": 1}
        assert [record.state for record in jobs.records()] == ["failed", "scheduled"]


def test_retries_come_when_they_are_due(manager, later):
    with testing.manual(manager) as jobs:
        later(raises)
        assert jobs.drain(raising=False) == {"error": 1}

        assert jobs.drain(with_scheduled=timedelta(seconds=17), raising=False) == {"error": 2}

        [record] = jobs.records()
        assert record.attempts == 3


def test_a_job_that_would_end_the_program_fails_the_test_instead(manager, later):
    with testing.manual(manager) as jobs:
        later(leave)

        with pytest.raises(AssertionError, match=r"a job raised SystemExit\(3\)"):
            jobs.drain()


def test_a_job_that_does_not_load_is_raised_too(manager, later):
    with testing.manual(manager) as jobs:
        later(note, ["a"])
        manager.declared.clear()

        with pytest.raises(UnloadableError, match="the app declares no job named 'note'"):
            jobs.drain()

        assert jobs.records()[0].state == "unloadable"


def test_async_jobs_are_run_and_know_their_place(manager, later):
    with testing.manual(manager) as jobs:
        later(note_later, ["awaited"])

        assert jobs.drain() == {"success": 1}

    assert done == ["awaited"]


def drained(manager, ask):
    with testing.manual(manager) as jobs:
        ask()
        return jobs.drain()


def run_at_once(manager, ask):
    with testing.run_now(manager):
        ask()


@pytest.mark.parametrize("run", [drained, run_at_once])
def test_async_jobs_are_run_where_a_loop_runs_already(manager, run):
    place = contextvars.ContextVar("place")

    async def remember():
        await asyncio.sleep(0)
        done.append((place.get(), current_job().queue))

    remembered = manager.create_job(perform=remember)

    async def view():
        place.set("the test's")
        run(manager, lambda: manager.create_scheduler()(remembered))

    asyncio.run(view())
    assert done == [("the test's", "default")]


def test_what_an_async_job_raises_where_a_loop_runs_is_raised_too(manager):
    async def go_wrong():
        raise ValueError("no luck")

    wrong = manager.create_job(perform=go_wrong)

    async def view():
        with testing.run_now(manager) as jobs:
            with pytest.raises(ValueError, match="no luck"):
                manager.create_scheduler()(wrong)
            return jobs.records()

    [record] = asyncio.run(view())
    assert record.last_error.startswith("ValueError: no luck\n\nTraceback")


# run_now


def test_in_run_now_mode_later_returns_when_the_job_is_done(manager, later):
    with testing.run_now(manager):
        scheduled = later(note, ["a"])

        assert done == ["a"]
        assert scheduled.id == 1


def test_in_run_now_mode_later_raises_what_the_job_raises(manager, later):
    with testing.run_now(manager) as jobs:
        with pytest.raises(ValueError, match="no luck"):
            later(raises)

        assert jobs.records("scheduled")[0].attempts == 1


def test_in_run_now_mode_a_job_for_later_waits(manager, later):
    with testing.run_now(manager) as jobs:
        later(note, ["reminder"], wait=3600)
        assert done == []

        jobs.drain(with_scheduled=True)

    assert done == ["reminder"]


def test_in_run_now_mode_a_job_that_a_job_schedules_runs_after_it(manager):
    order = []

    def outer():
        order.append("outer begins")
        scheduler(inner_job)
        order.append("outer ends")

    def inner():
        order.append("inner")

    outer_job, inner_job = manager.create_job(perform=outer), manager.create_job(perform=inner)
    scheduler = manager.create_scheduler()

    with testing.run_now(manager):
        scheduler(outer_job)

    assert order == ["outer begins", "outer ends", "inner"]


def test_where_a_loop_runs_a_job_that_an_async_job_schedules_runs_after_it(manager):
    order = []

    async def outer():
        order.append("outer begins")
        scheduler(inner_job)
        await asyncio.to_thread(scheduler, inner_job)
        order.append("outer ends")

    async def inner():
        order.append("inner")

    outer_job, inner_job = manager.create_job(perform=outer), manager.create_job(perform=inner)
    scheduler = manager.create_scheduler()

    async def view():
        with testing.run_now(manager):
            scheduler(outer_job)

    asyncio.run(view())
    assert order == ["outer begins", "outer ends", "inner", "inner"]


def test_in_run_now_mode_many_are_stored_together_and_run(manager):
    with testing.run_now(manager):
        manager.create_scheduler().many(job(manager, note), [["a"], ["b"]])

    assert done == ["a", "b"]


def test_run_now_works_on_every_thread(manager, later):
    with testing.run_now(manager):
        threads = [threading.Thread(target=later, args=(note, [n])) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert sorted(done) == list(range(8))


def test_the_run_is_the_real_one(manager):
    seen = []

    def look():
        seen.append(current_job())

    scheduler, declared = manager.create_scheduler(), manager.create_job(perform=look)

    with testing.run_now(manager, clock=ManualClock(NOON)):
        scheduler(declared)

    [current] = seen
    assert (current.id, current.attempts, current.max_attempts) == (1, 1, 24)
    assert current.deadline == NOON + timedelta(seconds=14_400)


# Assertions


def test_what_was_scheduled_is_asserted_however_its_arguments_were_passed(manager, later):
    declared = job(manager, note)
    with testing.manual(manager) as jobs:
        later(note, ["a"], queue="email", priority=3, wait=60)

        jobs.assert_scheduled(declared)
        jobs.assert_scheduled(declared, ["a"])
        jobs.assert_scheduled(declared, kwargs={"word": "a"})
        jobs.assert_scheduled(declared, queue="email", priority=3, wait=timedelta(minutes=1))
        jobs.assert_scheduled(declared, wait_until=jobs.clock.time + timedelta(minutes=1))
        assert jobs.assert_scheduled(declared).job.queue == "email"


@pytest.mark.parametrize(
    ("args", "options", "words"),
    [
        (["b"], {}, r"later\(note, \['b'\]\) was not scheduled"),
        (None, {"queue": "default"}, r"later\(note, queue='default'\) was not scheduled"),
        (None, {"priority": 1}, r"priority=1\) was not"),
        (None, {"wait": 61}, r"wait=61\) was not"),
    ],
)
def test_what_was_not_scheduled_is_told_beside_what_was(manager, later, args, options, words):
    with testing.manual(manager) as jobs:
        later(note, ["a"], queue="email", wait=60)

        with pytest.raises(AssertionError, match=words) as raised:
            jobs.assert_scheduled(job(manager, note), args, **options)

    listed = "scheduled were:\n  later(note, ['a'], queue='email', priority=50, wait=60.0)"
    assert str(raised.value).endswith(listed)


def test_where_nothing_was_scheduled_that_is_said(manager):
    with testing.manual(manager) as jobs, pytest.raises(AssertionError, match=r"; nothing was$"):
        jobs.assert_scheduled(job(manager, note))


def test_what_has_run_counts_as_scheduled(manager, later):
    with testing.run_now(manager) as jobs:
        later(note, ["a"])

        jobs.assert_scheduled(job(manager, note), ["a"])


def test_what_should_not_have_been_scheduled_is_told(manager, later):
    with testing.manual(manager) as jobs:
        later(note, ["a"])
        jobs.refute_scheduled(job(manager, note), ["b"])
        jobs.refute_scheduled(job(manager, raises))

        with pytest.raises(AssertionError, match=r"later\(note\) was scheduled; scheduled were:\n"):
            jobs.refute_scheduled(job(manager, note))


# The manager before and after


def test_a_manager_is_its_own_again_after_the_mode(manager, later):
    adapters, clock = manager.adapters, manager.clock

    with testing.manual(manager):
        assert manager.adapters != adapters

    assert manager.adapters is adapters
    assert manager.clock is clock


def test_a_manager_is_its_own_again_after_a_test_that_failed(manager):
    adapters = manager.adapters

    with pytest.raises(RuntimeError), testing.run_now(manager):
        raise RuntimeError

    assert manager.adapters is adapters


def test_two_modes_at_once_are_refused(manager):
    with (
        testing.manual(manager),
        pytest.raises(ConfigurationError, match="is in a test mode already"),
        testing.run_now(manager),
    ):
        pass


def test_in_a_test_mode_no_background_worker_is_started(manager, later):
    with testing.manual(manager) as jobs:
        worker = manager.start_background_worker()
        later(note, ["a"])

        assert not worker.is_alive()
        assert jobs.drain() == {"success": 1}
        assert worker.stop(5) is True


def test_each_test_has_storage_of_its_own(manager, later):
    with testing.manual(manager):
        later(note, ["a"])

    with testing.manual(manager) as jobs:
        assert jobs.records() == []
        assert jobs.drain() == {}


def test_plain_functions_are_tested_by_the_default_manager(caplog):
    with testing.manual() as jobs, caplog.at_level(logging.INFO, "litejobs"):
        litejobs.later(note, ["plain"])
        litejobs.configure(database="elsewhere.sqlite")

        jobs.assert_scheduled(note, ["plain"])
        assert jobs.drain() == {"success": 1}

    assert done == ["plain"]
    assert litejobs.jobs._adapter is None


def test_while_a_test_has_one_manager_another_stores_nothing_for_real(manager, tmp_path):
    adapter = SqliteAdapter(tmp_path / "real.sqlite")
    other = JobManager({"sqlite": adapter})
    declared, later = other.create_job(perform=note), other.create_scheduler()

    with (
        testing.manual(manager),
        pytest.raises(SchedulingError, match=r"use testing\.manual\(\) or run_now"),
    ):
        later(declared, ["a"])
    with testing.manual(manager), pytest.raises(SchedulingError, match="of litejobs:jobs"):
        litejobs.later(note, ["a"])
    with testing.manual(manager), testing.manual(other) as jobs:
        later(declared, ["a"])
        assert jobs.drain() == {"success": 1}

    assert not (tmp_path / "real.sqlite").exists()


@pytest.mark.parametrize("call", ["declared", "plain"])
def test_while_a_test_has_one_manager_another_does_not_go_on_storing_for_real(
    manager, project, call
):
    project.write(
        "script.py",
        f"""
        import litejobs
        from litejobs import JobManager, SqliteAdapter, testing

        def note(): ...

        litejobs.configure(database="plain.sqlite")
        declaring = JobManager({{"sqlite": SqliteAdapter("declared.sqlite")}})
        calls = {{
            "declared": (declaring.create_scheduler(), declaring.create_job(perform=note)),
            "plain": (litejobs.later, note),
        }}
        later, job = calls["{call}"]
        later(job)
        other = JobManager({{"sqlite": SqliteAdapter("other.sqlite")}})
        with testing.manual(other):
            try:
                later(job)
            except litejobs.SchedulingError as error:
                print("refused" if "a test mode is on" in str(error) else error)
        """,
    )

    assert project.run("script.py").out == "refused\n"


# ManualClock


def test_a_manual_clock_stands_still_at_the_present():
    before = datetime.now(UTC) - timedelta(seconds=1)
    clock = ManualClock()

    assert clock.time == clock.time
    assert before < clock.time < datetime.now(UTC) + timedelta(seconds=1)


def test_a_manual_clock_moves_when_it_is_moved():
    clock = ManualClock(NOON)

    clock.advance(1.5)
    clock.advance(timedelta(hours=1))
    assert clock.time == NOON + timedelta(hours=1, seconds=1.5)
    assert clock.now() == int((NOON + timedelta(hours=1, seconds=1.5)).timestamp() * 1000)

    clock.move_to(NOON)
    assert clock.time == NOON


def test_a_time_without_a_zone_is_refused_by_the_clock():
    with pytest.raises(ValueError, match="has no time zone; for UTC"):
        ManualClock(datetime(2027, 1, 1))  # noqa: DTZ001


# The pytest plugin, in projects of their own

TESTS = """
import pytest
from shop import later, outbox, send

def test_stored(manual_jobs):
    later(send, ["ada"], wait=60)
    manual_jobs.assert_scheduled(send, ["ada"], wait=60)
    assert outbox == []
    manual_jobs.drain(with_scheduled=True)
    assert outbox == ["ada"]

def test_at_once(jobs_run_now):
    later(send, ["bob"])
    assert outbox[-1] == "bob"

def test_error(jobs_run_now):
    with pytest.raises(ValueError):
        later(send, [""])
"""
APP = """
from litejobs import JobManager, SqliteAdapter

jobs = JobManager({"sqlite": SqliteAdapter("own/db.sqlite")})
later = jobs.create_scheduler()
outbox = []

@jobs.job
def send(name):
    if not name:
        raise ValueError
    outbox.append(name)
"""


def test_the_plugin_tests_the_projects_app(project):
    project.write("pyproject.toml", '[tool.litejobs]\napp = "shop:jobs"\n')
    project.write("shop.py", APP)
    project.write("tests/test_shop.py", TESTS)

    out = project.run("-m", "pytest", "-q").out

    assert "3 passed" in out


def test_the_plugin_tests_plain_functions_where_there_is_no_app(project):
    plain = "from litejobs import later\noutbox = []\n" + APP.partition("@jobs.job\n")[2]
    project.write("shop.py", plain)
    project.write("test_shop.py", TESTS)

    out = project.run("-m", "pytest", "-q").out

    assert "3 passed" in out
    assert not list((project.home / "data").glob("**/*.sqlite"))


def test_a_project_may_name_its_manager_itself(project):
    project.write("shop.py", APP)
    project.write(
        "conftest.py",
        """
        import pytest, shop

        @pytest.fixture
        def litejobs_manager():
            return shop.jobs
        """,
    )
    project.write("test_shop.py", TESTS)

    assert "3 passed" in project.run("-m", "pytest", "-q").out


def test_the_plugin_costs_a_test_run_that_does_not_ask_next_to_nothing(project):
    project.write(
        "test_nothing.py",
        """
        import sys

        def test_nothing():
            heavy = {"apsw", "click", "msgspec", "sqlite3", "litejobs.manager", "litejobs.testing"}
            assert "litejobs.pytest_plugin" in sys.modules
            assert heavy & set(sys.modules) == set()
        """,
    )

    assert "1 passed" in project.run("-m", "pytest", "-q").out


def test_a_call_with_a_key_is_told_of_and_run_as_any(manager, later):
    with testing.manual(manager) as jobs:
        first, second = (later(note, ["once"], key="a") for _ in range(2))
        jobs.assert_scheduled(job(manager, note), ["once"])
        jobs.drain()

    assert (first.is_new, second.is_new) == (True, False)
    assert done == ["once"]
    with testing.run_now(manager):
        later(note, ["at once"], key="a")
        assert done == ["once", "at once"]
