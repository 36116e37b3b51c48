import json
import logging
import os
import re
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from litejobs import defaults
from litejobs.adapters.base import BaseAdapter
from litejobs.adapters.sqlite import file, migrations, wal
from litejobs.adapters.sqlite.connection import Connection, Connections, Durability, identity
from litejobs.adapters.sqlite.drivers import DriverName
from litejobs.adapters.sqlite.finding import Finding
from litejobs.adapters.sqlite.limits import Limits as LimitKeeper
from litejobs.adapters.sqlite.queries import Queries
from litejobs.adapters.sqlite.recovery import recover
from litejobs.adapters.sqlite.retention import Sweep
from litejobs.adapters.sqlite.rows import MAX_ID, glimpse, new_row, stored_job, text
from litejobs.adapters.sqlite.schedules import SqliteSchedules
from litejobs.adapters.sqlite.settling import Settling, is_alike
from litejobs.adapters.sqlite.storing import have_limits, store, store_unique
from litejobs.clock import Clock, SystemClock
from litejobs.config import check_logger, with_checked_options
from litejobs.errors import ConfigurationError, DatabaseFileError, JobStateError
from litejobs.job import (
    Cancellation,
    Find,
    Glimpse,
    Kept,
    Limits,
    NewJob,
    Outcome,
    Settlement,
    StoredJob,
)  # fmt: skip
from litejobs.retention import Keep, check_retention
from litejobs.rules.outcome import released
from litejobs.rules.queues import union
from litejobs.run_directory.lease import is_dead
from litejobs.run_directory.paths import run_directory

if TYPE_CHECKING:
    from litejobs.adapters.sqlite.borrowed import Borrowed

_TABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


