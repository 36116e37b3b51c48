"""Groups on an adapter of the app's own: their workers run in child processes of the runner."""

import os
import re
import selectors
import shutil
import signal
from pathlib import Path

import pytest
from helpers import DEADLINE, wait_until

from litejobs.performers.workers import WorkerProcesses
from litejobs.stop import Stop

EXAMPLE = Path(__file__).parent.parent / "examples" / "memory_adapter"
APP = """
import os, signal, sys, time
from pathlib import Path

from litejobs import JobManager, SqliteAdapter, WorkerGroup, current_job
from memory_adapter import MemoryAdapter

here = Path(__file__).parent
options = {{"count": {count}}} | {options}
jobs = JobManager(
    {{"sqlite": SqliteAdapter("db.sqlite"), "memory": MemoryAdapter(f"test-{{here.name}}")}},
    workers=[WorkerGroup(adapter="sqlite"), WorkerGroup(adapter="memory", **options)],
)
later, soon = jobs.create_scheduler("sqlite"), jobs.create_scheduler("memory")

def note(*words):
    with (here / "done.txt").open("a") as file:
        print(*words, file=file, flush=True)

@jobs.job
def greet(name):
    note("hello,", name)

@jobs.job(max_attempts=1)
def hopeless():
    raise ValueError("no luck")

@jobs.job
def pass_on(where, number):
    note(where, number)
    if number:
        {{"sqlite": later, "memory": soon}}[where](pass_on, [
            "sqlite" if where == "memory" else "memory", number - 1])

@jobs.job
def hang(flag):
    note("begun", current_job().attempts)
    while not (here / flag).exists():
        time.sleep(0.01)
    note("ended")

@jobs.job(max_runtime=0.2)
def sleeps():
    try:
        time.sleep(3600)
    finally:
        note("finally", os.getpid())

@jobs.job(max_runtime=0.2)
def loops():
    note("loops", os.getpid())
    sum(range(10**15))

@jobs.job
def say_pid():
    note("pid", os.getpid())

@jobs.job
def die():
    note("dying")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def app(project, tmp_path):
    """Writes the app; options of the group in memory as Python text."""
    shutil.copy(EXAMPLE / "memory_adapter.py", project.directory)
    # The adapter's memory goes by the name of the project: one for each test.
    own = project.directory.rename(project.directory.with_name(f"p{os.urandom(6).hex()}"))
    project.directory = own
    memory = Path("/dev/shm" if Path("/dev/shm").is_dir() else "/tmp") / f"litejobs-{os.getuid()}"

    def write(options="{}", count=2):
        project.write("app.py", APP.format(options=options, count=count))

    yield write
    for file in memory.glob(f"test-{own.name}*"):
        shutil.rmtree(file) if file.is_dir() else file.unlink()


def schedule(project, calls):
    project.run("-c", f"from app import *; {calls}")


def test_a_workoff_runs_what_lies_in_every_adapter(project, app):
    app()
    schedule(project, "later(greet, ['sqlite']); soon.many(greet, [[str(n)] for n in range(20)])")

    result = project.litejobs("workoff", "--app", "app")

    assert "21 runs" in result.out
    assert "21 succeeded" in result.out
    assert len(set(project.read("done.txt").splitlines())) == 21
    assert re.search(
        r"working on shared memory .*litejobs-worker\S+0, litejobs-worker\S+1", result.err
    )


def test_a_workoff_goes_on_while_jobs_of_one_adapter_make_jobs_of_the_other(project, app):
    app()
    schedule(project, "soon(pass_on, ['memory', 9])")

    project.litejobs("workoff", "--app", "app")

    assert project.read("done.txt").splitlines() == [
        f"{'sqlite' if n % 2 == 0 else 'memory'} {n}" for n in range(9, -1, -1)
    ]


def test_a_workoff_with_a_failure_exits_with_1(project, app):
    app()
    schedule(project, "soon(hopeless)")

    result = project.litejobs("workoff", "--app", "app", code=1)

    assert "1 failed for good" in result.out
    assert "failed for good in attempt 1: ValueError: no luck" in result.err


def test_work_wakes_its_worker_processes_and_lets_them_finish(project, app):
    app("dict(sleep_delay=3600)")
    worker = project.start_litejobs("work", "--app", "app")
    try:
        schedule(project, "soon(greet, ['first'])")
        wait_until(lambda: "first" in project.read("done.txt"), "the first job")
        schedule(project, "soon(greet, ['woken'])")
        wait_until(lambda: "woken" in project.read("done.txt"), "the job after it")
        schedule(project, "soon(hang, ['go'])")
        wait_until(lambda: "begun 1" in project.read("done.txt"), "the job that hangs")

        worker.send_signal(signal.SIGINT)
        project.write("go", "")
        _, err = worker.communicate(timeout=DEADLINE)
    finally:
        worker.kill()

    assert project.read("done.txt").splitlines()[-1] == "ended"
    assert worker.returncode == 0
    assert "another is started" not in err
    assert "Traceback" not in err


def test_a_second_signal_stops_worker_processes_at_once(project, app):
    app()
    schedule(project, "soon(hang, ['never'])")
    worker = project.start_litejobs("work", "--app", "app")
    try:
        wait_until(lambda: "begun" in project.read("done.txt"), "the job that hangs")
        worker.send_signal(signal.SIGINT)
        worker.send_signal(signal.SIGTERM)
        _, err = worker.communicate(timeout=DEADLINE)
    finally:
        worker.kill()

    assert worker.returncode in {128 + signal.SIGINT, 128 + signal.SIGTERM}
    assert "Traceback" not in err
    assert "ended" not in project.read("done.txt")


def test_a_worker_process_that_dies_is_replaced_and_its_job_comes_back_by_the_storages_rule(
    project, app
):
    app("dict(max_runtime=1, sleep_delay=0.2)")
    schedule(project, "soon(die)")
    worker = project.start_litejobs("work", "--app", "app")
    try:
        wait_until(lambda: project.read("done.txt").count("dying") == 2, "the second attempt")
        schedule(project, "soon(greet, ['others'])")
        wait_until(lambda: "others" in project.read("done.txt"), "the others")
    finally:
        worker.terminate()
        _, err = worker.communicate(timeout=DEADLINE)

    assert "was killed by SIGKILL; another is started" in err


def said(project, word):
    """The numbers that were noted with a word."""
    return [int(n) for n in re.findall(rf"^{word} (\d+)$", project.read("done.txt"), re.MULTILINE)]


def test_a_job_past_its_limit_is_an_error_and_its_process_is_replaced(project, app):
    app("dict(max_attempts=1)", count=1)
    schedule(project, "soon(sleeps); soon(say_pid)")

    result = project.litejobs("workoff", "--app", "app", code=1)

    assert "JobTimeout: ran longer than its max_runtime of 0.2 s" in result.err
    assert "another is started" not in result.err
    assert said(project, "finally") != said(project, "pid")
    assert len(said(project, "pid")) == 1


def test_a_worker_process_that_does_not_heed_a_limit_is_killed(project, app):
    app("dict(max_runtime=3600, sleep_delay=0.2)", count=1)
    schedule(project, "soon(loops)")
    worker = project.start_litejobs("work", "--app", "app")
    try:
        wait_until(lambda: said(project, "loops"), "the job to begin")
        schedule(project, "soon(say_pid)")
        wait_until(lambda: said(project, "pid"), "the next job")
    finally:
        worker.terminate()
        _, err = worker.communicate(timeout=DEADLINE)

    [first] = said(project, "loops")
    assert re.search(rf"did not heed its max_runtime: \S+ \(pid {first}\) is killed", err)


def test_worker_processes_are_replaced_after_max_jobs(project, app):
    app("dict(max_jobs=2)", count=1)
    schedule(project, "[soon(say_pid) for _ in range(5)]")

    project.litejobs("workoff", "--app", "app")

    pids = said(project, "pid")
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [2, 2, 1]


def test_a_workoff_whose_app_breaks_meanwhile_says_why_and_ends(project, app):
    app()
    broken = project.read("memory_adapter.py") + "\n\nMemoryAdapter.reload = lambda self: 1 / 0\n"
    project.write("memory_adapter.py", broken)

    result = project.litejobs("workoff", "--app", "app", code=78)

    assert "ZeroDivisionError: division by zero" in result.sentence


def test_storage_that_is_in_trouble_is_waited_out_and_the_job_runs(project, app):
    app()
    schedule(project, "soon(greet, ['patient'])")
    troubled = """

