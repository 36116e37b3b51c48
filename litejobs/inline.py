"""Jobs that run right here: the executor of one thread, and the worker around it."""

import logging
import selectors
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from math import inf

from litejobs import defaults
from litejobs.adapters.base import BaseAdapter
from litejobs.batch import Batch, Record
from litejobs.clock import Clock
from litejobs.config import WorkerGroup
from litejobs.execution import Execution, Guard
from litejobs.job import Find, Limits, Outcome, Settlement, StoredJob
from litejobs.overdue import Overdue
from litejobs.rules.outcome import released
from litejobs.rules.pace import Pace
from litejobs.rules.queues import takes
from litejobs.run_directory.bell import Bell
from litejobs.run_directory.identity import locked_by, worker_name
from litejobs.run_directory.lease import Slot, held_lease
from litejobs.soon import Soon
from litejobs.stop import Stop
from litejobs.worker import Worker, Works, runs, tell_held_back, wait, work

log = logging.getLogger("litejobs")


class Inline:
    """
    The executor of thread workers: runs the jobs that it is given one after the other, right here.

    It asks for several at once where they take no time to speak of.
    """

    def __init__(
        self,
        execution: Execution,
        find: Find,
        guard: Guard,
        *,
        stop: Stop,
        record: Record | None = None,
        slot: Slot | None = None,
        after_job: Callable[[], None] = lambda: None,
    ) -> None:
        """
        *find* says what it wishes for; *slot* is where it notes what it begins.

        *record* is for what cannot wait until a job ends: see Batch. Without it, no two jobs are
        asked for at once.
        """
        self._execution = execution
        self._find = find
        self._guard = guard
        self._stop = stop
        self._is_single = record is None
        self._batch = Batch(record or _nothing)
        self._slot = slot
        self._after_job = after_job
        self._pace = Pace()

    @property
    def queues(self) -> frozenset[str]:
        return frozenset(self._find.queues)

    @property
    def busy(self) -> bool:
        return not self._batch.is_settled

    def wanted(self) -> list[Find]:
        return [self._find if self._is_single else self._find._replace(limit=self._pace.chunk)]

    def begin(self, find: Find, jobs: Sequence[StoredJob]) -> None:  # noqa: ARG002  # it has one wish
        if not jobs:
            return
        self._pace.weighed(len(jobs), sum(len(job.handler) for job in jobs))
        began = time.monotonic()
        runs = 0
        self._batch.fill(jobs)
        while (job := self._batch.next()) is not None:
            if self._stop.requested or (runs and time.monotonic() - began > defaults.SILENCE):
                self._batch.put((job, released()))
                continue
            if self._slot is not None:
                self._slot.note(job.id, job.attempts)
            self._batch.put((job, self._execution.run(job, self._guard)))
            self._after_job()
            runs += 1
        if runs:
            self._pace.took(runs, time.monotonic() - began)

    def in_hand(self) -> list[int]:
        return self._batch.in_hand()

    def recall(self) -> None:
        """Nothing is handed out here that is not begun."""

    def collect(self) -> list[Settlement]:
        return self._batch.take()

    def limits_of(self, job: StoredJob) -> Limits | None:
        return self._execution.limits_of(job) if takes(self._find.queues, job.queue) else None

    def run_failure_hooks(self, job: StoredJob, outcome: Outcome) -> None:
        self._execution.run_failure_hooks(job, outcome.error or "")
        self._batch.put((job, outcome))

    def cancel(self, runs: Collection[tuple[int, int]]) -> None:
        """A job that runs here looks for itself."""

    def renew(self) -> None:
        """What this process has loaded it keeps."""

    def abandon(self) -> list[Settlement]:
        """Nothing to stop: what was begun has been run by now."""
        return self.collect()

    def patience(self) -> float:
        return inf if self._batch.is_settled else defaults.SILENCE


def _nothing(_settlements: Sequence[Settlement]) -> None:
    """Of one job at a time nothing waits."""


