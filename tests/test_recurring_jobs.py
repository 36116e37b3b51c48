"""Jobs that an app declares to recur, from the decorator to the run, and the commands on them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest
from helpers import DEADLINE, Jobs, wait_until

import litejobs
from litejobs import (
    BaseAdapter,
    ConfigurationError,
    JobManager,
    Key,
    Schedule,
    ScheduleNotFoundError,
    SchedulingError,
    SqliteAdapter,
    WorkerGroup,
    context,
    current_job,
    testing,
)
from litejobs.cli.recurring import _last
from litejobs.perform import manifest_of
from litejobs.performers.manifest import Manifest

HOUR = 3_600_000
seen = []


def tick(number=0):
    seen.append((number, current_job().schedule, current_job().slot))


def report(month, *, loud=False):
    """A job that needs an argument."""


@pytest.fixture
def manager(database, clock):
    seen.clear()
    adapter = SqliteAdapter(database, clock=clock)
    yield JobManager({"sqlite": adapter}, clock=clock)
    adapter.close()


def declared(manager):
    return manager.recurring.declared().get("sqlite", [])


def stored(manager, name="tick"):
    return manager.adapter(None).schedules.named(name)


# Declaring


def test_the_short_forms_are_those_of_a_schedule(manager):
    manager.create_job(perform=tick, cron="30 2 * * *", timezone="Europe/Rome")
    manager.create_job(perform=report, schedule=Schedule(every=60, args=["may"], name="monthly"))

    first, second = declared(manager)

    assert (first.name, first.cron, first.timezone) == ("tick", "30 2 * * *", "Europe/Rome")
    assert (first.every, first.missed, first.overlap, first.jitter) == (None, "once", "skip", 0)
    assert (second.name, second.every) == ("monthly", 60_000)
    assert json.loads(second.job.handler)["args"] == ["may"]


@pytest.mark.parametrize("every", [900, 900.0, timedelta(minutes=15)])
def test_an_interval_is_seconds_or_a_timedelta(manager, every):
    manager.create_job(perform=tick, every=every)

    assert declared(manager)[0].every == 900_000


@pytest.mark.parametrize(
    ("timezone", "name"),
    [(ZoneInfo("Europe/Rome"), "Europe/Rome"), (UTC, "UTC"), ("UTC", "UTC"), (None, "UTC")],
)
def test_a_zone_is_a_name_or_an_object(timezone, name):
    assert Schedule(cron="@daily", timezone=timezone).zone_name == name


def test_a_job_may_have_several_schedules_with_arguments(manager):
    schedules = [
        Schedule(cron="@daily", args=["day"], kwargs={"loud": True}, name="day", queue="slow"),
        Schedule(every=60, args=["minute"], name="minute", priority=1, jitter=5, missed="skip"),
    ]
    manager.create_job(perform=report, queue="fast", priority=7, schedule=schedules)

    day, minute = declared(manager)

    assert json.loads(day.job.handler)["kwargs"] == {"loud": True}
    assert (day.job.queue, day.job.priority) == ("slow", 7)
    assert (minute.job.queue, minute.job.priority) == ("fast", 1)
    assert (minute.jitter, minute.missed) == (5000, "skip")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"cron": "61 * * * *"}, "'61' is no minute"),
        ({"cron": "0 0 30 2 *"}, "names a date that never comes"),
        ({"cron": "@daily", "timezone": "Europe/Roma"}, "did you mean 'Europe/Rome'?"),
        ({"cron": "@daily", "timezone": 3}, "timezone must be a name such as 'Europe/Rome', got 3"),
        ({"cron": 5}, "cron must be an expression, got 5"),
        ({"cron": "@daily", "every": 60}, "either cron or every, one of both"),
        ({"timezone": "UTC"}, "a schedule has either cron or every"),
        ({"every": 60, "timezone": "UTC"}, "timezone goes with cron: intervals go by elapsed"),
        ({"every": 0}, "every must be at least 1 second, got 0"),
        ({"every": 0.5}, "every must be at least 1 second, got 0.5"),
        ({"every": -5}, "every must be at least 0 seconds, got -5"),
        ({"every": "hour"}, "every must be a number of seconds, got 'hour'"),
        ({"every": True}, "every must be a number of seconds, got True"),
        ({"every": float("nan")}, "every must be a number of seconds, got nan"),
        ({"schedule": "@daily"}, "schedule must be a Schedule or a list of them, got '@daily'"),
        ({"schedule": Schedule(every=60), "every": 60}, "every of a job that has schedule too"),
        ({"corn": "@daily"}, "'corn' is not an option of a job; did you mean 'cron'?"),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_is_declared(manager, options, sentence):
    with pytest.raises(ConfigurationError) as error:
        manager.create_job(perform=tick, **options)

    assert sentence in str(error.value)
    assert manager.declared == {}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "either cron or every"),
        ({"args": "abc"}, "args of a schedule must be a list, got 'abc'"),
        ({"kwargs": [1]}, "kwargs of a schedule must be a dict, got [1]"),
        ({"name": ""}, "name of a schedule must be printable text"),
        ({"name": "a\n"}, "name of a schedule must be printable text"),
        ({"name": 3}, "got 3"),
        ({"queue": "*"}, "'*' cannot name a queue"),
        ({"priority": "high"}, "priority must be a whole number"),
        ({"missed": "twice"}, "missed must be one of skip, once, all, got 'twice'"),
        ({"overlap": "deny"}, "overlap must be one of skip, allow, got 'deny'"),
        ({"missed": "all"}, "it goes with overlap='allow'"),
        ({"catch_up": 0}, "catch_up must be at least 1, got 0"),
        ({"catch_up": 10**6}, "catch_up must be at most 10000"),
        ({"jitter": -1}, "jitter must be at least 0 seconds"),
        ({"adapter": 1}, "adapter of a schedule must be a key"),
        ({"ovrlap": "skip"}, "'ovrlap' is not an option of Schedule; did you mean 'overlap'?"),
    ],
)
def test_a_schedule_refuses_what_is_not_of_its_kind(options, sentence):
    when = {"every": 60} if options else {}

    with pytest.raises(ConfigurationError) as error:
        Schedule(**when, **options)

    assert sentence in str(error.value)


def test_a_job_that_needs_arguments_which_it_is_not_given_is_refused(manager):
    with pytest.raises(ConfigurationError, match=r"'report' does not fit report.*'month'"):
        manager.create_job(perform=report, cron="@daily")
    with pytest.raises(ConfigurationError, match="unexpected keyword"):
        manager.create_job(perform=tick, schedule=Schedule(every=60, kwargs={"day": 1}))


def test_two_schedules_of_one_name_are_refused(manager):
    twice = [Schedule(cron="@daily"), Schedule(cron="@weekly")]
    with pytest.raises(ConfigurationError, match="named 'tick', as another is: give it a name"):
        manager.create_job(perform=tick, schedule=twice)
    manager.create_job(perform=tick, cron="@daily")
    with pytest.raises(ConfigurationError, match="named 'tick', as one of tick is"):
        manager.create_job(perform=report, schedule=Schedule(every=60, args=[1], name="tick"))

    manager.create_job(perform=tick, cron="@weekly")  # the same anew, as a reload does


def test_arguments_that_no_worker_could_take_are_refused_when_workers_start(manager):
    schedule = Schedule(every=60, args=[object()])
    manager.create_job(perform=tick, schedule=schedule)

    with pytest.raises(ConfigurationError, match="the schedule tick: argument 'number' of tick"):
        manager.recurring.sync()


def test_a_queue_that_is_not_declared_is_refused(database):
    manager = JobManager({"sqlite": SqliteAdapter(database)}, queues=["default"])
    manager.create_job(perform=tick, schedule=Schedule(every=60, queue="email"))

    with pytest.raises(ConfigurationError, match="queue 'email' is not one of the declared"):
        manager.recurring.declared()


class Other(BaseAdapter):
    def schedule(self, jobs): ...
    def find(self, **_): ...
    def success(self, job, **_): ...
    def error(self, job, error, run_at): ...
    def failure(self, job, error, **_): ...
    def clear(self): ...


def test_storage_that_cannot_keep_what_recurs_is_refused_and_else_let_alone():
    manager = JobManager({"other": Other()})
    manager.create_job(perform=report)
    manager.recurring.sync()
    assert manager.recurring.all() == []

    manager.create_job(perform=tick, every=60)
    with pytest.raises(ConfigurationError, match="Other cannot keep what recurs"):
        manager.recurring.sync()


def test_the_manifest_tells_a_runner_what_recurs(manager):
    unique = Key(lambda number=0: f"n{number}", "raise", 60)
    schedule = Schedule(every=60, args=[3])
    manager.create_job(perform=tick, key=unique, limit=2, keep_result=5, schedule=schedule)

    manifest = manifest_of(manager, None)

    assert manifest.owner == manager.where
    [one] = manifest.schedules["sqlite"]
    assert one.job.unique == ("tests/test_recurring_jobs.py:tick:n3", "raise", 60_000)
    assert one.job.limit_max == 2
    assert json.loads(one.job.handler)["keep_result"] == 5
    told = msgspec.msgpack.decode(msgspec.msgpack.encode(manifest), type=Manifest)
    assert told.schedules["sqlite"] == (one,)
    adapter = manager.adapter(None)
    adapter.schedules.sync(manifest.owner, told.schedules["sqlite"])
    before = adapter.schedules.all()
    manager.recurring.sync()
    assert adapter.schedules.all() == before


# Running


def test_a_worker_runs_what_recurs_at_its_times(manager, clock):
    manager.create_job(perform=tick, schedule=Schedule(every=3600, args=[7]))
    worker = manager.create_worker(0, workoff=True)
    worker.run()
    assert seen == []

    for _ in range(2):
        clock.advance(3600)
        worker = manager.create_worker(0, workoff=True)
        worker.run()

    now = datetime.fromtimestamp(clock.now() / 1000, UTC)
    assert seen == [(7, "tick", now - timedelta(hours=1)), (7, "tick", now)]


def test_a_job_that_later_stored_is_of_no_schedule(manager):
    job = manager.create_job(perform=tick)
    manager.create_scheduler()(job, [1])

    manager.create_worker(0, workoff=True).run()

    assert seen == [(1, None, None)]


def test_whatever_a_row_says_of_its_schedule_does_not_end_the_run(manager, clock):
    job = manager.create_job(perform=tick)
    later = manager.create_scheduler()
    later(job, [1])
    manager.adapter(None).connection.execute(
        "UPDATE background_jobs SET handler = json_set(handler, '$.schedule', 5, '$.slot', 'x')"
    )

    manager.create_worker(0, workoff=True).run()

    assert seen == [(1, None, None)]


def test_a_workoff_makes_all_runs_that_are_due_however_many(manager, clock, monkeypatch):
    monkeypatch.setattr(litejobs.defaults, "FIRE_BATCH", 2)
    schedules = [Schedule(every=60, args=[n], name=str(n)) for n in range(5)]
    manager.create_job(perform=tick, schedule=schedules)
    manager.recurring.sync()
    clock.advance(60)

    manager.create_worker(0, workoff=True).run()

    assert sorted(number for number, *_ in seen) == [0, 1, 2, 3, 4]


def test_a_test_mode_runs_only_what_the_test_says(manager, clock):
    manager.create_job(perform=tick, every=60)

    with testing.manual(manager) as jobs:
        jobs.clock.advance(3600)
        jobs.drain()

        assert manager.recurring.all() == []
    assert seen == []


def test_an_idle_worker_is_woken_at_the_time(manager):
    manager = JobManager(
        {"sqlite": SqliteAdapter(manager.adapter(None).path)},
        workers=[WorkerGroup(sleep_delay=DEADLINE)],
    )
    manager.create_job(perform=tick, every=1)
    worker = manager.start_background_worker()
    try:
        wait_until(lambda: len(seen) >= 2, "two runs")
    finally:
        worker.stop()
    slots = [slot for _, _, slot in seen]
    assert slots[1] - slots[0] == timedelta(seconds=1)


def test_a_schedule_that_another_process_adds_wakes_the_worker(manager, database):
    real = JobManager(
        {"sqlite": SqliteAdapter(database)}, workers=[WorkerGroup(sleep_delay=DEADLINE)]
    )
    job = real.create_job(perform=tick)
    worker = real.start_background_worker()
    try:
        real.recurring.add(job, Schedule(every=1, name="new"))
        wait_until(lambda: seen, "a run")
    finally:
        worker.stop()
    assert seen[0][1] == "new"


# At run time


def test_a_schedule_is_added_changed_steered_and_removed(manager, clock):
    job = manager.create_job(perform=report)
    recurring = manager.recurring

    recurring.add(job, Schedule(every=60, args=["may"], name="new"))
    recurring.add(job, Schedule(every=60, args=["june"], name="new"))
    assert [(one.name, one.owner) for one in recurring.all()] == [("new", None)]
    assert '"june"' in recurring.all()[0].handler
    recurring.pause("new")
    assert recurring.all()[0].paused_at == clock.now()
    recurring.resume("new")
    handle = recurring.run_now("new")
    assert (handle.state, handle.args) == ("ready", ("june",))
    recurring.sync()
    recurring.remove("new")
    assert recurring.all() == []


@pytest.mark.parametrize("what", ["remove", "pause", "resume", "run_now"])
def test_what_is_not_there_is_refused(manager, what):
    with pytest.raises(ScheduleNotFoundError, match="no schedule 'new'; there are: none"):
        getattr(manager.recurring, what)("new")


@pytest.mark.parametrize("what", ["remove", "pause", "resume", "run_now"])
@pytest.mark.parametrize("name", [[], 3, None, {}, b"new"], ids=repr)
def test_what_can_be_no_name_is_refused(manager, what, name):
    job = manager.create_job(perform=report)
    manager.recurring.add(job, Schedule(every=60, args=["may"], name="new"))

    with pytest.raises(ConfigurationError) as error:
        getattr(manager.recurring, what)(name)

    assert str(error.value) == f"the name of a schedule must be a text, got {name!r}"


def test_what_no_worker_could_run_is_not_added(manager):
    job = manager.create_job(perform=report)
    manager.create_job(perform=tick, every=60)
    manager.recurring.sync()

    for refused, schedule, sentence in (
        (job, Schedule(every=60), "missing a required argument"),
        (report, Schedule(every=60, args=[1]), "report is a job"),
        (job, "@daily", "recurring.add takes a Schedule, got '@daily'"),
        (job, Schedule(every=60, args=[1], name="tick"), "change it there"),
        (job, Schedule(every=60, args=[1], adapter="b"), "no adapter 'b'; the adapters are sqlite"),
    ):
        with pytest.raises(SchedulingError, match=sentence):
            manager.recurring.add(refused, schedule)
    assert [one.name for one in manager.recurring.all()] == ["tick"]


def test_while_a_worker_loads_the_code_nothing_is_added(manager):
    job = manager.create_job(perform=tick)

    with context.loading("shop"), pytest.raises(SchedulingError, match="a worker loaded shop"):
        manager.recurring.add(job, Schedule(every=60))


def test_with_several_adapters_each_keeps_its_own(tmp_path, clock):
    one, two = (SqliteAdapter(tmp_path / f"{name}.sqlite", clock=clock) for name in "ab")
    manager = JobManager({"one": one, "two": two}, clock=clock)
    schedules = [
        Schedule(every=60, name="here"),
        Schedule(every=60, name="there", adapter="two"),
    ]
    manager.create_job(perform=tick, schedule=schedules)

    manager.recurring.sync()

    assert [each.name for each in one.schedules.all()] == ["here"]
    assert [each.name for each in two.schedules.all()] == ["there"]
    manager.recurring.pause("there")
    assert two.schedules.named("there").paused_at is not None
    one.close()
    two.close()


def test_the_reason_for_a_lost_key_is_told_to_who_asks_for_a_run(manager):
    schedule = Schedule(every=60, name="tick")
    manager.create_job(perform=tick, key=Key("one", "raise"), schedule=schedule)
    manager.recurring.sync()
    manager.recurring.run_now("tick")

    with pytest.raises(litejobs.DuplicateJobError, match="is there already"):
        manager.recurring.run_now("tick")


# Real processes

APP = """
    from datetime import timedelta
    from litejobs import JobManager, Schedule, SqliteAdapter, current_job

    jobs = JobManager({"sqlite": SqliteAdapter("db.sqlite")})

    @jobs.job(every=timedelta(seconds=1))
    def tick():
        with open("ticks.txt", "a") as file:
            print(current_job().schedule, current_job().slot.timestamp(), file=file)

    @jobs.job(schedule=[
        Schedule(cron="30 2 * * *", timezone="Europe/Rome", args=["night"], name="nightly"),
        Schedule(cron="@hourly", args=["hour"], name="hourly", overlap="allow", missed="all"),
    ])
    def report(kind: str):
        print(kind)
