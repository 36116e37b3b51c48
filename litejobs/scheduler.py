import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Protocol, TypeVar

from litejobs import context, handler
from litejobs.adapters.base import BaseAdapter
from litejobs.arguments import Parameters, parameters_of
from litejobs.clock import Clock
from litejobs.config import check_priority, check_queue, check_whole
from litejobs.defaults import END_OF_TIME
from litejobs.errors import (
    ConfigurationError,
    DatabaseBusyError,
    SchedulingError,
    TransactionError,
    quoted,
)
from litejobs.hooks import NONE, Hooks, JobCall
from litejobs.job import Job, NewJob, Unique
from litejobs.keys import Key, result_period
from litejobs.limit import Limit
from litejobs.rules.error_text import headline
from litejobs.scheduled import ScheduledJob, handle

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_BEGINNING_OF_TIME = -62_135_596_800_000  # the first millisecond of the year 1

# What the calls of one ``later`` have in common: the job, when it is due (milliseconds since 1970,
# UTC), its queue and priority, and the state in which it is stored.
Plan = tuple["Target", int, str, int, str]
Call = tuple[Sequence[Any], Mapping[str, Any] | None]


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
    key: Key | None = None
    keep_result: float | None = None  # seconds
    hooks: Hooks = NONE
    limit: Limit | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and not self.adapter.keeps_limits:
            raise SchedulingError(
                f"{self.name} has a limit, which {self.adapter.describe()} cannot keep"
            )

    @cached_property
    def _parameters(self) -> Parameters:
        return parameters_of(self.function)

    @cached_property
    def _head(self) -> str:
        return handler.head(self.name, self.path, self.module)

    def handler(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any] | None,
        keep_result: float | None = None,
    ) -> str:
        """What a row stores of one call; raises SchedulingError if a worker could not make it."""
        if not isinstance(args, (list, tuple)):  # a union would be made anew at each call
            raise SchedulingError(
                f"args of {self.name} must be a list, got {type(args).__name__}: "
                f"later({self.name}, [...])"
            )
        if kwargs is not None and not _is_by_name(kwargs):
            raise SchedulingError(f"kwargs of {self.name} must be a dict with names as keys")
        listed, named = self._parameters.dump(args, kwargs or {})
        return handler.with_arguments(self._head, listed, named, keep_result)

    def limited(self, job: NewJob, call: Call) -> NewJob:
        """The job with the limit that its call has, if any; raises SchedulingError."""
        if self.limit is None:
            return job
        args, kwargs = call
        key = self.limit.key_of(self.name, self.path, args, kwargs or {})
        return job if key is None else job._replace(limit_key=key, limit_max=self.limit.at_once)

    def kept_for(self, keep_result: bool | float | timedelta | None) -> float | None:  # noqa: FBT001  # as in later
        """Seconds for which a call's result is kept; raises SchedulingError."""
        return self.keep_result if keep_result is None else _checked(result_period, keep_result)

    def uniques(
        self, key: str | Callable[..., str] | Key | None, calls: Sequence[Call]
    ) -> list[Unique]:
        """The key of each call; raises SchedulingError."""
        one = self.key if key is None else _checked(Key.of, key)
        assert one is not None
        return [one.of_call(self.name, self.path, args, kwargs or {}) for args, kwargs in calls]


