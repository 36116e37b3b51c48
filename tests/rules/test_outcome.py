"""What one run means for its job."""

import pytest

from litejobs.job import Limits, Outcome
from litejobs.rules import outcome

NOW = 1_800_000_000_000


@pytest.mark.parametrize("delete", [True, False])
def test_a_success_is_deleted_or_kept_as_the_limits_say(delete):
    limits = Limits(delete_successful_jobs=delete, delete_failed_jobs=not delete)

    assert outcome.after_success(limits) == Outcome("success", delete=delete)


@pytest.mark.parametrize(
    ("attempts", "wait"), [(1, 1_000), (2, 16_000), (3, 81_000)], ids=["first", "second", "third"]
)
def test_an_error_is_tried_again_after_its_backoff(attempts, wait):
    result = outcome.after_error("oh", attempts=attempts, limits=Limits(max_attempts=4), now=NOW)

    assert result == Outcome("error", "oh", run_at=NOW + wait)


def test_an_error_in_no_attempt_counts_as_one_in_the_first():
    result = outcome.after_error("oh", attempts=0, limits=Limits(), now=NOW)

    assert result == Outcome("error", "oh", run_at=NOW + 1_000)


@pytest.mark.parametrize("attempts", [4, 5], ids=["the last", "one too many"])
@pytest.mark.parametrize("delete", [True, False])
def test_attempts_used_up_are_a_failure_deleted_or_kept_as_the_limits_say(attempts, delete):
    limits = Limits(max_attempts=4, delete_failed_jobs=delete, delete_successful_jobs=not delete)

    result = outcome.after_error("oh", attempts=attempts, limits=limits, now=NOW)

    assert result == Outcome("failure", "oh", delete=delete)


def test_an_unloadable_job_keeps_its_reason():
    assert outcome.unloadable("no module") == Outcome("unloadable", "no module")


def test_a_released_job_has_nothing_to_tell():
    assert outcome.released() == Outcome("released")