_find = MemoryAdapter.find
troubles = [OSError("no memory today"), OSError("nor now")]

def find(self, **options):
    if troubles:
        raise troubles.pop()
    return _find(self, **options)

MemoryAdapter.find = find
"""
    project.write("memory_adapter.py", project.read("memory_adapter.py") + troubled)
    worker = project.start_litejobs("work", "--app", "app")
    try:
        wait_until(lambda: "patient" in project.read("done.txt"), "the job")
    finally:
        worker.terminate()
        _, err = worker.communicate(timeout=DEADLINE)

    assert "no memory today" in err
    assert "Traceback" not in err


def test_one_worker_of_a_group_in_memory_is_started_alone(project, app):
    app()
    schedule(project, "later(greet, ['sqlite']); soon(greet, ['memory'])")

    project.litejobs("worker", "--app", "app", "--index", 1, "--id", 1, "--workoff")

    assert project.read("done.txt") == "hello, memory\n"


# clear


def test_clear_empties_every_adapter_of_the_app(project, app):
    app()
    schedule(project, "later(greet, ['a']); soon(greet, ['b']); soon(greet, ['c'])")

    result = project.litejobs("clear", "--app", "app", "--yes")

    assert "3 jobs deleted" in result.out
    assert "0 runs" in project.litejobs("workoff", "--app", "app").out


def test_worker_clear_empties_the_storage_of_its_group_alone(project, app):
    app()
    schedule(project, "later(greet, ['a']); soon(greet, ['b'])")

    result = project.litejobs("worker", "--app", "app", "--index", 1, "--id", 0, "--clear")

    assert "1 job deleted" in result.out
    project.litejobs("workoff", "--app", "app")
    assert project.read("done.txt") == "hello, a\n"


def test_clear_deletes_nothing_anywhere_while_a_job_is_running(project, app):
    app()
    schedule(project, "later(hang, ['go']); soon(greet, ['b'])")
    words = ("worker", "--app", "app", "--index", 0, "--id", 0)
    worker = project.start_litejobs(*words)
    try:
        wait_until(lambda: "begun" in project.read("done.txt"), "the job that hangs")

        result = project.litejobs("clear", "--app", "app", "--yes", code=1)
    finally:
        project.write("go", "")
        worker.terminate()
        worker.communicate(timeout=DEADLINE)

    assert "nothing was deleted, for jobs are running: 1" in result.sentence
    project.litejobs("workoff", "--app", "app")
    assert "hello, b" in project.read("done.txt")


def test_what_the_adapter_says_when_it_cannot_be_cleared_is_the_answer(project, app):
    app()
    refusing = """
