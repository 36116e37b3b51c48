"""Thread workers in this very process, on real files."""

import logging
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import DEADLINE, wait_until

from litejobs import background, inline
from litejobs.adapters.base import BaseAdapter
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.background import BackgroundWorker
from litejobs.errors import DatabaseFileError, DiskError, LitejobsError
from litejobs.manager import JobManager

NEVER = 3600  # seconds; a test that waits for this fails


class Gate:
    """A job that tells when it has begun, and ends when the test says so."""

    def __init__(self):
        self.begun = []
        self.ended = []
        self.opened = threading.Event()

    def __call__(self, word):
        self.begun.append(word)
        assert self.opened.wait(60)
        self.ended.append(word)


gate = Gate()


def wait_at_gate(word="job"):
    gate(word)


def note(word):
    gate.ended.append((word, threading.current_thread().name))


def always_raises():
    raise ValueError("no luck")


@pytest.fixture(autouse=True)
def new_gate(monkeypatch):
    monkeypatch.setitem(globals(), "gate", Gate())


@pytest.fixture
def database(tmp_path):
    return SqliteAdapter(tmp_path / "jobs.sqlite")


@pytest.fixture
def make_manager(database):
    managers = []

    def make(*groups, adapters=None):
        workers = [{"sleep_delay": NEVER} | group for group in groups or [{}]]
        managers.append(JobManager(adapters or {"sqlite": database}, workers=workers))
        return managers[-1]

    yield make
    gate.opened.set()
    for manager in managers:
        if manager._background.worker is not None and manager._background.worker.is_alive():
            assert manager._background.worker.stop(60)
    database.close()


@pytest.fixture
def manager(make_manager):
    return make_manager()


def count(database):
    return database.connection.execute("SELECT count(*) FROM background_jobs")[0][0]


def test_jobs_that_wait_already_are_run(manager, database):
    manager.create_scheduler().many(manager.job(note), [["a"], ["b"]])

    manager.start_background_worker()

    wait_until(lambda: len(gate.ended) == 2, "both jobs")
    wait_until(lambda: count(database) == 0, "both outcomes")
    assert [word for word, _ in gate.ended] == ["a", "b"]


def test_a_sleeping_worker_is_woken_by_a_new_job(manager, database):
    job, later = manager.job(note), manager.create_scheduler()
    manager.start_background_worker()

    for number in range(3):
        later(job, [number])
        wait_until(lambda expected=number + 1: len(gate.ended) == expected, "the bell")


def test_a_worker_sleeps_until_the_next_job_is_due(manager):
    job, later = manager.job(note), manager.create_scheduler()
    manager.start_background_worker()

    later(job, ["soon"], wait=0.05)

    wait_until(lambda: gate.ended, "the job that was due")


def test_starting_twice_starts_one(manager):
    first = manager.start_background_worker()
    threads = threading.active_count()

    assert manager.start_background_worker() is first
    assert threading.active_count() == threads


def test_starting_from_eight_threads_at_once_starts_one(manager):
    barrier = threading.Barrier(8)
    workers = []

    def start():
        barrier.wait()
        workers.append(manager.start_background_worker())

    switch_interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=start) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switch_interval)

    assert len(workers) == 8
    assert len(set(workers)) == 1


def test_a_stopped_worker_can_be_followed_by_another(manager):
    first = manager.start_background_worker()
    assert first.is_alive()
    assert first.stop()
    assert not first.is_alive()

    second = manager.start_background_worker()
    manager.create_scheduler()(manager.job(note), ["a"])

    assert second is not first
    wait_until(lambda: gate.ended, "the job")


def test_there_is_a_thread_for_each_count_of_each_group(make_manager):
    manager = make_manager({"queue": "default", "count": 2}, {"queue": ["email", "sms"]})
    job, later = manager.job(wait_at_gate), manager.create_scheduler()

    manager.start_background_worker()
    for queue in ("default", "default", "email"):
        later(job, [queue], queue=queue)

    wait_until(lambda: len(gate.begun) == 3, "three jobs at a time")
    names = {thread.name for thread in threading.enumerate()}
    assert {
        "litejobs-worker.default.0",
        "litejobs-worker.default.1",
        "litejobs-worker.email-sms.0",
    } <= names


