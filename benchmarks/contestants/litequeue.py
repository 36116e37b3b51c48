"""litequeue: https://github.com/litements/litequeue. A queue of messages: the loop is ours."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.contestants.base import (
    FULL,
    NORMAL,
    NOWHERE,
    Contestant,
    Workers,
    count_rows,
    perform,
    run_in_threads,
)

PRUNE_EVERY = 1000  # done messages stay until then, and every pop looks past them


class Litequeue(Contestant):
    """LiteQueue: ``pop``, run, ``done``; a connection for each thread."""

    name = "litequeue"
    distribution = "litequeue"
    module = "litequeue"
    durabilities: ClassVar = {"full": FULL, "normal": NORMAL}
    setting = f"a loop of `pop`, run, `done`, with `prune` after {PRUNE_EVERY}; its own pragmas"
    waits = NOWHERE
    delays = False
    first = "from litequeue import LiteQueue\nLiteQueue('{directory}/jobs.sqlite').put('nothing')\n"

    def __init__(self, directory: Path, durability: str) -> None:
        self.file, self.durability = directory / "jobs.sqlite", durability
        self.queue = self.open()

    def open(self) -> Any:
        """One more connection."""
        from litequeue import LiteQueue

        queue = LiteQueue(self.file)
        queue.conn.execute(f"PRAGMA synchronous = {self.durability}")
        return queue

    def enqueue(self, job: str, args: Sequence[Any], wait: float | None = None) -> None:
        self.queue.put(json.dumps([job, args]))

    def enqueue_many(self, job: str, args_list: Sequence[Sequence[Any]]) -> None:
        with self.queue.transaction():
            for args in args_list:
                self.queue.put(json.dumps([job, args]))

    def work(self, workers: Workers) -> None:
        run_in_threads(self.loop, workers.count)

    def loop(self) -> None:
        """What its docs show."""
        queue, done = self.open(), 0
        while True:
            message = queue.pop()
            if message is None:
                time.sleep(0.01)
                continue
            perform(*json.loads(message.data))
            queue.done(message.message_id)
            done += 1
            if done % PRUNE_EVERY == 0:
                queue.prune()

    @classmethod
    def unsettled(cls, directory: Path) -> int:
        return count_rows(
            directory / "jobs.sqlite", "SELECT count(*) FROM Queue WHERE status IN (0, 1)"
        )
