from collections.abc import Sequence
from math import inf

from litejobs.execution import Execution
from litejobs.job import Find, Settlement, StoredJob
from litejobs.rules.outcome import released


class Inline:
    """The executor of thread workers: runs one job at a time, right here."""

    def __init__(self, execution: Execution, find: Find) -> None:
        self._execution = execution
        self._find = find
        self._jobs: list[StoredJob] = []

    @property
    def queues(self) -> frozenset[str]:
        return frozenset(self._find.queues)

    @property
    def busy(self) -> bool:
        """Whether a job waits to be run by ``collect``."""
        return bool(self._jobs)

    def wanted(self) -> list[Find]:
        return [] if self._jobs else [self._find]

    def begin(self, find: Find, jobs: Sequence[StoredJob]) -> None:
        assert find is self._find
        self._jobs.extend(jobs)

    def collect(self) -> list[Settlement]:
        jobs, self._jobs = self._jobs, []
        return [(job, self._execution.run(job)) for job in jobs]

    def abandon(self) -> list[Settlement]:
        jobs, self._jobs = self._jobs, []
        return [(job, released()) for job in jobs]

    def patience(self) -> float:
        return inf
