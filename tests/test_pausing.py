"""Queues held back by ``pause``, and groups that take all queues but some."""

import json

import pytest
from helpers import DEADLINE, Jobs

from litejobs import ConfigurationError, JobManager, SqliteAdapter, WorkerGroup
from litejobs.job import Find, NewJob, Outcome
from litejobs.worker import tell_untaken

DONE = Outcome("success", delete=True)


def schedule(adapter, queues, wait=0):
    now = adapter.clock.now()
    return adapter.schedule([NewJob("{}", queue, 50, now + 1000 * wait) for queue in queues])


def found(adapter, *queues):
    jobs = adapter.find(worker="w", queues=queues or ("*",), max_runtime=60, limit=9)
    return "".join(job.queue for job in jobs)


# Pausing


@pytest.mark.parametrize(
    ("paused", "asked", "expected"),
    [
        ("b", ("*",), "ac"),
        ("b", ("b",), ""),
        ("b", ("a", "b"), "a"),
        ("b", ("*", "!c"), "a"),
        ("*", ("*",), ""),
        ("*", ("b",), ""),
        ("*", ("a", "b"), ""),
        ("nobody's", ("*",), "abc"),
    ],
)
def test_no_job_of_a_paused_queue_is_found(adapter, paused, asked, expected):
    schedule(adapter, "abc")

    adapter.pause(paused)

    assert adapter.is_due(asked) == bool(expected)
    assert found(adapter, *asked) == expected


@pytest.mark.parametrize("asked", [("*",), ("*", "!b"), ("a\udcff", "b")], ids=ascii)
def test_a_queue_whose_name_is_no_utf_8_is_one_like_any_other(adapter, asked):
    schedule(adapter, "a")
    adapter.connection.execute(
        "UPDATE background_jobs SET queue = CAST(CAST(queue AS BLOB) || x'ff' AS TEXT)"
    )

    assert adapter.is_due(asked)
    assert adapter.count_due(asked) == 1
    assert len(adapter.exchange([], [Find("w", asked, 60)])[0]) == 1


@pytest.mark.parametrize("paused", ["a", "*"])
@pytest.mark.parametrize("asked", [("a",), ("a", "c"), ("*", "!b")], ids=str)
def test_nor_is_one_found_while_the_end_of_another_is_recorded(adapter, paused, asked):
    schedule(adapter, "ab")
    [other] = adapter.find(worker="w", queues=["b"], max_runtime=60)
    adapter.pause(paused)

    [jobs] = adapter.exchange([(other, DONE)], [Find("w", asked, 60)])

    assert jobs == []


def test_a_pause_holds_for_whoever_has_the_file_open_already(adapter, database, clock):
    other = SqliteAdapter(database, clock=clock, driver=adapter.driver)
    schedule(adapter, "a")
    assert other.is_due(("*",))

    adapter.pause("a")

    assert not other.is_due(("*",))
    assert found(other, "a") == ""
    assert other.paused() == ["a"]
    other.close()


def test_a_pause_outlives_the_adapter(adapter, database, clock):
    adapter.pause("a")
    adapter.close()

    assert SqliteAdapter(database, clock=clock, driver=adapter.driver).paused() == ["a"]


def test_what_is_resumed_is_found_again(adapter):
    schedule(adapter, "ab")
    adapter.pause("a")
    adapter.pause("a")

    adapter.resume("a")

    assert adapter.paused() == []
    assert found(adapter) == "ab"


def test_the_pause_of_every_queue_and_those_by_name_are_taken_back_apart(adapter):
    schedule(adapter, "ab")
    adapter.pause("a")
    adapter.pause("*")

    adapter.resume("a")
    assert found(adapter) == ""
    adapter.pause("a")
    adapter.resume("*")

    assert adapter.paused() == ["a"]
    assert found(adapter) == "b"