class Owner(Protocol):
    """Whose jobs a scheduler stores: a manager."""

    queues: tuple[str, ...] | None
    clock: Clock
    declared: dict[tuple[str, str], Job[..., Any]]

    def adapter(self, key: str | None) -> BaseAdapter:
        """The storage of that name, or the first."""
        ...

    @property
    def where(self) -> str:
        """``module:name`` of it."""
        ...

    @property
    def adapter_keys(self) -> Sequence[str]:
        """The names of its adapters, the default first."""
        ...

    hooks: Hooks

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
        key: str | Callable[..., str] | Key | None = None,
        keep_result: bool | float | timedelta | None = None,
        connection: object = None,
    ) -> ScheduledJob:
        """
        Store *job* with its arguments and return once it is durable.

        *args* is a list, *kwargs* a dict. *wait* is seconds or a timedelta from now, *wait_until* a
        datetime with a zone; without either the job runs as soon as possible. A *wait_until* that
        is past makes the job due at once, and ahead of others of its priority. *queue* and
        *priority* (a whole number, lower runs first) override the job's own, and so do *key*, a
        text, a function of the arguments or a Key, which lets no two jobs with the same one wait
        or run, and *keep_result*: True keeps what the job returns for a day, a number of seconds or
        a timedelta for so long.

        With *connection*, one of the app's own to the file of the jobs, the job is part of its
        transaction: it exists if and only if that is committed, and is as durable as that. It may
        be a sqlite3.Connection, an SQLAlchemy Session or Connection, Django's connection, or, with
        ``driver="apsw"``, an apsw.Connection.

        Raises SchedulingError, and stores nothing, if any of this is not what a worker could run
        or a before_schedule hook refuses it; a StorageError if the database does not take it: after
        a DiskError it may be stored; TransactionError if the connection cannot.
        """
        plan = self._plan(job, wait, wait_until, queue, priority, connection)
        target, run_at, queue, priority, state = plan
        handler = target.handler(args, kwargs, target.kept_for(keep_result))
        if self._owner.hooks.size or target.hooks.size:
            self._ask(plan, args, kwargs)
        if key is not None or target.key is not None:
            return self._store_unique(plan, key, [(args, kwargs)], [handler], connection)[0]
        new_job = target.limited(NewJob(handler, queue, priority, run_at), (args, kwargs))
        [id_] = _store(target.adapter, [new_job], connection)
        self._logger.debug("scheduled %s: %d in queue %s", target.name, 1, queue)
        stored = ScheduledJob(
            target, id_, tuple(args), dict(kwargs or {}), queue, priority, run_at, state
        )
        return _seen([stored], target, connection)[0]

    def many(
        self,
        job: Callable[..., Any],
        args_list: Iterable[Sequence[Any]],
        *,
        wait: float | timedelta | None = None,
        wait_until: datetime | None = None,
        queue: str | None = None,
        priority: int | None = None,
        key: str | Callable[..., str] | Key | None = None,
        keep_result: bool | float | timedelta | None = None,
        connection: object = None,
    ) -> list[ScheduledJob]:
        """
        Store one job for each item of *args_list*, all or none, in one transaction.

        Each item is a list of arguments. The options are those of a single call and hold for all,
        and so do its errors. Returns the stored jobs in the order of *args_list*.
        """
        if not isinstance(args_list, Iterable) or isinstance(args_list, str | bytes):
            raise SchedulingError(f"many takes a list of argument lists, got {quoted(args_list)}")
        args_list = list(args_list)
        plan = self._plan(job, wait, wait_until, queue, priority, connection)
        target, run_at, queue, priority, state = plan
        period = target.kept_for(keep_result)
        handlers = [target.handler(args, None, period) for args in args_list]
        if not handlers:
            return []
        if self._owner.hooks.size or target.hooks.size:
            for args in args_list:
                self._ask(plan, args, None)
        if key is not None or target.key is not None:
            calls: list[Call] = [(args, None) for args in args_list]
            return self._store_unique(plan, key, calls, handlers, connection)
        new_jobs = [NewJob(handler, queue, priority, run_at) for handler in handlers]
        if target.limit is not None:
            new_jobs = [
                target.limited(new_job, (args, None))
                for new_job, args in zip(new_jobs, args_list, strict=True)
            ]
        ids = _store(target.adapter, new_jobs, connection)
        self._logger.debug("scheduled %s: %d in queue %s", target.name, len(ids), queue)
        stored = [
            ScheduledJob(target, id_, tuple(args), {}, queue, priority, run_at, state)
            for id_, args in zip(ids, args_list, strict=True)
        ]
        return _seen(stored, target, connection)

    def get(self, id: int) -> ScheduledJob:  # noqa: A002  # the column's name
        """
        A handle on the job with that id, in the storage of this scheduler.

        Its arguments are what JSON makes of them. Where there is no such job (any more), its state
        is ``gone`` and the rest is empty. Raises a StorageError.
        """
        check_whole("id", id, at_least=0)
        return handle(self._owner.adapter(self._adapter), self._owner.declared, id)

    def _ask(self, plan: Plan, args: Sequence[Any], kwargs: Mapping[str, Any] | None) -> None:
        """Let before_schedule hooks look at a call that is about to be stored, and refuse it."""
        target, run_at, queue, priority, _ = plan
        when = _EPOCH + run_at * _MILLISECOND
        call = JobCall(target.name, tuple(args), dict(kwargs or {}), queue, priority, when)
        for hook in (*self._owner.hooks.before_schedule, *target.hooks.before_schedule):
            try:
                hook(call)
            except SchedulingError:
                raise
            except Exception as error:
                name = getattr(hook, "__name__", repr(hook))
                raise SchedulingError(
                    f"before_schedule {name} refused {target.name}: {headline(error)}"
                ) from error

    def _store_unique(
        self,
        plan: Plan,
        key: str | Callable[..., str] | Key | None,
        calls: Sequence[Call],
        handlers: Sequence[str],
        connection: object,
    ) -> list[ScheduledJob]:
        target, run_at, queue, priority, state = plan
        uniques = target.uniques(key, calls)
        new_jobs = [
            target.limited(NewJob(handler, queue, priority, run_at, unique), call)
            for handler, unique, call in zip(handlers, uniques, calls, strict=True)
        ]
        try:
            kept = target.adapter.schedule_unique(new_jobs, connection)
        except DatabaseBusyError as error:
            raise (_perhaps_own(error) if connection is None else error) from error
        number = sum(one.is_new for one in kept)
        self._logger.debug("scheduled %s: %d in queue %s", target.name, number, queue)
        jobs = []
        for (id_, is_new), (args, kwargs) in zip(kept, calls, strict=True):
            job = ScheduledJob(
                target, id_, tuple(args), dict(kwargs or {}), queue, priority, run_at, state
            )
            if not is_new:
                there = handle(target.adapter, self._owner.declared, id_)
                if there.state != "gone":  # else stored in the very transaction that is open
                    job = there
                job.is_new = False
            jobs.append(job)
        return _seen(jobs, target, connection)

    def _plan(
        self,
        job: Callable[..., Any],
        wait: float | timedelta | None,
        wait_until: datetime | None,
        queue: str | None,
        priority: int | None,
        connection: object,
    ) -> Plan:
        if what := context.loading_now():
            raise SchedulingError(
                f"later({getattr(job, '__name__', job)}) was called while a worker loaded {what}; "
                'such calls belong under: if __name__ == "__main__"'
            )
        if connection is None:
            try:
                target = self._owner.target(job, self._adapter)
            except DatabaseBusyError as error:
                raise _perhaps_own(error) from error
        else:
            target = self._target_within_transaction(job)
        now = self._owner.clock.now()
        run_at = due(now, wait, wait_until)
        return (
            target,
            run_at,
            target.queue if queue is None else self._checked_queue(queue),
            target.priority if priority is None else _checked(check_priority, priority),
            "ready" if run_at <= now else "scheduled",
        )

    def _target_within_transaction(self, job: Callable[..., Any]) -> Target:
        """As the owner says, without waiting for a lock that the caller may well hold itself."""
        try:
            with context.within_transaction():
                return self._owner.target(job, self._adapter)
        except DatabaseBusyError as error:
            key = self._adapter or self._owner.adapter_keys[0]
            raise TransactionError(
                "the database is not ready for jobs, and it is locked, perhaps by this very "
                f"transaction: call {self._owner.where}.adapter({key!r}).open() when the app starts"
            ) from error

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


