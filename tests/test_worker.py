"""The worker and the inline executor on real files, with a clock that the tests move."""

import logging
import math
import selectors
import threading
import time
from pathlib import Path

import pytest
from helpers import wait_until

from litejobs import defaults
from litejobs.adapters.sqlite import connection
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.adapters.sqlite.inspection import Inspection
from litejobs.errors import (
    ConfigurationError,
    DatabaseBusyError,
    DatabaseFileError,
    DatabaseGoneError,
    DiskError,
)
from litejobs.execution import Execution, Guard
from litejobs.handler import write
from litejobs.inline import Inline
from litejobs.job import Find, Limits, NewJob
from litejobs.loader import Loader
from litejobs.recurrence import StoredSchedule
from litejobs.rules.outcome import released
from litejobs.stop import Stop
from litejobs.worker import Worker, wait, work

FIND = Find("tester", ("*",), 60)
DEFAULTS = Limits()
calls = []


def note(word):
    calls.append(word)


def always_raises():
    raise ValueError("no luck")


@pytest.fixture(autouse=True)
def no_calls():
    calls.clear()


@pytest.fixture
def make_worker(adapter, clock, request, monkeypatch):
    stops = []

    def make(limits=DEFAULTS, *, recovers=False, sweeps=False, **options):
        monkeypatch.setattr(type(adapter), "recovers", recovers)
        monkeypatch.setattr(type(adapter), "sweeps", sweeps)
        loader = Loader({}, request.path.parent)
        execution = Execution(loader, limits, clock, logging.getLogger("litejobs"))
        stop = Stop()
        stops.append(stop)
        inline = Inline(execution, FIND, Guard(), stop=stop)
        return Worker(adapter, inline, stop=stop, clock=clock, **options)

    yield make
    for stop in stops:
        stop.close()


@pytest.fixture
def worker(make_worker):
    return make_worker()


def schedule(adapter, clock, function, *args, wait=0):
    import json

    handler = write(function.__name__, "test_worker.py", "test_worker", json.dumps(args), "{}")
    return adapter.schedule([NewJob(handler, "default", 50, clock.now() + 1000 * wait)])[0]


def states(adapter):
    rows = adapter.connection.execute("SELECT id, state FROM background_jobs ORDER BY id")
    return dict(rows)


def test_a_job_is_run_and_its_row_goes(worker, adapter, clock):
    schedule(adapter, clock, note, "hello")

    assert worker.work_once()
    worker.work_once()

    assert calls == ["hello"]
    assert states(adapter) == {}


def test_a_job_that_raised_waits_out_its_backoff(worker, adapter, clock):
    schedule(adapter, clock, always_raises)
    assert worker.work_once()
    worker.work_once()

    clock.advance(seconds=0.999)
    assert not worker.work_once()

    clock.advance(seconds=0.001)
    assert worker.work_once()


def test_attempts_used_up_are_a_failure(make_worker, adapter, clock):
    id_ = schedule(adapter, clock, always_raises)
    worker = make_worker(Limits(max_attempts=1))

    worker.work_once()
    worker.work_once()

    assert states(adapter) == {id_: 5}


def test_a_worker_asked_to_stop_begins_nothing(worker, adapter, clock):
    schedule(adapter, clock, note, "late")
    worker.stop.request()

    worker.work_once()

    assert worker.finished
    assert calls == []


# Workoff


def run_to_the_end(worker, steps=50):
    """Work until the worker says that it has finished; no waiting in between."""
    for _ in range(steps):
        if worker.finished:
            return
        worker.work_once()
    raise AssertionError(f"not finished after {steps} steps")


def test_workoff_runs_all_that_is_due_and_ends(make_worker, adapter, clock):
    for word in "abc":
        schedule(adapter, clock, note, word)
    future = schedule(adapter, clock, note, "later", wait=1)

    run_to_the_end(make_worker(workoff=True))

    assert calls == ["a", "b", "c"]
    assert states(adapter) == {future: 0}


def test_workoff_leaves_a_job_that_is_to_be_tried_again(make_worker, adapter, clock):
    id_ = schedule(adapter, clock, always_raises)

    run_to_the_end(make_worker(workoff=True))

    assert states(adapter) == {id_: 0}


def test_without_workoff_an_idle_worker_goes_on(worker):
    assert worker.work_once() is False

    assert not worker.finished


