import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from litejobs import defaults
from litejobs.program import is_forked
from litejobs.reloader import stop_in_reloader_parent

if TYPE_CHECKING:
    from litejobs.background import BackgroundWorker
    from litejobs.processes.background import BackgroundProcess

    Background: TypeAlias = BackgroundWorker | BackgroundProcess


class Launch:
    """Starts the background worker of a manager: once, and anew in forked server workers."""

    def __init__(self, new_threads: Callable[[], "BackgroundWorker"]) -> None:
        """*new_threads* makes what is started in a forked child whose parent has threads."""
        self._new_threads = new_threads
        self._starting = threading.Lock()
        self._is_first = True
        #: The one that was started last.
        self.worker: Background | None = None

    def start(self, make: Callable[[], "Background"], check: Callable[[], bool]) -> "Background":
        """
        The one that is running, else the one that *make* makes.

        It is started if *check*, which may raise, says so.
        """
        with self._starting:
            if self.worker is not None and self.worker.is_alive():
                return self.worker
            worker = make()
            if check():
                worker.start()
                stop_in_reloader_parent(worker.stop)
                if self._is_first:
                    os.register_at_fork(after_in_child=self._after_fork)
                self.worker, self._is_first = worker, False
            return worker

    def _after_fork(self) -> None:
        """
        A server that loads the app once and then forks means its children to run jobs.

        Children of multiprocessing have another task. Runners in processes of their own are one for
        all, and belong to the parent.
        """
        self._starting = threading.Lock()  # another thread may have held it
        copy = self.worker
        if copy is not None and copy.died_in_a_fork and not is_forked():
            self.worker = self._new_threads()
            self.worker.start(after=defaults.FORK_PAUSE)
