"""
Jobs that do their worst, among many that do not: these are all done, those recorded with the cause.

``LITEJOBS_POISON_JOBS=1000`` makes it a thousand jobs.
"""

import os
import random
import sys

import pytest
from helpers import Jobs, living

JOBS = int(os.environ.get("LITEJOBS_POISON_JOBS", "100"))
SCRIPT = """
import ctypes, os, resource, signal, subprocess, sys, time
from pathlib import Path

from litejobs import jobs

here = Path(__file__).parent
start, mask = os.getcwd(), os.umask(0o22)
os.umask(mask)

def note(word):
    assert os.getcwd() == start
    umask = os.umask(mask)
    assert umask == mask, oct(umask)
    assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    with (here / "done.txt").open("a") as file:
        print(word, os.getpid(), file=file)

def poison(function, **limits):
    def marked():
        with (here / "sessions.txt").open("a") as file:
            print(os.getpid(), file=file)
        function()
    marked.__name__ = function.__name__
    return jobs.job(max_attempts=1, **limits)(marked)

def endless(function):
    return poison(function, max_runtime=0.3)

@poison
def segfault():
    ctypes.string_at(0)

@poison
def leaves():
    os._exit(0)

@poison
def aborts():
    os.abort()

@endless
def loops_in_python():
    while True:
        pass

@endless
def loops_in_c():
    sum(range(10**15))

@poison
def hogs_memory():
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + 200 * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
    hoard = []
    while True:
        hoard.append(bytearray(10 * 1024 * 1024))

@poison
def closes_all():
    os.closerange(0, 4096)

@poison
def leaves_children():
    subprocess.Popen(["sh", "-c", "sleep 3600 & sleep 3600"])

@poison
def changes_all():
    os.chdir("/")
    os.umask(0o777)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    signal.setitimer(signal.ITIMER_REAL, 3600)
    os.environ.clear()

@poison
def floods():
    for _ in range(10):
        print("x" * 1_000_000)
"""
DIED, LATE = "PerformerDied: ", "JobTimeout: ran longer than its max_runtime of 0.3 s"
CAUSES = {  # how the headline begins, and how it ends
    "segfault": (DIED, "was killed by SIGSEGV while it ran this job"),
    "leaves": (DIED, "ended with exit code 0 while it ran this job"),
    "aborts": (DIED, "was killed by SIGABRT while it ran this job"),
    "loops_in_python": (LATE, "of 0.3 s"),
    "loops_in_c": (LATE, "did not end within 2 s more and was killed"),
    "hogs_memory": ("MemoryError", ""),
    "closes_all": (DIED, "ended with exit code 0 while it ran this job"),
}
HARMLESS = ["leaves_children", "changes_all", "floods"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_no_job_can_hurt_another(project):
    project.write("script.py", SCRIPT)
    jobs = Jobs(project)
    chance = random.Random(7)
    poisons = [*CAUSES, *HARMLESS] * (JOBS // 100)
    notes = [f"n{number}" for number in range(JOBS - len(poisons))]
    calls = [(name,) for name in poisons] + [("note", word) for word in notes]
    chance.shuffle(calls)
    jobs.store_all(calls)

    jobs.workoff("--count", 2, code=1)

    done = [line.split() for line in project.read("done.txt").splitlines()]
    assert sorted(word for word, _ in done) == sorted(notes)
    rows = jobs.rows("json_extract(handler, '$.name'), state, last_error")
    assert [row for row in rows if row[0] not in CAUSES] == []
    assert {(name, state) for name, state, _ in rows} == {(name, 5) for name in CAUSES}
    assert len(rows) == len(CAUSES) * (JOBS // 100)
    assert [row for row in rows if not is_cause(row[2], *CAUSES[row[0]])] == []
    sessions = {int(pid) for _, pid in done} | {
        int(pid) for pid in project.read("sessions.txt").split()
    }
    assert [session for session in sessions if living(session)] == []


def is_cause(error, begins, ends):
    headline = error.partition("\n")[0]
    return headline.startswith(begins) and headline.endswith(ends)
