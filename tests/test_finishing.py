"""Jobs that settle in a transaction of their own: it and what they did are committed together."""

import asyncio
import gc
import logging
import sqlite3
import weakref
from contextlib import closing

import pytest
from callers import KINDS, LIBRARIES, Explicit, Standard

from litejobs import JobManager, JobStateError, SqliteAdapter, TransactionError, current_job
from litejobs.errors import DiskError, NoResultError
from litejobs.rules.outcome import settled
from litejobs.testing import manual, run_now


class World:
    """An app, its jobs, and what became of them."""

    def __init__(self, database, kind, clock):
        self.app = kind(database)
        self.adapter = SqliteAdapter(database, clock=clock, driver=kind.driver)
        self.jobs = JobManager(
            {"sqlite": self.adapter}, workers=[{"max_attempts": 2}], clock=clock
        )  # fmt: skip
        self.later = self.jobs.create_scheduler()

    def do(self, perform, **options):
        """Store the job, and run it once."""
        job = self.jobs.create_job(perform=perform, **options)
        stored = self.later(job)
        self.work_off()
        return stored

    def work_off(self):
        """Run what is due; the kinds of what came of it."""
        worker = self.jobs.create_worker(0, workoff=True)
        kinds = []
        worker.on_settled = lambda settled: kinds.extend(outcome.kind for _, outcome in settled)
        worker.run()
        return kinds

    def note(self, finish=True):
        """What these jobs do, in a transaction that is still open then."""
        self.app.begin()
        self.app.execute("INSERT INTO notes VALUES ('done')")
        if finish:
            current_job().finish(self.app.connection)

    def rows(self, what="state, attempts, last_error", of="background_jobs"):
        return self.adapter.connection.execute(f"SELECT {what} FROM {of}")

    @property
    def notes(self):
        [(number,)] = self.rows("count(*)", "notes")
        return number


@pytest.fixture
def make_world(database, clock):
    made = []

    def make(kind=Standard):
        made.append(World(database, kind, clock))
        return made[-1]

    yield make
    for world in made:
        world.adapter.close()
        world.app.close()


@pytest.fixture
def world(make_world):
    return make_world()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_the_job_did_and_its_settlement_are_committed_together(make_world, kind):
    world = make_world(kind)
    seen = []

    def perform():
        world.note()
        seen.append((world.rows("state"), world.notes))
        world.app.commit()
        seen.append((world.rows("state"), world.notes))

    world.do(perform)

    assert seen == [([(2,)], 0), ([], 1)]


@pytest.mark.parametrize("kind", LIBRARIES, ids=lambda kind: kind.__name__)
def test_a_job_that_rolls_back_is_not_done(make_world, kind, caplog):
    world = make_world(kind)

    def perform():
        world.note()
        world.app.roll_back()

    world.do(perform)

    assert world.rows() == [(0, 1, "NotCommitted: finish() was not committed")]
    assert world.notes == 0
    assert "perform went wrong in attempt 1 of 2" in caplog.text


def test_a_success_that_is_to_be_kept_is(world, clock):
    def perform():
        world.note()
        world.app.commit()

    world.do(perform, delete_successful_jobs=False)

    assert world.rows("state, finished_at, locked_by") == [(4, clock.now(), None)]


def finished_with(world, *result, returns=None, **options):
    """A job that has settled itself, with that result."""

    def perform() -> int | None:
        world.app.begin()
        current_job().finish(world.app.connection, *result)
        world.app.commit()
        return returns

    return world.do(perform, **options)


def test_a_result_that_it_was_finished_with_is_kept(world):
    stored = finished_with(world, 3, returns=4, keep_result=60)

    assert stored.result(0) == 3
    assert world.rows("state, locked_by") == [(4, None)]


def test_none_is_a_result_to_finish_with(world):
    assert finished_with(world, None, returns=4, keep_result=60).result(0) is None


def test_a_row_that_was_finished_without_a_result_is_kept_without_one(world):
    stored = finished_with(world, returns=4, keep_result=60)

    with pytest.raises(NoResultError, match="kept no result"):
        stored.result(0)
    assert stored.state == "succeeded"


def test_a_result_to_finish_with_is_dropped_where_none_are_kept(world):
    finished_with(world, 3)

    assert world.rows() == []


def test_in_a_test_mode_too_the_result_is_kept(world):
    @world.jobs.job(keep_result=60)
    def perform() -> int:
        current_job().finish(world.app.connection, 3)

    with manual(world.jobs) as storage:
        stored = world.later(perform)
        storage.drain()
        assert stored.result(0) == 3


