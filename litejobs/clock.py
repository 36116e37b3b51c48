"""The only reader of the wall clock. Durations inside a process use ``time.monotonic``."""

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time; tests bring one that moves when they move it."""

    def now(self) -> int:
        """Milliseconds since 1970, UTC."""
        ...


class SystemClock:
    """The wall clock of this machine."""

    def now(self) -> int:
        """Milliseconds since 1970, UTC; rounded down, so that nothing looks due before it is."""
        return time.time_ns() // 1_000_000
