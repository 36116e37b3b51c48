"""``litejobs workoff``: whatever jobs do, all that is due is done or recorded with its cause."""

import json
import os
import pty
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress

import pytest
from helpers import DEADLINE, Jobs, living

SCRIPT = """
import asyncio, ctypes, os, signal, socket, subprocess, sys, threading, time
from pathlib import Path

from litejobs import jobs, later
from litejobs.job import Outcome
from litejobs.performers.wire import Channel, Done

here = Path(__file__).parent

def note(word):
    with (here / "done.txt").open("a") as file:
        print(word, file=file, flush=True)

def say(word):
    print(word)

def raises():
    raise ValueError("no luck")

@jobs.job(max_attempts=1)
def hopeless():
    raise ValueError("never any luck")

def meet(number):
    # Ends only where so many performers run at once.
    (here / f"here-{os.getpid()}").touch()
    end = time.monotonic() + 50
    while len(list(here.glob("here-*"))) < number:
        assert time.monotonic() < end
        time.sleep(0.01)

def breed(number):
    note(number)
    if number:
        later(breed, [number - 1])

def segfault():
    ctypes.string_at(0)

def leave_at_once():
    os._exit(3)

def abort():
    os.abort()

def system_exit():
    raise SystemExit(3)

def interrupted():
    raise KeyboardInterrupt

def killed():
    os.kill(os.getpid(), signal.SIGKILL)

def killed_in_real_time():
    os.kill(os.getpid(), signal.SIGRTMIN + 1)

def close_everything():
    os.closerange(0, 4096)

def hang_up():
    os.closerange(3, 4096)
    time.sleep(3600)

def die_with_children():
    subprocess.Popen(["sleep", "3600"], close_fds=False)
    os._exit(3)

def die_beside_a_fork():
    if os.fork() == 0:
        time.sleep(3600)
    os._exit(3)

def die_beside_a_fork_in_c():
    if ctypes.CDLL(None).fork() == 0:
        time.sleep(3600)
    os._exit(3)

def descriptor():
    return int(sys.argv[-2].split(",")[0])  # the performer's socket

def garble():
    os.write(descriptor(), bytes.fromhex("00000001ff"))
    time.sleep(3600)

def lie():
    channel = Channel(socket.socket(fileno=os.dup(descriptor())))
    channel.send(Done(1_000_000, Outcome("success")))
    raise ValueError("after a lie")

class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError

def unprintable():
    raise Unprintable

def flood():
    for _ in range(300):
        print("x" * 10_000)
        print("y" * 10_000, file=sys.stderr)

def exit_in_thread():
    thread = threading.Thread(target=sys.exit, args=[3])
    thread.start()
    thread.join()

async def wait_a_moment():
    await asyncio.sleep(0.001)
    note("awaited")

def terminate_itself():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(os.getpid(), number)

def fork():
    if os.fork() == 0:
        time.sleep(3600)
        os._exit(0)

def spawn():
    subprocess.Popen(["sleep", "3600"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

def fork_and_return():
    os.fork()

def as_told(function):
    (here / "session").write_text(str(os.getpid()))
    return globals()[function]()
"""
APP = """
import os
from pathlib import Path

from litejobs import JobManager, SqliteAdapter, WorkerGroup

here = Path(__file__).parent
jobs = JobManager(
    adapters={
        "sqlite": SqliteAdapter(here / "db.sqlite"),
        "other": SqliteAdapter(here / "b.sqlite"),
    },
    queues=["default", "email"],
    workers=[
        WorkerGroup(queue="default", max_attempts=2, delete_successful_jobs=False),
        WorkerGroup(queue="email"),
        WorkerGroup(adapter="other", delete_failed_jobs=True, max_attempts=1),
    ],
)
later = jobs.create_scheduler()
later_elsewhere = jobs.create_scheduler("other")

@jobs.job(queue="email")
def note(word):
    with (here / "done.txt").open("a") as file:
        print(word, os.getpid(), file=file)

@jobs.job
def ok(): ...

@jobs.job
def raises():
    raise ValueError("no luck")

@jobs.job(max_attempts=1)
def die():
    os._exit(3)

@jobs.job
def die_and_wait():
    os._exit(3)
"""


@pytest.fixture
def jobs(project):
    project.write("script.py", SCRIPT)
    return Jobs(project)


# What is due


