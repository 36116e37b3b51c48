"""What an exception means for its job: by what it is, and by what the job says of it."""

from dataclasses import FrozenInstanceError

import pytest

from litejobs.control import Discard, Retry, Snooze
from litejobs.errors import JobTimeout
from litejobs.job import Limits, Outcome
from litejobs.rules.exceptions import ErrorRules, after_exception

NOW = 1_800_000_000_000
RULES = ErrorRules(retry_on=(ConnectionError, KeyError), discard_on=(LookupError,))
STRICT = ErrorRules(retry_on=(), discard_on=(BaseException,))


def after(error, rules=RULES, *, attempts=1, chance=0.0, wait=None, **limits):
    return after_exception(
        error,
        "text",
        rules=rules,
        attempts=attempts,
        limits=Limits(**limits),
        now=NOW,
        chance=chance,
        wait=wait,
    )


@pytest.mark.parametrize(
    ("error", "rules", "expected"),
    [
        (ConnectionResetError(), RULES, Outcome("error", "text", NOW + 1000)),
        (ValueError(), RULES, Outcome("failure", "text")),
        (ValueError(), ErrorRules(), Outcome("error", "text", NOW + 1000)),
        (ValueError(), STRICT, Outcome("cancelled", "text")),
        (KeyError(), RULES, Outcome("cancelled", "text")),
        (Discard("no"), RULES, Outcome("cancelled", "text")),
        (Retry(), RULES, Outcome("error", "text", NOW + 1000)),
        (Retry(2.5), RULES, Outcome("error", "text", NOW + 2500)),
        (Retry(0), RULES, Outcome("error", "text", NOW)),
        (Snooze(60), RULES, Outcome("snoozed", run_at=NOW + 60_000)),
        (Snooze(60), STRICT, Outcome("snoozed", run_at=NOW + 60_000)),
        (JobTimeout(), RULES, Outcome("error", "text", NOW + 1000)),
        (JobTimeout(), STRICT, Outcome("error", "text", NOW + 1000)),
    ],
    ids=repr,
)
def test_what_becomes_of_a_job_that_raised(error, rules, expected):
    assert after(error, rules) == expected


@pytest.mark.parametrize("error", [ConnectionError(), Retry(60)], ids=repr)
def test_the_last_attempt_is_a_failure_whatever_is_worth_another(error):
    assert after(error, attempts=3, max_attempts=3) == Outcome("failure", "text")


def test_a_snooze_spends_no_attempt_so_that_the_last_one_may_be_snoozed():
    assert after(Snooze(1), attempts=3, max_attempts=3).kind == "snoozed"


@pytest.mark.parametrize("error", [ValueError(), KeyError(), Discard("no")], ids=repr)
@pytest.mark.parametrize("delete", [True, False])
def test_a_job_that_is_given_up_is_kept_as_a_failure_is(error, delete):
    assert after(error, delete_failed_jobs=delete).delete is delete


def test_the_jobs_own_function_says_the_wait_and_jitter_is_added_to_it():
    assert after(ConnectionError(), wait=10, chance=0.5, jitter=0.2).run_at == NOW + 11_000


def test_the_wait_of_a_retry_holds_as_it_is():
    assert after(Retry(10), wait=99, chance=0.5, jitter=0.2).run_at == NOW + 10_000


def test_what_a_job_says_once_holds():
    with pytest.raises(FrozenInstanceError):
        RULES.retry_on = None
