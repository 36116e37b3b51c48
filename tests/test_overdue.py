"""Jobs on threads whose time is over: said, shown, left alone, and settled in the end."""

import logging
import os
import threading
import time

import pytest
from helpers import wait_until

from litejobs import overdue, watchdog
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.adapters.sqlite.inspection import Inspection
from litejobs.errors import DiskError
from litejobs.job import Limits, StoredJob
from litejobs.manager import JobManager

NEVER = 3600  # seconds; a test that waits for this fails
SHORT = 0.05
WHAT = "ran longer than its max_runtime of 0.05 s and cannot be stopped, for it is on a thread, {}"
opened = threading.Event()


def wait_at_gate():
    assert opened.wait(60)


def note(): ...


def always_raises():
    assert opened.wait(60)
    raise ValueError("no luck")


@pytest.fixture(autouse=True)
def gate():
    opened.clear()
    yield
    opened.set()


@pytest.fixture(autouse=True)
def own_watchdog(monkeypatch):
    """Each test has a watchdog of its own, as each process does."""
    own = watchdog.Watchdog()
    monkeypatch.setattr(watchdog, "_watchdog", own)
    return own


@pytest.fixture
def adapter(tmp_path):
    adapter = SqliteAdapter(tmp_path / "jobs.sqlite")
    yield adapter
    adapter.close()


@pytest.fixture
def make(adapter):
    """A manager whose groups have these options, with its threads running."""
    managers = []

    def make(*groups):
        workers = [{"max_runtime": SHORT, "sleep_delay": NEVER} | group for group in groups or [{}]]
        manager = JobManager({"sqlite": adapter}, workers=workers)
        managers.append(manager)
        manager.start_background_worker()
        return manager

    yield make
    opened.set()
    for manager in managers:
        assert manager.start_background_worker().stop(60)


def store(manager, function, **options):
    return manager.create_scheduler()(manager.job(**options)(function)).id


def record(adapter, id_):
    return Inspection(adapter).record(id_)


def until_overdue(adapter, id_):
    return wait_until(lambda: record(adapter, id_).last_error, "the job to be overdue")


def test_a_job_past_its_limit_is_said_and_shown_to_be_overdue_and_goes_on(make, adapter, caplog):
    manager = make({"delete_successful_jobs": False})
    id_ = store(manager, wait_at_gate)

    shown = until_overdue(adapter, id_)

    what = WHAT.format("litejobs-worker.*.0")
    assert shown == f"overdue: {what}"
    assert record(adapter, id_).state == "running"
    [line] = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert line.getMessage() == f"job {id_} wait_at_gate is overdue: it {what}"
    opened.set()
    wait_until(lambda: record(adapter, id_).state == "succeeded", "the job to be done")
    assert record(adapter, id_).last_error is None


def test_an_overdue_job_is_said_once_while_others_come_and_go(make, adapter, caplog):
    manager = make({"count": 2})
    first = store(manager, wait_at_gate)
    until_overdue(adapter, first)
    for _ in range(3):
        until_gone(adapter, store(manager, note))

    second = store(manager, always_raises)
    until_overdue(adapter, second)

    warned = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert [line.partition(" is")[0] for line in warned] == [
        f"job {first} wait_at_gate",
        f"job {second} always_raises",
    ]


def until_gone(adapter, id_):
    inspection = Inspection(adapter)
    wait_until(lambda: id_ not in [record.id for record in inspection.records()], "the job's end")


def test_an_overdue_job_is_not_run_by_another_worker(make, adapter):
    id_ = store(make({"count": 2}), wait_at_gate)
    until_overdue(adapter, id_)

    assert adapter.find(worker="other", queues=["*"], max_runtime=0.001) == []
    assert adapter.recover(lambda _: Limits()) == []


def test_what_an_overdue_job_raises_in_the_end_is_its_error(make, adapter):
    id_ = store(make(), always_raises)
    until_overdue(adapter, id_)

    opened.set()

    wait_until(lambda: record(adapter, id_).state == "scheduled", "the error to be recorded")
    assert record(adapter, id_).last_error.startswith("ValueError: no luck")


def test_a_jobs_own_limit_wins(make, adapter):
    manager = make({"max_runtime": NEVER})

    assert until_overdue(adapter, store(manager, wait_at_gate, max_runtime=SHORT))


def watchdogs():
    """Those of earlier tests are asleep for ever."""
    return [thread.name for thread in threading.enumerate()].count("litejobs-watchdog")


