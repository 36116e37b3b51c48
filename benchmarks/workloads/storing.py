"""How fast jobs are stored."""

from benchmarks.bench import Bench
from benchmarks.workloads.base import (
    Column,
    Contestants,
    Entry,
    Scale,
    Values,
    Workload,
    baseline,
    each,
    entry,
)

RATE = Column("jobs/s")
SQL = "INSERT alone"


def one_by_one(scale: Scale, contestants: Contestants) -> list[Entry]:
    """One process stores jobs with one argument, one commit each, while nobody else does."""

    def measure(bench: Bench) -> Values:
        return checked(bench, bench.call("one_by_one", seconds=scale.storing))

    return [
        *(baseline(SQL, d, "one_by_one", seconds=scale.storing) for d in ("full", "normal")),
        *(entry(contestant, durability, measure) for contestant, durability in each(contestants)),
    ]


def bulk(scale: Scale, contestants: Contestants) -> list[Entry]:
    """One call, or one transaction, stores many jobs; those that offer neither are left out."""

    def measure(bench: Bench) -> Values:
        return checked(bench, bench.call("bulk", count=scale.bulk))

    return [
        *(baseline(SQL, d, "bulk", count=scale.bulk) for d in ("full", "normal")),
        *(
            entry(contestant, durability, measure)
            for contestant, durability in each(contestants)
            if contestant.enqueue_many is not None
        ),
    ]


def checked(bench: Bench, found: Values) -> Values:
    """The figures, if the storage holds what was stored."""
    bench.check_stored(found["stored"])
    return found


WORKLOADS = [
    Workload("enqueue", "Enqueue, one by one", one_by_one.__doc__ or "", (RATE,), one_by_one),
    Workload("bulk", "Enqueue in bulk", bulk.__doc__ or "", (RATE,), bulk),
]
