"""What a declared job may say of itself, and what is kept of it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypedDict

from litejobs.config import check_limits, check_seconds, in_seconds
from litejobs.errors import ConfigurationError, JobTimeout, quoted
from litejobs.hooks import AroundHook, Hook, Hooks, ScheduleHook
from litejobs.job import OwnLimits
from litejobs.rules.exceptions import ErrorRules, Exceptions

Backoff = float | Sequence[float] | Callable[[int], float]


class JobOptions(TypedDict, total=False):
    """The options of a job beside its queue, priority and properties."""

    max_attempts: int
    max_runtime: float  # seconds
    delete_successful_jobs: bool | float | timedelta  # at once, never, or after so long
    delete_failed_jobs: bool | float | timedelta
    retry_on: type[BaseException] | Sequence[type[BaseException]]
    discard_on: type[BaseException] | Sequence[type[BaseException]]
    backoff: Backoff  # seconds
    jitter: float
    before_schedule: ScheduleHook | Sequence[ScheduleHook]
    before_perform: Hook | Sequence[Hook]
    around_perform: AroundHook | Sequence[AroundHook]
    after_perform: Hook | Sequence[Hook]
    after_success: Hook | Sequence[Hook]
    after_error: Hook | Sequence[Hook]
    after_failure: Hook | Sequence[Hook]


def own_limits(options: Mapping[str, Any]) -> OwnLimits:
    """Those of the options that are numbers, as they hold; raises ConfigurationError."""
    check_limits(options)
    own = in_seconds(
        {key: value for key, value in options.items() if key in OwnLimits.__annotations__}
    )
    if "jitter" in own:
        _check_share("jitter", own["jitter"])
    if "backoff" in own:
        own["backoff"] = _waits(own["backoff"])
    if own.get("backoff") is None:
        own.pop("backoff", None)
    if options.get("after_failure"):
        own["has_failure_hooks"] = True
    return own  # type: ignore[return-value]  # by the keys above


def error_rules(options: Mapping[str, Any]) -> ErrorRules | None:
    """What the options say of exceptions, if anything; raises ConfigurationError."""
    backoff = options.get("backoff")
    own = {
        key: _exceptions(key, options[key]) for key in ("retry_on", "discard_on") if key in options
    }
    if JobTimeout in own.get("discard_on", ()):
        raise ConfigurationError(
            "discard_on takes no JobTimeout: what ran too long or died is tried again as ever; "
            "max_attempts says how often"
        )
    if not own and not callable(backoff):
        return None
    return ErrorRules(**own, backoff=backoff if callable(backoff) else None)


def hooks(options: Mapping[str, Any]) -> Hooks | None:
    """Those among the options, if there are any; raises ConfigurationError."""
    found = Hooks.of(options)
    return found if found.size else None


def _waits(backoff: object) -> tuple[float, ...] | None:
    """The seconds to wait after each bad run; None where a function says it."""
    if callable(backoff):
        return None
    waits = tuple(backoff) if isinstance(backoff, list | tuple) else (backoff,)
    if not waits:
        raise ConfigurationError("backoff must be seconds, a list of them or a function, got []")
    for wait in waits:
        check_seconds("backoff", wait)
    return waits


def _check_share(key: str, value: object) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= 1:  # type: ignore[operator]  # a number by now
        raise ConfigurationError(f"{key} must be a number from 0 to 1, got {quoted(value)}")


def _exceptions(key: str, value: object) -> Exceptions:
    classes = tuple(value) if isinstance(value, list | tuple) else (value,)
    for one in classes:
        if not isinstance(one, type) or not issubclass(one, BaseException):
            raise ConfigurationError(
                f"{key} must be an exception class or a list of them, got {quoted(value)}"
            )
    return classes
