"""``litejobs work`` and ``litejobs worker``: waking, stopping, performers that come and go."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from helpers import DEADLINE, wait_until

from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.clock import SystemClock
from litejobs.handler import write
from litejobs.job import NewJob

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
SCRIPT = """
import os, time
from pathlib import Path

here = Path(__file__).parent

def note(word):
    with (here / "done.txt").open("a") as file:
        print(word, os.getpid(), time.time_ns() // 1_000_000, file=file)

def hold(name):
    note("begun")
    while not (here / name).exists():
        time.sleep(0.005)
    note("ended")
"""
APP = """
from litejobs import JobManager, SqliteAdapter, WorkerGroup
from script import here, note

with (here / "imports.txt").open("a") as file:
    print("imported", file=file)
imports = (here / "imports.txt").read_text().count("imported")
jobs = JobManager(
    {"sqlite": SqliteAdapter(here / "db.sqlite")}, workers=[WorkerGroup(sleep_delay=0.05)]
)
note = jobs.create_job(perform=note)
"""
BROKEN = "raise RuntimeError('no luck')\n"


class Work:
    """A project with jobs in db.sqlite, and runners of it that end with the test."""

    def __init__(self, project):
        self.project = project
        self.file = project.directory / "db.sqlite"
        self.processes = []

    def start(self, *words):
        with (self.project.directory / "out.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "litejobs", *words],
                cwd=self.project.directory,
                env=self.project.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def store(self, name, *args, wait=0.0, module="script"):
        """Store a job of script.py (*module* None: as an app does); when it is due."""
        adapter = SqliteAdapter(self.file)
        handler = write(name, "script.py", module, json.dumps(args), "{}")
        run_at = SystemClock().now() + round(1000 * wait)
        adapter.schedule([NewJob(handler, "default", 50, run_at)])
        adapter.close()
        return run_at

    def rows(self, columns):
        with closing(sqlite3.connect(self.file)) as connection:
            return connection.execute(f"SELECT {columns} FROM background_jobs").fetchall()

    @property
    def log(self):
        return self.project.read("out.log")

    @property
    def done(self):
        """What the jobs noted: word, pid of the performer, milliseconds since 1970."""
        lines = self.project.read("done.txt").splitlines(keepends=True)
        return [line.split() for line in lines if line.endswith("\n")]

    @property
    def words(self):
        return [word for word, *_ in self.done]

    def performer(self):
        """The process that noted something last."""
        return int(self.done[-1][1])

    def deploy(self, text):
        """Put another app.py in place; nobody ever sees half of it."""
        new = self.project.write("app.new", text)
        new.replace(self.project.directory / "app.py")

    def until_logged(self, text, times=1):
        wait_until(lambda: self.log.count(text) >= times, f"{times} x {text!r} in the log")

    def until_noted(self, *words):
        wait_until(lambda: self.words == list(words), f"{words} noted")

    def release(self):
        (self.project.directory / "released").touch()

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def work(project):
    project.write("script.py", SCRIPT)
    work = Work(project)
    yield work
    work.end()


@pytest.fixture
def holding(work):
    """A runner with one worker, in the middle of a job; another job is due."""
    work.store("hold", "released")
    work.store("note", "next")

    def start(*words):
        process = work.start("work", "db.sqlite", *words)
        work.until_noted("begun")
        return process

    return start


def has_ended(pid):
    """Whether there is no such process, or only what is left until it is reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def exit_code(process):
    return process.wait(DEADLINE)


# Waking


def test_a_job_is_begun_when_later_rings_and_not_at_the_next_look(work):
    process = work.start("work", "db.sqlite")
    work.until_logged("working on")
    trips = 0

    def there_and_back():
        nonlocal trips
        if len(work.words) == trips:
            work.store("note", trips)
            trips += 1
        return trips > 20  # looks alone, one each 5 s, would take longer than the deadline

    wait_until(there_and_back, "20 round trips")
    process.send_signal(signal.SIGINT)

    assert exit_code(process) == 0
    assert work.words[:20] == [str(number) for number in range(20)]
    assert "note started (attempt 1 of 24)" in work.log


def test_a_delayed_job_is_run_when_due_and_not_early(project, work):
    project.write("app.py", APP.replace("sleep_delay=0.05", "sleep_delay=3600"))
    work.start("work", "--app", "app")
    work.until_logged("working on")

    run_at = work.store("note", "later", wait=0.7, module=None)

    work.until_noted("later")
    assert int(work.done[0][2]) >= run_at


def test_rows_written_by_hand_are_found_after_sleep_delay(project, work):
    project.write("app.py", APP)
    work.start("work", "--app", "app")
    work.store("note", "rung", module=None)
    work.until_noted("rung")
    wait_until(lambda: work.rows("id") == [], "the job to be settled")

    for number in range(2):
        with closing(sqlite3.connect(work.file)) as connection, connection:
            handler = write("note", "script.py", None, f"[{number}]", "{}")
            sql = "INSERT INTO background_jobs (run_at, handler) VALUES (1, ?)"
            connection.execute(sql, (handler,))
        wait_until(lambda: len(work.words) == number + 2, "the row to be found")  # noqa: B023
        wait_until(lambda: work.rows("id") == [], "the job to be settled")

    assert work.words == ["rung", "0", "1"]


def test_the_log_shows_no_less_than_it_is_told_to(work):
    work.store("note", "done")

    work.start("work", "db.sqlite", "--log-level", "warning")

    work.until_noted("done")
    assert work.log == ""


# Stopping


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_lets_the_running_job_finish_and_begins_nothing_new(work, holding, number):
    process = holding()

    process.send_signal(number)
    work.until_logged("finishing the running jobs; the same again stops them")
    work.release()

    assert exit_code(process) == 0
    assert work.words == ["begun", "ended"]
    assert work.rows("id, state, attempts") == [(2, 1, 0)]
    assert has_ended(work.performer())
    assert "Traceback" not in work.log


def test_a_second_signal_gives_the_running_job_back_unspent(work, holding):
    process = holding()

    process.send_signal(signal.SIGINT)
    work.until_logged("finishing the running jobs")
    process.send_signal(signal.SIGINT)

    assert exit_code(process) == 128 + signal.SIGINT
    assert work.rows("id, state, attempts, locked_by") == [(1, 1, 0, None), (2, 1, 0, None)]
    assert work.words == ["begun"]
    assert has_ended(work.performer())
    assert "stopping at once: unfinished jobs go back, no attempt is spent" in work.log
    assert "Traceback" not in work.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_patience_with_a_running_job_ends_after_the_stop_timeout(work, holding, number):
    process = holding("--stop-timeout", "0.2")

    process.send_signal(number)

    assert exit_code(process) == 128 + number
    assert work.rows("id, state, attempts") == [(1, 1, 0), (2, 1, 0)]
    assert work.words == ["begun"]
    assert has_ended(work.performer())
    assert "Traceback" not in work.log


def test_sigint_waits_without_limit_for_the_running_job(work, holding):
    process = holding("--stop-timeout", "0.001")

    process.send_signal(signal.SIGINT)
    work.until_logged("finishing the running jobs")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.2)
    work.release()

    assert exit_code(process) == 0
    assert work.words == ["begun", "ended"]


