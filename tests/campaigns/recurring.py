"""
Schedules while runners die and the clock goes wrong: each time makes one job, and only one.

    python tests/campaigns/recurring.py --schedules 500 --hours 48 --kills 60 --seed 20261125

An app declares so many schedules, by cron in several time zones and by intervals, and all missed
times are wanted. All processes read one clock that the campaign moves, some minutes at a time, over
hours in which clocks of one of the zones are put forward or back. Meanwhile runners are killed with
their processes, restarted by SIGTERM, and stopped for a while; the clock steps by an hour.

A trigger notes each job that is stored, for which time, and when. Which times were due is computed
here without any code of litejobs: for intervals by arithmetic from the first time, for cron by a
walk over each minute. A job is early if no process was ever shown its time before it was stored.

``--break unfenced`` lets each worker that has read a schedule make its runs, ``--break recompute``
counts the next time from now whenever workers start, ``--break apart`` stores the next time before
the runs, and ``--break ahead`` makes runs ten minutes too soon.

    python tests/campaigns/recurring.py --lateness 20 --seconds 30
    python tests/campaigns/recurring.py --burst 10000

By the machine's clock: how long after its time a job is stored, and begins, with one idle runner
and so many schedules, each every two seconds; and how long it takes until the jobs of so many
schedules that are due at one moment are stored, and run.
"""

import argparse
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from bisect import bisect_right
from collections import Counter
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from clock_jumps import CLOCK, HOUR, SLACK, Wall
from commands import Project
from kill import children

DEADLINE = 60  # seconds until something that must happen counts as never
MINUTE = 60_000  # milliseconds
PERIOD = 2  # seconds between two runs of each schedule whose lateness is measured
ZONES = ("UTC", "Europe/Rome", "America/New_York", "Asia/Kolkata", "Pacific/Auckland")
EXPRESSIONS = (
    "*/5 * * * *", "0 * * * *", "17 3 * * *", "30 2 * * *", "30 1 * * *", "0 */2 * * *",
    "5,35 * * * *", "0 0 * * *", "10 1-4 * * *", "*/20 2,3 * * 6,0", "0 12 1 * 1", "45 23 * * *",
)  # fmt: skip
CHANGES = (  # of clocks: in Rome, in New York, and none
    datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC),
    datetime(2026, 3, 8, 7, tzinfo=UTC), datetime(2026, 11, 1, 6, tzinfo=UTC),
    datetime(2026, 6, 15, 12, tzinfo=UTC),
)  # fmt: skip
BROKEN = {
    "unfenced": """
        from litejobs.adapters.sqlite import queries
        from litejobs.adapters.sqlite.schedules import SqliteSchedules

        text = queries._text
        fence = "AND version = :version AND next_run_at = :slot AND paused_at IS NULL"
        assert fence in text("schedules.sql")
        queries._text = lambda name: text(name).replace(
            fence, "AND :version IS NOT NULL AND :slot IS NOT NULL")
        firing = SqliteSchedules._firing

        def slow(self, row, now):
            time.sleep(0.002)  # others read the same meanwhile
            return firing(self, row, now)

        SqliteSchedules._firing = slow
    """,
    "recompute": """
        from litejobs.adapters.sqlite.schedules import SqliteSchedules

        keep = SqliteSchedules._keep

        def recomputing(self, schedule, owner):
            now = self._now()
            moment = schedule.timing(now).after(now)
            is_kept = keep(self, schedule, owner)
            self._execute(
                f"UPDATE {self._adapter.table}_recurring SET next_run_at = :next "
                "WHERE name = :name", next=moment, name=schedule.name)
            return is_kept

        SqliteSchedules._keep = recomputing
    """,
    "apart": """
        from litejobs.adapters.sqlite.schedules import SqliteSchedules

        def fire(self):
            now = self._now()
            rows = self._execute(self._sql.due, now=now, limit=100)
            for firing in [self._firing(row, now) for row in rows]:
                held = self._execute(
                    self._sql.advance, id=firing.id, version=firing.version, slot=firing.slot,
                    next=firing.next, error=firing.error, now=now)
                time.sleep(0.05)
                if held:
                    with self._adapter.transaction_that_settles():
                        for slot in firing.slots:
                            self._store(firing.schedule, slot, now)
            self._adapter.ring()

        SqliteSchedules.fire = fire
    """,
    "ahead": """
        from litejobs.adapters.sqlite.schedules import SqliteSchedules

        SqliteSchedules._now = lambda self: now() + 600_000
    """,
}
APP = """
    import json, os, time
    from pathlib import Path
    from litejobs import JobManager, Schedule, SqliteAdapter, WorkerGroup, current_job

    here = Path(__file__).parent
    jobs = JobManager(
        {"sqlite": SqliteAdapter(here / "db.sqlite")},
        workers=[WorkerGroup(count=1, **json.loads((here / "group.json").read_text()))],
    )
    schedules = [
        Schedule(**one, missed="all", catch_up=10_000, overlap="allow")
        for one in json.loads((here / "schedules.json").read_text())
    ]
    notes = os.environ.get("NOTES")
    log = notes and os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    @jobs.job(schedule=schedules)
    def run():
        if log:
            at = time.time_ns() / 1e6
            slot = round(1000 * current_job().slot.timestamp())
            os.write(log, f"{slot} {at}\\n".encode())
"""
# SQLite reads the machine's clock by itself.
TRIGGERS = """
    CREATE TABLE began (name TEXT, cron TEXT, timezone TEXT, every INTEGER, first INTEGER,
                        created_at INTEGER);
    CREATE TABLE noted (name TEXT, slot INTEGER, created_at INTEGER, machine REAL);
    CREATE TRIGGER new_schedule AFTER INSERT ON background_jobs_recurring BEGIN
      INSERT INTO began VALUES (
        NEW.name, NEW.cron, NEW.timezone, NEW.every, NEW.next_run_at, NEW.created_at);
    END;
    CREATE TRIGGER stored AFTER INSERT ON background_jobs BEGIN
      INSERT INTO noted VALUES (
        json_extract(NEW.handler, '$.schedule'), json_extract(NEW.handler, '$.slot'),
        NEW.created_at, (julianday('now') - 2440587.5) * 86400000.0);
    END;
"""
WORK = ("-m", "litejobs", "work", "--app", "app", "--log-level", "warning")


