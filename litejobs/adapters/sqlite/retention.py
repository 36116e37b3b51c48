"""Sweeps out jobs that have been kept long enough: by small batches, so that others can write."""

import json
from typing import TYPE_CHECKING

from litejobs import defaults
from litejobs.retention import Keep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from litejobs.adapters.sqlite.adapter import SqliteAdapter

_LAST_ID = 2**63 - 1
Place = tuple[int, int]  # in the order in which jobs ended: a time (milliseconds), and an id
_BEGINNING = (-(2**63), 0)
_NUMBERS = {"unloadable": 3, "succeeded": 4, "failed": 5, "cancelled": 6}


class Sweep:
    """
    Deletes what its adapter's retention no longer keeps, and what was to stay for so long only.

    Jobs that say themselves how long they stay are passed over by the retention; up to where that
    was done is remembered, so that it is not done again and again.
    """

    def __init__(self, adapter: "SqliteAdapter") -> None:
        self._adapter = adapter
        self._looked_up_to: dict[str, Place] = {}

    def run(self) -> bool:
        """Look once, and delete a batch; whether there may be more."""
        # Those that go by themselves first, for they are not to be counted.
        return self._expired() or any(
            self._old(state, keep) for state, keep in self._adapter.retention.items()
        )

    def _old(self, state: str, keep: Keep) -> bool:
        look = self._unloadable if state == "unloadable" else self._finished
        return look(state, keep)

    def _expired(self) -> bool:
        now = self._adapter.clock.now()
        rows = self._execute(self._adapter.sql.expired, now=now)
        return self._delete([id_ for (id_,) in rows], now)

    def _finished(self, state: str, keep: Keep) -> bool:
        last = self._last_too_many(state, keep)
        if last is None:
            return False
        after = self._looked_up_to.get(state, _BEGINNING)
        if after > last:  # the clock was set back: jobs may have ended before those looked at
            after = _BEGINNING
        rows = self._execute(
            self._adapter.sql.aged, state=_NUMBERS[state],
            after=after[0], after_id=after[1], before=last[0], before_id=last[1],
        )  # fmt: skip
        if not rows:
            return False
        self._delete([id_ for id_, _, is_ours in rows if is_ours], last[0])
        self._looked_up_to[state] = rows[-1][1], rows[-1][0]
        return len(rows) == defaults.CHANGE_BATCH

    def _last_too_many(self, state: str, keep: Keep) -> Place | None:
        """The last job, in the order in which they ended, that is too old or one too many."""
        places = []
        if (before := keep.ended_before(self._adapter.clock.now())) is not None:
            places.append((before, _LAST_ID))
        if keep.count is not None:
            values = {"state": _NUMBERS[state], "count": keep.count}
            places += self._adapter.connection.execute(self._adapter.sql.last_but, values)
        return max(places, default=None)

    def _unloadable(self, state: str, keep: Keep) -> bool:
        before = keep.ended_before(self._adapter.clock.now())
        if before is None:
            return False
        more = False
        for number, queue in self._adapter.connection.execute(self._adapter.sql.places):
            if number == _NUMBERS[state]:
                rows = self._execute(self._adapter.sql.aged_unloadable, queue=queue, before=before)
                more |= self._delete([id_ for (id_,) in rows], before)
        return more

    def _execute(self, statement: str, **values: object) -> "list[tuple[int, ...]]":
        values["limit"] = defaults.CHANGE_BATCH
        return self._adapter.connection.execute(statement, values)

    def _delete(self, ids: "Sequence[int]", before: int) -> bool:
        """Delete them, if they still are what they were; whether that was a whole batch."""
        if ids:
            # What a power cut brings back is swept out once more: no need to wait for the disk.
            self._adapter.connection.synchronise(durable=False)
            values = {"ids": json.dumps(ids), "before": before}
            self._adapter.connection.execute(self._adapter.sql.sweep, values)
        return len(ids) == defaults.CHANGE_BATCH
