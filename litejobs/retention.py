"""How long the rows of jobs that are over stay in the database, and how many."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from litejobs import defaults
from litejobs.config import check_keys, check_whole, seconds
from litejobs.errors import ConfigurationError, quoted

_STATES = ("succeeded", "failed", "cancelled", "unloadable")
_MOST = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """
    Which jobs of one state stay: those that are not older than *age*, and the last *count*.

    *age* is seconds or a timedelta, counted from when the job ended; of unloadable ones, which have
    not, from when it was due. None: however old, or many.

    Raises ConfigurationError when one is not of its kind.
    """

    age: float | timedelta | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        if self.age is not None:
            object.__setattr__(self, "age", seconds("age", self.age))
        if self.count is not None:
            check_whole("count", self.count, at_least=0, at_most=_MOST)

    def ended_before(self, now: int) -> int | None:
        """
        The last moment at which a job may have ended to be too old *now*, in milliseconds.

        >>> Keep(age=60).ended_before(100_000)
        40000
        """
        if self.age is None:
            return None
        assert not isinstance(self.age, timedelta)
        return now - int(1000 * self.age)


def check_retention(retention: object) -> dict[str, Keep]:
    """What is kept of each state, with what holds where *retention* is silent."""
    kept = {"succeeded": Keep(age=defaults.KEEP_SUCCEEDED)}
    if retention is None:
        return kept
    if not isinstance(retention, Mapping):
        raise ConfigurationError(
            f"retention must be a dict of Keep by state, got {quoted(retention)}"
        )
    check_keys(retention, _STATES, of="retention")
    for state, keep in retention.items():
        if not isinstance(keep, Keep):
            raise ConfigurationError(f"retention of {state} must be a Keep, got {quoted(keep)}")
        if state == "unloadable" and keep.count is not None:
            raise ConfigurationError("retention of unloadable goes by age, it takes no count")
        kept[state] = keep
    return kept