def test_sigquit_stops_at_once(work, holding):
    process = holding()

    process.send_signal(signal.SIGQUIT)

    assert exit_code(process) == 128 + signal.SIGQUIT
    assert work.rows("id, state, attempts") == [(1, 1, 0), (2, 1, 0)]
    assert has_ended(work.performer())
    assert "Traceback" not in work.log


def test_a_job_given_back_is_run_by_the_next_runner(work, holding):
    exit_code_of_first = holding("--stop-timeout", "0.001")
    exit_code_of_first.send_signal(signal.SIGTERM)
    assert exit_code(exit_code_of_first) == 128 + signal.SIGTERM

    work.release()
    work.start("work", "db.sqlite")

    work.until_noted("begun", "begun", "ended", "next")


def test_an_idle_runner_ends_at_the_first_signal_without_a_word_of_python(work):
    process = work.start("work", "db.sqlite", "--count", "2")
    work.until_logged("working on")

    process.send_signal(signal.SIGTERM)

    assert exit_code(process) == 0
    assert "Traceback" not in work.log
    assert not list(work.file.with_name("db.sqlite.run").glob("*.bell"))


def test_a_runner_without_a_running_job_does_not_say_that_it_finishes_one(work):
    work.store("note", "done")
    process = work.start("work", "db.sqlite")
    work.until_noted("done")
    wait_until(lambda: work.rows("id") == [], "its record")

    process.send_signal(signal.SIGINT)

    assert exit_code(process) == 0
    assert "finishing" not in work.log
    assert "WARNING" not in work.log