def test_all_that_is_due_is_done(project, jobs):
    for word in ("one", "two", "three"):
        jobs.store("note", word)

    result = jobs.workoff()

    assert project.read("done.txt").split() == ["one", "two", "three"]
    assert jobs.rows() == []
    assert result.out.startswith("3 runs in ")
    assert ": 3 succeeded, 0 to be retried, 0 failed for good, 0 could not" in result.out


def test_count_performers_work_at_once(project, jobs):
    for _ in range(3):
        jobs.store("meet", 3)

    jobs.workoff("--count", 3)

    assert jobs.rows() == []
    assert len(list(project.directory.glob("here-*"))) == 3


def test_only_the_queues_asked_for_are_worked(project, jobs):
    jobs.store("note", "a", queue="a")
    jobs.store("note", "b", queue="b")
    left = jobs.store("note", "c", queue="c")

    jobs.workoff("-q", "a", "-q", "b")

    assert project.read("done.txt").split() == ["a", "b"]
    assert jobs.rows() == [(left, 1)]


def test_a_scheduled_job_is_left(project, jobs):
    id_ = jobs.store("note", "early", wait=3600)

    jobs.workoff()

    assert jobs.rows() == [(id_, 0)]
    assert project.read("done.txt") == ""


def test_jobs_that_jobs_schedule_are_done_too(project, jobs):
    jobs.store("breed", 3, module="script")

    jobs.workoff()

    assert project.read("done.txt").split() == ["3", "2", "1", "0"]
    assert jobs.rows() == []


def test_a_job_to_be_retried_is_not_waited_for(jobs):
    id_ = jobs.store("raises")

    result = jobs.workoff()

    assert ": 0 succeeded, 1 to be retried" in result.out
    assert jobs.rows("id, state, attempts") == [(id_, 0, 1)]


def test_a_failure_for_good_is_exit_code_1(jobs):
    id_ = jobs.store("hopeless")

    result = jobs.workoff(code=1)

    assert "1 failed for good" in result.out
    [(failed, state, error)] = jobs.rows("id, state, last_error")
    assert (failed, state) == (id_, 5)
    assert error.startswith("ValueError: never any luck\n\nTraceback")


def test_as_json_stdout_is_one_document_whatever_jobs_print(jobs):
    for name, *args in (("say", "hello"), ("raises",), ("hopeless",), ("gone",)):
        jobs.store(name, *args)

    result = jobs.workoff("--json", code=1)

    document = json.loads(result.out)
    assert document.pop("seconds") > 0
    outcomes = {"success": 1, "error": 1, "failure": 1, "cancelled": 0, "snoozed": 0}
    outcomes["unloadable"] = 1
    assert document == {"runs": 4, "outcomes": outcomes}
    assert "hello\n" in result.err


def test_as_json_a_refusal_leaves_stdout_empty(project):
    result = project.litejobs("workoff", "--json", "--app", "no:jobs", code=78)

    assert "there is no module 'no'" in result.sentence
    assert result.out == ""


def test_a_job_that_does_not_load_is_exit_code_1(jobs):
    jobs.store("gone")

    result = jobs.workoff(code=1)

    assert "1 could not be loaded" in result.out


# Nasty endings


@pytest.mark.parametrize(
    ("function", "cause"),
    [
        ("segfault", "was killed by SIGSEGV while it ran this job"),
        ("leave_at_once", "ended with exit code 3 while it ran this job"),
        ("abort", "was killed by SIGABRT while it ran this job"),
        ("killed", "was killed by SIGKILL while it ran this job"),
        ("killed_in_real_time", "was killed by signal "),
        ("close_everything", "ended with exit code 0 while it ran this job"),
        ("hang_up", "closed its connection to the runner and was killed"),
        ("die_with_children", "ended with exit code 3 while it ran this job"),
        ("die_beside_a_fork", "ended with exit code 3 while it ran this job"),
        ("die_beside_a_fork_in_c", "ended with exit code 3 while it ran this job"),
        ("garble", "wrote something of its own to the runner while it ran this job"),
        ("lie", "ValueError: after a lie"),
        ("system_exit", "SystemExit: 3"),
        ("interrupted", "KeyboardInterrupt"),
        ("unprintable", "Unprintable: <its __str__ raised RuntimeError>"),
    ],
)
def test_a_job_that_ends_badly_is_recorded_and_the_others_are_done(project, jobs, function, cause):
    id_ = jobs.store("as_told", function)
    jobs.store("note", "done")

    jobs.workoff()

    [(failed, state, attempts, error)] = jobs.rows("id, state, attempts, last_error")
    assert (failed, state, attempts) == (id_, 0, 1)
    assert cause in error.partition("\n")[0]
    assert project.read("done.txt") == "done\n"
    assert living(int(project.read("session"))) == []


