"""Workers on threads of the app's own process."""

import atexit
import logging
import threading
import time
from collections.abc import Sequence

from litejobs import defaults
from litejobs.inline import InlineWorker

log = logging.getLogger("litejobs")


class BackgroundWorker:
    """
    The worker groups of a manager, one thread for each ``count`` of each group.

    A job on a thread cannot be killed: when the program ends, running jobs get 5 seconds.
    """

    def __init__(self, workers: Sequence[InlineWorker]) -> None:
        self._threads = [WorkerThread(worker) for worker in workers]
        self._is_wanted = False

    @property
    def died_in_a_fork(self) -> bool:
        """Whether this is the copy of a running one, in a forked child, where no thread runs."""
        return self._is_wanted and not self.is_alive()

    def start(self, *, after: float = 0) -> None:
        """Start the threads; they begin their work *after* so many seconds."""
        self._is_wanted = True
        for thread in self._threads:
            thread.after = after
            thread.start()
        atexit.register(self.stop, defaults.EXIT_PATIENCE)

    def stop(self, timeout: float | None = None) -> bool:
        """
        Begin no new job and wait for the running ones, at most *timeout* seconds (None: for ever).

        Returns whether all of them have ended; of a worker that a test mode did not start, True.
        """
        atexit.unregister(self.stop)
        self._is_wanted = False
        started = [thread for thread in self._threads if thread.ident is not None]
        for thread in started:
            thread.worker.stop()
        deadline = None if timeout is None else time.monotonic() + timeout
        for thread in started:
            thread.join(None if deadline is None else max(0, deadline - time.monotonic()))
        left = [thread for thread in started if thread.is_alive()]
        if left:
            log.warning(
                "%d background jobs did not end within %g s and stay locked", len(left), timeout
            )
        return not left

    def is_alive(self) -> bool:
        """Whether its threads run, in this process."""
        return any(thread.is_alive() for thread in self._threads)


class WorkerThread(threading.Thread):
    """One worker; outlives every error of its database."""

    def __init__(self, worker: InlineWorker) -> None:
        super().__init__(name=worker.name, daemon=True)
        self.worker = worker
        self.after = 0.0  # seconds

    def run(self) -> None:
        try:
            self.worker.work(after=self.after)
        finally:
            self.worker.stopping.close()
