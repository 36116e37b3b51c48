"""Keys: of several calls that mean the same, one job."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, get_args

from litejobs import defaults
from litejobs.config import seconds
from litejobs.errors import ConfigurationError, SchedulingError, quoted
from litejobs.job import Unique

Policy = Literal["skip", "replace", "raise"]
_POLICIES = get_args(Policy)
_LONGEST = 1000  # characters


@dataclass(frozen=True, slots=True)
class Key:
    """
    Of the jobs of one function that have the same key, no more than one waits or runs at a time.

    *value* is a text, or a function that makes one of the job's arguments. *policy* says what
    ``later`` does where such a job is there: ``"skip"`` stores nothing, ``"replace"`` gives the one
    that waits the new arguments and time (one that runs stays as it is), ``"raise"`` raises
    DuplicateJobError. *period* (seconds or a timedelta): for so long after a success, too, the key
    counts as taken.

    Raises ConfigurationError when one is not of its kind.
    """

    value: str | Callable[..., str]
    policy: Policy = "skip"
    period: float | timedelta | None = None

    def __post_init__(self) -> None:
        if not callable(self.value):
            _check(self.value, ConfigurationError)
        if self.policy not in _POLICIES:
            raise ConfigurationError(
                f"policy of a key must be one of {', '.join(_POLICIES)}, got {quoted(self.policy)}"
            )
        if self.period is not None:
            period = seconds("period", self.period, above_zero=True)
            object.__setattr__(self, "period", period)

    @classmethod
    def of(cls, key: "str | Callable[..., str] | Key") -> "Key":
        """The key itself, or one with what holds where only its value is given."""
        return key if isinstance(key, cls) else cls(key)  # type: ignore[arg-type]  # it checks

    def of_call(
        self, name: str, path: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Unique:
        """
        As it is stored for a call of the job *name* in the file *path*.

        Raises SchedulingError.
        """
        value = self.value
        if callable(value):
            try:
                value = value(*args, **kwargs)
            except Exception as error:
                kind = type(error).__name__
                raise SchedulingError(f"the key of {name} raised {kind}: {error}") from error
            _check(value, SchedulingError)
        assert not isinstance(self.period, timedelta)
        period = None if self.period is None else int(1000 * self.period)
        return Unique(f"{path}:{name}:{value}", self.policy, period)


def result_period(keep_result: object) -> float | None:
    """
    Seconds for which a result is kept; None: not at all.

    Raises ConfigurationError.
    """
    if isinstance(keep_result, bool):
        return defaults.KEEP_RESULT if keep_result else None
    return seconds("keep_result", keep_result, above_zero=True)


def _check(value: object, kind: type[ConfigurationError | SchedulingError]) -> None:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise kind(f"a key must be printable text, got {quoted(value)}")
    if len(value) > _LONGEST:
        raise kind(f"a key must be at most {_LONGEST} characters, got {len(value)}")
