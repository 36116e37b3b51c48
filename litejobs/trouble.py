"""Storage that does not take, or tell, what it is asked for."""

import logging
import time

from litejobs import defaults

log = logging.getLogger("litejobs")


class Trouble:
    """Said once, and tried again ever less often."""

    def __init__(self, consequence: str) -> None:
        """*consequence*: what is said beside the error."""
        self._consequence = consequence
        self._pause = 0.0
        self._until = 0.0

    def __bool__(self) -> bool:
        return self._pause > 0

    def note(self, error: Exception) -> None:
        """It went wrong (again)."""
        first, longest = defaults.RECORDING_BACKOFF
        is_first = not self
        self._pause = min(longest, 2 * self._pause or first)
        self._until = time.monotonic() + self._pause
        if is_first:
            log.error("%s; %s", error, self._consequence)

    def end(self) -> None:
        """It works."""
        was_there, self._pause = bool(self), 0.0
        if was_there:
            log.warning("storage works again")

    def pause(self) -> float:
        """Seconds until the next try; 0 where there is no trouble."""
        return max(0.0, self._until - time.monotonic()) if self else 0.0
