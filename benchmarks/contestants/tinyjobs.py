"""tinyjobs: https://github.com/Piergiuseppe/tinyjobs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.contestants.base import NORMAL, Contestant, Workers, count_rows
from benchmarks.jobs import JOBS


class Tinyjobs(Contestant):
    """A TinyJobs app on SQLite; a worker runs jobs on threads."""

    name = "tinyjobs"
    distribution = "tinyjobs"
    module = "tinyjobs"
    durabilities: ClassVar = {"normal": NORMAL}
    setting = "as it comes: looks after 5 ms, growing to 0.5 s; full durability is not offered"
    looks = 0.5
    first = (
        "from tinyjobs import TinyJobs\n"
        "app = TinyJobs('sqlite:///{directory}/jobs.sqlite')\n"
        "@app.task\n"
        "def nothing(): ...\n"
        "nothing.enqueue()\n"
    )

    def __init__(self, directory: Path, durability: str) -> None:
        from tinyjobs import TinyJobs

        self.app = TinyJobs(f"sqlite:///{directory / 'jobs.sqlite'}")
        self.tasks = {name: self.app.task(job) for name, job in JOBS.items()}

    def enqueue(self, job: str, args: Sequence[Any], wait: float | None = None) -> None:
        task = self.tasks[job]
        (task if wait is None else task.with_options(delay=wait)).enqueue(*args)

    def work(self, workers: Workers) -> None:
        import threading

        is_main = threading.current_thread() is threading.main_thread()
        self.app.worker(concurrency=workers.count, handle_signals=is_main).run()

    @classmethod
    def unsettled(cls, directory: Path) -> int:
        return count_rows(
            directory / "jobs.sqlite",
            "SELECT count(*) FROM jobs WHERE status NOT IN ('success', 'cancelled')",
        )
