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
from litejobs.performers.wire import GARBLED, UNREAD, Broken, Done, Perform, Ready, Start
from litejobs.rules.outcome import after_error, released
from litejobs.rules.text import printable_lines

_FAILED_STARTS = 3  # in a row, of one place, until those who give up do
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
        self.failed_starts = 0  # in a row
        self._start = start
        self._pause = 0.0  # seconds before the next start
        self._start_at = 0.0

    @property
    def who(self) -> str:
        """The worker and its process, for a log line."""
        return f"{self.name} (pid {self.process.pid if self.process else '-'})"

    def is_free(self) -> bool:
        """Whether a job could begin here at once."""
        return self.process is not None and self.manifest is not None and self.job is None

    def begin(self, job: StoredJob) -> bool:
        """Hand the job out; False if the process did not take it, so that it never begins."""
        assert self.process is not None
        self.job = job
        return self.process.send(Perform(job))

    def launch(self) -> None:
        """Start a process if the pause since the last one is over; raises OSError."""
        if time.monotonic() >= self._start_at:
            self.manifest = None
            self.process = PerformerProcess(self.name, self._start)

    def is_overdue(self) -> bool:
        """Whether the process takes longer to load than it may."""
        return (
            self.process is not None
            and self.manifest is None
            and time.monotonic() > self.process.started + defaults.READINESS
        )

    def loaded(self, manifest: Manifest) -> None:
        """The process is ready. Only starts that fail make the next ones wait longer."""
        self.manifest = manifest
        self.broken = ""
        self.failed_starts = 0
        self._pause = 0.0

    def take_job(self) -> StoredJob | None:
        """The job that was running here no longer is."""
        job, self.job = self.job, None
        return job

    def vacate(self) -> None:
        """The process is gone; the next one starts after a pause that grows."""
        first, longest = defaults.RESTART_BACKOFF
        if self.manifest is None:
            self.failed_starts += 1
        self.process = None
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
        return bool(self._settlements) or any(place.job for place in self._places)

    def wanted(self) -> list[Find]:
        if self._why_hopeless():
            return []
        return [place.find for place in self._places if place.is_free()]

    def begin(self, find: Find, jobs: Sequence[StoredJob]) -> None:
        for job in jobs:  # one at most: a place wishes for no more
            place = next(place for place in self._places if place.find is find)
            if not place.begin(job):
                self._give_back(place)
                self._bury(place, "did not take a job")

    def collect(self) -> list[Settlement]:
        for place in self._places:
            self._tend(place)
        why = self._why_hopeless()
        if why and not self.busy:
            raise ConfigurationError(why)
        settlements, self._settlements = self._settlements, []
        return settlements

    def abandon(self) -> list[Settlement]:
        for place in self._places:
            if place.process is not None:
                place.process.kill()
                self._listen(place)  # what it said before it was killed counts
                self._give_back(place)
                self._leave(place)
        settlements, self._settlements = self._settlements, []
        return settlements

    def patience(self) -> float:
        return min(place.patience() for place in self._places)

    def close(self) -> None:
        """End every process: idle ones may end by themselves, which flushes what they print."""
        deadline = time.monotonic() + defaults.FAREWELL
        for place in self._places:
            if place.process is not None:
                place.process.dismiss()
        for place in self._places:
            if place.process is not None:
                if place.is_free():
                    place.process.end(deadline)
                self._leave(place)

    def _why_hopeless(self) -> str:
        """Why to try no longer, if an app does not load and that is not to be waited for."""
        if not self._give_up:
            return ""
        tried = [place for place in self._places if place.failed_starts >= _FAILED_STARTS]
        return tried[0].broken if tried else ""

    def _tend(self, place: Place) -> None:
        if place.process is None:
            self._launch(place)
        elif place.is_overdue():
            self._bury(place, f"did not load its app within {defaults.READINESS:g} s")
        elif not place.is_free() and place.process.has_ended():
            self._hear(place)
            if place.process is not None:  # a process of its job still holds the socket
                self._bury(place, place.process.ended_how())

    def _launch(self, place: Place) -> None:
        try:
            place.launch()
        except OSError as error:
            self._say_broken(place, f"{place.name} cannot be started: {error}")
            place.vacate()
            return
        if place.process is not None:
            self._selector.register(place.process, selectors.EVENT_READ, lambda: self._hear(place))

    def _hear(self, place: Place) -> None:
        assert place.process is not None
        end = self._listen(place)
        if end == UNREAD:
            self._give_back(place)
        if end == GARBLED:
            self._bury(place, "wrote something of its own to the runner")
        elif end:
            self._bury(place, place.process.ended_how())

    def _listen(self, place: Place) -> str:
        """Heed what the process says; why it will say no more, or an empty text."""
        assert place.process is not None
        messages, end = place.process.arrived()
        for message in messages:
            match message:
                case Ready(manifest):
                    place.loaded(manifest)
                case Broken(reason, detail):
                    self._say_broken(place, reason)
                    log.debug("%s", printable_lines(detail))
                    place.failed_starts = _FAILED_STARTS
                case Done(id_, result) if place.job is not None and place.job.id == id_:
                    self._settlements.append((place.job, result))
                    place.take_job()
        return end

    def _give_back(self, place: Place) -> None:
        """The job at *place*, if there is one, was never begun or is stopped by a person."""
        job = place.take_job()
        if job is not None:
            self._settlements.append((job, released()))

    def _bury(self, place: Place, what: str) -> None:
        """The process is over, or must be: the job that it was running is held to account."""
        job = place.take_job()
        if job is not None:
            self._blame(place, job, f"PerformerDied: {place.who} {what} while it ran this job")
        elif place.manifest is not None:
            log.error("%s %s; another is started", place.who, what)
        elif not place.broken:
            self._say_broken(place, f"{place.who} {what} while it loaded")
        self._leave(place)

    def _leave(self, place: Place) -> None:
        """The process at *place* goes, whatever it is doing."""
        assert place.process is not None
        self._selector.unregister(place.process)
        place.process.close()
        place.vacate()

    def _blame(self, place: Place, job: StoredJob, error: str) -> None:
        assert place.manifest is not None
        limits = place.manifest.limits_of(place.group, job.handler)
        result = after_error(error, attempts=job.attempts, limits=limits, now=self._clock.now())
        log_error(log, job, job_name(job.handler), limits.max_attempts, result)
        self._settlements.append((job, result))

    def _say_broken(self, place: Place, reason: str) -> None:
        """Once, loudly; the same again only quietly."""
        if reason not in {other.broken for other in self._places}:
            log.error("%s%s", reason, "" if self._give_up else "; tried again until it works")
        place.broken = reason
