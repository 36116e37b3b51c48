"""litejobs itself, by its public face."""

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.contestants.base import FULL, NORMAL, Contestant, Workers, count_rows


class Litejobs(Contestant):
    """An app with a JobManager; its workers are ``litejobs work`` or background threads."""

    name = "litejobs"
    distribution = "litejobs"
    module = "litejobs"
    durabilities: ClassVar = {"full": FULL, "normal": NORMAL}
    setting = "as it comes; `litejobs work --log-level warning`, or `start_background_worker()`"
    first = (
        "import litejobs\n"
        "litejobs.configure(database='{directory}/jobs.sqlite')\n"
        "from litejobs import later\n"
        "def nothing(): ...\n"
        "later(nothing)\n"
    )

    def __init__(self, directory: Path, durability: str) -> None:
        from benchmarks import app

        self.app = app

    def enqueue(self, job: str, args: Sequence[Any], wait: float | None = None) -> None:
        self.app.later(self.app.declared[job], args, wait=wait)

    def enqueue_many(self, job: str, args_list: Sequence[Sequence[Any]]) -> None:
        self.app.later.many(self.app.declared[job], args_list)

    def work(self, workers: Workers) -> None:
        self.app.jobs.start_background_worker()
        threading.Event().wait()

    def start_beside(self) -> None:
        self.app.jobs.start_background_worker()

    @classmethod
    def commands(cls, workers: Workers) -> list[list[str]]:
        if workers.kind == "thread":
            return super().commands(workers)
        command = [sys.executable, "-m", "litejobs", "work", "--app", "benchmarks.app:jobs"]
        return [[*command, "--log-level", "warning"]]

    @classmethod
    def unsettled(cls, directory: Path) -> int:
        return count_rows(directory / "jobs.sqlite", "SELECT count(*) FROM background_jobs")
