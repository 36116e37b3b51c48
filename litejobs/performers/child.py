"""The performer's side: load the app, run one job at a time, end when the runner is gone."""

import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

from litejobs.errors import LitejobsError, UnusableAppError
from litejobs.execution import Execution
from litejobs.performers.manifest import Manifest
from litejobs.performers.wire import Broken, Channel, Done, Perform, Ready, Start
from litejobs.rules.error_text import describe, headline
from litejobs.rules.text import printable

Load = Callable[[Start], tuple[Manifest, Execution]]
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def serve(descriptor: int, load: Load) -> None:
    """Speak with the runner at the other end of *descriptor* until it is gone."""
    os.set_inheritable(descriptor, False)  # noqa: FBT003
    _die_with_the_runner()
    # The runner alone decides when a performer ends: a signal to the whole process group must not
    # take a job away that may still be finished. A handler, not SIG_IGN: programs started by a job
    # would inherit that.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    channel = Channel(socket.socket(fileno=descriptor))
    os.register_at_fork(after_in_child=channel.close)
    start = channel.receive()
    if not isinstance(start, Start):
        return
    try:
        manifest, execution = load(start)
    except LitejobsError as error:
        channel.send(Broken(str(error), final=isinstance(error, UnusableAppError)))
        return
    except BaseException as error:  # noqa: BLE001  # an app may leave by SystemExit
        reason = printable(f"the app {start.app} does not load: {headline(error)}")
        channel.send(Broken(reason, describe(error)))
        return
    channel.send(Ready(manifest))
    with suppress(OSError):  # the runner is gone, or this is a forked child of a job
        while isinstance(message := channel.receive(), Perform):
            channel.send(Done(message.job.id, execution.run(message.job)))
    execution.close()


def _die_with_the_runner() -> None:
    """Where the system can: end at once if the runner is killed, whatever the job is doing."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415  # used on Linux alone

        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # pragma: no cover  # it was killed just now
            sys.exit(0)
