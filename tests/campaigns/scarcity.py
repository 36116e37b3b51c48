"""
What a machine runs out of, for real: workers and producers go on while there is none of it.

    python tests/campaigns/scarcity.py --seed 1

- ``disk``: the file system of the database is full, again and again (a tmpfs: needs root on Linux);
- ``file-size``: no file of theirs may grow (RLIMIT_FSIZE; Linux);
- ``directory``: the directory of the database is read-only, from the start and later;
- ``descriptors``: no file can be opened (RLIMIT_NOFILE), from the start and later;
- ``reader``: a transaction that has read something stays open, so that the log cannot start anew;
- ``lock``: another program holds the write lock for seconds.

In each nothing that was acknowledged may be lost, nothing that is done run again, no job begin that
could not be recorded, nobody see a traceback, and certain sentences must be said (*unsaid* lists
those that were not). Anything else breaks the promise: exit code 1.

``--small`` makes limits and waits of litejobs small, from outside, so that all takes seconds.
``--break deaf`` shows that the campaign can fail: there ``later`` keeps errors of the disk to
itself. With ``dropped`` workers keep no outcomes, with ``silent`` nothing is said before it is too
late, with ``busy-timeout`` SQLite waits for the lock, and signals wait for SQLite.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from itertools import pairwise
from pathlib import Path

from stage import Stage, is_whole, rounded

DEADLINE = 60  # seconds until something that must happen counts as never
MARGIN = 0.25  # seconds in which what is at hand is taken back
PROMPT = 1.0  # seconds within which a signal is heeded
EVER = 10**6  # jobs: a producer that goes on until it is told to stop
ROOM = 24  # megabytes
# As an ordinary user, for whom permissions hold, also where the campaign runs as root.
ORDINARY = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]

SMALL = """
from litejobs.adapters.sqlite import connection, wal

connection.LOCK_WARNING, connection.LOCK_PATIENCE = 0.2, 0.8
wal.LIMIT = 16_000_000
"""
BROKEN = {
    "busy-timeout": """
        from litejobs.adapters.sqlite.connection import Connection

        set_up = Connection.set_up
        def waiting(self):
            set_up(self)
            self.execute("PRAGMA busy_timeout = 5000")
        Connection.set_up = waiting
    """,
    "deaf": """
        from litejobs.adapters.sqlite.adapter import SqliteAdapter
        from litejobs.errors import DiskError

        schedule = SqliteAdapter.schedule
        def deaf(self, jobs):
            try:
                return schedule(self, jobs)
            except DiskError:
                return [0] * len(jobs)
        SqliteAdapter.schedule = deaf
    """,
    "dropped": """
        from litejobs.worker import Worker

        exchange = Worker._exchange
        def dropping(self, finds):
            found = exchange(self, finds)
            if self._trouble:
                self._outcomes = []
            return found
        Worker._exchange = dropping
    """,
    "silent": """
        import math
        from litejobs.adapters.sqlite import connection, wal

        connection.LOCK_WARNING = math.inf
        wal.complaint = lambda database, size: None
    """,
}
HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
connection.execute(sys.argv[2])
connection.execute("SELECT count(*) FROM background_jobs").fetchall()
print("held", flush=True)
sys.stdin.read()
"""


class Scarce:
    """One scenario: what it does is in ``play``; ``report`` says what came of it."""

    expected = ()  # what somebody must say, as regular expressions
    refusals = ("DiskError",)  # what later() may raise

    def __init__(self, stage, options):
        self.stage = stage
        self.options = options
        self.chance = random.Random(options.seed)
        self.figures = {}

    def play(self):
        raise NotImplementedError

    def report(self):
        """What the log and the processes say."""
        lines = self.stage.lines()
        refused = [line for line in lines if line[0] == "refused"]
        texts = [*self.stage.texts(), *(line[4] for line in refused)]
        return self.stage.tally() | {
            "surprises": sum(line[3] not in self.refusals for line in refused),
            "tracebacks": sum(text.count("Traceback") for text in texts),
            "unsaid": [
                words for words in self.expected if not any(re.search(words, t) for t in texts)
            ],
            **self.figures,
        }

    def wind_down(self, producers=(), runner=None):
        """No more jobs are stored; those that are stored are run."""
        for producer in producers:
            producer.terminate()
            producer.wait()
        runner = runner or self.stage.runner()
        self.stage.wait_until_done(self.options.quiet)
        runner.terminate()
        runner.wait(DEADLINE)

    def until(self, what, condition):
        """Wait for it; a promise is broken if that is in vain."""
        end = time.monotonic() + self.options.quiet
        while not condition():
            if time.monotonic() > end:
                self.figures.setdefault("never", []).append(what)
                return False
            time.sleep(0.02)
        return True

    def count(self, what):
        """Lines of that kind in the log so far."""
        return sum(line[0] == what for line in self.stage.lines())

    def more(self, what):
        """Wait until there is one more line of that kind in the log."""
        before = self.count(what)
        return self.until(f"{what} once more", lambda: self.count(what) > before)

    def litejobs(self, *words, before=()):
        """Run a command to its end; its exit code."""
        process = self.stage.start("-m", "litejobs", *words, before=before)
        return process.wait(DEADLINE)


