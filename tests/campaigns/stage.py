"""
What campaigns share: an app whose jobs tell of themselves, its processes, and what came of it.

Each job appends a line to a log when it starts and one when it is done; producers one before they
store a job and one when it is acknowledged, with the seconds that took, or refused. Lines are
JSON: what, when (seconds since 1970), number, more.
"""

import json
import os
import re
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections import Counter
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

APP = """
import json, os, time
from pathlib import Path
from litejobs import JobManager, SqliteAdapter, WorkerGroup

here = Path(__file__).parent
options = {name: os.environ[name] for name in ("driver", "durability") if name in os.environ}
file = os.environ.get("database", here / "jobs.sqlite")
jobs = JobManager({"sqlite": SqliteAdapter(file, **options)}, workers=[WorkerGroup(count=1)])
later = jobs.create_scheduler()
log = os.open(here / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

def note(what, *more):
    os.write(log, (json.dumps([what, time.time(), *more]) + "\\n").encode())

@jobs.job
def run(number, seconds=0, load=""):
    note("start", number)
    time.sleep(seconds)
    note("done", number)
"""
PRODUCER = """
import json, logging, sys, time
from app import later, note, run

logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)-7s %(message)s")

first, last, pause, seconds, load = json.loads(sys.argv[1])
for number in range(first, last):
    note("attempt", number)
    began = time.perf_counter()
    try:
        later(run, [number, seconds, "x" * load])
    except Exception as error:
        note("refused", number, type(error).__name__, str(error))
    else:
        note("stored", number, time.perf_counter() - began)
    time.sleep(pause)
"""
THREAD_WORKER = """
import logging, signal
from app import jobs

logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)-7s %(message)s")
worker = jobs.start_background_worker()
signal.sigwait([signal.SIGTERM])
"""
_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) (WARNING|ERROR) +(.*)")


class Stage:
    """A project in *directory*, with processes that are ended on the way out."""

    def __init__(self, directory, *first_code, **environment):
        """*first_code* is what every Python process runs first, to break a guard there."""
        self.directory = Path(directory)
        self.file = Path(environment.get("database", self.directory / "jobs.sqlite"))
        self._environment = os.environ | environment
        self._processes = []
        for name, text in (("app", APP), ("producer", PRODUCER), ("threads", THREAD_WORKER)):
            (self.directory / f"{name}.py").write_text(text)
        (self.directory / "pyproject.toml").write_text("")
        (self.directory / "log.txt").write_text("")
        if first_code:
            first = self.directory / "first"
            first.mkdir()
            (first / "sitecustomize.py").write_text("".join(map(textwrap.dedent, first_code)))
            self._environment["PYTHONPATH"] = str(first)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self._processes:
            process.kill()
            process.wait()

    # Processes

    def start(self, *words, before=(), **environment):
        """``python WORDS...``, by the command *before* where that is given."""
        command = [*before, sys.executable, *map(str, words)]
        with self._said(len(self._processes)).open("w") as said:
            process = subprocess.Popen(
                command,
                cwd=self.directory,
                env=self._environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        self._processes.append(process)
        return process

    def producer(self, first, last, *, pause=0, seconds=0, load=0, **how):
        """Stores jobs of these numbers, each with *load* bytes, that take *seconds*."""
        words = json.dumps([first, last, pause, seconds, load])
        return self.start("producer.py", words, **how)

    def runner(self, **how):
        """``litejobs work``."""
        return self.start("-m", "litejobs", "work", "--app", "app", "--log-level", "warning", **how)

    def threads(self, **how):
        """A program with a worker on a thread."""
        return self.start("threads.py", **how)

    def said(self, process):
        """The warnings and errors in a process's log: when (seconds since 1970), and what."""
        lines = map(_LINE.match, self.text(process).splitlines())
        return [
            (datetime.fromisoformat(line[1]).timestamp() + int(line[2]) / 1000, line[4])
            for line in lines
            if line is not None
        ]

    def texts(self):
        """All that each process has printed."""
        return [self.text(process) for process in self._processes]

    def text(self, process):
        """All that a process has printed."""
        return self._said(self._processes.index(process)).read_text()

    def _said(self, number):
        return self.directory / f"said-{number}.txt"

    # What came of it

    def lines(self):
        """The log: lists of what, when, number, more."""
        return list(map(json.loads, (self.directory / "log.txt").read_text().splitlines()))

    def rows(self):
        """The jobs that are stored: their numbers and states."""
        if not self.file.exists():
            return []
        with closing(sqlite3.connect(self.file, timeout=30)) as connection:
            return connection.execute(
                "SELECT json_extract(handler, '$.args[0]'), state FROM background_jobs"
            ).fetchall()

    def wait_until_done(self, quiet=30):
        """Wait until no job is left, or nothing has moved for *quiet* seconds."""
        since, seen = time.monotonic(), -1
        while self.left() and time.monotonic() - since < quiet:
            time.sleep(0.05)
            size = (self.directory / "log.txt").stat().st_size
            if size != seen:
                since, seen = time.monotonic(), size

    def left(self):
        """How many jobs are neither done nor given up."""
        with suppress(sqlite3.OperationalError):  # not made yet, or no room to look
            return sum(state < 4 for _, state in self.rows())
        return 1

    def tally(self):
        """The figures that every campaign reports."""
        return tally(self.lines(), self.rows())


def tally(lines, rows):
    """
    Jobs by what became of them: *lost* is acknowledged and not done, *recovered* the contrary.

    *refused* counts the errors of ``later`` by their kind.
    """
    numbers = {
        what: [line[2] for line in lines if line[0] == what]
        for what in ("attempt", "stored", "done")
    }
    attempted, acknowledged, done = (set(some) for some in numbers.values())
    return {
        "attempted": len(attempted),
        "acknowledged": len(acknowledged),
        "refused": dict(Counter(line[3] for line in lines if line[0] == "refused")),
        "done": len(done),
        "lost": len(acknowledged - done),
        "doubled": len(numbers["done"]) - len(done),
        "unexpected": len(done - attempted),
        "recovered": len(done - acknowledged),
        "left": sum(state < 4 for _, state in rows),
    }


def is_whole(report):
    """Whether nothing was lost, doubled, made up or left."""
    return not any(report[key] for key in ("lost", "doubled", "unexpected", "left"))


def rounded(seconds):
    """In milliseconds."""
    return round(1000 * seconds, 1)
