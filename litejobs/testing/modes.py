"""Two ways to test code that schedules jobs: run them at once, or when the test says so."""

import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.adapters.sqlite.inspection import Inspection, Record
from litejobs.arguments import parameters_of
from litejobs.base_manager import BaseManager
from litejobs.default_manager import manager as default_manager
from litejobs.errors import UnloadableError
from litejobs.handler import read
from litejobs.inline import InlineWorker
from litejobs.job import NewJob, Outcome, StoredJob
from litejobs.run_directory.identity import new_lease
from litejobs.scheduler import due
from litejobs.testing.clock import ManualClock

_EVERY_ROW = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@contextmanager
def manual(
    manager: BaseManager | None = None, *, clock: ManualClock | None = None
) -> Iterator["Jobs"]:
    """
    While inside, jobs of *manager* are stored in temporary files, and run when ``drain`` is called.

    *manager* is that of ``litejobs.later`` where none is given. The time is what *clock* shows;
    without one, a clock that stands still at the present. Background workers are not started.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="litejobs-")))
        jobs = Jobs(manager or default_manager, clock or ManualClock(), directory)
        stack.callback(jobs.close)
        stack.enter_context(jobs.manager.lent(jobs.adapters, jobs.clock, jobs.watch))
        yield jobs


@contextmanager
def run_now(
    manager: BaseManager | None = None, *, clock: ManualClock | None = None
) -> Iterator["Jobs"]:
    """
    As ``manual``, but ``later`` runs what is due before it returns, and raises what the job raises.

    A job for later, or one that is to be tried again, waits for ``drain``.
    """
    with manual(manager, clock=clock) as jobs:
        jobs.at_once = True
        yield jobs


class Jobs:
    """The jobs of one manager as a test sees them, and what it can have done to them."""

    def __init__(self, manager: BaseManager, clock: ManualClock, directory: Path) -> None:
        self.manager = manager
        #: The clock of scheduler, storage and workers.
        self.clock = clock
        #: Whether ``later`` runs what is due.
        self.at_once = False
        #: The calls of ``later`` so far, in order.
        self.calls: list[Call] = []
        self.adapters: Mapping[str, SqliteAdapter] = {
            key: Recorder(directory / f"{number}.sqlite", self)
            for number, key in enumerate(manager.adapter_keys)
        }
        self._here = threading.local()  # .drain: what this thread is draining

    def drain(
        self, *, with_scheduled: bool | float | timedelta | datetime = False, raising: bool = True
    ) -> dict[str, int]:
        """
        Run all jobs that are due, and those that they schedule, here and now.

        Returns how many runs had which outcome: ``success``, ``error`` (to be tried again),
        ``failure`` (attempts used up), ``unloadable``. *with_scheduled* moves the clock on and runs
        what falls due on the way: for so many seconds or a timedelta, up to a datetime with a zone,
        or (True) up to the last job that is waiting now. What a job raises is recorded as ever;
        *raising*: then it is raised here too, and the jobs after it wait.
        """
        until = self._until(with_scheduled)
        drain = Drain(raising=raising)
        self._work_off(drain)
        while (moment := self._next()) is not None and moment <= until:
            self.clock.move_to(moment)
            self._work_off(drain)
        self.clock.move_to(until)
        return drain.outcomes

    def records(self, state: str | None = None) -> list[Record]:
        """What is stored now, the newest first; *state* is one of those that ``list`` shows."""
        return [
            record
            for adapter in self.adapters.values()
            for record in Inspection(adapter).records(state=state, limit=_EVERY_ROW)
        ]

    def scheduled(
        self,
        job: Callable[..., Any],
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> list["Call"]:
        """
        The calls of ``later`` with *job*, whether it has run since or not.

        Arguments, and the *options* queue, priority, wait and wait_until, count where they are
        given. How an argument was passed, by place or by name, does not matter.
        """
        target = self.manager.target(job, None)
        parameters = parameters_of(target.function)
        wanted = None
        if args is not None or kwargs is not None:
            wanted = parameters.signature.bind(*(args or ()), **(kwargs or {})).arguments
        found = []
        for call in self.calls:
            row = read(call.job.handler)
            if (row.name, row.path, row.module) != (target.name, target.path, target.module):
                continue
            positional, named = parameters.load(row.args, row.kwargs)
            given = parameters.signature.bind(*positional, **named).arguments
            if wanted in (None, given) and call.has(**options):
                found.append(call)
        return found

    def assert_scheduled(
        self,
        job: Callable[..., Any],
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> "Call":
        """Fail if ``later`` was not called like that; the last such call. As ``scheduled``."""
        found = self.scheduled(job, args, kwargs, **options)
        if not found:
            wanted = _in_words(job, args, kwargs, options)
            raise AssertionError(f"{wanted} was not scheduled; {self._in_words(self.calls)}")
        return found[-1]

    def refute_scheduled(
        self,
        job: Callable[..., Any],
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """Fail if ``later`` was called like that. As ``scheduled``."""
        found = self.scheduled(job, args, kwargs, **options)
        if found:
            unwanted = _in_words(job, args, kwargs, options)
            raise AssertionError(f"{unwanted} was scheduled; {self._in_words(found)}")

    def stored(self, new_jobs: Sequence[NewJob]) -> None:
        """Storage has taken these."""
        self.calls += [Call(job, self.clock.now()) for job in new_jobs]
        if self.at_once and getattr(self._here, "drain", None) is None:
            self.drain()

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Around each job: keeps what it raises."""
        try:
            yield
        except BaseException as error:
            self._here.drain.note(error)
            raise

    def close(self) -> None:
        """Let go of the files."""
        for adapter in self.adapters.values():
            adapter.close()

    def _until(self, limit: float | timedelta | datetime) -> datetime:
        if isinstance(limit, datetime):
            return max(self.clock.time, _moment(due(0, None, limit)))
        if not isinstance(limit, bool):
            return _moment(due(self.clock.now(), limit, None))
        waiting = self.records("scheduled") if limit else []
        return _moment(max([self.clock.now(), *(job.run_at or 0 for job in waiting)]))

    def _next(self) -> datetime | None:
        moments = [adapter.next_run_at() for adapter in self.adapters.values()]
        return min((_moment(moment) for moment in moments if moment is not None), default=None)

    def _work_off(self, drain: "Drain") -> None:
        """Until nothing is due anywhere: the jobs of one group may make some for another."""
        runs = -1
        while self.calls and runs != sum(drain.outcomes.values()):
            runs = sum(drain.outcomes.values())
            for group in self.manager.workers:
                self._here.drain = drain
                drain.worker = self.manager.new_worker(group, 0, new_lease(), workoff=True)
                drain.worker.on_settled = drain.settled
                try:
                    drain.worker.run()
                finally:
                    self._here.drain = None
                drain.tell()

    def _in_words(self, calls: "Sequence[Call]") -> str:
        listed = "".join(f"\n  {call}" for call in calls)
        return f"scheduled were:{listed}" if listed else "nothing was"


@dataclass
class Drain:
    """One call of ``drain``: what came of it so far."""

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

    def settled(self, _job: StoredJob, outcome: Outcome) -> None:
        """An outcome is recorded."""
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
        return _call(row.name, row.args, row.kwargs, options | ({"wait": wait} if wait else {}))


class Recorder(SqliteAdapter):
    """The real storage, in a file that survives no power cut; tells *jobs* what it stores."""

    def __init__(self, path: Path, jobs: Jobs) -> None:
        super().__init__(path, durability="normal", clock=jobs.clock)
        self._jobs = jobs

    def schedule(self, jobs: Sequence[NewJob]) -> list[int]:
        ids = super().schedule(jobs)
        self._jobs.stored(jobs)
        return ids


def _in_words(
    job: Callable[..., Any],
    args: Sequence[Any] | None,
    kwargs: Mapping[str, Any] | None,
    options: Mapping[str, Any],
) -> str:
    name = getattr(job, "__name__", repr(job))
    return _call(name, args or (), kwargs or {}, options)


def _call(
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


def _moment(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)
