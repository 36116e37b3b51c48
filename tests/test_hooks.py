"""Hooks: in which order they run, what they get, and what becomes of a job of which one raises."""

import contextlib
import logging
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from helpers import Jobs

from litejobs import (
    Discard,
    JobCall,
    JobDiedError,
    JobManager,
    JobRun,
    Retry,
    SchedulingError,
    Snooze,
    SqliteAdapter,
    WorkerGroup,
    current_job,
    hooks,
)
from litejobs.adapters.sqlite.inspection import Inspection
from litejobs.default_manager import DefaultManager
from litejobs.errors import ConfigurationError
from litejobs.execution import Execution
from litejobs.job import Find, Limits, StoredJob

AFTER = ["after_perform", "after_success", "after_error", "after_failure"]


@pytest.fixture
def adapter(tmp_path, clock):
    adapter = SqliteAdapter(tmp_path / "jobs.sqlite", clock=clock)
    yield adapter
    adapter.close()


@pytest.fixture
def manager(adapter, clock):
    group = WorkerGroup(max_attempts=2, delete_successful_jobs=False)
    return JobManager({"sqlite": adapter}, workers=[group], clock=clock)


@pytest.fixture
def seen(manager):
    """What hooks of the manager saw, as pairs of a name and a value."""
    seen = []
    for name in ["before_schedule", "before_perform", *AFTER]:
        getattr(manager, name)(lambda value, name=name: seen.append((name, value)))
    return seen


def work(manager, function, args=(), **options):
    """Declare, store and run *function*; its row."""
    id_ = manager.create_scheduler()(manager.job(**options)(function), args).id
    manager.create_worker(0, workoff=True).run()
    return Inspection(manager.adapter(None)).record(id_)


def names(seen):
    return [name for name, _ in seen]


def succeed(word="x"):
    return word


def go_wrong():
    raise ValueError("no luck")


def raise_(error):
    raise error


# Their order


def test_hooks_of_the_manager_come_first_on_the_way_in_and_last_on_the_way_out(manager):
    words = []

    def hook(word):
        return lambda _: words.append(word)

    def around(word):
        @contextmanager
        def around(_run):
            words.append(f"{word} in")
            yield
            words.append(f"{word} out")

        return around

    for number in (1, 2):
        manager.before_schedule(hook(f"manager schedules {number}"))
        manager.before_perform(hook(f"manager before {number}"))
        manager.around_perform(around(f"manager {number}"))
        manager.after_perform(hook(f"manager after {number}"))
        manager.after_success(hook(f"manager success {number}"))

    work(
        manager,
        lambda_free(words),
        before_schedule=hook("job schedules"),
        before_perform=hook("job before"),
        around_perform=[around("job 1"), around("job 2")],
        after_perform=hook("job after"),
        after_success=hook("job success"),
    )

    assert words == [
        "manager schedules 1", "manager schedules 2", "job schedules",
        "manager before 1", "manager before 2", "job before",
        "manager 1 in", "manager 2 in", "job 1 in", "job 2 in",
        "performs",
        "job 2 out", "job 1 out", "manager 2 out", "manager 1 out",
        "job after", "manager after 1", "manager after 2",
        "job success", "manager success 1", "manager success 2",
    ]  # fmt: skip


def lambda_free(words):
    def perform():
        words.append("performs")

    return perform


@pytest.mark.parametrize(
    ("error", "options", "after"),
    [
        (None, {}, ["after_perform", "after_success"]),
        (ValueError(), {}, ["after_perform", "after_error"]),
        (SystemExit(3), {}, ["after_perform", "after_error"]),
        (Retry(5), {}, ["after_perform", "after_error"]),
        (ValueError(), {"max_attempts": 1}, ["after_perform", "after_error", "after_failure"]),
        (ValueError(), {"retry_on": KeyError}, ["after_perform", "after_error", "after_failure"]),
        (Discard("no use"), {}, ["after_perform"]),
        (ValueError(), {"discard_on": ValueError}, ["after_perform"]),
        (Snooze(5), {}, ["after_perform"]),
    ],
    ids=repr,
)
def test_which_hooks_run_after_a_job_depends_on_what_became_of_it(
    manager, seen, error, options, after
):
    def job():
        if error is not None:
            raise error

    work(manager, job, **options)

    assert names(seen) == ["before_schedule", "before_perform", *after]
    assert all(run.error is error for name, run in seen if name.startswith("after"))


