"""Temporary storage for a manager whose jobs are tested, and a worker that runs when it is told."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.base_manager import BaseManager
from litejobs.clock import Clock
from litejobs.control import Control
from litejobs.errors import JobStateError, UnloadableError
from litejobs.inline import InlineWorker
from litejobs.job import Kept, NewJob, Outcome, Settlement, StoredJob
from litejobs.row import read
from litejobs.scheduler import due

# What is being worked off here, of which storage. A thread or a coroutine of a job's has it too.
_runs: ContextVar[Mapping["Storage", "Run"]] = ContextVar(
    "litejobs_test_runs", default=MappingProxyType({})
)


class Storage:
    """
    Temporary files in place of a manager's storage, and a worker that runs when it is told to.

    *clock* is that of scheduler, storage and workers.
    """

    def __init__(self, manager: BaseManager, clock: Clock, directory: Path) -> None:
        self.manager = manager
        #: Whether ``later`` runs what is due.
        self.at_once = False
        #: The calls of ``later`` so far, in order.
        self.calls: list[Call] = []
        self.adapters: Mapping[str, SqliteAdapter] = {
            key: Recorder(directory / f"{number}.sqlite", clock, self)
            for number, key in enumerate(manager.adapter_keys)
        }
        self._clock = clock

    def stored(self, new_jobs: Sequence[NewJob]) -> None:
        """An adapter has taken these."""
        self.calls += [Call(job, self._clock.now()) for job in new_jobs]
        if self.at_once and self not in _runs.get():
            self.work_off(Run(raising=True))

    def work_off(self, run: "Run") -> None:
        """Until nothing is due anywhere: the jobs of one group may make some for another."""
        before = -1
        while self.calls and before != sum(run.outcomes.values()):
            before = sum(run.outcomes.values())
            for group in self.manager.workers:
                run.worker = self.manager.new_worker(group, 0, workoff=True)
                run.worker.on_settled = run.settled
                token = _runs.set({**_runs.get(), self: run})
                try:
                    run.worker.run()
                finally:
                    _runs.reset(token)
                run.tell()

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Around each job: keeps what it raises."""
        try:
            yield
        except Control:  # an outcome like others
            raise
        except BaseException as error:
            run = _runs.get().get(self)
            if run is not None:  # else it is another worker's job
                run.note(error)
            raise

    def close(self) -> None:
        """Let go of the files."""
        for adapter in self.adapters.values():
            adapter.close()


@dataclass
class Run:
    """Jobs that are being worked off: what came of it so far."""

    raising: bool
    outcomes: dict[str, int] = field(default_factory=dict)
    worker: InlineWorker | None = None
    error: BaseException | None = None

    def note(self, error: BaseException) -> None:
        """A job raised *error*; where that is to be raised, no further one begins."""
        if self.raising:
            self.error = self.error or error
            assert self.worker is not None
            self.worker.stop()

    def settled(self, settlements: Sequence[Settlement]) -> None:
        """Outcomes are recorded."""
        for _, outcome in settlements:
            self.outcomes[outcome.kind] = self.outcomes.get(outcome.kind, 0) + 1
            if outcome.kind == "unloadable":
                self.note(UnloadableError(outcome.error))

    def tell(self) -> None:
        """Raise what a job raised, if it is to be."""
        if isinstance(self.error, Exception):
            raise self.error
        if self.error is not None:  # SystemExit or the like would end the test run
            raise AssertionError(f"a job raised {self.error!r}") from self.error


@dataclass(frozen=True, slots=True)
class Call:
    """A call of ``later``: what was stored, and when (milliseconds since 1970, UTC)."""

    job: NewJob
    now: int

    def has(
        self,
        *,
        queue: str | None = None,
        priority: int | None = None,
        wait: float | timedelta | None = None,
        wait_until: datetime | None = None,
    ) -> bool:
        """Whether it was made with these options, as far as they are given."""
        is_when = wait is None and wait_until is None
        return (
            queue in (None, self.job.queue)
            and priority in (None, self.job.priority)
            and (is_when or self.job.run_at == due(self.now, wait, wait_until))
        )

    def __str__(self) -> str:
        row = read(self.job.handler)
        wait = (self.job.run_at - self.now) / 1000
        options = {"queue": self.job.queue, "priority": self.job.priority}
        return call_in_words(
            row.name, row.args, row.kwargs, options | ({"wait": wait} if wait else {})
        )


class Recorder(SqliteAdapter):
    """
    The real storage, in a file that survives no power cut; tells *storage* what it stores.

    Jobs are found one by one, so that their order depends on nothing but themselves.
    """

    batches = False

    def __init__(self, path: Path, clock: Clock, storage: Storage) -> None:
        super().__init__(path, durability="normal", clock=clock)
        self._storage = storage

    def schedule(self, jobs: Sequence[NewJob]) -> list[int]:
        ids = super().schedule(jobs)
        self._storage.stored(jobs)
        return ids

    def schedule_unique(
        self, jobs: Sequence[NewJob], _connection: object | None = None
    ) -> list[Kept]:
        kept = super().schedule_unique(jobs)  # as below
        self._storage.stored([job for job, one in zip(jobs, kept, strict=True) if one.is_new])
        return kept

    def schedule_within(self, _connection: object, jobs: Sequence[NewJob]) -> list[int]:
        return self.schedule(jobs)  # the connection is to the app's own file, not to this one

    def finish_within(
        self, _connection: object, job: StoredJob, outcome: Outcome
    ) -> Callable[[], None]:
        if not self.success(job, delete=outcome.delete, keep=outcome.keep, result=outcome.result):
            raise JobStateError(f"job {job.id} was finished before")
        return lambda: None


def call_in_words(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
) -> str:
    """As it would be written."""
    words = [name]
    if args or kwargs:
        words.append(repr(list(args)))
    if kwargs:
        words.append(repr(dict(kwargs)))
    words += [f"{key}={value!r}" for key, value in options.items()]
    return f"later({', '.join(words)})"
