"""Find, hand out, settle. Knows neither signals nor processes nor SQL."""

import logging
import math
import selectors
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack, suppress
from typing import Protocol

from litejobs import defaults
from litejobs.adapters.base import BaseAdapter
from litejobs.clock import Clock
from litejobs.errors import DatabaseBusyError, DatabaseGoneError, DiskError, StorageError
from litejobs.execution import log_outcome
from litejobs.job import Find, Limits, Outcome, Settlement, StoredJob
from litejobs.row import job_name
from litejobs.rules.queues import takes, union
from litejobs.rules.text import printable
from litejobs.stop import Stop
from litejobs.trouble import Trouble

log = logging.getLogger("litejobs")


class Executor(Protocol):
    """Runs the jobs that a worker hands out: in this thread, or in processes of their own."""

    @property
    def queues(self) -> frozenset[str]:
        """All queues from which it ever wishes for jobs."""
        ...

    @property
    def busy(self) -> bool:
        """Whether jobs are running, or their outcomes wait to be collected."""
        ...

    def wanted(self) -> list[Find]:
        """What could begin at once; empty while every place is taken."""
        ...

    def begin(self, find: Find, jobs: Sequence[StoredJob]) -> None:
        """Take the jobs that were found for one of its wishes; may run them before it returns."""
        ...

    def in_hand(self) -> list[int]:
        """The ids of the jobs that it was given and whose outcomes were not collected."""
        ...

    def recall(self) -> None:
        """Nothing more is to begin: what was handed out and has not begun is to be collected."""
        ...

    def collect(self) -> list[Settlement]:
        """What became of jobs since the last call."""
        ...

    def limits_of(self, job: StoredJob) -> Limits | None:
        """Those of a job that another worker had, or None if it is not of these queues."""
        ...

    def run_failure_hooks(self, job: StoredJob, outcome: Outcome) -> None:
        """
        Run the after_failure hooks of a job that another worker's death has ended.

        After that its outcome is to be collected; as long as there are no limits of it.
        """

    def cancel(self, runs: Collection[tuple[int, int]]) -> None:
        """These, by id and attempts, its own or not, were asked to end; told again and again."""
        ...

    def renew(self) -> None:
        """Load the code anew before the next job, where that can be done."""
        ...

    def abandon(self) -> list[Settlement]:
        """Stop at once, and tell what becomes of the jobs that were not finished."""
        ...

    def patience(self) -> float:
        """Seconds after which it wants ``collect`` to be called though no file became readable."""
        ...


