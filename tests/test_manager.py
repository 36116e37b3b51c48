import json
import logging
import sys
from types import ModuleType

import pytest

import litejobs
from litejobs import context
from litejobs import manager as manager_module
from litejobs.adapters.base import BaseAdapter
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.config import WorkerGroup
from litejobs.errors import ConfigurationError, SchedulingError, UnloadableError
from litejobs.execution import Execution
from litejobs.job import Find, Job
from litejobs.manager import JobManager

jobs = None  # a manager, while a test says so


def greet(name="you"):
    return f"hello {name}"


def fail():
    raise ValueError("no luck")


@pytest.fixture
def adapters(tmp_path, clock):
    adapters = {key: SqliteAdapter(tmp_path / f"{key}.sqlite", clock=clock) for key in "ab"}
    yield adapters
    for adapter in adapters.values():
        adapter.close()


@pytest.fixture
def make_manager(adapters, clock):
    def make(**options):
        return JobManager(**{"adapters": adapters, "clock": clock} | options)

    return make


@pytest.fixture
def manager(make_manager):
    return make_manager()


def rows(adapter, *columns):
    names = ", ".join(columns)
    return adapter.connection.execute(f"SELECT {names} FROM background_jobs ORDER BY id")


def run_next(manager, adapter):
    """Find the next job and run it as a worker of the first group would."""
    [[job]] = adapter.exchange([], [Find("tester", ("*",), 60)])
    execution = manager.execution(manager.workers[0])
    try:
        return execution.run(job)
    finally:
        execution.close()


# Options


def test_a_manager_needs_no_more_than_an_adapter(manager, adapters):
    assert manager.queues is None
    assert manager.logger is logging.getLogger("litejobs")
    assert manager.workers == (WorkerGroup(),)
    assert manager.adapter(None) is adapters["a"]
    assert manager.adapter("b") is adapters["b"]


def test_options_are_kept(make_manager):
    logger = logging.getLogger("shop.jobs")

    manager = make_manager(
        queues=["default", "email"],
        logger=logger,
        workers=[WorkerGroup(adapter="b", queue="email"), {"queue": ["default", "email"]}],
    )

    assert manager.queues == ("default", "email")
    assert manager.logger is logger
    assert [group.queues for group in manager.workers] == [("email",), ("default", "email")]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"adapters": {}}, r"adapters must be a dict with one adapter or more, got \{\}"),
        ({"adapters": "db.sqlite"}, "adapters must be a dict with one adapter or more, got 'db"),
        ({"adapters": None}, "adapters must be a dict with one adapter or more, got None"),
        ({"adapters": {"x": "db"}}, "adapter 'x' must be a BaseAdapter, got 'db'"),
        ({"queues": ["*"]}, r"'\*' cannot name a queue"),
        ({"queues": [5]}, "a queue is named by a string, got 5"),
        ({"workers": ["email"]}, "a worker group is a WorkerGroup or a dict, got 'email'"),
        ({"workers": [{"queu": "a"}]}, "'queu' is not an option .*did you mean 'queue'"),
        ({"workers": [{"count": 0}]}, "count must be at least 1, got 0"),
        ({"workers": [{"adapter": "c"}]}, "there is no adapter 'c'; the adapters are a, b"),
        (
            {"queues": ["default"], "workers": [{"queue": "emial"}]},
            "queue 'emial' is not one of the declared queues: default",
        ),
        (
            {"queues": ["default"], "workers": [{"queue": ["default", "emial"]}]},
            "queue 'emial' is not one of the declared queues: default",
        ),
        (
            {"queues": ["default"], "workers": [{"queue": ["*", "!emial"]}]},
            "queue 'emial' is not one of the declared queues: default",
        ),
        (
            {"queues": ["a", "b"], "workers": [{"queue": ["!a", "!b"]}]},
            r"queue of a worker group excludes every declared queue: \['\*', '!a', '!b'\]",
        ),
        (
            {"workers": [{"queue": "!a"}, {"queue": ["b", "a"], "max_attempts": 1}]},
            "worker groups 0 and 1 both take queue 'b' but differ in max_attempts",
        ),
        ({"logger": "shop"}, r"logger must be a logging\.Logger, got 'shop'"),
        ({"adaptors": {}}, "'adaptors' is not an option of JobManager; did you mean 'adapters'"),
        (
            {"workers": [{"queue": "email"}, {"queue": "email"}]},
            "worker groups 0 and 1 take the same queues, email: make them one group with a higher",
        ),
        (
            {"workers": [{"queue": ["a", "b"]}, {"queue": "c"}, {"queue": "a-b"}]},
            "worker groups 0 and 2 take the same queues, a, b",
        ),
        (
            {"workers": [{"queue": "*"}, {"queue": "email", "max_attempts": 1}]},
            "worker groups 0 and 1 both take queue 'email' but differ in max_attempts: which",
        ),
    ],
    ids=str,
)
def test_an_option_that_is_not_of_its_kind_is_refused(make_manager, options, reason):
    with pytest.raises(ConfigurationError, match=reason):
        make_manager(**options)


