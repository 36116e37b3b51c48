import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

from litejobs.performers.wire import Channel, Message, Start

_LAST_WORDS = 0.5  # seconds for a process whose socket closed to leave its exit code
_PEEK = os.WEXITED | os.WNOWAIT | os.WNOHANG


class PerformerProcess:
    """A child process that runs jobs, and the channel to it; a file for a selector."""

    def __init__(self, name: str, start: Start) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # From the runner's main thread: PR_SET_PDEATHSIG fires when the spawning thread ends.
            self._process = subprocess.Popen(  # noqa: S603  # our own module
                [sys.executable, "-P", "-m", "litejobs.perform", str(theirs.fileno()), name],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.pid = self._process.pid
        self.started = time.monotonic()
        self._channel = Channel(ours)
        self.send(start)

    def fileno(self) -> int:
        return self._channel.fileno()

    def send(self, message: Message) -> None:
        """Never fails: if the process is gone, its socket says so next."""
        with suppress(OSError):
            self._channel.send(message)

    def arrived(self) -> tuple[list[Message], bool]:
        """The messages that have come, and whether more can."""
        return self._channel.arrived()

    def has_ended(self) -> bool:
        """Whether the process is over; it is not reaped, so its pid stays its own."""
        reaped = self._process.returncode is not None
        return reaped or os.waitid(os.P_PID, self.pid, _PEEK) is not None

    def ended_how(self) -> str:
        """After the channel closed: end what is left of its session, and say what happened."""
        if not self._ends_within(_LAST_WORDS):
            self.kill()
            return "closed its connection to the runner and was killed"
        self.kill()
        code = self._process.returncode
        if code >= 0:
            return f"ended with exit code {code}"
        with suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
        return f"was killed by signal {-code}"

    def dismiss(self) -> None:
        """Tell it, while it is idle, that no more will come."""
        self._channel.shut()

    def end(self, deadline: float) -> None:
        """After ``dismiss``: let it end by itself until *deadline* (monotonic), then end it."""
        self._ends_within(deadline - time.monotonic())
        self.kill()

    def _ends_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self.has_ended():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def kill(self) -> None:
        """End it at once, with all that it started in its session."""
        if self._process.returncode is not None:
            return  # reaped before: the pid may be a stranger's by now
        with suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._channel.close()