# Which times are due


class Expression:
    """A cron expression of numbers."""

    def __init__(self, expression):
        fields = expression.split()
        bounds = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
        values = [values_of(*one) for one in zip(fields, bounds, strict=True)]
        self.minutes, self.hours, self.days, self.months, weekdays = values
        self.weekdays = {day % 7 for day in weekdays}
        self.is_either = not (fields[2].startswith("*") or fields[4].startswith("*"))
        self.goes_on = self.hours == set(range(24))

    def matches(self, wall):
        """Whether it names what clocks show."""
        of_month, of_week = wall.day in self.days, wall.isoweekday() % 7 in self.weekdays
        is_day = of_month or of_week if self.is_either else of_month and of_week
        return (
            is_day
            and wall.minute in self.minutes
            and wall.hour in self.hours
            and wall.month in self.months
        )


def values_of(field, bounds):
    """The numbers that a field of an expression names."""
    values = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        low, _, high = span.partition("-")
        first, last = bounds if span == "*" else (int(low), int(high or low))
        values |= set(range(first, last + 1, int(step or 1)))
    return values


def of_cron(expression, timezone, after, until):
    """The moments that it names, after one and until another, by a look at each minute."""
    expression, zone = Expression(expression), ZoneInfo(timezone)
    moments = []
    minute = after // MINUTE * MINUTE
    before = shown(minute, zone)
    while (minute := minute + MINUTE) <= until:
        wall = shown(minute, zone)
        plain = wall.replace(tzinfo=None)
        skipped = before.replace(tzinfo=None) + timedelta(minutes=1)
        is_due = expression.matches(wall) and (expression.goes_on or not wall.fold)
        while skipped < plain and not is_due:
            is_due = expression.matches(skipped)
            skipped += timedelta(minutes=1)
        if is_due:
            moments.append(minute)
        before = wall
    return moments