# What they get


def test_a_hook_gets_the_run(manager, seen):
    @manager.job(max_attempts=3, queue="email")
    def greet(name, *, greeting):
        return f"{greeting}, {name}!"

    manager.create_scheduler()(greet, ["Ada"], {"greeting": "hello"})
    manager.create_worker(0, workoff=True).run()

    values = dict(seen)
    assert values["before_perform"] == JobRun(
        1, "greet", ("Ada",), {"greeting": "hello"}, "email", 1, 3
    )
    success = values["after_success"]
    assert (success.id, success.result, success.error) == (1, "hello, Ada!", None)
    assert success.seconds > 0


def test_the_job_is_the_current_one_in_all_its_hooks(manager):
    current = []
    for name in ["before_perform", *AFTER]:
        getattr(manager, name)(lambda _: current.append(current_job().id))

    @manager.around_perform
    def around(_run):
        current.append(current_job().id)
        return contextlib.nullcontext()

    work(manager, go_wrong, max_attempts=1)

    assert current == [1] * 5


def test_the_result_of_an_async_job_is_told(manager, seen):
    async def job():
        return 42

    work(manager, job)

    assert dict(seen)["after_success"].result == 42


def test_hooks_run_before_the_outcome_is_recorded(manager, adapter):
    states = []
    manager.after_success(lambda run: states.append(Inspection(adapter).record(run.id).state))

    work(manager, succeed)

    assert states == ["running"]


def test_a_hook_gets_what_is_to_be_stored(manager, seen, clock):
    work(manager, succeed, ["y"], queue="email", priority=3)

    assert seen[0] == (
        "before_schedule",
        JobCall("succeed", ("y",), {}, "email", 3, datetime.fromtimestamp(clock.now() / 1000, UTC)),
    )


def test_each_of_many_is_shown(manager, seen):
    job = manager.job(succeed)

    manager.create_scheduler().many(job, [["a"], ["b"]])

    assert [call.args for _, call in seen] == [("a",), ("b",)]


# What they raise


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("not today"), "before_schedule refuse refused succeed: ValueError: not today"),
        (SchedulingError("not today"), "not today"),
    ],
    ids=repr,
)
def test_a_before_schedule_hook_refuses_a_call(manager, adapter, error, reason):
    @manager.before_schedule
    def refuse(_call):
        raise error

    job = manager.job(succeed)
    later = manager.create_scheduler()

    for schedule in (lambda: later(job), lambda: later.many(job, [["a"]])):
        with pytest.raises(SchedulingError, match=f"^{reason}$"):
            schedule()
    assert Inspection(adapter).records() == []


@pytest.mark.parametrize("name", ["before_perform", "around_perform"])
def test_what_comes_before_is_a_part_of_the_job(manager, seen, name):
    ran = []

    def job():
        ran.append(1)

    record = work(manager, job, **{name: lambda _: raise_(ValueError("no luck"))})

    assert (record.state, record.attempts) == ("scheduled", 1)
    assert record.last_error.startswith("ValueError: no luck\n\nTraceback")
    assert ran == []
    assert names(seen)[2:] == ["after_perform", "after_error"]


def test_what_comes_before_may_snooze_or_discard(manager):
    assert work(manager, succeed, before_perform=lambda _: raise_(Snooze(60))).attempts == 0
    assert work(manager, go_wrong, before_perform=lambda _: raise_(Discard("no"))).state == (
        "cancelled"
    )


