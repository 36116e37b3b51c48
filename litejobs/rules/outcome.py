"""What one run means for its job: pure rules, the time is an argument."""

from dataclasses import replace

from litejobs.defaults import MAX_CRASHES
from litejobs.job import Limits, Outcome
from litejobs.rules.backoff import backoff, listed, spread

CANCELLED = "JobCancelled: cancelled while it ran"
_KEPT, _DELETED = Outcome("success"), Outcome("success", delete=True)


def after_success(limits: Limits) -> Outcome:
    """The job did what it was to do."""
    seconds = limits.delete_successful_jobs
    if seconds is True:  # by far the most
        return _DELETED
    return _KEPT if seconds is False else Outcome("success", keep=seconds)


def settled() -> Outcome:
    """The job is done, and has recorded that itself: nothing is left to settle."""
    return Outcome("success", settled=True)


def after_error(
    error: str,
    *,
    attempts: int,
    limits: Limits,
    now: int,
    chance: float = 0.0,
    wait: float | None = None,
) -> Outcome:
    """
    Run number *attempts* went wrong at *now* (milliseconds): try again later, or a failure.

    After *wait* seconds, else as the limits say, with *chance* (0 to 1) for their jitter.
    Source: Redwood Background Jobs 8.1, "Job Errors & Failure"; max_attempts counts all runs.
    """
    if attempts >= limits.max_attempts:
        return failure(error, limits)
    if wait is None:
        attempts = max(1, attempts)  # a row written by hand may be running in no attempt
        wait = listed(attempts, limits.backoff) if limits.backoff else backoff(attempts)
    return Outcome("error", error, run_at=now + spread(wait, limits.jitter, chance))


def failure(error: str, limits: Limits) -> Outcome:
    """The job is not tried again."""
    return _given_up(Outcome("failure", error), limits)


def cancelled(reason: str, limits: Limits) -> Outcome:
    """The job itself wanted no more."""
    return _given_up(Outcome("cancelled", reason), limits)


def _given_up(ended: Outcome, limits: Limits) -> Outcome:
    match limits.delete_failed_jobs:
        case bool(is_deleted):
            return ended._replace(delete=is_deleted)
        case seconds:
            return ended._replace(keep=seconds)


def snoozed(wait: float, now: int) -> Outcome:
    """The job wants to be run *wait* seconds after *now*. No attempt is spent."""
    return Outcome("snoozed", run_at=now + spread(wait, 0, 0))


def after_crash(
    error: str, *, attempts: int, crashes: int, limits: Limits, now: int, chance: float = 0.0
) -> Outcome:
    """
    A process died in run number *attempts*, as in *crashes* runs before: as after an error.

    But a job that takes processes along is not tried as often: MAX_CRASHES.
    """
    if crashes + 1 >= MAX_CRASHES:
        limits = replace(limits, max_attempts=attempts)
    ended = after_error(error, attempts=attempts, limits=limits, now=now, chance=chance)
    return ended._replace(crashed=True)


def after_cancel(limits: Limits, how: str = "", text: str = "") -> Outcome:
    """A job that was cancelled while it ran has ended: *how*, or as the whole *text* says."""
    return _given_up(Outcome("cancelled", text or CANCELLED + how), limits)


def too_long(limits: Limits) -> str:
    """What is said of a job that did not end in time."""
    return f"ran longer than its max_runtime of {limits.max_runtime:.12g} s"


def unloadable(reason: str) -> Outcome:
    """The job never began: its function or arguments do not load. No attempt is spent."""
    return Outcome("unloadable", reason)


def released() -> Outcome:
    """The job was stopped or never begun because a person said so. No attempt is spent."""
    return Outcome("released")
