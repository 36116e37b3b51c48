"""A runner as a child process of the app that wants its jobs run."""

import atexit
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from litejobs import defaults

_HOPELESS = {2, 65, 78}  # exit codes that another start would only repeat
log = logging.getLogger("litejobs")


@dataclass(frozen=True, slots=True)
class Attached:
    """What a runner that is attached to an app works for: its manager, or a database."""

    root: Path
    app: str = ""  # MODULE:NAME
    database: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


class BackgroundProcess:
    """
    The worker groups of a manager in processes of their own, as long as this one lives.

    A runner that dies is started again. It ends with this process, however that ends; running jobs
    then get 5 seconds.
    """

    def __init__(self, what: Attached, level: int) -> None:
        self._what = what
        self._level = level
        self._owner = os.getpid()
        self._process: subprocess.Popen[bytes] | None = None
        self._leash = -1
        self._stopping = threading.Event()
        # Held by whoever starts the runner, speaks to it or lets it go: none starts after a stop,
        # and no word goes to a descriptor that is another's by then.
        self._handling = threading.Lock()
        self._thread = threading.Thread(target=self._keep, name="litejobs-runner", daemon=True)

    #: Forked children leave the runner to their parent.
    died_in_a_fork = False

    def start(self) -> None:
        """Start the runner; it loads the app in its own time, and says in its log if it cannot."""
        self._launch()
        self._thread.start()
        os.register_at_fork(after_in_child=self._let_go)
        atexit.register(self.stop, defaults.EXIT_PATIENCE)

    def stop(self, timeout: float | None = None) -> bool:
        """
        Begin no new job and wait for the running ones, at most *timeout* seconds (None: for ever).

        Then they are stopped and go back, with no attempt spent. Returns whether all have ended by
        themselves.
        """
        atexit.unregister(self.stop)
        if os.getpid() != self._owner or self._process is None:
            return True
        with self._handling:  # from here on there is no other runner than this one
            self._stopping.set()
        self._say(signal.SIGINT)
        has_ended = self._ends_within(timeout)
        if not has_ended:
            log.warning("background jobs did not end within %g s and go back", timeout)
            self._say(signal.SIGQUIT)
            if not self._ends_within(defaults.FAREWELL):
                self._process.kill()
        self._thread.join(defaults.FAREWELL)
        return has_ended

    def is_alive(self) -> bool:
        """Whether the runner is there, or will be again, as a child of this process."""
        return os.getpid() == self._owner and self._thread.is_alive()

    def _launch(self) -> None:
        theirs, self._leash = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603  # our own module
                [sys.executable, "-P", "-m", "litejobs.attached", str(theirs), str(self._level),
                 str(self._what.root), self._what.app, self._what.database],
                env=self._environment(),
                pass_fds=[theirs],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # the app passes a Ctrl-C on
            )  # fmt: skip
        finally:
            os.close(theirs)

    def _environment(self) -> dict[str, str]:
        """This process's; what can be imported here can be there."""
        path = os.pathsep.join(place or "." for place in sys.path)
        return {**os.environ, "PYTHONPATH": path, **self._what.environment}

    def _keep(self) -> None:
        """Start the runner again whenever it has died, until nobody wants it any more."""
        pause, longest = defaults.RESTART_BACKOFF
        while True:
            assert self._process is not None
            began = time.monotonic()
            code = self._process.wait()
            with self._handling:
                self._let_go()
            if self._stopping.is_set():
                return
            if code in _HOPELESS:
                log.error("the background runner ended with exit code %d and stays away", code)
                return
            if time.monotonic() - began > longest:
                pause, _ = defaults.RESTART_BACKOFF
            log.error("the background runner %s; it is started again in %g s", _how(code), pause)
            if self._stopping.wait(pause):
                return
            pause = min(longest, 2 * pause)
            try:
                with self._handling:
                    if self._stopping.is_set():
                        return
                    self._launch()
            except OSError as error:
                log.error("the background runner cannot be started: %s", error)  # noqa: TRY400  # one sentence

    def _say(self, number: signal.Signals) -> None:
        """Let the runner raise a signal for itself, as soon as it is ready for one."""
        with self._handling, suppress(OSError):  # it is gone
            os.write(self._leash, bytes([number]))

    def _let_go(self) -> None:
        """Close our end of the leash: here when the runner is gone, in forked children at once."""
        leash, self._leash = self._leash, -1
        if leash >= 0:
            with suppress(OSError):
                os.close(leash)

    def _ends_within(self, timeout: float | None) -> bool:
        assert self._process is not None
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True


def _how(code: int) -> str:
    return f"ended with exit code {code}" if code >= 0 else f"was killed by signal {-code}"