def test_what_is_around_sees_what_the_job_raises_and_may_change_it(manager):
    @contextmanager
    def around(_run):
        try:
            yield
        except ValueError as error:
            raise Retry(wait=7) from error

    record = work(manager, go_wrong, around_perform=around)

    assert record.last_error.startswith("ValueError: no luck")
    assert record.run_at == manager.clock.now() + 7000


def test_what_is_around_may_swallow_what_the_job_raises(manager, seen):
    record = work(manager, go_wrong, around_perform=lambda _: contextlib.suppress(ValueError))

    assert record.state == "succeeded"
    assert dict(seen)["after_success"].error is None


@pytest.mark.parametrize("name", AFTER)
@pytest.mark.parametrize("error", [ValueError("no luck"), SystemExit(3), Snooze(5)], ids=repr)
def test_what_comes_after_is_logged_and_changes_nothing(manager, seen, caplog, name, error):
    def hook(_run):
        raise error

    function = succeed if name == "after_success" else go_wrong
    record = work(manager, function, max_attempts=1, **{name: hook})

    assert record.state == ("succeeded" if name == "after_success" else "failed")
    if name != "after_success":
        assert record.last_error.startswith("ValueError: no luck")
    [told] = [text for text in caplog.messages if text.startswith(name)]
    assert told.startswith(f"{name} hook of job 1 {function.__name__} raised ")
    assert "Traceback" in told
    assert name in names(seen)  # the manager's, which come after it


def test_the_traceback_of_a_job_with_hooks_is_that_of_the_job(manager, seen):
    error = work(manager, go_wrong, around_perform=lambda _: contextlib.nullcontext()).last_error

    assert "litejobs/hooks.py" not in error
    assert "contextlib" not in error


def test_surroundings_that_raise_for_hooks_are_logged(clock, caplog):
    """Such as the app context of Flask; around the job it is an error of the job."""
    entered = []

    @contextmanager
    def around():
        entered.append(1)
        if len(entered) == 2:
            raise OSError("no context")
        yield

    own = hooks.Hooks()
    own.after_success(lambda _: None)
    execution = Execution(
        Ready(succeed), Limits(), clock, logging.getLogger("litejobs"), around, own
    )

    assert execution.run(STORED).kind == "success"
    assert "surrounds the hooks of job 7 job raised OSError: no context" in caplog.text


STORED = StoredJob(7, "default", 50, 0, 1, "tester", "{}")


class Ready:
    """A loader for which every row names one function."""

    def __init__(self, function):
        self.function = function

    def load(self, _handler):
        from litejobs.loader import Call

        return Call("job", self.function, [], {}, {})


def test_hooks_that_code_adds_when_it_is_loaded_run_around_its_first_job(clock):
    own, words = hooks.Hooks(), []

    def job(): ...

    class Loading(Ready):
        def load(self, handler):
            own.after_success(lambda run: words.append(run.id))
            return super().load(handler)

    execution = Execution(Loading(job), Limits(), clock, logging.getLogger("litejobs"), hooks=own)
    execution.run(STORED)
    execution.run(STORED)

    assert words == [7, 7, 7]


def test_without_hooks_nothing_is_made_for_them(manager, monkeypatch):
    def never(*_):
        raise AssertionError

    monkeypatch.setattr("litejobs.execution.Chain", never)
    monkeypatch.setattr("litejobs.execution.JobRun", never)
    monkeypatch.setattr("litejobs.scheduler.JobCall", never)

    assert work(manager, succeed).state == "succeeded"


# What is no hook


async def async_hook(_run): ...


def generator_hook(_run):
    yield


@pytest.mark.parametrize(
    ("name", "hook", "reason"),
    [
        ("after_error", "x", "after_error must be a function made by def, .*; got 'x'"),
        ("after_error", None, "after_error must be a function made by def, .*; got None"),
        ("after_error", async_hook, "after_error must be a function made by def"),
        ("before_perform", generator_hook, r"before_perform must not be a generator .*>$"),
        ("around_perform", generator_hook, "around_perform .*: put @contextmanager on it$"),
    ],
)
def test_what_is_no_hook_is_refused_where_it_is_added(manager, name, hook, reason):
    with pytest.raises(ConfigurationError, match=f"^{reason}"):
        getattr(manager, name)(hook)
    with pytest.raises(ConfigurationError, match=f"^{reason}"):
        manager.create_job(perform=succeed, **{name: [hook]})