class Shy:
    """The adapter, but its first exchanges find nothing, as after a lost race."""

    def __init__(self, adapter, times):
        self._adapter, self._times = adapter, times

    def __getattr__(self, name):
        return getattr(self._adapter, name)

    def exchange(self, settlements, finds):
        if self._times and finds:
            self._times -= 1
            finds_nothing = [[] for _ in finds]
            self._adapter.exchange(settlements, [])
            return finds_nothing
        return self._adapter.exchange(settlements, finds)


def test_a_lost_race_does_not_end_workoff(make_worker, adapter, clock):
    schedule(adapter, clock, note, "won")
    worker = make_worker(workoff=True)
    worker.adapter = Shy(adapter, 2)

    assert worker.work_once()
    assert not worker.finished
    run_to_the_end(worker)

    assert calls == ["won"]


def test_workoff_waits_for_places_that_are_not_ready(make_worker, adapter, clock):
    schedule(adapter, clock, note, "patient")
    worker = make_worker(workoff=True)
    wanted, worker.executor.wanted = worker.executor.wanted, list
    assert worker.work_once() is False
    assert not worker.finished

    worker.executor.wanted = wanted
    run_to_the_end(worker)

    assert calls == ["patient"]


# Stopping


def test_a_drain_records_what_has_run(worker, adapter, clock):
    schedule(adapter, clock, note, "done")
    worker.work_once()
    worker.stop.request()

    run_to_the_end(worker)

    assert states(adapter) == {}


def test_a_stop_at_once_records_what_has_run(worker, adapter, clock):
    schedule(adapter, clock, note, "done")
    worker.work_once()
    worker.stop.request()
    worker.stop.request()

    run_to_the_end(worker)

    assert calls == ["done"]
    assert states(adapter) == {}


def test_each_settled_job_is_told_once(make_worker, adapter, clock):
    told = []
    worker = make_worker(
        on_settled=lambda ended: told.extend((job.id, outcome.kind) for job, outcome in ended)
    )
    first, second = schedule(adapter, clock, note, "a"), schedule(adapter, clock, always_raises)

    for _ in range(5):
        worker.work_once()

    assert told == [(first, "success"), (second, "error")]


def test_a_worker_looks_about_once_a_second_whether_all_is_well(make_worker, adapter, monotonic):
    looks = []
    adapter.check = lambda: looks.append(None)
    worker = make_worker(recovers=True)

    for _ in range(4):
        worker.work_once()
        monotonic(0.5)

    assert len(looks) == 2


# Trouble


class Failing:
    """The adapter, but while *broken* its exchanges fail, *after* or before they are stored."""

    def __init__(self, adapter, error=DiskError):
        self._adapter, self._error = adapter, error
        self.broken = self.after = self.blind = False
        self.tries = 0

    def __getattr__(self, name):
        return getattr(self._adapter, name)

    def exchange(self, settlements, finds):
        self.tries += 1
        if self.broken and not self.after:
            raise self._error("the disk is full")
        found = self._adapter.exchange(settlements, finds)
        if self.broken:
            raise self._error("the disk is full")
        return found

    def next_run_at(self):
        if self.blind:
            raise self._error("the disk is full")
        return self._adapter.next_run_at()


@pytest.fixture
def monotonic(monkeypatch):
    """The clock of durations, moved by the test."""
    now = [1000.0]
    monkeypatch.setattr("litejobs.worker.time.monotonic", lambda: now[0])

    def advance(seconds):
        now[0] += seconds

    return advance


@pytest.mark.parametrize("error", [DiskError, DatabaseBusyError])
def test_outcomes_that_are_not_taken_are_kept_and_recorded_later(
    worker, adapter, clock, monotonic, caplog, error
):
    first, second = schedule(adapter, clock, note, "a"), schedule(adapter, clock, note, "b")
    worker.adapter = failing = Failing(adapter, error)
    worker.work_once()
    failing.broken = True

    for _ in range(3):
        assert worker.work_once() is False

    assert states(adapter) == {first: 2, second: 1}
    assert calls == ["a"]
    assert failing.tries == 2
    assert caplog.text.count("outcomes are kept and tried again, no new jobs are begun") == 1

    failing.broken = False
    monotonic(worker.patience())
    for _ in range(3):
        worker.work_once()

    assert states(adapter) == {}
    assert calls == ["a", "b"]
    assert "storage works again" in caplog.text


def test_outcomes_of_a_database_that_is_gone_end_the_worker(
    make_worker, adapter, clock, database, monkeypatch
):
    monkeypatch.setattr(type(adapter), "cancels", False)  # else a look for those would notice first
    worker = make_worker()
    schedule(adapter, clock, note, "a")
    worker.work_once()
    database.unlink()

    with pytest.raises(DatabaseGoneError, match="was deleted while it was in use"):
        worker.work_once()


