"""
Jobs while the clock goes wrong: hours back and forward, and machines that sleep.

    python tests/campaigns/clock_jumps.py --jobs 4000 --jumps 120 --suspends 40 --seed 20261124

All processes read one clock that the campaign moves: the machine's, and an offset in a file. Some
jobs wait, some raise once or twice and are tried again. Triggers note each run_at that is stored,
the jobs when they start and end. Meanwhile the clock jumps, and workers are stopped with all their
processes, one or all of them, as a machine that sleeps: its clock then goes on by hours.

A run is early if its run_at was never reached, by that clock, between the moment at which it was
stored and the start. No process is killed: each job has to run once, and once more for each error.

``--break time-lease`` takes a worker for dead whose job was begun more than an hour ago,
``--break stale-clock`` lets workers count the time from when they started, and
``--break wall-durations`` measures by the clock how long a job takes.
"""

import argparse
import json
import mmap
import os
import random
import signal
import sqlite3
import struct
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from commands import Project
from kill import children

HOUR = 3_600_000  # milliseconds
SLACK = 2  # milliseconds: two clocks of the machine, read one after the other
CLOCK = """
    import mmap, struct, sys, time
    from litejobs import clock

    with open({file!r}, "rb") as file:
        offset = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)

    def now(self=None):
        return time.time_ns() // 1_000_000 + struct.unpack("q", offset)[0]

    clock.SystemClock.now = now
    role = " ".join(sys.orig_argv)
"""
BROKEN = {
    "time-lease": """
        from litejobs.adapters.sqlite.adapter import SqliteAdapter

        def holders(self):
            return [name for (name,) in self.connection.execute(
                f"SELECT DISTINCT locked_by FROM {self.table} "
                f"WHERE state = 2 AND locked_at < {now() - 3_600_000}")]

        SqliteAdapter.holders = holders
        SqliteAdapter.is_dead = lambda self, worker: True
    """,
    "stale-clock": """
        if "producer.py" not in role:
            ahead = now() - time.monotonic_ns() // 1_000_000
            clock.SystemClock.now = lambda self: ahead + time.monotonic_ns() // 1_000_000
    """,
    "wall-durations": """
        if "litejobs work" in role:
            time.monotonic = lambda: now() / 1000
    """,
}
APP = """
    import os, time
    from pathlib import Path
    from litejobs import JobManager, SqliteAdapter, WorkerGroup, current_job

    here = Path(__file__).parent
    jobs = JobManager(
        {"sqlite": SqliteAdapter(here / "db.sqlite")},
        workers=[WorkerGroup(count=2, max_runtime=30, sleep_delay=0.5)],
    )
    later = jobs.create_scheduler()
    log = os.open(here / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(*words):
        words = (*words, time.clock_gettime(time.CLOCK_MONOTONIC))
        os.write(log, (" ".join(map(str, words)) + "\\n").encode())

    @jobs.job
    def run(number, fails, seconds):
        attempts = current_job().attempts
        note("start", number, attempts)
        time.sleep(seconds)
        note("end", number, attempts)
        if attempts <= fails:
            raise RuntimeError("as planned")
"""
PRODUCER = """
    import random, sys, time
    from datetime import UTC, datetime, timedelta
    from app import here, jobs, later, note, run

    count, rate, long, seed = int(sys.argv[1]), *map(float, sys.argv[2:])
    chance = random.Random(seed)
    for number in range(1, count + 1):  # as the ids, for there is no other producer
        fails = chance.choices([0, 1, 2], [70, 25, 5])[0]
        seconds = 0.7 if chance.random() < long else 0
        wait = chance.choice([None, 0.1, 2.0, 60.0])
        how = {"wait": wait if number > 1 else None}
        if number > 1 and wait and chance.random() < 0.3:
            moment = datetime.fromtimestamp(jobs.clock.now() / 1000, UTC)
            how = {"wait_until": moment + timedelta(seconds=wait)}
        note("attempt", number, fails)
        later(run, [number, fails, seconds], **how)
        note("stored", number, fails)
        while number == 1 and "start" not in (here / "log.txt").read_text():
            time.sleep(0.01)  # until the workers are up
        time.sleep(1 / rate)
"""
TRIGGERS = """
    CREATE TABLE plan (job INTEGER, attempts INTEGER, run_at INTEGER);
    CREATE TRIGGER stored AFTER INSERT ON background_jobs BEGIN
      INSERT INTO plan VALUES (NEW.id, NEW.attempts, NEW.run_at);
    END;
    CREATE TRIGGER moved AFTER UPDATE OF run_at ON background_jobs WHEN NEW.state = 0 BEGIN
      INSERT INTO plan VALUES (NEW.id, NEW.attempts, NEW.run_at);
    END;
"""


