"""Looks that follow a ring of the bell for a job that cannot be seen yet."""

import math
import time
from collections.abc import Callable

from litejobs.run_directory.bell import END, SOON, Bell

_FIRST = 0.001  # seconds from the ring to the first look; each next pause is twice as long


class Soon:
    """
    Has a loop look after 1, 2, 4 ... milliseconds when the bell rang "soon".

    Beside the loop's workers, which look whenever it goes round. It ends where the pause is as long
    as *sleep_delay*, the seconds after which they look by themselves.
    """

    finished = True

    def __init__(
        self, bell: Bell, sleep_delay: float, heed_end: Callable[[], None] = lambda: None
    ) -> None:
        """*heed_end* is called when it rang for a running job that was asked to end."""
        self._bell = bell
        self._heed_end = heed_end
        self._longest = sleep_delay
        self._pause = 0.0
        self._look_at = math.inf  # by time.monotonic()

    def hear(self) -> None:
        """The bell rang."""
        words = self._bell.drain()
        if END in words:
            self._heed_end()
        if SOON in words:
            self._pause = _FIRST
            self._look_at = time.monotonic() + _FIRST

    def work_once(self) -> bool:
        """Nothing moves here; where it was time to look, the next time is set."""
        now = time.monotonic()
        if now >= self._look_at:
            self._pause *= 2
            self._look_at = now + self._pause if self._pause < self._longest else math.inf
        return False

    def patience(self) -> float:
        """Seconds until it is time to look again."""
        return max(0.0, self._look_at - time.monotonic())

    def abandon(self) -> None:
        """The loop is left."""