def test_a_result_that_cannot_be_kept_does_not_keep_a_job_from_finishing(world, caplog):
    stored = finished_with(world, object(), keep_result=60)

    assert stored.refresh() == "succeeded"
    assert "perform keeps no result: " in caplog.text


def test_the_worker_settles_nothing_more_and_counts_a_success(world, caplog, monkeypatch):
    settled = []
    monkeypatch.setattr(
        world.adapter, "_settle_alike", lambda outcome, jobs: settled.append(outcome) or set()
    )

    @world.jobs.job
    def perform():
        world.note()
        world.app.commit()

    world.later(perform)

    with caplog.at_level(logging.DEBUG):
        assert world.work_off() == ["success"]
    assert settled == []
    assert "perform succeeded in" in caplog.text
    assert "no longer ours" not in caplog.text


def test_nor_does_storage_that_settles_one_by_one(world):
    @world.jobs.job
    def perform(): ...

    world.later(perform)
    [job] = world.adapter.find(worker="me", queues=["*"], max_runtime=1)

    world.adapter.settle(job, settled())

    assert world.rows("state") == [(2,)]


def test_what_is_raised_after_the_commit_is_only_logged(world, caplog):
    @world.jobs.job
    def perform():
        world.note()
        world.app.commit()
        raise KeyError("too late")

    world.later(perform)

    assert world.work_off() == ["success"]
    assert world.rows() == []
    assert "perform had finished when it raised KeyError: 'too late'" in caplog.text


def test_what_is_raised_before_the_commit_is_the_error(world):
    def perform():
        with world.app.connection:
            world.note()
            raise KeyError("in time")

    world.do(perform)

    [(state, _, error)] = world.rows()
    assert (state, world.notes) == (0, 0)
    assert error.startswith("KeyError: 'in time'\n\nTraceback")


@pytest.mark.parametrize("kind", LIBRARIES, ids=lambda kind: kind.__name__)
def test_a_transaction_that_is_left_open_does_not_keep_the_lock(make_world, kind):
    """Nobody could record the error then, or anything else."""
    world = make_world(kind)

    def perform():
        world.note()

    world.do(perform)

    assert world.rows() == [(0, 1, "NotCommitted: finish() was not committed")]
    assert world.notes == 0


def test_attempts_without_a_commit_are_used_up_as_others(world, clock):
    def perform():
        world.note()

    world.do(perform)
    clock.advance(seconds=2)

    assert world.work_off() == ["failure"]
    assert world.rows() == [(5, 2, "NotCommitted: finish() was not committed")]


def test_where_no_transaction_is_open_it_is_settled_at_once(make_world):
    world = make_world(Explicit)
    seen = []

    def perform():
        current_job().finish(world.app.connection)
        seen.append(world.rows("state"))

    world.do(perform)

    assert seen == [[]]


def test_the_next_job_is_no_finished_one(world):
    """In the same execution, one after the other."""

    @world.jobs.job
    def finishing():
        world.note()
        world.app.commit()

    @world.jobs.job(delete_successful_jobs=False)
    def plain(): ...

    world.later(finishing)
    world.later(plain)

    assert world.work_off() == ["success", "success"]
    assert world.rows("state") == [(4,)]


def test_a_job_may_try_again_what_it_has_rolled_back(world):
    def perform():
        world.note()
        world.app.roll_back()
        world.note()
        world.app.commit()

    world.do(perform)

    assert (world.rows(), world.notes) == ([], 1)


# What is refused


def refused(world, perform, error, match):
    """The job is told so, and what it has written is not committed."""
    raised = []

    def wary():
        with world.app.connection:
            try:
                perform()
            except error as caught:
                raised.append(str(caught))
                raise

    world.do(wary)
    assert len(raised) == 1
    assert match in raised[0]
    assert world.notes == 0
    assert world.rows("state") == [(0,)]


def test_to_finish_twice_is_refused(world):
    def perform():
        world.note()
        current_job().finish(world.app.connection)

    refused(world, perform, JobStateError, "it was finished before")


def test_a_job_that_is_anothers_by_now_is_not_finished(world):
    def perform():
        world.adapter.connection.execute("UPDATE background_jobs SET attempts = attempts + 1")
        world.note()

    with closing(sqlite3.connect(world.adapter.path)) as connection:
        refused_states = []

        def told():
            try:
                perform()
            except JobStateError as error:
                refused_states.append(str(error))
                world.app.roll_back()
                raise

        world.do(told)
        rows = connection.execute("SELECT state, attempts FROM background_jobs").fetchall()
    assert "another's by now" in refused_states[0]
    assert (rows, world.notes) == ([(2, 2)], 0)


