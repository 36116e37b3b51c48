"""
The app's own connection, lent for a statement or two: they become part of its transaction.

Of whichever library it is, that is loaded already; none is imported here.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from litejobs.adapters.sqlite import drivers
from litejobs.adapters.sqlite.connection import READONLY, Row, in_our_words
from litejobs.adapters.sqlite.drivers import DriverName, Values
from litejobs.errors import TransactionError

if TYPE_CHECKING:
    from litejobs.adapters.sqlite.adapter import SqliteAdapter

T = TypeVar("T")
_TAKEN = (
    "a sqlite3.Connection, an SQLAlchemy Session or Connection, Django's connection, or, with "
    "SqliteAdapter(..., driver='apsw'), an apsw.Connection"
)
_LEGACY = -1  # https://docs.python.org/3/library/sqlite3.html#sqlite3.LEGACY_TRANSACTION_CONTROL


class Lender:
    """A bare connection of sqlite3 or apsw: nobody is told when it commits."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def enter(self) -> None:
        """What is executed next is part of the lender's transaction."""

    def ring(self, adapter: "SqliteAdapter") -> None:
        """Wake the workers on *adapter* once the open transaction is committed, or soon."""
        adapter.ring(soon=True)


class SqlAlchemyLender(Lender):
    """An SQLAlchemy Connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        super().__init__(connection.connection.driver_connection)

    def enter(self) -> None:
        if not self._connection.in_transaction():  # it commits only what it knows to have begun
            self._connection.begin()

    def ring(self, adapter: "SqliteAdapter") -> None:
        # The one event that comes for a Session too, but not for its savepoints: just before the
        # commit. One that listens already is not added again.
        event = sys.modules["sqlalchemy"].event
        event.listen(self._connection, "commit", adapter.ring_at_commit)


class DjangoLender(Lender):
    """Django's connection to one of its databases."""

    def __init__(self, wrapper: Any) -> None:
        self._wrapper = wrapper
        wrapper.validate_thread_sharing()
        wrapper.ensure_connection()
        super().__init__(wrapper.connection)

    def enter(self) -> None:
        self._wrapper.validate_no_broken_transaction()

    def ring(self, adapter: "SqliteAdapter") -> None:
        if self._wrapper.in_atomic_block:
            self._wrapper.on_commit(adapter.ring)
        else:
            super().ring(adapter)


def lender_of(connection: object) -> Lender | None:
    """What *connection* is, by the libraries that are loaded; None if it is of none of them."""
    if _is(connection, "sqlite3", "Connection") or _is(connection, "apsw", "Connection"):
        return Lender(connection)
    if _is(connection, "sqlalchemy.orm", "scoped_session"):
        connection = connection()  # type: ignore[operator]  # the Session of this thread
    if _is(connection, "sqlalchemy.orm", "Session"):
        connection = connection.connection()  # type: ignore[attr-defined]
    if _is(connection, "sqlalchemy.engine", "Connection"):
        return SqlAlchemyLender(connection)
    if _is(connection, "django.db", "DefaultConnectionProxy") or _is(
        connection, "django.utils.connection", "ConnectionProxy"
    ):
        alias = connection.alias  # type: ignore[attr-defined]
        connection = sys.modules["django.db"].connections[alias]
    if _is(connection, "django.db.backends.base.base", "BaseDatabaseWrapper"):
        return DjangoLender(connection)
    return None


def _is(value: object, module: str, name: str) -> bool:
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(value, kind)


