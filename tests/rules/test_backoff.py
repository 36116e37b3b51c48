"""How long a job waits after a run that went wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litejobs.rules.backoff import backoff, listed, spread

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


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [(1, 5), (2, 60), (3, 0.5), (4, 0.5), (99, 0.5)],
    ids=["first", "second", "last", "beyond", "far"],
)
def test_listed_waits_hold_in_their_order_and_the_last_one_repeats(attempts, seconds):
    assert listed(attempts, [5, 60, 0.5]) == seconds


@pytest.mark.parametrize(
    ("wait", "jitter", "chance", "milliseconds"),
    [
        (10, 0.0, 0.5, 10_000),
        (10, 0.5, 0.0, 10_000),
        (10, 0.5, 0.25, 11_250),
        (10, 0.5, 1.0, 15_000),
        (0, 0.5, 1.0, 0),
        (0.0001, 0.0, 0.0, 1),
    ],
    ids=["no jitter", "no chance", "some", "most", "no wait", "rounded up"],
)
def test_a_wait_is_spread_by_up_to_its_share(wait, jitter, chance, milliseconds):
    assert spread(wait, jitter, chance) == milliseconds