def shown(moment, zone):
    """What clocks there show at a whole minute."""
    return datetime.fromtimestamp(moment // 1000, zone)


def all_due(began, until):
    """The times of each schedule until then: of those rows that tell how they began."""
    found, known = set(), {}
    for name, cron, timezone, every, first, created_at in began:
        if cron is None:
            moments = range(first, until + 1, every)
        else:
            since = created_at // MINUTE
            if (cron, timezone, since) not in known:
                known[cron, timezone, since] = of_cron(cron, timezone, created_at, until)
            moments = known[cron, timezone, since]
        found |= {(name, moment) for moment in moments}
    return found


def latest_of(wall):
    """What a moment by the machine's clock, in milliseconds, gives: the most shown until then."""
    begins, most = [], []
    top = float("-inf")
    for since, to, offset in wall.spans:
        begins.append(since)
        most.append((top, offset))
        top = max(top, 1000 * to + wall._ahead + offset)

    def latest(machine):
        top, offset = most[max(0, bisect_right(begins, (machine - wall._ahead) / 1000) - 1)]
        return max(top, machine + offset)

    return latest


def check(due, later, noted, latest):
    """
    The figures of a campaign.

    *due* are those that must be stored, *later* those that may be stored too, for the clock goes on
    until all processes have ended.
    """
    fired = Counter((name, slot) for name, slot, _, _ in noted)
    return {
        "slots due": len(due),
        "fired": len(noted),
        "doubled": sum(count - 1 for count in fired.values()),
        "lost": len(due - fired.keys()),
        "early": sum(
            slot is not None and (created_at < slot or latest(machine + SLACK) < slot)
            for _, slot, created_at, machine in noted
        ),
        "unexpected": len(fired.keys() - due - later),
    }


def is_kept(report):
    """Whether every promise was kept."""
    return not any(report.get(key) for key in ("doubled", "lost", "early", "unexpected"))


# The app, its database and its runners


class Stand:
    """An app with *schedules* below *home*, and what was stored by it."""

    def __init__(self, home, schedules, **group):
        self.project = Project(home)
        self.project.write("app.py", APP)
        self.project.write("schedules.json", json.dumps(schedules))
        self.project.write("group.json", json.dumps(group))
        self.count = len(schedules)
        self.runners = []

    def make_database(self):
        self.project.make_database()
        with closing(self.database()) as database:
            database.executescript(TRIGGERS)

    def start(self):
        with (self.project.directory / "errors.txt").open("a") as errors:
            return self.project.start(*WORK, stdout=errors, stderr=errors)

    def wait_for_schedules(self):
        """Until the first runner has stored them."""
        self.wait(lambda: self.ask("SELECT count(*) FROM began")[0][0] == self.count)

    def wait(self, is_so, seconds=DEADLINE):
        end = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > end:
                raise TimeoutError(self.project.read("errors.txt")[-5000:])
            time.sleep(0.02)

    def stop(self):
        """Ask all runners to end, and wait until they have."""
        for runner in self.runners:
            runner.send_signal(signal.SIGTERM)
        for runner in self.runners:
            with suppress(Exception):
                runner.wait(20)

    def end(self):
        """Whatever is left."""
        self.project.kill_all()
        for runner in self.runners:
            runner.wait()

    def stored_count(self):
        return self.ask("SELECT count(*) FROM noted")[0][0]

    def database(self):
        return sqlite3.connect(self.project.database, timeout=30)

    def ask(self, sql, *values):
        with closing(self.database()) as database, database:
            return database.execute(sql, values).fetchall()


class Campaign(Stand):
    """Runs it below *home*; ``report`` checks what came of it."""

    def __init__(self, home, options):
        self.options = options
        self.chance = random.Random(options.seed)
        super().__init__(home, self.schedules(), sleep_delay=0.05)
        file = Path(home) / "offset"
        self.wall = Wall(file)
        self.project.run_first(CLOCK.format(file=str(file)))
        for name in options.breaks:
            self.project.run_first(BROKEN[name])
        length = options.hours * HOUR
        change = 1000 * int(self.chance.choice(CHANGES).timestamp())
        self.begin = change - round(self.chance.uniform(0.2, 0.8) * length)
        self.length = length
        self.stopped = []  # (pids, until)
        self.leaving = set()  # pids of those that were asked to end
        self.kills = self.steps = self.suspends = self.restarts = self.died = 0

    def schedules(self):
        found = []
        for number in range(self.options.schedules):
            one = {"name": f"s{number}"}
            if self.chance.random() < 0.5:
                one["cron"] = self.chance.choice(EXPRESSIONS)
                one["timezone"] = self.chance.choice(ZONES)
            else:
                one["every"] = round(300 * 72 ** self.chance.random(), 3)  # 5 minutes to 6 hours
            found.append(one)
        return found

    def run(self):
        """All of it, until what is due is stored."""
        self.make_database()
        self.wall.jump(self.begin - time.time_ns() // 1_000_000)
        del self.wall.spans[0]  # nobody has seen it
        try:
            self.runners = [self.start()]
            self.wait_for_schedules()
            self.runners += [self.start() for _ in range(self.options.workers - 1)]
            self.pass_hours()
            self.wind_down()
        finally:
            self.end()
        self.ended_at = self.now()

    def now(self):
        """What the clock shows."""
        return time.time_ns() // 1_000_000 + self.wall.offset

    def pass_hours(self):
        """The clock goes on by uneven steps; between them something happens to runners."""
        paces = []
        while sum(paces) < self.length:
            paces.append(round(self.chance.uniform(1, 3) * MINUTE))
        o = self.options
        happens = ["kill"] * o.kills + ["step"] * o.steps + ["suspend"] * o.suspends
        happens += ["restart"] * o.restarts
        at = {}
        for what in happens:
            at.setdefault(self.chance.randrange(len(paces)), []).append(what)
        passed, self.aside = self.wall.offset, 0
        for index, pace in enumerate(paces):
            passed += pace
            for what in at.get(index, ()):
                getattr(self, what)()
            self.wall.jump(passed + self.aside * HOUR)
            time.sleep(o.pace * self.chance.uniform(0.7, 1.3))
            self.tend()

    # What happens

    def kill(self):
        """One runner with its processes; another takes its place."""
        index = self.chance.randrange(len(self.runners))
        runner = self.runners[index]
        for pid in (*children(runner.pid), runner.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        runner.wait()
        self.runners[index] = self.start()
        self.kills += 1

    def restart(self):
        """One is asked to end, as by a deploy; ``tend`` starts another."""
        runner = self.chance.choice(self.runners)
        self.leaving.add(runner.pid)
        with suppress(ProcessLookupError):
            runner.send_signal(signal.SIGTERM)
        self.restarts += 1

    def step(self):
        """The clock is put an hour forward or back, at most one from where it should be."""
        self.aside = self.chance.choice([aside for aside in (-1, 0, 1) if aside != self.aside])
        self.steps += 1

    def suspend(self):
        """Stop one runner with its processes for a while, in which the clock goes on."""
        runner = self.chance.choice(self.runners)
        pids = (runner.pid, *children(runner.pid))
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        until = time.monotonic() + self.chance.uniform(0.2, self.options.longest)
        self.stopped.append((pids, until))
        self.suspends += 1

    def tend(self):
        """Let stopped processes go on in time, and replace runners that have ended."""
        now = time.monotonic()
        for pids, until in self.stopped:
            if until <= now:
                self.go_on(pids)
        self.stopped = [one for one in self.stopped if one[1] > now]
        for index, runner in enumerate(self.runners):
            if runner.poll() is not None:
                self.died += runner.pid not in self.leaving
                self.runners[index] = self.start()

    def go_on(self, pids):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def wind_down(self):
        """Until all that was due by the latest that the clock ever showed is stored."""
        for pids, _ in self.stopped:
            self.go_on(pids)
        self.stopped = []
        most = max(offset for _, _, offset in self.wall.spans)
        self.wall.jump(most)
        self.due_at = self.now()
        due = len(self.due(self.due_at))
        quiet_since, seen = time.monotonic(), -1
        while time.monotonic() - quiet_since < self.options.quiet and seen < due:
            time.sleep(0.05)
            self.tend()
            [(stored,)] = self.ask(
                "SELECT count(*) FROM (SELECT DISTINCT name, slot FROM noted WHERE slot <= ?)",
                self.due_at,
            )
            if stored != seen:
                quiet_since, seen = time.monotonic(), stored
        self.stop()

    def due(self, until):
        return all_due(self.ask("SELECT * FROM began"), until)

    def report(self):
        due = self.due(self.due_at)
        noted = self.ask("SELECT * FROM noted")
        report = check(due, self.due(self.ended_at) - due, noted, latest_of(self.wall))
        happened = ("restarts", "kills", "steps", "suspends", "died")
        return report | {name: getattr(self, name) for name in happened}


# By the machine's clock


def lateness(home, options):
    """How much later than its time a job is stored, and begins."""
    count = options.lateness
    stand = Stand(home, [{"name": f"s{n}", "every": PERIOD} for n in range(count)])
    os.environ["NOTES"] = str(stand.project.directory / "log.txt")
    stand.make_database()
    try:
        stand.runners = [stand.start()]
        stand.wait_for_schedules()
        begin = time.time_ns() // 1_000_000 + 1000 * PERIOD
        with closing(stand.database()) as database, database:
            database.executemany(
                "UPDATE background_jobs_recurring SET next_run_at = ? WHERE name = ?",
                [(begin + 1000 * PERIOD * n // count, f"s{n}") for n in range(count)],
            )
        time.sleep(PERIOD + options.seconds)
        stand.stop()
    finally:
        stand.end()
        del os.environ["NOTES"]
    since = begin + 1000 * PERIOD  # by then it knows of the times that were set
    noted = stand.ask("SELECT slot, created_at FROM noted WHERE slot >= ?", since)
    lines = [line.split() for line in stand.project.read("log.txt").splitlines()]
    begun = [float(at) - int(slot) for slot, at in lines if int(slot) >= since]
    return {
        "schedules": count,
        "jobs": len(noted),
        "stored ms": spread([created_at - slot for slot, created_at in noted]),
        "begun ms": spread(begun),
    }


def spread(values):
    """Their median, their 99th percentile and the most."""
    ranked = sorted(values)
    at = {"p50": 0.5, "p99": 0.99, "most": 1.0}
    return {
        name: round(ranked[min(len(ranked) - 1, int(share * len(ranked)))], 2)
        for name, share in at.items()
        if ranked
    }


def burst(home, options):
    """How long it takes until the jobs of schedules that are due at once are stored, and run."""
    count = options.burst
    stand = Stand(home, [{"name": f"s{n}", "every": 3600} for n in range(count)])
    stand.make_database()
    try:
        stand.runners = [stand.start()]
        stand.wait_for_schedules()
        moment = time.time_ns() // 1_000_000 + 2000
        stand.ask("UPDATE background_jobs_recurring SET next_run_at = ?", moment)
        left = "SELECT count(*) FROM background_jobs"
        with suppress(TimeoutError):
            stand.wait(lambda: stand.stored_count() >= count and not stand.ask(left)[0][0])
        done = time.time_ns() / 1e6
        stand.stop()
    finally:
        stand.end()
    [(stored, last)] = stand.ask("SELECT count(DISTINCT name), max(machine) FROM noted")
    return {
        "schedules": count,
        "doubled": stand.stored_count() - stored,
        "lost": count - stored,
        "stored seconds": round(((last or moment) - moment) / 1000, 2),
        "run seconds": round((done - moment) / 1000, 2),
    }


def parse(words=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--schedules", type=int, default=500)
    parser.add_argument("--hours", type=float, default=48.0, help="that pass by the clock")
    parser.add_argument("--workers", type=int, default=4, help="runners, of one performer each")
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--restarts", type=int, default=20)
    parser.add_argument("--steps", type=int, default=40, help="of the clock, by an hour or two")
    parser.add_argument("--suspends", type=int, default=30)
    parser.add_argument("--longest", type=float, default=1.5, help="seconds of a suspend")
    parser.add_argument(
        "--pace", type=float, default=0.1, help="seconds in which two minutes pass, about"
    )
    parser.add_argument(
        "--quiet", type=float, default=30, help="seconds without progress at the end"
    )
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument(
        "--break", dest="breaks", choices=sorted(BROKEN), action="append", default=[]
    )
    parser.add_argument("--lateness", type=int, metavar="SCHEDULES", help="measure that instead")
    parser.add_argument("--seconds", type=float, default=30.0, help="for which it is measured")
    parser.add_argument("--burst", type=int, metavar="SCHEDULES", help="measure that instead")
    return parser.parse_args(words)


def main(words=None):
    """Run a campaign, or measure, and print the report."""
    options = parse(words)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="recurring-") as home:
        if options.lateness:
            report = lateness(home, options)
        elif options.burst:
            report = burst(home, options)
        else:
            campaign = Campaign(home, options)
            campaign.run()
            report = campaign.report() | {"seed": options.seed}
            if not is_kept(report):
                print(campaign.project.read("errors.txt")[-5000:], file=sys.stderr)
    report["seconds"] = round(time.monotonic() - began)
    print(json.dumps(report))
    return report


if __name__ == "__main__":
    sys.exit(0 if is_kept(main()) else 1)
