"""What an exception means for its job."""

from collections.abc import Callable
from dataclasses import dataclass

from litejobs.control import Control, Discard, Retry, Snooze
from litejobs.errors import JobTimeout
from litejobs.job import Limits, Outcome
from litejobs.rules.outcome import after_error, cancelled, failure, snoozed

Exceptions = tuple[type[BaseException], ...]


@dataclass(frozen=True, slots=True)
class ErrorRules:
    """What a job says of the exceptions that it raises, beside its limits."""

    retry_on: Exceptions | None = None  #: only these are worth another try; None: all are
    discard_on: Exceptions = ()  #: with these it ends as by Discard
    backoff: Callable[[int], float] | None = None  #: seconds to wait after run number so-and-so

    def discards(self, error: BaseException) -> bool:
        """Whether the job wants no more after that exception; a time-out is none of its own."""
        return isinstance(error, (Discard, *self.discard_on)) and not isinstance(error, JobTimeout)

    def retries(self, error: BaseException) -> bool:
        """Whether that exception is worth another try."""
        is_any = self.retry_on is None
        return is_any or isinstance(error, (Control, JobTimeout, *(self.retry_on or ())))


def after_exception(
    error: BaseException,
    text: str,
    *,
    rules: ErrorRules,
    attempts: int,
    limits: Limits,
    now: int,
    chance: float,
    wait: float | None,
) -> Outcome:
    """
    Run number *attempts* raised *error*, described by *text*, at *now* (milliseconds).

    *wait* is what the job's own function says, in seconds; *chance* (0 to 1) is for the jitter.
    """
    if isinstance(error, Snooze):
        return snoozed(error.wait, now)
    if rules.discards(error):
        return cancelled(text, limits)
    if not rules.retries(error):
        return failure(text, limits)
    if isinstance(error, Retry) and error.wait is not None:
        wait, chance = error.wait, 0.0
    return after_error(text, attempts=attempts, limits=limits, now=now, chance=chance, wait=wait)
