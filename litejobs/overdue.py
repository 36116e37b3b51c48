"""max_runtime on threads: nobody can stop a job there, but it can be said that its time is over."""

import logging
import math
import os
import threading
import time
from contextlib import suppress

from litejobs.adapters.base import BaseAdapter
from litejobs.execution import Guard
from litejobs.job import Limits, StoredJob
from litejobs.rules.outcome import too_long
from litejobs.rules.text import printable

Run = tuple[float, StoredJob, str, Limits, str]  # first when it is overdue, last its thread


class Overdue(Guard):
    """Says of a job that goes on after its max_runtime that it does: once, in log and storage."""

    def __init__(self, adapter: BaseAdapter, logger: logging.Logger) -> None:
        self._adapter = adapter
        self._logger = logger
        self.run: Run | None = None
        self.told: Run | None = None

    def begin(self, job: StoredJob, name: str, limits: Limits) -> None:
        deadline = time.monotonic() + limits.max_runtime
        self.run = (deadline, job, name, limits, threading.current_thread().name)
        _watchdog.watch(self, deadline)

    def end(self) -> None:
        self.run = None
        _watchdog.forget(self)

    def tell(self, run: Run) -> None:
        """For the watchdog's thread."""
        self.told = run
        _, job, name, limits, thread = run
        what = f"{too_long(limits)} and cannot be stopped, for it is on a thread, {thread}"
        with suppress(Exception):  # a filter of the app's may raise
            self._logger.warning("job %d %s is overdue: it %s", job.id, printable(name), what)
        try:
            self._adapter.overdue(job, f"overdue: {what}")
        finally:
            self._adapter.close()


class Watchdog:
    """One thread for all guards of a process, made when first needed; sleeps until a deadline."""

    def __init__(self) -> None:
        self._guards: set[Overdue] = set()
        self._wakes_at = math.inf  # by time.monotonic()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def watch(self, guard: Overdue, deadline: float) -> None:
        """Let the guard tell, unless it is forgotten before *deadline*."""
        self._guards.add(guard)
        # Read after that was written, as _rest writes this before it reads those: one sees the
        # other. After a run with the same limit the thread wakes early enough by itself.
        if deadline < self._wakes_at:
            with self._changed:
                if self._thread is None:
                    self._start()
                self._changed.notify()

    def forget(self, guard: Overdue) -> None:
        """The guard's job has ended."""
        self._guards.discard(guard)

    def _start(self) -> None:
        thread = threading.Thread(target=self._watch, name="litejobs-overdue", daemon=True)
        with suppress(RuntimeError):  # no more threads, or the interpreter ends: the job matters
            thread.start()
            self._thread = thread

    def _watch(self) -> None:
        while True:
            for guard in list(self._guards):
                run = guard.run
                if run is None or run is guard.told or run[0] > time.monotonic():
                    continue
                with suppress(Exception):  # storage in trouble: it is in the log at least
                    guard.tell(run)
            self._rest()

    def _rest(self) -> None:
        """Sleep until the next deadline, or until one is before that."""
        with self._changed:
            self._wakes_at = math.inf
            runs = [(guard.run, guard.told) for guard in list(self._guards)]
            left = [run[0] for run, told in runs if run is not None and run is not told]
            self._wakes_at = min(left, default=math.inf)
            seconds = self._wakes_at - time.monotonic()
            self._changed.wait(None if seconds == math.inf else max(0.0, seconds))


_watchdog = Watchdog()


def _anew() -> None:
    """In a forked child there is no such thread, and of the jobs only the one that forked."""
    global _watchdog  # noqa: PLW0603  # one for each process
    _watchdog = Watchdog()


os.register_at_fork(after_in_child=_anew)