def pauses(worker, monotonic):
    """Seconds for which it wants to wait after each of seven rounds, which then pass."""
    seen = []
    for _ in range(7):
        worker.work_once()
        seen.append(round(worker.patience(), 3))
        monotonic(worker.patience())
    return seen


def test_tries_in_trouble_grow_ever_rarer_up_to_two_seconds(worker, adapter, clock, monotonic):
    worker.adapter = failing = Failing(adapter)
    failing.broken = True

    assert pauses(worker, monotonic) == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    assert failing.tries == 7


def test_a_job_that_was_found_but_never_heard_of_is_released(worker, adapter, clock, monotonic):
    id_ = schedule(adapter, clock, note, "stray")
    worker.adapter = failing = Failing(adapter)
    failing.broken = failing.after = True
    worker.work_once()
    assert states(adapter) == {id_: 2}

    failing.broken = False
    monotonic(worker.patience())
    for _ in range(3):
        worker.work_once()

    assert calls == ["stray"]
    assert states(adapter) == {}


class Holding:
    """An executor with jobs in hand that wishes for more."""

    queues, busy = frozenset({"*"}), True

    def __init__(self):
        self.held, self.recalls = [], 0

    def limits_of(self, job):
        return DEFAULTS

    def wanted(self):
        return [FIND]

    def begin(self, find, jobs):
        self.held += [job.id for job in jobs]

    def in_hand(self):
        return self.held

    def recall(self):
        self.recalls += 1

    def collect(self):
        return []

    def patience(self):
        return 100


def test_a_job_that_is_in_hand_is_no_stray(adapter, clock, monotonic):
    stop, holding = Stop(), Holding()
    worker = Worker(adapter, holding, stop=stop, clock=clock)
    schedule(adapter, clock, note, "in hand")
    worker.work_once()
    worker.adapter = failing = Failing(adapter)
    failing.broken = failing.after = True
    schedule(adapter, clock, note, "stray")
    worker.work_once()
    assert states(adapter) == {1: 2, 2: 2}

    failing.broken = False
    monotonic(worker.patience())
    worker.adapter.exchange = lambda *_: [[]]  # the stray is not found again
    worker.work_once()

    assert states(adapter) == {1: 2, 2: 1}
    stop.close()


def test_while_storage_takes_nothing_no_job_begins_that_was_handed_out(adapter, clock, monotonic):
    stop, holding = Stop(), Holding()
    worker = Worker(adapter, holding, stop=stop, clock=clock)
    worker.adapter = failing = Failing(adapter)
    schedule(adapter, clock, note, "a")
    failing.broken = True
    worker.work_once()
    assert holding.recalls == 0

    worker.work_once()

    assert holding.recalls == 1
    stop.close()


def test_a_job_whose_outcome_is_kept_is_no_stray(worker, adapter, clock, monotonic):
    schedule(adapter, clock, note, "once")
    worker.adapter = failing = Failing(adapter)
    worker.work_once()
    failing.broken = True
    worker.work_once()

    failing.broken = False
    monotonic(worker.patience())
    for _ in range(3):
        worker.work_once()

    assert calls == ["once"]
    assert states(adapter) == {}


def test_a_drain_in_trouble_waits_until_its_outcomes_are_recorded(
    worker, adapter, clock, monotonic
):
    schedule(adapter, clock, note, "done")
    worker.adapter = failing = Failing(adapter)
    worker.work_once()
    failing.broken = True
    worker.stop.request()
    worker.work_once()
    assert not worker.finished

    failing.broken = False
    monotonic(worker.patience())
    run_to_the_end(worker)

    assert states(adapter) == {}


def test_a_stop_at_once_in_trouble_gives_up_and_says_so(worker, adapter, clock, caplog):
    id_ = schedule(adapter, clock, note, "done")
    worker.adapter = failing = Failing(adapter)
    worker.work_once()
    failing.broken = True
    worker.stop.request()
    worker.stop.request()

    worker.work_once()

    assert worker.finished
    assert "the outcomes of 1 jobs could not be recorded" in caplog.text
    assert states(adapter) == {id_: 2}


# Waiting


def test_an_idle_worker_looks_every_sleep_delay(make_worker):
    assert make_worker(sleep_delay=7).patience() == 7


