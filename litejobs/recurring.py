"""Jobs that are run again and again: from what an app declares to what is stored."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from litejobs import context
from litejobs.adapters.base import BaseAdapter
from litejobs.adapters.schedules import Schedules, not_found
from litejobs.config import check_queue
from litejobs.errors import ConfigurationError, SchedulingError, quoted
from litejobs.job import Job, NewJob
from litejobs.recurrence import Recurrence, StoredSchedule
from litejobs.schedule import Schedule, check_name
from litejobs.scheduled import ScheduledJob, handle
from litejobs.scheduler import Owner, Target

Stored = dict[str, list[StoredSchedule]]  # by the keys of adapters


class Declares(Owner, Protocol):
    """Whose jobs recur: a manager."""

    def describe(self, job: Job[..., Any], adapter: BaseAdapter) -> Target:
        """As ``target``, of a declared job, without a look at the storage."""
        ...

    def schedule_owner(self, path: str) -> str:
        """Whose the schedules are that the code of a file declares."""
        ...

    def has_code_of(self, owner: str) -> bool:
        """Whether this program has loaded a file whose schedules are that owner's."""
        ...


class Recurring:
    """
    What recurs in a manager's storage: ``jobs.recurring``.

    What the code declares is stored when workers start, and by ``sync``. Other schedules can be
    added, changed and removed while the app runs.
    """

    def __init__(self, owner: Declares) -> None:
        self._owner = owner

    def add(self, job: Callable[..., Any], schedule: Schedule) -> None:
        """
        Store a *schedule* of *job*, or change the one of its name; workers heed it at once.

        Its first run is that of its next time. If it was there, a pause stays, and so does the next
        time where the times are the same. Raises SchedulingError, and stores nothing, if the job or
        its arguments are not what a worker could run, or the name is one that code declares.
        """
        if what := context.loading_now():
            raise SchedulingError(
                f"recurring.add() was called while a worker loaded {what}; such calls belong under:"
                ' if __name__ == "__main__"'
            )
        if not isinstance(schedule, Schedule):
            raise SchedulingError(f"recurring.add takes a Schedule, got {quoted(schedule)}")
        if schedule.adapter not in (None, *self._owner.adapter_keys):
            keys = ", ".join(self._owner.adapter_keys)
            raise SchedulingError(
                f"there is no adapter {quoted(schedule.adapter)}; the adapters are {keys}"
            )
        target = self._owner.target(job, schedule.adapter)
        try:
            self._kept(target.adapter).add(stored(target, schedule, self._owner.queues))
        except ConfigurationError as error:
            raise SchedulingError(str(error)) from None

    def remove(self, name: str) -> None:
        """
        Let the schedule of that *name* make no more runs; those that are stored stay.

        One that the code declares is stored anew when workers start. Raises ScheduleNotFoundError,
        and ConfigurationError for a name that is no text.
        """
        self._kept(self._that_has(name)).remove(name)

    def pause(self, name: str) -> None:
        """Let it make no runs, over restarts too, until ``resume``; errors as of ``remove``."""
        self._kept(self._that_has(name)).pause(name)

    def resume(self, name: str) -> None:
        """Go on with its next time; those in the pause are passed over. Errors as ``remove``."""
        self._kept(self._that_has(name)).resume(name)

    def run_now(self, name: str) -> ScheduledJob:
        """
        Store a run at once, beside those of its times, paused or not.

        Where another job has its key, that is what it returns. Raises what ``remove`` does, and
        DuplicateJobError if such a key has the policy "raise".
        """
        adapter = self._that_has(name)
        id_ = self._kept(adapter).run_now(name)
        return handle(adapter, self._owner.declared, id_)

    def all(self) -> list[Recurrence]:
        """What is stored, whoever's it is."""
        return [
            one
            for _, adapter in self._adapters()
            if adapter.schedules is not None
            for one in adapter.schedules.all()
        ]

    def sync(self) -> None:
        """
        Store what the code declares now, change what it declares otherwise, remove what it no more.

        Workers do so when they start; without an app, and none in this program, it is for the
        script that declares it, and it is about the files that the script has loaded. Raises
        ConfigurationError where the storage cannot keep it.
        """
        declared = self._declared()
        for owner in {one.owner for one in self.all()} - {None, *declared}:
            if owner is not None and self._owner.has_code_of(owner):
                declared[owner] = {}
        for owner, by_adapter in declared.items():
            for key, adapter in self._adapters():
                schedules = by_adapter.get(key, [])
                if schedules or adapter.schedules is not None:
                    self._kept(adapter).sync(owner, schedules)

    def declared(self) -> Stored:
        """All that the code declares, as it is to be stored; raises ConfigurationError."""
        found: Stored = {}
        for by_adapter in self._declared().values():
            for key, schedules in by_adapter.items():
                found.setdefault(key, []).extend(schedules)
        return found

    def _declared(self) -> dict[str, Stored]:
        """By owner, and by adapter."""
        found: dict[str, Stored] = {self._owner.schedule_owner(""): {}}
        for (path, _), job in self._owner.declared.items():
            by_adapter = found.setdefault(self._owner.schedule_owner(path), {})
            for schedule in job.schedules:
                key = schedule.adapter or self._owner.adapter_keys[0]
                adapter = self._owner.adapter(key)
                self._kept(adapter)
                target = self._owner.describe(job, adapter)
                try:
                    one = stored(target, schedule, self._owner.queues)
                except SchedulingError as error:
                    name = schedule.name or job.name
                    raise ConfigurationError(f"the schedule {name}: {error}") from None
                by_adapter.setdefault(key, []).append(one)
        return found

    def _adapters(self) -> Iterable[tuple[str, BaseAdapter]]:
        return [(key, self._owner.adapter(key)) for key in self._owner.adapter_keys]

    def _kept(self, adapter: BaseAdapter) -> Schedules:
        if adapter.schedules is None:
            raise ConfigurationError(f"{adapter.describe()} cannot keep what recurs")
        return adapter.schedules

    def _that_has(self, name: str) -> BaseAdapter:
        """Where that schedule is; raises ScheduleNotFoundError or ConfigurationError."""
        if not isinstance(name, str):
            raise ConfigurationError(f"the name of a schedule must be a text, got {quoted(name)}")
        there = {
            one.name: adapter
            for _, adapter in self._adapters()
            if adapter.schedules is not None
            for one in adapter.schedules.all()
        }
        if name not in there:
            raise not_found(name, there)
        return there[name]