def _store(adapter: BaseAdapter, jobs: Sequence[NewJob], connection: object) -> list[int]:
    if connection is not None:
        return adapter.schedule_within(connection, jobs)
    try:
        return adapter.schedule(jobs)
    except DatabaseBusyError as error:
        raise _perhaps_own(error) from error


def _perhaps_own(error: DatabaseBusyError) -> DatabaseBusyError:
    """The same, for a caller without connection= whose own transaction may be what holds it."""
    return DatabaseBusyError(
        f"{error}: another program's, or this very one's with an open transaction, which is to be "
        "ended before the call of later(), or passed to it as connection="
    )


def _seen(jobs: list[ScheduledJob], target: Target, connection: object) -> list[ScheduledJob]:
    """Of jobs with a limit their state is known only now, unless nobody can see them yet."""
    if target.limit is not None and connection is None:
        for job in jobs:
            job.refresh()
    return jobs


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
    if not _BEGINNING_OF_TIME <= moment <= END_OF_TIME:
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
    if wait > (END_OF_TIME - now) / 1000:
        raise SchedulingError("wait ends after the year 9999")
    return math.ceil(wait * 1000)


def _checked(check: Callable[[Any], T], value: object) -> T:
    """What a check of configuration makes of an option of a call."""
    try:
        return check(value)
    except ConfigurationError as error:
        raise SchedulingError(str(error)) from None


def _is_by_name(kwargs: object) -> bool:
    return isinstance(kwargs, Mapping) and all(isinstance(key, str) for key in kwargs)
