"""A job that was stored: what was stored, and what has become of it since."""

import json
import math
import select
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from litejobs import defaults
from litejobs.adapters.base import BaseAdapter
from litejobs.arguments import parameters_of
from litejobs.config import seconds
from litejobs.errors import (
    ConfigurationError,
    JobFailedError,
    NoResultError,
    UnloadableError,
)
from litejobs.job import Job
from litejobs.run_directory.bell import ENDED, Bell

if TYPE_CHECKING:
    from litejobs.row import Handler

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_OVER = frozenset({"succeeded", "failed", "cancelled", "gone"})
_TRACEBACK = "\n\nTraceback (most recent call last):\n"


class JobError(NamedTuple):
    """What went wrong in a run."""

    type: str  #: the exception's class, with its module
    message: str  #: what it said
    traceback: str  #: as Python prints it; may be empty

    @classmethod
    def of(cls, text: str) -> "JobError":
        """
        As it was stored in ``last_error``.

        >>> JobError.of("ValueError: no: never")
        JobError(type='ValueError', message='no: never', traceback='')
        """
        headline, mark, frames = text.partition(_TRACEBACK)
        kind, _, message = headline.partition(": ")
        return cls(kind, message, (mark + frames).lstrip("\n"))


class Origin(Protocol):
    """Where a job comes from, and where it is."""

    @property
    def name(self) -> str:
        """The function's name."""
        ...

    @property
    def function(self) -> Callable[..., Any] | None:
        """The function; None: not known, its result is what JSON makes of it."""
        ...

    @property
    def adapter(self) -> BaseAdapter:
        """The storage."""
        ...


class Found(NamedTuple):
    """The origin of a job of which only the id was known."""

    name: str
    function: Callable[..., Any] | None
    adapter: BaseAdapter


class ScheduledJob:
    """
    A job that is stored: its id and what was stored, and a handle on what becomes of it.

    Reading an attribute does no I/O: ``state`` and ``error`` are as of the last ``refresh``,
    ``wait``, ``result`` or ``cancel``. Any thread may use it; coroutines have ``refresh_async``,
    ``wait_async``, ``result_async`` and ``cancel_async``, which do not block their loop.
    """

    #: What went wrong last; None: nothing so far.
    error: JobError | None = None
    #: False where a job with its key was there already, and this is that one.
    is_new = True
    _result: str | None = None
    _handler = ""  # what its row says of it

    def __init__(
        self,
        origin: Origin,
        id_: int,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        queue: str,
        priority: int,
        run_at: int | None,
        state: str,
    ) -> None:
        self._origin = origin
        self._run_at = run_at
        #: Never used again for another job of that storage.
        self.id = id_
        #: The very values that were passed; of a job that was there before, what its row holds.
        self.args = args
        #: As args.
        self.kwargs = kwargs
        #: The queue's name.
        self.queue = queue
        #: Lower runs first.
        self.priority = priority
        #: ``scheduled``, ``ready``, ``waiting``, ``running``, ``unloadable``, ``succeeded``,
        #: ``failed``, ``cancelled``, or ``gone``: there is no such row (any more).
        self.state = state

    @property
    def name(self) -> str:
        """The function's name."""
        return self._origin.name

    @property
    def run_at(self) -> datetime | None:
        """When it is due, in UTC, to the millisecond; None where it was over already."""
        return None if self._run_at is None else _EPOCH + self._run_at * _MILLISECOND

    def __repr__(self) -> str:
        return f"<ScheduledJob {self.id} {self.name} {self.state}>"

    def __eq__(self, other: object) -> bool:
        """Two handles are equal if they are of the same job."""
        if not isinstance(other, ScheduledJob):
            return NotImplemented
        return (self.id, self._origin.adapter) == (other.id, other._origin.adapter)

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def is_over(self) -> bool:
        """Whether nothing more becomes of it, as of the last look."""
        return self.state in _OVER

    def refresh(self) -> str:
        """Look at the job now; its state. Raises a StorageError."""
        seen = self._origin.adapter.glimpse(self.id)
        if seen is None:
            self.state = "gone"
        else:
            self.state = seen.state
            self.error = None if seen.error is None else JobError.of(seen.error)
            self._result, self._handler = seen.result, seen.handler
        return self.state

    def wait(self, timeout: float | timedelta | None = None) -> bool:
        """
        Wait until the job is over, at most *timeout* (seconds or a timedelta); whether it is.

        It is over when it has succeeded, failed for good, was cancelled or is gone. None: however
        long it takes. Raises ConfigurationError if *timeout* is none, and a StorageError.
        """
        deadline = _deadline(timeout)
        with closing(_Ear(self._origin.adapter)) as ear:
            while self.refresh() not in _OVER:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                ear.wait(left)
        return True

    def result(self, timeout: float | timedelta | None = None) -> Any:
        """
        What the job returned, once it has; *timeout* as of ``wait``.

        It comes back as its function's annotation says, where the function is known here.

        Raises TimeoutError when that is over; JobFailedError where the job failed or was cancelled;
        NoResultError where the row is gone, or holds no result, for want of ``keep_result`` or
        because it could not be stored, or one that is not what the function returns (any more);
        ConfigurationError and a StorageError as ``wait``.
        """
        return self._outcome(timeout, is_over=self.wait(timeout))

    def cancel(self) -> bool:
        """
        Let the job not run, or end, as ``JobManager.cancel``; whether there was anything to cancel.

        Raises ConfigurationError where the storage cannot cancel, and a StorageError.
        """
        adapter = self._origin.adapter
        if not adapter.cancels:
            raise ConfigurationError(f"{adapter.describe()} cannot cancel jobs")
        told = adapter.cancel(self.id)
        self.refresh()
        return told in ("cancelled", "asked")

    async def cancel_async(self) -> bool:
        """As ``cancel``."""
        import asyncio  # noqa: PLC0415  # as below

        return await asyncio.to_thread(self.cancel)

    async def refresh_async(self) -> str:
        """As ``refresh``."""
        import asyncio  # noqa: PLC0415  # there already, where there are coroutines

        return await asyncio.to_thread(self.refresh)

    async def wait_async(self, timeout: float | timedelta | None = None) -> bool:  # noqa: ASYNC109  # as wait
        """As ``wait``."""
        deadline = _deadline(timeout)
        with closing(_Ear(self._origin.adapter)) as ear:
            while await self.refresh_async() not in _OVER:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                await ear.wait_async(left)
        return True

    async def result_async(self, timeout: float | timedelta | None = None) -> Any:  # noqa: ASYNC109  # as result
        """As ``result``."""
        return self._outcome(timeout, is_over=await self.wait_async(timeout))

    def _outcome(self, timeout: float | timedelta | None, *, is_over: bool) -> Any:
        what = f"job {self.id} {self.name}".rstrip()
        if not is_over:
            waited = seconds("timeout", timeout)
            raise TimeoutError(f"{what} is {self.state} after {waited:g} s")
        if self.state in ("failed", "cancelled"):
            why = [] if self.error is None else filter(None, self.error[:2])
            raise JobFailedError(": ".join([f"{what} {_WERE[self.state]}", *why]))
        if self._result is None:
            raise NoResultError(f"{what} {self._why_no_result()}")
        function = self._origin.function
        try:
            value = json.loads(self._result)
            return value if function is None else parameters_of(function).load_result(value)
        except (ValueError, RecursionError) as error:
            raise NoResultError(f"the result of {what} cannot be read: {error}") from error

    def _why_no_result(self) -> str:
        if self.state == "gone":
            where = "is gone" if self.name else "is gone, or never was"
            return f"{where}: results are kept with keep_result"
        if _call_of(self._handler).keep_result is None:
            return "kept no result: results are kept with keep_result"
        return (
            "kept no result, in spite of keep_result: its worker's log says why what it returned "
            "could not be stored, if it did not settle itself without a result"
        )


