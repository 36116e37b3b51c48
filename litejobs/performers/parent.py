"""The runner's side: places at which jobs run, each with a performer, and the next when it dies."""

import logging
import selectors
from collections.abc import Sequence

from litejobs.clock import Clock
from litejobs.config import takes
from litejobs.execution import log_error
from litejobs.handler import job_name
from litejobs.job import Find, Limits, Settlement, StoredJob
from litejobs.performers.crew import Crew
from litejobs.performers.manifest import Group, Manifest
from litejobs.performers.place import Place
from litejobs.performers.wire import Done, Message, Perform, Start
from litejobs.rules.outcome import after_crash, released

log = logging.getLogger("litejobs")


class JobPlace(Place):
    """Where one job at a time runs."""

    def __init__(
        self, name: str, locked_by: str, group: Group, start: Start, lease: Sequence[int] = ()
    ) -> None:
        super().__init__(name, start, lease)
        self.group = group
        self.find = Find(locked_by, group.queues, group.limits.max_runtime)
        self.job: StoredJob | None = None

    def is_free(self) -> bool:
        """Whether a job could begin here at once."""
        return self.process is not None and self.manifest is not None and self.job is None

    def begin(self, job: StoredJob) -> bool:
        """Hand the job out; False if the process did not take it, so that it never begins."""
        assert self.process is not None
        self.job = job
        return self.process.send(Perform(job))

    def take_job(self) -> StoredJob | None:
        """The job that was running here no longer is."""
        job, self.job = self.job, None
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
            case Done(id_, result) if place.job is not None and place.job.id == id_:
                self._settlements.append((place.job, result))
                place.take_job()

    def unread(self, place: JobPlace) -> None:
        """The job at *place*, if there is one, was never begun or is stopped by a person."""
        job = place.take_job()
        if job is not None:
            self._settlements.append((job, released()))

    def lost(self, place: JobPlace, what: str) -> bool:
        """The job that was running is held to account."""
        job = place.take_job()
        if job is None:
            return False
        self._blame(place, job, f"PerformerDied: {place.who} {what} while it ran this job")
        return True

    def _blame(self, place: JobPlace, job: StoredJob, error: str) -> None:
        assert place.manifest is not None
        limits = place.manifest.limits_of(place.group, job.handler)
        result = after_crash(
            error, attempts=job.attempts, crashes=job.crashes, limits=limits, now=self._clock.now()
        )
        log_error(log, job, job_name(job.handler), limits.max_attempts, result)
        self._settlements.append((job, result))
