"""What systemd wants to hear of a service of Type=notify: sd_notify(3)."""

import math
import os
import socket
import time
from contextlib import suppress

from litejobs.processes.beside import Beside

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notifier(Beside):
    """Tells systemd that the workers are up, that the loop turns, that it is going to end."""

    def __init__(self, address: str, watchdog: float = math.inf) -> None:
        """*watchdog*: seconds without a word after which systemd takes the process for hung."""
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._pause = watchdog / 2
        self._next = math.inf  # when to be heard again (monotonic)

    @classmethod
    def from_environment(cls) -> "Notifier | None":
        """As systemd says, or None; takes its variables out of what children inherit."""
        address, usec, pid = (os.environ.pop(name, "") for name in _VARIABLES)
        if not address.startswith(("/", "@")):
            return None
        is_watched = usec.isdecimal() and int(usec) > 0 and pid in ("", str(os.getpid()))
        return cls(address, int(usec) / 1_000_000 if is_watched else math.inf)

    def ready(self) -> None:
        self._say("READY=1")
        self._next = time.monotonic() + self._pause

    def stopping(self) -> None:
        self._say("STOPPING=1")

    def work_once(self) -> bool:
        if time.monotonic() >= self._next:
            self._say("WATCHDOG=1")
            self._next = time.monotonic() + self._pause
        return False

    def patience(self) -> float:
        return max(0.0, self._next - time.monotonic())

    def _say(self, what: str) -> None:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.setblocking(False)  # noqa: FBT003
            out.sendto(what.encode(), self._address)