def test_a_resume_rings_the_bell(adapter, monkeypatch):
    rings = []
    monkeypatch.setattr(adapter, "ring", lambda: rings.append(adapter.paused()))
    adapter.pause("a")

    adapter.resume("a")

    assert rings == [[]]


def test_a_running_job_of_a_queue_that_is_paused_can_end(adapter):
    schedule(adapter, "aa")
    [[job]] = adapter.exchange([], [Find("w", ("a",), 60)])
    adapter.pause("a")

    assert adapter.exchange([(job, DONE)], [Find("w", ("a",), 60)]) == [[]]

    assert [state for (state,) in adapter.connection.execute(
        f"SELECT state FROM {adapter.table}")] == [1]  # fmt: skip


def test_jobs_that_are_due_in_paused_queues_are_counted_apart(adapter, clock):
    schedule(adapter, "aabc")
    schedule(adapter, "ab", wait=1)
    clock.advance(seconds=1)
    adapter.pause("a")

    assert adapter.count_due(("*",)) == 3
    assert adapter.held_back(("*",)) == {"a": 3}
    assert adapter.held_back(("b",)) == {}
    assert adapter.held_back(("*", "!a")) == {}


def note(queue):
    """A job."""


@pytest.fixture
def manager(adapter, clock):
    manager = JobManager(
        {"sqlite": adapter}, ["email", "slow"], workers=[{"queue": "*"}], clock=clock
    )
    manager.create_job(perform=note, queue="email")
    return manager


def test_workoff_leaves_jobs_of_paused_queues_and_says_so(manager, adapter, caplog):
    later = manager.create_scheduler()
    [job] = manager.declared.values()
    later.many(job, [["x"], ["y"]])
    later(job, ["z"], queue="slow")
    manager.pause("email")

    manager.create_worker(0, 0, workoff=True).run()

    assert adapter.count_due(("*",)) == 0
    assert adapter.held_back(("*",)) == {"email": 2}
    assert "2 jobs wait, for the queue is paused: email" in caplog.messages


def test_only_queues_that_there_may_be_are_paused(manager):
    with pytest.raises(ConfigurationError, match="queue 'emial' is not one of the declared"):
        manager.pause("emial")
    with pytest.raises(ConfigurationError, match="'!slow' cannot name a queue"):
        manager.resume("!slow")


def test_storage_that_cannot_pause_is_not_asked_to(manager, adapter, monkeypatch):
    monkeypatch.setattr(type(adapter), "pauses", False)

    with pytest.raises(ConfigurationError, match="cannot pause queues"):
        manager.pause("*")


def test_a_workoff_process_says_which_queue_is_paused_and_status_shows_it(project):
    jobs = Jobs(project)
    project.write("script.py", "def greet(): ...\n")
    jobs.store("greet")
    jobs.store("greet", queue="email")

    told = project.litejobs("pause", "db.sqlite", "email")
    ended = jobs.workoff("--json")
    status = project.litejobs("status", "db.sqlite")
    resumed = project.litejobs("resume", "db.sqlite", "email", "--json")

    assert told.out == "queue email is paused\n"
    assert json.loads(ended.out)["outcomes"]["success"] == 1
    assert "1 job waits, for the queue is paused: email" in ended.err
    assert "paused: email; see litejobs resume QUEUE" in status.out
    assert json.loads(resumed.out) == {"paused": []}


def test_what_is_no_queue_is_refused_by_the_command(project):
    jobs = Jobs(project)
    jobs.store("greet")

    refused = project.litejobs("pause", "db.sqlite", "!email", code=2)

    assert "'!email' cannot name a queue" in refused.sentence


def test_a_queue_without_jobs_is_paused_with_a_hint(project):
    jobs = Jobs(project)
    jobs.store("greet", queue="email")
    jobs.store("greet")

    ahead = project.litejobs("pause", "db.sqlite", "emial")
    known = project.litejobs("pause", "db.sqlite", "email")
    every = project.litejobs("pause", "db.sqlite", "*")

    assert ahead.out == (
        "queue emial is paused; there are no jobs in it, queues with jobs: default, email\n"
    )
    assert known.out == "queue email is paused\n"
    assert every.out == "every queue is paused\n"


