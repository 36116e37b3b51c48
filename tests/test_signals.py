"""Signals in any number and at any moment: what runs is finished or goes back, nothing else."""

import random
import re
import signal
import sqlite3
import time
from contextlib import closing, suppress

import pytest
from helpers import DEADLINE, wait_until

SCRIPT = """
import sys, time
from pathlib import Path
from litejobs import later

here = Path(__file__).parent

def hang(flag):
    (here / "begun").touch()
    while not (here / flag).exists():
        time.sleep(0.01)
    with (here / "done.txt").open("a") as file:
        print(flag, file=file)

def note(word):
    with (here / "done.txt").open("a") as file:
        print(word, file=file)

if __name__ == "__main__":
    for word in sys.argv[1:]:
        later(hang, [word]) if word == "go" else later(note, [word])
"""


@pytest.fixture
def work(project):
    project.write("script.py", SCRIPT)
    project.write("pyproject.toml", '[tool.litejobs]\ndatabase = "db.sqlite"\n')
    processes = []

    def start(*jobs, words=("work",)):
        if jobs:
            project.run("script.py", *jobs)
        processes.append(project.start_litejobs(*words))
        if "go" in jobs:
            wait_until((project.directory / "begun").exists, "the job")
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def states(project):
    with closing(sqlite3.connect(project.directory / "db.sqlite")) as connection:
        return connection.execute("SELECT state, attempts FROM background_jobs_view").fetchall()


def storm(process, numbers, count, seed):
    """Send so many signals, as fast as they go, until the process has ended."""
    chance = random.Random(seed)
    for _ in range(count):
        with suppress(ProcessLookupError):
            process.send_signal(chance.choice(numbers))
        if process.poll() is not None:
            return


@pytest.mark.parametrize("seed", range(3))
def test_a_storm_of_signals_gives_the_running_job_back_and_leaves_no_traceback(project, work, seed):
    process = work("go")

    storm(process, [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP], 1000, seed)
    _, err = process.communicate(timeout=DEADLINE)

    assert process.returncode in {128 + n for n in (1, 2, 3, 15)}
    assert "Traceback" not in err
    assert states(project) == [("ready", 0)]


def test_a_storm_over_an_idle_worker_ends_it_with_a_code_of_its_own(project, work):
    process = work("first")
    wait_until(lambda: project.read("done.txt"), "the job")

    storm(process, [signal.SIGINT, signal.SIGTERM], 1000, 7)
    _, err = process.communicate(timeout=DEADLINE)

    assert process.returncode in {0, 130, 143}
    assert "Traceback" not in err
    assert states(project) == []


def test_a_storm_while_it_starts_leaves_no_traceback(work):
    process = work(words=("work", "--count", "2"))
    end = time.monotonic() + 0.3

    while process.poll() is None and time.monotonic() < end:
        storm(process, [signal.SIGINT], 10, 1)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=DEADLINE)

    assert process.returncode in {0, 130, -signal.SIGINT}
    assert "litejobs" not in "".join(re.findall(r"Traceback.*", err, re.DOTALL))


@pytest.mark.parametrize("command", ["work", "daemon"])
def test_a_stop_while_another_program_holds_the_write_lock_loses_nothing(project, work, command):
    if command == "daemon":
        project.run("script.py", "go")
        project.litejobs("start")
        wait_until((project.directory / "begun").exists, "the job")
    else:
        process = work("go")
    file = project.directory / "db.sqlite"
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        (project.directory / "go").touch()
        wait_until(lambda: project.read("done.txt"), "the job's end")
        if command == "work":
            process.send_signal(signal.SIGINT)
        else:
            stop = project.start_litejobs("stop", "--timeout", 60)
        # Its outcome cannot be recorded as long as the lock is held.
        with pytest.raises(Exception, match="timed out"):
            (process if command == "work" else stop).wait(7)
        other.execute("ROLLBACK")

    if command == "work":
        _, err = process.communicate(timeout=DEADLINE)
        assert process.returncode == 0
    else:
        stop.communicate(timeout=DEADLINE)
        assert stop.returncode == 0
        err = (file.parent / "db.sqlite.run" / "default.log").read_text()
    assert "Traceback" not in err
    assert states(project) == []
    assert project.read("done.txt") == "go\n"