class Worker:
    """One adapter's jobs, from found to settled, by way of one executor."""

    def __init__(
        self,
        adapter: BaseAdapter,
        executor: Executor,
        *,
        stop: Stop,
        clock: Clock,
        sleep_delay: float = defaults.SLEEP_DELAY,
        workoff: bool = False,
        code_has_changed: Callable[[], bool] = lambda: False,
        on_settled: Callable[[Sequence[Settlement]], None] = lambda _: None,
    ) -> None:
        self.adapter = adapter
        self.executor = executor
        self.stop = stop
        self.clock = clock
        self.sleep_delay = sleep_delay
        self.workoff = workoff
        self.on_settled = on_settled
        self._code_has_changed = code_has_changed
        self._reload_at = time.monotonic() + defaults.CODE_PAUSE
        self.finished = False
        self._outcomes: list[Settlement] = []
        self._trouble = Trouble("outcomes are kept and tried again, no new jobs are begun")
        # Of its own: whatever keeps that from working, outcomes are to be recorded.
        self._upkeep_trouble = Trouble("looking after jobs and schedules is tried again")
        self._strays_of: set[str] = set()
        self._heeded = stop.count
        adapter.give_up_when(lambda: stop.count != self._heeded)
        self._cancel_at = 0.0 if adapter.cancels else math.inf  # by time.monotonic()
        self._recover_at = 0.0 if adapter.recovers else math.inf  # by time.monotonic()
        self._sweep_at = 0.0 if adapter.sweeps else math.inf
        self._sweeps_on = False  # there is more to delete
        self._slot_at = 0.0 if adapter.schedules else math.inf  # by the clock, in milliseconds

    @property
    def busy(self) -> bool:
        """Whether jobs are running, or what became of some is not recorded."""
        return self.executor.busy or bool(self._outcomes or self._strays_of)

    def work_once(self) -> bool:
        """Record what is done, find what can begin, hand it out; False if nothing moved."""
        self.finished = False
        self._heeded = self.stop.count  # a request that comes later ends a wait for a lock
        if self.stop.requested or self._trouble:
            self.executor.recall()
        if self.executor.busy:
            self._end_cancelled()
        if not self.stop.requested:
            self._put_right()
        self._outcomes += self.executor.abandon() if self.stop.at_once else self.executor.collect()
        has_settled = bool(self._outcomes)
        finds = [] if self.stop.requested else self.executor.wanted()
        found = self._exchange(finds)
        for find, jobs in zip(finds, found, strict=False):
            self.executor.begin(find, jobs)
        if any(found) or (has_settled and not self._trouble):
            return True
        if self._trouble and self.stop.at_once:
            self._give_up()
            self.finished = True
        elif not self.busy:
            if self.stop.requested:
                self.finished = True
            elif self.workoff and finds:  # without a wish the executor is not ready yet
                return self._work_is_left(finds)
        return False

    def heed_cancelled(self) -> None:
        """A job that runs was asked to end, perhaps one of ours: look at once."""
        if self.adapter.cancels:
            self._cancel_at = 0.0

    def _end_cancelled(self) -> None:
        now = time.monotonic()
        if now < self._cancel_at:
            return
        self._cancel_at = now + defaults.CANCEL_PAUSE
        try:
            runs = self.adapter.asked_to_end()
        except (DiskError, DatabaseBusyError) as error:
            self._upkeep_trouble.note(error)
            return
        if runs:
            self.executor.cancel(runs)

    def _put_right(self) -> None:
        """Now and then jobs of dead workers, and such as did not load; runs of what recurs."""
        if self._upkeep_trouble.pause() > 0:
            return
        now = time.monotonic()
        tasks = (
            (now >= self._recover_at, self._recover),
            (now >= self._reload_at, self._reload),
            (now >= self._sweep_at, self._sweep),
            # Last, for it alone is due until it has worked: the others make room on a full disk.
            (self.clock.now() >= self._slot_at, self._fire),
        )
        due = [task for is_due, task in tasks if is_due]
        try:
            for task in due:
                task()
        except (DiskError, DatabaseBusyError) as error:
            self._upkeep_trouble.note(error)
        else:
            if due:
                self._upkeep_trouble.end()

    def _reload(self) -> None:
        """Jobs that did not load are tried again once the code has changed."""
        self._reload_at = time.monotonic() + defaults.CODE_PAUSE
        if self.adapter.has_unloadable() and self._code_has_changed():
            log.info("the code has changed: jobs that did not load are tried again")
            self.executor.renew()
            self.adapter.reload()

    def _fire(self) -> None:
        """Store the runs of what recurs whose time has come."""
        if self.adapter.schedules:
            self.adapter.schedules.fire()
            self._look_for_slot()

    def _sweep(self) -> None:
        """Jobs that were kept long enough go, some at a time."""
        self._sweep_at = time.monotonic() + defaults.SWEEP_PAUSE  # also if it goes wrong
        self._sweeps_on = self.adapter.sweep()
        if self._sweeps_on:
            self._sweep_at = time.monotonic() + defaults.SWEEP_REST

    def _look_for_slot(self) -> None:
        """Note when something that recurs is to be run next."""
        if self.adapter.schedules:
            moment = self.adapter.schedules.next_at()
            self._slot_at = math.inf if moment is None else moment

    def _recover(self) -> None:
        """Jobs whose worker has died are tried again, or given up."""
        self._recover_at = time.monotonic() + defaults.RECOVERY_PAUSE
        recorded = []
        for job, outcome in runs(self.adapter.recover(self.executor.limits_of)):
            limits = self.executor.limits_of(job)
            assert limits is not None  # it was asked for the same job before
            log_outcome(log, job, job_name(job.handler), limits.max_attempts, outcome)
            if outcome.waits_for_hooks(limits):
                self.executor.run_failure_hooks(job, outcome)
            else:
                recorded.append((job, outcome))
        self._tell(recorded)
        self.adapter.check()
        self._look_for_slot()

    def _tell(self, ended: Sequence[Settlement]) -> None:
        if ended:
            self.on_settled(ended)

    def _work_is_left(self, finds: list[Find]) -> bool:
        """Finish if nothing is due; else whether to look again at once, for a race was lost."""
        try:
            is_due = self._slot_at <= self.clock.now() or self.adapter.is_due(self.executor.queues)
            self.finished = not (self._sweeps_on or is_due)
            # What is due for a place that is not ready yet has to wait for it.
            return self.adapter.is_due(union(*(find.queues for find in finds)))
        except (DiskError, DatabaseBusyError) as error:
            self._upkeep_trouble.note(error)
            return False

    def abandon(self) -> None:
        """The loop is left by an error: stop what runs, and record what can be recorded."""
        self._outcomes += self.executor.abandon()
        with suppress(StorageError):  # what led here is told; it may well be the storage itself
            self._exchange([])
        self._give_up()

    def _give_up(self) -> None:
        if self._outcomes:
            log.error("the outcomes of %d jobs could not be recorded", len(self._outcomes))

    def patience(self) -> float:
        """Seconds to wait for a bell, an executor's file or a stop before looking again."""
        if self._trouble:
            return self._trouble.pause()
        longest = self.executor.patience()
        if self.stop.requested or not self.executor.wanted():
            return longest
        until_upkeep = max(0.0, min(self._recover_at, self._sweep_at) - time.monotonic())
        soonest = min(longest, self.sleep_delay, self._until_next(), until_upkeep)
        return max(soonest, self._upkeep_trouble.pause())

    def _exchange(self, finds: list[Find]) -> list[list[StoredJob]]:
        """Outcomes that cannot be recorded are kept, and nothing new is found before they are."""
        if not (finds or self._outcomes or self._strays_of):
            return []
        if self._trouble.pause() > 0 and not self.stop.at_once:
            return []
        try:
            if self._strays_of:
                known = [job.id for job, _ in self._outcomes] + self.executor.in_hand()
                self.adapter.release_strays(self._strays_of, known)
                self._strays_of = set()
            found = self.adapter.exchange(self._outcomes, finds)
        except StorageError as error:
            if isinstance(error, DatabaseGoneError):
                raise  # a new file knows nothing of these jobs
            if not self._outcomes and not isinstance(error, DiskError | DatabaseBusyError):
                raise
            # Whether it was stored is unknown: jobs may be locked for us that we never heard of.
            self._strays_of |= {find.worker for find in finds}
            self._trouble.note(error)
            return []
        settled, self._outcomes = self._outcomes, []
        self._trouble.end()
        self._tell(runs(settled))
        return found

    def _until_next(self) -> float:
        try:
            run_at = self.adapter.next_run_at()
            self._look_for_slot()
        except (DiskError, DatabaseBusyError) as error:
            self._upkeep_trouble.note(error)
            return self._upkeep_trouble.pause()
        moment = min(self._slot_at, math.inf if run_at is None else run_at)
        return max(0, moment - self.clock.now()) / 1000


