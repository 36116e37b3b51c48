"""
Power cuts: what is left of the database when the machine stops at any moment?

    python tests/campaigns/power_cut.py --cuts 1000

An adapter does everything that it can do, in a random order, on a file system that tells what was
written and what of that was synced. At random moments, between any two writes too, it is noted what
a power cut would leave: all that was synced, and of the rest any part, torn by sectors. Each such
image is opened again: it must be sound, hold a state that the database had, work, and hold all
that the adapter had acknowledged. Exit code 1 where it does not.

apsw is given such a file system. Of the standard library's sqlite3 (``--driver sqlite3``) a process
of its own is traced: what it wrote and synced is read from the words of strace.

``--durability normal`` promises less: there what was acknowledged last may be lost.

``--break off`` shows that the campaign can fail: nothing is synced. ``--break normal`` syncs as if
less were promised, ``--break transactions`` does so for all that takes more than one statement.
"""

import argparse
import json
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import apsw
import strace
from disk import Disk
from history import NOTHING, History, noted, state
from vfs import Watcher, watched
from workload import RETENTION, START, UNPROMISED, Workload

from litejobs.adapters.sqlite import connection
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.adapters.sqlite.connection import Connection
from litejobs.errors import LitejobsError
from litejobs.job import NewJob
from litejobs.testing import ManualClock

NAME = "jobs.sqlite"
CHANGES = ("write", "truncate", "sync", "delete")
CHECKPOINT = 30  # pages in the -wal, rather than 2,000: so that there are some


def never_synced(self, *, durable):
    if self._synchronous != "OFF":
        self._run(connection._all_rows, "PRAGMA synchronous = OFF")
        self._synchronous = "OFF"


synchronise, transaction = Connection.synchronise, Connection.transaction
BROKEN = {
    "off": {"synchronise": never_synced},
    "normal": {"synchronise": lambda self, *, durable: synchronise(self, durable=False)},
    "transactions": {"transaction": lambda self, *, durable=True: transaction(self, durable=False)},
}


@dataclass(frozen=True)
class Cut:
    """One power cut: what it left, and how far the history was."""

    files: dict[str, bytes]
    operation: str
    acknowledged: int
    committed: int


class Cutter(Watcher):
    """Cuts the power at random moments, and lets everything go on nevertheless."""

    def __init__(self, disk, chance, share):
        super().__init__(disk)
        self.chance = chance
        self.share = share  # of the moments between two changes; thrice as many of the quiet ones
        self.history = None
        self.cuts = []

    def before(self, call, name):
        if call in CHANGES and self.chance.random() < self.share:
            self.cut()

    def hear(self, event, *_):
        if event == "acknowledge" and self.chance.random() < 3 * self.share:
            self.cut()

    def cut(self):
        history = self.history
        committed = len(history.states) - 1
        files = self.disk.after_cut(self.chance)
        self.cuts.append(Cut(files, history.operation, history.acknowledged, committed))


class Campaign:
    """Runs it in *directory*, one database after the other."""

    def __init__(self, directory, options):
        self.directory = Path(directory).resolve()
        self.options = options
        self.chance = random.Random(options.seed)
        self.counts = Counter()
        self.by_operation = Counter()  # in which the power was cut
        self.lost = Counter()  # the operations that were acknowledged and lost
        self.seen = 0
        self.left = {}  # by a cut before

    def run(self):
        while self.seen < self.options.cuts:
            self.counts["databases"] += 1
            directory = self.directory / str(self.counts["databases"])
            directory.mkdir()
            first = self.prepare(directory)
            cutter = Cutter(Disk(directory), self.chance, self.options.share)
            cutter.history = History(first, cutter.hear)
            if self.options.driver == "apsw":
                self.watch(directory, cutter)
            else:
                self.trace(directory, cutter)
            for cut in cutter.cuts[: self.options.cuts - self.seen]:
                self.seen += 1
                self.check(cut, cutter.history)

    def prepare(self, directory):
        """
        Sometimes there is a database; its state.

        An empty file, an app's own, or what a cut has left: so that some fall into a recovery.
        """
        kind = self.chance.choice(("none", "empty", "app", "left"))
        if kind == "left":
            with self.image(self.left) as path:
                first = look(path)
            if first is not None:  # else it is corrupt, and counted
                write(self.left, directory)
                return first
        elif kind == "app":
            return make_app(directory / NAME)
        elif kind == "empty":
            (directory / NAME).touch()
        return NOTHING

    @contextmanager
    def image(self, files):
        """The database among *files*, in a place of their own."""
        with tempfile.TemporaryDirectory(dir=self.directory) as place:
            write(files, Path(place))
            yield Path(place) / NAME

    def watch(self, directory, cutter):
        """Let an adapter work on a file system that is watched."""
        with watched(cutter):
            work(directory, self.options, self.chance.random(), cutter.history)

    def trace(self, directory, cutter):
        """As ``watch``, of a process of its own."""
        words = ["--driver", self.options.driver, "--durability", self.options.durability]
        words += ["--steps", self.options.steps, "--seed", self.chance.randrange(10**9)]
        words += ["--break", self.options.breaks] if self.options.breaks else []
        trace = self.directory / "trace"
        program = Path(__file__).with_name("traced.py")
        strace.traced([sys.executable, program, directory, *words], trace)
        for event in strace.events(trace):
            replay(event, cutter, directory)

    def check(self, cut, history):
        """Open what is left, and count what is wrong with it."""
        self.by_operation[cut.operation] += 1
        done = history.made_by[1 : cut.acknowledged + 1]
        self.counts["acknowledged"] += sum(one not in UNPROMISED for one in done)
        # The last one may have been on the disk before the program heard of it.
        known = history.states[: cut.committed + 2]
        with self.image(cut.files) as path:
            left = look(path)
            self.counts["corrupt"] += left is None
            self.counts["non-prefix"] += left not in (None, *known)
            self.counts["unusable"] += left is not None and not works(path)
        if left in known:
            reached = len(known) - 1 - known[::-1].index(left)
            self.count_lost(history.made_by[reached + 1 : cut.acknowledged + 1])
        self.left = cut.files

    def count_lost(self, operations):
        """Those had been acknowledged, and what they did is gone."""
        lost = [one for one in operations if one not in UNPROMISED]
        self.counts["lost"] += len(lost)
        self.counts["cuts that lost"] += bool(lost)
        self.counts["locks lost"] += len(operations) - len(lost)
        self.lost.update(lost)

    def report(self):
        names = ("databases", "acknowledged", "lost", "cuts that lost", "locks lost")
        names += ("corrupt", "non-prefix", "unusable")
        return (
            {"cuts": self.seen}
            | {name: self.counts[name] for name in names}
            | {"cuts in": dict(self.by_operation.most_common())}
            | {"lost of": dict(self.lost.most_common())}
        )