class Borrowed:
    """
    The app's *connection*, checked to be one to the file of *adapter*.

    Raises TransactionError, here or from any statement, if it is not one that can do this: of
    another kind or file, closed, read-only; a StorageError as ever.
    """

    def __init__(self, connection: object, adapter: "SqliteAdapter") -> None:
        self.path = adapter.path
        self.has_admitted = False  #: as of a connection of ours
        self._driver = drivers.load(adapter.driver)
        try:
            lender = lender_of(connection)
        except Exception as error:
            raise TransactionError(f"the connection cannot be used: {error}") from error
        if lender is None:
            raise TransactionError(f"connection must be {_TAKEN}; got {type(connection).__name__}")
        self._lender = lender
        self._check_library(adapter.driver)
        self._check_file()

    def _check_library(self, driver: DriverName) -> None:
        for library in ("sqlite3", "apsw"):
            if _is(self._lender.raw, library, "Connection"):
                break
        else:
            raise TransactionError(
                f"under the connection is an {type(self._lender.raw).__qualname__}, not one of "
                f"sqlite3 or apsw; jobs are stored in {self.path}"
            )
        if library != driver:
            raise TransactionError(
                f"the connection is one of {library}, and two SQLite libraries on one file in one "
                f"process lose data: use SqliteAdapter(..., driver={library!r})"
            )

    def _check_file(self) -> None:
        """Only what is in one and the same file is committed together."""
        _, _, name = self.execute("PRAGMA database_list")[0]  # main is the first
        file = os.fsdecode(name)
        with suppress(FileNotFoundError):
            if file and os.path.samefile(file, self.path):  # noqa: PTH121  # a Path costs more
                return
        where = file or "a database in memory"
        raise TransactionError(
            f"the connection is to {where}, but jobs are stored in {self.path}: only what is in "
            "one file is committed together"
        )

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """
        All that is executed inside becomes part of the open transaction, or nothing of it.

        Where the library would begin one before a write, it is begun; else, where none is open, it
        is committed at the end.
        """
        self._lender.enter()
        begins = self._begins_by_itself()
        if begins:
            self.execute(f"BEGIN {self._lender.raw.isolation_level}")
        self.execute("SAVEPOINT litejobs")
        try:
            yield
            self.execute("RELEASE litejobs")
        except BaseException:
            with suppress(Exception):  # SQLite may have rolled back by itself
                self.execute("ROLLBACK TO litejobs")
                self.execute("RELEASE litejobs")
            if begins:
                self.roll_back()
            raise

    def _begins_by_itself(self) -> bool:
        raw = self._lender.raw
        return (
            not raw.in_transaction
            and getattr(raw, "autocommit", _LEGACY) == _LEGACY
            and getattr(raw, "isolation_level", None) is not None
        )

    def execute(self, sql: str, values: Values = ()) -> list[Row]:
        """Run one statement; return all its rows, as tuples."""
        return self._run(lambda raw: self._driver.cursor(raw).execute(sql, values).fetchall())

    def settle(self, sql: str, values: Values) -> list[Row]:
        """As ``execute``, of a statement that returns each row that it changes."""
        before = self._run(self._driver.changes)
        rows = self.execute(sql, values)
        self.has_admitted |= self._run(self._driver.changes) - before > len(rows)
        return rows

    def insert(self, sql: str, values: Values) -> int:
        """Run an INSERT of one row; return the row's id."""
        return self._run(lambda raw: self._driver.insert(raw, sql, values))

    def execute_many(self, sql: str, rows: Sequence[Values]) -> None:
        """Run one statement, which returns nothing, for each of *rows*."""
        self._run(lambda raw: self._driver.cursor(raw).executemany(sql, rows))

    def ring(self, adapter: "SqliteAdapter") -> None:
        """Wake the workers when they can see what was stored."""
        if self._lender.raw.in_transaction:
            self._lender.ring(adapter)
        else:
            adapter.ring()

    def roll_back(self) -> None:
        """End the open transaction, if one is open, without effect. Never fails."""
        with suppress(Exception):  # it is closed, or another thread's
            if self._lender.raw.in_transaction:
                self.execute("ROLLBACK")

    def _run(self, how: Callable[[Any], T]) -> T:
        try:
            return how(self._lender.raw)
        except self._driver.error as error:
            code = self._driver.code_of(error)
            if code is None or code == READONLY:
                raise TransactionError(f"the connection cannot be used: {error}") from error
            if "no such table" in str(error):
                raise TransactionError(
                    f"the transaction began before {self.path} had its table of jobs: call "
                    "adapter.open() when the app starts"
                ) from error
            raise in_our_words(error, code, self.path) from error
