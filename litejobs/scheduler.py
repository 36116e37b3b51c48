import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from litejobs import context, handler
from litejobs.adapters.base import BaseAdapter
from litejobs.arguments import Parameters, parameters_of
from litejobs.clock import Clock
from litejobs.config import check_priority, check_queue
from litejobs.errors import ConfigurationError, SchedulingError, quoted
from litejobs.job import NewJob

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_BEGINNING_OF_TIME = -62_135_596_800_000  # the first millisecond of the year 1
_END_OF_TIME = 253_402_300_799_999  # the last millisecond of the year 9999


@dataclass(frozen=True)
class Target:
    """What a call of ``later`` schedules: where the function is found again, and its defaults."""

    function: Callable[..., Any]
    name: str
    path: str
    module: str | None
    queue: str
    priority: int
    adapter: BaseAdapter

    @cached_property
    def _parameters(self) -> Parameters:
        return parameters_of(self.function)

    @cached_property
    def _head(self) -> str:
        return handler.head(self.name, self.path, self.module)

    def handler(self, args: Sequence[Any], kwargs: Mapping[str, Any] | None) -> str:
        """What a row stores of one call; raises SchedulingError if a worker could not make it."""
        if not isinstance(args, (list, tuple)):  # a union would be made anew at each call
            raise SchedulingError(
                f"args of {self.name} must be a list, got {type(args).__name__}: "
                f"later({self.name}, [...])"
            )
        if kwargs is not None and not _is_by_name(kwargs):
            raise SchedulingError(f"kwargs of {self.name} must be a dict with names as keys")
        listed, named = self._parameters.dump(args, kwargs or {})
        return handler.with_arguments(self._head, listed, named)


class ScheduledJob(NamedTuple):
    """A job that is stored: its id and what was stored. Reading an attribute does no I/O."""

    id: int  #: never used again for another job of that storage
    name: str  #: the function's name
    args: tuple[Any, ...]  #: the very values that were passed
    kwargs: Mapping[str, Any]  #: the very values that were passed
    queue: str  #: the queue's name
    priority: int  #: lower runs first
    run_at: datetime  #: when it is due, in UTC, to the millisecond


class Owner(Protocol):
    """Whose jobs a scheduler stores: a manager."""

    queues: tuple[str, ...] | None
    clock: Clock

    def target(self, job: Callable[..., Any], adapter: str | None) -> Target:
        """What *job* stands for, stored in that adapter; raises SchedulingError."""
        ...


