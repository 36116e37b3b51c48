"""What every contestant does, in the words of the benchmarks."""

import importlib.util
import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from benchmarks.jobs import JOBS

FULL = "every commit reaches the disk"
NORMAL = "survives a crash of every process, not a power cut"
Kind = Literal["process", "thread"]
NOWHERE: frozenset[Kind] = frozenset()
IN_THREADS: frozenset[Kind] = frozenset({"thread"})
IN_PROCESSES: frozenset[Kind] = frozenset({"process"})
ANYWHERE: frozenset[Kind] = frozenset({"process", "thread"})


@dataclass(frozen=True, slots=True)
class Workers:
    """How many at once: processes, or threads of one process."""

    kind: Kind
    count: int = 1


class Contestant(Protocol):
    """
    A queue that stores jobs of ``benchmarks.jobs`` in *directory* and runs them.

    Its module can be imported where its library is not installed; its instances live in child
    processes, one for each task, its class is asked by the process that measures.
    """

    name: ClassVar[str]
    distribution: ClassVar[str]  #: the package whose version is told
    module: ClassVar[str]  #: what it is imported as
    durabilities: ClassVar[Mapping[str, str]]  #: what a stored job survives: word and explanation
    setting: ClassVar[str]  #: how it was configured, for the report
    kinds: ClassVar[frozenset[Kind]] = ANYWHERE  #: where its jobs can be drained
    waits: ClassVar[frozenset[Kind]] = ANYWHERE  #: where a worker of its own waits for jobs
    looks: ClassVar[float] = 0  #: seconds between two looks of an idle worker; 0: it is woken
    is_shared: ClassVar[bool] = True  #: whether several processes may store and work at once
    delays: ClassVar[bool] = True  #: whether a job can be stored for later
    enqueue_many: Callable[[str, Sequence[Sequence[Any]]], object] | None = None
    first: ClassVar[str]  #: lines of a script that imports it and stores a job in {directory}

    def __init__(self, directory: Path, durability: str) -> None: ...

    def enqueue(self, job: str, args: Sequence[Any], wait: float | None = None) -> None:
        """Store one job, for *wait* seconds from now; durable on return."""

    def work(self, workers: Workers) -> None:
        """Run jobs until the process is told to end."""

    def start_beside(self) -> None:
        """Run jobs on a thread of this process that ends with it."""
        other = type(self)(
            Path(os.environ["BENCHMARK_DIRECTORY"]), os.environ["BENCHMARK_DURABILITY"]
        )
        threading.Thread(target=other.work, args=(Workers("thread"),), daemon=True).start()

    @classmethod
    def commands(cls, workers: Workers) -> list[list[str]]:
        """The command lines that start *workers*, each a process."""
        if workers.kind == "process":
            return [child(cls, "work", '{"kind": "thread"}')] * workers.count
        return [child(cls, "work", f'{{"kind": "thread", "count": {workers.count}}}')]

    @classmethod
    def unsettled(cls, directory: Path) -> int:
        """How many jobs its storage holds that are not over."""

    @classmethod
    def missing(cls) -> str | None:
        """Why it can't take part here, if so."""
        if importlib.util.find_spec(cls.module) is None:
            return f"{cls.distribution} is not installed"
        return None

    @classmethod
    def version(cls) -> str:
        """Of its package."""
        return metadata.version(cls.distribution)

    @classmethod
    @contextmanager
    def surroundings(cls, directory: Path) -> Iterator[list[int]]:
        """What it needs beside its workers, as long as this lasts; yields process ids."""
        yield []


def child(contestant: type[Contestant], activity: str, options: str) -> list[str]:
    """A command line: a process of its own in which the contestant does one thing."""
    place = f"{contestant.__module__}:{contestant.__qualname__}"
    return [sys.executable, "-m", "benchmarks.child", place, activity, options]


def count_rows(file: Path, sql: str) -> int:
    """The number that *sql* gives; read by the process that measures, where no worker lives."""
    with closing(sqlite3.connect(file)) as connection:
        [(number,)] = connection.execute(sql)
    return int(number)


def run_in_threads(loop: Callable[[], object], count: int) -> None:
    """Run *loop* on so many threads, of which one is this."""
    for _ in range(count - 1):
        threading.Thread(target=loop, daemon=True).start()
    loop()


def perform(job: str, args: Sequence[Any]) -> None:
    """Run a job by its name, for a queue that only carries data."""
    JOBS[job](*args)