@pytest.mark.parametrize(
    "workers",
    [
        [{"queue": "*", "count": 2}, {"queue": "email", "sleep_delay": 1}],
        [{"queue": "a", "max_attempts": 1}, {"queue": "b"}],
        [{"queue": "email", "adapter": "a"}, {"queue": "email", "adapter": "b", "max_attempts": 1}],
    ],
    ids=["one helps out in a queue", "limits differ", "storages differ"],
)
def test_groups_that_leave_nothing_to_chance_are_taken(make_manager, workers):
    assert len(make_manager(workers=workers).workers) == len(workers)


def test_groups_overlap_also_where_two_adapters_are_one_storage(database):
    adapters = {"safe": SqliteAdapter(database), "fast": SqliteAdapter(database)}
    workers = [{"adapter": "safe"}, {"adapter": "fast", "queue": "email", "max_attempts": 1}]

    with pytest.raises(ConfigurationError, match="worker groups 0 and 1 both take queue 'email'"):
        JobManager(adapters, workers=workers)


def test_a_scheduler_with_a_logger_that_is_none_is_refused(manager):
    with pytest.raises(ConfigurationError, match=r"logger must be a logging\.Logger, got 'web'"):
        manager.create_scheduler(logger="web")


def test_an_adapter_without_a_method_of_the_contract_is_refused():
    class Half(BaseAdapter):
        schedule = find = success = error = failure = None

    with pytest.raises(
        TypeError, match=r"abstract class Half with(out an implementation for)? abs"
    ):
        Half()


def test_a_group_may_take_all_of_the_declared_queues(make_manager):
    assert make_manager(queues=["email"], workers=[{"queue": "*"}]).workers[0].queues == ("*",)


def test_an_adapter_that_is_not_there_is_refused(manager):
    with pytest.raises(ConfigurationError, match="there is no adapter 'c'; the adapters are a, b"):
        manager.adapter("c")
    with pytest.raises(ConfigurationError, match="there is no adapter 'c'"):
        manager.create_scheduler(adapter="c")


# Declaring


def test_the_decorator_without_options_declares_with_the_defaults(manager):
    job = manager.job(greet)

    assert isinstance(job, Job)
    assert (job.name, job.queue, job.priority) == ("greet", "default", 50)
    assert job.own_limits == {}


def test_the_decorator_takes_the_options_of_create_job(manager):
    decorated = manager.job(queue="email", priority=1, max_attempts=3, properties={"team": "x"})(
        greet
    )
    created = manager.create_job(
        perform=greet, queue="email", priority=1, max_attempts=3, properties={"team": "x"}
    )

    for job in (decorated, created):
        assert (job.queue, job.priority, job.own_limits) == ("email", 1, {"max_attempts": 3})
        assert job.team == "x"


