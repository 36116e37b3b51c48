"""
Jobs under fire: workers and producers are killed, stopped and restarted at random while jobs run.

    python tests/campaigns/kill.py --jobs 20000 --kills 800 --stops 200

Each job appends a line to a log when it starts and one when it is done; producers a line before
they store a job and one when it is acknowledged. A checker that reads no more than this log, the
database and the list of what was killed when says whether a promise was broken: exit code 1.

``--burst 200 --short 0`` puts many jobs that take no time into the hands of each performer at once.

``--break time-lease`` shows that the campaign can fail: there a worker is held to be dead when its
job takes longer than 0.3 s. ``--break unfenced`` lets it settle then what is no longer its own.
``--break early-tokens`` hands a performer new jobs before it has dropped those taken back from it.
"""

import argparse
import json
import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import defaultdict
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

LONG = 0.5  # seconds that a job takes, if it takes long
STOPPED = (0.05, 3.0)  # seconds that a process is stopped
# Seconds after its end within which a kill explains that a job is run again. What is done is
# recorded in milliseconds, but a process that is stopped may hold the write lock meanwhile.
SETTLEMENT = STOPPED[1] + 0.5

APP = """
import os, sys, time
from pathlib import Path
from litejobs import JobManager, SqliteAdapter, WorkerGroup, current_job

here = Path(__file__).parent
jobs = JobManager(
    {"sqlite": SqliteAdapter(here / "jobs.sqlite")}, workers=[WorkerGroup(count=2)]
)
later = jobs.create_scheduler()
log = os.open(here / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

def note(*words):
    os.write(log, (" ".join(map(str, (*words, time.monotonic()))) + "\\n").encode())

@jobs.job
def run(number, seconds):
    note("start", number, os.getpid(), os.getppid(), current_job().attempts)
    if seconds:
        time.sleep(seconds)
    note("done", number, os.getpid(), os.getppid())
"""
PRODUCER = """
import random, sys, time
from app import later, note, run

first, last, rate, burst, long_ones, long, short, seed = map(float, sys.argv[1:])
chance = random.Random(seed)
for begin in range(int(first), int(last), int(burst)):
    numbers = range(begin, min(int(last), begin + int(burst)))
    for number in numbers:
        note("attempt", number)
    later.many(run, [[n, long if chance.random() < long_ones else short] for n in numbers])
    for number in numbers:
        note("stored", number)
    time.sleep(len(numbers) / rate)
"""
# What Python runs first in every worker process, to break a guard there.
BROKEN = {
    "time-lease": """
        from litejobs.adapters.sqlite.adapter import SqliteAdapter

        def holders(self):
            late = self.clock.now() - 300
            return [name for (name,) in self.connection.execute(
                f"SELECT DISTINCT locked_by FROM {self.table} "
                f"WHERE state = 2 AND locked_at < {late}")]

        SqliteAdapter.holders = holders
        SqliteAdapter.is_dead = lambda self, worker: True
    """,
    "early-tokens": """
        from litejobs.performers.tray import Tray

        Tray.takes_more = True
    """,
    "unfenced": """
        from litejobs.adapters.sqlite import queries

        text = queries._text
        fence = "AND state = 2 AND locked_by = :worker AND attempts = :attempts"
        queries._text = lambda name: text(name).replace(
            fence, "AND :worker IS NOT NULL AND :attempts IS NOT NULL")
    """,
}


@dataclass
class Fire:
    """What the campaign does to processes, and when."""

    kills: dict[int, float] = field(default_factory=dict)  # pid: when it was sent
    stops: list[tuple[int, float, float]] = field(default_factory=list)  # pid, from, to

    def stopped(self, pids, begin, end):
        """Seconds between *begin* and *end* in which one of *pids* was stopped."""
        return sum(
            max(0.0, min(end, to) - max(begin, since))
            for pid, since, to in self.stops
            if pid in pids
        )


