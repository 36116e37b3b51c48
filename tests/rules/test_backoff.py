"""How long a job waits after a run that went wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litejobs.rules.backoff import backoff

WEEK = 7 * 24 * 3600  # seconds


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [(1, 1), (2, 16), (3, 81), (4, 256), (27, 531_441), (28, WEEK), (24_000, WEEK)],
    ids=["first", "second", "third", "fourth", "last below the cap", "first at the cap", "far"],
)
def test_the_wait_is_the_fourth_power_of_the_attempts_up_to_a_week(attempts, seconds):
    assert backoff(attempts) == seconds


@pytest.mark.parametrize("attempts", [0, -1])
def test_attempts_below_one_are_refused(attempts):
    with pytest.raises(ValueError, match=f"attempts must be at least 1, got {attempts}"):
        backoff(attempts)


@given(st.integers(1, 10**30))
def test_the_wait_never_shrinks_and_never_exceeds_a_week(attempts):
    assert 1 <= backoff(attempts) <= backoff(attempts + 1) <= WEEK
