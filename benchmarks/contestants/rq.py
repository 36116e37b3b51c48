"""rq on Redis: https://python-rq.org."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.contestants.base import IN_PROCESSES, Contestant, Workers
from benchmarks.contestants.redis_server import DURABLE, SOCKET, missing_server, redis_server
from benchmarks.jobs import JOBS


class Rq(Contestant):
    """SimpleWorker, the one that its docs call the fastest: no process for each job."""

    name = "rq on Redis"
    distribution = "rq"
    module = "rq"
    durabilities: ClassVar = DURABLE
    setting = "SimpleWorker with scheduler; results are not kept (`result_ttl=0`)"
    kinds = IN_PROCESSES
    waits = IN_PROCESSES
    first = ""

    def __init__(self, directory: Path, durability: str) -> None:
        from redis import Redis
        from rq import Queue

        self.connection = Redis(unix_socket_path=str(directory / SOCKET))
        self.queue = Queue(connection=self.connection)

    def enqueue(self, job: str, args: Sequence[Any], wait: float | None = None) -> None:
        if wait is None:
            self.queue.enqueue(JOBS[job], args=args, result_ttl=0)
        else:
            self.queue.enqueue_in(timedelta(seconds=wait), JOBS[job], *args, result_ttl=0)

    def enqueue_many(self, job: str, args_list: Sequence[Sequence[Any]]) -> None:
        self.queue.enqueue_many(
            [
                self.queue.prepare_data(JOBS[job], args=tuple(args), result_ttl=0)
                for args in args_list
            ]
        )

    def work(self, workers: Workers) -> None:
        from rq import SimpleWorker

        worker = SimpleWorker([self.queue], connection=self.connection)
        worker.work(with_scheduler=True, logging_level="WARNING")

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
        queue = cls(directory, "everysec").queue
        return int(
            queue.count
            + queue.started_job_registry.get_job_count(cleanup=False)
            + queue.scheduled_job_registry.get_job_count(cleanup=False)
            + queue.failed_job_registry.get_job_count(cleanup=False)
        )
