"""Jobs that a thread has found together: those around a long one do not wait for it."""

import threading

import pytest
from helpers import DEADLINE, wait_until

from litejobs import defaults, watchdog
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.adapters.sqlite.inspection import Inspection
from litejobs.batch import Batch
from litejobs.errors import DiskError
from litejobs.job import Outcome, StoredJob
from litejobs.manager import JobManager

opened = threading.Event()
DONE = Outcome("success", delete=True)
RELEASED = Outcome("released")


def note(): ...


def wait_at_gate():
    assert opened.wait(DEADLINE)


@pytest.fixture(autouse=True)
def gate(monkeypatch):
    monkeypatch.setattr(watchdog, "_watchdog", watchdog.Watchdog())
    opened.clear()
    yield
    opened.set()


def jobs(*ids):
    return [StoredJob(id_, "default", 50, 1, 1, "me", "{}") for id_ in ids]


class Recorder:
    def __init__(self):
        self.error = None
        self.calls = []

    def __call__(self, settlements):
        self.calls.append([(job.id, outcome) for job, outcome in settlements])
        if self.error:
            raise self.error


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def batch(recorder):
    return Batch(recorder)


def test_jobs_are_begun_in_order_and_their_outcomes_taken_once(batch, monkeypatch):
    monkeypatch.setattr(defaults, "SILENCE", 3600)
    first, second = jobs(1, 2)
    batch.fill([first, second])

    assert batch.next() == first
    batch.put((first, DONE))
    assert batch.next() == second
    assert batch.next() is None
    assert not batch.is_settled
    assert batch.take() == [(first, DONE)]
    assert batch.take() == []
    assert batch.is_settled


def test_while_a_job_takes_long_the_watchdog_settles_those_around_it(batch, recorder, monkeypatch):
    monkeypatch.setattr(defaults, "SILENCE", 0.05)
    batch.fill(jobs(1, 2, 3, 4))
    batch.put((batch.next(), DONE))
    batch.next()

    wait_until(lambda: recorder.calls, "the watchdog")

    assert recorder.calls == [[(1, DONE), (3, RELEASED), (4, RELEASED)]]
    assert batch.next() is None
    wait_until(lambda: batch.is_settled, "its end")
    assert batch.take() == []


def test_what_the_watchdog_could_not_record_is_left_to_the_thread(batch, recorder):
    recorder.error = DiskError("the disk is full")
    batch.fill(jobs(1, 2))
    batch.next()

    wait_until(lambda: batch.take() == [(jobs(2)[0], RELEASED)], "the watchdog")

    assert batch.next() is None


def test_jobs_that_go_on_are_left_alone(batch, recorder, monkeypatch):
    monkeypatch.setattr(defaults, "SILENCE", 3600)  # the watchdog is played by this test
    batch.fill(jobs(1, 2, 3))
    batch.next()
    run = batch.run
    batch.next()

    batch.tell(run)

    assert recorder.calls == []
    assert batch.run[1] == 2  # it looks again


def test_while_the_watchdog_records_the_batch_is_not_settled(recorder):
    seen = []
    batch = Batch(lambda _: seen.append(batch.is_settled))
    batch.fill(jobs(1, 2))
    batch.next()

    wait_until(lambda: seen, "the watchdog")

    assert seen == [False]


def test_what_is_not_recorded_yet_is_in_hand_wherever_it_is(recorder, monkeypatch):
    seen = []
    batch = Batch(lambda _: seen.append(batch.in_hand()))
    monkeypatch.setattr(defaults, "SILENCE", 0.05)
    batch.fill(jobs(1, 2, 3))
    batch.put((batch.next(), DONE))
    batch.next()
    assert batch.in_hand() == [1]

    wait_until(lambda: seen, "the watchdog")

    assert seen == [[1, 3]]
    wait_until(lambda: batch.in_hand() == [], "its end")


def test_of_a_single_job_nobody_is_told(batch):
    batch.fill(jobs(1))

    assert batch.next()
    assert batch.run is None


# In a thread worker


@pytest.fixture
def manager(tmp_path, request):
    adapter = SqliteAdapter(tmp_path / "jobs.sqlite")
    manager = JobManager({"sqlite": adapter})
    yield manager
    adapter.close()


def left(manager):
    records = Inspection(manager.adapter("sqlite")).records(limit=10_000)
    return sorted((record.id, record.state) for record in records)


def test_a_thread_records_what_ended_before_a_long_job_and_leaves_the_rest_to_others(manager):
    quick, slow = (manager.create_job(perform=job) for job in (note, wait_at_gate))
    later = manager.create_scheduler()
    later.many(quick, [[]] * 2000)
    later(slow, priority=60)
    later.many(quick, [[]] * 50, priority=70)
    thread = manager.start_background_worker()
    running = [(2001, "running")]
    wait_until(lambda: running == [row for row in left(manager) if row[1] == "running"], "it")

    others = manager.create_worker(0, 1, workoff=True)
    others.run()

    assert left(manager) == running
    opened.set()
    thread.stop()
    assert left(manager) == []


def test_to_stop_a_thread_gives_back_what_it_has_not_begun(manager, caplog):
    stopping = manager.create_job(perform=stop_the_worker)
    quick = manager.create_job(perform=note)
    later = manager.create_scheduler()
    worker = manager.create_worker(0, 0)
    workers.append(worker)
    later.many(quick, [[]] * 1000)
    later(stopping)
    later.many(quick, [[]] * 200)

    worker.run()

    assert left(manager) == [(id_, "ready") for id_ in range(1002, 1202)]
    assert caplog.text == ""


workers = []


def stop_the_worker():
    workers.pop().stop()