def test_the_decorator_may_be_called_with_nothing(manager):
    assert manager.job()(greet).queue == "default"


def test_a_job_is_called_like_its_function_and_says_what_it_is(manager):
    job = manager.job(greet)

    assert job("you") == job.perform("you") == "hello you"
    assert repr(job) == "<Job test_manager.greet>"
    assert job.__wrapped__ is greet


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            {"max_atempts": 3},
            "'max_atempts' is not an option of a job; did you mean 'max_attempts'",
        ),
        ({"proprity": 3}, "'proprity' is not an option of a job; did you mean 'priority'"),
        ({"max_attempts": 0}, "max_attempts must be at least 1, got 0"),
        ({"max_runtime": 0}, "max_runtime must be more than 0 seconds, got 0"),
        (
            {"delete_failed_jobs": "yes"},
            "delete_failed_jobs must be True, False or a time, got 'yes'",
        ),
        ({"priority": "high"}, "priority must be a whole number, got 'high'"),
        ({"queue": "emial"}, "queue 'emial' is not one of the declared queues: default, email"),
        ({"queue": ""}, "'' cannot name a queue"),
        ({"properties": {"name": "x"}}, "property 'name' of greet would hide an attribute"),
        ({"properties": {"perform": 1}}, "property 'perform' of greet would hide an attribute"),
    ],
    ids=str,
)
def test_an_option_of_a_job_that_is_not_of_its_kind_is_refused(make_manager, options, reason):
    manager = make_manager(queues=["default", "email"])

    with pytest.raises(ConfigurationError, match=reason):
        manager.create_job(perform=greet, **options)
    with pytest.raises(ConfigurationError, match=reason):
        manager.job(**options)(greet)


def test_a_job_outside_of_the_declared_queues_is_refused(make_manager):
    with pytest.raises(ConfigurationError, match=r"queue 'default' is not one of .*: email"):
        make_manager(queues=["email"]).job(greet)


@pytest.mark.parametrize("perform", [len, int, "greet", None, print], ids=str)
def test_only_a_function_can_be_declared(manager, perform):
    with pytest.raises(
        ConfigurationError, match="perform of a job must be a function made by def, got"
    ):
        manager.create_job(perform=perform)


# Scheduling


def test_a_declared_job_is_stored_by_name_and_path_in_its_own_queue(manager, adapters):
    job = manager.job(queue="email", priority=7)(greet)

    scheduled = manager.create_scheduler()(job, ["you"])

    [(handler, queue, priority)] = rows(adapters["a"], "handler", "queue", "priority")
    stored = json.loads(handler)
    assert (queue, priority, scheduled.queue) == ("email", 7, "email")
    assert set(stored) == {"name", "path", "args", "kwargs"}
    assert (stored["name"], stored["args"]) == ("greet", ["you"])
    assert stored["path"].endswith("test_manager.py")


def test_where_a_job_is_found_again_is_worked_out_once(manager, adapters, monkeypatch):
    job, later = manager.job(greet), manager.create_scheduler()
    later(job)
    monkeypatch.delattr(manager_module, "path_of")

    later(job)

    (first,), (second,) = rows(adapters["a"], "handler")
    assert first == second


def test_a_scheduler_stores_in_its_adapter(manager, adapters):
    job = manager.job(greet)

    manager.create_scheduler(adapter="b")(job)

    assert rows(adapters["a"], "id") == []
    assert rows(adapters["b"], "id") == [(1,)]


def test_a_scheduler_has_the_logger_it_was_given_or_the_managers(make_manager, caplog):
    manager = make_manager(logger=logging.getLogger("shop"))
    job = manager.job(greet)

    with caplog.at_level(logging.DEBUG):
        manager.create_scheduler()(job)
        manager.create_scheduler(logger=logging.getLogger("web"))(job)

    scheduled = [r.name for r in caplog.records if r.getMessage().startswith("scheduled")]
    assert scheduled == ["shop", "web"]


