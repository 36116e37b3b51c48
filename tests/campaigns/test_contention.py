"""A small campaign of contention.py, and that it sees what it should."""

import contention
import pytest
from long_ones import long

SMALL = ["--producers", "3", "--workers", "2", "--durability", "full", "--seed", "7"]


def test_nobody_is_refused_and_no_job_lost_where_many_write():
    report = contention.main(["--jobs", "240", *SMALL])

    assert contention.is_kept(report), report
    assert report["runs"]["full"]["done"] == 240


@pytest.mark.parametrize(
    "guard",
    ["no-patience", pytest.param("swallowed", marks=long), pytest.param("no-lease", marks=long)],
)
def test_the_campaign_sees_a_broken_guard(guard):
    words = ["--jobs", "240", "--short", "0.003", "--quiet", "1", *SMALL]

    report = contention.main([*words, "--break", guard])

    assert not contention.is_kept(report), report


def test_the_longest_waits_are_told():
    stored = [["stored", 1.0, number, number / 1000] for number in range(1, 2001)]

    assert contention.waits(stored) == {
        "later() p50 ms": 1001,
        "later() p99.9 ms": 1998,
        "later() longest ms": 2000,
    }