def test_the_decorator_gives_back_the_function(manager):
    def hook(_run): ...

    assert manager.after_error(hook) is hook
    assert DefaultManager().before_schedule(hook) is hook


# Deaths


def test_a_job_tells_those_who_do_not_run_its_code_that_it_has_failure_hooks(manager):
    job = manager.job(after_failure=succeed)(go_wrong)
    group = manager.workers[0]

    assert job.own_limits == {"has_failure_hooks": True}
    assert manager.job(after_failure=[], after_error=succeed)(succeed).own_limits == {}
    assert not manager.limits(group).has_failure_hooks
    manager.after_failure(succeed)
    assert manager.limits(group).has_failure_hooks


def test_the_hooks_of_a_job_whose_worker_died_run_on_a_thread_before_that_is_recorded(
    manager, adapter, clock
):
    from test_recovery import dead

    seen = []

    @manager.after_failure
    def note(run):
        record = Inspection(adapter).record(run.id)
        seen.append((run.id, type(run.error), str(run.error), record.state, current_job().id))

    manager.create_scheduler()(manager.job(max_attempts=1)(go_wrong))
    adapter.exchange([], [Find(dead(), ("*",), 60)])

    manager.create_worker(0, workoff=True).run()

    error = "WorkerDied: litejobs-worker.default.0 (pid 1) ended while it ran this job"
    assert seen == [(1, JobDiedError, error, "running", 1)]
    assert Inspection(adapter).record(1).state == "failed"


@pytest.mark.parametrize(
    ("limits", "state"),
    [
        (Limits(max_attempts=1, has_failure_hooks=True), "running"),
        (Limits(max_attempts=1), "failed"),
        (Limits(max_attempts=2, has_failure_hooks=True), "scheduled"),
    ],
    ids=["failure with hooks", "failure", "error"],
)
def test_to_recover_leaves_what_waits_for_hooks_to_its_caller(manager, adapter, limits, state):
    from test_recovery import dead

    manager.create_scheduler()(manager.job(go_wrong))
    adapter.exchange([], [Find(dead(), ("*",), 60)])

    [(job, outcome)] = adapter.recover(lambda _: limits)
    assert Inspection(adapter).record(1).state == state

    if state == "running":
        adapter.settle(job, outcome)
        assert Inspection(adapter).record(1).state == "failed"


def test_hooks_of_a_job_that_does_not_load_any_more_are_told_of(manager, caplog, clock):
    execution = manager.execution(manager.workers[0])

    execution.run_failure_hooks(STORED, "WorkerDied: oh")

    assert "after_failure hooks of job 7 are not run: " in caplog.text


def test_after_a_death_hooks_run_in_a_fresh_performer(project):
    project.write(
        "app.py",
        """
        import os
        from pathlib import Path
        from litejobs import JobManager, SqliteAdapter, WorkerGroup

        adapters = {"sqlite": SqliteAdapter("db.sqlite")}
        jobs = JobManager(adapters, workers=[WorkerGroup(max_attempts=1)])

        @jobs.after_failure
        def note(run):
            with Path("seen").open("a") as file:
                print(run.id, run.name, *run.args, type(run.error).__name__, run.error, file=file)

        @jobs.job
        def die(word):
            os._exit(3)
        """,
    )
    jobs = Jobs(project)
    jobs.store("die", "x", path="app.py", module=None)

    project.litejobs("workoff", "--app", "app", code=1)

    [seen] = project.read("seen").splitlines()
    assert seen.startswith("1 die x JobDiedError PerformerDied: litejobs-worker.*.0 (pid ")
    [(state, error)] = jobs.rows("state, last_error")
    assert state == 5
    assert "ended with exit code 3 while it ran this job" in error
