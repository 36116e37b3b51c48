from datetime import UTC, datetime, timedelta

from litejobs.clock import SystemClock

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ManualClock:
    """
    A clock that stands still until a test moves it.

    *now* is a datetime with a zone; None: the time at which it is made.
    """

    def __init__(self, now: datetime | None = None) -> None:
        self._now = SystemClock().now() if now is None else _milliseconds(now)

    def now(self) -> int:
        """Milliseconds since 1970, UTC."""
        return self._now

    @property
    def time(self) -> datetime:
        """What it shows, in UTC."""
        return _EPOCH + timedelta(milliseconds=self._now)

    def advance(self, seconds: float | timedelta) -> None:
        """Move on by *seconds*, or by a timedelta; a negative one sets it back."""
        if not isinstance(seconds, timedelta):
            seconds = timedelta(seconds=seconds)
        self._now += round(seconds / timedelta(milliseconds=1))

    def move_to(self, moment: datetime) -> None:
        """Show *moment*, a datetime with a zone."""
        self._now = _milliseconds(moment)


def _milliseconds(moment: datetime) -> int:
    if moment.utcoffset() is None:
        raise ValueError(f"{moment} has no time zone; for UTC: .replace(tzinfo=datetime.UTC)")
    return (moment - _EPOCH) // timedelta(milliseconds=1)