def make_app(path):
    """The database of an app that has no jobs yet; its state."""
    with closing(sqlite3.connect(path)) as app:
        app.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, text TEXT)")
        app.execute("INSERT INTO orders (text) VALUES (?)", ["x" * 5000])
        app.commit()
        return state(app.execute)


def write(files, directory):
    """Put *files*, bytes by their names, into a directory."""
    for name, content in files.items():
        (directory / name).write_bytes(content)


def work(directory, options, seed, history):
    """Everything that an adapter does, in a random order; *history* is told of it."""
    adapter = SqliteAdapter(
        directory / NAME,
        driver=options.driver,
        durability=options.durability,
        retention=RETENTION,
        clock=ManualClock(START),
    )
    broken = BROKEN.get(options.breaks)
    with (
        noted(history),
        mock.patch.object(connection, "_CHECKPOINT", CHECKPOINT),
        mock.patch.multiple(Connection, **broken) if broken else nullcontext(),
    ):
        workload = Workload(adapter, random.Random(seed), history)
        workload.open()
        for _ in range(options.steps):
            workload.step()
        adapter.close()


def replay(event, cutter, directory):
    """Do to the disk of *cutter* what a traced process did."""
    kind, what = event[:2]
    if kind == "printed":
        name, *words = what
        getattr(cutter.history, name)(*words)
    elif what == directory and kind == "sync":
        cutter.disk.sync_directory()
    elif cutter.disk.name_of(what) and not what.name.endswith("-shm"):
        cutter.before(kind, what.name)
        if kind == "open":
            cutter.disk.open(what.name)
        elif kind == "delete":
            cutter.disk.delete(what.name)
        else:
            file = cutter.disk.open(what.name)
            match event:
                case "write", _, data, offset:
                    file.write(offset, data)
                case "truncate", _, size:
                    file.truncate(size)
                case "sync", _:
                    file.sync()


def look(path):
    """The state of a database, or None if it is corrupt."""
    if not path.exists():
        return NOTHING
    try:
        with closing(apsw.Connection(str(path))) as database:
            sound = database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            return state(database.execute) if sound else None
    except (apsw.Error, UnicodeDecodeError):  # a torn text is none that SQLite would notice
        return None


def works(path):
    """Whether jobs can be stored and found in it."""
    adapter = SqliteAdapter(path, driver="apsw", clock=ManualClock(START))
    try:
        [id_] = adapter.schedule([NewJob("{}", "new", -1, 0)])
        [job] = adapter.find(worker="w", queues=["new"], max_runtime=60)
    except LitejobsError:
        return False
    else:
        return job.id == id_
    finally:
        adapter.close()


def is_kept(report):
    """Whether every promise was kept."""
    lost = report["lost"] if report["durability"] == "full" else 0
    return not (lost or report["corrupt"] or report["non-prefix"] or report["unusable"])


def parse(words=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--cuts", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=40, help="operations on one database")
    parser.add_argument("--share", type=float, default=0.1, help="of the moments that are cut")
    parser.add_argument("--durability", choices=["full", "normal"], default="full")
    parser.add_argument("--driver", choices=["apsw", "sqlite3"], default="apsw")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--break", dest="breaks", choices=sorted(BROKEN))
    return parser.parse_args(words)


def main(words=None):
    """Run a campaign and print its report."""
    options = parse(words)
    if options.driver == "sqlite3" and not strace.is_there():
        sys.exit("strace is not here, or may not trace: of sqlite3 nothing can be said")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="campaign-") as directory:
        campaign = Campaign(directory, options)
        campaign.run()
        report = campaign.report() | {
            "driver": options.driver,
            "durability": options.durability,
            "seconds": round(time.monotonic() - began),
            "seed": options.seed,
        }
    print(json.dumps(report))
    return report


if __name__ == "__main__":
    sys.exit(0 if is_kept(main()) else 1)