@pytest.mark.parametrize(
    "function",
    ["flood", "exit_in_thread", "terminate_itself", "fork", "spawn", "fork_and_return"],
)
def test_a_job_that_is_only_strange_succeeds_and_leaves_no_process(project, jobs, function):
    jobs.store("as_told", function)
    jobs.store("note", "done")

    jobs.workoff()

    assert jobs.rows() == []
    assert project.read("done.txt") == "done\n"
    assert living(int(project.read("session"))) == []


def test_an_async_job_is_awaited(project, jobs):
    jobs.store("wait_a_moment")
    jobs.store("wait_a_moment")

    jobs.workoff()

    assert project.read("done.txt").split() == ["awaited", "awaited"]


def test_a_death_is_blamed_on_the_job_that_ran_and_not_on_its_neighbour(jobs):
    jobs.store("meet", 2)
    bad = jobs.store("leave_at_once")
    jobs.store("meet", 2)

    jobs.workoff("--count", 2)

    assert jobs.rows() == [(bad, 0)]


def test_a_runner_started_with_sigchld_ignored_survives_a_death(project, jobs):
    bad = jobs.store("leave_at_once")
    jobs.store("note", "done")

    project.run(
        "-c",
        "import os, signal, sys\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "words = [sys.executable, '-m', 'litejobs', 'workoff', 'db.sqlite']\n"
        "os.execv(sys.executable, words)",
    )

    [(failed, state, error)] = jobs.rows("id, state, last_error")
    assert (failed, state) == (bad, 0)
    assert "ended with exit code 3 while it ran this job" in error
    assert project.read("done.txt") == "done\n"


# Code that changed since the job was stored

REPAIRED = """
from pathlib import Path

def note(word):
    with (Path(__file__).parent / "done.txt").open("a") as file:
        print(word, file=file)
"""
CHANGED = {  # file: what it holds now, why note("<file>") does not load
    "renamed": ("def other(): ...", "renamed.py has no function or job named 'note'"),
    "deleted": (None, "there is no file 'deleted.py'"),
    "moved": ("from renamed import other as note", "moved.py has no function or job named 'note'"),
    "number": ("note = 1", "number.py has no function or job named 'note'"),
    "syntax": ("def note(:", "loading syntax.py raised SyntaxError: "),
    "importing": ("import not_there", "loading importing.py raised ModuleNotFoundError: "),
    "leaving": ("raise SystemExit(3)", "loading leaving.py raised SystemExit: 3"),
    "fewer": ("def note(): ...", "the stored arguments do not fit note()"),
    "named": ("def note(*, word): ...", "the stored arguments do not fit note(*, word)"),
    "typed": ("def note(word: int): ...", "the stored argument 'word' of note does not fit"),
    "unguarded": (
        "from litejobs import later\ndef note(word): ...\nlater(note, ['again'])",
        "loading unguarded.py raised SchedulingError: later(note) was called while a worker loaded",
    ),
}


def test_jobs_that_no_longer_load_wait_unspent_until_their_code_is_repaired(project, jobs):
    for name, (text, _) in CHANGED.items():
        jobs.store("note", name, path=f"{name}.py")
        if text is not None:
            project.write(f"{name}.py", text)

    jobs.workoff(code=1)

    reasons = jobs.rows("last_error")
    for (reason,), (_, start) in zip(reasons, CHANGED.values(), strict=True):
        assert reason.startswith(start)
    assert set(jobs.rows("state, attempts, locked_by")) == {(3, 0, None)}

    for name in CHANGED:
        project.write(f"{name}.py", REPAIRED)
    jobs.workoff()

    assert jobs.rows() == []
    assert project.read("done.txt").split() == list(CHANGED)


def test_a_row_with_a_handler_of_nonsense_waits_and_the_others_are_done(project, jobs):
    jobs.store("note", "done")
    with closing(sqlite3.connect(jobs.file)) as connection, connection:
        connection.execute("INSERT INTO background_jobs (run_at, handler) VALUES (1, '[]')")

    jobs.workoff(code=1)

    assert jobs.rows("state, last_error") == [(3, "its handler is not a JSON object")]
    assert project.read("done.txt") == "done\n"


