"""Looking at stored jobs and trying failed ones again: for commands and pages."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from litejobs.adapters.sqlite import file
from litejobs.adapters.sqlite.adapter import SqliteAdapter, text
from litejobs.errors import JobNotFoundError, JobStateError

#: The names of the states, by the number that a row holds.
STATES = ("scheduled", "ready", "running", "unloadable", "succeeded", "failed", "cancelled")
_MAX_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Record:
    """A row as it stands. Times are milliseconds since 1970, UTC."""

    id: int
    state: str
    queue: str
    priority: int
    run_at: int | None
    attempts: int
    locked_at: int | None
    locked_by: str | None
    last_error: str | None
    failed_at: int | None
    finished_at: int | None
    created_at: int
    updated_at: int
    handler: str


class Inspection:
    """The jobs of one adapter, to be looked at. Counting grows with the table."""

    def __init__(self, adapter: SqliteAdapter) -> None:
        self._adapter = adapter
        self._sql = adapter.sql

    def counts(self) -> dict[str, dict[str, int]]:
        """How many jobs, by queue and state; states without jobs are left out."""
        counts: dict[str, dict[str, int]] = {}
        for queue, state, number in self._adapter.connection.execute(self._sql.counts):
            counts.setdefault(text(queue), {})[STATES[state]] = number
        return counts

    def sizes(self) -> tuple[int, int]:
        """Bytes of the database and of its write-ahead log."""
        return file.size(self._adapter.path), file.size(f"{self._adapter.path}-wal")

    def records(
        self, *, state: str | None = None, queue: str | None = None, limit: int = 50
    ) -> list[Record]:
        """The newest jobs first, at most *limit*; of one state or queue where these are given."""
        values = {
            "state": None if state is None else STATES.index(state),
            "queue": queue,
            "limit": limit,
        }
        rows = self._adapter.connection.execute(self._sql.records, values)
        return [_record(row) for row in rows]

    def record(self, id_: int) -> Record:
        """The job with that id; raises JobNotFoundError."""
        rows = self._adapter.connection.execute(self._sql.record, {"id": min(id_, _MAX_ID)})
        if not rows:
            raise JobNotFoundError(f"there is no job {id_} in {self._adapter.path}")
        return _record(rows[0])

    def retry(self, ids: Sequence[int]) -> None:
        """
        Make jobs ready again, with all their attempts; all of them or, on an error, none.

        Raises JobNotFoundError, or JobStateError for one that did not go wrong.
        """
        with self._adapter.connection.transaction():
            for id_ in ids:
                record = self.record(id_)
                values = {"id": id_, "now": self._adapter.clock.now()}
                if self._adapter.connection.execute(self._sql.retry, values):
                    continue
                if record.locked_by is None or not self._take_back(id_, record.locked_by):
                    raise JobStateError(f"job {id_} is {record.state}: there is nothing to retry")
        self._adapter.ring()

    def retry_all(self, queue: str | None = None) -> int:
        """
        Make ready again all failed and unloadable jobs, and those of workers that are gone.

        Returns how many there were; of one queue where that is given.
        """
        values = {"queue": queue, "now": self._adapter.clock.now()}
        with self._adapter.connection.transaction():
            number = len(self._adapter.connection.execute(self._sql.retry_all, values))
            for id_, worker in self._adapter.running():
                if queue is None or self.record(id_).queue == queue:
                    number += self._take_back(id_, worker)
        self._adapter.ring()
        return number

    def orphans(self) -> list[int]:
        """The ids of running jobs whose worker process is gone."""
        return [id_ for id_, worker in self._adapter.running() if self._adapter.is_dead(worker)]

    def _take_back(self, id_: int, worker: str) -> bool:
        """Make a running job ready again if its worker is gone; whether it was."""
        values = {"id": id_, "worker": worker, "now": self._adapter.clock.now()}
        return self._adapter.is_dead(worker) and bool(
            self._adapter.connection.execute(self._sql.take_back, values)
        )

    def check_queue(self, queue: str) -> None:
        """Raise JobNotFoundError if no job is stored in *queue*."""
        known: Iterable[str] = self.counts()
        if queue not in known:
            where = ", ".join(known) or "none"
            raise JobNotFoundError(f"no jobs in queue {queue!r}; queues with jobs: {where}")


def _record(row: tuple[Any, ...]) -> Record:
    values: list[Any] = [text(value) if isinstance(value, bytes) else value for value in row]
    id_, state, *rest = values
    return Record(id_, STATES[state], *rest)
