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

        def filled(name: str, **words: str) -> str:
            return parts[name].format_map({"table": table, "schema": schema} | words).strip()

        def moves(key: str, table: str) -> dict[str, str]:
            words = {"key": key, "table": table}
            words["beyond"] = filled("beyond", **words)
            return {name: filled(name, **words) for name in ("hold", "admit")}

        self._are_kept = filled("are_kept")
        self._makers = (
            filled("index"),
            filled("index_of_limits"),
            filled("on_update", **moves("NEW.limit_key", table)),
            filled("on_delete", **moves("OLD.limit_key", table)),
        )
        self._balance = tuple(moves(":key", f"{schema}{table}").values())

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