def test_a_worker_waits_no_longer_than_until_the_next_job(make_worker, adapter, clock):
    schedule(adapter, clock, note, "soon", wait=3)
    worker = make_worker(sleep_delay=7)

    assert worker.patience() == 3
    clock.advance(seconds=4)
    assert worker.patience() == 0


def test_a_worker_waits_no_longer_than_its_executor_wants(worker, adapter, clock):
    worker.executor.patience = lambda: 0.25

    assert worker.patience() == 0.25


def test_a_worker_that_can_begin_nothing_waits_for_its_executor_alone(worker, adapter, clock):
    schedule(adapter, clock, note, "soon")
    worker.executor.wanted = list

    assert worker.patience() == math.inf


def test_a_draining_worker_waits_for_its_executor_alone(worker, adapter, clock):
    schedule(adapter, clock, note, "soon")
    worker.stop.request()

    assert worker.patience() == math.inf


def test_a_look_that_fails_is_trouble_too(worker, adapter, monotonic, caplog):
    worker.adapter = failing = Failing(adapter)
    failing.blind = True

    assert worker.patience() == pytest.approx(0.1)
    assert "the disk is full" in caplog.text


class Unfired:
    """Schedules of which one is due, and cannot be fired."""

    tries = 0

    def fire(self):
        self.tries += 1
        raise DiskError("the disk is full")

    def next_at(self):
        return 0


@pytest.fixture
def unfired(adapter, monkeypatch):
    schedules = Unfired()
    monkeypatch.setattr(adapter, "schedules", schedules)
    return schedules


def test_outcomes_are_recorded_while_what_recurs_cannot_be_fired(
    worker, adapter, clock, unfired, monotonic, caplog
):
    schedule(adapter, clock, note, "a")

    for _ in range(8):
        worker.work_once()
        monotonic(worker.patience())

    assert calls == ["a"]
    assert states(adapter) == {}
    assert unfired.tries > 1
    assert (
        caplog.text.count("the disk is full; looking after jobs and schedules is tried again") == 1
    )
    assert "storage works again" not in caplog.text


def test_what_recurs_and_cannot_be_fired_is_tried_ever_more_rarely(worker, unfired, monotonic):
    assert pauses(worker, monotonic) == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


def test_others_look_after_jobs_while_what_recurs_cannot_be_fired(
    make_worker, adapter, unfired, monotonic, monkeypatch
):
    looks = []
    worker = make_worker(recovers=True)
    monkeypatch.setattr(adapter, "recover", lambda _: looks.append("recover") or [])

    for _ in range(6):
        worker.work_once()
        monotonic(worker.patience())

    assert len(looks) > 1


@pytest.mark.parametrize("step", ["recover", "asked_to_end"])
def test_a_worker_whose_places_are_all_taken_waits_after_a_look_that_failed(
    make_worker, adapter, monotonic, monkeypatch, step
):
    def fail(*_):
        raise DatabaseBusyError("locked")

    monkeypatch.setattr(adapter, step, fail)
    worker = make_worker(recovers=True)
    worker.executor = Occupied()
    worker.work_once()
    monotonic(5)

    assert worker.patience() == Occupied.longest


class Occupied:
    """An executor all of whose places are taken by jobs that go on."""

    busy, queues, longest = True, frozenset({"*"}), 7.0

    def wanted(self):
        return []

    def collect(self):
        return []

    def patience(self):
        return self.longest

    def limits_of(self, _):
        return None


# The loop


def test_the_loop_serves_all_workers_until_each_has_finished(make_worker, adapter, clock):
    for word in "abc":
        schedule(adapter, clock, note, word)
    workers = [make_worker(workoff=True), make_worker(workoff=True)]

    with selectors.DefaultSelector() as selector:
        work(workers, selector)

    assert sorted(calls) == ["a", "b", "c"]
    assert all(worker.finished for worker in workers)


class Busy:
    """A worker that always has something to do, until somebody is heard."""

    def __init__(self):
        self.finished = False

    def work_once(self):
        return not self.finished

    def patience(self):
        return 0

    def abandon(self): ...


def test_the_loop_hears_what_is_ready_however_much_there_is_to_do(make_worker):
    stop = make_worker().stop
    busy = Busy()
    stop.request()

    with selectors.DefaultSelector() as selector:
        selector.register(stop, selectors.EVENT_READ, lambda: setattr(busy, "finished", True))
        work([busy], selector)

    assert busy.finished