class NoRoom(Scarce):
    """Storage that takes nothing, again and again, while jobs are stored and run."""

    expected = (
        r"failed: (the disk is full|.*I/O)",
        "outcomes are kept and tried again, no new jobs are begun",
        "storage works again",
    )

    def play(self):
        # More than the worker can do: it always has something to record.
        producer = self.stage.producer(0, EVER, pause=0.015, seconds=0.03, load=3000)
        self.more("stored")
        runner = self.stage.runner()
        other = self.stage.producer(EVER, 2 * EVER, pause=0.015, load=3000)
        self.more("done")
        for _ in range(self.options.rounds):
            time.sleep(self.chance.uniform(0.1, 0.5))
            with self.shortage([producer, other, runner]):
                self.more("refused")
                self.until("worker's word", lambda: self.troubles(runner)[-1:] == ["begins"])
                time.sleep(self.chance.uniform(0.3, 0.6 if self.options.small else 2.0))
            self.more("stored")
            self.until("worker's relief", lambda: self.troubles(runner)[-1:] == ["ends"])
        self.wind_down([producer, other], runner)
        self.figures |= {
            "shortages": self.options.rounds,
            "begun meanwhile": self.begun_in_trouble(runner),
            "resumed after ms, at most": rounded(self.resumed),
        }

    resumed = 0.0  # seconds

    @contextmanager
    def shortage(self, processes):
        """There is no room inside."""
        self.starve(processes)
        yield
        self.feed(processes)
        began = time.monotonic()
        self.more("done")
        self.resumed = max(self.resumed, time.monotonic() - began)

    def trouble_lines(self, runner):
        kinds = {"outcomes are kept": "begins", "storage works again": "ends"}
        for when, text in self.stage.said(runner):
            for words, kind in kinds.items():
                if words in text:
                    yield when, kind

    def troubles(self, runner):
        """What the worker has said of its storage: begins, ends, begins ..."""
        return [kind for _, kind in self.trouble_lines(runner)]

    def begun_in_trouble(self, runner):
        """How many jobs began though the worker knew that it could not record them."""
        starts = [line[1] for line in self.stage.lines() if line[0] == "start"]
        windows = [
            (begin + MARGIN, end)
            for (begin, kind), (end, _) in pairwise(self.trouble_lines(runner))
            if kind == "begins"
        ]
        return sum(begin < start < end for start in starts for begin, end in windows)


class Disk(NoRoom):
    """A file system that is full."""

    @property
    def ballast(self):
        return self.stage.file.with_name("ballast")

    def starve(self, processes):
        with self.ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    def feed(self, processes):
        self.ballast.unlink()


class FileSize(NoRoom):
    """Files that may not grow."""

    def starve(self, processes):
        from resource import RLIM_INFINITY, RLIMIT_FSIZE, prlimit

        size = max(self.stage.file.stat().st_size, log_size(self.stage))
        for process in processes:
            prlimit(process.pid, RLIMIT_FSIZE, (size, RLIM_INFINITY))

    def feed(self, processes):
        from resource import RLIM_INFINITY, RLIMIT_FSIZE, prlimit

        for process in processes:
            prlimit(process.pid, RLIMIT_FSIZE, (RLIM_INFINITY, RLIM_INFINITY))