def test_another_file_is_refused(world, tmp_path):
    def perform():
        with closing(sqlite3.connect(tmp_path / "other.db")) as other:
            world.note(finish=False)
            current_job().finish(other)

    refused(world, perform, TransactionError, "only what is in one file is committed together")


def test_attached_to_another_file_is_refused(world, tmp_path):
    def perform():
        with closing(sqlite3.connect(tmp_path / "other.db")) as other:
            other.execute("ATTACH ? AS jobs", [world.adapter.path])
            current_job().finish(other)

    refused(world, perform, TransactionError, "only what is in one file is committed together")


def test_a_run_that_is_over_cannot_be_finished(world):
    kept = []

    def perform():
        kept.append(current_job())

    world.do(perform)

    with pytest.raises(JobStateError):
        kept[0].finish(world.app.connection)
    assert not world.app.connection.in_transaction


def test_storage_that_knows_no_transactions_refuses(world, monkeypatch):
    from litejobs import BaseAdapter

    monkeypatch.setattr(SqliteAdapter, "finish_within", BaseAdapter.finish_within)

    refused(world, world.note, TransactionError, "has no place for jobs in a transaction")


def test_storage_that_cannot_be_asked_at_the_end_has_the_last_word(world, monkeypatch):
    """The error that is recorded then changes nothing where the job is settled."""

    def broken(_job):
        raise DiskError("no")

    monkeypatch.setattr(world.adapter, "is_held", broken)

    def perform():
        world.note()
        world.app.commit()

    world.do(perform)

    assert (world.rows(), world.notes) == ([], 1)


# Elsewhere


def test_an_async_job_finishes_too(world):
    async def perform():
        await asyncio.sleep(0)
        world.note()
        world.app.commit()

    world.do(perform)

    assert (world.rows(), world.notes) == ([], 1)


def test_from_a_thread_of_the_job_too(world, database):
    def transact():
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("INSERT INTO notes VALUES ('done')")
            current_job().finish(connection)

    async def perform():
        await asyncio.to_thread(transact)

    world.do(perform)

    assert (world.rows(), world.notes) == ([], 1)


def test_nothing_that_the_job_held_stays_when_it_went_wrong(world):
    class Big: ...

    held = []

    def perform():
        big = Big()
        held.append(weakref.ref(big))
        world.note()
        world.app.commit()
        raise KeyError

    gc.disable()
    try:
        world.do(perform)
        assert held[0]() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("mode", [manual, run_now])
def test_in_a_test_mode_the_job_is_finished_and_the_connection_left_alone(world, mode):
    @world.jobs.job
    def perform():
        world.note()
        world.app.commit()

    with mode(world.jobs) as stored:
        world.later(perform)
        stored.drain()

        assert stored.records() == []
    assert world.notes == 1


# In worker processes

APP = """
    import os, sqlite3
    from litejobs import JobManager, SqliteAdapter, current_job

    jobs = JobManager({"sqlite": SqliteAdapter("db.sqlite")})
    later = jobs.create_scheduler()

    @jobs.job
    def note(text):
        connection = sqlite3.connect("db.sqlite")
        with connection:
            connection.execute("INSERT INTO notes VALUES (?)", [text])
            current_job().finish(connection)

    @jobs.job
    def die(text):
        note(text)
        os._exit(3)

    if __name__ == "__main__":
        connection = sqlite3.connect("db.sqlite")
        connection.execute("CREATE TABLE notes (text TEXT)")
        connection.close()
        for job in (die, note):
            later(job, [job.name])
    """


def test_performers_finish_and_what_becomes_of_them_afterwards_changes_nothing(project):
    project.write("app.py", APP)
    project.run("app.py")

    told = project.litejobs("workoff", "--app", "app", "--log-level", "debug")

    with closing(sqlite3.connect(project.directory / "db.sqlite")) as connection:
        notes = connection.execute("SELECT text FROM notes").fetchall()
        rows = connection.execute("SELECT id FROM background_jobs").fetchall()
    assert notes == [("die",), ("note",)]
    assert rows == []
    assert "2 succeeded, 0 to be retried, 0 failed for good" in told.err + told.out
    assert "ended with exit code 3 after job 1 had finished" in told.err
    assert "no longer ours" not in told.err
