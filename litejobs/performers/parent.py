"""The runner's side: places at which jobs run, each with a performer, and the next when it dies."""

import logging
import random
import selectors
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

from litejobs import defaults
from litejobs.clock import Clock
from litejobs.errors import StorageError
from litejobs.execution import log_outcome
from litejobs.job import Find, Limits, Outcome, Settlement, StoredJob
from litejobs.performers.crew import Crew
from litejobs.performers.failures import Failures, not_run
from litejobs.performers.job_place import JobPlace
from litejobs.performers.manifest import Manifest
from litejobs.performers.wire import Begun, Cut, Done, Message, Mourned, Says
from litejobs.row import job_name
from litejobs.rules.outcome import (
    after_cancel,
    after_crash,
    after_error,
    released,
    settled,
    too_long,
)  # fmt: skip
from litejobs.rules.queues import takes, union

log = logging.getLogger("litejobs")


class Performers(Crew[JobPlace]):
    """The executor of processes: one place for each worker of the groups on one adapter."""

    def __init__(
        self,
        places: Sequence[JobPlace],
        selector: selectors.BaseSelector,
        clock: Clock,
        manifest: Manifest,
        *,
        give_up: bool = False,
        is_held: Callable[[StoredJob], bool] = lambda _: True,
    ) -> None:
        """
        *manifest* tells the limits of jobs until performers tell a newer one.

        *give_up*: raise the reason when an app does not load, rather than retry. *is_held* says
        whether a job whose process has died is to be settled: it may have done that itself.
        """
        super().__init__(places, selector, give_up=give_up)
        self._manifest = manifest
        self._clock = clock
        self._is_held = is_held
        self._settlements: list[Settlement] = []
        self._failures = Failures()
        self._stale: set[JobPlace] = set()  # where the process has loaded code that has changed
        self._is_other = False  # the app has other groups now, or other storage; said once

    @property
    def queues(self) -> frozenset[str]:
        return union(*(place.group.queues for place in self.places))

    @property
    def busy(self) -> bool:
        is_at_work = any(place.tray.jobs or place.failure for place in self.places)
        return is_at_work or bool(self._settlements or self._failures)

    def wanted(self) -> list[Find]:
        if self.why_hopeless():
            return []
        # Idle ones first: a job is not to wait behind another for as long as it could begin.
        places = sorted(self.places, key=lambda place: place.tray.chunks)
        wishes = [place.wish() for place in places if place not in self._stale]
        return [wish for wish in wishes if wish is not None]

    def begin(self, find: Find, jobs: Sequence[StoredJob]) -> None:
        if not jobs:
            return
        place = next(place for place in self.places if place.locked_by == find.worker)
        fitting = place.fitting(jobs)
        self._settlements += [(job, released()) for job in jobs[len(fitting) :]]
        was_free = place.is_free()
        if not fitting or place.begin(fitting):
            return
        if was_free:
            self.kill(place)
            self.bury(place, "did not take a job")
        else:  # the job that runs may have closed the socket: how that ends is the cause
            self.hang_up(place)

    def in_hand(self) -> list[int]:
        handed = [job.id for place in self.places for job in place.tray.jobs]
        return handed + self._failed() + [job.id for job, _ in self._settlements]

    def recall(self) -> None:
        for place in self.places:
            self._settlements += place.take_back()

    def cancel(self, runs: Collection[tuple[int, int]]) -> None:
        for place in self.places:
            if place.tray.jobs and not place.hung_up:
                self.listen(place)
                self._settlements += place.cancel(runs)

    def collect(self) -> list[Settlement]:
        for place in self.places:
            self.tend(place)
            self._look(place)
        self._settlements += self._failures.hand_out(self.places)
        why = self.why_hopeless()
        if why and not self.busy:
            raise why
        settlements, self._settlements = self._settlements, []
        return settlements

    def _look(self, place: JobPlace) -> None:
        """See how far a chunk is; jobs that wait too long for the one that runs go to others."""
        if place.is_to_be_heard() and not place.hung_up:
            self.listen(place)
            if place.is_held_up():
                self._settlements += place.take_back()

    def limits_of(self, job: StoredJob) -> Limits | None:
        if job.id in self._failed():
            return None
        for place in self.places:
            if takes(place.group.queues, job.queue):
                told = (one.manifest for one in self.places if one.manifest is not None)
                return next(told, self._manifest).limits_of(place.group, job.handler)
        return None

    def run_failure_hooks(self, job: StoredJob, outcome: Outcome) -> None:
        self._failures.add((job, outcome))

    def _failed(self) -> list[int]:
        """The ids of jobs whose failure is not to be recorded before their hooks have run."""
        running = [place.failure[0].id for place in self.places if place.failure is not None]
        return self._failures.ids() + running

    def abandon(self) -> list[Settlement]:
        self._settlements += self._failures.give_up()
        for place in self.places:
            if place.process is not None:
                self.kill(place)
                running = self._take_all(place)
                if running is not None and not self._has_finished(running, place, "was stopped"):
                    self._settlements.append((running, released()))  # a person has stopped it
                self.leave(place)
        settlements, self._settlements = self._settlements, []
        return settlements

    def listen(self, place: JobPlace) -> str:
        unbegun = place.tray.count_unbegun()  # first: see there
        end = super().listen(place)
        self._settlements += place.progress(unbegun)
        return end

    def heed(self, place: JobPlace, message: Message) -> None:
        match message:
            case Begun(id_, limits):
                self._settlements += place.begun(id_, limits)
            case Says(id_, progress):
                self._settlements += place.said(id_, progress)
            case Done(leaves=why):
                self._settlements += place.done(message)
                if why:
                    log.debug("%s %s and is replaced", place.who, why)
                    self._settlements += place.take_back()
                    place.takes_leave(why)
                else:
                    self._dismiss_if_stale(place)
            case Mourned():
                self._record_failure(place)
                self._dismiss_if_stale(place)
            case Cut():
                place.tray.dropped()

    def ready(self, place: JobPlace, manifest: Manifest) -> None:
        self._stale.discard(place)
        here = (self._manifest.groups, self._manifest.adapters)
        if manifest.groups and (manifest.groups, manifest.adapters) != here and not self._is_other:
            log.warning("worker groups or storage of the app have changed: restart to heed them")
            self._is_other = True

    def renew(self) -> None:
        self._stale = {place for place in self.places if place.manifest is not None}
        self.recall()
        for place in self.places:
            self._dismiss_if_stale(place)

    def close(self) -> None:
        super().close()
        for place in self.places:
            place.tray.close()

    def _dismiss_if_stale(self, place: JobPlace) -> None:
        """Let an idle process whose code has changed end; the next one loads it anew."""
        if place not in self._stale or not place.is_free():
            return
        assert place.process is not None
        place.process.dismiss()
        place.takes_leave("has loaded code that has changed")

    def watch(self, place: JobPlace) -> None:
        if place.is_out_of_time():
            self.listen(place)  # it may have begun another since
        if place.is_out_of_time():
            self._time_out(place)
        else:
            super().watch(place)

    def hung_up(self, place: JobPlace) -> None:
        self._settlements += place.take_back()

    def lost(self, place: JobPlace, what: str) -> bool:
        """The job that was running is held to account."""
        job = self._take_all(place)
        if job is None:
            return bool(place.leaves)
        if not self._has_finished(job, place, what):
            self._blame(place, job, f"PerformerDied: {place.who} {what} while it ran this job")
        return True

    def leave(self, place: JobPlace) -> None:
        if place.failure is not None:
            not_run(place.failure[0].id, "their process has ended, or was killed")
            self._record_failure(place)
        super().leave(place)

    def _record_failure(self, place: JobPlace) -> None:
        failure = place.take_failure()
        if failure is not None:
            self._settlements.append(failure)

    def _take_all(self, place: JobPlace) -> StoredJob | None:
        """Of a process that is gone, and was heard: what it did; the job that was running."""
        self._settlements += place.take_back()
        self._settlements += place.progress(0)
        return place.take_running()

    def _has_finished(self, job: StoredJob, place: JobPlace, what: str) -> bool:
        """Whether it was settled before its process went, in a transaction of its own."""
        with suppress(StorageError):  # unknown: what is recorded then changes a running job only
            if not self._is_held(job):
                log.error("%s %s after job %d had finished", place.who, what, job.id)
                self._settlements.append((job, settled()))
                return True
        return False

    def _blame(self, place: JobPlace, job: StoredJob, error: str) -> None:
        limits = place.limits_of(job)
        if place.is_cancelled(job):
            result = after_cancel(limits, how=f"; {error.partition(': ')[2]}")
        else:
            result = after_crash(
                error,
                attempts=job.attempts,
                crashes=job.crashes,
                limits=limits,
                now=self._clock.now(),
                chance=random.random(),  # noqa: S311  # spreads retries
            )
        self._settle(job, limits, result)

    def _time_out(self, place: JobPlace) -> None:
        """Kill a job that did not heed its limit; if it has ended after all, that counts."""
        self.kill(place)
        place.takes_leave("did not end in time")
        job = self._take_all(place)
        if job is not None and not self._has_finished(job, place, "did not end in time"):
            limits = place.limits_of(job)
            result = self._after_kill(job, limits, is_cancelled=place.is_cancelled(job))
            self._settle(job, limits, result)
        self.leave(place)

    def _after_kill(self, job: StoredJob, limits: Limits, *, is_cancelled: bool) -> Outcome:
        how = f", did not end within {defaults.TIMEOUT_GRACE:g} s more and was killed"
        if is_cancelled:
            return after_cancel(limits, how)
        error = f"JobTimeout: {too_long(limits)}{how}"
        return after_error(
            error,
            attempts=job.attempts,
            limits=limits,
            now=self._clock.now(),
            chance=random.random(),  # noqa: S311  # as above
        )

    def _settle(self, job: StoredJob, limits: Limits, result: Outcome) -> None:
        log_outcome(log, job, job_name(job.handler), limits.max_attempts, result)
        if result.waits_for_hooks(limits):
            self.run_failure_hooks(job, result)
        else:
            self._settlements.append((job, result))