def test_jobs_in_time_are_not_spoken_of_and_share_one_thread(make, adapter, caplog):
    before = watchdogs()
    manager = make({"max_runtime": NEVER, "count": 3})
    ids = [store(manager, note) for _ in range(20)]
    for id_ in ids:
        until_gone(adapter, id_)

    assert watchdogs() == before + 1
    assert "overdue" not in caplog.text


def test_a_worker_on_the_main_thread_says_it_too(adapter, caplog):
    manager = JobManager({"sqlite": adapter}, workers=[{"max_runtime": SHORT}])
    id_ = store(manager, wait_at_gate)
    threading.Thread(
        target=lambda: (wait_until(lambda: "overdue" in caplog.text), opened.set())
    ).start()

    manager.create_worker(0, workoff=True).run()

    assert f"job {id_} wait_at_gate is overdue" in caplog.text
    assert "on a thread, MainThread" in caplog.text


# The watchdog itself


class Recorder:
    """An adapter that remembers, and raises if it is told to."""

    def __init__(self):
        self.told, self.closed, self.raises = [], 0, None

    def overdue(self, job, text):
        self.told.append((job.id, threading.current_thread().name))
        if self.raises:
            raise self.raises

    def close(self):
        self.closed += 1


@pytest.fixture
def recorder():
    return Recorder()


def begin(recorder, id_, seconds, logger=None):
    guard = overdue.Overdue(recorder, logger or logging.getLogger("litejobs"))
    job = StoredJob(id_, "default", 50, 0, 1, "me", "{}")
    guard.begin(job, "job", Limits(max_runtime=seconds))
    return guard


def ids(recorder):
    return [id_ for id_, _ in recorder.told]


def test_a_later_job_with_a_nearer_deadline_is_told_first(recorder):
    guards = [begin(recorder, 1, NEVER), begin(recorder, 2, SHORT)]

    wait_until(lambda: recorder.told, "the second to be told")

    assert recorder.told == [(2, "litejobs-watchdog")]
    assert recorder.closed == 1
    for guard in guards:
        guard.end()


def test_a_job_that_has_ended_is_not_told(recorder):
    begin(recorder, 1, SHORT).end()
    begin(recorder, 2, 2 * SHORT)

    wait_until(lambda: recorder.told, "the second to be told")

    assert ids(recorder) == [2]


def test_storage_or_a_log_in_trouble_ends_no_watch(recorder):
    class Broken(logging.Filter):
        def filter(self, _):
            raise RuntimeError("the filter is broken")

    logger = logging.getLogger("test.overdue")
    broken = Broken()
    logger.addFilter(broken)
    recorder.raises = DiskError("disk full")
    begin(recorder, 1, SHORT, logger)
    wait_until(lambda: recorder.closed, "the first to be told")
    logger.removeFilter(broken)

    begin(recorder, 2, SHORT)

    wait_until(lambda: ids(recorder) == [1, 2], "the second to be told")


def test_without_a_thread_to_be_had_jobs_run_all_the_same(recorder, monkeypatch):
    def no_more(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more)
        begin(recorder, 1, SHORT).end()

    begin(recorder, 2, SHORT)

    wait_until(lambda: ids(recorder) == [2], "the next one to be told")


def test_a_forked_child_has_a_watchdog_of_its_own(recorder):
    begin(recorder, 1, NEVER)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            begin(recorder, 2, SHORT)
            end = time.monotonic() + 30
            while not recorder.told and time.monotonic() < end:
                time.sleep(0.01)
            os.write(writer, repr(ids(recorder)).encode())
        finally:
            os._exit(0)

    os.waitpid(pid, 0)

    assert os.read(reader, 100) == b"[2]"
    os.close(reader)
    os.close(writer)


def test_a_program_ends_though_a_job_is_watched(project):
    project.write(
        "app.py",
        """
        import threading
        from litejobs import JobManager, SqliteAdapter

        jobs = JobManager({"sqlite": SqliteAdapter("db.sqlite")}, workers=[{"max_runtime": 0.01}])
        begun = threading.Event()

        @jobs.job
        def note():
            begun.set()

        jobs.start_background_worker()
        jobs.create_scheduler()(note)
        assert begun.wait(60)
        """,
    )

    assert project.run("app.py").err == ""


def test_the_row_of_a_job_that_is_no_longer_running_is_left_alone(adapter):
    store(JobManager({"sqlite": adapter}), note)
    [job] = adapter.find(worker="me", queues=["*"], max_runtime=60)
    assert adapter.overdue(job, "overdue: it is")
    adapter.error(job, "ValueError: no luck", 0)

    assert not adapter.overdue(job, "overdue: too late")

    assert record(adapter, job.id).last_error == "ValueError: no luck"
