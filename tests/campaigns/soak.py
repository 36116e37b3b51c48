"""
Jobs at a steady rate for long, with kills and recycles: nothing may grow.

    python tests/campaigns/soak.py --minutes 30 --seed 20261124

Two runners, of two performers each, run what a producer stores. Performers are killed and, after so
many jobs, recycled; one runner is killed, and drained as by a deploy, again and again; the other
one and the producer go on as long as the campaign. Every few seconds the memory, descriptors and
threads of each process are looked at, and the sizes of the database and its log.

What is told of the second half is a straight line through the samples of each process (least
squares), one slope for all processes of a kind. Something leaks if by that slope, less twice its
standard error, it grows in that half by more than ALLOWED. Jobs are counted as in kill.py.

``--break descriptors`` loses a descriptor in the runner for each round of jobs, ``--break memory``
keeps a hundred thousand bytes of each job in its performer.
"""

import argparse
import json
import random
import sys
import tempfile
import textwrap
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import kill

#: By how much each may grow in the second half.
ALLOWED = {"MiB": 4.0, "descriptors": 6.0, "threads": 2.0, "bytes": 12.0 * 2**20}
FEWEST = 4  # samples of a process that say anything
BROKEN = {
    "descriptors": """
        import os
        from litejobs.worker import Worker

        tell = Worker._tell

        def leaking_tell(self, ended):
            os.dup(2)
            tell(self, ended)

        Worker._tell = leaking_tell
    """,
    "memory": """
        from litejobs.execution import Execution

        run, kept = Execution.run, []

        def leaking_run(self, *job):
            kept.append(b"x" * 100_000)
            return run(self, *job)

        Execution.run = leaking_run
    """,
}


class Soak(kill.Campaign):
    """A campaign that samples what its processes use."""

    kills_for_a_drain = 5

    def __init__(self, directory, options):
        super().__init__(directory, options)
        app = kill.APP.replace("count=2", f"count=2, max_jobs={options.max_jobs}")
        (self.directory / "app.py").write_text(app)
        self.began = time.monotonic()
        self.looked_at = 0.0
        self.samples = defaultdict(list)  # (kind, pid): (seconds, {what: how much})
        if options.leaks:
            first = self.directory / "first"
            first.mkdir()
            code = "".join(textwrap.dedent(BROKEN[name]) for name in options.leaks)
            (first / "sitecustomize.py").write_text(code)
            self.environment["PYTHONPATH"] = str(first)

    def warm_up(self):
        super().warm_up()
        while not any(line[0] == "start" for line in self.lines()):
            time.sleep(0.01)

    def kill(self):
        """A performer of any runner, or a runner that is not spared."""
        victims = [pid for runner in self.runners for pid in kill.children(runner.pid)]
        if self.chance.random() < 0.1:
            victims = [runner.pid for runner in self.runners[1:]]
        if victims:
            self.kill_one(self.chance.choice(victims))

    def drain(self):
        spared, *others = self.runners
        self.runners = others
        super().drain()
        self.runners = [spared, *others]

    def tend(self):
        super().tend()
        if time.monotonic() - self.looked_at > self.options.every:
            self.looked_at = time.monotonic()
            self.look()

    def look(self):
        """Take a sample of everything that is there."""
        for runner in self.runners:
            self.sample("runner", runner.pid)
            for pid in kill.children(runner.pid):
                self.sample("performer", pid)
        for process, _ in self.producers:
            self.sample("producer", process.pid)
        for kind, name in (("database", "jobs.sqlite"), ("log of it", "jobs.sqlite-wal")):
            with suppress(FileNotFoundError):
                self.note(kind, 0, {"bytes": (self.directory / name).stat().st_size})

    def sample(self, kind, pid):
        with suppress(OSError, KeyError):
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            status = dict(line.split(":\t", 1) for line in lines)
            descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            used = {
                "MiB": int(status["VmRSS"].split()[0]) / 1024,
                "descriptors": descriptors,
                "threads": int(status["Threads"]),
            }
            self.note(kind, pid, used)

    def note(self, kind, pid, used):
        self.samples[kind, pid].append((time.monotonic() - self.began, used))

    def growth(self):
        """Of each kind, what it used at first and at last, and how that grows in an hour."""
        seconds = max(samples[-1][0] for samples in self.samples.values())
        figures, leaks = {}, []
        for kind in ("runner", "performer", "producer", "database", "log of it"):
            series = [samples for (of, _), samples in self.samples.items() if of == kind]
            for what in series[0][-1][1] if series else ():
                values = settled(series, what, seconds)
                slope, error = trend([[p for p in one if p[0] > seconds / 2] for one in values])
                seen = [value for one in values for _, value in one]
                ends = (seen[0], seen[-1]) if seen else ()
                figures[f"{kind} {what}"] = [*map(round_, ends), round_(3600 * slope)]
                if (slope - 2 * error) * seconds / 2 > ALLOWED[what]:
                    leaks.append(f"{kind} {what}")
        return figures | {"leaks": leaks}


