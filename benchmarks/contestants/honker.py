"""honker: https://honker.dev. An extension of SQLite written in Rust, with its own Python face."""

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.contestants.base import NORMAL, Contestant, Workers, count_rows
from benchmarks.jobs import JOBS


class Honker(Contestant):
    """Its tasks, run by its workers."""

    name = "honker"
    distribution = "honker"
    module = "honker"
    durabilities: ClassVar = {"normal": NORMAL}
    setting = "tasks of a queue, `run_workers`, as it comes; full durability is not offered"
    delays = False
    first = "import honker\nhonker.open('{directory}/jobs.sqlite').queue('default').enqueue({{}})\n"

    def __init__(self, directory: Path, durability: str) -> None:
        import honker

        self.database = honker.open(str(directory / "jobs.sqlite"))
        queue = self.database.queue("default")
        self.tasks = {name: queue.task(name=name)(job) for name, job in JOBS.items()}

    def enqueue(self, job: str, args: Sequence[Any], wait: float | None = None) -> None:
        self.tasks[job](*args)

    def work(self, workers: Workers) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        asyncio.run(self.database.run_workers(queue="default", concurrency=workers.count))

    @classmethod
    def unsettled(cls, directory: Path) -> int:
        return count_rows(directory / "jobs.sqlite", "SELECT count(*) FROM _honker_live")
