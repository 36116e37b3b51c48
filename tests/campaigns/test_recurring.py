"""A small campaign of recurring.py, and that it sees what it should."""

from datetime import UTC, datetime

import pytest
import recurring

SMALL = ["--schedules", "20", "--hours", "6", "--workers", "2", "--pace", "0.03"]
SMALL += ["--steps", "3", "--suspends", "2", "--restarts", "2", "--longest", "0.4"]
HOUR = 3_600_000


def test_each_time_of_a_schedule_makes_one_job_whatever_becomes_of_runners_and_the_clock():
    report = recurring.main([*SMALL, "--kills", "3", "--quiet", "10", "--seed", "1"])

    assert recurring.is_kept(report), report
    assert report["fired"] >= report["slots due"] > 100
    assert [report[what] for what in ("kills", "steps", "suspends", "restarts", "died")] == [
        3, 3, 2, 2, 0,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("guards", "signs"),
    [
        (["unfenced", "apart"], {"doubled", "lost"}),
        (["recompute", "ahead"], {"lost", "early"}),
    ],
)
def test_the_campaign_sees_that_guards_are_gone(guards, signs):
    words = [*SMALL, "--kills", "8", "--quiet", "1", *(f"--break={guard}" for guard in guards)]
    unseen = set(signs)

    for seed in ("3", "2", "1", "4", "5", "6"):
        report = recurring.main([*words, "--seed", seed])
        assert not recurring.is_kept(report), report
        unseen -= {word for word in unseen if report[word] > 0}
        if not unseen:
            break

    assert not unseen


def test_what_is_measured_is_told():
    report = recurring.main(["--lateness", "4", "--seconds", "4"])

    assert report["jobs"] > 0
    assert report["stored ms"]["p50"] <= report["stored ms"]["p99"] <= report["stored ms"]["most"]
    assert report["begun ms"]["most"] >= report["begun ms"]["p50"] > 0

    report = recurring.main(["--burst", "50"])

    assert recurring.is_kept(report), report
    assert report["run seconds"] >= report["stored seconds"]


# What is due


def at(text):
    return 1000 * int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def due(expression, zone, after, until):
    moments = recurring.of_cron(expression, zone, at(after), at(until))
    return [f"{datetime.fromtimestamp(moment / 1000, UTC):%d %H:%M}" for moment in moments]


@pytest.mark.parametrize(
    ("expression", "moments"),
    [
        ("0 * * * *", ["05 11:00", "05 12:00"]),
        ("*/20 10,11 * * *", ["05 10:20", "05 10:40", "05 11:00", "05 11:20", "05 11:40"]),
        ("50-59/3 11 * * *", ["05 11:50", "05 11:53", "05 11:56", "05 11:59"]),
        ("0 11 5 * *", ["05 11:00"]),
        ("0 11 6 * *", []),
        ("0 11 * 8 *", []),
        ("0 11 * * 0", ["05 11:00"]),
        ("0 11 * * 7", ["05 11:00"]),
        ("0 11 * * 1", []),
        ("0 11 6 * 0", ["05 11:00"]),  # one of both will do
        ("0 11 */2 * 1", []),  # but not here
    ],
)
def test_the_walk_finds_the_minutes_that_an_expression_names(expression, moments):
    assert due(expression, "UTC", "2026-07-05 10:00", "2026-07-05 12:00") == moments


@pytest.mark.parametrize(
    ("expression", "moments"),
    [
        ("30 2 * * *", ["29 01:00"]),
        ("*/15 2 * * *", ["29 01:00"]),
        ("0 3 * * *", ["29 01:00"]),
        ("30 * * * *", ["29 00:30", "29 01:00", "29 01:30"]),
        ("30 1 * * *", ["29 00:30"]),
    ],
)
def test_what_clocks_skip_is_due_after_the_gap(expression, moments):
    assert due(expression, "Europe/Rome", "2026-03-29 00:00", "2026-03-29 02:00") == moments


@pytest.mark.parametrize(
    ("expression", "moments"),
    [
        ("30 2 * * *", ["25 00:30"]),
        ("30 * * * *", ["25 00:30", "25 01:30"]),
        ("0 3 * * *", ["25 02:00"]),
    ],
)
def test_what_clocks_show_twice_is_due_the_first_time(expression, moments):
    assert due(expression, "Europe/Rome", "2026-10-25 00:00", "2026-10-25 02:00") == moments


def test_intervals_count_from_the_first_time_and_cron_from_when_it_was_stored():
    began = [("a", None, "UTC", 250, 1000, 750), ("b", "1 * * * *", "UTC", None, 5, 30_000)]

    assert recurring.all_due(began, 60_000) >= {("a", 1000), ("a", 1250), ("b", 60_000)}
    assert recurring.all_due(began, 1600) == {("a", 1000), ("a", 1250), ("a", 1500)}


# The checker


def checked(*stored, later=()):
    noted = [("a", slot, created_at, created_at) for slot, created_at in stored]
    report = recurring.check({("a", 100), ("a", 200)}, set(later), noted, lambda moment: moment)
    return {key: report[key] for key in ("doubled", "lost", "early", "unexpected") if report[key]}


def test_the_checker_counts_what_was_stored_twice_not_or_for_nothing():
    both = (100, 100), (200, 250)

    assert checked(*both) == {}
    assert checked(*both, (200, 260)) == {"doubled": 1}
    assert checked(both[0]) == {"lost": 1}
    assert checked(*both, (300, 300)) == {"unexpected": 1}
    assert checked(*both, (None, 300)) == {"unexpected": 1}
    assert checked(*both, (300, 300), later=[("a", 300)]) == {}
    assert checked(both[0], (200, 199)) == {"early": 1}
    assert recurring.is_kept(checked(*both))
    assert not recurring.is_kept({"lost": 1})


def test_the_checker_knows_what_the_clock_showed_before_a_job_was_stored(tmp_path):
    wall = recurring.Wall(tmp_path / "offset")
    wall._ahead = 500
    wall.spans = [[0, 10, 0], [10, 20, HOUR], [20, float("inf"), -HOUR]]
    latest = recurring.latest_of(wall)

    assert latest(500 + 9_000) == 500 + 9_000
    assert latest(500 + 11_000) == 500 + 11_000 + HOUR
    assert latest(500 + 30_000) == 500 + 20_000 + HOUR  # before it went back
    assert latest(500 + 3 * HOUR) == 500 + 2 * HOUR


def test_a_job_is_early_though_its_worker_took_the_time_for_a_later_one():
    noted = [("a", 100, 100, 90)]

    assert recurring.check({("a", 100)}, set(), noted, lambda moment: moment)["early"] == 1
