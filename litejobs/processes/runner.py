"""The process behind ``work``, ``workoff`` and ``worker``: owns the database, runs no user code."""

import logging
import selectors
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from litejobs import defaults
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.clock import Clock, SystemClock
from litejobs.errors import ConfigurationError, UnusableAppError
from litejobs.job import Outcome, StoredJob
from litejobs.performers.manifest import Group, Manifest
from litejobs.performers.parent import Performers, Place
from litejobs.performers.wire import Start
from litejobs.processes.signals import Received, stop_on_signals
from litejobs.run_directory.bell import Bell
from litejobs.run_directory.identity import locked_by, new_lease, worker_name
from litejobs.stop import Stop
from litejobs.worker import Worker, wait, work

log = logging.getLogger("litejobs")


class Source(Protocol):
    """What a runner works for: an app, or a database without one."""

    @property
    def start(self) -> Start:
        """What each performer is told first."""
        ...

    def manifest(self, stop: Stop) -> Manifest | None:
        """Groups and storages; None if *stop* came first."""
        ...

    def adapters(self, manifest: Manifest) -> dict[str, SqliteAdapter]:
        """The storages, opened, by the manifest's keys."""
        ...


class Observer(Protocol):
    """Is told what happens."""

    def ready(self, due: int) -> None:
        """Workers begin; so many jobs are due now."""
        ...

    def settled(self, job: StoredJob, outcome: Outcome) -> None:
        """An outcome is recorded."""
        ...


@dataclass(frozen=True, slots=True)
class Only:
    """Of all workers just this one: the group's index and the worker's id in it."""

    index: int
    id: int


class Runner:
    """Hosts the workers of an app, one Worker for each adapter, until told to stop."""

    def __init__(
        self,
        source: Source,
        observer: Observer,
        *,
        workoff: bool = False,
        only: Only | None = None,
        stop_timeout: float = defaults.STOP_TIMEOUT,
        clock: Clock | None = None,
    ) -> None:
        self._source = source
        self._observer = observer
        self._workoff = workoff
        self._only = only
        self._stop_timeout = stop_timeout
        self._clock = clock or SystemClock()
        self._stop = Stop()
        self._lease = new_lease()

    def run(self) -> int:
        """Work until all is done or a signal says stop; the exit code that signals ask for."""
        with stop_on_signals(self._stop, self._stop_timeout) as received, ExitStack() as stack:
            manifest = self._manifest()
            if manifest is not None:
                self._work(manifest, stack)
        return self._exit_code(received)

    def _manifest(self) -> Manifest | None:
        """The manifest; ``work`` tries until it has one, ``workoff`` once."""
        pause, longest = defaults.RESTART_BACKOFF
        said = ""
        with selectors.DefaultSelector() as selector:
            selector.register(self._stop, selectors.EVENT_READ, self._stop.drain)
            while not self._stop.requested:
                try:
                    return self._source.manifest(self._stop)
                except UnusableAppError:
                    raise
                except ConfigurationError as error:
                    if self._workoff:
                        raise
                    if str(error) != said:
                        log.error("%s; tried again until it works", error)  # noqa: TRY400  # one sentence
                    said = str(error)
                wait(selector, pause)
                pause = min(longest, 2 * pause)
        return None

    def _work(self, manifest: Manifest, stack: ExitStack) -> None:
        selector = stack.enter_context(selectors.DefaultSelector())
        selector.register(self._stop, selectors.EVENT_READ, self._heed)
        adapters = self._source.adapters(manifest)
        workers = []
        due = 0
        for key, adapter in adapters.items():
            stack.callback(adapter.close)
            places = self._places(manifest, key)
            if not places:
                continue
            adapter.reload()
            bell = Bell(adapter.run_directory)
            stack.callback(bell.close)
            selector.register(bell, selectors.EVENT_READ, bell.drain)
            performers = Performers(places, selector, self._clock, give_up=self._workoff)
            due += adapter.count_due(performers.queues)
            stack.callback(performers.close)
            workers.append(self._worker(adapter, performers, places))
        self._observer.ready(due)
        work(workers, selector)

    def _places(self, manifest: Manifest, key: str) -> list[Place]:
        return [
            self._place(group, number, index)
            for number, group in enumerate(manifest.groups)
            for index in self._ids(manifest, number)
            if group.adapter == key
        ]

    def _ids(self, manifest: Manifest, number: int) -> Sequence[int]:
        """The ids of a group's workers that are to run here."""
        if self._only is None:
            return range(manifest.groups[number].count)
        if self._only.index >= len(manifest.groups):
            raise ConfigurationError(
                f"there is no worker group {self._only.index}; there are {len(manifest.groups)}, "
                "the first is 0"
            )
        return [self._only.id] if number == self._only.index else []

    def _place(self, group: Group, number: int, index: int) -> Place:
        name = worker_name(group.queues, index)
        start = self._source.start
        return Place(
            name,
            locked_by(name, self._lease),
            group,
            Start(start.app, start.root, start.database, number, start.log_level, start.hint),
        )

    def _worker(
        self, adapter: SqliteAdapter, performers: Performers, places: Sequence[Place]
    ) -> Worker:
        names = ", ".join(place.name for place in places)
        log.info("working on %s as %s", adapter.path, names)
        return Worker(
            adapter,
            performers,
            stop=self._stop,
            clock=self._clock,
            sleep_delay=min(place.group.sleep_delay for place in places),
            workoff=self._workoff,
            on_settled=self._observer.settled,
        )

    def _heed(self) -> None:
        self._stop.drain()
        if self._stop.at_once:
            log.warning("stopping at once: unfinished jobs go back, no attempt is spent")
        else:
            log.warning("finishing the running jobs; the same again stops them")

    def _exit_code(self, received: Received) -> int:
        cut_short = self._stop.at_once or (self._workoff and self._stop.requested)
        return 128 + received.number if cut_short else 0
