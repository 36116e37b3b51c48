"""
Cron expressions in time zones: which moments they name, whatever the clocks there do.

A library reads the expression and walks dates without a zone; the zone is put on here. A time that
clocks skip counts at the first instant after the gap, one that they show twice the first time. An
expression that takes every hour is not about times of the day: it goes on through both.
"""

import difflib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from litejobs.errors import quoted

#: What stands for an expression.
NICKNAMES = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_DAY = "day of month"
_FIELDS = ("minute", "hour", _DAY, "month", "day of week")
_NEVER = " names a date that never comes"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND, _MILLISECOND = timedelta(seconds=1), timedelta(milliseconds=1)
_EVERY_HOUR = set(range(24))


class Cron:
    """
    An expression of five fields, or one of NICKNAMES, by the clocks of a time zone.

    A day is taken if it is one of the month's and one of the week's that are named; where neither
    field begins with ``*``, if it is one of either.

    Raises ValueError, in a sentence, for an expression that is none or names no date, and for a
    zone that is not known.
    """

    def __init__(self, expression: str, timezone: str) -> None:
        self._expression = _expanded(expression)
        self._timezone = timezone
        self._zone = zone(timezone)
        try:
            fields = self._after(datetime(2000, 1, 1))  # noqa: DTZ001  # a date without a zone
        except CronSimError as error:
            why = _complaint(self._expression, str(error))
            raise ValueError(f"cron {quoted(expression)}{why}") from None
        if _next(fields) is None:
            raise ValueError(f"cron {quoted(expression)}{_NEVER}")
        self._takes_every_hour = fields.hours == _EVERY_HOUR

    def after(self, moment: int) -> int | None:
        """
        The first moment after *moment*, both milliseconds since 1970; None: none within 50 years.

        >>> Cron("0 3 * * *", "Europe/Rome").after(0)  # 3 o'clock there is 2 o'clock in UTC
        7200000
        """
        try:
            since = _EPOCH + moment // 1000 * _SECOND
            found = self._going_on(since) if self._takes_every_hour else self._by_the_clock(since)
        except (OverflowError, ValueError):  # beyond the years of the calendar
            return None
        return None if found is None else (found - _EPOCH) // _MILLISECOND

    def words(self) -> str:
        """What it says, in English."""
        words: str = self._after(datetime(2000, 1, 1)).explain()  # noqa: DTZ001  # as above
        return f"{words} ({self._timezone})"

    def _by_the_clock(self, since: datetime) -> datetime | None:
        """Each time that clocks show counts once."""
        for local in self._after(self._local(since)):
            instant = self._instant(local)
            if instant > since:
                return instant
        return None

    def _going_on(self, since: datetime) -> datetime | None:
        """What clocks show twice counts twice, for the hours go on."""
        local, offset = self._local(since), self._offset(since)
        while (found := _next(self._after(local))) is not None:
            instant = (found - offset).replace(tzinfo=UTC)
            if self._offset(instant) == offset:
                return instant
            since = self._change(since, instant)
            landed, offset = self._local(since), self._offset(since)
            if found < landed:  # skipped
                return since
            local = landed - _SECOND
        return None

    def _after(self, local: datetime) -> CronSim:
        """The dates without a zone that come after one."""
        return CronSim(self._expression, local)

    def _local(self, instant: datetime) -> datetime:
        """What clocks show."""
        return instant.astimezone(self._zone).replace(tzinfo=None, fold=0)

    def _offset(self, instant: datetime) -> timedelta:
        """What they are ahead of UTC."""
        offset = instant.astimezone(self._zone).utcoffset()
        assert offset is not None  # the zone has one for each instant
        return offset

    def _instant(self, local: datetime) -> datetime:
        """When they show that for the first time, or, where they skip it, go on after that."""
        instant = local.replace(tzinfo=self._zone).astimezone(UTC)
        if self._local(instant) == local:
            return instant
        # Of a time that is skipped, fold tells the offsets on both sides of the gap:
        # https://peps.python.org/pep-0495/
        before = local.replace(tzinfo=self._zone, fold=1).astimezone(UTC)
        return self._change(before, instant)

    def _change(self, since: datetime, until: datetime) -> datetime:
        """The instant between the two at which clocks are put to another offset than *since*."""
        offset = self._offset(since)
        while until - since > _SECOND:
            between = since + (until - since) // 2 // _SECOND * _SECOND
            if self._offset(between) == offset:
                since = between
            else:
                until = between
        return until


@lru_cache(maxsize=256)
def cron(expression: str, timezone: str) -> Cron:
    """As Cron, made once for each."""
    return Cron(expression, timezone)


def zone(name: str) -> ZoneInfo:
    """The time zone of that name; raises ValueError, with a like name where there is one."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        near = difflib.get_close_matches(name, available_timezones(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ", such as 'Europe/Rome' or 'UTC'"
        raise ValueError(f"there is no time zone {quoted(name)}{hint}") from None


def _next(dates: CronSim) -> datetime | None:
    return next(dates, None)


def _expanded(expression: str) -> str:
    """The five fields of it."""
    fields = NICKNAMES.get(expression.strip().lower(), expression).split()
    if len(fields) == 1 and fields[0].startswith("@"):
        raise ValueError(f"cron {quoted(expression)} is none of {', '.join(NICKNAMES)}")
    if len(fields) == len(_FIELDS) + 1:
        raise ValueError(
            f"cron {quoted(expression)} has six fields; it takes five ({', '.join(_FIELDS)}), and "
            "every= for what is to run each few seconds"
        )
    if len(fields) != len(_FIELDS):
        raise ValueError(f"cron {quoted(expression)} must have five fields: {', '.join(_FIELDS)}")
    return " ".join(fields)


def _complaint(fields: str, error: str) -> str:
    """Which field is wrong, in words."""
    values = fields.split()
    for name, value in zip(_FIELDS, values, strict=True):
        if not error.endswith(f" {name.replace(' ', '-')}"):
            continue
        if name == _DAY and _can_be_read([*values[:3], "*", values[4]]):  # in another month
            return _NEVER
        return f": {quoted(value)} is no {name}"
    return f": {error}"


def _can_be_read(values: Sequence[str]) -> bool:
    try:
        CronSim(" ".join(values), datetime(2000, 1, 1))  # noqa: DTZ001  # a date without a zone
    except CronSimError:
        return False
    return True