from litejobs import StorageError

def clear(self):
    raise StorageError("memory is sealed")

MemoryAdapter.clear = clear
"""
    project.write("memory_adapter.py", project.read("memory_adapter.py") + refusing)

    result = project.litejobs("clear", "--app", "app", "--yes", code=74)

    assert "memory is sealed" in result.sentence


@pytest.mark.parametrize("words", [("list",), ("status",), ("show", 1), ("retry", "--all")])
def test_jobs_that_cannot_be_looked_at_from_outside_are_refused_in_one_sentence(
    project, app, words
):
    app()
    text = project.read("app.py").replace('WorkerGroup(adapter="sqlite"), ', "")
    project.write("app.py", text)

    result = project.litejobs(*words, "--app", "app", code=78)

    assert "are in shared memory" in result.sentence
    assert "only look into SQLite" in result.sentence


class Somewhere:
    """A place with a process that is busy for so many seconds, or without one."""

    def __init__(self, busy=None):
        self.process, self._busy = (None, 0.0) if busy is None else (object(), busy)

    def patience(self):
        return self._busy


def test_workers_that_are_to_stop_wait_for_those_that_are_there():
    stop = Stop()
    workers = WorkerProcesses(
        [Somewhere(), Somewhere(busy=3.0)],
        selectors.DefaultSelector(),
        stop=stop,
        workoff=False,
        give_up=False,
        on_settled=lambda _: None,
        settled=lambda: 0,
    )
    assert workers.patience() == 0.0  # the next one is to be started

    stop.request()

    assert workers.patience() == 3.0
    stop.close()
