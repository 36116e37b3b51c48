"""max_runtime from outside: whatever a job does, it ends, is recorded, and the next one begins."""

import pytest
from helpers import Jobs, living

SCRIPT = """
import asyncio, ctypes, os, re, signal, subprocess, sys, time
from datetime import UTC, datetime
from pathlib import Path

from litejobs import JobTimeout, current_job, jobs

here = Path(__file__).parent
state = []

def note(*words):
    with (here / "done.txt").open("a") as file:
        print(*words, os.getpid(), file=file, flush=True)

def limited(function):
    return jobs.job(max_runtime=0.2)(function)

def once(function):
    return jobs.job(max_runtime=0.2, max_attempts=1)(function)

@jobs.job
def clean():
    note("clean", len(state))

@limited
def sleeps():
    state.append("half")
    try:
        time.sleep(3600)
    finally:
        note("finally")

@limited
def catches():
    try:
        time.sleep(3600)
    except JobTimeout:
        note("caught")

@limited
async def awaits():
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(0.01)
        note("finally")

@once
def in_c():
    sum(range(10**15))

@limited
def in_a_regex():
    re.match("(a+)+$", 80 * "a" + "b")

@once
def ignores():
    while True:
        try:
            time.sleep(3600)
        except BaseException:
            pass

@once
def cleans_up_for_ever():
    try:
        time.sleep(3600)
    finally:
        time.sleep(3600)

@once
async def ignores_cancellation():
    while True:
        try:
            await asyncio.sleep(3600)
        except BaseException:
            pass

@once
def blocks():
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    time.sleep(3600)

@once
def has_its_own_alarm():
    signal.signal(signal.SIGALRM, lambda *_: signal.alarm(1))
    signal.alarm(1)
    time.sleep(3600)

@once
def has_children():
    (here / "session").write_text(str(os.getpid()))
    subprocess.Popen(["sleep", "3600"])
    time.sleep(3600)

@once
def leaves_a_thread():
    import threading
    threading.Thread(target=time.sleep, args=[3600]).start()
    time.sleep(3600)

@jobs.job(max_attempts=1, max_runtime=0.2, delete_failed_jobs=True)
def last():
    time.sleep(3600)

@jobs.job(max_runtime=3600)
def looks():
    left = (current_job().deadline - datetime.now(UTC)).total_seconds()
    note("left", round(left))
"""
HEADLINE = "JobTimeout: ran longer than its max_runtime of 0.2 s"


@pytest.fixture
def jobs(project):
    project.write("script.py", SCRIPT)
    return Jobs(project)


def done(project):
    """What was noted, without the pids."""
    return [line.rpartition(" ")[0] for line in project.read("done.txt").splitlines()]


@pytest.mark.parametrize(
    ("function", "noted"),
    [("sleeps", ["finally"]), ("awaits", ["finally"]), ("catches", ["caught"]), ("in_a_regex", [])],
)
def test_a_job_past_its_limit_unwinds_and_is_an_error_that_names_it(project, jobs, function, noted):
    jobs.store(function)

    result = jobs.workoff()

    [(state, attempts, crashes, error)] = jobs.rows("state, attempts, crashes, last_error")
    assert (state, attempts, crashes) == (0, 1, 0)
    assert error.partition("\n")[0] == HEADLINE
    assert done(project) == noted
    assert f"{function} went wrong in attempt 1 of 24" in result.err
    assert "another is started" not in result.err


def test_after_a_time_out_another_performer_runs_the_next_job(project, jobs):
    jobs.store("clean")
    jobs.store("sleeps")
    jobs.store("clean")

    jobs.workoff()

    assert done(project) == ["clean 0", "finally", "clean 0"]
    first, _, second = [line.split()[-1] for line in project.read("done.txt").splitlines()]
    assert first != second


STUBBORN = [
    "in_c",
    "ignores",
    "cleans_up_for_ever",
    "ignores_cancellation",
    "blocks",
    "has_its_own_alarm",
]


def test_jobs_that_cannot_be_told_or_do_not_heed_it_are_killed(project, jobs):
    for function in STUBBORN:
        jobs.store(function)
    jobs.store("clean")

    jobs.workoff("--count", len(STUBBORN), code=1)

    rows = jobs.rows("json_extract(handler, '$.name'), state, attempts, crashes, last_error")
    killed = f"{HEADLINE}, did not end within 2 s more and was killed"
    assert rows == [(function, 5, 1, 0, killed) for function in STUBBORN]
    assert done(project) == ["clean 0"]


@pytest.mark.parametrize("function", ["has_children", "leaves_a_thread"])
def test_what_a_job_started_ends_with_it(project, jobs, function):
    (project.directory / "session").write_text("0")
    jobs.store(function)
    jobs.store("clean")

    jobs.workoff(code=1)

    [(error,)] = jobs.rows("last_error")
    assert error.startswith(HEADLINE)
    assert done(project) == ["clean 0"]
    assert living(int(project.read("session")) or -1) == []


def test_a_time_out_in_the_last_attempt_is_a_failure_by_the_jobs_own_limits(jobs):
    jobs.store("last")

    result = jobs.workoff(code=1)

    assert jobs.rows() == []
    assert f"last failed for good in attempt 1: {HEADLINE}" in result.err


def test_a_job_is_told_when_its_time_will_be_over(project, jobs):
    jobs.store("looks")

    jobs.workoff()

    assert done(project) == ["left 3600"]


APP = """
import atexit, os, signal, time
from pathlib import Path

from litejobs import JobManager, SqliteAdapter, WorkerGroup

here = Path(__file__).parent
jobs = JobManager(
    {"sqlite": SqliteAdapter(here / "db.sqlite")},
    workers=[WorkerGroup(max_runtime=0.1, max_attempts=1)],
)

@atexit.register
def note():  # after all that was registered later
    (here / "timer.txt").write_text(str(signal.getitimer(signal.ITIMER_REAL)))

@jobs.job
def nothing(): ...

@jobs.job
def sleeps():
    time.sleep(3600)

@jobs.job
def loops():
    sum(range(10**15))

@jobs.job(max_runtime=3600)
def takes_longer():
    time.sleep(0.3)  # of the group's limit and grace only the first part: see test_performers.py
    (here / "done.txt").write_text("done")
"""


def test_the_limit_of_a_group_holds_unless_a_job_has_its_own(project, jobs):
    project.write("app.py", APP)
    for function in ("sleeps", "loops", "takes_longer"):
        jobs.store(function, path="app.py", module=None)

    project.litejobs("workoff", "--app", "app", code=1)

    sleeps, loops = jobs.rows("json_extract(handler, '$.name'), last_error")
    headline = "JobTimeout: ran longer than its max_runtime of 0.1 s"
    assert sleeps[0] == "sleeps"
    assert sleeps[1].startswith(f"{headline}\n")
    assert loops == ("loops", f"{headline}, did not end within 2 s more and was killed")
    assert project.read("done.txt") == "done"


def test_no_timer_runs_when_a_performer_ends(project, jobs):
    project.write("app.py", APP)
    jobs.store("nothing", path="app.py", module=None)

    project.litejobs("workoff", "--app", "app")

    assert project.read("timer.txt") == "(0.0, 0.0)"
