"""
Cron expressions beside a walk over every minute, and what is refused.

    python tests/rules/test_cron.py

walks around all transitions of all zones from 2000 to 2040; the suite around some of them.
"""

import random
import sys
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litejobs.rules.cron import NICKNAMES, Cron, zone
from litejobs.rules.recurrence import Every, come

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
AROUND = timedelta(hours=30)


def ms(moment):
    return (moment - EPOCH) // timedelta(milliseconds=1)


def at(text, name="UTC", fold=0):
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(name), fold=fold)
    return ms(local.astimezone(UTC))


def told(moment, name):
    return f"{EPOCH.fromtimestamp(moment / 1000, ZoneInfo(name)):%Y-%m-%d %H:%M %z}"


def series(expression, name, since, count):
    rule, found = Cron(expression, name), []
    moment = at(since, name)
    for _ in range(count):
        moment = rule.after(moment)
        found.append(told(moment, name))
    return found


# The walk


def matcher(minutes, hours, days):
    """Whether a time that clocks show is named; *days* are those of the week, Monday is 0."""

    def names(local):
        return local.minute in minutes and local.hour in hours and local.weekday() in days

    return names


def walk(names, goes_on, name, since, until):
    """Each moment from *since* to *until*, minute by minute, by the rule in the docs."""
    there, found, seen = ZoneInfo(name), [], set()
    before = None
    moment = since
    while moment <= until:
        local = moment.astimezone(there).replace(tzinfo=None)
        skipped = []
        if before is not None and local > before + MINUTE:
            gap = (local - before) // MINUTE
            skipped = [before + number * MINUTE for number in range(1, gap)]
        is_new = goes_on or local not in seen
        if any(map(names, skipped)) or (names(local) and is_new):
            found.append(ms(moment))
        seen |= {local, *skipped}
        before = local
        moment += MINUTE
    return found


def transitions(name, years):
    """The moments at which the clocks of a zone are put to another offset."""
    there, found = ZoneInfo(name), []
    day = datetime(years.start, 1, 1, tzinfo=UTC)
    while day.year < years.stop:
        following = day + timedelta(days=1)
        if day.astimezone(there).utcoffset() != following.astimezone(there).utcoffset():
            since, until = day, following
            while until - since > timedelta(seconds=1):
                between = since + (until - since) // 2
                if between.astimezone(there).utcoffset() == day.astimezone(there).utcoffset():
                    since = between
                else:
                    until = between
            found.append(until.replace(microsecond=0))
        day = following
    return found


def expression_by(chance):
    """An expression, and by other means what it names."""
    minutes = sorted(chance.sample(range(60), chance.choice([1, 1, 2, 5])))
    hours = sorted(chance.sample(range(24), chance.choice([1, 2, 4, 12])))
    days = sorted(chance.sample(range(7), chance.choice([2, 5, 7])))
    minute = ",".join(map(str, minutes))
    if chance.random() < 0.3:
        step = chance.choice([5, 10, 15, 20, 30])
        minutes, minute = list(range(0, 60, step)), f"*/{step}"
    hour, goes_on = ",".join(map(str, hours)), False
    if chance.random() < 0.4:
        hours, hour, goes_on = range(24), "*", True
    weekday = ",".join(str((day + 1) % 7) for day in days) if len(days) < 7 else "*"
    return f"{minute} {hour} * * {weekday}", matcher(minutes, hours, days), goes_on


def check(name, transition, chance):
    """Beside the walk around a *transition* of a zone."""
    expression, names, goes_on = expression_by(chance)
    since, until = transition - AROUND, transition + AROUND
    since = since.replace(second=0)
    expected = walk(names, goes_on, name, since - timedelta(hours=26), until)
    expected = [moment for moment in expected if moment > ms(since)]
    rule, found = Cron(expression, name), []
    moment = rule.after(ms(since))
    while moment is not None and moment <= ms(until):
        found.append(moment)
        moment = rule.after(moment)
    assert found == expected, (
        expression,
        name,
        [told(one, name) for one in {*found} ^ {*expected}],
    )
    if expected:  # from anywhere, not only from one of its own
        start = ms(since) + chance.randrange(60 * 60 * 1000 * 60)
        later = [moment for moment in expected if moment > start]
        if later:
            assert rule.after(start) == later[0], (expression, name, told(start, name))


