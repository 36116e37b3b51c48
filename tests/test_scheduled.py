"""What a handle on a stored job tells: its state, its result, what went wrong."""

import asyncio
import socket
import threading
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from helpers import DEADLINE, wait_until

from litejobs import (
    Discard,
    JobFailedError,
    JobManager,
    NoResultError,
    SchedulingError,
    SqliteAdapter,
    defaults,
)
from litejobs.adapters.sqlite.inspection import Inspection
from litejobs.errors import ConfigurationError
from litejobs.job import Outcome
from litejobs.scheduled import JobError

LONG = DEADLINE
DAY = "2027-01-01T00:00:00+00:00"


def double(number: int) -> int:
    return 2 * number


def when(text: str) -> datetime:
    return datetime.fromisoformat(text)


def place() -> Path:
    return Path("a/b")


def unkeepable():
    return object()


def discard() -> None:
    raise Discard("paid by cheque: see 5")


def silent() -> None:
    raise ValueError


def undeclared_place():
    return Path("a/b")


def no() -> None:
    raise ValueError("no:\n\nnever")


async def soon(number: int) -> int:
    await asyncio.sleep(0)
    return number


@pytest.fixture
def adapter(database):
    adapter = SqliteAdapter(database)
    yield adapter
    adapter.close()


@pytest.fixture
def manager(adapter):
    return JobManager({"sqlite": adapter}, workers=[{"max_attempts": 1}])


@pytest.fixture
def later(manager):
    later = manager.create_scheduler()

    def call(function, *args, **options):
        return later(manager.job(function), args, **options)

    call.get = later.get
    return call


def work(manager):
    manager.create_worker(0, workoff=True).run()


@pytest.fixture
def beside(manager):
    """A worker on another thread, for those who wait."""
    worker = manager.create_worker(0)
    thread = threading.Thread(target=worker.run)
    thread.start()
    yield worker
    worker.stop()
    thread.join(DEADLINE)


def test_a_handle_tells_the_state_as_of_the_last_look(later, manager, adapter):
    job = later(double, 1)
    assert later(double, 1, wait=60).state == "scheduled"
    assert job.state == "ready"
    assert not job.is_over

    work(manager)

    assert job.state == "ready"
    assert job.refresh() == job.state == "gone"
    assert job.is_over


def test_a_failure_comes_back_with_its_type_message_and_traceback(later, manager):
    job = later(no)
    work(manager)

    assert job.refresh() == "failed"
    assert job.error[:2] == ("ValueError", "no:\n\nnever")
    assert job.error.traceback.startswith("Traceback (most recent call last):\n")
    assert 'raise ValueError("no:' in job.error.traceback
    with pytest.raises(JobFailedError, match="job 1 no failed: ValueError: no:"):
        job.result()


@pytest.mark.parametrize(
    ("function", "error", "told"),
    [
        (discard, ("Discard", "paid by cheque: see 5"), "was cancelled: Discard: paid by cheque"),
        (silent, ("ValueError", ""), "failed: ValueError$"),
    ],
)
def test_a_job_that_ended_itself_or_said_nothing_is_told(later, manager, function, error, told):
    job = later(function)
    work(manager)

    with pytest.raises(JobFailedError, match=f"job 1 {function.__name__} {told}"):
        job.result()
    assert job.error[:2] == error


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("KeyboardInterrupt\n\nTraceback (most recent call last):\n  x", ("KeyboardInterrupt", "")),
        ("overdue: it goes on", ("overdue", "it goes on")),
        ("", ("", "")),
    ],
)
def test_any_stored_error_is_told(text, error):
    assert JobError.of(text)[:2] == error


@pytest.mark.parametrize(
    ("function", "args", "result"),
    [
        (double, (21,), 42), (when, (DAY,), when(DAY)), (place, (), Path("a/b")), (soon, (7,), 7),
    ],
    ids=["int", "datetime", "path", "async"],
)  # fmt: skip
def test_what_a_job_returns_comes_back_as_it_was(later, manager, function, args, result):
    job = later(function, *args, keep_result=True)
    work(manager)

    assert job.result() == result
    assert type(job.result()) is type(result)
    assert later.get(job.id).result() == result


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        ('"two"', "the stored result of double does not fit: it is annotated int, not str"),
        ("{", "Expecting property name"),
        ("[" * 100_000, ".* while decoding a JSON array"),
    ],
    ids=["other type", "no JSON", "deep"],
)
def test_a_stored_result_that_the_function_never_returns_is_none(
    later, manager, adapter, stored, reason
):
    job = later(double, 1, keep_result=True)
    work(manager)
    adapter.connection.execute("UPDATE background_jobs SET result = ?", [stored])

    with pytest.raises(NoResultError, match=f"the result of job 1 double cannot be read: {reason}"):
        job.result()


