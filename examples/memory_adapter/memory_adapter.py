"""
An adapter of one's own: jobs in memory that all processes of one machine share.

The jobs are one JSON document in a file of the system's shared memory, changed under a lock.
Simple, and fast for a few thousand jobs; a restart of the machine forgets them.
"""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from litejobs import BaseAdapter, Clock, NewJob, StoredJob, SystemClock

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # not on every system: there, ordinary temporary files
FIELDS = ("id", "queue", "priority", "run_at", "attempts", "locked_by", "handler")


@dataclass
class Memory:
    """What is shared. An id is never used again, so that it names one job for ever."""

    next_id: int = 1
    rows: list[dict[str, Any]] = field(default_factory=list)


class MemoryAdapter(BaseAdapter):
    """Jobs in shared memory; every adapter of this user with the same *name* has the same."""

    def __init__(self, name: str, *, clock: Clock | None = None) -> None:
        place = SHARED_MEMORY if SHARED_MEMORY.is_dir() else Path(tempfile.gettempdir())
        directory = place / f"litejobs-{os.getuid()}"
        directory.mkdir(mode=0o700, exist_ok=True)
        if directory.is_symlink() or directory.stat().st_uid != os.getuid():
            raise PermissionError(f"{directory} was made by somebody else")
        self.file = directory / f"{name}.json"
        self.run_directory = str(directory / f"{name}.run")  # idle workers are woken there
        self.clock = clock or SystemClock()

    def describe(self) -> str:
        return f"shared memory ({self.file})"

    def schedule(self, jobs: Sequence[NewJob]) -> list[int]:
        with self._memory() as memory:
            ids = list(range(memory.next_id, memory.next_id + len(jobs)))
            memory.next_id += len(jobs)
            memory.rows += [
                {"id": id_, "state": "waiting", "queue": job.queue, "priority": job.priority,
                 "run_at": job.run_at, "handler": job.handler, "attempts": 0,
                 "locked_by": "", "locked_at": 0, "last_error": None}
                for id_, job in zip(ids, jobs, strict=True)
            ]  # fmt: skip
        self.ring()
        return ids

    def find(
        self, *, worker: str, queues: Sequence[str], max_runtime: float, limit: int = 1
    ) -> list[StoredJob]:
        now = self.clock.now()
        with self._memory() as memory:
            for row in memory.rows:
                # Nothing here tells whether a worker lives: one that takes too long is given up.
                if row["state"] == "running" and row["locked_at"] + 1000 * max_runtime <= now:
                    row["state"] = "waiting"
            due = [
                row
                for row in memory.rows
                if row["state"] == "waiting"
                and row["run_at"] <= now
                and self.takes(queues, row["queue"])
            ]
            due = sorted(due, key=lambda row: (row["priority"], row["run_at"], row["id"]))[:limit]
            for row in due:
                row["attempts"] += 1
                row |= {"state": "running", "locked_by": worker, "locked_at": now}
            return [StoredJob(**{key: row[key] for key in FIELDS}) for row in due]

    # What is kept stays: *keep*, the seconds for which it has to, is for storage that sweeps; and
    # *result* for one that has a place for it.

    def success(
        self,
        job: StoredJob,
        *,
        delete: bool,
        keep: float | None = None,  # noqa: ARG002
        result: str | None = None,  # noqa: ARG002
    ) -> bool:
        return self._settle(job, state="deleted" if delete else "succeeded")

    def error(self, job: StoredJob, error: str, run_at: int) -> bool:
        return self._settle(job, state="waiting", last_error=error, run_at=run_at)

    def failure(
        self,
        job: StoredJob,
        error: str,
        *,
        delete: bool,
        keep: float | None = None,  # noqa: ARG002
    ) -> bool:
        return self._settle(job, state="deleted" if delete else "failed", last_error=error)

    def clear(self) -> int:
        with self._memory() as memory:
            count = len(memory.rows)
            memory.rows.clear()
            return count

    # Storage may do without these; with them, a job that never ran spends no attempt.

    def unloadable(self, job: StoredJob, error: str) -> bool:
        return self._settle(job, state="unloadable", last_error=error, attempts=job.attempts - 1)

    def release(self, job: StoredJob) -> bool:
        return self._settle(job, state="waiting", attempts=job.attempts - 1)

    def reload(self) -> int:
        with self._memory() as memory:
            waiting = [row for row in memory.rows if row["state"] == "unloadable"]
            for row in waiting:
                row["state"] = "waiting"
            return len(waiting)

    def _settle(self, job: StoredJob, **changes: Any) -> bool:
        """Change the row if it is still that worker's, in that attempt."""
        mine = {"id": job.id, "state": "running", "locked_by": job.locked_by,
                "attempts": job.attempts}  # fmt: skip
        with self._memory() as memory:
            found = [row for row in memory.rows if mine.items() <= row.items()]
            for row in found:
                row.update(changes)
            memory.rows = [row for row in memory.rows if row["state"] != "deleted"]
            return bool(found)

    @contextmanager
    def _memory(self) -> Iterator[Memory]:
        """What is shared, for one thread of one process at a time; changes are kept together."""
        with self.file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            memory = Memory(**json.loads(self.file.read_text())) if self.file.exists() else Memory()
            yield memory
            draft = self.file.with_suffix(".new")
            draft.write_text(json.dumps(vars(memory)))
            draft.replace(self.file)  # a reader sees all of it or none
