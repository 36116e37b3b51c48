"""What one run means for its job: pure rules, the time is an argument."""

from litejobs.job import Limits, Outcome
from litejobs.rules.backoff import backoff


def after_success(limits: Limits) -> Outcome:
    """The job did what it was to do."""
    return Outcome("success", delete=limits.delete_successful_jobs)


def after_error(error: str, *, attempts: int, limits: Limits, now: int) -> Outcome:
    """
    Run number *attempts* went wrong at *now* (milliseconds): try again later, or a failure.

    Source: Redwood Background Jobs 8.1, "Job Errors & Failure"; max_attempts counts all runs.
    """
    if attempts >= limits.max_attempts:
        return Outcome("failure", error, delete=limits.delete_failed_jobs)
    return Outcome("error", error, run_at=now + 1000 * backoff(attempts))


def unloadable(reason: str) -> Outcome:
    """The job never began: its function or arguments do not load. No attempt is spent."""
    return Outcome("unloadable", reason)


def released() -> Outcome:
    """The job was stopped or never begun because a person said so. No attempt is spent."""
    return Outcome("released")
