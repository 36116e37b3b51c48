"""
The opening list of the specification, point by point, where no other file's tests are as direct.

Each option of a worker group is set to its default and to something else: what happens must differ.
"""

import json
import logging
import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest
from helpers import wait_until

from litejobs import JobManager, SqliteAdapter, WorkerGroup, current_job, testing

ADAPTERS = ("first", "second")
seen = []


@pytest.fixture(autouse=True)
def nothing_seen():
    seen.clear()


def look():
    seen.append(current_job())


def raises():
    raise ValueError("no luck")


@pytest.fixture
def run(tmp_path):
    """Has jobs run by a manager whose one group has these options; gives the test's Jobs."""

    def run(*calls, second=False, **options):
        adapters = {key: SqliteAdapter(tmp_path / f"{key}.sqlite") for key in ADAPTERS}
        manager = JobManager(adapters, workers=[WorkerGroup(**options)])
        declared = {job.name: job for job in map(manager.job, (look, raises))}
        with testing.manual(manager) as jobs:
            later = manager.create_scheduler("second" if second else "first")
            for name, how in calls:
                later(declared[name], **how)
            jobs.outcomes = jobs.drain(raising=False)
            jobs.left = jobs.records()
        return jobs

    return run


def test_adapter_is_the_first_unless_a_group_names_another(run):
    call = ("look", {})

    assert run(call).outcomes == {"success": 1}
    assert run(call, second=True).outcomes == {}
    assert run(call, second=True, adapter="second").outcomes == {"success": 1}


@pytest.mark.parametrize(
    ("options", "taken"),
    [({}, "abc"), ({"queue": "b"}, "b"), ({"queue": ["c", "a"]}, "ac"), ({"queue": "d"}, "")],
    ids=["default", "a name", "a list", "another"],
)
def test_queue_is_every_queue_unless_a_group_names_some(run, options, taken):
    run(*[("look", {"queue": queue}) for queue in "abc"], **options)

    assert "".join(job.queue for job in seen) == taken


def test_max_attempts_is_24_runs_in_all(run):
    assert run(("raises", {})).outcomes == {"error": 1}
    assert run(("raises", {}), max_attempts=1).outcomes == {"failure": 1}

    run(("look", {}))
    run(("look", {}), max_attempts=3)
    assert [job.max_attempts for job in seen] == [24, 3]


def test_the_24th_run_is_the_last_and_the_pauses_grow_by_the_fourth_power(tmp_path):
    manager = JobManager({"sqlite": SqliteAdapter(tmp_path / "jobs.sqlite")})
    broken = manager.job(raises)
    with testing.manual(manager) as jobs:
        began = jobs.clock.now()
        manager.create_scheduler()(broken)

        outcomes = jobs.drain(with_scheduled=timedelta(days=30), raising=False)

        assert outcomes == {"error": 23, "failure": 1}
        [failed] = jobs.records("failed")
        assert failed.attempts == 24
        assert failed.run_at is None
        assert failed.failed_at - began == 1000 * sum(n**4 for n in range(1, 24))


def test_max_runtime_is_four_hours_and_a_job_is_told(run):
    run(("look", {}))
    run(("look", {}), max_runtime=30)

    first, second = [job.deadline for job in seen]
    assert first - second > timedelta(seconds=14_400 - 30 - 1)


def test_failed_jobs_are_kept_unless_they_are_to_be_deleted(run):
    kept = run(("raises", {}), max_attempts=1).left
    deleted = run(("raises", {}), max_attempts=1, delete_failed_jobs=True).left

    assert [job.state for job in kept] == ["failed"]
    assert kept[0].last_error.startswith("ValueError: no luck\n\nTraceback")
    assert deleted == []


def test_successful_jobs_are_deleted_unless_they_are_to_be_kept(run):
    deleted = run(("look", {})).left
    kept = run(("look", {}), delete_successful_jobs=False).left

    assert deleted == []
    assert [job.state for job in kept] == ["succeeded"]


def test_a_group_logs_its_jobs_by_its_own_logger_or_else_the_managers(run, caplog):
    with caplog.at_level(logging.DEBUG):
        run(("look", {}))
        run(("look", {}), logger=logging.getLogger("shop.email"))

    said = [record.name for record in caplog.records if "succeeded" in record.getMessage()]
    assert said == ["litejobs", "shop.email"]


