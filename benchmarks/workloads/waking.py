"""How soon a job starts on a worker that has nothing to do."""

from collections.abc import Iterator
from typing import Any

from benchmarks.bench import Bench
from benchmarks.contestants.base import Contestant, Kind, Workers
from benchmarks.workloads.base import (
    Column,
    Contestants,
    Entry,
    Scale,
    Values,
    Workload,
    best,
    each,
    entry,
    percentile,
)

ONE = Workers("process")
SLOW = 0.2  # seconds between looks from which on a few samples show all there is
LATENCY = (Column("p50 ms", "{:,.2f}"), Column("p99 ms", "{:,.2f}"))
LATENESS = (*LATENCY, Column("early", "{:.0f}", sum))


def elsewhere(scale: Scale, contestants: Contestants) -> list[Entry]:
    """From the call that stores a job to its first line, in an idle worker process."""

    def measure(bench: Bench) -> Values:
        how = rarely(scale, bench.contestant)
        book = bench.new_ledger(how["samples"] + 1)
        first(bench)
        with bench.working(ONE):
            ready(bench)
            found = bench.call("wake", first=1, **how)
            bench.until(bench.settled, "jobs stayed in the storage")
        book.check(range(how["samples"] + 1))
        return quantiles(found["ms"])

    return [entry(*who, measure) for who in waiting(contestants, "process")]


def beside(scale: Scale, contestants: Contestants) -> list[Entry]:
    """The same, on an idle thread of the process that stores it."""

    def measure(bench: Bench) -> Values:
        how = rarely(scale, bench.contestant)
        book = bench.new_ledger(how["samples"])
        found = bench.call("wake", first=0, beside=True, **how)
        book.check(range(how["samples"]))
        return quantiles(found["ms"])

    return [entry(*who, measure) for who in waiting(contestants, "thread")]


def when_due(scale: Scale, contestants: Contestants) -> list[Entry]:
    """From when a delayed job is due to its first line, in an idle worker process."""

    def measure(bench: Bench) -> Values:
        book = bench.new_ledger(scale.samples + 1)
        first(bench)
        with bench.working(ONE):
            ready(bench)
            found = bench.call("delay", samples=scale.samples, first=1, pause=scale.pause)
            bench.until(bench.settled, "jobs stayed in the storage")
        book.check(range(scale.samples + 1))
        return quantiles(found["ms"]) | {"early": sum(late < 0 for late in found["ms"])}

    return [
        entry(contestant, best(contestant), measure)
        for contestant in contestants
        if contestant.delays
    ]


def waiting(contestants: Contestants, kind: Kind) -> Iterator[tuple[type[Contestant], str]]:
    """Those with idle workers of that kind; for those that look rarely one durability will do."""
    for contestant, durability in each(contestants):
        if kind in contestant.waits and (
            contestant.looks <= SLOW or durability == best(contestant)
        ):
            yield contestant, durability


def rarely(scale: Scale, contestant: type[Contestant]) -> dict[str, Any]:
    """How many samples, and after which pause: at least twice as long as between two looks."""
    is_slow = contestant.looks > SLOW
    samples = max(3, scale.samples // 5) if is_slow else scale.samples
    return {"samples": samples, "pause": scale.pause + 2 * contestant.looks,
            "spread": scale.pause + contestant.looks}  # fmt: skip


def first(bench: Bench) -> None:
    """Store job 0, by which the storage is made before workers look for it."""
    bench.fill("stamp", [[0]])


def ready(bench: Bench) -> None:
    """Wait until job 0 has run, and its worker looks for others."""
    assert bench.ledger is not None
    book = bench.ledger
    bench.until(lambda: book.has_run(range(1)), "the worker did not run its first job")
    bench.until(bench.settled, "the first job stayed in the storage")


def quantiles(sample: list[float]) -> Values:
    """The middle and the end of a sample, in milliseconds."""
    return {"p50 ms": percentile(sample, 0.5), "p99 ms": percentile(sample, 0.99)}


WORKLOADS = [
    Workload(name, title, entries.__doc__ or "", columns, entries, more_is_better=False)
    for name, title, columns, entries in (
        ("wake", "To the first line, another process", LATENCY, elsewhere),
        ("wake-thread", "To the first line, a thread", LATENCY, beside),
        ("delay", "Lateness of delayed jobs", LATENESS, when_due),
    )
]
