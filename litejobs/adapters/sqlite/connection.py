"""Connections to a database: opening, pragmas, waiting for its lock, errors, forks."""

import logging
import math
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Literal, TypeVar

from litejobs import context
from litejobs.adapters.sqlite import drivers, file, wal
from litejobs.adapters.sqlite.drivers import DriverName, Values
from litejobs.defaults import LOCK_PATIENCE, LOCK_WARNING
from litejobs.errors import (
    DatabaseBusyError,
    DatabaseFileError,
    DatabaseGoneError,
    DiskError,
    StorageError,
)

Durability = Literal["full", "normal"]
Row = tuple[Any, ...]
T = TypeVar("T")

# https://sqlite.org/rescode.html: primary result codes.
_PERM, _BUSY, _LOCKED, READONLY, _IOERR, _CORRUPT = 3, 5, 6, 8, 10, 11
_FULL, _CANTOPEN, _NOTADB = 13, 14, 26
_BAD_FILE = {
    _PERM: "may not be opened by this user",
    READONLY: "is read-only for this user, or its directory is; jobs need both writable",
    _CORRUPT: "is corrupt; restore it from a backup",
    _CANTOPEN: "cannot be opened; it and its directory must be readable and writable",
    _NOTADB: "is not an SQLite database",
}
# Pages in the -wal from which a commit copies them into the file, and waits for the disk: about
# five hundred jobs. Up to 4,062 a page is found in one step, https://sqlite.org/walformat.html, but
# while the -wal grows, in the first round, commits wait longer than when they write over it.
_CHECKPOINT = 2000
# Seconds, and between two tries: one needs a moment in which nobody else reads or writes.
_EMPTYING, _EMPTYING_PAUSE = 0.05, 0.0003


