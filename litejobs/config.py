"""Worker groups, and the checks that every option goes through."""

import difflib
import functools
import inspect
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, TypeVar

from litejobs import defaults
from litejobs.errors import ConfigurationError, quoted
from litejobs.job import Limits

T = TypeVar("T")
MAX_COUNT = 256
MAX_ATTEMPTS = 1_000_000
MAX_TENURE = 1_000_000_000  # jobs or MiB
MAX_SECONDS = 366 * 24 * 3600 * 100  # a hundred years
_DELETIONS = ("delete_successful_jobs", "delete_failed_jobs")
_GROUP_LIMITS = ("max_attempts", "max_runtime", *_DELETIONS)
MIN_PRIORITY, MAX_PRIORITY = -(2**63), 2**63 - 1


def with_checked_options(cls: type[T]) -> type[T]:
    """A decorator: the class refuses a keyword that it does not take with the nearest it does."""
    init = cls.__init__
    known = list(inspect.signature(init).parameters)[1:]

    @functools.wraps(init)
    def checked(self: T, *values: Any, **options: Any) -> None:
        check_keys(options, known, of=type(self).__name__)
        init(self, *values, **options)

    cls.__init__ = checked  # type: ignore[method-assign,assignment]
    return cls


@with_checked_options
@dataclass(frozen=True, kw_only=True)
class WorkerGroup:
    """
    How many workers take jobs of which queues, and under what limits.

    All options are keywords. Raises ConfigurationError when one is not of its kind, or does not
    exist; the nearest one that does is named then.
    """

    #: A key of the manager's adapters; None: the first.
    adapter: str | None = None
    #: Logs the group's jobs; None: the manager's.
    logger: logging.Logger | None = None
    #: A name, a list of names, ``"*"`` for every queue, or with ``"!name"`` for all but some.
    queue: str | tuple[str, ...] | list[str] = defaults.WORK_QUEUE
    #: Workers, each a process or a thread; 256 at most.
    count: int = defaults.COUNT
    #: Runs in all, the first one included.
    max_attempts: int = defaults.MAX_ATTEMPTS
    #: Seconds that a run may take; then a process is stopped, a thread only told of.
    max_runtime: float = defaults.MAX_RUNTIME
    #: Whether the row of a job that used up its attempts goes, or after how long (seconds or a
    #: timedelta); False: as the adapter's retention says.
    delete_failed_jobs: bool | float | timedelta = defaults.DELETE_FAILED_JOBS
    #: As that, of a job that succeeded.
    delete_successful_jobs: bool | float | timedelta = defaults.DELETE_SUCCESSFUL_JOBS
    #: Seconds between two looks of an idle worker that nobody wakes.
    sleep_delay: float = defaults.SLEEP_DELAY
    #: Jobs after which a worker process is replaced; None: never. Not for threads.
    max_jobs: int | None = None
    #: MiB of resident memory above which it is replaced, after its job; None: never.
    max_memory: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.adapter, str | None):
            raise ConfigurationError(
                f"adapter of a worker group must be one of the manager's keys, got {self.adapter!r}"
            )
        check_logger(self.logger)
        if not isinstance(self.queue, str | list | tuple) or not self.queue:
            raise ConfigurationError(
                f"queue of a worker group must be a name or a list of names, got {self.queue!r}"
            )
        check_selection(self.queues)
        check_whole("count", self.count, at_least=1, at_most=MAX_COUNT)
        check_limits(limits_of(self))
        check_seconds("sleep_delay", self.sleep_delay, above_zero=True)
        for key in ("max_jobs", "max_memory"):
            if getattr(self, key) is not None:
                check_whole(key, getattr(self, key), at_least=1, at_most=MAX_TENURE)

    @classmethod
    def of(cls, options: "WorkerGroup | Mapping[str, Any]") -> "WorkerGroup":
        """The group itself, or one made of a mapping with the same keys."""
        if isinstance(options, cls):
            return options
        if not isinstance(options, Mapping):
            raise ConfigurationError(f"a worker group is a WorkerGroup or a dict, got {options!r}")
        check_keys(options, (field.name for field in fields(cls)), of=cls.__name__)
        return cls(**options)

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues as a selection: see ``litejobs.rules.queues``."""
        return selection((self.queue,) if isinstance(self.queue, str) else self.queue)

    @property
    def limits(self) -> Limits:
        """The limits that hold for jobs which bring none of their own."""
        return Limits(**in_seconds(limits_of(self)))


def limits_of(options: object) -> dict[str, Any]:
    """The attributes of a group's *options* that are limits, by name."""
    return {key: getattr(options, key) for key in _GROUP_LIMITS}


def check_limits(options: Mapping[str, Any]) -> None:
    """Refuse limits, the group's or a job's own, that are not of their kind."""
    if "max_attempts" in options:
        check_whole("max_attempts", options["max_attempts"], at_least=1, at_most=MAX_ATTEMPTS)
    if "max_runtime" in options:
        check_seconds("max_runtime", options["max_runtime"], above_zero=True)
    for key in _DELETIONS:
        value = options.get(key, False)
        if isinstance(value, bool):
            continue
        if not isinstance(value, int | float | timedelta):
            raise ConfigurationError(f"{key} must be True, False or a time, got {quoted(value)}")
        seconds(key, value, above_zero=True)


