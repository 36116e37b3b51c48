"""Everything that an adapter does with jobs, in a random order."""

from datetime import UTC, datetime

from litejobs.adapters.sqlite.inspection import Inspection
from litejobs.job import Find, Limits, NewJob, Outcome
from litejobs.run_directory import identity

LIMITS = Limits()
START = datetime.fromtimestamp(1_800_000_000, UTC)
LIVING = "by hand"  # of such a name nobody knows whether its process has ended
# Of these operations no more is promised than that they are found done or not done after a power
# cut: what they have locked, or have let go, is locked or let go again.
UNPROMISED = {"find", "release strays"}
WEIGHTS = {
    "enqueue one": 6,
    "enqueue many": 3,
    "find": 5,
    "settle and find": 8,
    "recover": 3,
    "release strays": 1,
    "retry": 2,
    "retry all": 1,
    "reload": 1,
    "set meta": 1,
    "clear": 1,
    "checkpoint": 2,
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
                Outcome("error", "ValueError: no luck", run_at=self.clock.now() + 1000),
                Outcome("failure", "ValueError: no luck"),
                Outcome("failure", "ValueError: no luck", delete=True),
                Outcome("unloadable", "no such function"),
                Outcome("released"),
            )
        )

    def recover(self):
        self.adapter.recover(lambda _: LIMITS)

    def release_strays(self):
        self.adapter.release_strays([LIVING], [job.id for job in self.held])

    def retry(self):
        inspection = Inspection(self.adapter)
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

    def open_again(self):
        self.adapter.close()
        self.adapter.open()
