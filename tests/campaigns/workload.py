"""Everything that an adapter does with jobs, in a random order."""

from contextlib import suppress
from datetime import UTC, datetime

from litejobs import Keep
from litejobs.adapters.sqlite.inspection import Inspection
from litejobs.adapters.sqlite.vacuum import vacuum
from litejobs.errors import DuplicateJobError, JobStateError
from litejobs.job import Find, Limits, NewJob, Outcome, Unique
from litejobs.run_directory import identity

LIMITS = Limits()
START = datetime.fromtimestamp(1_800_000_000, UTC)
LIVING = "by hand"  # of such a name nobody knows whether its process has ended
RETENTION = {state: Keep(age=4, count=3) for state in ("succeeded", "failed", "cancelled")}
# Of these operations no more is promised than that they are found done or not done after a power
# cut: what they have locked, let go or swept out, is locked, let go or swept out again.
UNPROMISED = {"find", "release strays", "tell progress", "sweep"}
WEIGHTS = {
    "enqueue one": 6,
    "enqueue many": 3,
    "enqueue with a key": 4,
    "enqueue with a limit": 3,
    "find": 5,
    "settle and find": 8,
    "tell progress": 1,
    "cancel": 2,
    "cancel all": 1,
    "pause": 1,
    "resume": 2,
    "sweep": 2,
    "recover": 3,
    "release strays": 1,
    "retry": 2,
    "retry all": 1,
    "reload": 1,
    "set meta": 1,
    "clear": 1,
    "checkpoint": 2,
    "empty the log": 1,
    "vacuum": 1,
    "open again": 1,
}


def dead_worker():
    """What stands in locked_by after a worker of this machine that has ended."""
    name, host, boot, *_ = identity.locked_by("litejobs-worker.default.0", "").rsplit("/", 5)
    return f"{name}/{host}/{boot}/1/1/{'0' * 32}"


class Workload:
    """Operations on *adapter*, which has a ManualClock; *history* is told of each."""

    def __init__(self, adapter, chance, history):
        self.adapter = adapter
        self.clock = adapter.clock
        self.chance = chance
        self.history = history
        self.held = []  # jobs of a worker that lives

    def step(self):
        """One operation."""
        self.clock.advance(self.chance.choice((0.001, 0.001, 2)))
        kind = self.chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if kind == "settle and find" and not self.held:
            kind = "find"
        self.do(kind, getattr(self, kind.replace(" ", "_")))

    def open(self):
        """The first operation: makes the schema."""
        self.do("first use", self.adapter.open)

    def do(self, kind, operation):
        self.history.begin(kind)
        operation()
        self.history.acknowledge()

    def job(self):
        size = self.chance.choice((10, 100, 1000, 9000))
        wait = self.chance.choice((0, 0, 0, 1000))
        text = "x" * self.chance.randrange(size)
        return NewJob(f'{{"name": "{text}"}}', "default", 50, self.clock.now() + wait)

    def wish(self, worker=LIVING):
        return Find(worker, ("*",), 60, self.chance.randint(1, 4))

    # The operations

    def enqueue_one(self):
        self.adapter.schedule([self.job()])

    def enqueue_many(self):
        self.adapter.schedule([self.job() for _ in range(self.chance.randint(2, 12))])

    def enqueue_with_a_key(self):
        policy = self.chance.choice(("skip", "skip", "replace", "replace", "raise"))
        key = Unique(self.chance.choice("abc"), policy, self.chance.choice((None, 1000)))
        job = self.chance.choice((self.job(), self.limited_job()))
        with suppress(DuplicateJobError):
            self.adapter.schedule_unique([job._replace(unique=key)])

    def enqueue_with_a_limit(self):
        self.adapter.schedule([self.limited_job() for _ in range(self.chance.randint(1, 4))])

    def limited_job(self):
        return self.job()._replace(limit_key=self.chance.choice("de"), limit_max=2)

    def find(self):
        worker = self.chance.choice((LIVING, dead_worker()))
        [found] = self.adapter.exchange([], [self.wish(worker)])
        self.held += [job for job in found if job.locked_by == LIVING]

    def settle_and_find(self):
        settlements = [(job, self.outcome()) for job in self.held]
        [self.held] = self.adapter.exchange(settlements, [self.wish()])

    def outcome(self):
        return self.chance.choice(
            (
                Outcome("success", delete=True),
                Outcome("success"),
                Outcome("success", keep=2, result="1"),
                Outcome("error", "ValueError: no luck", run_at=self.clock.now() + 1000),
                Outcome("failure", "ValueError: no luck"),
                Outcome("failure", "ValueError: no luck", delete=True),
                Outcome("cancelled", "JobCancelled: no longer wanted"),
                Outcome("cancelled", delete=True),
                Outcome("snoozed", run_at=self.clock.now() + 1000),
                Outcome("unloadable", "no such function"),
                Outcome("released"),
            )
        )

    def tell_progress(self):
        outcome = Outcome("progress", progress=f'{{"done": {self.chance.randrange(100)}}}')
        self.adapter.exchange([(job, outcome) for job in self.held], [])

    def cancel(self):
        ids = [record.id for record in Inspection(self.adapter).records()]
        self.adapter.cancel(self.chance.choice(ids or [1]))

    def cancel_all(self):
        Inspection(self.adapter).cancel_all()

    def pause(self):
        self.adapter.pause("default")

    def resume(self):
        self.adapter.resume("default")

    def sweep(self):
        while self.adapter.sweep():
            pass

    def recover(self):
        self.adapter.recover(lambda _: LIMITS)

    def release_strays(self):
        self.adapter.release_strays([LIVING], [job.id for job in self.held])

    def retry(self):
        inspection = Inspection(self.adapter)
        with suppress(JobStateError):  # another has its key by now
            inspection.retry([record.id for record in inspection.records(state="failed", limit=2)])

    def retry_all(self):
        Inspection(self.adapter).retry_all()

    def reload(self):
        self.adapter.reload()

    def set_meta(self):
        self.adapter.set_meta("root", str(self.clock.now()))

    def clear(self):
        self.held = []
        self.adapter.release_strays([LIVING], self.held)
        self.adapter.recover(lambda _: LIMITS)
        self.adapter.clear()

    def checkpoint(self):
        kind = self.chance.choice(("PASSIVE", "FULL", "RESTART", "TRUNCATE"))
        self.adapter.connection.execute(f"PRAGMA wal_checkpoint({kind})")

    def empty_the_log(self):
        self.adapter.connection.empty_log()

    def vacuum(self):
        vacuum(self.adapter)

    def open_again(self):
        self.adapter.close()
        self.adapter.open()