def test_a_result_is_kept_for_a_day_or_as_long_as_the_call_or_job_says(later, manager, adapter):
    later(double, 1, keep_result=True)
    later(double, 1, keep_result=timedelta(hours=1))
    own = manager.job(keep_result=60)(place)
    manager.create_scheduler()(own)
    manager.create_scheduler()(own, keep_result=False)
    before = adapter.clock.now()
    work(manager)

    rows = adapter.connection.execute(
        "SELECT (expires_at - finished_at) / 1000, finished_at FROM background_jobs ORDER BY id"
    )
    assert [seconds for seconds, _ in rows] == [defaults.KEEP_RESULT, 3600, 60]
    assert all(finished >= before for _, finished in rows)


def test_a_job_whose_result_is_not_kept_says_what_would_keep_it(later, manager):
    gone, kept = later(double, 1), manager.job(delete_successful_jobs=False)(place)
    kept = manager.create_scheduler()(kept)
    work(manager)

    with pytest.raises(NoResultError, match=r"job 1 double is gone: .* keep_result"):
        gone.result()
    with pytest.raises(NoResultError, match=r"job 2 place kept no result: .* keep_result"):
        kept.result()


def test_a_result_that_cannot_be_kept_is_no_failure_of_the_job(later, manager, caplog):
    job = later(unkeepable, keep_result=True)
    work(manager)

    assert job.refresh() == "succeeded"
    assert "job 1 unkeepable keeps no result: what unkeepable returned: it is an object" in (
        caplog.text
    )
    with pytest.raises(
        NoResultError, match="job 1 unkeepable kept no result, in spite of keep_res"
    ):
        job.result()


def test_what_would_make_a_result_one_that_can_be_kept_is_told_of_the_function(
    later, manager, caplog
):
    later(undeclared_place, keep_result=True)
    work(manager)

    assert "annotate what the function returns with its type, or return plain values" in caplog.text


def test_who_waits_hears_of_the_end_at_once(later, beside, monkeypatch):
    monkeypatch.setattr(defaults, "SLEEP_DELAY", LONG)  # else it would look by itself
    job = later(double, 4, keep_result=True)

    assert job.result(timeout=LONG) == 8
    assert job.wait()


def test_coroutines_wait_side_by_side(later, beside, monkeypatch):
    monkeypatch.setattr(defaults, "SLEEP_DELAY", LONG)
    jobs = [later(double, number, keep_result=True) for number in range(20)]

    async def all_of_them():
        assert await jobs[0].refresh_async()
        return await asyncio.gather(*(job.result_async(LONG) for job in jobs))

    assert asyncio.run(all_of_them()) == [2 * number for number in range(20)]


@contextmanager
def heard(job, adapter):
    """Its end is, by a thread that waits for it, and that would not look by itself in time."""
    told = threading.Event()

    def wait():
        assert job.wait(LONG)
        told.set()
        adapter.close()

    thread = threading.Thread(target=wait)
    thread.start()
    wait_until(lambda: list(Path(adapter.run_directory).glob("*.ended")))
    yield
    thread.join(DEADLINE)
    assert told.is_set()


def test_an_outcome_that_another_worker_settles_is_heard(later, adapter, database, monkeypatch):
    monkeypatch.setattr(defaults, "SLEEP_DELAY", LONG)
    job = later(double, 4)

    with heard(job, adapter), closing(SqliteAdapter(database)) as other:
        [found] = other.find(worker="w", queues=["*"], max_runtime=60)
        other.exchange([(found, Outcome("success", delete=True))], [])


def test_patience_has_an_end(later):
    job = later(double, 1)

    assert job.wait(timeout=0) is False
    with pytest.raises(TimeoutError, match=r"job 1 double is ready after 0\.01 s"):
        job.result(timeout=0.01)
    assert asyncio.run(job.wait_async(0.01)) is False


@pytest.mark.parametrize("timeout", [-1, float("nan"), "5", True], ids=str)
def test_no_patience_is_refused(later, timeout):
    job = later(double, 1)

    for wait in (job.wait, job.result):
        with pytest.raises(ConfigurationError, match="timeout must be"):
            wait(timeout)
    with pytest.raises(ConfigurationError, match="timeout must be"):
        asyncio.run(job.wait_async(timeout))


def test_patience_may_be_a_timedelta(later):
    with pytest.raises(TimeoutError, match=r"after 0\.01 s"):
        later(double, 1).result(timedelta(milliseconds=10))


def test_an_app_with_many_open_files_can_wait(project):
    project.write("app.py", """
        import os, resource
        from litejobs import later

        def job():
            pass

        if __name__ == "__main__":
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            while os.dup(0) < 1100:
                pass
            print(later(job).wait(0.01))
    """)  # fmt: skip

    assert project.run("app.py").out.endswith("False\n")


def test_without_a_bell_a_handle_looks_now_and_then(later, manager, adapter, monkeypatch):
    job = later(double, 1)
    monkeypatch.setattr(adapter, "run_directory", None)
    thread = threading.Timer(0.02, work, [manager])
    thread.start()

    assert job.wait(LONG)
    thread.join(DEADLINE)