def test_of_a_queue_that_was_not_paused_it_is_said(project):
    Jobs(project).store("greet")
    project.litejobs("pause", "db.sqlite", "default")

    other = project.litejobs("resume", "db.sqlite", "email")
    every = project.litejobs("resume", "db.sqlite", "*")
    first = project.litejobs("resume", "db.sqlite", "default")
    again = project.litejobs("resume", "db.sqlite", "default")

    assert other.out == "queue email was not paused; still paused: default\n"
    assert every.out == "there was no pause of every queue; still paused: default\n"
    assert first.out == "queue default is resumed\n"
    assert again.out == "queue default was not paused\n"


# Excluding


@pytest.mark.parametrize(
    ("queue", "selection"),
    [
        ("!slow", ("*", "!slow")),
        (["!slow", "!huge"], ("*", "!slow", "!huge")),
        (["*", "!slow"], ("*", "!slow")),
        (["a", "b"], ("a", "b")),
    ],
)
def test_exceptions_alone_are_exceptions_to_every_queue(queue, selection):
    assert WorkerGroup(queue=queue).queues == selection


def test_jobs_of_an_excluded_queue_are_neither_found_nor_due(adapter):
    schedule(adapter, "abb")

    assert found(adapter, "*", "!b") == "a"
    assert not adapter.is_due(("*", "!b"))
    assert adapter.is_due(("*",))
    assert adapter.count_due(("*", "!b")) == 0
    assert found(adapter, "b") == "bb"


# Taken by nobody

ONE_IS_LEFT = "no worker group takes the queue slow: its jobs wait for workers of another process"


@pytest.mark.parametrize(
    ("declared", "groups", "told"),
    [
        (None, [("a",)], []),
        (("a", "b"), [("*",)], []),
        (("a", "b"), [("a",), ("b",)], []),
        (("a", "b"), [("*", "!b"), ("b",)], []),
        (("a", "slow"), [("a",)], [ONE_IS_LEFT]),
        (("a", "slow"), [("*", "!slow")], [ONE_IS_LEFT]),
        (("a", "b", "c"), [("b",)], [
            "no worker group takes the queues a, c: their jobs wait for workers of another process"
        ]),
    ],
    ids=str,
)  # fmt: skip
def test_queues_that_no_group_takes_are_told(caplog, declared, groups, told):
    tell_untaken(declared, groups)

    assert caplog.messages == told


def test_threads_say_which_queue_they_leave_once(adapter, caplog):
    manager = JobManager({"sqlite": adapter}, ["email", "slow"], workers=[{"queue": "email"}])

    worker = manager.start_background_worker()
    assert manager.start_background_worker() is worker
    assert worker.stop(DEADLINE)

    assert caplog.messages.count(ONE_IS_LEFT) == 1


@pytest.mark.parametrize(
    ("words", "times"), [(("workoff",), 1), (("worker", "--workoff", "--index=0", "--id=0"), 0)]
)
def test_a_runner_of_all_groups_says_which_queue_it_leaves(project, words, times):
    project.write(
        "app.py",
        """
        from litejobs import JobManager, SqliteAdapter

        jobs = JobManager(
            {"sqlite": SqliteAdapter("db.sqlite")}, ["email", "slow"], workers=[{"queue": "email"}]
        )
        """,
    )

    ended = project.litejobs(*words, "--app", "app")

    assert ended.err.count(f"WARNING litejobs: {ONE_IS_LEFT}") == times


def test_a_look_for_groups_that_complete_each_other_sees_all(adapter):
    schedule(adapter, "b")
    finds = [Find("w1", ("*", "!b"), 60), Find("w2", ("b",), 60)]

    first, second = adapter.exchange([], finds)

    assert first == []
    assert len(second) == 1