"""


def test_runners_store_what_the_code_declares_and_run_it(project):
    project.write("app.py", APP)
    runners = [project.start_litejobs("work", "--app", "app") for _ in range(2)]
    try:
        wait_until(lambda: project.read("ticks.txt").count("\n") >= 2, "two runs")
    finally:
        for runner in runners:
            runner.terminate()
        texts = [runner.communicate(timeout=DEADLINE) for runner in runners]
    assert [runner.returncode for runner in runners] == [0, 0], texts
    ticks = [float(line.split()[1]) for line in project.read("ticks.txt").splitlines()]
    assert len(ticks) == len(set(ticks))
    listed = json.loads(project.litejobs("recurring", "list", "db.sqlite", "--json").out)
    assert [one["name"] for one in listed] == ["hourly", "nightly", "tick"]
    assert {one["owner"] for one in listed} == {"app:jobs"}


def test_a_schedule_that_leaves_the_code_goes_when_workers_start(project):
    project.write("app.py", APP)
    project.litejobs("workoff", "--app", "app")
    project.write("app.py", APP.replace("(every=timedelta(seconds=1))", ""))

    project.litejobs("workoff", "--app", "app")

    listed = json.loads(project.litejobs("recurring", "list", "db.sqlite", "--json").out)
    assert [one["name"] for one in listed] == ["hourly", "nightly"]


def test_a_script_stores_what_it_declares_itself_and_no_other_script_touches_it(project):
    for name in ("one", "two"):
        project.write(
            f"{name}.py",
            f"""
            from litejobs import jobs

            @jobs.job(every=1)
            def {name}():
                print("{name} ran", flush=True)

            if __name__ == "__main__":
                jobs.recurring.sync()
            """,
        )
    env = {"LITEJOBS_DATABASE": "db.sqlite"}
    project.run("one.py", env=env)
    project.run("two.py", env=env)
    listed = json.loads(project.litejobs("recurring", "list", "db.sqlite", "--json").out)
    assert [(one["name"], one["owner"]) for one in listed] == [
        ("one", "litejobs:jobs one.py"),
        ("two", "litejobs:jobs two.py"),
    ]

    for name in ("one", "two"):
        project.litejobs("recurring", "run-now", "db.sqlite", name)
    out = Jobs(project).workoff().out

    assert "one ran" in out
    assert "two ran" in out


def test_what_a_script_no_longer_declares_goes_when_it_is_run_again(project):
    for name in ("jobs/tidy.py", "other.py"):
        project.write(
            name,
            f"""
            from litejobs import jobs

            @jobs.job(every=60)
            def {Path(name).stem}(): ...

            if __name__ == "__main__":
                jobs.recurring.sync()
            """,
        )
    project.write("main.py", "import jobs.tidy\nimport litejobs\nlitejobs.jobs.recurring.sync()\n")
    env = {"LITEJOBS_DATABASE": "db.sqlite"}
    for script in ("other.py", "main.py"):
        project.run(script, env=env)

    for name in ("other.py", "jobs/tidy.py"):
        project.write(name, project.read(name).replace("@jobs.job(every=60)", ""))
    project.run("main.py", env=env)
    listed = json.loads(project.litejobs("recurring", "list", "db.sqlite", "--json").out)
    assert [one["owner"] for one in listed] == ["litejobs:jobs other.py"]
    project.run("other.py", env=env)

    assert project.litejobs("recurring", "list", "db.sqlite").out == "nothing recurs\n"


@pytest.fixture
def app(project):
    project.write("app.py", APP)
    project.litejobs("workoff", "--app", "app")
    return project


def test_the_commands_show_what_recurs(app):
    out = app.litejobs("recurring", "list", "db.sqlite").out
    assert "nightly  At 02:30 every day (Europe/Rome)  in" in out
    assert 'report("night")' in out
    assert "none yet" in out

    out = app.litejobs("recurring", "show", "db.sqlite", "nightly").out
    assert "30 2 * * *  (Europe/Rome)" in out
    assert out.count(" 02:30:00 +0") == 5
    assert "the code of app:jobs" in out
    assert "all, at most 100" in app.litejobs("recurring", "show", "db.sqlite", "hourly").out
    document = json.loads(app.litejobs("recurring", "show", "db.sqlite", "nightly", "--json").out)
    assert len(document["next"]) == 5
    assert document["words"] == "At 02:30 every day (Europe/Rome)"


def test_the_commands_steer_it(app):
    assert app.litejobs("recurring", "pause", "db.sqlite", "nightly").out == "nightly is paused\n"
    assert "paused" in app.litejobs("recurring", "list", "db.sqlite").out
    shown = app.litejobs("recurring", "show", "db.sqlite", "nightly").out
    assert "\npaused      " in shown
    assert shown.endswith("next        none until it is resumed\n")
    shown = app.litejobs("recurring", "show", "db.sqlite", "nightly", "--json").out
    assert json.loads(shown)["next"] == []
    resumed = app.litejobs("recurring", "resume", "db.sqlite", "nightly").out
    assert resumed.startswith("nightly runs next in ")
    out = app.litejobs("recurring", "run-now", "db.sqlite", "nightly", "--json").out
    assert json.loads(out)["id"] >= 1
    assert "night\n" in app.litejobs("workoff", "--app", "app").out
    assert ": done" in app.litejobs("recurring", "list", "db.sqlite").out
    result = app.litejobs("recurring", "remove", "db.sqlite", "nightly")
    assert result.out == "nightly is removed\n"
    assert "comes back when workers start" in result.err
    paused = app.litejobs("recurring", "pause", "db.sqlite", "hourly", "--json").out
    assert json.loads(paused)["paused_at"]
    assert json.loads(app.litejobs("recurring", "remove", "db.sqlite", "hourly", "--json").out) == {
        "removed": "hourly"
    }


def test_a_broken_schedule_is_shown_with_its_reason(app):
    with SqliteAdapterOf(app) as adapter:
        adapter.connection.execute(
            "UPDATE background_jobs_recurring SET timezone = 'Mars' WHERE name = 'hourly'"
        )
        adapter.connection.execute("UPDATE background_jobs_recurring SET next_run_at = 5")
        adapter.schedules.fire()

    assert (
        "never: there is no time zone 'Mars'" in app.litejobs("recurring", "list", "db.sqlite").out
    )
    assert "error" in app.litejobs("recurring", "show", "db.sqlite", "hourly").out


@pytest.mark.parametrize(
    ("since", "when"),
    [(0, "just now: done"), (999, "just now: done"), (5000, "5 seconds ago: done")],
)
def test_a_last_run_that_is_over_was_just_now_or_some_time_ago(manager, clock, since, when):
    manager.create_job(perform=tick, every=3600)
    manager.recurring.sync()
    manager.recurring.run_now("tick")
    manager.create_worker(0, workoff=True).run()

    assert _last(stored(manager), clock.now() + since) == when


class SqliteAdapterOf:
    def __init__(self, project):
        self.adapter = SqliteAdapter(Jobs(project).file)

    def __enter__(self):
        return self.adapter

    def __exit__(self, *_):
        self.adapter.close()


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["show", "db.sqlite", "nobody"], 1, "no schedule 'nobody'; there are: hourly, nightly"),
        (["pause", "db.sqlite", "nobody"], 1, "no schedule 'nobody'"),
        (["run-now", "db.sqlite", "nobody"], 1, "no schedule 'nobody'"),
        (["remove", "db.sqlite", "nobody"], 1, "no schedule 'nobody'"),
        (["resume", "a", "b", "c"], 2, "one schedule at a time"),
        (["list", "nowhere.sqlite"], 65, "does not exist"),
    ],
)
def test_wrong_words_are_refused_in_a_sentence(app, words, code, sentence):
    assert sentence in app.litejobs("recurring", *words, code=code).sentence


def test_where_nothing_recurs_that_is_said(project):
    with SqliteAdapterOf(project) as adapter:
        adapter.open()

    assert project.litejobs("recurring", "list", "db.sqlite").out == "nothing recurs\n"