def tell_held_back(adapter: BaseAdapter, queues: Iterable[str]) -> None:
    """Say which jobs were left, at the end of a workoff, as their queues are paused."""
    held = adapter.held_back(queues)
    if held:
        count, names = sum(held.values()), ", ".join(map(printable, held))
        what = "1 job waits" if count == 1 else f"{count} jobs wait"
        log.warning("%s, for the queue is paused: %s", what, names)


def tell_untaken(declared: Iterable[str] | None, groups: Iterable[Sequence[str]]) -> None:
    """Say of which of the *declared* queues (None: any) no group, by its selection, takes jobs."""
    taken = union(*groups)
    names = [printable(name) for name in declared or () if not takes(taken, name)]
    if names:
        what, whose = ("queue", "its") if len(names) == 1 else ("queues", "their")
        log.warning(
            "no worker group takes the %s %s: %s jobs wait for workers of another process",
            what,
            ", ".join(names),
            whose,
        )


def runs(settlements: Sequence[Settlement]) -> Sequence[Settlement]:
    """Those that tell of a run that has ended."""
    return [one for one in settlements if one[1].is_of_a_run]


class Works(Protocol):
    """What the loop asks of a worker, or of something that stands for several."""

    finished: bool

    def work_once(self) -> bool: ...

    def patience(self) -> float: ...

    def abandon(self) -> None: ...


def work(workers: Sequence[Works], selector: selectors.BaseSelector) -> None:
    """
    Run jobs as they become eligible, until every worker has finished.

    Whatever may wake them is registered with *selector*, with a function to call as its data.
    """
    try:
        while True:
            moved = [worker.work_once() for worker in workers]
            # All in one round: a job of one may have stored jobs for another.
            if all(worker.finished for worker in workers):
                return
            wait(selector, 0 if any(moved) else min(worker.patience() for worker in workers))
    except BaseException:
        with ExitStack() as stack:  # all of them, also if one goes wrong
            for worker in workers:
                stack.callback(worker.abandon)
        raise


def wait(selector: selectors.BaseSelector, patience: float) -> None:
    """Sleep until something that is registered calls, at most *patience* seconds."""
    for key, _ in selector.select(None if patience == math.inf else patience):
        key.data()
