"""Performers that are replaced after so many jobs or when they have grown; and what lasts."""

import os
import signal
import sys
from pathlib import Path

import pytest
from helpers import Jobs, Project

from litejobs.performers import memory
from litejobs.performers.surroundings import Surroundings
from litejobs.performers.tenure import Tenure

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
SCRIPT = """
import os
from pathlib import Path

here = Path(__file__).parent
kept = []

def note(word=""):
    with (here / "done.txt").open("a") as file:
        print(os.getpid(), word, file=file, flush=True)

def grow(mib):
    kept.append(b"x" * (mib * 1024 * 1024))
    note()
"""
APP = """
from pathlib import Path
from litejobs import JobManager, SqliteAdapter, WorkerGroup
from script import note

here = Path(__file__).parent
jobs = JobManager({"sqlite": SqliteAdapter(here / "db.sqlite")}, workers=[WorkerGroup(max_jobs=3)])
note = jobs.create_job(perform=note)
"""


@pytest.fixture
def jobs(project):
    project.write("script.py", SCRIPT)
    return Jobs(project)


def lengths(project):
    """How many jobs each performer ran, in order."""
    pids = [line.split()[0] for line in project.read("done.txt").splitlines()]
    return [pids.count(pid) for pid in dict.fromkeys(pids)]


def test_a_performer_is_replaced_after_max_jobs_without_an_error(project, jobs):
    for _ in range(7):
        jobs.store("note")

    result = jobs.workoff("--max-jobs", 3, "--log-level", "debug")

    assert lengths(project) == [3, 3, 1]
    assert jobs.rows() == []
    assert result.err.count("has run 3 jobs, its max_jobs and is replaced") == 2
    assert "ERROR" not in result.err


def test_a_group_of_an_app_says_its_max_jobs(project, jobs):
    project.write("app.py", APP)
    for _ in range(4):
        jobs.store("note", module=None)

    project.litejobs("workoff", "--app", "app")

    assert lengths(project) == [3, 1]


def test_a_performer_is_replaced_once_it_has_grown_above_max_memory(project, jobs):
    for mib in (1, 300, 1, 1):
        jobs.store("grow", mib)

    result = jobs.workoff("--max-memory", 200, "--log-level", "debug")

    assert lengths(project) == [2, 2]
    assert "MiB, more than its max_memory of 200 and is replaced" in result.err


def test_without_limits_a_performer_stays(project, jobs):
    for _ in range(10):
        jobs.store("note")

    jobs.workoff()

    assert lengths(project) == [10]


def test_memory_is_what_is_resident_now():
    before = memory.resident()
    block = b"x" * (100 * 1024 * 1024)
    with_block = memory.resident()
    del block

    assert 90 < (with_block - before) / 1024 / 1024 < 110


@linux
def test_without_proc_memory_is_the_most_that_there_was(monkeypatch):
    now = memory.resident()

    def missing(_):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_bytes", missing)

    assert memory.resident() >= 0.9 * now


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A /proc and a /sys/fs/cgroup that the test writes."""
    for name in ("_PROC", "_CGROUPS"):
        monkeypatch.setattr(memory, name, tmp_path / name)
    return Project(tmp_path, tmp_path)


EVENTS = "low 0\noom 5\noom_kill 3\noom_group_kill 0\n"
VMSTAT = "nr_free_pages 7\noom_kill 8\n"


@pytest.mark.parametrize(
    ("files", "number"),
    [
        ({"_PROC/self/cgroup": "0::/a/b\n", "_CGROUPS/a/b/memory.events": EVENTS}, 3),
        ({"_PROC/self/cgroup": "5:cpu:/x\n0::/\n", "_CGROUPS/memory.events": EVENTS}, 3),
        ({"_PROC/self/cgroup": "0::/a\n", "_PROC/vmstat": VMSTAT}, 8),
        ({"_PROC/vmstat": VMSTAT}, 8),
        ({"_PROC/vmstat": "nr_free_pages 7\n"}, None),
        ({}, None),
    ],
    ids=["group", "container", "group without", "no groups", "old kernel", "no Linux"],
)
def test_kills_for_want_of_memory_are_those_of_the_group_else_of_the_machine(system, files, number):
    for name, text in files.items():
        system.write(name, text)

    assert memory.kills() == number


def test_a_tenure_without_limits_is_never_over():
    forever = Tenure(None, None)

    assert {forever.why_over() for _ in range(1000)} == {""}


@pytest.fixture
def surroundings():
    directory, umask = Path.cwd(), os.umask(0o022)
    os.umask(umask)
    handler = signal.getsignal(signal.SIGTERM)
    yield Surroundings()
    os.chdir(directory)
    os.umask(umask)
    signal.signal(signal.SIGTERM, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())


def test_what_a_job_changed_in_its_surroundings_is_put_back(surroundings, tmp_path):
    directory, handler = Path.cwd(), signal.getsignal(signal.SIGTERM)
    umask = os.umask(0o777)
    os.chdir(tmp_path)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGUSR1})

    surroundings.restore()

    assert Path.cwd() == directory
    assert os.umask(umask) == umask
    assert signal.getsignal(signal.SIGTERM) == handler
    assert signal.pthread_sigmask(signal.SIG_BLOCK, set()) == set()


def test_the_alarms_signal_is_not_blocked_whoever_started_the_process(surroundings):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGUSR1})

    Surroundings().restore()

    assert signal.pthread_sigmask(signal.SIG_BLOCK, set()) == {signal.SIGUSR1}


def test_a_directory_that_is_gone_is_no_error(surroundings, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    before = Surroundings()
    gone.rmdir()
    before.restore()
    there_is_none = Surroundings()
    os.chdir(tmp_path)

    there_is_none.restore()

    assert Path.cwd() == tmp_path


def test_a_directory_that_was_made_anew_is_entered_again(surroundings, tmp_path):
    directory = tmp_path / "deployed"
    directory.mkdir()
    os.chdir(directory)
    before = Surroundings()
    directory.rename(tmp_path / "old")
    directory.mkdir()

    before.restore()

    assert Path.cwd() == directory

    directory.rmdir()
    directory.mkdir()

    before.restore()

    assert Path.cwd() == directory
