"""max_runtime inside of a performer: who is told, when, and that nobody else is."""

import asyncio
import logging
import signal
import time
from types import SimpleNamespace

import pytest
from helpers import wait_until

from litejobs import JobTimeout
from litejobs.execution import Execution
from litejobs.job import Limits, StoredJob
from litejobs.loader import Call
from litejobs.performers.alarm import Alarm
from litejobs.performers.wire import Begun

SHORT = Limits(max_runtime=0.02)
HEADLINE = "JobTimeout: ran longer than its max_runtime of 0.02 s"
PATIENCE = 30  # seconds that a job would go on if nobody stopped it


def spin(seconds=PATIENCE):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


class Run:
    """Runs functions under one alarm, as a performer does."""

    def __init__(self, clock):
        self.told = []
        self.alarm = Alarm(SHORT, self.told.append)
        self.execution = Execution(self, SHORT, clock, logging.getLogger("litejobs"))

    def load(self, _handler):
        return Call("job", self.function, [], {}, self.own_limits)

    def __call__(self, function, **own_limits):
        self.function, self.own_limits = function, own_limits
        self.alarm.expect()
        return self.execution.run(StoredJob(7, "default", 50, 0, 1, "me", "{}"), self.alarm)


@pytest.fixture
def run(clock):
    before = signal.getsignal(signal.SIGALRM)
    run = Run(clock)
    yield run
    run.execution.close()
    run.alarm.close()
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def seen():
    return []


def test_a_job_whose_time_is_over_is_told_and_its_finally_runs(run, seen):
    def job():
        try:
            time.sleep(PATIENCE)
        except JobTimeout as error:
            seen.append(str(error))
            raise
        finally:
            seen.append("finally")

    outcome = run(job)

    assert outcome.kind == "error"
    assert outcome.error.partition("\n\n")[0] == HEADLINE
    assert "time.sleep(PATIENCE)" in outcome.error
    assert not outcome.crashed
    assert seen == ["ran longer than its max_runtime of 0.02 s", "finally"]


def test_a_job_that_catches_every_exception_is_told_all_the_same(run, seen):
    def job():
        try:
            time.sleep(PATIENCE)
        except Exception:
            seen.append("a time-out is not the job's to catch like this")

    assert run(job).error.startswith(HEADLINE)
    assert seen == []


def test_a_job_is_told_once(run, seen):
    def job():
        try:
            spin()
        except JobTimeout:
            seen.append("told")
            spin(0.1)

    outcome = run(job)

    assert seen == ["told"]
    assert outcome.error == f"{HEADLINE}\n\nIt caught JobTimeout and returned."


def test_what_a_job_raises_instead_is_recorded_below_the_limit(run):
    def job():
        try:
            spin()
        finally:
            raise ValueError("while cleaning up")

    outcome = run(job)

    assert outcome.error.startswith(f"{HEADLINE}\n\nTraceback")
    assert "ValueError: while cleaning up" in outcome.error


def test_a_jobs_own_limit_wins(run):
    assert run(lambda: spin(0.05), max_runtime=PATIENCE).kind == "success"
    assert run(spin, max_runtime=0.01).error.startswith(
        "JobTimeout: ran longer than its max_runtime of 0.01 s"
    )


def test_a_limit_longer_than_a_timer_takes_is_a_limit(run):
    assert run(lambda: None, max_runtime=3e9).kind == "success"


def test_the_runner_is_told_of_limits_that_it_does_not_expect(run):
    run(lambda: None)
    assert run.told == []

    run(lambda: None, max_runtime=5)
    run(lambda: None)

    assert run.told == [Begun(7, Limits(max_runtime=5))]


def test_the_runner_is_told_of_a_job_that_was_long_in_loading(run, monkeypatch):
    monkeypatch.setattr("litejobs.performers.alarm._SLOW", 0)

    run(lambda: None)

    assert run.told == [Begun(7, SHORT)]


@pytest.mark.parametrize("when", ["idle", "in the next job"])
def test_a_signal_that_comes_late_is_nobodys(run, when, monkeypatch):
    run(lambda: None)
    later = SimpleNamespace(monotonic=lambda: time.monotonic() + PATIENCE)
    monkeypatch.setattr("litejobs.performers.alarm.time", later)

    def ring():
        signal.raise_signal(signal.SIGALRM)

    if when == "idle":
        ring()
    else:
        assert run(ring, max_runtime=PATIENCE).kind == "success"


def test_after_a_signal_that_came_late_the_limit_holds(run):
    def job():
        signal.raise_signal(signal.SIGALRM)
        spin()

    assert run(job).error.startswith(HEADLINE)