def test_without_a_descriptor_for_a_bell_jobs_run_and_are_waited_for(
    later, manager, monkeypatch, caplog
):
    jobs = [later(double, number) for number in (1, 2)]

    def no_socket(*_):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket, "socket", no_socket)
    worker = threading.Timer(0.1, work, [manager])
    worker.start()

    assert all(job.wait(LONG) for job in jobs)

    worker.join()
    assert "nobody can wake who waits here ([Errno 24] Too many open files)" in caplog.text


def test_a_handle_is_rebuilt_from_an_id(later, manager, adapter):
    stored = later(double, 3, wait=60, queue="a", priority=4)

    job = later.get(stored.id)

    assert job == stored
    assert hash(job) == hash(stored)
    assert (job.name, job.args, job.kwargs, job.queue, job.priority) == ("double", (3,), {}, "a", 4)
    assert (job.run_at, job.state) == (stored.run_at, "scheduled")
    assert repr(job) == "<ScheduledJob 1 double scheduled>"
    assert job != later(double, 3)
    assert job != 1


def test_an_id_of_nobody_is_a_job_that_is_gone(later):
    job = later.get(77)

    assert (job.id, job.state, job.name, job.run_at) == (77, "gone", "", None)
    assert job.wait()
    with pytest.raises(NoResultError, match=r"^job 77 is gone, or never was: "):
        job.result()
    with pytest.raises(ConfigurationError, match="id must be a whole number, got '7'"):
        later.get("7")


def test_a_row_that_nobody_can_read_has_a_handle_too(later, adapter):
    adapter.connection.execute("INSERT INTO background_jobs (handler, run_at) VALUES ('[', 0)")

    assert later.get(1).name == "?"


@pytest.mark.parametrize("keep_result", [0, -1, "yes", float("nan")])
def test_what_is_no_time_to_keep_a_result_is_refused(later, keep_result):
    with pytest.raises(SchedulingError, match="keep_result must be"):
        later(double, 1, keep_result=keep_result)


@pytest.mark.parametrize("keep_result", ["-1", "0", "1e300", '"x"', "[]", "{}"])
def test_a_row_by_hand_that_keeps_its_result_for_no_time_is_unloadable(
    later, manager, adapter, keep_result
):
    job = later(double, 1, keep_result=5)
    adapter.connection.execute(
        "UPDATE background_jobs SET handler = replace(handler, ?, ?)",
        ['"keep_result":5', f'"keep_result":{keep_result}'],
    )
    work(manager)

    assert job.refresh() == "unloadable"


def test_a_job_that_waits_is_cancelled_by_its_handle(later):
    job, other = later(double, 1), later(double, 2, wait=60)

    assert job.cancel()
    assert asyncio.run(other.cancel_async())

    assert job.state == other.state == "cancelled"
    assert not job.cancel()
    assert job.error.type == "JobCancelled"
    with pytest.raises(JobFailedError, match="job 1 double was cancelled: JobCancelled: cancelled"):
        job.result()


def test_who_waits_for_a_job_hears_that_it_was_cancelled(later, adapter, monkeypatch):
    monkeypatch.setattr(defaults, "SLEEP_DELAY", LONG)
    job = later(double, 1)

    with heard(job, adapter):
        later.get(job.id).cancel()


@pytest.mark.parametrize(
    "end", [lambda adapter: Inspection(adapter).cancel_all(), SqliteAdapter.clear]
)
def test_who_waits_for_a_job_hears_that_all_were_ended(later, adapter, monkeypatch, end):
    monkeypatch.setattr(defaults, "SLEEP_DELAY", LONG)
    job = later(double, 1)

    with heard(job, adapter):
        end(adapter)


def test_storage_that_cancels_no_jobs_says_so(later, monkeypatch):
    job = later(double, 1)
    monkeypatch.setattr(SqliteAdapter, "cancels", False)

    with pytest.raises(ConfigurationError, match="cannot cancel jobs"):
        job.cancel()


def test_storage_that_shows_no_jobs_says_so(later, adapter, monkeypatch):
    from litejobs.adapters.base import BaseAdapter

    job = later(double, 1)
    monkeypatch.setattr(SqliteAdapter, "glimpse", BaseAdapter.glimpse)

    with pytest.raises(ConfigurationError, match="does not let its jobs be looked at"):
        job.refresh()


def test_results_come_from_worker_processes_too(project):
    project.write(
        "script.py",
        """
        from litejobs import later

        def add(a: int, b: int) -> int:
            return a + b

        if __name__ == "__main__":
            import subprocess, sys
            job = later(add, [1, 2], keep_result=True)
            subprocess.run([sys.executable, "-m", "litejobs", "workoff"], check=True)
            print(job.result(0))
        """,
    )

    assert project.run("script.py").out.endswith("3\n")
