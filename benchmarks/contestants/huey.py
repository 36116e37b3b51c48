"""huey on SQLite and on Redis: https://huey.readthedocs.io."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.contestants.base import FULL, NORMAL, Contestant, Workers, child, count_rows
from benchmarks.contestants.redis_server import DURABLE, SOCKET, missing_server, redis_server
from benchmarks.jobs import JOBS

# The consumer's documented shortest delay between two looks, kept short: no growth of it.
CONSUMER = {"initial_delay": 0.1, "backoff": 1.0, "scheduler_interval": 1, "periodic": False}


class NormalConnection(sqlite3.Connection):
    """huey's option fsync knows FULL and OFF only; NORMAL is set when a connection is made."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.execute("PRAGMA synchronous = NORMAL")


class Huey(Contestant):
    """What both have in common; *huey* is made by each."""

    distribution = "huey"
    module = "huey"
    huey: Any

    def declare(self) -> None:
        """Make tasks of the jobs."""
        self.tasks = {name: self.huey.task()(job) for name, job in JOBS.items()}

    def enqueue(self, job: str, args: Sequence[Any], wait: float | None = None) -> None:
        if wait is None:
            self.tasks[job](*args)
        else:
            self.tasks[job].schedule(args=tuple(args), delay=wait)

    def work(self, workers: Workers) -> None:
        self.huey.create_consumer(workers=workers.count, worker_type=workers.kind, **CONSUMER).run()

    def start_beside(self) -> None:
        self.huey.create_consumer(workers=1, worker_type="thread", **CONSUMER).start()

    @classmethod
    def commands(cls, workers: Workers) -> list[list[str]]:
        options = f'{{"kind": "{workers.kind}", "count": {workers.count}}}'
        return [child(cls, "work", options)]


class HueySqlite(Huey):
    """SqliteHuey."""

    name = "huey"
    durabilities: ClassVar = {"full": FULL, "normal": NORMAL}
    setting = (
        "SqliteHuey, WAL, `fsync=True` for full; looks every 0.1 s, the shortest in its docs, "
        "scheduler every second, its shortest; deletes a job before it runs it"
    )
    looks = CONSUMER["initial_delay"]
    first = (
        "from huey import SqliteHuey\n"
        "huey = SqliteHuey(filename='{directory}/jobs.sqlite')\n"
        "@huey.task()\n"
        "def nothing(): ...\n"
        "nothing()\n"
    )

    def __init__(self, directory: Path, durability: str) -> None:
        from huey import SqliteHuey

        options: dict[str, Any] = {"fsync": True}
        if durability == "normal":
            options = {"factory": NormalConnection}
        file = str(directory / "jobs.sqlite")
        self.huey = SqliteHuey(filename=file, journal_mode="wal", **options)
        self.declare()

    @classmethod
    def unsettled(cls, directory: Path) -> int:
        return count_rows(
            directory / "jobs.sqlite",
            "SELECT (SELECT count(*) FROM task) + (SELECT count(*) FROM schedule)",
        )


class HueyRedis(Huey):
    """RedisHuey."""

    name = "huey on Redis"
    durabilities: ClassVar = DURABLE
    setting = "RedisHuey, blocking reads; scheduler every second; deletes a job before it runs it"
    first = ""

    def __init__(self, directory: Path, durability: str) -> None:
        from huey import RedisHuey

        self.huey = RedisHuey(url=f"unix://{directory / SOCKET}")
        self.declare()

    @classmethod
    def missing(cls) -> str | None:
        return super().missing() or missing_server()

    @classmethod
    @contextmanager
    def surroundings(cls, directory: Path) -> Iterator[list[int]]:
        with redis_server(directory) as pid:
            yield [pid]

    @classmethod
    def unsettled(cls, directory: Path) -> int:
        huey = cls(directory, "everysec").huey
        return int(huey.pending_count() + huey.scheduled_count())
