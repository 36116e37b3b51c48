"""start_background_worker(process=True): a runner that belongs to an app and ends with it."""

import os
import re
import signal
import threading

import pytest
from helpers import DEADLINE, wait_until

from litejobs.processes.background import Attached, BackgroundProcess

APP = """
import os, signal, sys, time
from pathlib import Path

from litejobs import JobManager, SqliteAdapter, current_job

here = Path(__file__).parent
jobs = JobManager({"sqlite": SqliteAdapter(here / "db.sqlite")}, workers=[{"sleep_delay": 3600}])
later = jobs.create_scheduler()

def note(*words):
    with (here / "done.txt").open("a") as file:
        print(*words, file=file, flush=True)

@jobs.job
def tell(word):
    note(word, os.getppid(), os.getpid())

@jobs.job
def hang(flag):
    note("begun", current_job().attempts)
    while not (here / flag).exists():
        time.sleep(0.01)
    note("ended")
"""
# Waits until the file that its first word names is there, then ends.
PROGRAM = """
import logging, os, sys, time
from pathlib import Path
from app import *

logging.basicConfig(level=logging.INFO)

def until(name):
    while not (here / name).exists():
        time.sleep(0.01)

if __name__ == "__main__":
    worker = jobs.start_background_worker(process=True)
    assert jobs.start_background_worker(process=True) is worker
    assert worker.is_alive()
    note("program", os.getpid())
"""


@pytest.fixture
def program(project):
    """Writes a program that starts the worker and then does what it is given; starts it."""
    processes = []

    def start(then, app=APP):
        project.write("app.py", app)
        text = PROGRAM + "".join(f"    {line}\n" for line in then.splitlines())
        project.write("program.py", text)
        processes.append(project.start("program.py"))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def said(project, word):
    """The numbers that stand behind *word*, once it was noted."""
    return wait_until(
        lambda: re.search(rf"^{word}(.*)$", project.read("done.txt"), re.MULTILINE), word
    )[1]


def is_there(pid):
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    return True


def test_jobs_run_in_processes_that_end_with_the_program(project, program):
    process = program("later(tell, ['hello'])\nuntil('go')")
    runner, performer = said(project, "hello").split()
    assert str(process.pid) not in (runner, performer)

    project.write("go", "")
    _, err = process.communicate(timeout=DEADLINE)

    assert process.returncode == 0
    assert "Traceback" not in err
    wait_until(lambda: not is_there(runner) and not is_there(performer), "their end")


def test_a_program_that_ends_at_once_ends_its_runner_without_a_word(project, program):
    process = program("")

    _, err = process.communicate(timeout=DEADLINE)

    assert process.returncode == 0
    assert "Traceback" not in err
    assert "ERROR" not in err


def test_a_running_job_is_finished_when_the_program_ends(project, program):
    process = program("later(hang, ['go'])\nuntil('end')")
    said(project, "begun")

    project.write("end", "")
    project.write("go", "")
    process.communicate(timeout=DEADLINE)

    assert project.read("done.txt").endswith("ended\n")


def test_stop_waits_as_long_as_it_may_and_then_gives_jobs_back_unspent(project, program):
    then = """
later(hang, ["never"])
until("begun")
note("stopped", worker.stop(0.1), worker.is_alive())
"""
    process = program(then)
    said(project, "begun")
    project.write("begun", "")

    _, err = process.communicate(timeout=DEADLINE)

    assert "stopped False False" in project.read("done.txt")
    assert "background jobs did not end within 0.1 s and go back" in err
    shown = project.litejobs("list", "db.sqlite").out
    assert re.search(r"1 +ready +default +50 +0 ", shown)


def test_stop_returns_true_where_nothing_was_left(project, program):
    process = program('later(tell, ["x"])\nuntil("go")\nnote("stopped", worker.stop(30))')
    said(project, "x")
    project.write("go", "")

    process.communicate(timeout=DEADLINE)

    assert "stopped True" in project.read("done.txt")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_program_that_is_killed_takes_its_runner_along(project, program, number):
    process = program("later(tell, ['hello'])\nuntil('go')")
    runner, performer = said(project, "hello").split()

    process.send_signal(number)
    process.communicate(timeout=DEADLINE)

    wait_until(lambda: not is_there(runner) and not is_there(performer), "their end")


def test_a_runner_that_dies_is_started_again(project, program):
    process = program("later(tell, ['first'])\nuntil('go')\nlater(tell, ['second'])\nuntil('end')")
    runner, _ = said(project, "first").split()

    os.kill(int(runner), signal.SIGKILL)
    project.write("go", "")
    other, _ = said(project, "second").split()
    project.write("end", "")
    _, err = process.communicate(timeout=DEADLINE)

    assert other != runner
    assert "the background runner was killed by signal 9; it is started again in 0.1 s" in err


