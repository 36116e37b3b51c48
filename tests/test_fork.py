"""Programs that fork, in every way: storing is safe, workers are where they should be."""

import sqlite3
from contextlib import closing

import pytest
from helpers import wait_until

APP = """
import multiprocessing, os, sys, time
from pathlib import Path

from litejobs import JobManager, SqliteAdapter

here = Path(__file__).parent
jobs = JobManager({"sqlite": SqliteAdapter(here / "db.sqlite")}, workers=[{"sleep_delay": 0.1}])
later = jobs.create_scheduler()

@jobs.job
def tell(word):
    with (here / "done.txt").open("a") as file:
        print(word, os.getpid(), file=file)

@jobs.job
def fork(how):
    pid = os.fork()
    if pid == 0:
        if how == "exit":
            sys.exit(3)
        if how == "say":
            sys.exit("so it is")
        if how == "raise":
            raise ValueError("in the child")
        return
    _, status = os.waitpid(pid, 0)
    tell(os.waitstatus_to_exitcode(status))

def store(*words):
    for word in words:
        later(tell, [word])

def until(condition):
    end = time.monotonic() + 50
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)

def done():
    file = here / "done.txt"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []
"""


@pytest.fixture
def run(project):
    project.write("app.py", APP)

    def run(code):
        project.write("program.py", f"from app import *\n{code}")
        project.run("program.py")

    return run


def stored(project):
    with closing(sqlite3.connect(project.directory / "db.sqlite")) as connection:
        rows = connection.execute("SELECT json_extract(handler, '$.args[0]') FROM background_jobs")
        words = sorted(word for (word,) in rows)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return words


def test_storing_is_safe_before_and_after_a_fork_on_both_sides(project, run):
    run(
        """
store("before")
pid = os.fork()
if pid == 0:
    store(*(f"child {n}" for n in range(20)))
    os._exit(0)
store(*(f"parent {n}" for n in range(20)))
os.waitpid(pid, 0)
store("after")
"""
    )

    expected = ["after", "before", *(f"child {n}" for n in range(20))]
    assert stored(project) == sorted([*expected, *(f"parent {n}" for n in range(20))])


def test_storing_is_safe_in_a_program_that_makes_itself_a_daemon(project, run):
    run(
        """
store("before")
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
store("in the daemon")
(here / "ready").touch()
"""
    )
    wait_until((project.directory / "ready").exists, "the daemon")

    assert stored(project) == ["before", "in the daemon"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_storing_is_safe_in_children_of_multiprocessing(project, run, method):
    run(
        f"""
if __name__ == "__main__":
    store("before")
    context = multiprocessing.get_context("{method}")
    children = [context.Process(target=store, args=[f"{{i}} {{n}}" for n in range(5)])
                for i in range(3)]
    for child in children:
        child.start()
    store("meanwhile")
    for child in children:
        child.join()
        assert child.exitcode == 0
    store("after")
"""
    )

    words = ["before", "meanwhile", "after", *(f"{i} {n}" for i in range(3) for n in range(5))]
    assert stored(project) == sorted(words)


def test_a_forked_server_worker_has_threads_of_its_own(project, run):
    run(
        """
worker = jobs.start_background_worker()
store("in the parent")
until(lambda: len(done()) == 1)
pid = os.fork()
if pid == 0:
    until(lambda: jobs.start_background_worker().is_alive())
    assert jobs.start_background_worker() is not worker
    until((here / "stopped").exists)
    store("in the child")
    until(lambda: len(done()) == 2)
    os._exit(0)
assert worker.stop(30)
(here / "stopped").touch()
_, status = os.waitpid(pid, 0)
assert status == 0
(_, first), (_, second) = [line[-2:] for line in done()]
assert (int(first), int(second)) == (os.getpid(), pid)
"""
    )


def test_a_child_of_a_worker_that_was_stopped_starts_none(project, run):
    run(
        """
import threading
jobs.start_background_worker().stop(30)
pid = os.fork()
if pid == 0:
    os._exit(threading.active_count() - 1)
_, status = os.waitpid(pid, 0)
assert status == 0
"""
    )


@pytest.mark.parametrize(
    "work",
    ["jobs.create_worker(0, workoff=True).run()", "jobs.start_background_worker(process=True)"],
    ids=["thread", "process"],
)
@pytest.mark.parametrize(
    ("how", "code"), [("exit", "3"), ("say", "1"), ("raise", "1"), ("return", "0")]
)
def test_a_child_that_comes_back_from_a_job_is_no_second_worker(project, run, work, how, code):
    run(
        f"store('before')\nlater(fork, [{how!r}])\nstore('after')\n"
        f"{work}\nuntil(lambda: len(done()) == 3)"
    )

    lines = (project.directory / "done.txt").read_text().split("\n")
    assert [line.partition(" ")[0] for line in lines] == ["before", code, "after", ""]
    assert len({line.rpartition(" ")[2] for line in lines if line}) == 1  # one worker


@pytest.mark.parametrize("pool", ["Process", "ProcessPoolExecutor"])
def test_children_that_multiprocessing_forks_start_no_worker(project, run, pool):
    run(
        f"""
import threading
from concurrent.futures import ProcessPoolExecutor

def count():
    names = [thread.name for thread in threading.enumerate()]
    (here / "names.txt").write_text(repr(names))
    assert not any("litejobs" in name for name in names), names

jobs.start_background_worker()
context = multiprocessing.get_context("fork")
if "{pool}" == "Process":
    child = context.Process(target=count)
    child.start()
    child.join()
    assert child.exitcode == 0
else:
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        executor.submit(count).result()
"""
    )

    assert "MainThread" in project.read("names.txt")


def test_a_parent_that_ends_takes_no_job_of_its_child_along(project, run):
    """The child's worker has a lease of its own: its running job is not a dead parent's."""
    run(
        """
@jobs.job
def slow():
    (here / "begun").touch()
    until((here / "go").exists)
    tell.perform("slow")

worker = jobs.start_background_worker()
pid = os.fork()
if pid == 0:
    for output in (1, 2):  # else the parent is waited for until the child ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    until((here / "stopped").exists)
    later(slow)
    until(lambda: len(done()) == 1)
    os._exit(0)
worker.stop(30)
(here / "stopped").touch()
until((here / "begun").exists)
os._exit(0)
"""
    )
    look = """
    from app import *
    adapter = jobs.adapter(None)
    print([adapter.is_dead(holder) for holder in adapter.holders()])
    """
    project.write("look.py", look)

    assert project.run("look.py").out == "[False]\n"
    project.write("go", "")
    wait_until(lambda: "slow" in project.read("done.txt"), "the job of the child")
