"""The runner's side: places at which jobs run, each with a performer, and the next when it dies."""

import logging
import selectors
from collections.abc import Sequence

from litejobs import defaults
from litejobs.clock import Clock
from litejobs.config import takes
from litejobs.execution import log_error
from litejobs.handler import job_name
from litejobs.job import Find, Limits, Outcome, Settlement, StoredJob
from litejobs.performers.crew import Crew
from litejobs.performers.manifest import Group, Manifest
from litejobs.performers.output import Output
from litejobs.performers.place import Place
from litejobs.performers.wire import Begun, Done, Message, Perform, Start
from litejobs.rules.outcome import after_crash, after_error, released, too_long

log = logging.getLogger("litejobs")


class JobPlace(Place):
    """Where one job at a time runs."""

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
        super().__init__(name, start, lease, output=output)
        self.group = group
        self.find = Find(locked_by, group.queues, group.limits.max_runtime)
        self.job: StoredJob | None = None
        self._own: Limits | None = None  # of the job, if the process told them

    def is_free(self) -> bool:
        """Whether a job could begin here at once."""
        return (
            self.process is not None
            and self.manifest is not None
            and self.job is None
            and not self.leaves
        )

    def begin(self, job: StoredJob) -> bool:
        """Hand the job out; False if the process did not take it, so that it never begins."""
        assert self.process is not None
        self.job = job
        self._own = None
        self.counts_from_now(self.group.limits)
        return self.process.send(Perform(job))

    def begun(self, limits: Limits) -> None:
        """The job that was handed out begins, with limits that may be its own."""
        self._own = limits
        self.counts_from_now(limits)

    def limits_of(self, job: StoredJob) -> Limits:
        """The limits of the job that runs here, as far as is known."""
        assert self.manifest is not None
        return self._own or self.manifest.limits_of(self.group, job.handler)

    def take_job(self) -> StoredJob | None:
        """The job that was running here no longer is."""
        job, self.job = self.job, None
        self.counts_no_more()
        return job


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
    ) -> None:
        """
        *manifest* tells the limits of jobs until performers tell a newer one.

        *give_up*: raise the reason when an app does not load, rather than retry.
        """
        super().__init__(places, selector, give_up=give_up)
        self._manifest = manifest
        self._clock = clock
        self._settlements: list[Settlement] = []
        self._stale: set[JobPlace] = set()  # where the process has loaded code that has changed
        self._is_other = False  # the app has other groups now, or other storage; said once

    @property
    def queues(self) -> frozenset[str]:
        return frozenset(queue for place in self.places for queue in place.group.queues)

    @property
    def busy(self) -> bool:
        return bool(self._settlements) or any(place.job for place in self.places)

    def wanted(self) -> list[Find]:
        if self.why_hopeless():
            return []
        return [place.find for place in self.places if place.is_free()]

    def begin(self, find: Find, jobs: Sequence[StoredJob]) -> None:
        for job in jobs:  # one at most: a place wishes for no more
            place = next(place for place in self.places if place.find is find)
            if not place.begin(job):
                self.unread(place)
                self.bury(place, "did not take a job")

    def collect(self) -> list[Settlement]:
        for place in self.places:
            self.tend(place)
        why = self.why_hopeless()
        if why and not self.busy:
            raise why
        settlements, self._settlements = self._settlements, []
        return settlements

    def limits_of(self, job: StoredJob) -> Limits | None:
        for place in self.places:
            if takes(place.group.queues, job.queue):
                told = (one.manifest for one in self.places if one.manifest is not None)
                return next(told, self._manifest).limits_of(place.group, job.handler)
        return None

    def abandon(self) -> list[Settlement]:
        for place in self.places:
            if place.process is not None:
                self.kill(place)
                self.unread(place)
                self.leave(place)
        settlements, self._settlements = self._settlements, []
        return settlements

    def heed(self, place: JobPlace, message: Message) -> None:
        match message:
            case Begun(id_, limits) if place.job is not None and place.job.id == id_:
                place.begun(limits)
            case Done(id_, result, why) if place.job is not None and place.job.id == id_:
                self._settlements.append((place.job, result))
                place.take_job()
                if why:
                    log.debug("%s %s and is replaced", place.who, why)
                    place.takes_leave(why)
                elif place in self._stale:
                    self._dismiss(place)

    def ready(self, place: JobPlace, manifest: Manifest) -> None:
        self._stale.discard(place)
        here = (self._manifest.groups, self._manifest.adapters)
        if manifest.groups and (manifest.groups, manifest.adapters) != here and not self._is_other:
            log.warning("worker groups or storage of the app have changed: restart to heed them")
            self._is_other = True

    def renew(self) -> None:
        self._stale = {place for place in self.places if place.manifest is not None}
        for place in self.places:
            if place.is_free():
                self._dismiss(place)

    def _dismiss(self, place: JobPlace) -> None:
        """Let an idle process end; the next one loads the code anew."""
        assert place.process is not None
        place.process.dismiss()
        place.takes_leave("has loaded code that has changed")

    def watch(self, place: JobPlace) -> None:
        if place.is_out_of_time():
            self._time_out(place)
        else:
            super().watch(place)

    def unread(self, place: JobPlace) -> None:
        """The job at *place*, if there is one, was never begun or is stopped by a person."""
        job = place.take_job()
        if job is not None:
            self._settlements.append((job, released()))

    def lost(self, place: JobPlace, what: str) -> bool:
        """The job that was running is held to account."""
        job = place.take_job()
        if job is None:
            return bool(place.leaves)
        self._blame(place, job, f"PerformerDied: {place.who} {what} while it ran this job")
        return True

    def _blame(self, place: JobPlace, job: StoredJob, error: str) -> None:
        limits = place.limits_of(job)
        result = after_crash(
            error, attempts=job.attempts, crashes=job.crashes, limits=limits, now=self._clock.now()
        )
        self._settle(job, limits, result)

    def _time_out(self, place: JobPlace) -> None:
        """Kill a job that did not heed its limit; if it has ended after all, that counts."""
        self.kill(place)
        place.takes_leave("did not end in time")
        job = place.take_job()
        if job is not None:
            limits = place.limits_of(job)
            grace = f"{defaults.TIMEOUT_GRACE:g} s"
            error = (
                f"JobTimeout: {too_long(limits)}, did not end within {grace} more and was killed"
            )
            result = after_error(error, attempts=job.attempts, limits=limits, now=self._clock.now())
            self._settle(job, limits, result)
        self.leave(place)

    def _settle(self, job: StoredJob, limits: Limits, result: Outcome) -> None:
        log_error(log, job, job_name(job.handler), limits.max_attempts, result)
        self._settlements.append((job, result))