# With an app


@pytest.fixture
def app(project):
    project.write("app.py", APP)
    return Jobs(project)


def run_python(project, code):
    project.run("-c", f"import sys; sys.path.insert(0, '.'); from app import *\n{code}")


def test_the_groups_of_an_app_work_on_their_queues_under_their_limits(project, app):
    run_python(project, "later(note, ['hi']); kept = later(ok); later(raises)")

    result = project.litejobs("workoff", "--app", "app:jobs")

    states = app.rows("id, state, attempts")
    assert project.read("done.txt").split()[0] == "hi"
    assert states == [(2, 4, 1), (3, 0, 1)]
    assert "litejobs-worker.default.0, litejobs-worker.email.0" in result.err


def test_a_group_that_deletes_failures_does_so_in_its_own_storage(project, app):
    run_python(project, "later_elsewhere(raises)")

    result = project.litejobs("workoff", "--app", "app:jobs", code=1)

    assert "1 failed for good" in result.out
    assert Jobs(project, "b.sqlite").rows() == []


def test_a_death_counts_against_the_jobs_own_limit(project, app):
    run_python(project, "later(die); later(die_and_wait)")

    result = project.litejobs("workoff", "--app", "app:jobs", code=1)

    [(_, dead, error), (_, waiting, _)] = app.rows("id, state, last_error")
    assert (dead, waiting) == (5, 0)
    assert error.startswith("PerformerDied: litejobs-worker.default.0 (pid ")
    assert "job 1 die failed for good" in result.err
    assert "die_and_wait went wrong in attempt 1 of 2" in result.err


def test_one_worker_of_one_group_works_alone(project, app):
    run_python(project, "later(note, ['hi']); later(ok)")

    result = project.litejobs(
        "worker", "--app", "app:jobs", "--index", 1, "--id", 7, "--workoff"
    )  # fmt: skip

    assert app.rows("id, state") == [(2, 1)]
    assert "as litejobs-worker.email.7\n" in result.err


def test_a_worker_says_by_its_exit_code_that_a_job_failed_for_good(project, app):
    run_python(project, "later(die)")

    project.litejobs("worker", "--app", "app:jobs", "--index=0", "--id=0", "--workoff", code=1)

    assert app.rows() == [(1, 5)]


@pytest.mark.parametrize("words", [["--app", "app:jobs"], ["db.sqlite"]])
def test_a_group_that_does_not_exist_is_bad_configuration(project, app, words):
    result = project.litejobs("worker", *words, "--index", 3, "--id", 0, "--workoff", code=78)

    assert "there is no worker group 3; there are " in result.sentence


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        pytest.param('workers=[WorkerGroup(queue="emial")]', "'emial' is not one of the declared",
                     id="undeclared queue"),
        pytest.param('workers=[{"count": 0}]', "count must be at least 1, got 0", id="count"),
        pytest.param('workers=[{"cuont": 1}]', "did you mean 'count'?", id="key"),
        pytest.param('workers=[WorkerGroup(adapter="redis")]', "there is no adapter 'redis'; the "
                     "adapters are sqlite", id="adapter"),
    ],
)  # fmt: skip
def test_an_app_with_bad_worker_groups_is_bad_configuration(project, lines, says):
    project.write(
        "app.py",
        f"""
        from litejobs import JobManager, SqliteAdapter, WorkerGroup
        jobs = JobManager({{"sqlite": SqliteAdapter("db.sqlite")}}, ["email"], {lines})
        """,
    )

    result = project.litejobs("workoff", "--app", "app", code=78)

    assert says in result.sentence


def test_a_job_of_an_app_waits_where_no_app_is_named_and_says_which(project, app):
    run_python(project, "later(ok)")

    project.litejobs("workoff", "db.sqlite", code=1)

    [(state, attempts, error)] = app.rows("state, attempts, last_error")
    assert (state, attempts) == (3, 0)
    assert "the worker needs --app app:jobs" in error
    project.litejobs("workoff", "--app", "app:jobs")
    assert app.rows("state") == [(4,)]


def test_a_job_that_the_app_no_longer_declares_waits(project, app):
    run_python(project, "later(ok)")
    project.write("app.py", APP.replace("def ok()", "def okay()"))

    project.litejobs("workoff", "--app", "app:jobs", code=1)

    assert app.rows("state, last_error") == [(3, "the app declares no job named 'ok'")]


