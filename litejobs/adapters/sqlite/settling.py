"""
What becomes of runs, written down in whoever's transaction is open.

Each statement fences by id, worker and attempts: of a run that has lost its job nothing is written.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

from litejobs import defaults
from litejobs.adapters.sqlite.connection import Row
from litejobs.adapters.sqlite.drivers import Values
from litejobs.adapters.sqlite.queries import Queries
from litejobs.clock import Clock
from litejobs.job import Outcome, StoredJob
from litejobs.retention import Keep


class Settles(Protocol):
    """A connection of ours, or a borrowed one."""

    def settle(self, sql: str, values: Values) -> list[Row]:
        """Run one statement that may end runs; return all its rows."""
        ...


class Settling:
    """Writes with the statements of one table, and keeps rows as its *retention* says."""

    def __init__(self, sql: Queries, retention: Mapping[str, Keep], clock: Clock) -> None:
        self._sql = sql
        self._retention = retention
        self._clock = clock

    def one(self, connection: Settles, statement: str, job: StoredJob, **values: Any) -> bool:
        """Run a *statement* on the row of a run; whether it was its own."""
        return bool(connection.settle(statement, values | self.run(job)))

    def alike(self, connection: Settles, outcome: Outcome, jobs: Sequence[StoredJob]) -> set[int]:
        """Settle jobs of one worker in like attempts; the ids of those that were its own."""
        is_success = outcome.kind == "success"
        if outcome.kind == "released":
            statement = self._sql.release
        else:
            statement = self._sql.delete if outcome.delete else self._sql.success
        now = self._clock.now()
        values = {
            "ids": json.dumps([job.id for job in jobs]),
            "worker": jobs[0].locked_by,
            "attempts": jobs[0].attempts,
            "now": now,
            "is_success": is_success,
            "expires_at": self.expiry(outcome.keep),
            "stays": now if outcome.delete else self._stays(now),
            "result": outcome.result,
        }
        held = {id_ for (id_,) in connection.settle(statement, values)}
        if is_success and outcome.delete and len(held) < len(jobs):  # its key may be taken for long
            held |= {id_ for (id_,) in connection.settle(self._sql.success, values)}
        return held

    def run(self, job: StoredJob) -> dict[str, Any]:
        """What names the run of a job, now, to a statement."""
        return {
            "id": job.id,
            "worker": job.locked_by,
            "attempts": job.attempts,
            "now": self._clock.now(),
        }

    def expiry(self, keep: float | None) -> int | None:
        """When a row goes that stays for *keep* seconds from now."""
        return None if keep is None else self._clock.now() + int(1000 * keep)

    def _stays(self, now: int) -> int:
        """When the row of a job that succeeds now may go, by the retention alone."""
        age = self._retention["succeeded"].age
        assert not isinstance(age, timedelta)
        return defaults.END_OF_TIME if age is None else now + int(1000 * age)


def is_alike(outcome: Outcome) -> bool:
    """Whether it has nothing of its own, so that others that are equal can be settled with it."""
    return (
        outcome.error is None
        and outcome.run_at is None
        and outcome.result is None
        and outcome.progress is None
    )
