"""max_runtime on threads: nobody can stop a job there, but it can be said that its time is over."""

import logging
import threading
import time
from contextlib import suppress

from litejobs import defaults, watchdog
from litejobs.adapters.base import BaseAdapter
from litejobs.errors import StorageError
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
        self._looked_at = 0.0
        self._job: StoredJob | None = None
        self.run: Run | None = None
        self.told: Run | None = None

    def begin(self, job: StoredJob, name: str, limits: Limits) -> None:
        self.cancelled = False
        self._looked_at = 0.0
        self._job = job
        deadline = time.monotonic() + limits.max_runtime
        self.run = (deadline, job, name, limits, threading.current_thread().name)
        watchdog.watch(self, deadline)

    def is_cancelled(self) -> bool:
        now = time.monotonic()
        if self.run is not None and now >= self._looked_at:
            self._looked_at = now + defaults.CANCEL_PAUSE
            return self.was_cancelled()
        return self.cancelled

    def was_cancelled(self) -> bool:
        if self._job is not None and not self.cancelled:
            with suppress(StorageError):
                self.cancelled = self._adapter.is_asked_to_end(self._job)
        return self.cancelled

    def end(self) -> None:
        self.run = None
        watchdog.forget(self)

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
