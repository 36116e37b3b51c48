"""Jobs that a thread has found together: one that takes long is not to hold the others up."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from litejobs import defaults, watchdog
from litejobs.job import Settlement, StoredJob
from litejobs.rules.outcome import released

T = TypeVar("T")
Record = Callable[[Sequence[Settlement]], None]


class Batch:
    """
    The jobs that a thread has found and not begun, and the outcomes of those that have ended.

    While it runs one for long, the watchdog records those outcomes and gives the others back. Who
    of the two takes something from a deque has it alone.
    """

    def __init__(self, record: Record) -> None:
        """*record* what is passed, on the watchdog's thread, or raise."""
        self._record = record
        self._waiting: deque[StoredJob] = deque()
        self._outcomes: deque[Settlement] = deque()
        self._runs = 0  # so far: by this the watchdog sees that they go on
        self._recording: Sequence[Settlement] = ()  # on the watchdog's thread
        self._moving = threading.Lock()  # held while something is in neither of the two
        self._is_recording = False
        self.run: tuple[float, int] | None = None
        self.told: tuple[float, int] | None = None

    def fill(self, jobs: Sequence[StoredJob]) -> None:
        """Jobs have been found."""
        self._waiting.extend(jobs)

    def next(self) -> StoredJob | None:
        """The job to begin now; None if none is left."""
        self._runs += 1
        try:
            job = self._waiting.popleft()
        except IndexError:
            self.run = None
            watchdog.forget(self)
            return None
        if self.run is None and self._waiting:
            self._watch()
        return job

    def put(self, settlement: Settlement) -> None:
        """What became of a job."""
        self._outcomes.append(settlement)

    def take(self) -> list[Settlement]:
        """The outcomes that nobody has recorded."""
        return _all_of(self._outcomes)

    def in_hand(self) -> list[int]:
        """The ids of the jobs that have ended, or go back, and are not recorded."""
        with self._moving:
            return [job.id for job, _ in (*self._outcomes, *self._recording)]

    @property
    def is_settled(self) -> bool:
        """Whether no outcome is left to record."""
        return not (self._outcomes or self._is_recording)

    def tell(self, run: tuple[float, int]) -> None:
        """For the watchdog: some milliseconds are over."""
        self.told = run
        if self._runs != run[1]:
            self._watch()
            return
        self._is_recording = True  # first: what is taken lies nowhere else
        try:
            self._rescue()
        finally:
            self._is_recording = False

    def _rescue(self) -> None:
        with self._moving:
            settlements = self.take() + [(job, released()) for job in _all_of(self._waiting)]
            self._recording = settlements
        recorded = False
        try:
            if settlements:
                self._record(settlements)
            recorded = True
        finally:
            with self._moving:
                self._recording = ()
                if not recorded:
                    self._outcomes.extend(settlements)  # for the thread to record

    def _watch(self) -> None:
        self.run = (time.monotonic() + defaults.SILENCE, self._runs)
        watchdog.watch(self, self.run[0])


def _all_of(items: deque[T]) -> list[T]:
    """Take away all that is there."""
    taken = []
    with suppress(IndexError):
        while True:
            taken.append(items.popleft())
    return taken
