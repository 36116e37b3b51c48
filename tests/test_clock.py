import time

import pytest

from litejobs.clock import SystemClock


@pytest.mark.parametrize(
    ("nanoseconds", "milliseconds"),
    [(1_999_999, 1), (2_000_000, 2), (2_000_001, 2), (-1, -1)],
    ids=["just before", "at", "just after", "before 1970"],
)
def test_the_clock_is_never_ahead(nanoseconds, milliseconds, monkeypatch):
    monkeypatch.setattr(time, "time_ns", lambda: nanoseconds)

    assert SystemClock().now() == milliseconds
