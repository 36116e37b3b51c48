"""
A page of the docs is a story: what it shows is done, in its order, in one new directory.

The blocks of a page, by language:

- ``python``, ``toml``: written, if the first line is a comment with a file's name; other python
  is run as a script.
- ``sh``: each line is a command, run to its end; it must exit with 0, or as ``<!-- exits with N
  -->`` before the block says. Commands that run until they are stopped (LASTING) go on in the
  background until the page says "Press Ctrl-C", or ends; they too must exit with 0 then (tail,
  which knows no better, by the signal).
- ``text``, ``json``: what the block before it printed, ``...`` standing for anything. What changes
  from run to run (VARYING) need not be the same. Of a lasting command it is what comes next, and
  is waited for; when others have run since, ``<!-- in the first terminal -->`` leads back to it,
  ``second`` to the next one.
- ``sql``: run on the database that the first line, a comment, names; it prints rows.

``<!-- shows: TEXT -->`` is a text block that readers do not see, with ``...`` around it.
Every other language needs a reason in SHOWN_ONLY.
"""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from helpers import DEADLINE

from litejobs.run_directory.pidfile import Holder

HOME = Path(__file__).parent.parent
PAGES = [HOME / "README.md", *sorted((HOME / "docs").rglob("*.md"))]
DONE = ("python", "toml", "sh", "text", "json", "sql")
SHOWN_ONLY = {
    "none": "figures of campaigns and benchmarks, which take minutes",
    "ini": "units of systemd, which tests have no right to start",
    "{eval-rst}": "makes the reference: the build of the docs runs it, without a warning",
    "{toctree}": "as {eval-rst}",
}
NOT_RUN = {
    "pip install": "the tests are about what is installed already",
    "python3 -m venv": "as pip install; the README's lines are run by test_examples.py and .ci/run",
    "cd ": "the story is in its directory already",
    "mkdir ": "as cd",
}
LASTING = re.compile(
    r"litejobs work\b|tail -f\b|litejobs worker (?!.*--(workoff|clear))|flask .*\brun\b"
    r"|uvicorn |manage.py runserver"
)
VARYING = {
    r"\d{4}-\d\d-\d\d": "DATE",
    r"\d\d:\d\d:\d\d(,\d{3})?": "TIME",
    r" [+-]\d{4}\b": " ZONE",
    r"\b\d+\.\d+ s\b": "N s",
    r"[\d,]+ jobs/s": "N jobs/s",
    r"[\d,]+ bytes, write-ahead log [\d,]+": "N bytes",
    r"\b(in )?\d+ (second|minute)s?( ago)?|\bnow\b": "WHEN",
    r"-[0-9a-f]{8}/jobs\.sqlite": "/jobs.sqlite",
    r" +": " ",
    r" *\n": "\n",
}
STEP = re.compile(
    r"^ *(?P<ticks>`{3,})(?P<language>[^\s`]*)[^\n`]*\n(?P<block>.*?)^ *(?P=ticks) *$"
    r"|<!-- exits with (?P<code>\d+) -->"
    r"|<!-- shows: (?P<shows>.*?) -->"
    r"|<!-- in the (?P<terminal>first|second) terminal -->"
    r"|(?P<interrupt>Press Ctrl-C)",
    re.MULTILINE | re.DOTALL,
)
NAMED = re.compile(r"# (\S+\.(py|toml))\n")


def blocks(page):
    """The fenced blocks of a page: language and text."""
    return [
        (step["language"], textwrap.dedent(step["block"]))
        for step in STEP.finditer(page.read_text("utf-8"))
        if step["ticks"]
    ]


@dataclass
class Command:
    """What was last run: all that it printed, and how far the page has told of it."""

    output: Path
    process: subprocess.Popen | None = None
    told: int = 0

    def printed(self):
        return self.output.read_text("utf-8", "replace")[self.told :]