def test_a_group_takes_only_jobs_of_its_queues(make_manager, database):
    manager = make_manager({"queue": "email"})
    job, later = manager.job(note), manager.create_scheduler()
    manager.start_background_worker()

    later(job, ["default"])
    later(job, ["email"], queue="email")

    wait_until(lambda: count(database) == 1, "the job of the group's queue")
    assert [word for word, _ in gate.ended] == ["email"]


def test_each_group_works_on_its_own_adapter(make_manager, tmp_path):
    adapters = {key: SqliteAdapter(tmp_path / key) for key in "ab"}
    manager = make_manager({"adapter": "a"}, {"adapter": "b"}, adapters=adapters)
    job = manager.job(note)
    manager.start_background_worker()

    for key in "ab":
        manager.create_scheduler(key)(job, [key])

    wait_until(lambda: len(gate.ended) == 2, "a job of each adapter")
    for adapter in adapters.values():
        adapter.close()


def test_stop_waits_for_the_running_job_and_begins_no_other(manager, database):
    job, later = manager.job(wait_at_gate), manager.create_scheduler()
    worker = manager.start_background_worker()
    later.many(job, [["first"], ["second"]])
    wait_until(lambda: gate.begun, "the first job")

    assert worker.stop(timeout=0) is False
    gate.opened.set()
    wait_until(lambda: not worker.is_alive(), "the end of the worker")

    assert gate.ended == ["first"]
    [(handler, attempts)] = database.connection.execute(
        "SELECT handler, attempts FROM background_jobs"
    )
    assert "second" in handler
    assert attempts == 0


def test_what_stop_leaves_behind_is_said(manager, caplog):
    worker = manager.start_background_worker()
    manager.create_scheduler()(manager.job(wait_at_gate))
    wait_until(lambda: gate.begun, "the job")

    worker.stop(timeout=0)

    assert "1 background jobs did not end within" in caplog.text


def test_a_stopped_worker_leaves_no_bell_and_no_open_file(manager, database):
    manager.create_scheduler()(manager.job(note), ["a"])
    database.close()
    before = len(list(Path("/dev/fd").iterdir()))
    worker = manager.start_background_worker()
    wait_until(lambda: gate.ended, "the job")

    assert worker.stop(60)

    database.close()
    assert len(list(Path("/dev/fd").iterdir())) == before
    assert list(Path(database.run_directory).iterdir()) == []


def test_the_programs_end_gives_running_jobs_five_seconds(manager, monkeypatch):
    registered = []
    monkeypatch.setattr(background.atexit, "register", lambda *call: registered.append(call))

    worker = manager.start_background_worker()

    assert registered == [(worker.stop, 5.0)]


def test_a_worker_that_was_stopped_is_not_stopped_again_at_the_end(manager, monkeypatch):
    gone = []
    monkeypatch.setattr(background.atexit, "unregister", gone.append)
    worker = manager.start_background_worker()

    worker.stop()

    assert gone == [worker.stop]


SCRIPT = """
import threading, time
from litejobs import JobManager, SqliteAdapter, background

background.defaults.EXIT_PATIENCE = 0.2
jobs = JobManager({"sqlite": SqliteAdapter("jobs.sqlite")})
begun = threading.Event()

@jobs.job
def job():
    begun.set()
    time.sleep(1000)

jobs.create_scheduler()(job)
jobs.start_background_worker()
assert begun.wait(30)
"""


def test_a_program_ends_though_a_job_does_not(project):
    project.write("script.py", SCRIPT)

    assert "1 background jobs did not end within" in project.run("script.py").err


def test_a_wrong_database_is_refused_at_the_start(make_manager, tmp_path):
    file = tmp_path / "text.sqlite"
    file.write_text("no database " * 100)
    manager = make_manager(adapters={"sqlite": SqliteAdapter(file)})

    with pytest.raises(DatabaseFileError):
        manager.start_background_worker()

    assert manager._background.worker is None


def test_unloadable_jobs_are_tried_again_at_the_start(manager, database):
    manager.create_scheduler()(manager.job(note), ["a"])
    database.connection.execute("UPDATE background_jobs SET state = 3")

    manager.start_background_worker()

    wait_until(lambda: gate.ended, "the job that loads again")


class Flaky(BaseAdapter):
    """Storage that refuses its first looks, then has nothing to do."""

    schedule = find = success = error = failure = clear = None

    def __init__(self, *errors):
        self.errors = list(errors)
        self.looked = threading.Event()

    def exchange(self, settlements, finds):
        if self.errors:
            raise self.errors.pop(0)
        self.looked.set()
        return [[] for _ in finds]


