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


@pytest.mark.parametrize("crashes", [0, 1], ids=["the first", "the second"])
def test_a_crash_is_tried_again_after_its_backoff(crashes):
    result = outcome.after_crash("died", attempts=2, crashes=crashes, limits=Limits(), now=NOW)

    assert result == Outcome("error", "died", run_at=NOW + 16_000, crashed=True)


@pytest.mark.parametrize("crashes", [2, 3], ids=["the third", "one too many"])
def test_after_the_third_crash_a_job_is_given_up_though_attempts_are_left(crashes):
    result = outcome.after_crash("died", attempts=5, crashes=crashes, limits=Limits(), now=NOW)

    assert result == Outcome("failure", "died", crashed=True)


def test_a_crash_in_the_last_attempt_is_a_failure():
    limits = Limits(max_attempts=1, delete_failed_jobs=True)

    result = outcome.after_crash("died", attempts=1, crashes=0, limits=limits, now=NOW)

    assert result == Outcome("failure", "died", delete=True, crashed=True)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(14_400, "14400 s"), (0.5, "0.5 s"), (1e9, "1000000000 s")],
    ids=["default", "fraction", "enormous"],
)
def test_a_job_that_ran_too_long_is_told_its_limit(seconds, words):
    text = outcome.too_long(Limits(max_runtime=seconds))

    assert text == f"ran longer than its max_runtime of {words}"


def test_a_row_that_goes_later_is_kept_for_so_long():
    limits = Limits(max_attempts=1, delete_successful_jobs=60.0, delete_failed_jobs=1.5)

    assert outcome.after_success(limits) == Outcome("success", keep=60)
    result = outcome.after_error("oh", attempts=1, limits=limits, now=NOW)
    assert result == Outcome("failure", "oh", keep=1.5)


@pytest.mark.parametrize(
    ("attempts", "wait"), [(1, 5_000), (2, 60_500), (7, 60_500)], ids=["first", "last", "beyond"]
)
def test_the_waits_that_a_job_lists_hold_and_the_last_one_repeats(attempts, wait):
    limits = Limits(backoff=(5, 60.5))

    result = outcome.after_error("oh", attempts=attempts, limits=limits, now=NOW)

    assert result.run_at == NOW + wait


@pytest.mark.parametrize(("chance", "wait"), [(0, 1_000), (0.5, 1_250), (1, 1_500)])
def test_jitter_makes_a_wait_longer_by_up_to_its_share(chance, wait):
    limits = Limits(jitter=0.5)

    error = outcome.after_error("oh", attempts=1, limits=limits, now=NOW, chance=chance)
    crash = outcome.after_crash("oh", attempts=1, crashes=0, limits=limits, now=NOW, chance=chance)

    assert error.run_at == crash.run_at == NOW + wait


def test_without_a_chance_there_is_no_jitter():
    limits = Limits(jitter=0.5)

    error = outcome.after_error("oh", attempts=1, limits=limits, now=NOW)
    crash = outcome.after_crash("oh", attempts=1, crashes=0, limits=limits, now=NOW)

    assert error.run_at == crash.run_at == NOW + 1_000


@pytest.mark.parametrize("delete", [True, False])
def test_a_job_that_wants_no_more_goes_or_is_kept_as_a_failure_is(delete):
    limits = Limits(delete_failed_jobs=delete, delete_successful_jobs=not delete)

    assert outcome.cancelled("no", limits) == Outcome("cancelled", "no", delete=delete)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({}, "JobCancelled: cancelled while it ran"),
        ({"how": ", and was killed"}, "JobCancelled: cancelled while it ran, and was killed"),
        ({"how": "unsaid", "text": "the whole"}, "the whole"),
    ],
    ids=["no more", "how", "text"],
)
def test_a_job_that_was_cancelled_while_it_ran_says_how_it_ended(words, reason):
    limits = Limits(delete_failed_jobs=True)

    assert outcome.after_cancel(limits, **words) == Outcome("cancelled", reason, delete=True)


def test_a_job_that_recorded_its_success_itself_is_settled():
    assert outcome.settled() == Outcome("success", settled=True)


def test_a_wait_is_rounded_up_so_that_nothing_is_early():
    assert outcome.snoozed(0.0001, NOW) == Outcome("snoozed", run_at=NOW + 1)


def test_an_unloadable_job_keeps_its_reason():
    assert outcome.unloadable("no module") == Outcome("unloadable", "no module")


def test_a_released_job_has_nothing_to_tell():
    assert outcome.released() == Outcome("released")
