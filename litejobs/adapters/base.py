import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Sequence

from litejobs.adapters.schedules import Schedules
from litejobs.errors import ConfigurationError, TransactionError
from litejobs.job import (
    Cancellation,
    Find,
    Glimpse,
    Kept,
    Limits,
    NewJob,
    Outcome,
    Settlement,
    StoredJob,
)  # fmt: skip
from litejobs.rules import queues as selections
from litejobs.run_directory.bell import END, ENDED, NOW, SOON, ring

_NO_CONNECTION = "{} has no place for jobs in a transaction of the app's: leave connection out"


class BaseAdapter(ABC):
    """
    One kind of storage: what a scheduler and a worker ask of it.

    A settling method must change nothing where the row is no longer the one that was found (its
    id, locked_by and attempts): an attempt that lost its job has no say in what becomes of it.
    It returns whether it changed the row.
    """

    #: Where the workers on this storage wake each other; None: they look every sleep_delay.
    run_directory: str | None = None

    #: Whether ``exchange`` is one transaction, so that several jobs together cost less.
    batches = False

    #: Where the adapter says what it notices.
    logger: logging.Logger = logging.getLogger("litejobs")

    #: Where it keeps what recurs; None: it does not.
    schedules: Schedules | None = None

    @abstractmethod
    def schedule(self, jobs: Sequence[NewJob]) -> list[int]:
        """Store *jobs*, all or none, and return their ids in order; on return they are durable."""

    def schedule_unique(
        self, jobs: Sequence[NewJob], connection: object | None = None
    ) -> list[Kept]:
        """
        Store *jobs*, each of which has a key, all or none; return what became of each, in order.

        With *connection*, as ``schedule_within``. Raises DuplicateJobError where that is the policy
        of a key.
        """
        raise ConfigurationError(f"{self.describe()} knows no keys of jobs")

    def glimpse(self, id_: int) -> Glimpse | None:
        """What can be seen of the job with that id; None if it is not there (any more)."""
        raise ConfigurationError(f"{self.describe()} does not let its jobs be looked at")

    def schedule_within(self, connection: object, jobs: Sequence[NewJob]) -> list[int]:
        """
        As ``schedule``, in the open transaction of the app's *connection*.

        They are stored if and only if the app commits it.

        Raises TransactionError if the storage cannot do that, or not on such a connection.
        """
        raise TransactionError(_NO_CONNECTION.format(self.describe()))

    #: Whether ``schedule`` heeds limit_key and limit_max: no more than that are found at once.
    keeps_limits = False

    @abstractmethod
    def find(
        self, *, worker: str, queues: Sequence[str], max_runtime: float, limit: int = 1
    ) -> list[StoredJob]:
        """
        Lock and return up to *limit* due jobs for *worker*: by priority, run_at, id.

        *queues* are names; ``"*"`` among them means every queue, but for those that are excluded by
        ``"!name"``, which ``takes`` understands. *max_runtime* (seconds, in worker
        processes with the grace until a kill) is for storage that cannot tell whether a worker
        lives. Each job found has one attempt more.
        """

    @abstractmethod
    def success(
        self,
        job: StoredJob,
        *,
        delete: bool,
        keep: float | None = None,
        result: str | None = None,
    ) -> bool:
        """
        The job is done: its row goes, or is kept as succeeded.

        *keep* is the seconds after which a row that is kept may go, *result* the JSON of what the
        job returned, if its job says so.
        """

    def finish_within(
        self, connection: object, job: StoredJob, outcome: Outcome
    ) -> Callable[[], None]:
        """
        Record *outcome*, a success, in the open transaction of the app's *connection*.

        Returns what rolls that back if it is still open; it never fails. Raises JobStateError where
        the row is no longer the one that was found, TransactionError as ``schedule_within``.
        """
        raise TransactionError(_NO_CONNECTION.format(self.describe()))

    def is_held(self, job: StoredJob) -> bool:
        """Whether the row is still the one that was found: a settling method would change it."""
        return True

    @abstractmethod
    def error(self, job: StoredJob, error: str, run_at: int) -> bool:
        """This run went wrong; the job is tried again at *run_at* (ms since 1970, UTC)."""

    @abstractmethod
    def failure(
        self, job: StoredJob, error: str, *, delete: bool, keep: float | None = None
    ) -> bool:
        """The attempts are used up: the row goes, or is kept as failed; *keep* as of success."""

    @abstractmethod
    def clear(self) -> int:
        """Delete every job, and return how many there were."""

    def cancelled(
        self, job: StoredJob, reason: str, *, delete: bool, keep: float | None = None
    ) -> bool:
        """
        The job wanted no more, or was asked to end and has: it is not tried again.

        Storage that can, tells such jobs from failed ones.
        """
        return self.failure(job, reason, delete=delete, keep=keep)

    def snooze(self, job: StoredJob, run_at: int) -> bool:
        """
        The job wants to be run at *run_at* (ms since 1970, UTC), as if this run had not been.

        Storage that can, spends no attempt.
        """
        return self.error(job, "snoozed", run_at)

    def unloadable(self, job: StoredJob, error: str) -> bool:
        """The job never began, for it does not load here. Storage that can, spends no attempt."""
        return self.failure(job, error, delete=False)

    def release(self, job: StoredJob) -> bool:
        """The job goes back as it was found. Storage that can, spends no attempt."""
        return self.error(job, "stopped before it was finished", job.run_at)

    def has_unloadable(self) -> bool:
        """Whether ``reload`` would make any job ready, if that is known."""
        return False

    def reload(self) -> int:
        """Make unloadable jobs ready again, and return how many; for when the code changed."""
        return 0

    def release_strays(self, workers: Collection[str], known: Collection[int]) -> int:
        """
        Release the jobs that are locked for *workers* but not *known* to them, by id.

        For after an error that left open whether finding them was stored. Returns how many.
        """
        return 0

    def crash(self, job: StoredJob) -> None:
        """A process died in this run; told before its error or failure, to be counted."""

    def progress(self, job: StoredJob, progress: str) -> bool:
        """
        The job runs, and says how far it is, in JSON: to be shown until it goes back.

        Also told right before a success or failure that keeps the row. May come from a thread of
        its own, which then calls ``close``.
        """
        return False

    def overdue(self, job: StoredJob, text: str) -> bool:
        """
        The job still runs though its time is over: to be shown until it is settled.

        For a thread of its own, which then calls ``close``.
        """
        return False

    #: Whether ``cancel`` does anything.
    cancels = False

    def cancel(self, id_: int) -> Cancellation:
        """
        Let a job not run: at once, or, while it runs, by asking it to end and ringing the bell.

        Of one that was asked to end, whatever settles it but a success makes it cancelled.
        """
        return "gone"

    def asked_to_end(self) -> Collection[tuple[int, int]]:
        """The running jobs that were asked to end, by id and attempts."""
        return ()

    def is_asked_to_end(self, job: StoredJob) -> bool:
        """Whether this run was."""
        return False

    #: Whether ``recover`` does anything.
    recovers = False

    def recover(self, limits_of: Callable[[StoredJob], Limits | None]) -> list[Settlement]:
        """
        Put right what dead workers have left locked, and return what became of it.

        *limits_of* gives the limits of a job, or None for one that is not the caller's to judge. A
        failure that by these waits for hooks is told, but left for the caller to settle.
        For storage that can tell whether a worker lives; others give up on one that takes too long,
        by the max_runtime that ``find`` is told.
        """
        return []

    def check(self) -> None:
        """
        Say by ``logger`` what somebody should see to: something grows without end, for example.

        A worker on storage that ``recovers`` calls it about once a second.
        """

    #: Whether ``sweep`` does anything.
    sweeps = False

    def sweep(self) -> bool:
        """Delete some of the jobs that were kept long enough; whether there may be more."""
        return False

    @staticmethod
    def takes(queues: Iterable[str], queue: str) -> bool:
        """Whether *queues*, as ``find`` is told them, have *queue* among them."""
        return selections.takes(queues, queue)

    #: Whether ``pause`` and ``resume`` do anything.
    pauses = False

    def pause(self, queue: str) -> None:
        """From now on ``find`` finds no job of that queue, or of any for ``"*"``; also twice."""

    def resume(self, queue: str) -> None:
        """Take back a ``pause`` of that very name, if there is one, and ring the bell."""

    def paused(self) -> list[str]:
        """What is paused, sorted: names, and ``"*"`` for every queue."""
        return []

    def held_back(self, queues: Iterable[str]) -> dict[str, int]:
        """How many jobs of *queues* are due, but wait as their queue is paused; by queue."""
        return {}

    def is_due(self, queues: Iterable[str]) -> bool:
        """Whether a job of *queues* could be found now, if that is known without finding it."""
        return False

    def next_run_at(self) -> int | None:
        """When the next scheduled job is due (ms since 1970, UTC), if that is known."""
        return None

    def exchange(
        self, settlements: Sequence[Settlement], finds: Sequence[Find]
    ) -> list[list[StoredJob]]:
        """
        Record what became of finished jobs, then find new ones: one list for each of *finds*.

        Storage with transactions does all of it in one.
        """
        for job, outcome in settlements:
            self.settle(job, outcome)
        if settlements:
            self.ring_ended()
        return [
            self.find(
                worker=find.worker,
                queues=find.queues,
                max_runtime=find.max_runtime,
                limit=find.limit,
            )
            for find in finds
        ]

    def settle(self, job: StoredJob, outcome: Outcome) -> None:
        """Record one outcome by the method of its kind, unless the job has done so itself."""
        if outcome.settled:
            return
        if outcome.crashed:
            self.crash(job)
        if outcome.progress is not None:
            self.progress(job, outcome.progress)
        if not self._settles(job, outcome):
            self.tell_lost(job, outcome)

    def _settles(self, job: StoredJob, outcome: Outcome) -> bool:
        """Whether the row was still that of the run, or did not have to be."""
        match outcome:
            case Outcome("success"):
                held = self.success(
                    job, delete=outcome.delete, keep=outcome.keep, result=outcome.result
                )
            case Outcome("error", str(error), int(run_at)):
                held = self.error(job, error, run_at)
            case Outcome("failure", str(error)):
                held = self.failure(job, error, delete=outcome.delete, keep=outcome.keep)
            case Outcome("cancelled", str(reason)):
                held = self.cancelled(job, reason, delete=outcome.delete, keep=outcome.keep)
            case Outcome("snoozed", run_at=int(run_at)):
                held = self.snooze(job, run_at)
            case Outcome("unloadable", str(error)):
                held = self.unloadable(job, error)
            case Outcome("progress"):
                held = True
            case _:
                held = self.release(job)
        return held

    def tell_lost(self, job: StoredJob, outcome: Outcome) -> None:
        """Say that a job was another's when its outcome was to be recorded."""
        self.logger.warning(
            "job %d was no longer ours: its %s changed nothing", job.id, outcome.kind
        )

    def ring(self, *, soon: bool = False, to_end: bool = False) -> None:
        """
        Wake the workers that wait in ``run_directory``: to be called once jobs are stored.

        *soon*: they are stored, but in a transaction that is still open. *to_end*: a running job
        was asked to end.
        """
        if self.run_directory is not None:
            ring(self.run_directory, word=SOON if soon else END if to_end else NOW)

    def ring_ended(self) -> None:
        """Wake those who wait for the end of jobs: to be called once such are settled."""
        if self.run_directory is not None:
            ring(self.run_directory, ENDED)

    def get_meta(self, key: str) -> str | None:
        """A fact stored with the jobs, or None."""
        return None

    def set_meta(self, key: str, value: str) -> None:
        """Store a fact with the jobs, where the storage has a place for it."""

    def describe(self) -> str:
        """Where the jobs are, in words for a log line."""
        return type(self).__name__

    def give_up_when(self, is_impatient: Callable[[], bool]) -> None:
        """
        Until ``close``, wait no longer for the storage on this thread once *is_impatient* says so.

        What was waited for raises then, as if the wait had been in vain.
        """

    def close(self) -> None:
        """Let go of connections that this thread holds."""
