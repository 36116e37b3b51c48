"""When something recurs, and which of its times have come."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

_UNITS = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1000, "second"))
_WINDOW = 60_000  # milliseconds


class Timing(Protocol):
    """A series of moments, in milliseconds since 1970."""

    def after(self, moment: int) -> int | None:
        """The first one after *moment*, if there is any."""
        ...

    def words(self) -> str:
        """What it says, in English."""
        ...


class Every(NamedTuple):
    """Moments that lie *period* milliseconds apart; *anchor* is one of them."""

    period: int
    anchor: int = 0

    def after(self, moment: int) -> int:
        """
        The first one after *moment*.

        >>> Every(1000, anchor=200).after(200)
        1200
        """
        return moment + self.period - (moment - self.anchor) % self.period

    def words(self) -> str:
        """
        What it says, in English.

        >>> Every(5_400_000).words()
        'Every 90 minutes'
        """
        for size, unit in _UNITS:
            if self.period % size == 0:
                count = self.period // size
                return f"Every {unit}" if count == 1 else f"Every {count:,} {unit}s"
        return f"Every {self.period / 1000:,} seconds"


def come(timing: Timing, first: int, now: int, most: int) -> Sequence[int]:
    """
    The moments of *timing* from *first*, which is one, to *now*; if they are many, the last *most*.

    Looks from now backwards, so that it takes no time to speak of however many there are.

    >>> come(Every(10), 20, 55, most=2)
    [40, 50]
    """
    window = _WINDOW
    while True:
        since = max(first - 1, now - window)
        moments = _between(timing, since, now)
        if len(moments) >= most or since < first:
            return moments[-most:]
        window *= 2


def _between(timing: Timing, after: int, until: int) -> list[int]:
    moments = []
    moment = timing.after(after)
    while moment is not None and moment <= until:
        moments.append(moment)
        moment = timing.after(moment)
    return moments