def test_an_app_that_sets_up_logging_itself_keeps_its_ways(project, app):
    format_ = "import logging\nlogging.basicConfig(format='mine: %(message)s')\n"
    project.write("app.py", format_ + APP)
    run_python(project, "later(raises)")

    result = project.litejobs("workoff", "--app", "app:jobs")

    assert "\nmine: job 1 raises went wrong" in result.err


def test_a_job_that_schedules_on_another_adapter_leaves_nothing_undone(project):
    project.write(
        "app.py",
        """
        import time
        from pathlib import Path

        from litejobs import JobManager, SqliteAdapter, WorkerGroup

        here = Path(__file__).parent
        jobs = JobManager(
            {"a": SqliteAdapter(here / "a.sqlite"), "b": SqliteAdapter(here / "b.sqlite")},
            workers=[WorkerGroup(adapter="a"), WorkerGroup(adapter="b")],
        )
        later_a, later_b = jobs.create_scheduler("a"), jobs.create_scheduler("b")

        @jobs.job
        def first(number):
            time.sleep(0.1)  # in which the other worker looks, and finds nothing
            (later_b if number % 2 else later_a)(second if number == 0 else first, [number - 1])

        @jobs.job
        def second(number):
            (here / "done.txt").write_text("done")
        """,
    )
    run_python(project, "later_a(first, [3])")

    project.litejobs("workoff", "--app", "app:jobs")

    assert project.read("done.txt") == "done"
    assert Jobs(project, "a.sqlite").rows() == Jobs(project, "b.sqlite").rows() == []


def test_what_runs_is_finished_before_workoff_gives_up_on_a_broken_app(project):
    project.write(
        "app.py",
        """
        import os
        import time
        from pathlib import Path

        from litejobs import JobManager, SqliteAdapter, WorkerGroup

        here = Path(__file__).parent

        def is_first(name):
            try:
                (here / name).touch(exist_ok=False)
            except FileExistsError:
                return False
            return True

        def wait_for(condition):
            end = time.monotonic() + 50
            while not condition():
                assert time.monotonic() < end
                time.sleep(0.005)

        def is_gone(pid):
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return True
            return False

        if "WORKS" in os.environ:
            if not (is_first("the runner's") or is_first("the worker's")):
                wait_for((here / "begun").exists)
                (here / "broken").write_text(f"{os.getpid()} ")
                raise RuntimeError("no luck")

        jobs = JobManager(
            {"sqlite": SqliteAdapter(here / "db.sqlite")}, workers=[WorkerGroup(count=2)]
        )
        later = jobs.create_scheduler()

        @jobs.job
        def job():
            (here / "begun").touch()
            wait_for(lambda: (here / "broken").exists() and (here / "broken").read_text()[-1:])
            wait_for(lambda: is_gone(int((here / "broken").read_text())))
            with (here / "done.txt").open("a") as file:
                print("done", file=file)
        """,
    )
    run_python(project, "later(job); later(job)")

    result = project.litejobs("workoff", "--app", "app:jobs", code=78, env={"WORKS": "1"})

    assert "the app app:jobs does not load: RuntimeError: no luck" in result.err
    assert project.read("done.txt") == "done\n"
    assert Jobs(project).rows("id, state, attempts") == [(2, 1, 0)]


# The progress bar


def read_all(terminal):
    """What is written to the other end of a terminal until nobody has it open."""
    parts = []
    with suppress(OSError):  # Linux: EIO at the end
        while part := os.read(terminal, 65536):
            parts.append(part)
    return b"".join(parts).decode()


def test_a_terminal_gets_a_progress_bar_that_grows_with_the_work(project, jobs):
    jobs.store("breed", 3, module="script")
    jobs.store("note", "done")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "litejobs", "workoff", "db.sqlite"], cwd=project.directory,
        env=project.environment(TERM="xterm"), stdout=subprocess.PIPE, stderr=theirs, text=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        shown = read_all(ours)
        out, _ = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
        process.wait()
        os.close(ours)

    assert "5 runs" in out
    assert "jobs  [" in shown
    assert "0/2" in shown
    assert "5/5" in shown


def test_without_a_terminal_there_is_no_bar(jobs):
    jobs.store("note", "done")

    result = jobs.workoff()

    assert "[" not in result.err
    assert "\r" not in result.err
