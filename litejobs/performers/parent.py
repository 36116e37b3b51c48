"""The runner's side: places at which jobs run, each with a performer, and the next when it dies."""

import logging
import math
import selectors
import time
from collections.abc import Sequence

from litejobs import defaults
from litejobs.clock import Clock
from litejobs.errors import ConfigurationError
from litejobs.execution import log_error
from litejobs.job import Find, Settlement, StoredJob
from litejobs.performers.manifest import Group, Manifest, job_name
from litejobs.performers.process import PerformerProcess
from litejobs.performers.wire import Broken, Done, Perform, Ready, Start
from litejobs.rules.outcome import after_error, released

_WATCH = 1.0  # seconds between looks whether a busy performer is there, beside its socket
log = logging.getLogger("litejobs")


class Place:
    """Where one job at a time runs: a performer process, and the next one when it has died."""

    def __init__(self, name: str, locked_by: str, group: Group, start: Start) -> None:
        self.name = name
        self.group = group
        self.find = Find(locked_by, group.queues, group.limits.max_runtime)
        self.job: StoredJob | None = None
        self.process: PerformerProcess | None = None
        self.manifest: Manifest | None = None  # None: the process is still loading
        self.broken = ""  # why the app did not load at the last try
        self._start = start
        self._pause = 0.0  # seconds before the next start
        self._start_at = 0.0

    def is_free(self) -> bool:
        """Whether a job could begin here at once."""
        return self.process is not None and self.manifest is not None and self.job is None

    def begin(self, job: StoredJob) -> None:
        assert self.process is not None
        self.job = job
        self.process.send(Perform(job))

    def launch(self) -> None:
        """Start a process, if there is none and the pause since the last one is over."""
        if self.process is None and time.monotonic() >= self._start_at:
            self.process = PerformerProcess(self.name, self._start)
            self.manifest = None

    def is_overdue(self) -> bool:
        """Whether the process takes longer to load than it may."""
        return (
            self.process is not None
            and self.manifest is None
            and time.monotonic() > self.process.started + defaults.READINESS
        )

    def loaded(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.broken = ""

    def finished(self) -> StoredJob | None:
        """The job that was running here no longer is."""
        job, self.job = self.job, None
        self._pause = 0.0
        return job

    def vacate(self) -> None:
        """The process is gone; the next one starts after a pause that grows."""
        first, longest = defaults.RESTART_BACKOFF
        self.process = None
        self.job = None
        self._pause = min(longest, 2 * self._pause or first)
        self._start_at = time.monotonic() + self._pause

    def patience(self) -> float:
        """Seconds until something is to be done here though its socket says nothing."""
        if self.process is None:
            return max(0.0, self._start_at - time.monotonic())
        return math.inf if self.is_free() else _WATCH


class Performers:
    """The executor of processes: one place for each worker of the groups on one adapter."""

    def __init__(
        self,
        places: Sequence[Place],
        selector: selectors.BaseSelector,
        clock: Clock,
        *,
        give_up: bool = False,
    ) -> None:
        """*give_up*: raise ConfigurationError when an app does not load, rather than retry."""
        self._places = places
        self._selector = selector
        self._clock = clock
        self._give_up = give_up
        self._settlements: list[Settlement] = []

    @property
    def queues(self) -> frozenset[str]:
        return frozenset(queue for place in self._places for queue in place.group.queues)

    @property
    def busy(self) -> bool:
        """Whether a job is running, or its outcome waits to be collected."""
        return bool(self._settlements) or any(place.job for place in self._places)

    def wanted(self) -> list[Find]:
        return [place.find for place in self._places if place.is_free()]

    def begin(self, find: Find, jobs: Sequence[StoredJob]) -> None:
        for job in jobs:  # one at most: a place wishes for no more
            next(place for place in self._places if place.find is find).begin(job)

    def collect(self) -> list[Settlement]:
        for place in self._places:
            self._tend(place)
        broken = [place.broken for place in self._places if place.broken]
        if self._give_up and broken:
            raise ConfigurationError(broken[0])
        settlements, self._settlements = self._settlements, []
        return settlements

    def abandon(self) -> list[Settlement]:
        settlements, self._settlements = self._settlements, []
        settlements += [(place.job, released()) for place in self._places if place.job is not None]
        for place in self._places:
            if place.process is not None:
                self._leave(place)
        return settlements

    def patience(self) -> float:
        return min(place.patience() for place in self._places)

    def close(self) -> None:
        """End every process: idle ones may end by themselves, which flushes what they print."""
        deadline = time.monotonic() + defaults.FAREWELL
        processes = [place.process for place in self._places if place.process is not None]
        for process in processes:
            process.dismiss()
        for place in self._places:
            if place.process is not None:
                if place.is_free():
                    place.process.end(deadline)
                self._leave(place)

    def _leave(self, place: Place) -> None:
        """The process at *place* goes, whatever it is doing."""
        assert place.process is not None
        self._selector.unregister(place.process)
        place.process.kill()
        place.vacate()

    def _tend(self, place: Place) -> None:
        if place.process is None:
            place.launch()
            if place.process is not None:
                self._selector.register(
                    place.process, selectors.EVENT_READ, lambda: self._hear(place)
                )
        elif place.is_overdue():
            self._bury(place, f"did not load its app within {defaults.READINESS:g} s")
        elif place.job is not None and place.process.has_ended():
            self._hear(place)

    def _hear(self, place: Place) -> None:
        assert place.process is not None
        messages, is_open = place.process.arrived()
        for message in messages:
            match message:
                case Ready(manifest):
                    place.loaded(manifest)
                case Broken(reason):
                    self._say_broken(place, reason)
                case Done(result) if (job := place.finished()) is not None:
                    self._settlements.append((job, result))
        if not is_open:
            self._bury(place, place.process.ended_how())

    def _bury(self, place: Place, what: str) -> None:
        assert place.process is not None
        who = f"{place.name} (pid {place.process.pid})"
        if place.job is not None:
            self._blame(place, place.job, f"PerformerDied: {who} {what} while it ran this job")
        elif place.manifest is not None:
            log.error("%s %s; another is started", who, what)
        elif not place.broken:
            self._say_broken(place, f"{who} {what} while it loaded")
        self._leave(place)

    def _blame(self, place: Place, job: StoredJob, error: str) -> None:
        """The job that was running is the one that is held to account."""
        assert place.manifest is not None
        limits = place.manifest.limits_of(place.group, job.handler)
        result = after_error(error, attempts=job.attempts, limits=limits, now=self._clock.now())
        log_error(log, job, job_name(job.handler), limits.max_attempts, result)
        self._settlements.append((job, result))

    def _say_broken(self, place: Place, reason: str) -> None:
        """Once, loudly; the same again only quietly."""
        if reason not in {other.broken for other in self._places}:
            log.error("%s; tried again until it works", reason)
        place.broken = reason