class Wall:
    """The clock that all processes read; remembers what it showed."""

    def __init__(self, file):
        file.write_bytes(bytes(8))
        with file.open("r+b") as opened:
            self._shared = mmap.mmap(opened.fileno(), 8)
        self._ahead = time.time_ns() / 1e6 - time.monotonic_ns() / 1e6
        self.offset = 0
        self.spans = [[0.0, float("inf"), 0]]  # from, to (monotonic), offset (milliseconds)

    def jump(self, offset):
        """From now on show so many milliseconds more than the machine's clock."""
        since = time.monotonic()
        self._shared[:] = struct.pack("q", offset)
        self.spans[-1][1] = time.monotonic()
        self.spans.append([since, float("inf"), offset])
        self.offset = offset

    def latest(self, begin, end):
        """The most that it showed between two moments."""
        return max(
            1000 * min(end, to) + self._ahead + offset
            for since, to, offset in self.spans
            if since <= end and to >= begin
        )


class Campaign:
    """Runs it below *home*; ``report`` checks what came of it."""

    def __init__(self, home, options):
        self.options = options
        self.chance = random.Random(options.seed)
        self.project = Project(home)
        self.wall = Wall(Path(home) / "offset")
        self.project.run_first(CLOCK.format(file=str(Path(home) / "offset")))
        for name in options.breaks:
            self.project.run_first(BROKEN[name])
        self.project.write("app.py", APP)
        self.project.write("producer.py", PRODUCER)
        self.runners = []
        self.suspends = self.jumps = 0

    def run(self):
        """All of it, to the end of the last job."""
        self.project.make_database()
        with closing(self.database()) as database:
            database.executescript(TRIGGERS)
        errors = (self.project.directory / "errors.txt").open("w")
        work = ("-m", "litejobs", "work", "--app", "app", "--log-level", "warning")
        try:
            with errors:
                for _ in range(self.options.workers):
                    self.runners.append(self.project.start(*work, stderr=errors))
                o = self.options
                words = ("producer.py", o.jobs, o.rate, o.long, o.seed)
                self.producer = self.project.start(*words, stderr=errors)
                self.disturb()
                self.producer.wait()
                self.wind_down()
        finally:
            self.project.kill_all()
            for process in (*self.runners, self.producer):
                process.wait()

    def disturb(self):
        """Jumps and suspends at random moments, from the first job that runs on."""
        while not (self.started() or self.producer.poll() is not None):
            time.sleep(0.01)
        seconds = self.options.jobs / self.options.rate
        what = ["jump"] * self.options.jumps + ["suspend"] * self.options.suspends
        self.chance.shuffle(what)
        moments = sorted(self.chance.uniform(0.1, seconds) for _ in what)
        began = time.monotonic()
        for moment, one in zip(moments, what, strict=True):
            time.sleep(max(0, began + moment - time.monotonic()))
            getattr(self, one)()

    def jump(self):
        self.jumps += 1
        hours, little = self.chance.randint(1, 5) * HOUR, self.chance.randint(1, 60_000)
        size = self.chance.choice([hours, little])
        self.wall.jump(self.wall.offset + self.chance.choice([-1, 1]) * size)

    def suspend(self):
        """Stop one runner with its processes; or all that there is, and let the clock go on."""
        self.suspends += 1
        all_of_it = [*self.runners, self.producer]
        who = self.chance.choice([all_of_it, [self.chance.choice(self.runners)]])
        pids = [pid for one in who for pid in (one.pid, *children(one.pid))]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        time.sleep(self.chance.uniform(0.2, self.options.longest))
        if who is all_of_it:
            self.wall.jump(self.wall.offset + self.chance.randint(0, 8) * HOUR)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def wind_down(self):
        """All become due when the clock is as late as it ever was, and those that raise again."""
        latest = max(offset for _, _, offset in self.wall.spans)
        self.wall.jump(latest + HOUR)
        quiet_since, seen = time.monotonic(), -1
        while time.monotonic() - quiet_since < self.options.quiet and self.left():
            size = (self.project.directory / "log.txt").stat().st_size
            if size != seen:
                quiet_since, seen = time.monotonic(), size
            self.wall.jump(self.wall.offset + 1000)
            time.sleep(0.05)
        for runner in self.runners:
            runner.send_signal(signal.SIGTERM)
        for runner in self.runners:
            with suppress(Exception):
                runner.wait(20)

    def started(self):
        """Whether a job has begun."""
        return "start" in self.project.read("log.txt")

    def left(self):
        with closing(self.database()) as database:
            return database.execute("SELECT count(*) FROM background_jobs").fetchone()[0]

    def database(self):
        return sqlite3.connect(self.project.database, timeout=30)

    def report(self):
        with closing(self.database()) as database:
            plan = database.execute("SELECT job, attempts, run_at FROM plan").fetchall()
        lines = [line.split() for line in self.project.read("log.txt").splitlines()]
        return check(lines, plan, self.wall) | {"left": self.left()}


