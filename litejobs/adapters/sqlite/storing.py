"""Putting jobs into the table, in whoever's transaction is open."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Protocol

from litejobs.adapters.sqlite.connection import Row
from litejobs.adapters.sqlite.drivers import Values
from litejobs.adapters.sqlite.limits import Limits
from litejobs.adapters.sqlite.queries import Queries
from litejobs.adapters.sqlite.rows import limited_row, new_row, text
from litejobs.errors import DuplicateJobError, StorageError
from litejobs.job import Kept, NewJob

_LIMIT_KEY = attrgetter("limit_key")


class Writes(Protocol):
    """A connection of ours, or a borrowed one."""

    @property
    def path(self) -> str:
        """Of the database."""
        ...

    def execute(self, sql: str, values: Values = ...) -> list[Row]:
        """Run one statement; return all its rows."""
        ...

    def insert(self, sql: str, values: Values) -> int:
        """Run an INSERT of one row; return the row's id."""
        ...

    def execute_many(self, sql: str, rows: Sequence[Values]) -> None:
        """Run one statement, which returns nothing, for each of *rows*."""
        ...


def have_limits(jobs: Sequence[NewJob]) -> bool:
    """Whether one of *jobs* has a limit."""
    return any(map(_LIMIT_KEY, jobs))


def store(
    connection: Writes, sql: Queries, limits: Limits, jobs: Sequence[NewJob], now: int
) -> list[int]:
    """Insert *jobs*, one or more, in the open transaction; return their ids."""
    rows: list[Sequence[Any]]
    if not have_limits(jobs):
        rows = [new_row(job, now) for job in jobs]
        return _insert_all(connection, sql, sql.schedule, rows)
    rows = [limited_row(job, now) for job in jobs]
    ids = _insert_all(connection, sql, sql.schedule_limited, rows)
    keys = {job.limit_key for job in jobs if job.limit_key is not None and job.run_at <= now}
    limits.balance(connection, sorted(keys))
    return ids


def store_unique(connection: Writes, sql: Queries, limits: Limits, job: NewJob, now: int) -> Kept:
    """
    Store a job that has a key, or find the one that is there, in the open transaction.

    Who has the write lock sees all that others have stored. Raises DuplicateJobError where that is
    the policy of the key.
    """
    assert job.unique is not None
    key, policy, period = job.unique
    state, queue, priority, run_at, *_, handler = new_row(job, now)
    values = {
        "state": state, "queue": queue, "priority": priority, "run_at": run_at, "now": now,
        "handler": handler, "key": key, "period": period,
        "limit_key": job.limit_key, "limit_max": job.limit_max,
    }  # fmt: skip
    limited = {job.limit_key}
    rows: list[Row] = []
    if policy == "replace":
        limited |= {text(name) for (name,) in connection.execute(sql.limit_with_key, {"key": key})}
        rows = connection.execute(sql.replace_unique, values)
    rows = rows or connection.execute(sql.schedule_unique, values)
    if rows:
        limits.balance(connection, sorted(name for name in limited if name is not None))
        return Kept(rows[0][0], is_new=True)
    [(id_,)] = connection.execute(sql.with_key, {"key": key, "now": now})
    if policy == "raise":
        raise DuplicateJobError(f"a job with the key {key!r} is there already: {id_}")
    return Kept(id_, is_new=False)


def _insert_all(
    connection: Writes, sql: Queries, statement: str, rows: Sequence[Sequence[Any]]
) -> list[int]:
    first = last = connection.insert(statement, rows[0])
    if len(rows) > 1:
        connection.execute_many(statement, rows[1:-1])
        last = connection.insert(statement, rows[-1])
    # Ids rise, https://sqlite.org/autoinc.html: where there are as many as rows, all are ours.
    if last - first != len(rows) - 1:
        raise StorageError(
            f"{connection.path}: a trigger stores more jobs in {sql.table}, so that the ids of "
            "many are not known; nothing was stored, store them one by one"
        )
    return list(range(first, last + 1))
