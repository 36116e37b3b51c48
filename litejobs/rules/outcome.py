"""What one run means for its job: pure rules, the time is an argument."""

from dataclasses import replace

from litejobs.defaults import MAX_CRASHES
from litejobs.job import Limits, Outcome
from litejobs.rules.backoff import backoff

_KEPT, _DELETED = Outcome("success"), Outcome("success", delete=True)


def after_success(limits: Limits) -> Outcome:
    """The job did what it was to do."""
    match limits.delete_successful_jobs:
        case bool(is_deleted):
            return _DELETED if is_deleted else _KEPT
        case seconds:
            return Outcome("success", keep=seconds)


def settled() -> Outcome:
    """The job is done, and has recorded that itself: nothing is left to settle."""
    return Outcome("success", settled=True)


def after_error(error: str, *, attempts: int, limits: Limits, now: int) -> Outcome:
    """
    Run number *attempts* went wrong at *now* (milliseconds): try again later, or a failure.

    Source: Redwood Background Jobs 8.1, "Job Errors & Failure"; max_attempts counts all runs.
    """
    if attempts >= limits.max_attempts:
        match limits.delete_failed_jobs:
            case bool(is_deleted):
                return Outcome("failure", error, delete=is_deleted)
            case seconds:
                return Outcome("failure", error, keep=seconds)
    # A row written by hand may be running in no attempt.
    return Outcome("error", error, run_at=now + 1000 * backoff(max(1, attempts)))


def after_crash(error: str, *, attempts: int, crashes: int, limits: Limits, now: int) -> Outcome:
    """
    A process died in run number *attempts*, as in *crashes* runs before: as after an error.

    But a job that takes processes along is not tried as often: MAX_CRASHES.
    """
    if crashes + 1 >= MAX_CRASHES:
        limits = replace(limits, max_attempts=attempts)
    return after_error(error, attempts=attempts, limits=limits, now=now)._replace(crashed=True)


def too_long(limits: Limits) -> str:
    """What is said of a job that did not end in time."""
    return f"ran longer than its max_runtime of {limits.max_runtime:.12g} s"


def unloadable(reason: str) -> Outcome:
    """The job never began: its function or arguments do not load. No attempt is spent."""
    return Outcome("unloadable", reason)


def released() -> Outcome:
    """The job was stopped or never begun because a person said so. No attempt is spent."""
    return Outcome("released")