@pytest.mark.parametrize("error", [LitejobsError("gone"), DiskError("full")], ids=str)
def test_a_worker_outlives_the_errors_of_its_database(make_manager, monkeypatch, caplog, error):
    monkeypatch.setattr(background.defaults, "RESTART_BACKOFF", (0.001, 0.002))
    monkeypatch.setattr(background.defaults, "RECORDING_BACKOFF", (0.001, 0.002))
    adapter = Flaky(error, error, error)
    manager = make_manager({"sleep_delay": 0.01}, adapters={"flaky": adapter})

    with caplog.at_level(logging.ERROR, "litejobs"):
        worker = manager.start_background_worker()
        assert adapter.looked.wait(60)

    assert worker.is_alive()
    assert str(error) in caplog.text


@pytest.mark.parametrize(
    ("works_for", "pauses"),
    [
        pytest.param([0, 0, 0, 0], [0.001, 0.002, 0.003, 0.003], id="never works"),
        pytest.param([0, 0, NEVER, 0], [0.001, 0.002, 0.001, 0.002], id="works for long"),
    ],
)
def test_between_two_tries_a_worker_waits_longer_each_time_up_to_a_limit_until_it_works(
    make_manager, monkeypatch, caplog, works_for, pauses
):
    class Lasting(Flaky):
        now = 0.0

        def exchange(self, settlements, finds):
            self.now += works_for.pop(0) if works_for else 0
            return super().exchange(settlements, finds)

    adapter = Lasting(*[LitejobsError("gone")] * 4)
    monkeypatch.setattr(background.defaults, "RESTART_BACKOFF", (0.001, 0.003))
    monkeypatch.setattr(inline, "time", SimpleNamespace(monotonic=lambda: adapter.now))
    manager = make_manager(adapters={"flaky": adapter})

    manager.start_background_worker()
    assert adapter.looked.wait(60)

    assert [record.args[2] for record in caplog.records] == pauses


def test_a_worker_in_trouble_can_be_stopped(make_manager, monkeypatch):
    monkeypatch.setattr(background.defaults, "RESTART_BACKOFF", (NEVER, NEVER))
    adapter = Flaky(*[LitejobsError("gone")] * 2)
    worker = make_manager(adapters={"flaky": adapter}).start_background_worker()
    wait_until(lambda: len(adapter.errors) == 1, "the first error")

    assert worker.stop(60)


def test_a_worker_without_groups_has_ended():
    worker = BackgroundWorker([])

    assert not worker.is_alive()
    assert worker.stop()


def test_a_logging_filter_that_raises_stops_neither_a_job_nor_its_thread(manager, database):
    class Broken(logging.Filter):
        def filter(self, record):
            raise RuntimeError("the filter is broken")

    broken = Broken()
    later, job = manager.create_scheduler(), manager.job(note)
    bad = manager.create_job(perform=always_raises, max_attempts=1, delete_failed_jobs=True)
    worker = manager.start_background_worker()
    later(job, ["a"])
    wait_until(lambda: count(database) == 0, "the first job")
    manager.logger.addFilter(broken)
    try:
        later(bad)
        wait_until(lambda: count(database) == 0, "the failure, which is logged")
        later(job, ["b"])
        wait_until(lambda: len(gate.ended) == 2, "the job after it")
    finally:
        manager.logger.removeFilter(broken)

    assert worker.is_alive()


class BrokenFilter(logging.Filter):
    def filter(self, record):
        raise RuntimeError("the filter is broken")


@pytest.mark.parametrize("error", [LitejobsError("gone"), DiskError("full")], ids=str)
def test_a_filter_that_raises_over_an_error_of_the_database_ends_no_thread(
    make_manager, monkeypatch, error
):
    monkeypatch.setattr(background.defaults, "RESTART_BACKOFF", (0.001, 0.002))
    monkeypatch.setattr(background.defaults, "RECORDING_BACKOFF", (0.001, 0.002))
    adapter = Flaky(error, error, error)
    manager = make_manager({"sleep_delay": 0.01}, adapters={"flaky": adapter})
    broken, logger = BrokenFilter(), logging.getLogger("litejobs")
    logger.addFilter(broken)

    try:
        manager.start_background_worker()
        assert adapter.looked.wait(DEADLINE)
    finally:
        logger.removeFilter(broken)
