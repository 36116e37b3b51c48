"""How far a job says that it is: shown while it runs, seldom written, and never in its way."""

import asyncio
import contextlib
import json
import threading
from types import SimpleNamespace

import pytest
from helpers import Jobs, wait_until

from litejobs import JobManager, SqliteAdapter, WorkerGroup, current_job, watchdog
from litejobs import progress as progress_module
from litejobs.adapters.sqlite.inspection import Inspection
from litejobs.cli.words import progress as in_words
from litejobs.errors import ConfigurationError
from litejobs.job import Find, Outcome, StoredJob
from litejobs.progress import Progress, Said

JOB = StoredJob(7, "default", 50, 1, 1, "me", "{}")
OTHER = JOB._replace(id=8)
LAST = '{"done":3,"total":10,"note":"rows"}'


# When it is told


@pytest.fixture
def now(monkeypatch):
    """The time, in seconds; moves when the test moves it."""
    now = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(progress_module, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


@pytest.fixture
def told(now, monkeypatch):
    """What was told, by a progress whose watchdog is the test."""
    watched = {}
    monkeypatch.setattr(watchdog, "watch", watched.__setitem__)
    monkeypatch.setattr(watchdog, "forget", lambda one: watched.pop(one, None))
    told = SimpleNamespace(progress=Progress(), texts=[], watched=watched)
    told.progress.teller = lambda job, text: told.texts.append((job.id, json.loads(text)["done"]))

    def pass_by(seconds):
        now.seconds += seconds
        for one in list(watched):
            if one.run is not None and one.run is not one.told and one.run[0] <= now.seconds:
                one.tell(one.run)

    told.pass_by = pass_by
    return told


def say(told, done, job=JOB):
    told.progress.say(job, Said(done, None, ""))


def test_the_first_word_is_told_at_once_and_then_one_in_a_second(told):
    say(told, 1)
    told.pass_by(0)
    for done in range(2, 12):
        say(told, done)
        told.pass_by(0.1)
    say(told, 12)
    told.pass_by(0.8)

    assert told.texts == [(7, 1), (7, 11)]
    told.pass_by(0.2)
    assert told.texts == [(7, 1), (7, 11), (7, 12)]
    told.pass_by(60)
    assert len(told.texts) == 3


def test_what_is_said_last_is_told_though_nothing_follows(told):
    say(told, 1)
    told.pass_by(0)
    say(told, 2)

    told.pass_by(1)

    assert told.texts == [(7, 1), (7, 2)]


def test_the_end_of_a_job_gives_its_last_word_and_nothing_is_told_any_more(told):
    say(told, 1)
    say(told, 2)

    assert json.loads(told.progress.end(JOB)) == {"done": 2, "total": None, "note": ""}

    assert told.progress.last is None
    assert told.watched == {}
    told.pass_by(60)
    assert told.texts == []


def test_the_next_job_is_heard_at_once(told):
    say(told, 1)
    told.pass_by(0)
    told.progress.end(JOB)

    say(told, 5, OTHER)
    told.pass_by(0)

    assert told.texts == [(7, 1), (8, 5)]


def test_a_thread_that_an_earlier_job_left_behind_does_not_speak_for_the_next(told):
    say(told, 5, OTHER)
    say(told, 1, JOB)

    assert told.progress.end(OTHER) is None


# What may be said


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["x"], "done of progress must be a number, got 'x'"),
        ([10**400], f"done of progress must be a number, got 1{'0' * 56}..."),
        ([1, -(10**400)], f"total of progress must be a number, got -1{'0' * 55}..."),
        ([float("nan")], "done of progress must be a number, got nan"),
        ([1, "x"], "total of progress must be a number, got 'x'"),
        ([1, 2, 3], "note of progress must be a text, got 3"),
    ],
)
def test_what_is_no_progress_is_refused(manager, words, reason):
    refused = []

    def job():
        try:
            current_job().progress(*words)
        except ConfigurationError as error:
            refused.append(str(error))

    run(manager, job)

    assert refused == [reason]


def test_a_long_note_is_cut(manager):
    def job():
        current_job().progress(1, 2, "x" * 5000)

    assert len(json.loads(run(manager, job).progress)["note"]) == 1024


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LAST, "3 of 10 (30%), rows"),
        ('{"done":1234,"total":null,"note":""}', "1,234"),
        ('{"done":0,"total":0,"note":""}', "0 of 0"),
        ('{"done":1,"total":2,"note":"a\\nb"}', "1 of 2 (50%), a\\nb"),
        ('{"done":"1"}', '{"done":"1"}'),
        ("\x1b[2J", "\\x1b[2J"),
        (None, ""),
    ],
)
def test_progress_in_words(text, words):
    assert in_words(SimpleNamespace(progress=text)) == words


# On threads