def everywhere(years, share, seed):
    """Checks around a *share* of all transitions in those *years*; how many."""
    chance, number = random.Random(seed), 0
    for name in sorted(available_timezones()):
        for transition in transitions(name, years) if share == 1 or chance.random() < share else ():
            check(name, transition, chance)
            number += 1
    return number


@pytest.mark.parametrize(
    "name",
    ["Europe/Rome", "America/New_York", "Australia/Lord_Howe", "America/St_Johns", "Africa/Cairo",
     "Asia/Beirut", "America/Santiago", "Antarctica/Troll", "Africa/Casablanca", "Asia/Gaza"],
)  # fmt: skip
def test_around_a_change_of_clocks_the_times_are_those_of_a_walk(name):
    chance = random.Random(name)
    for transition in chance.sample(
        found := transitions(name, range(2019, 2024)), min(4, len(found))
    ):
        for _ in range(3):
            check(name, transition, chance)


@pytest.mark.parametrize(
    ("name", "transition"),
    [
        ("Pacific/Apia", "2011-12-30T10:00"),  # a whole day is skipped
        ("Antarctica/Casey", "2010-03-04T15:00"),  # three hours come twice
        ("Asia/Pyongyang", "2015-08-14T15:00"),
        ("America/Caracas", "2007-12-09T07:00"),
    ],
)
def test_odd_changes_are_those_of_a_walk_too(name, transition):
    chance = random.Random(name)
    for _ in range(10):
        check(name, datetime.fromisoformat(transition).replace(tzinfo=UTC), chance)


# By example


def test_a_time_that_clocks_skip_runs_at_the_first_instant_after():
    assert series("30 2 * * *", "Europe/Rome", "2026-03-28T12:00", 2) == [
        "2026-03-29 03:00 +0200",
        "2026-03-30 02:30 +0200",
    ]


def test_several_that_they_skip_run_once():
    assert series("*/10 2,3 * * *", "Europe/Rome", "2026-03-29T01:00", 2) == [
        "2026-03-29 03:00 +0200",
        "2026-03-29 03:10 +0200",
    ]


def test_a_time_that_they_show_twice_runs_once():
    assert series("30 2 * * *", "Europe/Rome", "2026-10-24T12:00", 2) == [
        "2026-10-25 02:30 +0200",
        "2026-10-26 02:30 +0100",
    ]


def test_what_takes_every_hour_goes_on_through_the_one_that_comes_twice():
    assert series("30 * * * *", "Europe/Rome", "2026-10-25T01:00", 4) == [
        "2026-10-25 01:30 +0200",
        "2026-10-25 02:30 +0200",
        "2026-10-25 02:30 +0100",
        "2026-10-25 03:30 +0100",
    ]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("0 9 13 * FRI", "2026-01-02 09:00"),  # either, as in cron
        ("0 9 */2 * FRI", "2026-01-09 09:00"),  # both, for one begins with a star
        ("0 0 L * *", "2026-01-31 00:00"),
        ("0 0 * * MON#2", "2026-01-12 00:00"),
        ("0 0 * * 7", "2026-01-04 00:00"),
        ("5/20 8 * * *", "2026-01-01 08:05"),
        ("@weekly", "2026-01-04 00:00"),
        ("@DAILY", "2026-01-02 00:00"),
        ("  0   0 1  1 * ", "2027-01-01 00:00"),
    ],
)
def test_an_expression_names_its_dates(expression, expected):
    found = Cron(expression, "UTC").after(at("2026-01-01T00:00"))

    assert told(found, "UTC") == f"{expected} +0000"