class Campaign:
    """Runs it in *directory*; ``report`` checks what came of it."""

    app = "app"
    file = "jobs.sqlite"
    broken = BROKEN
    weights = (12, 6, 1)  # of performers, runners and producers among the killed
    kills_for_a_drain = 40

    def __init__(self, directory, options):
        self.directory = Path(directory)
        self.options = options
        self.chance = random.Random(options.seed)
        self.fire = Fire()
        self.runners = []
        self.producers = []
        self.restarts = self.drains = 0
        self.prepare()
        self.environment = dict(os.environ)
        if options.breaks:
            names = {"unfenced": ("time-lease", "unfenced")}.get(options.breaks, (options.breaks,))
            code = "".join(textwrap.dedent(self.broken[name]) for name in names)
            first = self.directory / "first"
            first.mkdir()
            (first / "sitecustomize.py").write_text(code)
            self.environment["PYTHONPATH"] = str(first)

    def prepare(self):
        """Write the project."""
        (self.directory / "app.py").write_text(APP)
        (self.directory / "producer.py").write_text(PRODUCER)
        (self.directory / "pyproject.toml").write_text("")
        (self.directory / "log.txt").write_text("")

    def run(self):
        """All of it, to the end of the last job."""
        try:
            self.warm_up()
            self.under_fire()
            self.wind_down()
        finally:
            for process in [*self.runners, *(process for process, _ in self.producers)]:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGCONT)
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def warm_up(self):
        share = -(-self.options.jobs // self.options.producers)
        for number in range(self.options.producers):
            first = number * share
            self.start_producer(first, min(self.options.jobs, first + share))
        self.runners = [self.start_runner() for _ in range(self.options.workers)]

    def under_fire(self):
        """Kills and stops at random moments, spread over the time that producers take."""
        shots = ["kill"] * self.options.kills + ["stop"] * self.options.stops
        shots += ["drain"] * (self.options.kills // self.kills_for_a_drain)
        self.chance.shuffle(shots)
        seconds = self.options.jobs / self.options.rate
        began = time.monotonic()
        moments = sorted(self.chance.uniform(0.5, max(1.0, seconds)) for _ in shots)
        for shot, moment in zip(shots, moments, strict=True):
            while (pause := began + moment - time.monotonic()) > 0:
                time.sleep(min(pause, 0.05))
                self.tend()
            getattr(self, shot)()
            self.tend()

    def wind_down(self):
        """Let everything that was stored be run."""
        for pid, _, _ in self.stopped_now():
            self.go_on(pid)
        quiet_since, seen = time.monotonic(), -1
        while time.monotonic() - quiet_since < self.options.quiet:
            self.tend()
            time.sleep(0.2)
            progress = self.progress()
            if progress != seen:
                quiet_since, seen = time.monotonic(), progress
            if not self.producers and self.left() == 0:
                break
        for runner in self.runners:
            runner.send_signal(signal.SIGTERM)
        for runner in self.runners:
            runner.wait(60)

    def progress(self):
        """What changes as long as anything moves."""
        return (self.directory / "log.txt").stat().st_size

    def left(self):
        """How many jobs are neither done nor given up."""
        with closing(self.database()) as connection:
            [(count,)] = connection.execute(
                "SELECT count(*) FROM background_jobs WHERE state < 4"
            ).fetchall()
        return count

    def database(self):
        return sqlite3.connect(self.directory / self.file, timeout=30)

    # What happens to processes

    def kill(self):
        """A performer, a runner or a producer, whatever it is doing."""
        kind = self.chance.choices(["performer", "runner", "producer"], self.weights)[0]
        victims = {
            "performer": [pid for runner in self.runners for pid in children(runner.pid)],
            "runner": [runner.pid for runner in self.runners],
            "producer": [process.pid for process, _ in self.producers],
        }[kind] or [runner.pid for runner in self.runners]
        self.kill_one(self.chance.choice(victims))

    def kill_one(self, pid):
        """That process now; its children end with it."""
        theirs = children(pid)
        self.fire.kills[pid] = time.monotonic()
        for child in theirs:
            self.fire.kills.setdefault(child, time.monotonic())
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def stop(self):
        victims = [runner.pid for runner in self.runners]
        victims += [pid for runner in self.runners for pid in children(runner.pid)]
        pid = self.chance.choice(victims)
        until = time.monotonic() + self.chance.uniform(*STOPPED)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            self.fire.stops.append((pid, time.monotonic(), until))

    def drain(self):
        """One runner is asked to end, as by a deploy; another takes its place."""
        runner = self.chance.choice(self.runners)
        with suppress(ProcessLookupError):
            runner.send_signal(signal.SIGTERM)
        self.drains += 1

    def tend(self):
        """Let stopped processes go on in time, and replace those that are gone."""
        for pid, _, until in self.stopped_now():
            if time.monotonic() >= until:
                self.go_on(pid)
        for index, runner in enumerate(self.runners):
            if runner.poll() is not None:
                self.runners[index] = self.start_runner()
                self.restarts += 1
        for producer in list(self.producers):
            process, last = producer
            if process.poll() is not None:
                self.producers.remove(producer)
                reached = self.reached(last)
                if process.returncode and reached < last:
                    self.start_producer(reached, last)

    def stopped_now(self):
        # A process that was meant to go on already is asked once more: signals may cross.
        return [stop for stop in self.fire.stops if stop[2] > time.monotonic() - 0.5]

    def go_on(self, pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def reached(self, last):
        """The first number, below *last*, that its producer has not attempted."""
        share = -(-self.options.jobs // self.options.producers)
        first = last - share if last % share == 0 else last - last % share
        tried = [int(line[1]) for line in self.lines() if line[0] == "attempt"]
        return max((number + 1 for number in tried if first <= number < last), default=first)

    def start_producer(self, first, last):
        rate = self.options.rate / self.options.producers
        words = [first, last, rate, self.options.burst, self.options.long, LONG]
        words += [self.options.short, self.chance.random()]
        self.producers.append((self.start("producer.py", *words), last))

    def start_runner(self):
        words = ("-m", "litejobs", "work", "--app", self.app, "--log-level", "warning")
        return self.start(*words, env=self.environment)

    def start(self, *words, env=None):
        with (self.directory / "errors.txt").open("a") as errors:
            return subprocess.Popen(
                [sys.executable, *map(str, words)], cwd=self.directory, env=env,
                stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, start_new_session=True,
            )  # fmt: skip

    def lines(self):
        text = (self.directory / "log.txt").read_text()
        return [line.split() for line in text.splitlines()]

    def report(self):
        """What the log, the database and the list of kills say."""
        with closing(self.database()) as connection:
            rows = connection.execute(
                "SELECT json_extract(handler, '$.args[0]'), state, crashes FROM background_jobs"
            ).fetchall()
        return check(self.lines(), rows, self.fire)


@dataclass
class Run:
    """One run of a job, as the log tells it."""

    pid: int
    runner: int
    attempts: int
    start: float
    done: float | None = None


def check(lines, rows, fire):
    """The figures of a campaign."""
    attempted, acknowledged = set(), set()
    runs = defaultdict(list)
    for what, number, *rest in lines:
        job = int(number)
        if what == "attempt":
            attempted.add(job)
        elif what == "stored":
            acknowledged.add(job)
        elif what == "start":
            runs[job].append(Run(*map(int, rest[:3]), float(rest[3])))
        else:
            run = next(r for r in reversed(runs[job]) if r.pid == int(rest[0]))
            run.done = float(rest[2])
    done = {job for job, all_runs in runs.items() if any(run.done for run in all_runs)}
    given_up = {job for job, state, crashes in rows if state == 5 and crashes >= 3}
    again = [run for job in done for run in runs[job] if run.done and run is not runs[job][-1]]
    gaps = [gap_to_kill(run, fire) for run in again]
    return {
        "attempted": len(attempted),
        "acknowledged": len(acknowledged),
        "done": len(done),
        "given up after 3 crashes": len(given_up),
        "lost": len(acknowledged - done - given_up),
        "duplicated": len(again),
        "unexplained": sum(gap is None or gap > SETTLEMENT for gap in gaps),
        "overlaps": sum(map(overlaps, runs.values(), [fire] * len(runs))),
        "unexpected": len(set(runs) - attempted),
        "recovered": len((done | given_up) - acknowledged),
        "left": sum(state < 4 for _, state, _ in rows),
        "settled late ms": rounded(max((gap for gap in gaps if gap is not None), default=0)),
        "restart ms": restarts(runs, fire),
    }


def gap_to_kill(run, fire):
    """Seconds from the end of a run to the kill that kept it from being recorded, if any did."""
    kills = [fire.kills[pid] for pid in (run.pid, run.runner) if pid in fire.kills]
    if not kills:
        return None
    # A performer lives a moment longer than its runner: it may end a job, even begin one.
    kill = max(run.done, min(kills))
    return kill - run.done - fire.stopped({run.pid, run.runner}, run.done, kill)


def overlaps(all_runs, fire):
    """How often a run began while another of the same job had neither ended nor been killed."""
    count = 0
    for before, after in pairwise(all_runs):
        kills = [fire.kills[pid] for pid in (before.pid, before.runner) if pid in fire.kills]
        end = before.done or min(kills, default=float("inf"))
        count += after.start < end
    return count


def restarts(runs, fire):
    """Median and maximum of what passed from a kill to the next run, beyond the job's backoff."""
    waits = [
        after.start - fire.kills[before.pid] - before.attempts**4
        for all_runs in runs.values()
        for before, after in pairwise(all_runs)
        if before.done is None
        and before.pid in fire.kills
        and after.attempts == before.attempts + 1
    ]
    return [rounded(statistics.median(waits)), rounded(max(waits))] if waits else [0, 0]


def rounded(seconds):
    """In milliseconds."""
    return round(1000 * seconds)


def children(pid):
    """The pids of a process's children."""
    with suppress(OSError):
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(word) for word in text.split()]
    return []


def is_kept(report):
    """Whether every promise was kept."""
    return not any(report[key] for key in ("lost", "overlaps", "unexpected", "unexplained", "left"))


def parse(words=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=800)
    parser.add_argument("--stops", type=int, default=200)
    parser.add_argument("--workers", type=int, default=3, help="runners, of two performers each")
    parser.add_argument("--producers", type=int, default=2)
    parser.add_argument("--rate", type=float, default=60.0, help="jobs stored in a second")
    parser.add_argument("--burst", type=int, default=1, help="jobs stored in one transaction")
    parser.add_argument("--short", type=float, default=0.0005, help="seconds that most jobs take")
    parser.add_argument("--long", type=float, default=0.02, help="share of jobs that take long")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--break", dest="breaks", choices=sorted(BROKEN))
    parser.add_argument(
        "--quiet", type=float, default=60,
        help="seconds without any progress after which what is left counts as lost",
    )  # fmt: skip
    parser.add_argument("--keep", metavar="DIRECTORY", help="keep log and database there")
    return parser.parse_args(words)


def main(words=None):
    """Run a campaign, print its report and return it."""
    return conduct(Campaign, parse(words))


def conduct(kind, options):
    """Run a campaign of that *kind*, print its report and return it."""
    with tempfile.TemporaryDirectory(prefix="campaign-") as directory:
        if options.keep:
            Path(options.keep).mkdir(parents=True)
        campaign = kind(options.keep or directory, options)
        began = time.monotonic()
        campaign.run()
        report = campaign.report() | {
            "kills": len(campaign.fire.kills),
            "stops": len(campaign.fire.stops),
            "restarts": campaign.restarts,
            "drains": campaign.drains,
            "seconds": round(time.monotonic() - began),
            "seed": options.seed,
        }
    print(json.dumps(report))
    return report


if __name__ == "__main__":
    sys.exit(0 if is_kept(main()) else 1)
