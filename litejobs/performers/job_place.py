import math
import time
from collections.abc import Collection, Sequence
from itertools import accumulate

import msgspec

from litejobs import defaults
from litejobs.job import Find, Limits, Outcome, Settlement, StoredJob
from litejobs.performers.manifest import Group
from litejobs.performers.output import Output
from litejobs.performers.place import Place
from litejobs.performers.process import PerformerProcess
from litejobs.performers.tray import Tray
from litejobs.performers.wire import Done, Failed, Perform, Start
from litejobs.rules.outcome import after_success, released
from litejobs.rules.pace import Pace


class JobPlace(Place):
    """Where jobs run one after the other, handed out in chunks: one that runs, one at hand."""

    def __init__(
        self,
        name: str,
        locked_by: str,
        group: Group,
        start: Start,
        lease: Sequence[int] = (),
        *,
        output: Output | None = None,
    ) -> None:
        """*locked_by* is what stands in the rows of its jobs; the rest is as for every place."""
        super().__init__(name, start, lease, output=output)
        self.group = group
        self.locked_by = locked_by
        self.tray = Tray()
        self.failure: Settlement | None = None  # whose hooks run there, instead of jobs
        self._pace = Pace()
        self._unbegun = 0  # when it was last looked
        self._looked_at = 0.0
        self._moved_at = 0.0  # when a job was last seen to begin
        self._own: Limits | None = None  # of the job that runs, if the process told them
        self._usual = after_success(group.limits)
        self._cancelled = (0, 0)  # the run that was told last to end, by id and attempts
        self._cancelled_by = math.inf  # when it is killed, if it has not ended

    # What can begin here

    def is_free(self) -> bool:
        return self._is_up and not self.tray.jobs and self.failure is None

    @property
    def _is_up(self) -> bool:
        is_there = self.process is not None and self.manifest is not None
        return is_there and not self.leaves and not self.hung_up

    def wish(self) -> Find | None:
        """What to find for this place now; None if it has enough."""
        is_enough = self.tray.chunks > (1 if self._pace.is_light else 0)
        if is_enough or not self.tray.takes_more or not self._is_up or self.failure is not None:
            return None
        return Find(
            self.locked_by, self.group.queues, self.group.limits.max_runtime, self._pace.chunk
        )

    def fitting(self, jobs: Sequence[StoredJob]) -> Sequence[StoredJob]:
        """Those of the jobs, the first ones, that can be handed out without waiting to be read."""
        sizes = [_most_bytes(job.handler) for job in jobs]
        self._pace.weighed(len(jobs), sum(sizes))
        room = 2 * defaults.CHUNK_BYTES
        within = sum(size <= room for size in accumulate(sizes))
        return jobs[: within if self.tray.jobs else max(1, within)]

    def begin(self, jobs: Sequence[StoredJob]) -> bool:
        """Hand the jobs out as a chunk; False if the process does not take it."""
        assert self.process is not None
        self._unbegun += len(jobs)
        if not self.tray.jobs:  # the first one begins now
            self._unbegun -= 1
            self._moved_at = time.monotonic()
            self.counts_from_now(self.group.limits)
        self.tray.lay(jobs)
        return self.process.send(Perform(tuple(jobs)))

    def run_failure_hooks(self, job: StoredJob, outcome: Outcome) -> None:
        """Have the after_failure hooks of a job run by the process, which has nothing to do."""
        assert self.process is not None
        self.failure = (job, outcome)
        self.counts_from_now(self.group.limits)
        self.process.send(Failed(job, outcome.error or ""))  # one that does not read is noticed

    def take_failure(self) -> Settlement | None:
        """The failure whose hooks ran, or were to run, can be recorded."""
        failure, self.failure = self.failure, None
        if failure is not None:
            self.counts_no_more()
        return failure

    # How far it is

    def begun(self, id_: int, limits: Limits) -> list[Settlement]:
        """The process says that a job begins, with limits that may be its own."""
        ended = self._went_well(self.tray.before(id_))
        if self.tray.jobs and self.tray.jobs[0].id == id_:
            self._own = limits
            self.counts_from_now(limits)
        return ended

    def said(self, id_: int, progress: str) -> list[Settlement]:
        """The process says how far the job that runs is."""
        ended = self._went_well(self.tray.before(id_))
        if self.tray.jobs and self.tray.jobs[0].id == id_:
            ended.append((self.tray.jobs[0], Outcome("progress", progress=progress)))
        return ended

    def done(self, said: Done) -> list[Settlement]:
        """The process says what became of a job; those that it began before went well."""
        self._pace.took(max(1, said.jobs), said.seconds)
        ended = [(job, self._usual) for job in self.tray.before(said.id)]
        job = self.tray.pop(said.id)
        if job is not None:
            ended.append((job, said.outcome))
        self._note(len(ended))
        return ended

    def progress(self, unbegun: int) -> list[Settlement]:
        """What has ended, as so many were not begun before the process was heard."""
        self._looked_at = time.monotonic()
        if unbegun < self._unbegun:
            self._moved_at = self._looked_at
        self._unbegun = unbegun
        return self._went_well(self.tray.ended(unbegun))

    def is_to_be_heard(self) -> bool:
        """Whether it is time to see how far it is with a chunk, though it says nothing."""
        has_more = len(self.tray.jobs) > 1
        return has_more and time.monotonic() - self._looked_at >= defaults.SILENCE

    def is_held_up(self) -> bool:
        """Whether jobs that were handed out wait too long for the one that runs."""
        has_more = len(self.tray.jobs) > 1
        return has_more and time.monotonic() - self._moved_at > self._pace.silence

    def _went_well(self, jobs: Sequence[StoredJob]) -> list[Settlement]:
        """A job of which nothing is said has ended as jobs usually do."""
        self._note(len(jobs))
        return [(job, self._usual) for job in jobs]

    def _note(self, ended: int) -> None:
        """So many jobs have ended."""
        if not ended:
            return
        self._moved_at = time.monotonic()
        self._own = None
        if self._cancelled_by < math.inf and not any(map(self.is_cancelled, self.tray.jobs)):
            self._forget_cancelled()
        if self.tray.jobs:
            self.counts_from_now(self.group.limits)
        else:
            self.counts_no_more()

    # What does not end by itself

    def cancel(self, runs: Collection[tuple[int, int]]) -> list[Settlement]:
        """
        Let these end, as far as they are here: the one that runs is told, others go back.

        For when the process was heard just now.
        """
        if not any((job.id, job.attempts) in runs for job in self.tray.jobs):
            return []
        given_back = self.take_back()
        running = self.tray.jobs[-1] if self.tray.jobs else None
        if running is not None and (running.id, running.attempts) in runs:
            self._tell_to_end(running)
        return given_back

    def _tell_to_end(self, job: StoredJob) -> None:
        if self.is_cancelled(job) or self._start.cancelled is None or self.process is None:
            return
        self._cancelled = (job.id, job.attempts)
        self._cancelled_by = time.monotonic() + defaults.TIMEOUT_GRACE
        self._start.cancelled.note(*self._cancelled)  # first: the signal has it read
        self.process.interrupt()

    def _forget_cancelled(self) -> None:
        """That run is over; one with the same id and attempts may come, if a person retries it."""
        self._cancelled, self._cancelled_by = (0, 0), math.inf
        if self._start.cancelled is not None:
            self._start.cancelled.note(0, 0)

    def is_cancelled(self, job: StoredJob) -> bool:
        """Whether that run was told to end."""
        return (job.id, job.attempts) == self._cancelled

    def is_out_of_time(self) -> bool:
        return super().is_out_of_time() or time.monotonic() >= self._cancelled_by

    def take_back(self) -> list[Settlement]:
        """What was not begun goes back."""
        self._unbegun = 0
        return [(job, released()) for job in self.tray.take_back()]

    def take_running(self) -> StoredJob | None:
        """For after ``take_back``, when the process is gone: the job that ran, if one did."""
        self.counts_no_more()
        self._cancelled_by = math.inf
        return self.tray.pop(self.tray.jobs[0].id) if self.tray.jobs else None

    def limits_of(self, job: StoredJob) -> Limits:
        """The limits of the job that runs here, as far as is known."""
        assert self.manifest is not None
        return self._own or self.manifest.limits_of(self.group, job.handler)

    # Its processes

    def new_process(self) -> PerformerProcess:
        former, self.tray = self.tray, Tray()  # raises OSError before anything is closed
        former.close()
        self._own = None
        self._forget_cancelled()
        reader = self.tray.tokens.reader
        start = msgspec.structs.replace(self._start, tokens=reader)
        return PerformerProcess(self.name, start, [*self._lease, reader], output=self._output)

    def patience(self) -> float:
        is_waiting = len(self.tray.jobs) > 1
        until_killed = max(0.0, self._cancelled_by - time.monotonic())
        return min(super().patience(), defaults.SILENCE if is_waiting else math.inf, until_killed)


def _most_bytes(text: str) -> int:
    """That it may have in UTF-8."""
    return len(text) if text.isascii() else 4 * len(text)
