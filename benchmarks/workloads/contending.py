"""What producers feel while others store and work."""

import time
from functools import partial

from benchmarks.bench import Bench, answer
from benchmarks.contestants.base import Workers
from benchmarks.ledger import WrongResult
from benchmarks.workloads.base import (
    Column,
    Contestants,
    Entry,
    Scale,
    Values,
    Workload,
    each,
    entry,
    percentile,
)
from benchmarks.workloads.waking import first, ready

PRODUCERS = 4
MOST = 20_000  # jobs that a producer stores in a second
COLUMNS = (
    Column("jobs/s"),
    Column("errors", "{:.0f}", sum),
    Column("p50 ms", "{:,.2f}"),
    Column("p99.9 ms", "{:,.1f}"),
    Column("most ms", "{:,.0f}", max),
)


def contention(scale: Scale, contestants: Contestants) -> list[Entry]:
    """
    Four processes store jobs as fast as they can, two workers run them; each call is timed.

    A producer waits when it is a number of jobs ahead of the workers, so that what is told is what
    the whole can keep up: jobs that ran, until the last was settled.
    """
    return [
        entry(contestant, durability, partial(measure, scale=scale))
        for contestant, durability in each(contestants)
        if contestant.is_shared
    ]


def measure(bench: Bench, scale: Scale) -> Values:
    """One such time."""
    share = int(MOST * scale.contending)
    book = bench.new_ledger(1 + PRODUCERS * share)
    first(bench)
    with bench.working(Workers("process", 2)):
        ready(bench)
        producers = [
            bench.start("contend", seconds=scale.contending, first=1 + number * share,
                        ahead=scale.ahead)
            for number in range(PRODUCERS)
        ]  # fmt: skip
        bench.until(lambda: bench.waiting == PRODUCERS, "not every producer came up")
        start = bench.fire()
        found = [answer(producer) for producer in producers]
        numbers = [range(1 + i * share, one["end"]) for i, one in enumerate(found)]
        refused = frozenset(number for one in found for number in one["refused"])
        stored = [number for some in numbers for number in some if number not in refused]
        bench.until(
            lambda: all(book.marks[number] for number in reversed(stored)), "not every job ran"
        )
        bench.until(bench.settled, "jobs stayed in the storage")
        ended = time.monotonic()
    book.check(range(1), *numbers, unsure=refused)
    took = [moment for one in found for moment in one["ms"]]
    if not took:
        raise WrongResult("no producer came to its first call in time")
    return {
        "jobs/s": len(stored) / (ended - start),
        "errors": len(refused),
        "p50 ms": percentile(took, 0.5),
        "p99.9 ms": percentile(took, 0.999),
        "most ms": max(took),
    }


WORKLOADS = [
    Workload("contention", "Four producers, two workers", contention.__doc__ or "", COLUMNS,
             contention)
]  # fmt: skip