@pytest.fixture
def manager(tmp_path):
    adapter = SqliteAdapter(tmp_path / "jobs.sqlite")
    group = WorkerGroup(delete_successful_jobs=False, sleep_delay=3600)
    yield JobManager({"sqlite": adapter}, workers=[group])
    adapter.close()


def run(manager, function, **options):
    id_ = manager.create_scheduler()(manager.job(**options)(function)).id
    manager.create_worker(0, workoff=True).run()
    with contextlib.suppress(LookupError):
        return Inspection(manager.adapter(None)).record(id_)


def shown(manager):
    return Inspection(manager.adapter(None)).record(1).progress


def test_it_is_shown_while_the_job_runs_on_a_thread(manager):
    seen = []

    def job():
        current_job().progress(3, 10, "rows")
        seen.append(wait_until(lambda: shown(manager), "the progress"))
        manager.adapter(None).close()

    record = run(manager, job)

    assert seen == [LAST]
    assert (record.state, record.progress) == ("succeeded", LAST)


def test_a_job_that_holds_the_write_lock_itself_is_not_held_up(manager, monkeypatch):
    writers, before = [], []

    def progress(self, *values):
        writers.append(threading.current_thread().name)
        return write(self, *values)

    write = SqliteAdapter.progress
    monkeypatch.setattr(SqliteAdapter, "progress", progress)

    def job():
        with manager.adapter(None).connection.transaction():
            current_job().progress(3, 10, "rows")
            wait_until(lambda: writers, "the watchdog")
            before.extend(writers)

    assert run(manager, job).progress == LAST
    assert before == ["litejobs-watchdog"]


def test_threads_and_tasks_of_a_job_may_say_it(manager):
    async def job():
        here = current_job()

        async def task():
            current_job().progress(1, 3)

        await asyncio.create_task(task())
        thread = threading.Thread(target=here.progress, args=(2, 3))
        thread.start()
        thread.join()

    assert json.loads(run(manager, job).progress)["done"] == 2


@pytest.mark.parametrize("error", [ValueError, KeyError], ids=["failed", "cancelled"])
def test_the_last_word_stays_in_a_row_that_is_kept(manager, error):
    def job():
        current_job().progress(3, 10, "rows")
        raise error

    assert run(manager, job, max_attempts=1, discard_on=KeyError).progress == LAST


def test_a_job_that_goes_back_has_no_progress(manager):
    def job():
        current_job().progress(3, 10, "rows")
        wait_until(lambda: shown(manager), "the progress")
        raise ValueError

    record = run(manager, job)

    assert (record.state, record.progress) == ("scheduled", None)


@pytest.mark.parametrize("way", ["release", "error", "snooze", "unloadable"])
def test_whatever_way_a_job_goes_back_its_progress_goes(adapter, clock, way):
    manager = JobManager({"sqlite": adapter}, clock=clock)
    manager.create_scheduler()(manager.job(silent))
    [[job]] = adapter.exchange([], [Find("me", ("*",), 60)])
    adapter.exchange([(job, Outcome("progress", progress=LAST))], [])
    assert shown(manager) == LAST
    words = {"error": ["oh", 0], "snooze": [0], "unloadable": ["gone"], "release": []}

    assert getattr(adapter, way)(job, *words[way])

    assert shown(manager) is None


def test_progress_of_a_job_that_is_anothers_by_now_changes_nothing_and_is_not_told(
    adapter, clock, caplog
):
    manager = JobManager({"sqlite": adapter}, clock=clock)
    manager.create_scheduler()(manager.job(silent))
    [[job]] = adapter.exchange([], [Find("me", ("*",), 60)])

    adapter.exchange([(job._replace(attempts=2), Outcome("progress", progress=LAST))], [])

    assert shown(manager) is None
    assert caplog.messages == []


def silent(): ...


def test_nothing_is_written_for_a_job_that_says_nothing(manager, monkeypatch):
    def never(*_):
        raise AssertionError

    monkeypatch.setattr(SqliteAdapter, "progress", never)
    monkeypatch.setattr(Progress, "end", never)

    assert run(manager, silent).state == "succeeded"


# In processes


def test_it_is_shown_while_the_job_runs_in_a_performer_and_stays_with_it(project):
    project.write(
        "script.py",
        """
        import time
        from pathlib import Path
        from litejobs import current_job, jobs

        @jobs.job(delete_successful_jobs=False)
        def count():
            current_job().progress(3, 10, "rows")
            while not Path("opened").exists():
                time.sleep(0.005)
            for done in range(1000):
                current_job().progress(done + 1, 1000)
        """,
    )
    jobs = Jobs(project)
    jobs.store("count")
    worker = project.start_litejobs("workoff", "db.sqlite")
    try:
        wait_until(lambda: jobs.rows("progress") == [(LAST,)], "the progress")
    finally:
        (project.directory / "opened").touch()
        _, err = worker.communicate(timeout=60)

    assert worker.returncode == 0, err
    assert jobs.rows("progress") == [('{"done":1000,"total":1000,"note":""}',)]
