"""Jobs that settle in a transaction of their own."""

from collections.abc import Callable
from contextlib import suppress

from litejobs.adapters.base import BaseAdapter
from litejobs.errors import StorageError, TransactionError
from litejobs.job import Outcome, StoredJob

#: What is recorded of a run that called ``finish``, and went on to its end without a commit.
NOT_COMMITTED = "NotCommitted: finish() was not committed"


def nowhere() -> BaseAdapter:
    """The storage of jobs that are in none."""
    raise TransactionError("this job is in no storage: it cannot finish itself")


class Finishing:
    """What ``finish`` did in the jobs of one execution, which runs one at a time."""

    def __init__(self, storage: Callable[[], BaseAdapter]) -> None:
        """*storage* is asked where the jobs are, by those that finish themselves only."""
        self._storage = storage
        #: The last job that called it.
        self.job: StoredJob | None = None
        self._adapter: BaseAdapter | None = None
        self._roll_back: Callable[[], None] | None = None

    def finish(self, job: StoredJob, outcome: Outcome, connection: object) -> None:
        """Settle *job*, a success, in the open transaction of *connection*."""
        adapter = self._storage()
        self._roll_back = adapter.finish_within(connection, job, outcome)
        self._adapter = adapter
        self.job = job

    def is_committed(self) -> bool:
        """
        For when the last job's run is over: whether it is settled.

        If not, it can no longer be by its own transaction: one left open is rolled back, for it
        would keep the write lock from whoever is to record the error.
        """
        assert self.job is not None
        assert self._adapter is not None
        assert self._roll_back is not None
        with suppress(StorageError):  # unknown: what is recorded then changes a running job only
            if not self._adapter.is_held(self.job):
                return True
        self._roll_back()
        return False