def handle(
    adapter: BaseAdapter, declared: Mapping[tuple[str, str], Job[..., Any]], id_: int
) -> ScheduledJob:
    """A handle on a job of which only the id is known; *declared* are jobs by path and name."""
    seen = adapter.glimpse(id_)
    if seen is None:
        return ScheduledJob(Found("", None, adapter), id_, (), {}, "", 0, None, "gone")
    call = _call_of(seen.handler)
    job = declared.get((call.path, call.name))
    origin = Found(call.name, None if job is None else job.perform, adapter)
    found = ScheduledJob(
        origin,
        id_,
        tuple(call.args),
        call.kwargs,
        seen.queue,
        seen.priority,
        seen.run_at,
        seen.state,
    )
    found.refresh()
    return found


def _call_of(text: str) -> "Handler":
    from litejobs.row import Handler, read  # noqa: PLC0415  # msgspec, which later() does without

    try:
        return read(text)
    except UnloadableError:
        return Handler("?", "")


_WERE = {"failed": "failed", "cancelled": "was cancelled"}


class _Ear:
    """Hears when jobs of a storage end; where nobody can tell it only waits for a moment."""

    def __init__(self, adapter: BaseAdapter) -> None:
        directory = adapter.run_directory
        self._bell = None if directory is None else Bell(directory, ENDED)
        if self._bell is not None and not self._bell.hears:
            self._bell.close()
            self._bell = None
        self._longest = defaults.SLEEP_DELAY if self._bell else defaults.LOOK_PAUSE

    def wait(self, longest: float) -> None:
        """Until a job has ended, or for a while."""
        bells = select.poll()  # select itself knows no descriptor above 1023
        if self._bell is not None:
            bells.register(self._bell, select.POLLIN)
        if bells.poll(1000 * min(longest, self._longest)) and self._bell:
            self._bell.drain()

    async def wait_async(self, longest: float) -> None:
        """As ``wait``."""
        import asyncio  # noqa: PLC0415  # as above

        heard = asyncio.Event()
        loop = asyncio.get_running_loop()
        if self._bell is not None:
            loop.add_reader(self._bell, heard.set)
        try:
            await asyncio.wait_for(heard.wait(), min(longest, self._longest))
        except TimeoutError:
            return
        finally:
            if self._bell is not None:
                loop.remove_reader(self._bell)
        if self._bell is not None:
            self._bell.drain()

    def close(self) -> None:
        if self._bell is not None:
            self._bell.close()


def _deadline(timeout: float | timedelta | None) -> float:
    return math.inf if timeout is None else time.monotonic() + seconds("timeout", timeout)
