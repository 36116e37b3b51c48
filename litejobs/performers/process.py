import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from litejobs.performers.memory import kills
from litejobs.performers.output import Output, Printed
from litejobs.performers.wire import Channel, Message, Start

_PEEK = os.WEXITED | os.WNOWAIT | os.WNOHANG


class PerformerProcess:
    """A child process that runs jobs, and the channel to it; a file for a selector."""

    def __init__(
        self,
        name: str,
        start: Start,
        lease: Sequence[int] = (),
        *,
        output: Output | None = None,
    ) -> None:
        """
        Raises OSError if the system cannot start one now.

        *lease* are descriptors to hold while it lives. *output* takes what it prints; None: it has
        our own stdout and stderr.
        """
        ours, theirs = socket.socketpair()
        self.printed = None if output is None else Printed(output)
        writer = None if self.printed is None else self.printed.writer
        try:
            # From the runner's main thread: PR_SET_PDEATHSIG fires when the spawning thread ends.
            self._process = subprocess.Popen(  # noqa: S603  # our own module
                [sys.executable, "-P", "-m", "litejobs.perform",
                 ",".join(map(str, (theirs.fileno(), *lease))), name],
                pass_fds=[theirs.fileno(), *lease],
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=writer,
                start_new_session=True,
            )  # fmt: skip
        except BaseException:
            ours.close()
            if self.printed is not None:
                self.printed.close()
            raise
        finally:
            theirs.close()
            if writer is not None:
                os.close(writer)
        ours.setblocking(False)  # noqa: FBT003  # whatever the other side does, we go on
        self.pid = self._process.pid
        self.started = time.monotonic()
        self._kills = kills()
        self._channel = Channel(ours)
        self.send(start)

    def fileno(self) -> int:
        return self._channel.fileno()

    def send(self, message: Message) -> bool:
        """Whether the message was handed over: not to a process that is gone or does not read."""
        try:
            self._channel.send(message)
        except OSError:
            return False
        return True

    def arrived(self) -> tuple[list[Message], str]:
        """The messages that have come, and why no more will; an empty text if they may."""
        return self._channel.arrived()

    def has_ended(self) -> bool:
        """Whether the process is over; it is not reaped, so its pid stays its own."""
        if self._process.returncode is not None:
            return True
        try:
            return os.waitid(os.P_PID, self.pid, _PEEK) is not None
        except ChildProcessError:  # somebody else reaped it
            return True

    def ended_how(self, patience: float = 0.0) -> str:
        """
        After the channel closed: end what is left of its session, and say what happened.

        It gets *patience* seconds to end by itself.
        """
        if not self._ends_within(patience):
            self.kill()
            return "closed its connection to the runner and was killed"
        self.kill()
        code = self._process.returncode
        if code >= 0:
            return f"ended with exit code {code}"
        if code == -signal.SIGKILL:
            return f"was killed by SIGKILL{self._for_want_of_memory()}"
        with suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
        return f"was killed by signal {-code}"

    def _for_want_of_memory(self) -> str:
        """What is known of that, of a kill that is not ours."""
        now = kills()
        if now is None or self._kills is None:
            return " (out of memory, or by somebody)"
        return "" if now == self._kills else ", as the system killed for want of memory"

    def dismiss(self) -> None:
        """Tell it, while it is idle, that no more will come."""
        self._channel.shut()

    def end(self, deadline: float) -> None:
        """After ``dismiss``: let it end by itself until *deadline* (monotonic), then end it."""
        self._ends_within(deadline - time.monotonic())
        self.kill()

    def interrupt(self) -> None:
        """Let it look whether the job that it runs was cancelled."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGALRM)

    def kill(self) -> None:
        """End it at once, with all of its session; what it said can still be read."""
        if self._process.returncode is not None:
            return  # reaped before: the pid may be a stranger's by now
        with suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """Kill it, if that has not been done, and let go of its channel."""
        self.kill()
        self._channel.close()
        if self.printed is not None:
            self.printed.close()

    def _ends_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self.has_ended():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True