def test_the_loop_sleeps_until_it_is_told_to_stop(make_worker, adapter):
    worker = make_worker(sleep_delay=3600)

    with selectors.DefaultSelector() as selector:
        selector.register(worker.stop, selectors.EVENT_READ, worker.stop.drain)
        timer = threading.Timer(0.01, worker.stop.request)
        timer.start()
        work([worker], selector)
        timer.join()

    assert worker.finished


def test_a_wait_calls_what_became_ready(make_worker):
    stop = make_worker().stop
    stop.request()

    with selectors.DefaultSelector() as selector:
        selector.register(stop, selectors.EVENT_READ, stop.drain)
        wait(selector, math.inf)

        assert selector.select(0) == []


def test_strays_are_given_back_before_a_drain_ends(worker, adapter, clock, monotonic):
    id_ = schedule(adapter, clock, note, "a")
    worker.adapter = failing = Failing(adapter)
    failing.broken = failing.after = True
    worker.work_once()
    assert states(adapter) == {id_: 2}
    worker.stop.request()
    worker.work_once()
    assert not worker.finished

    failing.broken = False
    monotonic(worker.patience())
    run_to_the_end(worker)

    assert states(adapter) == {id_: 1}
    assert calls == []


def test_a_disk_error_at_the_last_look_of_workoff_is_tried_again(
    make_worker, adapter, clock, monotonic, monkeypatch
):
    worker = make_worker(workoff=True)
    worker.adapter = failing = Failing(adapter)
    failing.is_due = lambda _: (_ for _ in ()).throw(DiskError("the disk is full"))

    worker.work_once()

    assert not worker.finished
    del failing.is_due
    monotonic(worker.patience())
    run_to_the_end(worker)


def test_an_outcome_is_kept_through_every_error_of_the_storage(worker, adapter, clock, monotonic):
    schedule(adapter, clock, note, "a")
    worker.adapter = failing = Failing(adapter, DatabaseFileError)
    worker.work_once()
    failing.broken = True
    assert worker.work_once() is False

    failing.broken = False
    monotonic(worker.patience())
    worker.work_once()

    assert states(adapter) == {}
    assert calls == ["a"]


def test_a_storage_that_is_none_ends_a_worker_that_holds_nothing(worker, adapter, clock):
    worker.adapter = failing = Failing(adapter, DatabaseFileError)
    failing.broken = True

    with pytest.raises(DatabaseFileError):
        worker.work_once()


def test_a_row_that_is_no_text_stops_no_other(worker, adapter, clock):
    sql = "INSERT INTO background_jobs (run_at, priority, handler, queue) VALUES (1, 1, {0}, {1})"
    no_text = "CAST(x'ff7b' AS TEXT)"
    adapter.connection.execute(sql.format(no_text, "'default'"))
    adapter.connection.execute(sql.format(no_text, no_text))
    schedule(adapter, clock, note, "a")

    for _ in range(6):
        worker.work_once()

    assert calls == ["a"]
    assert states(adapter)[1] == 3
    assert len(Inspection(adapter).records()) == 2
    assert Inspection(adapter).counts().queues["default"] == {"unloadable": 1}


class Hosting:
    """An executor that runs no job itself; it breaks while one runs."""

    queues = frozenset({"*"})
    jobs = ()

    @property
    def busy(self):
        return bool(self.jobs)

    def wanted(self):
        return [FIND]

    def begin(self, find, jobs):
        self.jobs = jobs

    def collect(self):
        if self.jobs:
            raise ConfigurationError("the app is broken")
        return []

    def abandon(self):
        return [(job, released()) for job in self.jobs]


def test_an_error_that_leaves_the_loop_leaves_no_job_running(worker, adapter, clock):
    id_ = schedule(adapter, clock, note, "a")
    worker.executor = Hosting()

    with selectors.DefaultSelector() as selector, pytest.raises(ConfigurationError):
        work([worker], selector)

    assert states(adapter) == {id_: 1}


def test_a_stop_at_once_ends_while_another_program_holds_the_write_lock(
    worker, adapter, clock, driver, monkeypatch, caplog
):
    monkeypatch.setattr(connection, "LOCK_PATIENCE", 0.01)
    id_ = schedule(adapter, clock, note, "a")
    worker.work_once()
    worker.stop.request()
    worker.stop.request()
    other = connection.Connection(adapter.path, driver, "full")
    other.execute("BEGIN IMMEDIATE")

    worker.work_once()

    assert worker.finished
    assert "the outcomes of 1 jobs could not be recorded" in caplog.text
    other.execute("ROLLBACK")
    other.close()
    assert states(adapter) == {id_: 2}


