"""What tests share: a clock that they move, projects that they write, commands that they run."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.clock import SystemClock
from litejobs.handler import write
from litejobs.job import NewJob

DEADLINE = 60  # seconds until a test gives up on a real process
NOBODY = 65534
NOW = datetime.fromtimestamp(1_800_000_000, UTC)  # what the tests' clock shows at first


def wait_until(condition, what="the condition", deadline=DEADLINE):
    """Return what *condition* gives once it is true; fail after *deadline* seconds."""
    end = time.monotonic() + deadline
    while not (result := condition()):
        assert time.monotonic() < end, f"{what} did not come true within {deadline} s"
        time.sleep(0.01)
    return result


@dataclass
class Project:
    """A directory with the files of somebody's project, and commands run in it."""

    directory: Path
    home: Path

    def write(self, name, text):
        """Write a file of the project; the text may be indented."""
        file = self.directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip("\n"), "utf-8")
        return file

    def read(self, name):
        """The text of a file, empty while there is none."""
        file = self.directory / name
        return file.read_text("utf-8") if file.exists() else ""

    def environment(self, **extra):
        outer = ("LITEJOBS_", "PYTEST_ADDOPTS")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(outer)}
        return kept | {"HOME": str(self.home), "XDG_DATA_HOME": str(self.home / "data")} | extra

    def start(self, *words, env=None, **options):
        """Start ``python WORDS...`` in the project."""
        return subprocess.Popen(
            [sys.executable, *map(str, words)],
            cwd=options.pop("cwd", self.directory),
            env=self.environment(**(env or {})),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            **options,
        )

    def run(self, *words, code=0, **options):
        """Run ``python WORDS...`` to its end; it must exit with *code*."""
        process = self.start(*words, **options)
        try:
            out, err = process.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            out, err = process.communicate()
            raise AssertionError(f"{words} did not end:\n{out}\n{err}") from None
        assert process.returncode == code, f"{words} -> {process.returncode}\n{out}\n{err}"
        return Result(out, err)

    def litejobs(self, *words, **options):
        """Run ``litejobs WORDS...``."""
        return self.run("-m", "litejobs", *words, **options)

    def start_litejobs(self, *words, **options):
        """Start ``litejobs WORDS...``."""
        return self.start("-m", "litejobs", *words, **options)


class Jobs:
    """The jobs in db.sqlite of a project, stored and read by this process."""

    def __init__(self, project, name="db.sqlite"):
        self.project = project
        self.file = project.directory / name

    def store(self, name, *args, wait=0, path="script.py", module="__main__", queue="default"):
        adapter = SqliteAdapter(self.file)
        handler = write(name, path, module, json.dumps(args), "{}")
        run_at = SystemClock().now() + 1000 * wait
        [id_] = adapter.schedule([NewJob(handler, queue, 50, run_at)])
        adapter.close()
        return id_

    def store_all(self, calls):
        """Store calls of script.py, each a name with its arguments, in their order."""
        adapter = SqliteAdapter(self.file)
        now = SystemClock().now()
        adapter.schedule(
            [
                NewJob(
                    write(name, "script.py", "__main__", json.dumps(args), "{}"), "default", 50, now
                )
                for name, *args in calls
            ]
        )
        adapter.close()

    def rows(self, columns="id, state"):
        with closing(sqlite3.connect(self.file)) as connection:
            return connection.execute(f"SELECT {columns} FROM background_jobs").fetchall()

    def workoff(self, *words, **options):
        return self.project.litejobs("workoff", "db.sqlite", *words, **options)


def living(session):
    """The processes of *session* that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, its_session, *_ = stat.read_text().rpartition(")")[2].split()
            if int(its_session) == session and state not in "ZX":
                found.append(stat.parent.name)
    return found


@dataclass(frozen=True)
class Result:
    """What a command printed."""

    out: str
    err: str

    @property
    def sentence(self):
        """The one line on stderr of a command that refused: no log, no traceback."""
        assert "Traceback" not in self.err
        lines = [line for line in self.err.splitlines() if line.startswith("litejobs: ")]
        assert len(lines) == 1, self.err
        return lines[0]


def tree(directory):
    """Every file below, by its path, with what is in it; directories end in a slash."""
    return {
        f"{path.relative_to(directory)}{'/' if path.is_dir() else ''}": (
            None if path.is_dir() else path.read_bytes()
        )
        for path in directory.rglob("*")
        if "__pycache__" not in path.parts
    }


def files(directory):
    """The paths of every file below."""
    return {name for name in tree(directory) if not name.endswith("/")}


@contextmanager
def without_root():
    """Act as an ordinary user, for whom permissions hold, where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