def test_a_job_that_uses_the_timer_for_itself_is_not_told(run, seen):
    def job():
        signal.signal(signal.SIGALRM, lambda *_: seen.append("its own"))
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        spin(0.05)

    assert run(job).kind == "success"
    assert seen == ["its own"]
    assert run(spin).error.startswith(HEADLINE)  # the next one is


def test_short_jobs_leave_the_timer_running(run, monkeypatch):
    wound, setitimer = [], signal.setitimer
    monkeypatch.setattr(signal, "setitimer", lambda *how: (wound.append(how), setitimer(*how)))

    for _ in range(100):
        run(lambda: None, max_runtime=PATIENCE)

    assert wound == [(signal.ITIMER_REAL, PATIENCE)]


def test_a_timer_that_runs_for_an_earlier_job_leaves_the_next_its_whole_time(run, seen):
    def job():
        began = time.monotonic()
        try:
            spin()
        finally:
            seen.append(time.monotonic() - began)

    for _ in range(10):  # each in the middle of what the timer has left
        run(lambda: spin(0.005))
        assert run(job).error.startswith(HEADLINE)

    assert min(seen) > 0.019


def test_no_job_is_interrupted_early_for_an_earlier_one(run, seen):
    run(lambda: None, max_runtime=PATIENCE)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE / 3)  # as if that was what is left

    run(lambda: seen.append(signal.getitimer(signal.ITIMER_REAL)[0]), max_runtime=PATIENCE)

    assert seen[0] > PATIENCE / 2


def test_code_that_takes_the_signal_when_it_is_loaded_takes_it_from_no_job(run, monkeypatch):
    run(lambda: None)
    load = run.load

    def take(text):
        signal.signal(signal.SIGALRM, lambda *_: None)
        return load(text)

    monkeypatch.setattr(run, "load", take)

    assert run(spin).error.startswith(HEADLINE)


def test_a_job_that_stops_the_timer_takes_it_from_no_other(run):
    def job():
        before = signal.signal(signal.SIGALRM, lambda *_: None)
        signal.alarm(5)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)

    assert run(job).kind == "success"
    assert run(spin).error.startswith(HEADLINE)


def test_a_timer_of_a_jobs_own_does_nothing_when_it_has_ended(run, seen):
    def job():
        signal.signal(signal.SIGALRM, lambda *_: seen.append("its own"))
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)

    run(job)
    seen.clear()  # it may have come in time
    stopped = (0.0, 0.0)
    wait_until(lambda: signal.getitimer(signal.ITIMER_REAL) == stopped, "the timer to stop")

    assert seen == []


def test_a_job_that_ends_at_its_limit_has_one_outcome_and_the_next_is_left_alone(run):
    limit, spread = 0.004, 0.0002
    kinds = set()

    for number in range(150):
        length = limit - spread / 2 + spread * number / 150
        outcome = run(lambda length=length: spin(length), max_runtime=limit)
        following = run(lambda: spin(0.0005), max_runtime=PATIENCE)

        assert following.kind == "success"
        assert outcome.kind == "success" or "max_runtime of 0.004 s" in outcome.error
        kinds.add(outcome.kind)

    assert kinds == {"success", "error"}


# async


def test_the_task_of_an_async_job_is_cancelled_and_its_finally_runs(run, seen):
    async def job():
        try:
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0.03)
            seen.append("finally")

    outcome = run(job)

    assert outcome.error.startswith(f"{HEADLINE}\n\nTraceback")
    assert seen == ["cancelled", "finally"]


async def endless():
    spin()


async def with_a_child():
    await asyncio.gather(endless())


async def beside_a_child():
    task = asyncio.create_task(endless())
    await asyncio.sleep(PATIENCE)
    await task


async def in_a_group():
    async with asyncio.TaskGroup() as group:
        group.create_task(endless())
        group.create_task(asyncio.sleep(PATIENCE))


@pytest.mark.parametrize("job", [endless, with_a_child, beside_a_child, in_a_group])
def test_an_async_job_that_never_awaits_is_told(run, seen, job):
    async def with_finally():
        try:
            await job()
        finally:
            await asyncio.sleep(0)
            seen.append("finally")

    assert run(with_finally).error.startswith(HEADLINE)
    assert seen == ["finally"]


def test_tasks_that_a_job_left_behind_end_with_the_execution(run, seen):
    async def other():
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            seen.append("finally")

    async def job():
        task = asyncio.create_task(other())
        await asyncio.sleep(PATIENCE)
        await task

    assert run(job).error.startswith(HEADLINE)
    run.execution.close()

    assert seen == ["finally"]


def test_async_jobs_within_their_limit_are_left_alone(run):
    async def job():
        await asyncio.sleep(0.001)

    for _ in range(20):
        assert run(job).kind == "success"
