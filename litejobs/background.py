"""Workers on threads of the app's own process."""

import atexit
import logging
import selectors
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from litejobs import defaults
from litejobs.adapters.base import BaseAdapter
from litejobs.clock import Clock
from litejobs.config import WorkerGroup
from litejobs.execution import Execution
from litejobs.inline import Inline
from litejobs.job import Find
from litejobs.run_directory.bell import Bell
from litejobs.run_directory.identity import locked_by, new_lease, worker_name
from litejobs.stop import Stop
from litejobs.worker import Worker, wait, work

log = logging.getLogger("litejobs")


class BackgroundWorker:
    """
    The worker groups of a manager, one thread for each ``count`` of each group.

    A job on a thread cannot be killed: when the program ends, running jobs get 5 seconds.
    """

    def __init__(
        self,
        groups: Sequence[tuple[WorkerGroup, BaseAdapter]],
        execution: Callable[[WorkerGroup], Execution],
        clock: Clock,
    ) -> None:
        lease = new_lease()
        self._threads = [
            WorkerThread(group, adapter, execution, clock, index, lease)
            for group, adapter in groups
            for index in range(group.count)
        ]

    def start(self) -> None:
        """Open the databases here, so that a wrong one is refused here; then start the threads."""
        try:
            for adapter in {thread.adapter for thread in self._threads}:
                adapter.reload()
        except BaseException:
            for thread in self._threads:
                thread.stop.close()
            raise
        for thread in self._threads:
            thread.start()
        atexit.register(self.stop, defaults.EXIT_PATIENCE)

    def stop(self, timeout: float | None = None) -> bool:
        """
        Begin no new job and wait for the running ones, at most *timeout* seconds (None: for ever).

        Returns whether all of them have ended.
        """
        atexit.unregister(self.stop)
        for thread in self._threads:
            thread.stop.request()
        deadline = None if timeout is None else time.monotonic() + timeout
        for thread in self._threads:
            thread.join(None if deadline is None else max(0, deadline - time.monotonic()))
        left = [thread for thread in self._threads if thread.is_alive()]
        if left:
            log.warning(
                "%d background jobs did not end within %g s and stay locked", len(left), timeout
            )
        return not left

    def is_alive(self) -> bool:
        """Whether its threads run, in this process."""
        return any(thread.is_alive() for thread in self._threads)


class WorkerThread(threading.Thread):
    """One worker with an inline executor; outlives every error of its database."""

    def __init__(
        self,
        group: WorkerGroup,
        adapter: BaseAdapter,
        execution: Callable[[WorkerGroup], Execution],
        clock: Clock,
        index: int,
        lease: str,
    ) -> None:
        name = worker_name(group.queues, index)
        super().__init__(name=name, daemon=True)
        self.adapter = adapter
        self.stop = Stop()
        self._group = group
        self._execution = execution
        self._clock = clock
        self._find = Find(locked_by(name, lease), group.queues, group.max_runtime)

    def run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self.stop, selectors.EVENT_READ, self.stop.drain)
            pause, longest = defaults.RESTART_BACKOFF
            while not self.stop.requested:
                try:
                    self._work(selector)
                except Exception as error:  # noqa: BLE001  # jobs wait: the thread must go on
                    with suppress(Exception):  # a filter of the app's may raise
                        log.error("%s; the background worker tries again in %g s", error, pause)  # noqa: TRY400  # one sentence
                    wait(selector, pause)
                    pause = min(longest, 2 * pause)
        self.stop.close()

    def _work(self, selector: selectors.BaseSelector) -> None:
        execution = self._execution(self._group)
        bell = Bell(self.adapter.run_directory) if self.adapter.run_directory else None
        if bell is not None:
            selector.register(bell, selectors.EVENT_READ, bell.drain)
        worker = Worker(
            self.adapter,
            Inline(execution, self._find),
            stop=self.stop,
            clock=self._clock,
            sleep_delay=self._group.sleep_delay,
        )
        try:
            work([worker], selector)
        finally:
            execution.close()
            self.adapter.close()
            if bell is not None:
                selector.unregister(bell)
                bell.close()