@with_checked_options
class SqliteAdapter(BaseAdapter):
    """
    Jobs in one table of an SQLite file in WAL mode.

    *path* is resolved against the current directory now; the file is opened, and made with *mode*
    where it is missing, when first used. It may be the app's own database. *durability* says what
    a stored job survives: ``"full"`` a power cut, ``"normal"`` the crash of every process.
    *driver* is the SQLite library, ``"sqlite3"`` or ``"apsw"``: one process must use one only, see
    docs/explanation/sqlite.md. *table* is a plain name. *retention* says, by state, which jobs that
    are over stay: see Keep; what it does not name stays, but succeeded ones go after 7 days.
    *clock* is for tests.

    Raises ConfigurationError here when an option is not of its kind; a StorageError, such as
    DatabaseFileError, DiskError or DatabaseBusyError, from every method that reads or writes.
    """

    run_directory: str
    schedules: SqliteSchedules
    batches = True
    drivers: ClassVar = ("sqlite3", "apsw")
    durabilities: ClassVar = ("full", "normal")

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        table: str = defaults.TABLE,
        durability: Durability = "full",
        driver: DriverName = "sqlite3",
        mode: int = 0o600,
        retention: Mapping[str, Keep] | None = None,
        logger: logging.Logger | None = None,
        clock: Clock | None = None,
    ) -> None:
        if not os.fspath(path) or str(path) == ":memory:":
            raise ConfigurationError(f"jobs need a file on disk, got {os.fspath(path)!r}")
        if "\0" in str(path) or not _is_utf8(str(path)):
            raise ConfigurationError(f"SQLite cannot open a file named {str(path)!r}")
        if durability not in self.durabilities:
            raise ConfigurationError(f"durability must be 'full' or 'normal', got {durability!r}")
        if driver not in self.drivers:
            raise ConfigurationError(f"driver must be 'sqlite3' or 'apsw', got {driver!r}")
        if not _TABLE_NAME.fullmatch(table):
            raise ConfigurationError(
                f"table must be a plain name (letters, digits, _), got {table!r}"
            )
        self.path = file.locate(path)
        self.run_directory = run_directory(self.path)
        self.table = table
        self.durability = durability
        self.driver = driver
        self.mode = mode
        self.retention = check_retention(retention)
        check_logger(logger)
        self.logger = logger or logging.getLogger("litejobs")
        self.clock = clock or SystemClock()
        self.sql = Queries(table)
        self.limits = LimitKeeper(table)
        self._are_limits_kept = False  # as far as is known here
        self._connections = Connections()
        self._log_watch = wal.Watch(self.path, self.logger)
        self._prepared = False
        self._file: tuple[int, int] | None = None
        self._finding = Finding(self)
        self._settling = Settling(self.sql, self.retention, self.clock)
        self._sweep = Sweep(self)
        self.schedules = SqliteSchedules(self)

    def __eq__(self, other: object) -> bool:
        """Two adapters are equal if their jobs are the same."""
        if not isinstance(other, SqliteAdapter):
            return NotImplemented
        return (self.path, self.table) == (other.path, other.table)

    def __hash__(self) -> int:
        return hash((self.path, self.table))

    def describe(self) -> str:
        return self.path

    # Opening

    def open(self, *, create: bool = True, adopt: bool = True) -> None:
        """
        Open the database now rather than at its first use, and refuse it if it is not ours.

        *create*: a missing file, or table, may be made. *adopt*: the table may be added to a
        database that holds other tables.
        """
        self._connections.get(lambda: self._open(create=create, adopt=adopt))

    def close(self) -> None:
        self._connections.close()

    def give_up_when(self, is_impatient: Callable[[], bool]) -> None:
        self._connections.give_up_when(is_impatient)

    @property
    def connection(self) -> Connection:
        """This thread's connection."""
        return self._connections.get(self._open)

    def _open(self, *, create: bool = True, adopt: bool = True) -> Connection:
        if self._file != identity(self.path):  # never opened, or another since
            self._prepared = self._are_limits_kept = False
        if not self._prepared:
            file.check(self.path)
            if create:
                file.create(self.path, self.mode)
            elif not file.size(self.path):
                what = "is empty" if file.exists(self.path) else "does not exist"
                raise DatabaseFileError(f"{self.path} {what}: no job has been stored there yet")
        connection = Connection(
            self.path,
            self.driver,
            self.durability,
            self._connections.is_impatient,
            self.logger,
        )
        try:
            if not self._prepared:
                migrations.prepare(connection, self.table, adopt=adopt, create=create)
            connection.set_up()
        except BaseException:
            connection.close()
            raise
        self._prepared = True
        self._file = identity(self.path)
        self.logger.debug("opened %s (%s, durability %s)", self.path, self.driver, self.durability)
        return connection

    # Storing

    def schedule(self, jobs: Sequence[NewJob]) -> list[int]:
        if not jobs:
            return []
        now = self.clock.now()
        connection = self.connection
        if len(jobs) == 1 and jobs[0].limit_key is None:
            connection.synchronise(durable=True)
            ids = [connection.insert(self.sql.schedule, new_row(jobs[0], now))]
        else:
            self.keep_limits(jobs)
            with connection.transaction():
                ids = store(connection, self.sql, self.limits, jobs, now)
        self.ring()
        return ids

    def schedule_unique(
        self, jobs: Sequence[NewJob], connection: object | None = None
    ) -> list[Kept]:
        now = self.clock.now()
        if connection is not None:
            borrowed = self._borrow(connection)
            with borrowed.all_or_nothing():
                self._keep_limits_within(borrowed, jobs)
                kept = [store_unique(borrowed, *self._in_main, job, now) for job in jobs]
            borrowed.ring(self)
            return kept
        self.keep_limits(jobs)
        with self.connection.transaction():
            kept = [store_unique(self.connection, self.sql, self.limits, job, now) for job in jobs]
        self.ring()
        return kept

    def schedule_within(self, connection: object, jobs: Sequence[NewJob]) -> list[int]:
        if not jobs:
            return []
        borrowed = self._borrow(connection)
        with borrowed.all_or_nothing():
            self._keep_limits_within(borrowed, jobs)
            ids = store(borrowed, *self._in_main, jobs, self.clock.now())
        borrowed.ring(self)
        return ids

    keeps_limits = True

    def keep_limits(self, jobs: Sequence[NewJob]) -> None:
        """From the first job that has a limit on, in a transaction of our own."""
        if not self._are_limits_kept and have_limits(jobs):
            if not self.limits.are_kept(self.connection):
                with self.connection.transaction():
                    self.limits.keep(self.connection)
            self._are_limits_kept = True

    def _keep_limits_within(self, borrowed: "Borrowed", jobs: Sequence[NewJob]) -> None:
        """As ``keep_limits``, in a transaction that may be rolled back yet, and then with it."""
        if not self._are_limits_kept and have_limits(jobs):
            _, limits = self._in_main
            if not limits.are_kept(borrowed):
                limits.keep(borrowed)

    def ring_at_commit(self, _connection: object) -> None:
        """For an event of SQLAlchemy's, just before it commits."""
        self.ring(soon=True)

    def _borrow(self, connection: object) -> "Borrowed":
        from litejobs.adapters.sqlite.borrowed import Borrowed  # noqa: PLC0415  # for few apps

        borrowed = Borrowed(connection, self)
        if not self._prepared:  # by a look of our own: theirs may see what is rolled back yet
            self.open()
        return borrowed

    @cached_property
    def _in_main(self) -> tuple[Queries, LimitKeeper]:
        """The statements where another schema may have a table of that name too."""
        return Queries(f"main.{self.table}"), LimitKeeper(self.table, "main.")

    @cached_property
    def _settling_in_main(self) -> Settling:
        return Settling(self._in_main[0], self.retention, self.clock)

    # Finding

    def find(
        self, *, worker: str, queues: Sequence[str], max_runtime: float, limit: int = 1
    ) -> list[StoredJob]:
        return self.exchange([], [Find(worker, tuple(queues), max_runtime, limit)])[0]

    def exchange(
        self, settlements: Sequence[Settlement], finds: Sequence[Find]
    ) -> list[list[StoredJob]]:
        if not settlements and not self.is_due(union(*(find.queues for find in finds))):
            return [[] for _ in finds]
        # A lock that a power cut forgets is only found again: finding alone need not wait for it.
        is_durable = any(outcome.kind != "progress" for _, outcome in settlements)
        with self.connection.transaction(durable=is_durable):
            self._settle_all(settlements)
            now = self.clock.now()
            if finds:
                self._finding.promote(now)
            found = [self._finding.lock(find, now) for find in finds]
        if settlements:
            self.ring_ended()
            self.ring_for_admitted()
        return found

    def is_due(self, queues: Iterable[str]) -> bool:
        return self._finding.is_due(queues)

    def next_run_at(self) -> int | None:
        return self._finding.next_run_at()

    def count_due(self, queues: Iterable[str]) -> int:
        """How many jobs of *queues* could be run now; takes a second for each ten millions."""
        return self._finding.count_due(queues)

    # Pausing

    pauses = True

    def pause(self, queue: str) -> None:
        self.connection.synchronise(durable=True)
        self.connection.execute(self.sql.pause, {"queue": queue})

    def resume(self, queue: str) -> None:
        self.connection.synchronise(durable=True)
        self.connection.execute(self.sql.resume, {"queue": queue})
        self.ring()

    def paused(self) -> list[str]:
        return self._finding.paused()

    def held_back(self, queues: Iterable[str]) -> dict[str, int]:
        return self._finding.held_back(queues)

    # Settling

    def success(
        self,
        job: StoredJob,
        *,
        delete: bool,
        keep: float | None = None,
        result: str | None = None,
    ) -> bool:
        outcome = Outcome("success", delete=delete, keep=keep, result=result)
        return bool(self._settle_alike(outcome, [job]))

    def error(self, job: StoredJob, error: str, run_at: int) -> bool:
        return self._settle(self.sql.error, job, error=error, run_at=run_at)

    def failure(
        self, job: StoredJob, error: str, *, delete: bool, keep: float | None = None
    ) -> bool:
        if delete:
            return bool(self._settle_alike(Outcome("failure", delete=True), [job]))
        return self._settle(
            self.sql.failure, job, error=error, expires_at=self._settling.expiry(keep)
        )

    def cancelled(
        self, job: StoredJob, reason: str, *, delete: bool, keep: float | None = None
    ) -> bool:
        if delete:
            return bool(self._settle_alike(Outcome("cancelled", delete=True), [job]))
        return self._settle(
            self.sql.cancelled, job, reason=reason, expires_at=self._settling.expiry(keep)
        )

    def snooze(self, job: StoredJob, run_at: int) -> bool:
        return self._settle(self.sql.snooze, job, run_at=run_at)

    def unloadable(self, job: StoredJob, error: str) -> bool:
        return self._settle(self.sql.unloadable, job, error=error)

    def release(self, job: StoredJob) -> bool:
        return bool(self._settle_alike(released(), [job]))

    def _settle_all(self, settlements: Sequence[Settlement]) -> None:
        """As ``settle``; those that ended alike, with nothing of their own, at once."""
        alike: defaultdict[tuple[Outcome, str, int], list[StoredJob]] = defaultdict(list)
        for job, outcome in settlements:
            if is_alike(outcome):
                alike[outcome, job.locked_by, job.attempts].append(job)
            else:
                self.settle(job, outcome)
        for (outcome, _, _), jobs in alike.items():
            if outcome.settled:
                continue
            held = self._settle_alike(outcome, jobs)
            for job in jobs if len(held) < len(jobs) else ():
                if job.id not in held:
                    self.tell_lost(job, outcome)

    def _settle_alike(self, outcome: Outcome, jobs: Sequence[StoredJob]) -> set[int]:
        """Settle jobs of one worker in like attempts; the ids of those that were its own."""
        self.connection.synchronise(durable=True)
        return self._settling.alike(self.connection, outcome, jobs)

    def _settle(self, statement: str, job: StoredJob, **values: Any) -> bool:
        self.connection.synchronise(durable=True)
        return self._settling.one(self.connection, statement, job, **values)

    def ring_for_admitted(self) -> None:
        """After a transaction that settled: other jobs may have got the places of those."""
        if self.connection.has_admitted:
            self.connection.has_admitted = False
            self.ring()

    def finish_within(
        self, connection: object, job: StoredJob, outcome: Outcome
    ) -> Callable[[], None]:
        borrowed = self._borrow(connection)
        with borrowed.all_or_nothing():
            if not self._settling_in_main.alike(borrowed, outcome, [job]):
                raise JobStateError(
                    f"job {job.id} is not this run's to finish: it was finished before, or is "
                    "another's by now"
                )
        if borrowed.has_admitted:
            borrowed.ring(self)
        return borrowed.roll_back

    def is_held(self, job: StoredJob) -> bool:
        [(held,)] = self.connection.execute(self.sql.is_held, self._settling.run(job))
        return bool(held)

    def release_strays(self, workers: Collection[str], known: Collection[int]) -> int:
        values = {
            "workers": json.dumps(sorted(workers)),
            "known": json.dumps(sorted(known)),
            "now": self.clock.now(),
        }
        number = len(self.connection.settle(self.sql.release_strays, values))
        self.ring_for_admitted()
        return number

    def crash(self, job: StoredJob) -> None:
        self._settle(self.sql.crash, job)

    def progress(self, job: StoredJob, progress: str) -> bool:
        return self._settle(self.sql.progress, job, progress=progress)

    def overdue(self, job: StoredJob, text: str) -> bool:
        return self._settle(self.sql.overdue, job, error=text)

    # Cancelling

    cancels = True

    def cancel(self, id_: int) -> Cancellation:
        with self.transaction_that_settles():
            told = self.cancel_within(id_)
        if told == "asked":
            self.ring(to_end=True)
        return told

    def cancel_within(self, id_: int) -> Cancellation:
        """As ``cancel``, in the open transaction; if it is "asked", ring the bell after that."""
        if id_ > MAX_ID:
            return "gone"
        values = {"id": id_, "now": self.clock.now()}
        if self.connection.settle(self.sql.cancel, values):
            return "cancelled"
        if self.connection.execute(self.sql.ask_to_end, values):
            return "asked"
        return "over" if self.connection.execute(self.sql.record, {"id": id_}) else "gone"

    @contextmanager
    def transaction_that_settles(self) -> Iterator[None]:
        """All or nothing; then those are woken whose jobs have got a place by it."""
        with self.connection.transaction():
            yield
        self.ring_ended()
        self.ring_for_admitted()

    def asked_to_end(self) -> Collection[tuple[int, int]]:
        return set(self.connection.execute(self.sql.asked_to_end))

    def is_asked_to_end(self, job: StoredJob) -> bool:
        return bool(self.connection.execute(self.sql.is_asked_to_end, self._settling.run(job)))

    recovers = True

    def recover(self, limits_of: Callable[[StoredJob], Limits | None]) -> list[Settlement]:
        dead = [worker for worker in self.holders() if self.is_dead(worker)]
        settlements = recover(self, dead, limits_of) if dead else []
        if settlements:
            self.ring_ended()
        return settlements

    def glimpse(self, id_: int) -> Glimpse | None:
        if id_ > MAX_ID:
            return None
        rows = self.connection.execute(self.sql.glimpse, {"id": id_})
        return glimpse(rows[0]) if rows else None

    def check(self) -> None:
        if wal.is_to_be_emptied(self.path):
            self.connection.empty_log()
        self._log_watch.look()

    def held_by(self, worker: str) -> list[StoredJob]:
        """The jobs that a worker has locked."""
        rows = self.connection.execute(self.sql.held, {"worker": worker})
        return [stored_job(row) for row in rows]

    def holders(self) -> list[str]:
        """Who holds running jobs."""
        return [text(name) for (name,) in self.connection.execute(self.sql.holders)]

    def is_dead(self, worker: str) -> bool:
        """Whether the worker process that a lock names has ended, as far as can be known."""
        return is_dead(self.run_directory, worker)

    sweeps = True

    def sweep(self) -> bool:
        return self._sweep.run()

    def has_unloadable(self) -> bool:
        [(found,)] = self.connection.execute(self.sql.has_unloadable)
        return bool(found)

    def reload(self) -> int:
        number, values = 0, {"now": self.clock.now(), "after": 0}
        while ids := self.change_batch(self.sql.reload, defaults.CHANGE_BATCH, values):
            number += len(ids)
            values["after"] = max(ids)  # none twice that others find unloadable again meanwhile
        return number

    def change_batch(self, statement: str, limit: int, values: Mapping[str, Any]) -> list[int]:
        """
        Run a *statement* that changes jobs, at most *limit*, and may make some ready; their ids.

        For one of many batches: leaves a moment in which others get at the write lock.
        """
        self.connection.synchronise(durable=True)
        rows = self.connection.execute(statement, {**values, "limit": limit})
        ids = [id_ for (id_,) in rows]
        self.ring()
        if len(ids) == limit:
            time.sleep(defaults.CHANGE_PAUSE)
        return ids

    def running(self) -> list[tuple[int, str]]:
        """The ids of the jobs that are locked, and by whom."""
        rows = self.connection.execute(self.sql.running)
        return [(id_, text(worker)) for id_, worker in rows]

    def orphans(self) -> list[tuple[int, str]]:
        """The jobs that are locked by workers that are certainly gone, as ``running``."""
        dead = {worker for worker in self.holders() if self.is_dead(worker)}
        return [(id_, worker) for id_, worker in self.running() if worker in dead]

    def check_idle(self) -> None:
        """Raise JobStateError if a job is running, by a worker that is not certainly gone."""
        running = len(self.running()) - len(self.orphans())
        if running:
            raise JobStateError(f"nothing was deleted, for jobs are running: {running}")

    def clear(self) -> int:
        with self.connection.transaction():
            self.check_idle()
            self.connection.execute(self.sql.clear)
            [(number,)] = self.connection.execute(self.sql.changes)
        self.ring_ended()
        return number  # type: ignore[no-any-return]

    # What is true of the file as a whole

    def get_meta(self, key: str) -> str | None:
        rows = self.connection.execute(self.sql.get_meta, {"key": key})
        return rows[0][0] if rows else None

    def set_meta(self, key: str, value: str) -> None:
        self.connection.synchronise(durable=True)
        self.connection.execute(self.sql.set_meta, {"key": key, "value": value})


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