@linux
def test_performers_die_with_a_runner_that_is_killed(work, holding):
    process = holding()

    process.kill()

    assert exit_code(process) == -signal.SIGKILL
    wait_until(lambda: has_ended(work.performer()), "the performer's end")
    assert work.words == ["begun"]


# Performers


def test_a_performer_killed_while_idle_is_replaced(work):
    work.start("work", "db.sqlite")
    work.store("note", "first")
    work.until_noted("first")
    first = work.performer()
    wait_until(lambda: work.rows("id") == [], "the job to be settled")

    os.kill(first, signal.SIGKILL)
    work.until_logged(f"litejobs-worker.*.0 (pid {first}) was killed by SIGKILL; another is")
    work.store("note", "second")

    work.until_noted("first", "second")
    assert work.performer() != first


@linux
def test_one_worker_of_one_group_has_its_name_in_ps(project, work):
    project.write("app.py", APP.replace("WorkerGroup(", 'WorkerGroup(queue=["default", "b"], '))
    work.start("worker", "--app", "app", "--index", "0", "--id", "7")
    work.store("note", "hello", module=None)

    work.until_noted("hello")

    words = Path(f"/proc/{work.performer()}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    assert words[-1] == b"litejobs-worker.default-b.7"


@linux
def test_a_performer_that_does_not_read_holds_up_nobody(work):
    process = work.start("work", "db.sqlite")
    work.store("note", "first")
    work.until_noted("first")
    wait_until(lambda: work.rows("id") == [], "the job to be settled")
    os.kill(work.performer(), signal.SIGSTOP)

    work.store("note", "x" * 900_000)

    wait_until(lambda: len(work.words) == 2, "the job in the next performer")
    assert "did not take a job; another is started" in work.log
    assert "went wrong" not in work.log
    assert work.log.count("note started (attempt 1 of 24)") == 2
    process.send_signal(signal.SIGINT)
    assert exit_code(process) == 0


@linux
def test_a_job_that_its_performer_never_read_spends_no_attempt(work):
    work.start("work", "db.sqlite")
    work.store("note", "first")
    work.until_noted("first")
    wait_until(lambda: work.rows("id") == [], "the job to be settled")
    os.kill(work.performer(), signal.SIGSTOP)
    work.store("note", "second")
    wait_until(lambda: work.rows("state") == [(2,)], "the job to be handed out")

    os.kill(work.performer(), signal.SIGKILL)

    work.until_noted("first", "second")
    assert "went wrong" not in work.log
    assert work.log.count("note started (attempt 1 of 24)") == 2


# Apps that break


def test_an_app_that_fails_to_load_is_said_once_and_works_once_repaired(project, work):
    project.write("app.py", APP + BROKEN)
    process = work.start("work", "--app", "app:jobs")
    wait_until(lambda: project.read("imports.txt").count("imported") >= 3, "three tries")
    work.store("note", "repaired", module=None)
    assert work.log.count("the app app:jobs does not load: RuntimeError: no luck") == 1
    assert work.log.count("tried again until it works") == 1

    work.deploy(APP)

    work.until_noted("repaired")
    process.send_signal(signal.SIGINT)
    assert exit_code(process) == 0


def test_a_runner_that_waits_for_its_app_to_be_repaired_can_be_stopped(project, work):
    project.write("app.py", BROKEN)
    process = work.start("work", "--app", "app:jobs")
    work.until_logged("tried again until it works")

    process.send_signal(signal.SIGINT)

    assert exit_code(process) == 0


def test_an_app_that_does_not_exist_ends_work_at_once(project, work):
    process = work.start("work", "--app", "nowhere")

    assert exit_code(process) == 78
    assert "\nlitejobs: --app nowhere: there is no module 'nowhere'" in f"\n{work.log}"
    assert "Traceback" not in work.log


def test_an_app_that_breaks_while_its_runner_works_is_said_once_and_spends_no_job(project, work):
    project.write("app.py", APP)
    work.start("work", "--app", "app")
    work.store("note", "before", module=None)
    work.until_noted("before")
    wait_until(lambda: work.rows("id") == [], "the job to be settled")
    imports = project.read("imports.txt").count("imported")

    work.deploy(APP + BROKEN)
    os.kill(work.performer(), signal.SIGKILL)
    work.until_logged("was killed by SIGKILL; another is started")
    work.store("note", "after", module=None)
    wait_until(
        lambda: project.read("imports.txt").count("imported") >= imports + 3, "three tries"
    )  # fmt: skip
    assert work.rows("state, attempts") == [(1, 0)]
    assert work.log.count("the app app does not load: RuntimeError: no luck") == 1

    work.deploy(APP)

    work.until_noted("before", "after")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("raise RuntimeError('no luck')", "the app app does not load: RuntimeError: no luck"),
        ("import os; os._exit(3)", "ended with exit code 3 while it loaded"),
    ],
)
def test_workoff_gives_up_on_an_app_that_breaks_in_its_performers(project, work, line, says):
    project.write("app.py", f"{APP}if imports > 1:\n    {line}\n")
    work.store("note", "never", module=None)

    result = project.litejobs("workoff", "--app", "app", code=78)

    assert says in result.err.splitlines()[-1]
    assert work.rows("state, attempts") == [(1, 0)]