def test_an_error_of_one_worker_on_the_way_out_keeps_no_other_from_settling():
    class Leaving:
        finished = False

        def __init__(self, error):
            self.error, self.abandoned = error, False

        def work_once(self):
            raise self.error

        def abandon(self):
            self.abandoned = True
            raise self.error

    workers = [Leaving(ValueError("first")), Leaving(ValueError("second"))]

    with selectors.DefaultSelector() as selector, pytest.raises(ValueError, match=r"first|second"):
        work(workers, selector)

    assert [worker.abandoned for worker in workers] == [True, True]


def test_a_request_to_stop_ends_a_wait_for_the_lock(make_worker, adapter, database, clock, driver):
    worker = make_worker()
    schedule(adapter, clock, note, "a")
    other = SqliteAdapter(database, driver=driver)
    asker = threading.Timer(0.1, worker.stop.request)
    began = time.monotonic()

    with other.connection.transaction():
        asker.start()
        assert not worker.work_once()

    assert time.monotonic() - began < 2
    other.close()


def test_a_request_that_was_heeded_ends_no_later_wait(worker, adapter):
    worker.stop.request()
    assert adapter._connections.is_impatient()

    worker.work_once()

    assert not adapter._connections.is_impatient()


def over(adapter, clock, count, age):
    """Jobs that succeeded that long ago and stayed."""
    clock.advance(-age)
    for _ in range(count):
        schedule(adapter, clock, note, "")
        [job] = adapter.find(worker="w", queues=["*"], max_runtime=60)
        adapter.success(job, delete=False)
    clock.advance(age)


def test_a_worker_lets_old_jobs_go_when_it_starts_and_each_minute(
    make_worker, adapter, clock, monotonic
):
    worker = make_worker(sweeps=True, sleep_delay=1000)
    over(adapter, clock, 1, defaults.KEEP_SUCCEEDED)
    worker.work_once()
    assert states(adapter) == {}
    over(adapter, clock, 1, defaults.KEEP_SUCCEEDED)
    worker.work_once()
    assert len(states(adapter)) == 1
    assert worker.patience() == defaults.SWEEP_PAUSE

    monotonic(defaults.SWEEP_PAUSE)
    worker.work_once()

    assert states(adapter) == {}


def test_a_workoff_ends_when_all_old_jobs_are_gone(
    make_worker, adapter, clock, monotonic, monkeypatch
):
    monkeypatch.setattr(defaults, "CHANGE_BATCH", 2)
    worker = make_worker(sweeps=True, workoff=True)
    over(adapter, clock, 3, defaults.KEEP_SUCCEEDED)

    worker.work_once()
    assert not worker.finished
    assert worker.patience() == pytest.approx(defaults.SWEEP_REST)
    monotonic(defaults.SWEEP_REST)
    worker.work_once()

    assert worker.finished
    assert states(adapter) == {}


# What recurs


def recur(adapter, name="tick", every=60_000):
    handler = write("note", Path(__file__).name, Path(__file__).stem, '["tick"]', "{}")
    job = NewJob(handler, "default", 50, 0)
    adapter.schedules.add(StoredSchedule(name, None, "UTC", every, "once", 1, "skip", 0, job))


def test_a_worker_sleeps_until_the_next_time_of_what_recurs(worker, adapter, clock):
    recur(adapter, every=3000)
    assert not worker.work_once()

    assert worker.patience() == 3

    clock.advance(3)
    assert worker.patience() == 0
    assert worker.work_once()
    assert calls == ["tick"]


def test_a_schedule_that_comes_while_it_is_busy_is_noticed(worker, adapter, clock, monkeypatch):
    worker.work_once()
    recur(adapter, every=1000)
    clock.advance(1)
    assert not worker.work_once()

    monkeypatch.setattr(worker, "_recover_at", 0)
    worker.work_once()

    assert worker.work_once()
    assert calls == ["tick"]


def test_a_fault_while_runs_are_stored_is_waited_out(worker, adapter, clock, monkeypatch, caplog):
    recur(adapter)
    clock.advance(60)
    fire = adapter.schedules.fire
    monkeypatch.setattr(
        adapter.schedules, "fire", lambda: (_ for _ in ()).throw(DiskError("the disk is full"))
    )
    assert not worker.work_once()
    assert worker.patience() > 0
    assert "the disk is full" in caplog.text
    monkeypatch.setattr(adapter.schedules, "fire", fire)

    wait_until(worker.work_once)

    assert calls == ["tick"]
