"""Which jobs come next, of which queues."""

import json
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

from litejobs import defaults
from litejobs.adapters.sqlite.rows import name, stored_job, stored_name, text
from litejobs.job import Find, StoredJob
from litejobs.rules.queues import takes

if TYPE_CHECKING:
    from litejobs.adapters.sqlite.adapter import SqliteAdapter

_PLACE_IN_LINE = attrgetter("priority", "run_at", "id")


class Finding:
    """Finds jobs of an adapter, and says which there are to be found."""

    def __init__(self, adapter: "SqliteAdapter") -> None:
        self._adapter = adapter
        self._sql = adapter.sql

    def promote(self, now: int) -> None:
        """Scheduled jobs that are due become ready, in the open transaction."""
        values = {"now": now, "limit": defaults.PROMOTION_BATCH}
        self._adapter.connection.execute(self._sql.promote, values)

    def lock(self, find: Find, now: int) -> list[StoredJob]:
        """The first in line that *find* asks for, locked in the open transaction."""
        values = {"now": now, "worker": find.worker, "limit": find.limit}
        match self._names(find.queues):
            case []:
                return []
            case [queue]:
                values["queue"] = stored_name(queue)
                rows = self._adapter.connection.execute(self._sql.find, values)
            case names:
                values["queues"] = _listed(names)
                rows = self._adapter.connection.execute(self._sql.find_among, values)
        found = [stored_job(row) for row in rows]
        found.sort(key=_PLACE_IN_LINE)
        return found

    def is_due(self, queues: Iterable[str]) -> bool:
        """Whether a job of *queues* is ready, or any is due to become so; takes no write lock."""
        selection = set(queues)
        connection = self._adapter.connection
        are_all = selection == {defaults.WORK_QUEUE}
        if are_all:
            [(ready, next_run_at, paused)] = connection.execute(self._sql.look_at_all)
        if not are_all or (ready and paused):
            values = {"queues": _listed(self._names(selection))}
            [(ready, next_run_at)] = connection.execute(self._sql.look, values)
        return bool(ready) or (next_run_at is not None and next_run_at <= self._adapter.clock.now())

    def next_run_at(self) -> int | None:
        """When the next scheduled job is due."""
        [(run_at,)] = self._adapter.connection.execute(self._sql.next_run_at)
        return run_at  # type: ignore[no-any-return]

    def paused(self) -> list[str]:
        """The queues that are paused, sorted."""
        rows = self._adapter.connection.execute(self._sql.paused)
        return [text(queue) for (queue,) in rows]

    def count_due(self, queues: Iterable[str]) -> int:
        """How many jobs of *queues* could be run now."""
        paused = self.paused()
        return self._count([one for one in self._stored(queues) if not takes(paused, one)])

    def held_back(self, queues: Iterable[str]) -> dict[str, int]:
        """How many jobs of *queues* could be run now, were their queue not paused; by queue."""
        paused = self.paused()
        names = [one for one in self._stored(queues) if takes(paused, one)] if paused else []
        numbers = {one: self._count([one]) for one in names}
        return {one: number for one, number in numbers.items() if number}

    def _names(self, queues: Iterable[str]) -> Sequence[str]:
        """The queues, none twice; "*" are all that have ready jobs, but for the exceptions."""
        names = sorted(set(queues))
        if defaults.WORK_QUEUE not in names:
            return names
        [(present,)] = self._adapter.connection.execute(self._sql.present)
        return [one for one in json.loads(name(present)) if takes(names, one)]

    def _stored(self, queues: Iterable[str]) -> list[str]:
        """Those of *queues* that have jobs."""
        places = self._adapter.connection.execute(self._sql.places)
        return sorted({one for _, queue in places if takes(queues, one := name(queue))})

    def _count(self, names: Sequence[str]) -> int:
        values = {"queues": _listed(names), "now": self._adapter.clock.now()}
        [(number,)] = self._adapter.connection.execute(self._sql.count_due, values)
        return number  # type: ignore[no-any-return]


def _listed(names: Sequence[str]) -> bytes:
    """Queues, as ``name`` gives them, for a statement."""
    return stored_name(json.dumps(names, ensure_ascii=False))
