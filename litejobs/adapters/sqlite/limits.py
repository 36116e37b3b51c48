"""
How many jobs of one key are ready or running at most, whatever happens to them.

Triggers see to it, in the transaction of whoever settles, retries, cancels or deletes a job. They
and their index are made when the first job with a limit is stored: a database without limits has
none, for each would cost every job some tenths of a microsecond.
"""

from collections.abc import Iterable
from typing import Protocol

from litejobs.adapters.sqlite.connection import Row
from litejobs.adapters.sqlite.drivers import Values
from litejobs.adapters.sqlite.queries import named


class Executes(Protocol):
    """A connection, of ours or a borrowed one."""

    def execute(self, sql: str, values: Values = ...) -> list[Row]:
        """Run one statement; return all its rows."""
        ...


class Limits:
    """The statements that keep the limits of one table."""

    def __init__(self, table: str, schema: str = "") -> None:
        """*schema* with a dot, where that of another may have a table of this name too."""
        parts = named("limits.sql")

        def filled(name: str, key: str = "", **others: str) -> str:
            return parts[name].format_map({"table": table, "key": key} | others).strip()

        def trigger(name: str, key: str) -> str:
            body = {"hold": filled("hold", key), "admit": filled("admit", key)}
            return filled(name, schema=schema, **body)

        self._are_kept = filled("are_kept")
        self._makers = (
            filled("index", schema=schema),
            trigger("on_update", "NEW.limit_key"),
            trigger("on_delete", "OLD.limit_key"),
        )
        whole = f"{schema}{table}"
        self._balance = tuple(filled(name, ":key", table=whole) for name in ("hold", "admit"))

    def are_kept(self, connection: Executes) -> bool:
        """Whether they are, whoever changes the table."""
        return connection.execute(self._are_kept) == [(1,)]

    def keep(self, connection: Executes) -> None:
        """From now on keep them; in a transaction."""
        for statement in self._makers:
            connection.execute(statement)

    def balance(self, connection: Executes, keys: Iterable[str]) -> None:
        """Jobs of *keys* have been stored as ready, in the open transaction: some may wait."""
        for key in keys:
            for statement in self._balance:
                connection.execute(statement, {"key": key})