class Directory(Scarce):
    """A directory in which nothing can be made or renamed."""

    expected = (r"jobs\.sqlite cannot be made: its directory is not writable for this user",)
    refusals = ("DatabaseFileError", "DiskError")

    def play(self):
        directory = self.stage.file.parent
        before = ORDINARY if os.geteuid() == 0 else ()
        directory.chmod(0o555)
        self.stage.producer(0, 1, before=before).wait(DEADLINE)
        self.figures["exit code of work"] = self.litejobs("work", "--app", "app", before=before)
        directory.chmod(0o755)
        producer = self.stage.producer(10, EVER, pause=0.01, before=before)
        runner = self.stage.runner(before=before)
        self.more("done")
        directory.chmod(0o555)
        self.more("done")
        late = self.stage.producer(EVER, EVER + 10, before=before)
        late.wait(DEADLINE)
        self.more("done")
        directory.chmod(0o755)
        self.wind_down([producer], runner)


class Descriptors(Scarce):
    """Processes that can open no more files."""

    expected = ("Too many open files",)
    refusals = ("DiskError",)

    def play(self):
        self.stage.producer(0, 20).wait(DEADLINE)
        codes = {}
        for limit in self.options.limits:
            before = ["sh", "-c", f'ulimit -n {limit}; exec "$@"', "sh"]
            first = 1000 * limit
            self.stage.producer(first, first + 3, before=before).wait(DEADLINE)
            codes[limit] = self.litejobs("workoff", "--app", "app", before=before)
        self.figures["exit codes of workoff"] = codes
        self.in_mid_run()

    def in_mid_run(self):
        """A runner whose performer dies when no other can be started."""
        from resource import RLIMIT_NOFILE, prlimit

        runner = self.stage.runner()
        producer = self.stage.producer(EVER, 2 * EVER, pause=0.01, seconds=0.01)
        self.more("done")
        limits = prlimit(runner.pid, RLIMIT_NOFILE)
        prlimit(runner.pid, RLIMIT_NOFILE, (5, limits[1]))
        [performer] = children(runner.pid)
        os.kill(performer, signal.SIGKILL)
        self.until("its word", lambda: "cannot be started" in self.stage.text(runner))
        prlimit(runner.pid, RLIMIT_NOFILE, limits)
        self.more("done")
        self.wind_down([producer], runner)


class Reader(Scarce):
    """A transaction that stays open: the log grows meanwhile, and is told of; not after it."""

    expected = (
        r"WARNING .*the write-ahead log .* has grown to [\d,]+ bytes: a program keeps",
        r"(?m)^the write-ahead log .* has grown to [\d,]+ bytes: a program keeps",  # of status
    )
    refusals = ()

    def play(self):
        limit = 16_000_000 if self.options.small else 64 * 1024 * 1024
        jobs = 3 * limit // 1_800_000
        runner = self.stage.runner()
        self.store(0, jobs)
        self.figures["log without a reader, bytes"] = self.peak
        without = self.peak
        with holding(self.stage.file, "BEGIN"):
            self.store(jobs, 2 * jobs)
            self.until("a warning", lambda: self.stage.said(runner))
            self.litejobs("status", "--app", "app")
        self.figures["with a reader"] = self.peak
        self.store(2 * jobs, 3 * jobs)
        self.figures["after it"] = log_size(self.stage)
        self.figures["bounded"] = max(without, log_size(self.stage)) <= limit
        self.wind_down((), runner)

    peak = 0

    def store(self, first, last):
        """Store jobs, and have them run; note how large the log becomes."""
        producer = self.stage.producer(first, last, load=900_000)
        self.peak = 0
        while producer.poll() is None or self.stage.left():
            self.peak = max(self.peak, log_size(self.stage))
            time.sleep(0.02)


