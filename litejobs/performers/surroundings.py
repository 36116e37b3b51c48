"""What a job may change in its process that the next one is not to find changed."""

import importlib
import os
import signal
from contextlib import suppress
from typing import Any

# What the functions of signal call: those make enums of all values, which takes 10 times as long.
bare_signal: Any = importlib.import_module("_signal")
_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE)


class Surroundings:
    """
    Working directory, umask, blocked signals and the handlers of some, as they were when made.

    Not the environment, nor anything in memory: libraries change those once and rely on it.
    """

    def __init__(self) -> None:
        self._directory = ""
        with suppress(OSError):  # it was deleted
            self._directory = os.getcwd()  # noqa: PTH109  # a plain text is quicker
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._blocked = bare_signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
        self._blocked -= {signal.SIGALRM}  # which is the alarm's
        self._handlers = [
            (number, handler)
            for number in _HANDLED
            if (handler := bare_signal.getsignal(number)) is not None  # set by Python
        ]

    def restore(self) -> None:
        """To be called between two jobs."""
        if self._has_moved():
            with suppress(OSError):
                os.chdir(self._directory)
        os.umask(self._umask)
        bare_signal.pthread_sigmask(signal.SIG_SETMASK, self._blocked)
        for number, handler in self._handlers:
            if bare_signal.getsignal(number) is not handler:
                bare_signal.signal(number, handler)

    def _has_moved(self) -> bool:
        try:
            return os.getcwd() != self._directory  # noqa: PTH109  # as above
        except OSError:  # the present one was deleted
            return True
