"""What is going on around the code that runs now: which job, or that user code is being loaded."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Protocol

from litejobs import defaults
from litejobs.errors import ConfigurationError, quoted
from litejobs.job import Limits, StoredJob
from litejobs.progress import Progress, Said
from litejobs.rules.text import cut

if TYPE_CHECKING:
    from litejobs.loader import Call

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: The result of a job that settles itself without one.
NO_RESULT = object()


class Watch(Protocol):
    """Who knows whether the job that runs was cancelled."""

    def is_cancelled(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class CurrentJob:
    """The run of a job that asks for it."""

    id: int  #: the job's id, as ``later`` returned it
    attempts: int  #: how often the job was begun, this run included
    max_attempts: int  #: runs in all that it may take
    queue: str  #: the queue in which it was stored
    deadline: datetime  #: when max_runtime will be over, in UTC
    _handler: str = field(repr=False, compare=False)
    _finish: Callable[[object, object], None] = field(repr=False, compare=False)
    _say: Callable[[Said], None] = field(repr=False, compare=False)
    _watch: Watch = field(repr=False, compare=False)

    @property
    def schedule(self) -> str | None:
        """The name of the schedule that it is a run of; None for a job that ``later`` stored."""
        name = self._said("schedule")
        return name if isinstance(name, str) else None

    @property
    def slot(self) -> datetime | None:
        """
        The time, in UTC, that its schedule names; None for a job that ``later`` stored.

        However late the run begins, and when it is tried again, that stays.
        """
        moment = self._said("slot")
        return _EPOCH + timedelta(milliseconds=moment) if isinstance(moment, int) else None

    def _said(self, key: str) -> object:
        """What stands under *key* in the row's handler."""
        said = json.loads(self._handler)
        return said.get(key) if isinstance(said, dict) else None

    def finish(self, connection: object, result: object = NO_RESULT) -> None:
        """
        Settle the job as a success in the open transaction of *connection*, the app's own.

        What else the job does in that transaction and its settlement are committed together: after
        a crash the job has been done, or is run again, never both. Which connections can do that is
        told under ``later``. The worker records nothing more then, and what the job raises after
        the commit is only logged; if it ends without the commit, that is an error of this run.

        *result* is what a handle's ``result`` gives, in place of what the function returns, where
        results of the job are kept: that is not known yet.

        Raises JobStateError where the job is no longer this run's, or was finished before;
        TransactionError if the connection cannot.
        """
        self._finish(connection, result)

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """
        Let ``litejobs show`` and ``list`` show how far the job is: *done*, of *total* if known.

        May be called as often as one likes, from any thread: about once a second it is written, and
        the last word stays in a row that is kept. *note* is cut to 1 KiB.

        Raises ConfigurationError if one of them is not of its kind; nothing if it can't be written.
        """
        for key, value in (("done", done), ("total", 0 if total is None else total)):
            if not _is_number(value):
                raise ConfigurationError(f"{key} of progress must be a number, got {quoted(value)}")
        if not isinstance(note, str):
            raise ConfigurationError(f"note of progress must be a text, got {quoted(note)}")
        self._say(Said(done, total, cut(note, defaults.MAX_NOTE) if note else ""))

    @property
    def is_cancelled(self) -> bool:
        """
        Whether somebody has cancelled the job while it runs. Looks once a second at most.

        A job on a thread cannot be interrupted: it may end by itself then, by raising
        ``JobCancelled``.
        """
        return self._watch.is_cancelled()


def _is_number(value: object) -> bool:
    """Whether it is one that a float can be too."""
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:
        return False


Finish = Callable[["StoredJob", "Call", Limits, object, object], None]
# The fourth is when it began, milliseconds since 1970, UTC.
Run = tuple[StoredJob, "Call", Limits, int, Finish, Progress, Watch]

#: What runs here. Few jobs ask for more, so that a CurrentJob is made for those only.
running: ContextVar[Run | None] = ContextVar("litejobs_running", default=None)
_loading: ContextVar[str] = ContextVar("litejobs_loading", default="")
_within: ContextVar[bool] = ContextVar("litejobs_within_transaction", default=False)


def current_job() -> CurrentJob | None:
    """The job that is running here, or None outside of one."""
    run = running.get()
    if run is None:
        return None
    job, call, limits, began, finish, progress, watch = run
    return CurrentJob(
        id=job.id,
        attempts=job.attempts,
        max_attempts=limits.max_attempts,
        queue=job.queue,
        _handler=job.handler,
        deadline=datetime.fromtimestamp(began / 1000, UTC) + timedelta(seconds=limits.max_runtime),
        _finish=partial(finish, job, call, limits),
        _say=partial(progress.say, job),
        _watch=watch,
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
