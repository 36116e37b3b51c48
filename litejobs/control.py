"""
What a job raises to say what is to become of it.

No errors: ``except Exception`` lets them pass. Functions that are called without a worker raise
them like any exception.
"""

from datetime import timedelta

from litejobs.config import seconds
from litejobs.errors import ConfigurationError, quoted


class Control(BaseException):
    """Raised in a job on purpose."""


class Retry(Control):
    """
    This run counts as an error, and the next one begins *wait* (seconds or a timedelta) later.

    None: after the usual pause. The attempt is spent; the last one makes it a failure. Raised while
    an exception is handled, it is that exception that is recorded.
    """

    def __init__(self, wait: float | timedelta | None = None) -> None:
        super().__init__(wait)
        #: Seconds until the next run, or None.
        self.wait = None if wait is None else seconds("wait", wait)

    def __str__(self) -> str:
        return "asked for" if self.wait is None else f"asked for in {self.wait:.12g} s"


class Discard(Control):
    """
    The job ends here, as cancelled, with no more tries; *reason* is recorded.

    Its row is kept or goes as that of a failure would.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        if not isinstance(reason, str) or not reason:
            raise ConfigurationError(f"reason of Discard must be a text, got {quoted(reason)}")
        #: Why.
        self.reason = reason


class Snooze(Control):
    """
    The job is run again *wait* (seconds or a timedelta) later, as if this run had not been.

    No attempt is spent and no error recorded, however often.
    """

    def __init__(self, wait: float | timedelta) -> None:
        super().__init__(wait)
        #: Seconds until the next run.
        self.wait = seconds("wait", wait, above_zero=True)

    def __str__(self) -> str:
        return f"for {self.wait:.12g} s"
