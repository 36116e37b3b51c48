"""Two ways to test code that schedules jobs: run them at once, or when the test says so."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from litejobs.adapters.sqlite.inspection import Inspection, Record
from litejobs.arguments import parameters_of
from litejobs.base_manager import BaseManager
from litejobs.default_manager import manager as default_manager
from litejobs.row import read
from litejobs.scheduler import due
from litejobs.testing.clock import ManualClock
from litejobs.testing.storage import Call, Run, Storage, call_in_words

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


class Jobs(Storage):
    """The jobs of one manager as a test sees them, and what it can have done to them."""

    def __init__(self, manager: BaseManager, clock: ManualClock, directory: Path) -> None:
        super().__init__(manager, clock, directory)
        #: What scheduler, storage and workers take for the time.
        self.clock = clock

    def drain(
        self, *, with_scheduled: bool | float | timedelta | datetime = False, raising: bool = True
    ) -> dict[str, int]:
        """
        Run all jobs that are due, and those that they schedule, here and now.

        Returns how many runs had which outcome: ``success``, ``error`` (to be tried again),
        ``failure`` (attempts used up), ``cancelled``, ``snoozed``, ``unloadable``. *with_scheduled*
        moves the clock on and runs what falls due on the way: for so many seconds or a timedelta,
        up to a datetime with a zone, or (True) up to the last job that is waiting now. What a job
        raises is recorded as ever; *raising*: then it is raised here too, and the jobs after it
        wait. Retry, Discard and Snooze are outcomes and never raised here.
        """
        until = self._until(with_scheduled)
        run = Run(raising=raising)
        self.work_off(run)
        while (moment := self._next()) is not None and moment <= until:
            self.clock.move_to(moment)
            self.work_off(run)
        self.clock.move_to(until)
        return run.outcomes

    def records(self, state: str | None = None) -> list[Record]:
        """What is stored now, the newest first; of one *state*, in the order that ``list`` has."""
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
    ) -> list[Call]:
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
    ) -> Call:
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

    def _in_words(self, calls: Sequence[Call]) -> str:
        listed = "".join(f"\n  {call}" for call in calls)
        return f"scheduled were:{listed}" if listed else "nothing was"


def _in_words(
    job: Callable[..., Any],
    args: Sequence[Any] | None,
    kwargs: Mapping[str, Any] | None,
    options: Mapping[str, Any],
) -> str:
    name = getattr(job, "__name__", repr(job))
    return call_in_words(name, args or (), kwargs or {}, options)


def _moment(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)
