"""A workload: what is measured of whom, and what becomes of the figures of several rounds."""

import json
import math
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.bench import HOME, Bench, bench
from benchmarks.contestants.base import Contestant
from benchmarks.ledger import WrongResult

Values = dict[str, float]
Contestants = Sequence[type[Contestant]]


@dataclass(frozen=True, slots=True)
class Scale:
    """How long a run takes; seconds, or numbers of jobs."""

    rounds: int
    storing: float  # seconds of one by one
    bulk: int
    draining: float  # seconds that a drain is to last; 0: as long as the probe
    probe: int  # jobs of a first drain, that tells how many drain for so long
    samples: int  # of a latency
    pause: float  # seconds, at least, that a worker is idle before the next sample
    contending: float
    ahead: int  # jobs that a producer may be ahead of the workers
    idling: float
    imports: int


FULL = Scale(3, 2.0, 20_000, 2.0, 200, 101, 0.1, 10.0, 500, 30.0, 5)
QUICK = Scale(1, 0.2, 2_000, 0, 40, 6, 0.05, 1.0, 50, 5.0, 1)


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of a workload: its key and heading, how it is printed and what rounds make it."""

    key: str
    format: str = "{:,.0f}"
    combine: Callable[[Iterable[float]], float] = statistics.median


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a workload's table and how its figures are taken, once a round."""

    who: str
    durability: str
    measure: Callable[[], Values]
    is_baseline: bool = False


@dataclass(frozen=True, slots=True)
class Workload:
    """*entries* gives the rows for a scale and those who take part; *columns[0]* is compared."""

    name: str
    title: str
    text: str
    columns: tuple[Column, ...]
    entries: Callable[[Scale, Contestants], list[Entry]]
    more_is_better: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """What came of an entry: the figures by column, or why they do not count."""

    who: str
    durability: str
    is_baseline: bool
    values: Values
    wrong: str = ""


def run(workload: Workload, scale: Scale, contestants: Contestants) -> list[Row]:
    """Every entry once a round, one after the other, so that all see the same machine."""
    entries = workload.entries(scale, contestants)
    taken: dict[int, list[Values]] = {number: [] for number in range(len(entries))}
    wrong: dict[int, str] = {}
    for _ in range(scale.rounds):
        for number, entry in enumerate(entries):
            try:
                taken[number].append(entry.measure())
            except WrongResult as error:
                wrong[number] = str(error)
            except Exception as error:  # noqa: BLE001  # one that breaks must not cost the others
                wrong[number] = f"{type(error).__name__}: {error}"
    return [
        Row(entry.who, entry.durability, entry.is_baseline,
            {} if number in wrong else combined(workload, taken[number]), wrong.get(number, ""))
        for number, entry in enumerate(entries)
    ]  # fmt: skip


def combined(workload: Workload, rounds: list[Values]) -> Values:
    """One figure a column, of those that were taken: baselines start no workers."""
    return {
        column.key: column.combine([values[column.key] for values in rounds])
        for column in workload.columns
        if column.key in rounds[0]
    }


def printed(workload: Workload, row: Row) -> list[str]:
    """A row's figures as text, empty where one was not taken."""
    return [
        column.format.format(row.values[column.key]) if column.key in row.values else ""
        for column in workload.columns
    ]


def each(contestants: Contestants) -> Iterator[tuple[type[Contestant], str]]:
    """Every contestant at every durability that it offers."""
    for contestant in contestants:
        for durability in contestant.durabilities:
            yield contestant, durability


def best(contestant: type[Contestant]) -> str:
    """The durability at which figures are taken to which it hardly matters: the strongest."""
    return "full" if "full" in contestant.durabilities else next(iter(contestant.durabilities))


def entry(
    contestant: type[Contestant], durability: str, measure: Callable[[Bench], Values]
) -> Entry:
    """Measured on a new bench each time."""

    def once() -> Values:
        with bench(contestant, durability) as new:
            return measure(new)

    return Entry(contestant.name, durability, once)


def baseline(who: str, durability: str, name: str, *, stores: bool = True, **options: Any) -> Entry:
    """SQL or a loop alone, in a process of its own."""

    def once() -> Values:
        with TemporaryDirectory(prefix="bench-") as directory:
            place = {"directory": directory, "durability": durability} if stores else {}
            command = [sys.executable, "-m", "benchmarks.baselines", name]
            done = subprocess.run(
                [*command, json.dumps(place | options)],
                cwd=HOME, check=True, capture_output=True, text=True,
            )  # fmt: skip
        found: Values = json.loads(done.stdout)
        return found

    return Entry(who, durability, once, is_baseline=True)


def percentile(sample: Sequence[float], share: float) -> float:
    """The value that *share* of the sample do not exceed."""
    return sorted(sample)[math.ceil(share * len(sample)) - 1]


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    children = Path(f"/proc/{pid}/task").glob("*/children")
    found = [int(word) for file in children for word in file.read_text().split()]
    return [pid, *(one for child in found for one in family(child))]
