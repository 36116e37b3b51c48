"""Storing jobs with keys."""

from collections.abc import Callable, Mapping
from typing import Any

from litejobs.adapters.sqlite.connection import Row
from litejobs.adapters.sqlite.queries import Queries
from litejobs.adapters.sqlite.rows import new_row
from litejobs.errors import DuplicateJobError
from litejobs.job import Kept, NewJob

Execute = Callable[[str, Mapping[str, Any]], list[Row]]


def store(execute: Execute, sql: Queries, job: NewJob, now: int) -> Kept:
    """
    Store a job that has a key, or find the one that is there.

    Inside of a transaction: who has the write lock sees all that others have stored.

    Raises DuplicateJobError where that is the policy of the key.
    """
    assert job.unique is not None
    state, queue, priority, run_at, *_, handler = new_row(job, now)
    key, policy, period = job.unique
    values = {
        "state": state, "queue": queue, "priority": priority, "run_at": run_at, "now": now,
        "handler": handler, "key": key, "period": period,
    }  # fmt: skip
    rows = execute(sql.replace_unique, values) if policy == "replace" else []
    rows = rows or execute(sql.schedule_unique, values)
    if rows:
        return Kept(rows[0][0], is_new=True)
    [(id_,)] = execute(sql.with_key, {"key": key, "now": now})
    if policy == "raise":
        raise DuplicateJobError(f"a job with the key {key!r} is there already: {id_}")
    return Kept(id_, is_new=False)