class Connection:
    """
    One open database of one thread of one process: statements are read to the end at once.

    Waits for the write lock by itself, at most LOCK_PATIENCE seconds, then raises
    DatabaseBusyError. *durability* says what a durable commit survives: ``"full"`` a power cut,
    ``"normal"`` the crash of every process.
    """

    def __init__(
        self,
        path: str,
        driver: DriverName,
        durability: Durability,
        is_impatient: Callable[[], bool] = lambda: False,
        logger: logging.Logger | None = None,
    ) -> None:
        """
        *is_impatient* says whether to wait for the write lock no longer.

        *logger* is told when that takes longer than LOCK_WARNING seconds.
        """
        self.path = path
        self._logger = logger
        self._is_impatient = is_impatient
        self._file: tuple[int, int] | None = None  # which one is open: device and inode
        self._durability = durability
        self._synchronous = ""
        self._inside = False
        self._is_set_up = False
        self._driver = drivers.load(driver)
        #: Whether ``settle`` has seen a trigger change other rows; for its caller to take back.
        self.has_admitted = False
        #: Whether its file has lost its name: it is of no use any more.
        self.is_lost = False
        self._raw: Any = None
        self.in_use = threading.RLock()  # held by whoever is in a statement or transaction
        with _registry_lock:
            _registry.add(self)
        self._opened()

    def execute(self, sql: str, values: Values = ()) -> list[Row]:
        """Run one statement, in the open transaction or as one of its own; return all its rows."""
        return self._statement(_all_rows, sql, values)

    def insert(self, sql: str, values: Values) -> int:
        """Run an INSERT of one row as ``execute`` does; return the row's id."""
        return self._statement(self._driver.insert, sql, values)

    def settle(self, sql: str, values: Values) -> list[Row]:
        """As ``execute``, of a statement that returns each row that it changes."""
        rows, changed = self._statement(self._settled, sql, values)
        self.has_admitted |= changed > len(rows)
        return rows

    def _settled(self, raw: Any, sql: str, values: Values) -> tuple[list[Row], int]:
        before = self._driver.changes(raw)
        rows = _all_rows(raw, sql, values)
        return rows, self._driver.changes(raw) - before

    def execute_many(self, sql: str, rows: Sequence[Values]) -> None:
        """Run one statement, which returns nothing, for each of *rows*; in the open transaction."""
        self._run(_for_each, sql, rows)

    def set_up(self) -> None:
        """Put the connection into the modes that litejobs relies on; may change the file to WAL."""
        self.execute("PRAGMA trusted_schema = OFF")
        if self.execute("PRAGMA journal_mode = WAL") != [("wal",)]:
            raise DatabaseFileError(f"{self.path} is on a file system that cannot hold a WAL")
        self.execute(f"PRAGMA journal_size_limit = {wal.LIMIT}")
        self.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT}")
        if sys.platform == "darwin":
            # There fsync alone does not reach the disk: https://sqlite.org/pragma.html#pragma_fullfsync
            self.execute("PRAGMA fullfsync = ON")
        self.synchronise(durable=True)
        self._is_set_up = True

    def synchronise(self, *, durable: bool) -> None:
        """
        Choose what the next commits survive; *durable* ones what the durability promises.

        Inside a transaction this changes nothing: its beginning decided.
        """
        level = "FULL" if durable and self._durability == "full" else "NORMAL"
        if level != self._synchronous and not self._inside:
            self.execute(f"PRAGMA synchronous = {level}")
            self._synchronous = level

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[None]:
        """All that is executed inside, or nothing of it."""
        self.synchronise(durable=durable)
        self._check_in_place()
        try:
            self._begin()
        except DatabaseBusyError:
            self._try_again(self._begin)
        try:
            yield
            self._run(_all_rows, "COMMIT")
        except BaseException:
            with suppress(StorageError):  # SQLite may have rolled back by itself
                self._run(_all_rows, "ROLLBACK")
            raise
        finally:
            self._inside = False
            self.in_use.release()

    def empty_log(self) -> None:
        """
        Copy all of the write-ahead log into the database and cut it off, if that can be had now.

        Writers wait while it is copied. With a reader in the way less is done, which is no error.
        """
        end = time.monotonic() + _EMPTYING
        while time.monotonic() < end:
            [(is_busy, *_)] = self.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            if not is_busy:
                return
            time.sleep(_EMPTYING_PAUSE)

    def close(self) -> None:
        """Close the file; a statement that comes later opens it again."""
        with self.in_use:
            raw, self._raw = self._raw, None
            self._synchronous = ""
            self._file = None
            if raw is not None:
                raw.close()

    def _opened(self) -> Any:
        """The library's connection, opened if it is not: at first, and again after a fork."""
        if self._raw is None:
            try:
                self._raw = self._driver.connect(self.path)
            except self._driver.error as error:
                raise self._translated(error) from error
            self._file = identity(self.path)
            if self._is_set_up:
                try:
                    self.set_up()
                except BaseException:  # so that it is done again, not left at SQLite's own modes
                    self.close()
                    raise
        return self._raw

    def _check_in_place(self) -> None:
        """
        Refuse to go on with a file that has lost its name: nobody would ever read it.

        By the name alone: to open the file here would drop SQLite's locks.
        """
        if self._file is not None and self._file != (found := identity(self.path)):
            what = "was deleted" if found is None else "was replaced by another file"
            self.close()
            self.is_lost = True
            raise DatabaseGoneError(
                f"{self.path} {what} while it was in use; jobs of the former file are not in it"
            )

    def _statement(self, how: Callable[[Any, str, Any], T], sql: str, values: Values) -> T:
        if self._inside:
            return self._run(how, sql, values)
        self._check_in_place()
        try:
            return self._run(how, sql, values)
        except DatabaseBusyError:
            return self._try_again(lambda: self._run(how, sql, values))

    def _try_again(self, operation: Callable[[], T]) -> T:
        """
        Call *operation* until it finds the write lock free, which another connection holds now.

        SQLite's own busy time-out is unfair under contention and holds Python's signal handlers
        off; short random pauses of ours are neither.
        """
        import random  # noqa: PLC0415  # 2 ms that only contention costs

        started = time.monotonic()
        warn_at = LOCK_WARNING
        while True:
            waited = time.monotonic() - started
            if waited > LOCK_PATIENCE or self._is_impatient():
                raise DatabaseBusyError(
                    f"{self.path} was locked by another connection for {waited:.1f} seconds"
                ) from None
            if waited > warn_at and self._logger is not None:
                warn_at = math.inf
                self._logger.warning(
                    "%s has been locked by another connection for %.1f seconds: until it ends its "
                    "transaction, jobs are neither stored nor begun nor recorded",
                    self.path,
                    waited,
                )
            # Who grew slower sooner would be starved by those who came later.
            longest = 0.001 if waited < 1 else min(0.02, waited / 50)
            time.sleep(random.uniform(0.2, 1) * longest)  # noqa: S311  # no secret
            with suppress(DatabaseBusyError):
                return operation()

    def _begin(self) -> None:
        """Take the write lock, and keep forks off until the transaction ends."""
        self.in_use.acquire()
        try:
            # A deferred transaction that reads before it writes cannot wait for the lock: SQLite
            # answers BUSY_SNAPSHOT at once, https://sqlite.org/rescode.html#busy_snapshot
            self._run(_all_rows, "BEGIN IMMEDIATE")
        except BaseException:
            self.in_use.release()
            raise
        self._inside = True

    def _run(self, how: Callable[[Any, str, Any], T], sql: str, values: Any = ()) -> T:
        with self.in_use:
            raw = self._raw or self._opened()
            try:
                return how(raw, sql, values)
            except self._driver.error as error:
                raise self._translated(error) from error

    def _translated(self, error: Exception) -> StorageError:
        return in_our_words(error, self._driver.code_of(error), self.path)