class Lock(Scarce):
    """Another program's write transaction that takes its time."""

    expected = (
        "has been locked by another connection for .* jobs are neither stored nor begun",
        "was locked by another connection for .* seconds; outcomes are kept and tried again",
        r"was locked by another connection for [\d.]+ seconds$",
        "storage works again",
    )
    refusals = ("DatabaseBusyError",)

    def play(self):
        patience = 0.8 if self.options.small else 5.0
        producer = self.stage.producer(0, EVER, pause=0.01, seconds=0.01)
        runner, other = self.stage.runner(), self.stage.runner()
        self.more("done")
        for _ in range(self.options.rounds):
            with holding(self.stage.file, "BEGIN IMMEDIATE"):
                time.sleep(0.6 * patience)
            self.more("done")
        self.figures["refused of short ones"] = self.count("refused")
        with holding(self.stage.file, "BEGIN IMMEDIATE"):
            time.sleep(1.4 * patience)
            self.figures["signal heard after ms"] = self.hears(other, "finishing the running jobs")
            self.figures["second one after ms"] = self.hears(other, "stopping at once")
            ended = self.until("the exit of one told twice", lambda: other.poll() is not None)
            self.figures["exit"] = other.returncode if ended else None
        given_up = re.search("the outcomes of (.*) jobs could not", self.stage.text(other))
        self.figures["explained"] = int(given_up[1]) if given_up else 0
        self.more("done")
        self.wind_down([producer], runner)

    def hears(self, runner, words):
        """Milliseconds until a runner says *words* because of SIGTERM."""
        sent = time.monotonic()
        runner.terminate()
        self.until(words, lambda: words in self.stage.text(runner))
        return rounded(time.monotonic() - sent)


SCENARIOS = {
    "disk": Disk,
    "file-size": FileSize,
    "directory": Directory,
    "descriptors": Descriptors,
    "reader": Reader,
    "lock": Lock,
}


@contextmanager
def holding(file, how):
    """Another program is in a transaction, begun by the statement *how*, that has read."""
    command = [sys.executable, "-c", HOLDER, str(file), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        try:
            yield
        finally:
            holder.stdin.close()


@contextmanager
def file_system(directory, megabytes):
    """A small file system of its own."""
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", directory], check=True
    )
    try:
        yield
    finally:
        subprocess.run(["umount", directory], check=True)


def log_size(stage):
    """Bytes of the write-ahead log."""
    with suppress(FileNotFoundError):
        return stage.file.with_name(f"{stage.file.name}-wal").stat().st_size
    return 0


def children(pid):
    """The pids of a process's children."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def play(name, options):
    """One scenario in a directory of its own; its figures."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="campaign-")))
        place = directory / "data"
        place.mkdir()
        if name == "disk":
            stack.enter_context(file_system(place, ROOM))
        code = [SMALL] if options.small else []
        code += [BROKEN[options.breaks]] if options.breaks else []
        stage = Stage(directory, *code, database=str(place / "jobs.sqlite"))
        stack.enter_context(stage)
        scenario = SCENARIOS[name](stage, options)
        began = time.monotonic()
        scenario.play()
        return scenario.report() | {"seconds": round(time.monotonic() - began)}


def is_kept(reports):
    """Whether every promise was kept."""
    return all(
        is_whole(one | {"doubled": one["doubled"] > one.get("explained", 0)})
        and not any(one.get(key) for key in ("surprises", "tracebacks", "unsaid", "never"))
        and not one.get("begun meanwhile")
        and not one.get("refused of short ones")
        and one.get("bounded", True)
        and max(one.get("signal heard after ms", 0), one.get("second one after ms", 0))
        <= 1000 * PROMPT
        for one in reports["scenarios"].values()
    )


def parse(words=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    can = [name for name in SCENARIOS if name != "disk" or os.geteuid() == 0]
    parser.add_argument("--only", action="append", choices=SCENARIOS, help="this scenario")
    parser.add_argument("--rounds", type=int, default=10, help="shortages of a kind")
    parser.add_argument("--small", action="store_true", help="limits and waits are made small")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--break", dest="breaks", choices=sorted(BROKEN))
    parser.add_argument(
        "--limits", type=int, nargs="*", default=list(range(5, 32)), help="numbers of descriptors"
    )
    parser.add_argument(
        "--quiet", type=float, default=30,
        help="seconds without any progress after which what is left counts as lost",
    )  # fmt: skip
    options = parser.parse_args(words)
    options.only = options.only or can
    return options


def main(words=None):
    """Play the scenarios and print their reports."""
    options = parse(words)
    reports = {name: play(name, options) for name in options.only}
    report = {"scenarios": reports, "seed": options.seed}
    print(json.dumps(report))
    return report


if __name__ == "__main__":
    sys.exit(0 if is_kept(main()) else 1)
