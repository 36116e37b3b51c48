from collections.abc import Sequence
from math import inf

from litejobs.execution import Execution
from litejobs.job import Find, Settlement, StoredJob


class Inline:
    """The executor of thread workers: runs one job at a time, right here."""

    def __init__(self, execution: Execution, find: Find) -> None:
        self._execution = execution
        self._find = find
        self._settlements: list[Settlement] = []

    @property
    def queues(self) -> frozenset[str]:
        return frozenset(self._find.queues)

    @property
    def busy(self) -> bool:
        return bool(self._settlements)

    def wanted(self) -> list[Find]:
        return [self._find]

    def begin(self, find: Find, jobs: Sequence[StoredJob]) -> None:
        assert find is self._find
        self._settlements += [(job, self._execution.run(job)) for job in jobs]

    def collect(self) -> list[Settlement]:
        settlements, self._settlements = self._settlements, []
        return settlements

    def abandon(self) -> list[Settlement]:
        """Nothing to stop: what was begun has been run by now."""
        return self.collect()

    def patience(self) -> float:
        return inf