class Scheduler:
    """
    ``later``: stores jobs to be run in the background.

    Made by ``JobManager.create_scheduler``; ``litejobs.later`` is one. Any thread may call it.
    """

    def __init__(self, owner: Owner, adapter: str | None, logger: logging.Logger) -> None:
        """*adapter* is the key of one of *owner*'s adapters; None: the first."""
        self._owner = owner
        self._adapter = adapter
        self._logger = logger

    def __call__(
        self,
        job: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        wait: float | timedelta | None = None,
        wait_until: datetime | None = None,
        queue: str | None = None,
        priority: int | None = None,
    ) -> ScheduledJob:
        """
        Store *job* with its arguments and return once it is durable.

        *args* is a list, *kwargs* a dict. *wait* is seconds or a timedelta from now, *wait_until* a
        datetime with a zone; without either the job runs as soon as possible. A *wait_until* that
        is past makes the job due at once, and ahead of others of its priority. *queue* and
        *priority* (a whole number, lower runs first) override the job's own.

        Raises SchedulingError, and stores nothing, if any of this is not what a worker could run;
        a StorageError if the database does not take it: after a DiskError it may be stored.
        """
        target, run_at, queue, priority = self._plan(job, wait, wait_until, queue, priority)
        new_job = NewJob(target.handler(args, kwargs), queue, priority, run_at)
        [id_] = target.adapter.schedule([new_job])
        self._logger.debug("scheduled %s: %d in queue %s", target.name, 1, queue)
        return ScheduledJob(
            id_, target.name, tuple(args), dict(kwargs or {}), queue, priority, _instant(run_at)
        )

    def many(
        self,
        job: Callable[..., Any],
        args_list: Iterable[Sequence[Any]],
        *,
        wait: float | timedelta | None = None,
        wait_until: datetime | None = None,
        queue: str | None = None,
        priority: int | None = None,
    ) -> list[ScheduledJob]:
        """
        Store one job for each item of *args_list*, all or none, in one transaction.

        Each item is a list of arguments. The options are those of a single call and hold for all,
        and so do its errors. Returns the stored jobs in the order of *args_list*.
        """
        if not isinstance(args_list, Iterable) or isinstance(args_list, str | bytes):
            raise SchedulingError(f"many takes a list of argument lists, got {quoted(args_list)}")
        args_list = list(args_list)
        target, run_at, queue, priority = self._plan(job, wait, wait_until, queue, priority)
        new_jobs = [
            NewJob(target.handler(args, None), queue, priority, run_at) for args in args_list
        ]
        if not new_jobs:
            return []
        ids = target.adapter.schedule(new_jobs)
        self._logger.debug("scheduled %s: %d in queue %s", target.name, len(ids), queue)
        when = _instant(run_at)
        return [
            ScheduledJob(id_, target.name, tuple(args), {}, queue, priority, when)
            for id_, args in zip(ids, args_list, strict=True)
        ]

    def _plan(
        self,
        job: Callable[..., Any],
        wait: float | timedelta | None,
        wait_until: datetime | None,
        queue: str | None,
        priority: int | None,
    ) -> tuple[Target, int, str, int]:
        """What is stored, when it is due (milliseconds since 1970, UTC), its queue and priority."""
        if what := context.loading_now():
            raise SchedulingError(
                f"later({getattr(job, '__name__', job)}) was called while a worker loaded {what}; "
                'such calls belong under: if __name__ == "__main__"'
            )
        target = self._owner.target(job, self._adapter)
        return (
            target,
            due(self._owner.clock.now(), wait, wait_until),
            target.queue if queue is None else self._checked_queue(queue),
            target.priority if priority is None else _checked_priority(priority),
        )

    def _checked_queue(self, queue: object) -> str:
        try:
            name = check_queue(queue)
        except ConfigurationError as error:
            raise SchedulingError(str(error)) from None
        declared = self._owner.queues
        if declared is not None and name not in declared:
            raise SchedulingError(
                f"queue {name!r} is not one of the declared queues: {', '.join(declared)}"
            )
        return name


def due(now: int, wait: object, wait_until: object) -> int:
    """
    When a job is to run, in milliseconds since 1970, UTC: rounded up to the next one.

    Raises SchedulingError for a wait or date that is none, or one too many.
    """
    if wait is not None and wait_until is not None:
        raise SchedulingError("give wait or wait_until, not both")
    if wait_until is not None:
        return _moment(wait_until)
    return now if wait is None else now + _milliseconds(wait, now)


def _moment(wait_until: object) -> int:
    if not isinstance(wait_until, datetime):
        raise SchedulingError(f"wait_until must be a datetime, got {quoted(wait_until)}")
    if wait_until.utcoffset() is None:
        raise SchedulingError(
            f"wait_until {wait_until} has no time zone; for UTC: "
            "wait_until.replace(tzinfo=datetime.UTC)"
        )
    moment = -((_EPOCH - wait_until) // _MILLISECOND)
    if not _BEGINNING_OF_TIME <= moment <= _END_OF_TIME:
        raise SchedulingError(f"wait_until {wait_until} lies outside of the years 1 to 9999 in UTC")
    return moment


def _milliseconds(wait: object, now: int) -> int:
    if isinstance(wait, datetime):
        raise SchedulingError(f"wait is a number of seconds; for a date use wait_until={wait!r}")
    if isinstance(wait, timedelta):
        wait = wait.total_seconds()
    is_number = isinstance(wait, int | float) and not isinstance(wait, bool)
    if not is_number or (isinstance(wait, float) and not math.isfinite(wait)):
        raise SchedulingError(f"wait must be seconds or a timedelta, got {quoted(wait)}")
    assert isinstance(wait, int | float)
    if wait < 0:
        raise SchedulingError(f"wait must not be negative, got {quoted(wait)}")
    if wait > (_END_OF_TIME - now) / 1000:
        raise SchedulingError("wait ends after the year 9999")
    return math.ceil(wait * 1000)


def _checked_priority(priority: object) -> int:
    try:
        return check_priority(priority)
    except ConfigurationError as error:
        raise SchedulingError(str(error)) from None


def _instant(run_at: int) -> datetime:
    return _EPOCH + run_at * _MILLISECOND


def _is_by_name(kwargs: object) -> bool:
    return isinstance(kwargs, Mapping) and all(isinstance(key, str) for key in kwargs)
