"""A single worker of a group, run by the program itself."""

import logging
import threading
from pathlib import Path

import pytest
from helpers import DEADLINE, wait_until

from litejobs.adapters.base import BaseAdapter
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.errors import ConfigurationError, DatabaseFileError, JobStateError, LitejobsError
from litejobs.job import Find
from litejobs.manager import JobManager

ran = []


def note(word):
    ran.append(word)


@pytest.fixture(autouse=True)
def nothing_ran():
    ran.clear()


@pytest.fixture
def adapter(tmp_path):
    adapter = SqliteAdapter(tmp_path / "jobs.sqlite")
    yield adapter
    adapter.close()


@pytest.fixture
def manager(adapter):
    workers = [{"queue": "default", "sleep_delay": 3600}, {"queue": "email", "max_attempts": 1}]
    return JobManager({"sqlite": adapter}, workers=workers)


@pytest.fixture
def later(manager):
    later, job = manager.create_scheduler(), manager.job(note)
    return lambda word, **options: later(job, [word], **options)


def count(adapter):
    return adapter.connection.execute("SELECT count(*) FROM background_jobs")[0][0]


def test_a_workoff_runs_what_is_due_in_its_groups_queues_and_returns(manager, later, adapter):
    later("a")
    later("b")
    later("later", wait=3600)
    later("mail", queue="email")

    manager.create_worker(index=0, id=0, workoff=True).run()

    assert ran == ["a", "b"]
    assert count(adapter) == 2


def test_a_worker_has_the_limits_of_its_group(manager, adapter):
    @manager.job(queue="email")
    def job():
        raise ValueError("no luck")

    manager.create_scheduler()(job)

    manager.create_worker(1, workoff=True).run()

    [(state,)] = adapter.connection.execute("SELECT state FROM background_jobs")
    assert state == 5


def test_a_worker_waits_for_jobs_until_it_is_stopped(manager, later):
    worker = manager.create_worker(0)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        later("a")
        wait_until(lambda: ran == ["a"], "the job")
    finally:
        worker.stop()
        thread.join(DEADLINE)

    assert not thread.is_alive()


def test_a_worker_is_named_by_its_queues_and_id(manager):
    worker = manager.create_worker(1, 7)

    assert worker.name == "litejobs-worker.email.7"


def test_to_clear_deletes_every_job_and_runs_none(manager, later, adapter, caplog):
    later("a")
    later("mail", queue="email")

    with caplog.at_level(logging.INFO, "litejobs"):
        manager.create_worker(0, clear=True).run()

    assert ran == []
    assert count(adapter) == 0
    assert f"2 jobs deleted from {adapter.path}" in caplog.text


def test_to_clear_while_a_job_runs_is_refused(manager, later, adapter):
    later("a")
    adapter.exchange([], [Find("somebody", ("*",), 60)])

    with pytest.raises(JobStateError):
        manager.create_worker(0, clear=True).run()

    assert count(adapter) == 1


def test_unloadable_jobs_are_tried_again(manager, later, adapter):
    later("a")
    adapter.connection.execute("UPDATE background_jobs SET state = 3")

    manager.create_worker(0, workoff=True).run()

    assert ran == ["a"]


def test_an_outcome_is_told_once_it_is_recorded(manager, later, adapter):
    told = []
    job = later("a")
    worker = manager.create_worker(0, workoff=True)
    worker.on_settled = lambda settlements: told.extend(
        (job.id, outcome.kind, count(adapter)) for job, outcome in settlements
    )

    worker.run()

    assert told == [(job.id, "success", 0)]


def test_a_worker_leaves_no_open_file(manager, later, adapter):
    later("a")
    adapter.close()
    before = len(list(Path("/dev/fd").iterdir()))

    manager.create_worker(0, workoff=True).run()

    assert len(list(Path("/dev/fd").iterdir())) == before


@pytest.mark.parametrize("workoff", [True, False])
def test_a_database_that_cannot_be_opened_is_an_error_at_once(tmp_path, workoff):
    (tmp_path / "text.sqlite").write_text("no database " * 100)
    manager = JobManager({"sqlite": SqliteAdapter(tmp_path / "text.sqlite")})

    with pytest.raises(DatabaseFileError):
        manager.create_worker(0, workoff=workoff).run()


def test_a_workoff_raises_what_its_storage_raises():
    class Gone(BaseAdapter):
        schedule = find = success = error = failure = clear = None

        def exchange(self, settlements, finds):
            raise LitejobsError("gone")

    manager = JobManager({"gone": Gone()})

    with pytest.raises(LitejobsError, match="gone"):
        manager.create_worker(0, workoff=True).run()


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ((2,), "there is no worker group 2; there are 2, the first is 0"),
        ((-1,), "index must be at least 0, got -1"),
        (("0",), "index must be a whole number, got '0'"),
        ((0, -1), "id must be at least 0, got -1"),
    ],
    ids=str,
)
def test_a_worker_that_there_is_not_is_refused(manager, where, reason):
    with pytest.raises(ConfigurationError, match=reason):
        manager.create_worker(*where)


def test_the_default_manager_makes_workers_for_the_project_of_its_caller(project):
    script = (
        "from litejobs import jobs, later\n\n"
        "def say(word):\n    print(word)\n\n"
        "if __name__ == '__main__':\n"
        "    later(say, ['hello'])\n"
        "    jobs.create_worker(0, workoff=True).run()\n"
    )
    project.write("pyproject.toml", "")
    project.write("script.py", script)

    assert project.run("script.py").out == "hello\n"
