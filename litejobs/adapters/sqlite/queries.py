import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

_RECORD = """
  id, state, CAST(queue AS BLOB), priority, run_at, attempts, locked_at, CAST(locked_by AS BLOB),
  CAST(last_error AS BLOB), failed_at, finished_at, created_at, updated_at, CAST(progress AS BLOB),
  cancel_at, CAST(limit_key AS BLOB), CAST(handler AS BLOB)
"""
_SCHEDULE = """
  CAST(cron AS BLOB), CAST(timezone AS BLOB), every, missed, catch_up, overlap, jitter,
  CAST(handler AS BLOB), CAST(queue AS BLOB), priority, CAST(unique_key AS BLOB), key_policy,
  key_period, CAST(limit_key AS BLOB), limit_max
"""
_NAMED = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


class Queries:
    """The statements of a file for one table of jobs, as attributes by their names."""

    def __init__(self, table: str, file: str = "queries.sql") -> None:
        self.table = table
        for name, body in named(file).items():
            parts = {"table": table, "record": _RECORD, "schedule": _SCHEDULE}
            setattr(self, name, body.format_map(parts).strip().rstrip(";"))

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> str: ...


def named(file: str) -> dict[str, str]:
    """The statements of a file beside this, by the names that stand above them."""
    _, *parts = _NAMED.split(_text(file))
    return dict(zip(parts[::2], parts[1::2], strict=True))


def schema(table: str) -> list[str]:
    """The statements that make the table, its indexes and its view."""
    return [part.format(table=table) for part in _text("schema.sql").split(";\n") if part.strip()]


@cache
def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text("utf-8")
