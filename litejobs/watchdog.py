"""One thread for all that threads of this process should not take too long for."""

import math
import os
import threading
import time
from contextlib import suppress
from typing import Any, Protocol


class Watched(Protocol):
    """Something that is told when its time is over."""

    run: Any  #: None, or a tuple that begins with the time (monotonic) at which to tell
    told: Any  #: the *run* of which it was told last

    def tell(self, run: Any) -> None:
        """On the watchdog's thread: the time of *run* is over."""


def watch(one: Watched, deadline: float) -> None:
    """Let *one* be told, unless it is forgotten before *deadline*."""
    _watchdog.watch(one, deadline)


def forget(one: Watched) -> None:
    """There is nothing to tell any more."""
    _watchdog.forget(one)


class Watchdog:
    """The thread, made when first needed; sleeps until the next deadline."""

    def __init__(self) -> None:
        self._watched: set[Watched] = set()
        self._wakes_at = math.inf  # by time.monotonic()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def watch(self, one: Watched, deadline: float) -> None:
        """As the function."""
        self._watched.add(one)
        # Read after that was written, as _rest writes this before it reads those: one sees the
        # other. After a run with the same limit the thread wakes early enough by itself.
        if deadline < self._wakes_at:
            with self._changed:
                if self._thread is None:
                    self._start()
                self._changed.notify()

    def forget(self, one: Watched) -> None:
        """As the function."""
        self._watched.discard(one)

    def _start(self) -> None:
        thread = threading.Thread(target=self._watch, name="litejobs-watchdog", daemon=True)
        with suppress(RuntimeError):  # no more threads, or the interpreter ends: the job matters
            thread.start()
            self._thread = thread

    def _watch(self) -> None:
        while True:
            for one in list(self._watched):
                run = one.run
                if run is None or run is one.told or run[0] > time.monotonic():
                    continue
                with suppress(Exception):  # storage in trouble: it is in the log at least
                    one.tell(run)
            self._rest()

    def _rest(self) -> None:
        """Sleep until the next deadline, or until one is before that."""
        with self._changed:
            self._wakes_at = math.inf
            runs = [(one.run, one.told) for one in list(self._watched)]
            left = [run[0] for run, told in runs if run is not None and run is not told]
            self._wakes_at = min(left, default=math.inf)
            seconds = self._wakes_at - time.monotonic()
            self._changed.wait(None if seconds == math.inf else max(0.0, seconds))


_watchdog = Watchdog()


def _anew() -> None:
    """In a forked child there is no such thread, and of the jobs only the one that forked."""
    global _watchdog  # noqa: PLW0603  # one for each process
    _watchdog = Watchdog()


os.register_at_fork(after_in_child=_anew)