@pytest.mark.parametrize("nickname", NICKNAMES)
def test_a_nickname_is_its_expression(nickname):
    moment = at("2026-05-05T05:05")

    assert Cron(nickname, "UTC").after(moment) == Cron(NICKNAMES[nickname], "UTC").after(moment)


def test_a_moment_within_a_second_counts_as_before_the_next():
    rule = Cron("* * * * *", "UTC")

    assert rule.after(59_999) == 60_000
    assert rule.after(60_000) == 120_000
    assert rule.after(60_001) == 120_000


def test_at_the_end_of_the_calendar_there_is_no_next():
    assert Cron("* * * * *", "UTC").after(ms(datetime(9999, 12, 31, 23, 59, tzinfo=UTC))) is None


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("61 * * * *", "cron '61 * * * *': '61' is no minute"),
        ("0 24 * * *", "'24' is no hour"),
        ("0 0 32 * *", "'32' is no day of month"),
        ("0 0 * 13 *", "'13' is no month"),
        ("0 0 * * 8", "'8' is no day of week"),
        ("0 0 30 2 *", "'0 0 30 2 *' names a date that never comes"),
        ("0 0 * * * *", "six fields; it takes five"),
        ("0 0 * *", "must have five fields: minute, hour"),
        ("", "must have five fields"),
        ("@reboot", "is none of @yearly"),
        ("0 0 * 4 MON#", "is no day of week"),
        ("*/0 * * * *", "'*/0' is no minute"),
        ("5-1 * * * *", "'5-1' is no minute"),
        ("0 0 31 2,4,6,9,11 *", "names a date that never comes"),
        ("0 0 32 2 *", "'32' is no day of month"),
    ],
)
def test_what_is_no_expression_is_refused_by_its_value(expression, sentence):
    with pytest.raises(ValueError, match="cron") as error:
        Cron(expression, "UTC")

    assert sentence in str(error.value)


@given(st.text(alphabet="0123456789*/,-#LWlw@ MONFRI?٣\x00", max_size=20))
def test_whatever_stands_there_gives_times_or_one_kind_of_error(text):
    try:
        rule = Cron(text, "UTC")
    except ValueError:
        return

    assert rule.after(0) > 0
    assert rule.words()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Europe/Roma", "did you mean 'Europe/Rome'?"),
        ("nowhere at all", "there is no time zone 'nowhere at all', such as"),
        ("", "there is no time zone ''"),
        ("../Rome", "there is no time zone"),
        ("/etc/passwd", "there is no time zone"),
        ("Europe", "there is no time zone 'Europe'"),
        ("a\x00b", "there is no time zone"),
    ],
)
def test_what_is_no_zone_is_refused_with_the_nearest_that_is(name, sentence):
    with pytest.raises(ValueError, match="time zone") as error:
        zone(name)

    assert sentence in str(error.value)


def test_the_words_say_when_and_where():
    assert Cron("30 2 * * *", "Europe/Rome").words() == "At 02:30 every day (Europe/Rome)"
    assert Every(1000).words() == "Every second"
    assert Every(1500).words() == "Every 1.5 seconds"
    assert Every(3_600_000).words() == "Every hour"


# Which times have come


@given(st.integers(1, 50), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 9))
def test_of_the_times_that_have_come_the_last_are_told(minutes, first, ahead, most):
    timing = Every(60_000 * minutes, anchor=first)
    now = first + 1000 * ahead

    moments = [first + 60_000 * minutes * number for number in range(ahead // (60 * minutes) + 1)]
    assert come(timing, first, now, most) == moments[-most:]


def test_years_of_missed_minutes_are_not_walked(monkeypatch):
    rule = Cron("* * * * *", "UTC")
    calls = []
    monkeypatch.setattr(Cron, "_after", lambda *a, after=Cron._after: calls.append(1) or after(*a))

    assert len(come(rule, at("2000-01-01T00:00"), at("2026-01-01T00:00"), 100)) == 100
    assert len(calls) < 1000


if __name__ == "__main__":
    print(everywhere(range(2000, 2041), 1, int(sys.argv[1]) if sys.argv[1:] else 1), "transitions")
