"""How fast stored jobs are run."""

import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from benchmarks.baselines import steps_for
from benchmarks.bench import Bench, bench
from benchmarks.contestants.base import Contestant, Workers
from benchmarks.workloads.base import (
    Column,
    Contestants,
    Entry,
    Scale,
    Values,
    Workload,
    baseline,
    best,
    each,
    entry,
)

COLUMNS = (Column("jobs/s"), Column("with start", "{:,.0f}"))
MOST = 200_000  # jobs of one drain
RAW = 100_000  # rows of the SQL alone, or as many as the scale's bulk has times five
ONE = Workers("process")
Arguments = Callable[[int], list[Any]]


def drain(bench: Bench, workers: Workers, job: str, arguments: Arguments, count: int) -> Values:
    """
    Fill the storage, start the workers, watch until each job ran and the storage is empty.

    Timed from the first line of the first job to the last one settled, and ("with start") from the
    moment when the workers are started.
    """
    book = bench.new_ledger(count)
    numbers = range(count)
    bench.fill(job, [[number, *arguments(number)] for number in numbers])
    started = time.monotonic()
    with bench.working(workers):
        bench.until(lambda: book.has_run(numbers), "not every job ran")
        bench.until(bench.settled, "jobs stayed in the storage")
        ended = time.monotonic()
    book.check(numbers)
    return {
        "jobs/s": count / (ended - book.first_start()),
        "with start": count / (ended - started),
    }


def sized(
    scale: Scale, workers: Workers, job: str, arguments: Arguments = lambda _: []
) -> Callable[[Bench], Values]:
    """A drain of as many jobs as take the scale's time; small ones before tell how many."""

    @cache
    def size(contestant: type[Contestant], durability: str) -> int:
        count = wanted = scale.probe
        while scale.draining:
            with bench(contestant, durability) as first:
                rate = drain(first, workers, job, arguments, count)["jobs/s"]
            wanted = max(scale.probe, min(MOST, int(rate * scale.draining)))
            if wanted <= 4 * count:
                break
            count = wanted  # too short a drain to tell the rate
        return wanted

    def measure(place: Bench) -> Values:
        count = size(place.contestant, place.durability)
        return drain(place, workers, job, arguments, count)

    return measure


def of_nothing(workers: Workers, scale: Scale, contestants: Contestants) -> list[Entry]:
    """Jobs that do nothing but add one to a byte, see ``ledger``."""
    measure = sized(scale, workers, "mark")
    raw = [
        baseline("SQL alone, by 100", d, "drain", count=min(RAW, 5 * scale.bulk))
        for d in ("full", "normal")
    ]
    return [
        *(raw if workers == ONE else []),
        *(
            entry(contestant, durability, measure)
            for contestant, durability in each(contestants)
            if takes(contestant.kinds, contestant.is_shared, workers)
        ),
    ]


def of_work(
    kind: str, seconds: float, workers: Workers, scale: Scale, contestants: Contestants
) -> list[Entry]:
    """Jobs that sleep or keep a processor busy, in processes, beside bare loops of the same."""
    amount = seconds if kind == "sleep" else steps(seconds)
    measure = sized(scale, workers, kind, lambda _: [amount])
    count = max(scale.probe, int(workers.count * scale.draining / seconds))
    return [
        baseline("bare loop", "", "loop", stores=False,
                 kind=kind, amount=amount, count=count, workers=workers.count),
        *(
            entry(contestant, best(contestant), measure)
            for contestant in contestants
            if takes(contestant.kinds, contestant.is_shared, workers)
        ),
    ]  # fmt: skip


@cache
def steps(seconds: float) -> int:
    """Found once, so that all get the same work."""
    return steps_for(seconds)


def takes(kinds: frozenset[str], is_shared: bool, workers: Workers) -> bool:  # noqa: FBT001  # a trait
    """Whether somebody can work so; one process that works alone is as good as a thread of one."""
    if workers == ONE and not is_shared:
        return True
    return workers.kind in kinds


ARRANGEMENTS = {
    "one performer": Workers("process", 1),
    "two performers": Workers("process", 2),
    "one thread": Workers("thread", 1),
    "four threads": Workers("thread", 4),
}
WORKLOADS = [
    *(
        Workload(f"drain-{name.replace(' ', '-')}", f"Drain of no-op jobs, {name}",
                 f"{of_nothing.__doc__} Workers: {workers.count}, each a {workers.kind}.",
                 COLUMNS, partial(of_nothing, workers))
        for name, workers in ARRANGEMENTS.items()
    ),
    *(
        Workload(f"drain-{kind}-{milliseconds}ms-{count}",
                 f"Drain of jobs that {kind} for {milliseconds} ms, {count} "
                 f"worker{'s' if count > 1 else ''}",
                 of_work.__doc__ or "", COLUMNS,
                 partial(of_work, kind, milliseconds / 1000, Workers("process", count)))
        for kind in ("sleep", "spin") for milliseconds in (1, 5) for count in (1, 4)
    ),
]  # fmt: skip
