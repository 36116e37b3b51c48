"""What an app says of a job that recurs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_args

from litejobs import defaults
from litejobs.config import (
    check_priority,
    check_queue,
    check_whole,
    seconds,
    with_checked_options,
)  # fmt: skip
from litejobs.errors import ConfigurationError, quoted
from litejobs.recurrence import Missed, Overlap, timing
from litejobs.rules.recurrence import Timing

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_LONGEST = 200  # characters of a name
_SHORTEST = 1.0  # seconds between two runs
_MOST = 10_000  # missed runs of one schedule that are made at once


@with_checked_options
@dataclass(frozen=True, kw_only=True)
class Schedule:
    """
    When a job is run again and again, and with which arguments.

    *cron* is an expression of five fields, or ``"@daily"`` and the like, by the clocks of
    *timezone*, a name or a ZoneInfo (None: UTC); *every* is the seconds, or a timedelta, between
    two runs: one of both. *name* is one of its own in the database (None: the job's name). *queue*
    and *priority* win over the job's.

    *missed* says what becomes of times at which no worker was there: of all of them one run is made
    (``"once"``), or one of each (``"all"``; of the last *catch_up*), or none (``"skip"``) if the
    last is over a minute ago. *overlap* is what happens while the last run is unfinished: the time
    is passed over (``"skip"``), or another run is made (``"allow"``). *jitter* is up to how long
    after its time a run begins, by chance: seconds or a timedelta. *adapter* is a key of the
    manager's adapters (None: the first).

    Raises ConfigurationError when one is not of its kind, and for a *cron* that never comes.
    """

    cron: str | None = None
    every: float | timedelta | None = None
    timezone: "str | ZoneInfo | None" = None
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] | None = None
    name: str | None = None
    queue: str | None = None
    priority: int | None = None
    missed: Missed = "once"
    catch_up: int = defaults.CATCH_UP
    overlap: Overlap = "skip"
    jitter: float | timedelta = 0.0
    adapter: str | None = None

    def __post_init__(self) -> None:
        if (self.cron is None) == (self.every is None):
            raise ConfigurationError("a schedule has either cron or every, one of both")
        if self.every is not None and self.timezone is not None:
            raise ConfigurationError("timezone goes with cron: intervals go by elapsed time")
        _ = self.timing, self.jitter_in_milliseconds
        _check_kind("args", self.args, list | tuple, "a list")
        _check_kind("kwargs", self.kwargs, Mapping | None, "a dict")
        _check_kind("adapter", self.adapter, str | None, "a key of the manager's adapters")
        if self.name is not None:
            check_name(self.name)
        if self.queue is not None:
            check_queue(self.queue)
        if self.priority is not None:
            check_priority(self.priority)
        _check_word("missed", self.missed, get_args(Missed))
        _check_word("overlap", self.overlap, get_args(Overlap))
        check_whole("catch_up", self.catch_up, at_least=1, at_most=_MOST)
        if self.missed == "all" and self.overlap == "skip":
            raise ConfigurationError(
                "missed='all' makes several runs at once, which overlap='skip' passes over: "
                "it goes with overlap='allow'"
            )

    @cached_property
    def timing(self) -> Timing:
        """The times that it names."""
        return timing(self.cron, self.zone_name, self.period)

    @property
    def period(self) -> int | None:
        """Milliseconds between two runs, where they lie equally far apart."""
        if self.every is None:
            return None
        every = seconds("every", self.every)
        if every < _SHORTEST:
            raise ConfigurationError(
                f"every must be at least {_SHORTEST:g} second, got {quoted(self.every)}"
            )
        return round(1000 * every)

    @property
    def zone_name(self) -> str:
        """The name of its time zone."""
        zone: object = self.timezone
        name = "UTC" if zone in (None, UTC) else getattr(zone, "key", zone)
        if not isinstance(name, str):
            raise ConfigurationError(
                f"timezone must be a name such as 'Europe/Rome', got {quoted(self.timezone)}"
            )
        return name

    @property
    def jitter_in_milliseconds(self) -> int:
        """Up to how much later a run begins."""
        return round(1000 * seconds("jitter", self.jitter))


def check_name(name: object) -> str:
    """The name of a schedule, if it can be one."""
    if not isinstance(name, str) or not name or not name.isprintable() or len(name) > _LONGEST:
        raise ConfigurationError(
            f"name of a schedule must be printable text of at most {_LONGEST} characters, "
            f"got {quoted(name)}"
        )
    return name


def _check_kind(key: str, value: object, kind: Any, words: str) -> None:
    if not isinstance(value, kind):
        raise ConfigurationError(f"{key} of a schedule must be {words}, got {quoted(value)}")


def _check_word(key: str, value: object, known: Sequence[str]) -> None:
    if value not in known:
        raise ConfigurationError(f"{key} must be one of {', '.join(known)}, got {quoted(value)}")