def test_the_first_job_of_each_storage_tells_where_it_is(manager, adapters, caplog):
    job = manager.job(greet)

    with caplog.at_level(logging.INFO):
        for adapter in ("a", "a", "b"):
            manager.create_scheduler(adapter=adapter)(job)

    told = [r.getMessage() for r in caplog.records if r.levelno == logging.INFO]
    assert told == [f"jobs are stored in {adapters[key].path}" for key in "ab"]


def test_the_declared_queues_bind_the_call_too(make_manager):
    manager = make_manager(queues=["default"])
    job = manager.job(greet)

    with pytest.raises(SchedulingError, match="queue 'email' is not one of the declared queues"):
        manager.create_scheduler()(job, queue="email")


@pytest.mark.parametrize("function", [greet, len, 5], ids=["function", "builtin", "number"])
def test_what_is_not_declared_is_refused_with_the_cure(manager, function):
    with pytest.raises(
        SchedulingError, match=r"is a job not declared in test_manager; declare it with @jobs\.job"
    ):
        manager.create_scheduler()(function)


def test_a_name_in_place_of_the_function_is_refused_with_the_cure(manager):
    for later in (manager.create_scheduler(), litejobs.later):
        with pytest.raises(
            SchedulingError, match="'greet' is a text, not a job: pass the function"
        ):
            later("greet", [1])


def test_a_job_of_another_manager_is_refused_naming_both(make_manager, monkeypatch):
    mine, other = make_manager(), make_manager()
    monkeypatch.setitem(globals(), "jobs", other)
    job = other.job(greet)

    with pytest.raises(
        SchedulingError, match="greet is a job of test_manager:jobs, not of test_manager"
    ):
        mine.create_scheduler()(job)


# Where a manager is


def test_a_manager_knows_the_module_it_was_made_in(manager):
    assert manager.where == "test_manager"


def test_a_manager_knows_the_name_it_is_bound_to(manager, monkeypatch):
    monkeypatch.setitem(globals(), "jobs", manager)

    assert manager.where == "test_manager:jobs"


@pytest.mark.parametrize(
    ("name", "file", "spec_name", "place"),
    [
        ("shop.jobs", "/app/shop/jobs.py", "shop.jobs", "shop.jobs:jobs"),
        ("__main__", "/app/shop.py", None, "shop:jobs"),
        ("__main__", "/app/shop/__main__.py", "shop.__main__", "shop.__main__:jobs"),
        ("__main__", None, None, "__main__:jobs"),
    ],
    ids=["module", "script", "-m", "typed in"],
)
def test_where_is_the_name_that_a_worker_can_import(
    monkeypatch, adapters, name, file, spec_name, place
):
    module = ModuleType(name)
    module.__file__ = file
    module.__spec__ = spec_name and type("Spec", (), {"name": spec_name})
    monkeypatch.setitem(sys.modules, name, module)
    vars(module).update(JobManager=JobManager, adapters=adapters)

    exec("jobs = JobManager(adapters)", vars(module))

    assert module.jobs.where == place


def test_a_manager_of_no_module_that_is_left_is_known_by_the_modules_name(adapters):
    names = {"__name__": "gone", "JobManager": JobManager, "adapters": adapters}

    exec("jobs = JobManager(adapters)", names)

    assert names["jobs"].where == "gone"


def test_the_storage_remembers_the_app_of_its_jobs(manager, adapters, monkeypatch):
    monkeypatch.setitem(globals(), "jobs", manager)
    job = manager.job(greet)

    manager.create_scheduler()(job)

    assert adapters["a"].get_meta("app") == "test_manager:jobs"


def test_the_storage_remembers_the_app_that_came_last(make_manager, adapters, monkeypatch):
    adapters["a"].set_meta("app", "elsewhere:jobs")
    manager = make_manager()
    job = manager.job(greet)

    manager.create_scheduler()(job)

    assert adapters["a"].get_meta("app") == "test_manager"


