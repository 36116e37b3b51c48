"""What becomes of the jobs that dead workers have left locked."""

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from litejobs.job import Limits, Outcome, Settlement, StoredJob
from litejobs.rules.outcome import after_crash, after_error, released
from litejobs.run_directory.identity import ended_with_the_machine, in_words
from litejobs.run_directory.lease import begun_by, sweep

if TYPE_CHECKING:
    from litejobs.adapters.sqlite.adapter import SqliteAdapter


def recover(
    adapter: "SqliteAdapter", dead: Sequence[str], limits_of: Callable[[StoredJob], Limits | None]
) -> list[Settlement]:
    """
    Settle the jobs of the *dead* workers, in one transaction, and remove what these have left.

    Jobs that were begun have gone wrong; those that were only found are ready again. Those of which
    *limits_of* gives no limits are left to others; failures that wait for hooks, to the caller.
    """
    recovered: list[Settlement] = []
    waiting: set[int] = set()  # the ids of those that are not to be settled here
    now = adapter.clock.now()
    with adapter.connection.transaction():
        for worker in dead:
            begun = begun_by(adapter.run_directory, worker)
            for job in adapter.held_by(worker):
                limits = limits_of(job)
                if limits is None:
                    continue
                was_begun = begun is None or (job.id, job.attempts) in begun
                outcome = _after_death(job, limits, now) if was_begun else released()
                recovered.append((job, outcome))
                if outcome.waits_for_hooks(limits):
                    waiting.add(job.id)
        for job, outcome in recovered:
            if job.id not in waiting:
                adapter.settle(job, outcome)
    adapter.ring_for_admitted()
    sweep(adapter.run_directory, adapter.holders())
    return recovered


def _after_death(job: StoredJob, limits: Limits, now: int) -> Outcome:
    chance = random.random()  # noqa: S311  # spreads retries
    who = in_words(job.locked_by)
    if ended_with_the_machine(job.locked_by):  # which was not the job's doing
        error = f"WorkerDied: the machine stopped while {who} ran this job"
        return after_error(error, attempts=job.attempts, limits=limits, now=now, chance=chance)
    error = f"WorkerDied: {who} ended while it ran this job"
    return after_crash(
        error,
        attempts=job.attempts,
        crashes=job.crashes,
        limits=limits,
        now=now,
        chance=chance,
    )
