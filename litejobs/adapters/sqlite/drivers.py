"""
The two SQLite libraries, each as what a connection needs of it.

The standard library's ``sqlite3`` serves wherever user code lives, ``apsw`` where only ours does:
two SQLite libraries on one file in one process drop each other's POSIX locks and lose data, see
https://sqlite.org/howtocorrupt.html section 2.2. Across processes they are safe.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter, methodcaller
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from litejobs.errors import ConfigurationError

if TYPE_CHECKING:
    import sqlite3

DriverName = Literal["sqlite3", "apsw"]
Values = Mapping[str, Any] | Sequence[Any]


class Driver(NamedTuple):
    """What differs between the libraries."""

    error: type[Exception]
    code_of: Callable[[Any], int | None]  #: the primary result code of an error
    connect: Callable[[str], Any]
    insert: Callable[[Any, str, Values], int]  #: run an INSERT; the row's id
    cursor: Callable[[Any], Any]  #: one that gives tuples, on a connection that may give others
    changes: Callable[[Any], int]  #: rows changed so far, those by triggers included


def load(name: DriverName) -> Driver:
    """The library of that name, loaded when it is first asked for."""
    if name == "sqlite3":
        import sqlite3  # noqa: PLC0415  # which a runner does not need

        return Driver(
            sqlite3.Error,
            _standard_code,
            _connect_standard,
            _insert_standard,
            _cursor_standard,
            attrgetter("total_changes"),
        )
    if name == "apsw":
        import apsw  # noqa: PLC0415  # only where no user code lives

        return Driver(
            apsw.Error,
            _apsw_code,
            _connect_apsw,
            _insert_apsw,
            _cursor_apsw,
            methodcaller("total_changes"),
        )
    raise ConfigurationError(f"driver must be 'sqlite3' or 'apsw', got {name!r}")


def _standard_code(error: "sqlite3.Error") -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _apsw_code(error: Any) -> int | None:
    code = getattr(error, "result", None)
    return None if code is None else code & 0xFF


def _connect_standard(path: str) -> "sqlite3.Connection":
    import sqlite3  # noqa: PLC0415  # loaded by now

    if sqlite3.sqlite_version_info < (3, 37):
        raise ConfigurationError(
            f"the SQLite of this Python is {sqlite3.sqlite_version}, litejobs needs 3.37: "
            "use SqliteAdapter(..., driver='apsw')"
        )
    escaped = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return sqlite3.connect(
        f"file:{escaped}?mode=rw",  # https://sqlite.org/uri.html: rw does not create
        uri=True,
        timeout=0,
        isolation_level=None,
        check_same_thread=False,  # used by one thread, but closed when that has ended
    )


def _connect_apsw(path: str) -> Any:
    import apsw  # noqa: PLC0415

    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
    # apsw's SQLite has STAT4: without this it looks at bound values and prepares a statement anew
    # for each of them, which takes longer than to run it. https://sqlite.org/queryplanner-ng.html#qpsg
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    return connection


def _insert_standard(raw: "sqlite3.Connection", sql: str, values: Values) -> int:
    return raw.execute(sql, values).lastrowid  # type: ignore[return-value]


def _cursor_standard(raw: "sqlite3.Connection") -> "sqlite3.Cursor":
    cursor = raw.cursor()
    cursor.row_factory = None
    return cursor


def _cursor_apsw(raw: Any) -> Any:
    cursor = raw.cursor()
    cursor.row_trace = lambda _, row: row
    return cursor


def _insert_apsw(raw: Any, sql: str, values: Values) -> int:
    raw.execute(sql, values)
    return raw.last_insert_rowid()  # type: ignore[no-any-return]