def check_schedules(job: Job[..., Any], others: Iterable[Job[..., Any]]) -> None:
    """
    Refuse schedules of a *job* that is declared whose arguments do not fit, or whose names do not.

    Raises ConfigurationError.
    """
    signature = inspect.signature(job.perform)
    taken = {name: other for other in others for name in _names(other)}
    for schedule, name in zip(job.schedules, _names(job), strict=True):
        if name in taken:
            other = "another" if taken[name] is job else f"one of {taken[name].name}"
            raise ConfigurationError(
                f"a schedule of {job.name} is named {name!r}, as {other} is: give it a name"
            )
        taken[name] = job
        try:
            signature.bind(*schedule.args, **(schedule.kwargs or {}))
        except TypeError as error:
            raise ConfigurationError(
                f"the schedule {name!r} does not fit {job.name}{signature}: {error}; its Schedule "
                "takes args and kwargs"
            ) from None


def stored(target: Target, schedule: Schedule, queues: tuple[str, ...] | None) -> StoredSchedule:
    """A *schedule* as it is stored; raises SchedulingError for arguments no worker could take."""
    queue = target.queue if schedule.queue is None else check_queue(schedule.queue)
    if queues is not None and queue not in queues:
        raise SchedulingError(
            f"queue {queue!r} is not one of the declared queues: {', '.join(queues)}"
        )
    call = schedule.args, schedule.kwargs
    job = NewJob(
        target.handler(*call, target.keep_result),
        queue,
        target.priority if schedule.priority is None else schedule.priority,
        0,
        target.uniques(None, [call])[0] if target.key is not None else None,
    )
    return StoredSchedule(
        check_name(schedule.name or target.name), schedule.cron, schedule.zone_name,
        schedule.period, schedule.missed, schedule.catch_up, schedule.overlap,
        schedule.jitter_in_milliseconds, target.limited(job, call),
    )  # fmt: skip


def schedules_of(schedule: object, shorthand: Mapping[str, Any]) -> tuple[Schedule, ...]:
    """
    What a job declares: Schedules, or the few options of one that need no more.

    Raises ConfigurationError.
    """
    given = {key: value for key, value in shorthand.items() if value is not None}
    if schedule is None:
        return (Schedule(**given),) if given else ()
    if given:
        raise ConfigurationError(
            f"{', '.join(given)} of a job that has schedule too: say it in its Schedule"
        )
    several = tuple(schedule) if isinstance(schedule, list | tuple) else (schedule,)
    for one in several:
        if not isinstance(one, Schedule):
            raise ConfigurationError(
                f"schedule must be a Schedule or a list of them, got {quoted(one)}"
            )
    return several


def _names(job: Job[..., Any]) -> list[str]:
    return [schedule.name or job.name for schedule in job.schedules]