def in_our_words(error: Exception, code: int | None, path: str) -> StorageError:
    """What a library's *error* with that primary result code means."""
    if code in (_BUSY, _LOCKED):
        return DatabaseBusyError(f"{path} is locked by another connection")
    if code in (_IOERR, _FULL):
        reason = "the disk is full" if code == _FULL else str(error)
        return DiskError(f"writing or reading {path} failed: {reason}")
    if code == _CANTOPEN and (shortage := file.shortage()) is not None:
        return DiskError(f"{path} cannot be opened: {shortage}")
    if code in _BAD_FILE:
        return DatabaseFileError(f"{path} {_BAD_FILE[code]}")
    return StorageError(f"{path}: {error}")


def identity(path: str) -> tuple[int, int] | None:
    """Which file has that name now."""
    try:
        status = os.stat(path)  # noqa: PTH116  # before each statement: a Path costs more
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _all_rows(raw: Any, sql: str, values: Values) -> list[Row]:
    # fetchall: a half-read RETURNING keeps the write lock.
    return raw.execute(sql, values).fetchall()  # type: ignore[no-any-return]


def _for_each(raw: Any, sql: str, rows: Sequence[Values]) -> None:
    raw.executemany(sql, rows)


class Connections:
    """The connections to one database: one for each thread, opened when it first asks."""

    def __init__(self) -> None:
        self._local = threading.local()

    def get(self, open_one: Callable[[], Connection]) -> Connection:
        """This thread's connection; *open_one* makes it where there is none that serves."""
        holder: _Holder | None = getattr(self._local, "holder", None)
        if holder is None or holder.connection.is_lost:
            holder = self._local.holder = _Holder(open_one())
        return holder.connection

    def give_up_when(self, is_impatient: Callable[[], bool]) -> None:
        """Until ``close``, ask this on this thread whether to wait no longer for a lock."""
        self._local.is_impatient = is_impatient

    def is_impatient(self) -> bool:
        """Whether this thread should wait no longer."""
        if context.is_within_transaction():
            return True
        asked: Callable[[], bool] | None = getattr(self._local, "is_impatient", None)
        return asked is not None and asked()

    def close(self) -> None:
        """Close this thread's connection, if it has one."""
        self._local.__dict__.clear()


class _Holder:
    """Lives as long as its thread and closes the connection then."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def __del__(self) -> None:
        self.connection.close()


# A connection must not be open across a fork. SQLite counts its locks for each process: a child
# that inherits an open connection, used or not, takes those counts for locks of its own, and what
# it then stores in a new connection can vanish when the parent closes the file. Closed in the child
# it would be too late: the parent may have been in the middle of a transaction. So before each fork
# every connection is closed, when its thread has ended its statement or transaction, and opened
# again by whoever needs it next. https://sqlite.org/howtocorrupt.html section 2.6
_registry: "weakref.WeakSet[Connection]" = weakref.WeakSet()
_registry_lock = threading.RLock()
_held_for_fork: list[Connection] = []


def _before_fork() -> None:
    _registry_lock.acquire()
    for connection in list(_registry):
        connection.in_use.acquire()
        _held_for_fork.append(connection)
        connection.close()


def _after_fork() -> None:
    while _held_for_fork:
        _held_for_fork.pop().in_use.release()
    _registry_lock.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
