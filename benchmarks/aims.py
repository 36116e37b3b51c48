"""What litejobs wants to reach, and whether a run's figures show it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.contestants.own import Litejobs
from benchmarks.workloads.base import Row

Results = Mapping[str, Sequence[Row]]
OWN = Litejobs.name


@dataclass(frozen=True, slots=True)
class Aim:
    """*measured* is a figure to compare with *bound*; raises LookupError where it was not taken."""

    workload: str
    text: str
    measured: Callable[[Sequence[Row]], float]
    bound: float
    at_least: bool = True

    def met(self, figure: float) -> bool:
        """Whether that figure is good enough."""
        return figure >= self.bound if self.at_least else figure <= self.bound


def own(rows: Sequence[Row], key: str, durability: str = "full") -> float:
    """A figure of litejobs."""
    [found] = [row for row in rows if row.who == OWN and row.durability == durability]
    return found.values[key]


def of_baseline(rows: Sequence[Row], durability: str = "full") -> float:
    """How much of the bare rate litejobs reaches."""
    [found] = [row for row in rows if row.is_baseline and row.durability in (durability, "")]
    return own(rows, "jobs/s", durability) / found.values["jobs/s"]


def of_best_peer(rows: Sequence[Row], key: str = "jobs/s", at: Sequence[str] = ()) -> float:
    """Litejobs at full, or at the one durability that is named, over the best peer of those."""
    peers = [
        row.values[key]
        for row in rows
        if row.who != OWN and not row.is_baseline and row.values
        and (not at or row.durability in at)
    ]  # fmt: skip
    if not peers:
        raise LookupError("no peer took part")
    return own(rows, key, at[0] if at else "full") / max(peers)


AIMS = [
    Aim("enqueue", "full: share of INSERT alone", of_baseline, 0.9),
    Aim("enqueue", "normal: share of INSERT alone", lambda r: of_baseline(r, "normal"), 0.8),
    Aim("enqueue", "full: times the best peer at full", lambda r: of_best_peer(r, at=["full"]), 1),
    Aim("enqueue", "normal: times the best peer at normal",
        lambda r: of_best_peer(r, at=["normal"]), 1),
    Aim("bulk", "full: share of INSERT alone", of_baseline, 0.65),
    Aim("bulk", "full: times the best peer at any durability", of_best_peer, 1),
    Aim("drain-one-performer", "full: times the best peer at full",
        lambda r: of_best_peer(r, at=["full"]), 15),
    Aim("drain-one-performer", "full: times the best peer at any durability", of_best_peer, 5),
    Aim("drain-one-performer", "full: share of SQL alone, by 100", of_baseline, 0.6),
    Aim("drain-one-thread", "full: times the best peer at full",
        lambda r: of_best_peer(r, at=["full"]), 3),
    Aim("drain-one-thread", "normal: times the best peer at normal",
        lambda r: of_best_peer(r, at=["normal"]), 3),
    Aim("drain-sleep-5ms-4", "share of the bare loops", of_baseline, 0.97),
    Aim("wake", "full: p50, ms", lambda r: own(r, "p50 ms"), 1, at_least=False),
    Aim("wake", "full: p99, ms", lambda r: own(r, "p99 ms"), 5, at_least=False),
    Aim("wake", "full: p50 over that of the fastest peer on Redis",
        lambda r: own(r, "p50 ms") / min(x.values["p50 ms"] for x in on_redis(r)), 1,
        at_least=False),
    Aim("wake-thread", "full: p50, ms", lambda r: own(r, "p50 ms"), 0.5, at_least=False),
    Aim("delay", "p99, ms", lambda r: own(r, "p99 ms"), 5, at_least=False),
    Aim("delay", "started early", lambda r: own(r, "early"), 0, at_least=False),
    Aim("contention", "full: errors", lambda r: own(r, "errors"), 0, at_least=False),
    Aim("contention", "full: times the best peer at full",
        lambda r: of_best_peer(r, at=["full"]), 1),
    Aim("contention", "full: times the best peer at any durability", of_best_peer, 1),
    Aim("contention", "full: p99.9 of `later()`, ms", lambda r: own(r, "p99.9 ms"), 100,
        at_least=False),
    Aim("idle", "% of a core", lambda r: own(r, "% of a core"), 0.2, at_least=False),
    Aim("idle", "MiB of the runner", lambda r: own(r, "MiB, first process"), 25, at_least=False),
    Aim("import", "`import litejobs`, ms over bare Python", lambda r: own(r, "import ms"), 30,
        at_least=False),
    Aim("import", "first `later()`, ms over bare Python", lambda r: own(r, "first job ms"), 80,
        at_least=False),
]  # fmt: skip


def on_redis(rows: Sequence[Row]) -> list[Row]:
    """The peers on Redis, of which one must have taken part."""
    found = [row for row in rows if row.who.endswith("on Redis") and row.values]
    if not found:
        raise LookupError("no peer on Redis took part")
    return found
