"""The performer's side of max_runtime and of cancelling: a signal that ends a job."""

import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

from litejobs.errors import JobCancelled, JobTimeout
from litejobs.execution import Guard
from litejobs.job import Limits, StoredJob
from litejobs.performers.surroundings import bare_signal
from litejobs.performers.wire import Begun
from litejobs.rules.outcome import too_long
from litejobs.run_directory.lease import Slot

if TYPE_CHECKING:
    import asyncio

_LONGEST = 1e8  # seconds that every system's timer takes
_SLOW = 0.1  # seconds of loading that the runner must not take for the job's


class Alarm(Guard):
    """
    Raises JobTimeout in a job whose time is over, or JobCancelled in one that is to end.

    One of them, once, in that attempt only.
    For the main thread. A job may use the signal or the timer for itself: then it is not told, and
    the runner kills it after its grace.
    """

    def __init__(
        self,
        expected: Limits | None,
        tell: Callable[[Begun], None],
        cancelled: Slot | None = None,
    ) -> None:
        """
        *tell* the runner of jobs that begin late, or whose limits are not those *expected*.

        None expects none, so that all are told of. *cancelled* is where the runner notes which run
        is to end, before it sends the signal.
        """
        self._slot = cancelled
        self._job: StoredJob | None = None  # None: none runs
        self._to_cancel = (0, 0)  # the run that the runner named last
        self._expected = expected
        self._limits = Limits()
        self._is_expected = False
        self._tell = tell
        self._handler = self._ring  # one object, that is known again
        self._since = time.monotonic()
        self._deadline: float | None = None  # None: nothing is to be raised
        self._task: asyncio.Task[object] | None = None
        # The runner may send the signal as soon as it has handed out a job.
        bare_signal.signal(signal.SIGALRM, self._handler)

    def expect(self) -> None:
        """A job has come and will be loaded."""
        self._since = time.monotonic()

    def begin(self, job: StoredJob, name: str, limits: Limits) -> None:  # noqa: ARG002
        self.timed_out = self.cancelled = False
        self._job = job
        now = time.monotonic()
        if limits is not self._limits:
            self._limits = limits
            self._is_expected = limits == self._expected
        if not self._is_expected or now - self._since > _SLOW:
            self._tell(Begun(job.id, limits))
        self._deadline = now + limits.max_runtime
        if self._is_displaced() or not self._rings_within(limits.max_runtime):
            bare_signal.signal(signal.SIGALRM, self._handler)
            self._wind(limits.max_runtime)
        if self._to_cancel[0] == job.id:  # it was named before it began, if it is still
            self._look()

    def awaits(self, task: "asyncio.Task[object]") -> None:
        self._task = task

    def end(self) -> None:
        self._deadline = self._job = None  # from here on nothing is raised
        self._task = None
        if self._is_displaced():  # what the job put there must not be called when it has ended
            bare_signal.signal(signal.SIGALRM, self._handler)

    def close(self) -> None:
        """There will be no more jobs. A signal at the interpreter's very end would kill it."""
        self._wind(0)

    def why_over(self) -> str:
        """Why no other job is to run in this process after the last one; empty if one may."""
        if self.timed_out:
            return "timed out"
        return "was cancelled" if self.cancelled else ""

    def _is_displaced(self) -> bool:
        """Whether the signal is not ours now: user code has taken it, or this is the first job."""
        return bare_signal.getsignal(signal.SIGALRM) is not self._handler

    @staticmethod
    def _rings_within(seconds: float) -> bool:
        """
        Whether the timer still runs for an earlier job: then ``_ring`` winds it for what is left.

        To look takes a third of the time of winding and stopping it for each job. Within the first
        half of its limit no job is interrupted by a signal that was meant for another.
        """
        return seconds / 2 < signal.getitimer(signal.ITIMER_REAL)[0] <= seconds

    @staticmethod
    def _wind(seconds: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, min(seconds, _LONGEST))

    def _ring(self, _number: int, _frame: FrameType | None) -> None:
        self._look()
        if self._deadline is None:  # the job has ended
            self._wind(0)  # it may have left a timer that rings again and again
            return
        left = self._deadline - time.monotonic()
        if left > 0:  # wound for an earlier job; or a timer of the job's own
            self._wind(left)
            return
        self._deadline = None
        self.timed_out = True
        self._raise(JobTimeout(too_long(self._limits)))

    def _look(self) -> None:
        """Raise in the job that runs, if it is the one that is to end and was not told before."""
        if self._slot is None:
            return
        self._to_cancel = self._slot.read()
        job = self._job
        if job is None or (job.id, job.attempts) != self._to_cancel or self.why_over():
            return
        self._deadline = None
        self.cancelled = True
        self._raise(JobCancelled("cancelled while it ran"))

    def _raise(self, reason: BaseException) -> None:
        if self._task is None or self._interrupts(self._task):
            raise reason

    @staticmethod
    def _interrupts(task: "asyncio.Task[object]") -> bool:
        """Let the job's task be cancelled; whether code of a task runs just now, maybe for ever."""
        import asyncio  # noqa: PLC0415  # loaded, as there is a task

        loop = task.get_loop()
        running = asyncio.current_task(loop)
        if running is not task:
            loop.call_soon_threadsafe(task.cancel)
        return running is not None  # the loop itself must not be interrupted