def test_the_storage_is_not_told_what_it_knows(manager, adapters, monkeypatch):
    adapters["a"].set_meta("app", "test_manager")
    monkeypatch.setattr(adapters["a"], "set_meta", None)

    manager.create_scheduler()(manager.job(greet))

    assert rows(adapters["a"], "id") == [(1,)]


# Working


def test_a_declared_job_is_found_and_run(manager, adapters):
    job = manager.job(greet)
    manager.create_scheduler()(job, ["you"])

    assert run_next(manager, adapters["a"]).kind == "success"


def test_a_job_that_moved_to_another_file_is_found_by_name(manager, adapters):
    job = manager.job(greet)
    manager.create_scheduler()(job)
    adapters["a"].connection.execute(
        "UPDATE background_jobs SET handler = json_set(handler, '$.path', 'old/place.py')"
    )

    assert run_next(manager, adapters["a"]).kind == "success"


def test_a_row_with_a_module_gets_no_further_than_the_declared_jobs(manager):
    handler = json.dumps({"name": "fail", "path": "test_manager.py", "module": "test_manager"})

    with pytest.raises(UnloadableError, match="the app declares no job named 'fail'"):
        manager.loader().load(handler)


def test_a_jobs_own_limits_win_over_its_groups(make_manager, adapters):
    manager = make_manager(workers=[{"max_attempts": 5, "delete_failed_jobs": False}])
    job = manager.job(max_attempts=1, delete_failed_jobs=True)(fail)
    manager.create_scheduler()(job)

    outcome = run_next(manager, adapters["a"])

    assert (outcome.kind, outcome.delete) == ("failure", True)


def test_a_jobs_other_limits_are_its_groups(make_manager, adapters):
    manager = make_manager(workers=[{"max_attempts": 1, "delete_failed_jobs": True}])
    job = manager.job(max_runtime=5)(fail)
    manager.create_scheduler()(job)

    outcome = run_next(manager, adapters["a"])

    assert (outcome.kind, outcome.delete) == ("failure", True)


@pytest.mark.parametrize("own", [None, "group"])
def test_a_groups_jobs_are_logged_by_its_logger_or_the_managers(
    make_manager, adapters, caplog, own
):
    logger = own and logging.getLogger(own)
    manager = make_manager(logger=logging.getLogger("shop"), workers=[{"logger": logger}])
    manager.create_scheduler()(manager.job(greet))
    caplog.clear()

    with caplog.at_level(logging.DEBUG):
        run_next(manager, adapters["a"])

    assert {record.name for record in caplog.records} == {own or "shop"}


def test_an_execution_is_made_anew_for_each_thread(manager):
    first, second = manager.execution(WorkerGroup()), manager.execution(WorkerGroup())

    assert isinstance(first, Execution)
    assert first is not second


def test_any_adapter_of_the_contract_will_do(clock):
    class Memory(BaseAdapter):
        def schedule(self, jobs):
            self.stored = list(jobs)
            return list(range(1, len(jobs) + 1))

        find = success = error = failure = clear = None

    memory = Memory()
    manager = JobManager({"memory": memory}, clock=clock)

    manager.create_scheduler()(manager.job(greet), ["you"])

    assert [job.queue for job in memory.stored] == ["default"]


@pytest.mark.parametrize("options", [{"queues": "email"}, {"queues": []}, {"workers": []}])
def test_a_list_that_is_none_is_refused(database, options):
    with pytest.raises(ConfigurationError, match="must be a list of"):
        JobManager(adapters={"sqlite": SqliteAdapter(database)}, **options)


def test_while_a_worker_loads_the_app_no_thread_is_started(database):
    manager = JobManager(adapters={"sqlite": SqliteAdapter(database)})

    with context.loading("the app"):
        worker = manager.start_background_worker()

    assert not worker.is_alive()
    assert not database.exists()
