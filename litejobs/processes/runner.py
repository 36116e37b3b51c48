"""The process behind ``work``, ``workoff`` and ``worker``: owns the database, runs no user code."""

import logging
import os
import selectors
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from litejobs import defaults
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.clock import Clock, SystemClock
from litejobs.errors import ConfigurationError, UnusableAppError
from litejobs.job import Outcome
from litejobs.performers.job_place import JobPlace
from litejobs.performers.manifest import Group, Manifest
from litejobs.performers.output import Output
from litejobs.performers.parent import Performers
from litejobs.performers.place import Place
from litejobs.performers.wire import Start, Task
from litejobs.performers.workers import WorkerPlace, WorkerProcesses
from litejobs.processes.beside import Beside, Readiness, Reaper
from litejobs.processes.code import SourceWatch
from litejobs.processes.log import DaemonLog
from litejobs.processes.notify import Notifier
from litejobs.processes.roles import Observer, Source
from litejobs.processes.signals import Received, follow, stop_on_signals
from litejobs.run_directory.bell import Bell
from litejobs.run_directory.identity import locked_by, worker_name
from litejobs.run_directory.lease import held_lease
from litejobs.soon import Soon
from litejobs.stop import Stop, Wish
from litejobs.worker import Worker, Works, tell_held_back, tell_untaken, wait, work

Seat = tuple[Group, int, int]  # a worker: its group, the number of that, its own id in it
log = logging.getLogger("litejobs")


@dataclass(frozen=True, slots=True)
class Only:
    """Of all workers just this one: the group's index and the worker's id in it."""

    index: int
    id: int


