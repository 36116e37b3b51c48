"""What is going on around the code that runs now: which job, or that user code is being loaded."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from litejobs.job import Limits, StoredJob


@dataclass(frozen=True, slots=True)
class CurrentJob:
    """The run of a job that asks for it."""

    id: int  #: the job's id, as ``later`` returned it
    attempts: int  #: how often the job was begun, this run included
    max_attempts: int  #: runs in all that it may take
    queue: str  #: the queue in which it was stored
    deadline: datetime  #: when max_runtime will be over, in UTC
    _finish: Callable[[object], None] = field(repr=False, compare=False)

    def finish(self, connection: object) -> None:
        """
        Settle the job as a success in the open transaction of *connection*, the app's own.

        What else the job does in that transaction and its settlement are committed together: after
        a crash the job has been done, or is run again, never both. Which connections can do that is
        told under ``later``. The worker records nothing more then, and what the job raises after
        the commit is only logged; if it ends without the commit, that is an error of this run.

        Raises JobStateError where the job is no longer this run's, or was finished before;
        TransactionError if the connection cannot.
        """
        self._finish(connection)


Finish = Callable[[StoredJob, Limits, object], None]
# The third is when it began, milliseconds since 1970, UTC; the last finishes it.
Run = tuple[StoredJob, Limits, int, Finish]

#: What runs here. Few jobs ask for more, so that a CurrentJob is made for those only.
running: ContextVar[Run | None] = ContextVar("litejobs_running", default=None)
_loading: ContextVar[str] = ContextVar("litejobs_loading", default="")
_within: ContextVar[bool] = ContextVar("litejobs_within_transaction", default=False)


def current_job() -> CurrentJob | None:
    """The job that is running here, or None outside of one."""
    run = running.get()
    if run is None:
        return None
    job, limits, began, finish = run
    return CurrentJob(
        id=job.id,
        attempts=job.attempts,
        max_attempts=limits.max_attempts,
        queue=job.queue,
        deadline=datetime.fromtimestamp(began / 1000, UTC) + timedelta(seconds=limits.max_runtime),
        _finish=partial(finish, job, limits),
    )


def loading_now() -> str:
    """What is being loaded on behalf of a worker, or an empty text."""
    return _loading.get()


@contextmanager
def loading(what: str) -> Iterator[None]:
    """While inside, nothing may be scheduled: *what* is being loaded only to be called."""
    token = _loading.set(what)
    try:
        yield
    finally:
        _loading.reset(token)


def is_within_transaction() -> bool:
    """Whether the caller's own transaction may hold the lock that litejobs would wait for."""
    return _within.get()


@contextmanager
def within_transaction() -> Iterator[None]:
    """While inside, the write lock is not waited for: the caller may be the one who holds it."""
    token = _within.set(True)
    try:
        yield
    finally:
        _within.reset(token)