def test_a_runner_that_can_do_nothing_here_stays_away_and_says_why(project, program):
    then = "worker._thread.join(50)\nnote('alive', worker.is_alive())"
    process = program(then, app=APP + "if 'perform' in sys.argv[0]:\n    del jobs\n")
    _, err = process.communicate(timeout=DEADLINE)

    assert "alive False" in project.read("done.txt")
    assert "app has no attribute 'jobs'" in err
    assert "the background runner ended with exit code 78 and stays away" in err
    assert "Traceback" not in err


def test_a_forked_child_neither_stops_the_runner_nor_keeps_it(project, program):
    then = """
later(tell, ["hello"])
until("go")
pid = os.fork()
if not pid:
    note("child", worker.is_alive(), worker.stop(1))
    until("end")
    os._exit(0)
until("next")
later(tell, ["after"])
until("leave")
"""
    process = program(then)
    runner, _ = said(project, "hello").split()
    project.write("go", "")
    assert said(project, "child").split() == ["False", "True"]
    project.write("next", "")
    assert said(project, "after").split()[0] == runner

    process.kill()  # its child lives on
    wait_until(lambda: not is_there(runner), "the runner's end")

    project.write("end", "")


def test_a_manager_without_a_name_is_refused_with_the_cure(project):
    project.write(
        "script.py",
        """
        from litejobs import JobManager, SqliteAdapter

        def main():
            jobs = JobManager({"sqlite": SqliteAdapter("db.sqlite")})
            jobs.start_background_worker(process=True)

        main()
        """,
    )

    err = project.run("script.py", code=1).err

    assert "give it a name at the top of a module (script has none for it)" in err


def test_a_file_that_is_not_ours_is_refused_in_the_program_itself(project):
    project.write("app.py", APP)
    project.write("db.sqlite", "no database")

    err = project.run(
        "-c", "from app import *; jobs.start_background_worker(process=True)", code=1
    ).err

    assert err.splitlines()[-1].endswith("db.sqlite is not an SQLite database")


def test_plain_functions_are_run_by_the_default_managers_own(project):
    project.write(
        "script.py",
        """
        import os, time
        from pathlib import Path
        from litejobs import jobs, later

        here = Path(__file__).parent

        def tell():
            (here / "done.txt").write_text(f"{os.getpid()}")

        if __name__ == "__main__":
            worker = jobs.start_background_worker(process=True)
            later(tell)
            end = time.monotonic() + 50
            while not (here / "done.txt").exists() and time.monotonic() < end:
                time.sleep(0.01)
            assert (here / "done.txt").read_text() != str(os.getpid())
        """,
    )

    project.run("script.py")


@pytest.mark.parametrize("process", [True, False])
def test_what_multiprocessing_spawns_starts_no_worker_of_its_own(project, process):
    project.write("app.py", APP)
    project.write(
        "script.py",
        f"""
        import multiprocessing
        import app

        worker = app.jobs.start_background_worker(process={process})  # no guard

        def look():
            app.note("child", worker.is_alive())

        if __name__ == "__main__":
            child = multiprocessing.get_context("spawn").Process(target=look)
            child.start()
            child.join()
            app.note("program", worker.is_alive())
        """,
    )

    project.run("script.py")

    assert project.read("done.txt") == "child False\nprogram True\n"


@pytest.mark.parametrize("process", [True, False])
def test_the_parent_of_a_reloader_gives_its_worker_up(project, process):
    project.write("app.py", APP)
    project.write(
        "script.py",
        f"""
        import time
        import app

        worker = app.jobs.start_background_worker(process={process})

        def restart_with_reloader():
            end = time.monotonic() + 25
            while worker.is_alive() and time.monotonic() < end:
                time.sleep(0.01)
            app.note("alive", worker.is_alive())

        if __name__ == "__main__":
            app.note("alive", worker.is_alive())
            restart_with_reloader()
        """,
    )

    project.run("script.py")

    assert project.read("done.txt") == "alive True\nalive False\n"


def test_a_runner_that_is_being_started_again_is_stopped_too(tmp_path, monkeypatch):
    worker = BackgroundProcess(Attached(tmp_path, database=str(tmp_path / "db.sqlite")), 30)
    told, stopper = threading.Event(), threading.Thread(target=worker.stop, daemon=True)
    launch, say = worker._launch, worker._say

    def launch_while_it_is_stopped():
        stopper.start()
        told.wait(0.2)  # to no runner, if it does not wait for this one
        launch()

    monkeypatch.setattr(worker, "_say", lambda number: (say(number), told.set()))
    worker.start()
    first = worker._process
    try:
        monkeypatch.setattr(worker, "_launch", launch_while_it_is_stopped)
        first.kill()
        wait_until(lambda: stopper.ident is not None, "another start")
        stopper.join(DEADLINE)

        assert not stopper.is_alive()
        assert worker._process is not first
        assert worker._process.poll() is not None
        assert not worker.is_alive()
    finally:
        worker._process.kill()