def settled(series, what, seconds):
    """The samples of one thing, process by process, without the first moments of each."""
    settling = min(20.0, seconds / 10)
    return [
        [(t, used[what]) for t, used in samples if t > samples[0][0] + settling]
        for samples in series
    ]


def trend(series):
    """
    The slope that all series have in common, and its standard error; each has a level of its own.

    >>> trend([[(0, 5), (1, 7), (2, 9), (3, 11)], [(9, 1), (10, 3), (11, 5), (12, 7)]])
    (2.0, 0.0)
    """
    points = []
    for samples in series:
        if len(samples) >= FEWEST:
            times, values = zip(*samples, strict=True)
            middle, mean = sum(times) / len(times), sum(values) / len(values)
            points += [(t - middle, value - mean) for t, value in samples]
    spread = sum(t * t for t, _ in points)
    if not spread:
        return 0.0, 0.0
    slope = sum(t * value for t, value in points) / spread
    rest = sum((value - slope * t) ** 2 for t, value in points)
    return slope, (rest / len(points) / spread) ** 0.5


def round_(number):
    return round(number, 1) if number < 1000 else round(number)


def is_kept(report):
    """Whether every promise was kept, and nothing grew."""
    return kill.is_kept(report) and not report["leaks"]


def parse(words=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument(
        "--rate", type=float, default=200.0, help="jobs stored in a second, or less"
    )
    parser.add_argument("--kills-a-minute", type=float, default=6)
    parser.add_argument("--max-jobs", type=int, default=5000, help="jobs until a performer is new")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two samples")
    parser.add_argument("--workers", type=int, default=2, help="runners, of two performers each")
    parser.add_argument("--quiet", type=float, default=30)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument(
        "--break", dest="leaks", choices=sorted(BROKEN), action="append", default=[]
    )
    options = parser.parse_args(words)
    options.jobs = round(options.minutes * 60 * options.rate)
    options.kills = round(options.minutes * options.kills_a_minute)
    options.stops, options.producers, options.burst = 0, 1, 5
    options.short, options.long, options.breaks = 0.0005, 0.005, None
    return options


def main(words=None):
    """Run a soak and print its report."""
    options = parse(words)
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        soak = Soak(directory, options)
        soak.run()
        report = soak.report() | soak.growth() | {
            "kills": len(soak.fire.kills),
            "restarts": soak.restarts,
            "drains": soak.drains,
            "jobs a second": round(options.jobs / max(1.0, soak.looked_at - soak.began)),
            "seconds": round(time.monotonic() - soak.began),
            "seed": options.seed,
        }  # fmt: skip
    print(json.dumps(report))
    return report


if __name__ == "__main__":
    sys.exit(0 if is_kept(main()) else 1)