def test_count_is_one_worker_unless_a_group_wants_more(tmp_path):
    adapters = {"sqlite": SqliteAdapter(tmp_path / "jobs.sqlite")}

    for options, number in [({}, 1), ({"count": 3}, 3)]:
        worker = JobManager(adapters, workers=[WorkerGroup(**options)]).start_background_worker()
        try:
            assert len(worker._threads) == number
        finally:
            assert worker.stop(60)


def test_sleep_delay_is_five_seconds_between_looks(tmp_path):
    assert WorkerGroup().sleep_delay == 5
    adapter = SqliteAdapter(tmp_path / "jobs.sqlite")
    adapter.ring = lambda: None  # nobody wakes the worker
    manager = JobManager({"sqlite": adapter}, workers=[WorkerGroup(sleep_delay=0.01)])
    worker = manager.start_background_worker()
    try:
        manager.create_scheduler()(manager.job(look))

        wait_until(lambda: seen, "the job")
    finally:
        assert worker.stop(60)
        adapter.close()


SHOP = """
import logging, sys
from pathlib import Path
from litejobs import JobManager, SqliteAdapter, WorkerGroup, current_job

here = Path(__file__).parent
jobs = JobManager(
    adapters={
        "sqlite": SqliteAdapter(here / "db.sqlite", logger=logging.getLogger("shop.storage")),
        "mail": SqliteAdapter(here / "mail.sqlite", table="mails"),
    },
    queues=["default", "email"],
    logger=logging.getLogger("shop.jobs"),
    workers=[
        WorkerGroup(queue="default"),
        {"adapter": "mail", "queue": "email", "max_attempts": 1, "max_runtime": 30,
         "delete_failed_jobs": True, "logger": logging.getLogger("shop.email")},
    ],
)
later = jobs.create_scheduler("sqlite", logger=logging.getLogger("shop.later"))
mail_later = jobs.create_scheduler(adapter="mail")

def note(**what):
    with (here / "done.txt").open("a") as file:
        print(what, file=file)

@jobs.job(properties={"team": "sales"})
def report():
    job = current_job()
    jobs.logger.warning("for the team %s", report.team)
    note(queue=job.queue, max_attempts=job.max_attempts)
    raise ValueError("no report")

@jobs.job(queue="email", priority=1)
def send():
    note(queue=current_job().queue, max_attempts=current_job().max_attempts)
    raise ValueError("no mail")

@jobs.job(queue="email", max_attempts=7, delete_failed_jobs=False)
def send_important():
    note(queue=current_job().queue, max_attempts=current_job().max_attempts)
    raise ValueError("no mail")
"""


def rows(project, file, table):
    sql = f"SELECT state, queue, priority, attempts FROM {table}_view"
    with closing(sqlite3.connect(project.directory / file)) as connection:
        return connection.execute(sql).fetchall()


def test_an_email_group_stands_beside_the_default_group_each_under_its_own_limits(project):
    project.write("shop.py", SHOP)
    project.run(
        "-c", "from shop import *; later(report); mail_later(send); mail_later(send_important)"
    )

    result = project.litejobs("workoff", "--app", "shop", code=1)

    noted = sorted(project.read("done.txt").splitlines())
    assert noted == [
        "{'queue': 'default', 'max_attempts': 24}",
        "{'queue': 'email', 'max_attempts': 1}",
        "{'queue': 'email', 'max_attempts': 7}",
    ]
    assert rows(project, "db.sqlite", "background_jobs") == [("scheduled", "default", 50, 1)]
    assert rows(project, "mail.sqlite", "mails") == [("scheduled", "email", 50, 1)]
    assert "for the team sales" in result.err
    assert "1 failed for good" in result.out


def test_the_row_has_the_columns_of_the_specification(tmp_path):
    adapter = SqliteAdapter(tmp_path / "jobs.sqlite")
    manager = JobManager({"sqlite": adapter})
    manager.create_scheduler()(manager.job(look))

    columns = [
        name for _, name, *_ in adapter.connection.execute("PRAGMA table_info(background_jobs)")
    ]
    [(handler,)] = adapter.connection.execute("SELECT handler FROM background_jobs")
    adapter.close()

    assert set(columns) >= {
        "id", "attempts", "handler", "queue", "priority", "run_at", "locked_at", "locked_by",
        "last_error", "failed_at", "created_at", "updated_at",
    }  # fmt: skip
    assert set(json.loads(handler)) >= {"name", "path", "args"}