class Story:
    """One page, told in the directory of a project."""

    def __init__(self, project):
        self.project = project
        self.code = 0
        self.count = 0
        self.last = None
        self.lasting = []
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = str(probe.getsockname()[1])
        bin_directory = Path(sys.executable).parent
        self.environment = project.environment(
            XDG_DATA_HOME=str(project.home / ".local/share"),
            PATH=f"{bin_directory}{os.pathsep}{os.environ['PATH']}",
            FLASK_RUN_PORT=self.port,
        )

    def tell(self, text):
        """Do what the page says, from its first block to its last."""
        try:
            for step in STEP.finditer(text):
                self.take(step)
            self.interrupt()
        finally:
            for command in self.lasting:
                command.process.kill()
                command.process.wait()
            for pidfile in self.project.home.rglob("*.run/*.pid"):
                if daemon := Holder.of(pidfile):
                    daemon.send(signal.SIGKILL)

    def take(self, step):
        if step["code"]:
            self.code = int(step["code"])
        elif step["shows"]:
            self.last.told = 0
            self.check(f"...{step['shows']}...")
        elif step["terminal"]:
            self.last = self.lasting[step["terminal"] == "second"]
        elif step["interrupt"]:
            self.interrupt()
        else:
            self.do(step["language"], textwrap.dedent(step["block"]))

    def do(self, language, text):
        name = NAMED.match(text)
        if language in ("python", "toml") and name:
            self.project.write(name[1], text)
        elif language == "python":
            script = self.project.write(f"page_{self.count}.py", text)
            self.run(f"python {script.name}")
        elif language == "sh":
            self.run(*without_comments(text))
        elif language == "sql":
            self.query(text)
        elif language in ("text", "json"):
            self.check(text)
        else:
            assert language in SHOWN_ONLY, f"nobody says what to do with a block of {language!r}"

    def run(self, *lines):
        """Run commands one by one; what all of them print is told together."""
        self.count += 1
        code, self.code = self.code, 0
        self.last = Command(self.project.home / f"output-{self.count}")
        with self.last.output.open("w") as output:
            for line in lines:
                if line.startswith(tuple(NOT_RUN)):
                    continue
                process = self.start(line, output)
                if LASTING.search(line) and not code:
                    self.last.process = process
                    self.lasting.append(self.last)
                    continue
                try:
                    process.wait(DEADLINE)
                finally:
                    process.kill()
                assert process.wait() == code, f"{line}: {process.returncode}\n{self.seen()}"

    def start(self, line, output):
        line = re.sub(r"(:| )5000\b", rf"\g<1>{self.port}", line)
        return subprocess.Popen(
            ["sh", "-c", f"exec env {line}" if LASTING.search(line) else line],
            cwd=self.project.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def query(self, text):
        self.count += 1
        self.last = Command(self.project.home / f"output-{self.count}")
        database = self.project.directory / re.match(r"-- (\S+)\n", text)[1]
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            rows = connection.execute(text).fetchall()
        self.last.output.write_text("".join("|".join(map(str, row)) + "\n" for row in rows))

    def check(self, text):
        """What was printed is what the page shows; of a lasting command: as soon as it is."""
        pattern = pattern_of(text)
        is_there = re.fullmatch if self.last.process is None else re.match
        end = time.monotonic() + (0 if self.last.process is None else DEADLINE / 2)
        while not is_there(pattern, plain(self.seen(printed := self.last.printed()))):
            assert time.monotonic() < end, f"{text}\n--- is not ---\n{self.seen(printed)}"
            time.sleep(0.01)
        self.last.told += len(printed)

    def seen(self, printed=None):
        """What the last command printed, as if it had run in the home of somebody else."""
        text = self.last.printed() if printed is None else printed
        return text.replace(str(self.project.home), "/home/ada").replace(f":{self.port}", ":5000")

    def interrupt(self):
        """Ctrl-C in every terminal where a command is still running."""
        while self.lasting:
            self.last = self.lasting[0]
            process = self.last.process
            process.send_signal(signal.SIGINT)
            code = -signal.SIGINT if "tail -f" in process.args[-1] else 0
            assert process.wait(DEADLINE) == code, self.seen()
            self.lasting.pop(0)
            self.last.process = None


def without_comments(text):
    """The commands of a sh block, one a line; a backslash joins a line to the next."""
    lines = (re.sub(r"(^|\s+)# .*", "", line) for line in text.replace("\\\n", " ").splitlines())
    return [line for line in lines if line.strip()]


def plain(text):
    """Without what varies from run to run."""
    for varying, word in VARYING.items():
        text = re.sub(varying, word, text)
    return text.strip()


def pattern_of(text):
    """What a page shows, as a regular expression: ``...`` stands for anything."""
    parts = plain(text).replace("\n...\n", "\n...").split("...")
    return f"(?s:{'.*?'.join(map(re.escape, parts))})"
