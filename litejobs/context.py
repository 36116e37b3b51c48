"""What is going on around the code that runs now: which job, or that user code is being loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class CurrentJob:
    """The run of a job that asks for it."""

    id: int  #: the job's id, as ``later`` returned it
    attempts: int  #: how often the job was begun, this run included
    max_attempts: int  #: runs in all that it may take
    queue: str  #: the queue in which it was stored
    deadline: datetime  #: when max_runtime will be over, in UTC


_current: ContextVar[CurrentJob | None] = ContextVar("litejobs_current_job", default=None)
_loading: ContextVar[str] = ContextVar("litejobs_loading", default="")


def current_job() -> CurrentJob | None:
    """The job that is running here, or None outside of one."""
    return _current.get()


@contextmanager
def running(job: CurrentJob) -> Iterator[None]:
    """While inside, ``current_job()`` is *job*."""
    token = _current.set(job)
    try:
        yield
    finally:
        _current.reset(token)


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