class Runner:
    """
    Hosts the workers of an app until told to stop.

    One Worker for each adapter that it can open; processes that find their jobs themselves for the
    others.
    """

    def __init__(
        self,
        source: Source,
        observer: Observer,
        *,
        workoff: bool = False,
        only: Only | None = None,
        stop_timeout: float = defaults.STOP_TIMEOUT,
        leash: int | None = None,
        log: DaemonLog | None = None,
        notifier: Notifier | None = None,
        clock: Clock | None = None,
    ) -> None:
        """
        *leash* is a descriptor by which whoever started this can stop it: see ``follow``.

        *log* makes it a daemon: what its performers print goes there, SIGHUP opens it anew, and an
        app that does not load at first is an error. *notifier* is told how it goes.
        """
        self._source = source
        self._observer = observer
        self._workoff = workoff
        self._only = only
        self._stop_timeout = stop_timeout
        self._leash = leash
        self._log = log
        self._notifier = notifier
        self._clock = clock or SystemClock()
        self._stop = Stop()
        self._hangup = None if log is None else Wish()
        self._gives_up = workoff or log is not None
        self._crews: list[Performers | WorkerProcesses] = []
        self._workers: list[Worker | WorkerProcesses] = []
        self._settled = 0  # outcomes so far

    def run(self) -> int:
        """Work until all is done or a signal says stop; the exit code that signals ask for."""
        signals = stop_on_signals(self._stop, self._stop_timeout, self._hangup)
        with signals as received, ExitStack() as stack:
            if self._leash is not None:
                follow(self._leash)
            manifest = self._manifest()
            if manifest is not None:
                self._work(manifest, stack)
        return self._exit_code(received)

    def _manifest(self) -> Manifest | None:
        """The manifest; ``work`` tries until it has one, ``workoff`` and a daemon once."""
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
                    if self._gives_up:
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
        for adapter in adapters.values():
            stack.callback(adapter.close)
        workers: list[Works] = []
        due = 0
        for key, what in manifest.adapters.items():
            seats = [
                (group, number, id_)
                for number, group in enumerate(manifest.groups)
                for id_ in self._ids(manifest, number)
                if group.adapter == key
            ]
            if not seats:
                continue
            if key in adapters:
                _sync(adapters[key], manifest, key)
                worker, soon, here = self._worker(adapters[key], manifest, seats, selector, stack)
                workers += [worker, soon]
                due += here
            else:
                workers.append(self._processes(str(what), seats, selector, stack))
        if self._only is None and manifest.home is not None:
            tell_untaken(manifest.home.queues, (group.queues for group in manifest.groups))
        self._observer.ready(due)
        work([*workers, *self._besides(selector)], selector)
        for one in workers if self._workoff else ():
            if isinstance(one, Worker):
                tell_held_back(one.adapter, one.executor.queues)

    def _besides(self, selector: selectors.BaseSelector) -> list[Beside]:
        """What else the loop is to do."""
        besides: list[Beside] = [Readiness(self._crews, self._up)]
        if self._notifier is not None:
            besides.append(self._notifier)
        if self._log is not None and self._hangup is not None:
            selector.register(self._hangup, selectors.EVENT_READ, self._reopen_log)
            besides.append(self._log)
        if os.getpid() == 1:
            besides.append(Reaper(self._crews))
        return besides

    def _up(self) -> None:
        self._observer.up([place.name for crew in self._crews for place in crew.places])
        if self._notifier is not None:
            self._notifier.ready()

    def _reopen_log(self) -> None:
        assert self._hangup is not None
        assert self._log is not None
        self._hangup.drain()
        self._log.reopen()

    def _ids(self, manifest: Manifest, number: int) -> Sequence[int]:
        """The ids of a group's workers that are to run here."""
        if self._only is None:
            return range(manifest.groups[number].count)
        manifest.group(self._only.index)
        return [self._only.id] if number == self._only.index else []

    def _worker(
        self,
        adapter: SqliteAdapter,
        manifest: Manifest,
        seats: Sequence[Seat],
        selector: selectors.BaseSelector,
        stack: ExitStack,
    ) -> tuple[Worker, Soon, int]:
        """The Worker on an adapter, with a performer at each seat; how many jobs it is to do."""
        adapter.reload()
        bell = Bell(adapter.run_directory)
        stack.callback(bell.close)
        sleep_delay = min(group.sleep_delay for group, _, _ in seats)
        lease = stack.enter_context(held_lease(adapter.run_directory))
        places = []
        for group, number, id_ in seats:
            name = worker_name(group.queues, id_)
            slots = {"slot": lease.new_slot(), "cancelled": lease.new_slot()}
            start = self._start(number, group, **slots)
            who, fds = locked_by(name, lease.name), lease.descriptors
            places.append(JobPlace(name, who, group, start, fds, output=self._output(name)))
        performers = Performers(
            places,
            selector,
            self._clock,
            manifest,
            give_up=self._gives_up,
            is_held=adapter.is_held,
        )
        self._crews.append(performers)
        stack.callback(performers.close)
        _say_where(adapter.path, places)
        worker = Worker(
            adapter,
            performers,
            stop=self._stop,
            clock=self._clock,
            sleep_delay=sleep_delay,
            workoff=self._workoff,
            code_has_changed=SourceWatch(Path(self._source.start.root)).has_changed,
            on_settled=lambda settlements: self._tell([outcome for _, outcome in settlements]),
        )
        self._workers.append(worker)
        soon = Soon(bell, sleep_delay, worker.heed_cancelled)
        if bell.hears:
            selector.register(bell, selectors.EVENT_READ, soon.hear)
        return worker, soon, adapter.count_due(performers.queues) if self._workoff else 0

    def _processes(
        self,
        what: str,
        seats: Sequence[Seat],
        selector: selectors.BaseSelector,
        stack: ExitStack,
    ) -> WorkerProcesses:
        """A worker process at each seat."""
        task: Task = "workoff" if self._workoff else "work"
        places = []
        for group, number, id_ in seats:
            name = worker_name(group.queues, id_)
            start = self._start(number, group, task=task, id=id_)
            places.append(WorkerPlace(name, start, output=self._output(name)))
        processes = WorkerProcesses(
            places,
            selector,
            stop=self._stop,
            workoff=self._workoff,
            give_up=self._gives_up,
            on_settled=self._tell,
            settled=lambda: self._settled,
        )
        self._crews.append(processes)
        self._workers.append(processes)
        stack.callback(processes.close)
        _say_where(what, places)
        return processes

    def _output(self, name: str) -> Output | None:
        return None if self._log is None else self._log.output(name)

    def _start(self, number: int, group: Group, **how: Any) -> Start:
        return msgspec.structs.replace(
            self._source.start,
            group=number,
            limits=group.limits,
            max_jobs=group.max_jobs,
            max_memory=group.max_memory,
            **how,
        )

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        self._settled += len(outcomes)
        self._observer.settled(outcomes)

    def _heed(self) -> None:
        self._stop.drain()
        if self._notifier is not None:
            self._notifier.stopping()
        if self._stop.at_once:
            log.warning("stopping at once: unfinished jobs go back, no attempt is spent")
        elif not any(one.busy for one in self._workers):
            log.info("stopping: no job is running")
        elif self._log is None:
            log.warning("finishing the running jobs; the same again stops them")
        else:
            log.info("finishing the running jobs")

    def _exit_code(self, received: Received) -> int:
        cut_short = self._stop.at_once or (self._workoff and self._stop.requested)
        return 128 + received.number if cut_short else 0


def _sync(adapter: SqliteAdapter, manifest: Manifest, key: str) -> None:
    """Store what the app's code says that recurs there."""
    if manifest.owner is not None:
        adapter.schedules.sync(manifest.owner, manifest.schedules.get(key, ()))


def _say_where(storage: str, places: Sequence[Place]) -> None:
    log.info("working on %s as %s", storage, ", ".join(place.name for place in places))
