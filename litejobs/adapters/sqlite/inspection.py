"""Looking at stored jobs and trying failed ones again: for commands and pages."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from litejobs import defaults
from litejobs.adapters.sqlite import file, wal
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.adapters.sqlite.rows import MAX_ID, STATES, text
from litejobs.errors import JobNotFoundError, JobStateError
from litejobs.job import Cancellation
from litejobs.run_directory.lease import begun_by

#: In which order the jobs of a queue are listed: what goes on, what comes next, what is over.
LISTED = (
    "running",
    "ready",
    "waiting",
    "scheduled",
    "unloadable",
    "failed",
    "cancelled",
    "succeeded",
)
_WAIT = ("waiting", "scheduled", "ready", "unloadable")
_COUNTED = 1_000_000  # jobs that are counted in a tenth of a second
_ALL = 2**63 - 1


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
    progress: str | None
    cancel_at: int | None  # when it was asked to end, while it ran
    limit_key: str | None
    handler: str


@dataclass(frozen=True, slots=True)
class Counts:
    """How many jobs there are, by queue and state; states without jobs are left out."""

    queues: dict[str, dict[str, int]]
    up_to: int | None  # where counting ended: this number means as many or more; None: nowhere

    def is_exact(self, number: int) -> bool:
        """Whether there are no more than that."""
        return number != self.up_to


class Inspection:
    """The jobs of one adapter, to be looked at; takes as long however many there are."""

    def __init__(self, adapter: SqliteAdapter) -> None:
        self._adapter = adapter
        self._sql = adapter.sql

    def counts(self, *, exact: bool = False) -> Counts:
        """
        How many jobs, by queue and state.

        About a million are counted, a fair share for each queue and state. *exact*: all of them,
        which takes a second for each ten millions.
        """
        places = self._places()
        limit = _ALL if exact else share(_COUNTED, len(places))
        queues: dict[str, dict[str, int]] = {}
        for state, queue in places:
            number = self._count(state, queue, limit)
            if number:  # else the last one has just gone
                states = queues.setdefault(text(queue), {})  # of all names that are shown alike
                states[STATES[state]] = min(limit, states.get(STATES[state], 0) + number)
        is_cut = any(number == limit for states in queues.values() for number in states.values())
        return Counts(queues, limit if is_cut else None)

    def _places(self) -> list[tuple[int, bytes]]:
        """Each state of each queue that has jobs, by queue; a name may be any bytes."""
        return sorted(
            self._adapter.connection.execute(self._sql.places), key=lambda place: place[::-1]
        )

    def _count(self, state: int, queue: bytes, limit: int) -> int:
        values = {"state": state, "queue": queue, "limit": limit}
        [(number,)] = self._adapter.connection.execute(self._sql.count_place, values)
        return number  # type: ignore[no-any-return]

    def sizes(self) -> tuple[int, int]:
        """Bytes of the database and of its write-ahead log."""
        return file.size(self._adapter.path), wal.size(self._adapter.path)

    def records(
        self, *, state: str | None = None, queue: str | None = None, limit: int = 50
    ) -> list[Record]:
        """
        At most *limit* jobs, of one state or queue where these are given.

        Of all: the newest first. Of a state: those that run next, ready or scheduled; that have run
        longest; or that ended last, with unloadable ones the newest, or of a queue those that
        were to run last. Of a queue: state by state, as in LISTED.
        """
        if state is None and queue is None:
            return self._listed(self._sql.list_all, limit=limit)
        records: list[Record] = []
        for name in LISTED if state is None else (state,):
            records += self._of_state(name, queue, limit - len(records))
        return records

    def _of_state(self, state: str, queue: str | None, limit: int) -> list[Record]:
        match state:
            case "ready":
                queues = self._ready_queues() if queue is None else json.dumps([queue])
                return self._listed(self._sql.list_ready, queues=queues, limit=limit)
            case "running":
                return self._listed(self._sql.list_running, queue=queue, limit=limit)
            case "scheduled":
                return self._listed(self._sql.list_scheduled, queue=queue, limit=limit)
            case "waiting":
                return self._listed(self._sql.list_waiting, queue=queue, limit=limit)
            case _:
                number = STATES.index(state)
                return self._listed(self._sql.list_ended, state=number, queue=queue, limit=limit)

    def _ready_queues(self) -> bytes:
        [(present,)] = self._adapter.connection.execute(self._sql.present)
        return present  # type: ignore[no-any-return]

    def _listed(self, statement: str, **values: Any) -> list[Record]:
        return [_record(row) for row in self._adapter.connection.execute(statement, values)]

    def begun(self, *, limit: int) -> list[Record]:
        """
        Of the running jobs, at most *limit*, those that have begun.

        A worker may have found more than it runs. Where it is not known what it has begun, or that
        has just ended, all that it holds is told, or the first.
        """
        held: defaultdict[str, list[Record]] = defaultdict(list)
        for record in self.records(state="running", limit=limit):
            held[record.locked_by or ""].append(record)
        found: list[Record] = []
        for worker, records in held.items():
            begun = begun_by(self._adapter.run_directory, worker)
            if begun is None:
                found += records
            else:
                running = [one for one in records if (one.id, one.attempts) in begun]
                found += running or records[:1]
        return found

    def record(self, id_: int) -> Record:
        """The job with that id; raises JobNotFoundError."""
        rows = self._adapter.connection.execute(self._sql.record, {"id": min(id_, MAX_ID)})
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
                if record.state in ("failed", "cancelled"):
                    raise JobStateError(
                        f"job {id_} is not tried again: another with its key waits, runs, or has "
                        "succeeded and keeps it for its period"
                    )
                worker = record.locked_by
                if worker is None or not self._adapter.is_dead(worker):
                    raise JobStateError(f"job {id_} is {record.state}: there is nothing to retry")
                self._take_back(id_, worker)
        self._adapter.ring()

    def retry_all(self, queue: str | None = None) -> int:
        """
        Make ready again all failed and unloadable jobs, and those of workers that are gone.

        Returns how many there were; of one queue where that is given. In batches, so that others
        can write meanwhile: an error leaves those ready that were. A job whose key another has by
        now is passed over.
        """
        now = self._adapter.clock.now()  # one for all, so that they run in the order of their ids
        number = sum(
            self._retry_place(state, name, now)
            for state, name in self._places()
            if STATES[state] in ("failed", "unloadable") and queue in (None, text(name))
        )
        with self._adapter.connection.transaction():
            for id_, worker in self._adapter.orphans():
                if queue is None or self.record(id_).queue == queue:
                    self._take_back(id_, worker)
                    number += 1
        self._adapter.ring()
        return number

    def _retry_place(self, state: int, queue: bytes, now: int) -> int:
        values = {"state": state, "queue": queue, "now": now}
        done, most = 0, self._count(state, queue, _ALL)  # those that fail again meanwhile come last
        while ids := self._adapter.change_batch(
            self._sql.retry_some, min(defaults.CHANGE_BATCH, most - done), values
        ):
            done += len(ids)
        return done

    def cancel(self, ids: Sequence[int]) -> dict[int, Cancellation]:
        """
        Cancel jobs, or ask those to end that run; all of them or, on an error, none.

        Returns what came of each. Raises JobNotFoundError, or JobStateError for one that is over.
        """
        with self._adapter.transaction_that_settles():
            told = {}
            for id_ in ids:
                told[id_] = self._adapter.cancel_within(id_)
                if told[id_] == "gone":
                    raise JobNotFoundError(f"there is no job {id_} in {self._adapter.path}")
                if told[id_] == "over":
                    state = self.record(id_).state
                    raise JobStateError(f"job {id_} is {state}: there is nothing to cancel")
        if "asked" in told.values():
            self._adapter.ring(to_end=True)
        return told

    def cancel_all(self, queue: str | None = None) -> int:
        """
        Cancel all jobs that wait to be run, of one queue where that is given; how many there were.

        In batches, as ``retry_all``. Jobs that run go on.
        """
        number = 0
        for state, name in self._places():
            if STATES[state] in _WAIT and queue in (None, text(name)):
                values = {"state": state, "queue": name, "now": self._adapter.clock.now()}
                while ids := self._adapter.change_batch(
                    self._sql.cancel_some, defaults.CHANGE_BATCH, values
                ):
                    number += len(ids)
                    self._adapter.ring_ended()
        return number

    def orphans(self) -> list[int]:
        """The ids of running jobs whose worker process is gone."""
        return [id_ for id_, _ in self._adapter.orphans()]

    def _take_back(self, id_: int, worker: str) -> None:
        values = {"id": id_, "worker": worker, "now": self._adapter.clock.now()}
        self._adapter.connection.execute(self._sql.take_back, values)

    def check_queue(self, queue: str) -> None:
        """Raise JobNotFoundError if no job is stored in *queue*."""
        known = self.queues()
        if queue not in known:
            where = ", ".join(known) or "none"
            raise JobNotFoundError(f"no jobs in queue {queue!r}; queues with jobs: {where}")

    def queues(self) -> list[str]:
        """The queues in which jobs are stored."""
        return sorted({text(name) for _, name in self._places()})


def share(whole: int, parts: int) -> int:
    """
    What each of *parts* gets of *whole*, a round number that is easy to read.

    >>> [share(1_000_000, parts) for parts in (0, 1, 2, 10, 50, 2_000_000)]
    [1000000, 1000000, 100000, 100000, 10000, 1]
    """
    return int(10 ** (len(str(whole // max(1, parts))) - 1))


def _record(row: tuple[Any, ...]) -> Record:
    values: list[Any] = [text(value) if isinstance(value, bytes) else value for value in row]
    id_, state, *rest = values
    return Record(id_, STATES[state], *rest)