@dataclass
class Run:
    """One run of a job, as the log tells it."""

    attempts: int
    start: float
    end: float | None = None


def check(lines, plan, wall):
    """The figures of a campaign."""
    fails, begins, stored = {}, {}, set()
    runs = defaultdict(list)
    for what, *words in lines:
        job, value, moment = int(words[0]), int(words[1]), float(words[2])
        if what == "attempt":
            fails[job], begins[job] = value, moment
        elif what == "stored":
            stored.add(job)
        elif what == "start":
            runs[job].append(Run(value, moment))
        else:
            runs[job][-1].end = moment
    due = {(job, attempts + 1): run_at for job, attempts, run_at in plan}
    early = 0
    for job, its_runs in runs.items():
        begin = begins.get(job, 0)
        for run in its_runs:
            run_at = due.get((job, run.attempts))
            early += run_at is not None and wall.latest(begin, run.start) + SLACK < run_at
            begin = run.end or run.start
    wanted = {job: fails[job] + 1 for job in stored}
    ended = {job: sum(run.end is not None for run in its_runs) for job, its_runs in runs.items()}
    return {
        "stored": len(stored),
        "not stored": len(fails) - len(stored),
        "runs": sum(map(len, runs.values())),
        "early": early,
        "twice": sum(max(0, ended.get(job, 0) - wanted[job]) for job in stored),
        "lost": sum(ended.get(job, 0) < wanted[job] for job in stored),
        "cut short": sum(run.end is None for its_runs in runs.values() for run in its_runs),
    }


def is_kept(report):
    """Whether every promise was kept."""
    broken = ("early", "twice", "lost", "cut short", "left", "not stored")
    return not any(report[key] for key in broken)


def parse(words=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--jobs", type=int, default=4000)
    parser.add_argument("--rate", type=float, default=40.0, help="jobs stored in a second")
    parser.add_argument("--long", type=float, default=0.1, help="share of jobs that take 0.7 s")
    parser.add_argument("--jumps", type=int, default=120)
    parser.add_argument("--suspends", type=int, default=40)
    parser.add_argument("--longest", type=float, default=2.0, help="seconds of a suspend")
    parser.add_argument("--workers", type=int, default=2, help="runners, of two performers each")
    parser.add_argument(
        "--quiet", type=float, default=30, help="seconds without progress at the end"
    )
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument(
        "--break", dest="breaks", choices=sorted(BROKEN), action="append", default=[]
    )
    return parser.parse_args(words)


def main(words=None):
    """Run a campaign and print its report."""
    options = parse(words)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="clock-") as home:
        campaign = Campaign(home, options)
        campaign.run()
        report = campaign.report() | {
            "jumps": campaign.jumps,
            "suspends": campaign.suspends,
            "seconds": round(time.monotonic() - began),
            "seed": options.seed,
        }
        if not is_kept(report):
            print(campaign.project.read("errors.txt")[-5000:], file=sys.stderr)
    print(json.dumps(report))
    return report


if __name__ == "__main__":
    sys.exit(0 if is_kept(main()) else 1)