@linux
def test_a_performer_that_is_stopped_ends_with_its_runner(work, holding):
    process = holding()
    os.kill(work.performer(), signal.SIGSTOP)

    process.send_signal(signal.SIGQUIT)

    assert exit_code(process) == 128 + signal.SIGQUIT
    assert has_ended(work.performer())


@pytest.mark.parametrize("change", ["deleted", "replaced"])
def test_a_database_that_is_taken_away_ends_work_loudly(work, change):
    work.store("note", "first")
    process = work.start("work", "db.sqlite")
    work.until_noted("first")
    file = Path(work.file)
    if change == "deleted":
        file.unlink()
    else:
        file.with_name("other.sqlite").touch()
        file.with_name("other.sqlite").rename(file)

    assert exit_code(process) == 65
    assert "while it was in use" in work.log
    assert "Traceback" not in work.log


def test_a_signal_is_heeded_while_the_lock_is_waited_for(work):
    work.store("note", "first")
    process = work.start("work", "db.sqlite")
    work.until_noted("first")
    wait_until(lambda: not work.rows("id"), "the end of its row")
    with closing(sqlite3.connect(work.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        process.terminate()

        assert exit_code(process) == 0
        other.execute("ROLLBACK")


# Code that changes while the runner works


def test_a_job_that_does_not_load_is_run_once_its_code_is_repaired(project, work):
    project.write("late.py", "def other(): ...\n")
    process = work.start("work", "db.sqlite")
    work.store("note", "first")
    work.until_noted("first")
    adapter = SqliteAdapter(work.file)
    handler = write("note", "late.py", "late", '["repaired"]', "{}")
    adapter.schedule([NewJob(handler, "default", 50, 1)])
    adapter.close()
    work.until_logged("job 2 cannot be loaded and waits")
    wait_until(lambda: work.rows("state, attempts") == [(3, 0)], "its record")

    project.write("late.py", "from script import note as _note\ndef note(word): _note(word)\n")

    wait_until(lambda: "repaired" in work.words, "the job")
    assert "the code has changed: jobs that did not load are tried again" in work.log
    assert process.poll() is None
    process.terminate()
    assert exit_code(process) == 0
    assert "another is started" not in work.log


def test_an_app_whose_groups_change_under_its_runner_is_said_once(project, work):
    app = """
    import os, signal
    from litejobs import JobManager, SqliteAdapter, WorkerGroup
    from script import note

    jobs = JobManager({"sqlite": SqliteAdapter("db.sqlite")}, workers=[WorkerGroup(count=COUNT)])
    jobs.create_job(perform=note)

    @jobs.job(max_attempts=1, delete_failed_jobs=True)
    def die():
        os.kill(os.getpid(), signal.SIGKILL)
    """
    work.deploy(app.replace("COUNT", "1"))
    process = work.start("work", "--app", "app:jobs")
    work.store("note", "first", module=None)
    work.until_noted("first")

    work.deploy(app.replace("COUNT", "3"))
    for number in (1, 2):
        project.run("-c", "from app import *; jobs.create_scheduler()(die)")
        work.store("note", f"after {number}", module=None)
        wait_until(lambda n=number: f"after {n}" in project.read("done.txt"), "the job after it")

    assert work.log.count("worker groups or storage of the app have changed: restart") == 1
    assert process.poll() is None
