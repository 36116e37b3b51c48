"""The performer's side: load the app, do what the runner asks for, end when the runner is gone."""

import atexit
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue

from litejobs import defaults
from litejobs.adapters.base import BaseAdapter
from litejobs.errors import ConfigurationError, LitejobsError
from litejobs.execution import Execution
from litejobs.inline import InlineWorker
from litejobs.job import Outcome
from litejobs.performers.alarm import Alarm
from litejobs.performers.manifest import Manifest
from litejobs.performers.surroundings import Surroundings
from litejobs.performers.tenure import Tenure
from litejobs.performers.tokens import Taker
from litejobs.performers.wire import (
    Broken,
    Channel,
    Cleared,
    Cut,
    Done,
    Failed,
    Idle,
    Leaves,
    Look,
    Message,
    Mourned,
    Over,
    Perform,
    Ready,
    Says,
    Settled,
    Start,
)
from litejobs.rules.error_text import describe, headline
from litejobs.rules.outcome import after_success
from litejobs.rules.text import printable

Task = Callable[[Channel], None]
Load = Callable[[Start], tuple[Manifest, Task]]
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def serve(descriptors: Sequence[int], load: Load) -> None:
    """
    Speak with the runner until it is gone, by the first of *descriptors*, a socket.

    The others are the runner's lease, held as long as this process lives, and tokens.
    """
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)  # noqa: FBT003
    _die_with_the_runner()
    # The runner alone decides when a performer ends: a signal to the whole process group must not
    # take a job away that may still be finished. A handler, not SIG_IGN: programs started by a job
    # would inherit that.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    end, *others = descriptors
    channel = Channel(socket.socket(fileno=end))

    def let_go() -> None:
        channel.close()
        for descriptor in others:
            os.close(descriptor)

    os.register_at_fork(after_in_child=let_go)
    start = channel.receive()
    if isinstance(start, Start):
        with suppress(OSError):  # the runner is gone: there is nobody to tell
            _do(start, load, channel)


def _do(start: Start, load: Load, channel: Channel) -> None:
    """What the runner asks for; raises OSError if it is gone."""
    try:
        manifest, task = load(start)
    except BaseException as error:  # noqa: BLE001  # an app may leave by SystemExit
        channel.send(_broken(error, f"the app {start.app} does not load", ConfigurationError))
        return
    try:
        channel.send(Ready(manifest))
        task(channel)
    except BaseException as error:  # noqa: BLE001  # an adapter of the app's may raise anything
        what = f"{start.task} by the app {start.app} went wrong"
        channel.send(_broken(error, what, LitejobsError))


def perform(execution: Execution, start: Start, channel: Channel) -> None:
    """Run jobs as the runner hands them out, until one has timed out or its tenure is over."""
    if start.tokens is None:  # it was only asked what the app is
        return
    performance = _Performance(execution, start, channel, Taker(start.tokens))
    with suppress(OSError):  # the runner is gone, or this is a forked child of a job
        while performance.goes_on(channel.receive()):
            pass
    with suppress(BaseException):  # what is left of async jobs ends here
        execution.close()


class _Performance:
    """What one performer needs to run its jobs."""

    def __init__(self, execution: Execution, start: Start, channel: Channel, tokens: Taker) -> None:
        self._execution = execution
        self._channel = channel
        self._usual = after_success(start.limits)
        self._tokens = tokens
        os.register_at_fork(after_in_child=tokens.forget)
        self._slot = start.slot
        self._alarm = Alarm(start.limits, channel.send, start.cancelled)
        atexit.register(self._alarm.close)
        self._tenure = Tenure(start.max_jobs, start.max_memory)
        self._surroundings = Surroundings()
        self._began = 0.0  # the first of the jobs of which nothing is said
        self._unsaid = 0  # how many those are
        execution.progress.teller = lambda job, said: channel.send(Says(job.id, said))

    def goes_on(self, message: Message | None) -> bool:
        """Do what the runner asks for; False if nothing is to follow."""
        match message:
            case Perform():
                return self._run(message)
            case Failed(job, error):
                self._execution.run_failure_hooks(job, error)
                self._channel.send(Mourned(job.id))
                return True
            case _:
                return False

    def _run(self, chunk: Perform) -> bool:
        """Run the jobs of a chunk for which there is a token; False if others are not to follow."""
        self._began = time.monotonic()
        self._unsaid = 0
        ended = 0  # the id of the job before
        for job in chunk.jobs:
            if not self._tokens.take():
                if self._unsaid:
                    self._say(ended, self._usual)
                self._channel.send(Cut())
                break
            if self._slot is not None:
                self._slot.note(job.id, job.attempts)
            self._alarm.expect()
            result = self._execution.run(job, self._alarm)
            leaves = self._alarm.why_over() or self._tenure.why_over()
            self._unsaid += 1
            ended = job.id
            if job is chunk.jobs[-1] or leaves or result != self._usual:
                self._say(ended, result, leaves)
            self._surroundings.restore()
            if leaves:
                return False
        return True

    def _say(self, id_: int, result: Outcome, leaves: str = "") -> None:
        now = time.monotonic()
        self._channel.send(Done(id_, result, leaves, self._unsaid, now - self._began))
        self._began, self._unsaid = now, 0


def work(worker: InlineWorker, start: Start, channel: Channel) -> None:
    """
    Let the worker find its jobs itself, and tell the runner what it does and the outcomes.

    Until the runner wants no more, a job has timed out, or the tenure is over.
    """
    looks: SimpleQueue[object] = SimpleQueue()
    tenure = Tenure(start.max_jobs, start.max_memory)
    surroundings = Surroundings()
    leaves = ""

    def end() -> None:
        worker.stop()
        looks.put(None)

    def after_job() -> None:
        nonlocal leaves
        tell(Over())
        leaves = alarm.why_over() or tenure.why_over()
        if leaves and not worker.stopping.requested:
            worker.stop()
        surroundings.restore()

    def listen() -> None:
        while isinstance(message := channel.receive(), Look):
            looks.put(message)
        end()

    def tell(message: Message) -> None:
        try:
            channel.send(message)
        except OSError:  # as in perform
            end()

    worker.guard = alarm = Alarm(None, tell)
    atexit.register(alarm.close)
    # Where storage gives up on jobs that take too long, it is not to do so before they are killed.
    worker.grace = 2 * defaults.TIMEOUT_GRACE
    worker.after_job = after_job
    worker.on_settled = lambda ended: tell(Settled(tuple(outcome for _, outcome in ended)))
    threading.Thread(target=listen, daemon=True).start()
    is_wanted: object = True
    while is_wanted:
        worker.work()
        if leaves:
            tell(Leaves(leaves))
            return
        tell(Idle())
        is_wanted = looks.get()


def clear(adapter: BaseAdapter, channel: Channel) -> None:
    """Delete every job that the storage holds."""
    channel.send(Cleared(adapter.clear()))


def _broken(error: BaseException, what: str, least: type[LitejobsError]) -> Broken:
    """What the runner is told: litejobs' own sentences as they are; the kind is *least* or more."""
    if not isinstance(error, LitejobsError):
        return Broken(printable(f"{what}: {headline(error)}"), describe(error))
    kinds = [kind for kind in type(error).__mro__ if kind.__module__ == LitejobsError.__module__]
    kind = next((kind for kind in kinds if issubclass(kind, least)), least)
    return Broken(str(error), kind=kind.__name__)


def _die_with_the_runner() -> None:
    """Where the system can: end at once if the runner is killed, whatever the job is doing."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415  # used on Linux alone

        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # pragma: no cover  # it was killed just now
            sys.exit(0)
