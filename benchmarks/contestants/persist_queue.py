"""persist-queue: https://github.com/peter-wangxu/persist-queue. Data only: the loop is ours."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.contestants.base import (
    FULL,
    IN_THREADS,
    Contestant,
    Workers,
    count_rows,
    perform,
    run_in_threads,
)

CLEAR_EVERY = 1000  # acknowledged items stay until then, and every get looks past them


class PersistQueue(Contestant):
    """SQLiteAckQueue: ``get``, run, ``ack``; its docs know one process at a time."""

    name = "persist-queue"
    distribution = "persist-queue"
    module = "persistqueue"
    durabilities: ClassVar = {"full": FULL}
    setting = (
        f"SQLiteAckQueue, `multithreading=True`; a loop of `get`, run, `ack`, with "
        f"`clear_acked_data` after {CLEAR_EVERY}; threads of one process only"
    )
    kinds = IN_THREADS
    waits = IN_THREADS
    is_shared = False
    delays = False
    first = (
        "from persistqueue import SQLiteAckQueue\nSQLiteAckQueue('{directory}').put('nothing')\n"
    )

    def __init__(self, directory: Path, durability: str) -> None:
        from persistqueue import SQLiteAckQueue

        self.queue = SQLiteAckQueue(str(directory), multithreading=True)

    def enqueue(self, job: str, args: Sequence[Any], wait: float | None = None) -> None:
        self.queue.put((job, args))

    def work(self, workers: Workers) -> None:
        run_in_threads(self.loop, workers.count)

    def start_beside(self) -> None:
        threading.Thread(target=self.loop, daemon=True).start()

    def loop(self) -> None:
        """What its docs show."""
        done = 0
        while True:
            item = self.queue.get(raw=True)
            perform(*item["data"])
            self.queue.ack(id=item["pqid"])
            done += 1
            if done % CLEAR_EVERY == 0:
                self.queue.clear_acked_data(max_delete=2 * CLEAR_EVERY, keep_latest=0)

    @classmethod
    def unsettled(cls, directory: Path) -> int:
        return count_rows(
            directory / "data.db", "SELECT count(*) FROM ack_queue_default WHERE status < 5"
        )