def in_seconds(options: Mapping[str, Any]) -> dict[str, Any]:
    """Limits that were checked, with times as seconds."""
    return {
        key: value.total_seconds() if isinstance(value, timedelta) else value
        for key, value in options.items()
    }


def check_keys(options: Mapping[str, Any], known: Iterable[str], *, of: str) -> None:
    """Refuse keys that nobody would read, with the nearest right one."""
    known = list(known)
    for key in options:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the options are {', '.join(known)}"
            raise ConfigurationError(f"{key!r} is not an option of {of}; {hint}")


def check_queue(name: object) -> str:
    """The queue's name, if it can be one."""
    if not isinstance(name, str):
        raise ConfigurationError(f"a queue is named by a string, got {quoted(name)}")
    if not name or not name.isprintable() or name == defaults.WORK_QUEUE or name.startswith("!"):
        raise ConfigurationError(
            f"{quoted(name)} cannot name a queue: a name is printable text, not '*' and not '!...'"
        )
    return name


def selection(queues: Sequence[str]) -> tuple[str, ...]:
    """*queues* with ``"*"`` before them where there are exceptions alone."""
    are_exceptions = all(isinstance(name, str) and name.startswith("!") for name in queues)
    return (defaults.WORK_QUEUE, *queues) if are_exceptions else tuple(queues)


def check_selection(queues: Sequence[object]) -> None:
    """Refuse what selects no queues, or would do so only in part."""
    if f"!{defaults.WORK_QUEUE}" in queues:
        raise ConfigurationError("'!*' excludes every queue; name those that are to be taken")
    named = [name for name in queues if not isinstance(name, str) or not name.startswith("!")]
    exceptions = [name[1:] for name in queues if isinstance(name, str) and name not in named]
    for name in (*named, *exceptions):
        if name != defaults.WORK_QUEUE:
            check_queue(name)
    for name in exceptions:
        if name in named or defaults.WORK_QUEUE not in named:
            raise ConfigurationError(
                f"'!{name}' goes with '*', which it makes an exception to; beside "
                f"{', '.join(map(repr, named))} it has no meaning"
            )


def check_logger(logger: object) -> None:
    """Refuse what is no logger of the standard library's; None stands for the default one."""
    if not isinstance(logger, logging.Logger | None):
        raise ConfigurationError(f"logger must be a logging.Logger, got {logger!r}")


def check_priority(value: object) -> int:
    """The priority, if the database can hold it."""
    check_whole("priority", value, at_least=MIN_PRIORITY, at_most=MAX_PRIORITY)
    return value  # type: ignore[return-value]  # check_whole leaves nothing but int


def check_whole(key: str, value: object, *, at_least: int, at_most: int | None = None) -> None:
    """Refuse what is not a whole number in its range."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigurationError(f"{key} must be a whole number, got {quoted(value)}")
    if value < at_least:
        raise ConfigurationError(f"{key} must be at least {at_least}, got {quoted(value)}")
    if at_most is not None and value > at_most:
        raise ConfigurationError(f"{key} must be at most {at_most}, got {quoted(value)}")


def check_seconds(key: str, value: object, *, above_zero: bool = False) -> None:
    """Refuse what is not a duration in seconds."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or (isinstance(value, float) and not math.isfinite(value)):
        raise ConfigurationError(f"{key} must be a number of seconds, got {quoted(value)}")
    assert isinstance(value, int | float)
    if value > MAX_SECONDS:
        raise ConfigurationError(f"{key} must be at most {MAX_SECONDS} seconds")
    if value < 0 or (above_zero and value == 0):
        least = "more than" if above_zero else "at least"
        raise ConfigurationError(f"{key} must be {least} 0 seconds, got {quoted(value)}")


def seconds(key: str, value: object, *, above_zero: bool = False) -> float:
    """A duration in seconds, given as that or as a timedelta; raises ConfigurationError."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    check_seconds(key, value, above_zero=above_zero)
    return value  # type: ignore[return-value]  # check_seconds leaves nothing but numbers


def check_queues(queues: object) -> tuple[str, ...]:
    """The names of queues that a manager is told; raises ConfigurationError."""
    if not isinstance(queues, list | tuple) or not queues:
        raise ConfigurationError(f"queues must be a list of names, got {queues!r}")
    return tuple(check_queue(name) for name in queues)


def check_groups(workers: object) -> tuple[WorkerGroup, ...]:
    """The worker groups that a manager is told; raises ConfigurationError."""
    if not isinstance(workers, list | tuple) or not workers:
        raise ConfigurationError(f"workers must be a list of worker groups, got {workers!r}")
    return tuple(WorkerGroup.of(group) for group in workers)
