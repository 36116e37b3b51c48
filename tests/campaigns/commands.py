"""A project in a directory of its own, and litejobs run in it, for campaigns."""

import os
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from litejobs.adapters.sqlite.adapter import SqliteAdapter

PATIENCE = 120  # seconds for a command, then it hangs


@dataclass(frozen=True)
class Ended:
    """What became of a command; *code* is None if it hung and was killed."""

    code: int | None
    out: str
    err: str

    @property
    def is_told_in_a_sentence(self):
        """Whether it went well, or ended with one line of its own."""
        said = [line for line in self.err.splitlines() if line.startswith("litejobs: ")]
        is_refused = self.code in (1, 3, 65, 74, 78) and len(said) == 1
        return "Traceback" not in self.err and (self.code == 0 or is_refused)


class Project:
    """Below *home*: the project, what is outside of it, and what Python runs first."""

    def __init__(self, home):
        self.home = Path(home)
        self.directory = self.home / "project"
        self.outside = self.home / "outside"
        self.first = self.home / "first"
        for directory in (self.directory, self.outside, self.first):
            directory.mkdir()
        self.write("pyproject.toml", "")
        self.database = self.directory / "db.sqlite"
        self.run_directory = self.directory / "db.sqlite.run"

    def write(self, name, text):
        """Write a file of the project; the text may be indented."""
        file = self.directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
        return file

    def read(self, name):
        """The text of a file of the project, empty while there is none."""
        file = self.directory / name
        return file.read_text() if file.exists() else ""

    def make_database(self):
        """An empty one."""
        adapter = SqliteAdapter(self.database)
        adapter.open()
        adapter.close()

    def run_first(self, code):
        """Let every Python that is started here run *code* before all else."""
        with (self.first / "sitecustomize.py").open("a") as file:
            file.write(textwrap.dedent(code))

    def start(self, *words, **options):
        """Start ``python WORDS...`` in a session of its own."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LITEJOBS_")}
        homes = {"HOME": str(self.home), "XDG_DATA_HOME": str(self.home / "data")}
        return subprocess.Popen(
            [sys.executable, *map(str, words)], cwd=self.directory, stdin=subprocess.DEVNULL,
            env=kept | homes | {"PYTHONPATH": str(self.first)}, start_new_session=True, **options,
        )  # fmt: skip

    def run(self, *words, patience=PATIENCE):
        """Run ``python WORDS...`` to its end."""
        process = self.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        is_over = True
        try:
            out, err = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            is_over = False
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
        texts = [data.decode("utf-8", "surrogateescape") for data in (out, err)]
        return Ended(process.returncode if is_over else None, *texts)

    def kill_all(self):
        """End what is left of the processes that were started here: their directory tells."""
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (process / "cwd").readlink().is_relative_to(self.home):
                    os.kill(int(process.name), signal.SIGKILL)

    def litejobs(self, *words, patience=PATIENCE):
        """Run ``litejobs WORDS...`` to its end."""
        return self.run("-m", "litejobs", *words, patience=patience)