class InlineWorker:
    """
    One worker of a group that runs its jobs right here, on the thread that calls ``run``.

    Made by ``JobManager.create_worker``. Its jobs cannot be killed.
    """

    def __init__(
        self,
        group: WorkerGroup,
        adapter: BaseAdapter,
        execution: Callable[[WorkerGroup], Execution],
        clock: Clock,
        index: int,
        *,
        sync: Callable[[], None] = lambda: None,
        workoff: bool = False,
        clear: bool = False,
    ) -> None:
        self.name = worker_name(group.queues, index)
        self.adapter = adapter
        self.stopping = Stop()
        self.on_settled: Callable[[Sequence[Settlement]], None] = lambda _: None
        self.guard: Guard | None = None  # None: overdue jobs are told of
        self.grace = 0.0  # seconds after max_runtime that a job may still run
        self.after_job: Callable[[], None] = lambda: None
        self._group = group
        self._execution = execution
        self._clock = clock
        self._sync = sync  # store what the code says that recurs
        self._workoff = workoff
        self._clear = clear

    def run(self) -> None:
        """
        Run jobs as they become due, until ``stop``.

        Raises a StorageError if the storage cannot be opened. Later ones are waited out; a workoff
        raises those too.
        """
        try:
            if self._clear:
                count = self.adapter.clear()
                log.info("%d jobs deleted from %s", count, self.adapter.describe())
                return
            self.adapter.reload()
            self._sync()
            self.work()
        finally:
            self.stopping.close()

    def stop(self) -> None:
        """Begin no new job; ``run`` returns when the running one has ended. For any thread."""
        self.stopping.request()

    def work(self, *, after: float = 0) -> None:
        """``run`` without its opening and closing, *after* so many seconds."""
        first, longest = defaults.RESTART_BACKOFF
        pause = first
        with selectors.DefaultSelector() as selector:
            selector.register(self.stopping, selectors.EVENT_READ, self.stopping.drain)
            if after:
                wait(selector, after)
            while True:
                began = time.monotonic()
                try:
                    return self._work(selector)
                except Exception as error:  # jobs wait: the worker must go on
                    if self._workoff:
                        raise
                    if time.monotonic() - began > longest:
                        pause = first
                    with suppress(Exception):  # a filter of the app's may raise
                        log.error("%s; %s tries again in %g s", error, self.name, pause)  # noqa: TRY400  # one sentence
                wait(selector, pause)
                if self.stopping.requested:
                    return None
                pause = min(longest, 2 * pause)

    def _work(self, selector: selectors.BaseSelector) -> None:
        with ExitStack() as stack:
            stack.callback(self.adapter.close)
            lease = stack.enter_context(held_lease(self.adapter.run_directory))
            longest = self._group.max_runtime + self.grace
            find = Find(locked_by(self.name, lease.name), self._group.queues, longest)
            execution = self._execution(self._group)
            stack.callback(execution.close)
            beside: list[Works] = []
            if self.adapter.run_directory:
                bell = Bell(self.adapter.run_directory)
                stack.callback(bell.close)
                soon = Soon(bell, self._group.sleep_delay)
                if bell.hears:
                    selector.register(bell, selectors.EVENT_READ, soon.hear)
                    stack.callback(selector.unregister, bell)
                beside.append(soon)
            execution.progress.teller = self._tell_progress
            guard = self.guard or Overdue(self.adapter, execution.logger)
            inline = Inline(
                execution,
                find,
                guard,
                stop=self.stopping,
                record=self._record if self.adapter.batches else None,
                slot=lease.new_slot(),
                after_job=self.after_job,
            )
            worker = Worker(
                self.adapter,
                inline,
                stop=self.stopping,
                clock=self._clock,
                sleep_delay=self._group.sleep_delay,
                workoff=self._workoff,
                on_settled=self.on_settled,
            )
            work([worker, *beside], selector)
            if self._workoff:
                tell_held_back(self.adapter, find.queues)

    def _tell_progress(self, job: StoredJob, progress: str) -> None:
        """On another thread: how far a job says that it is."""
        try:
            self.adapter.progress(job, progress)
        finally:
            self.adapter.close()

    def _record(self, settlements: Sequence[Settlement]) -> None:
        """On another thread: what cannot wait for this one."""
        try:
            self.adapter.exchange(settlements, [])
        finally:
            self.adapter.close()
        self.on_settled(runs(settlements))
