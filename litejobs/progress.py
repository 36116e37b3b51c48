"""How far jobs say that they are: written now and then, for they may say so a million times."""

import json
import time
from typing import TYPE_CHECKING, NamedTuple

from litejobs import defaults, watchdog
from litejobs.job import StoredJob

if TYPE_CHECKING:
    from collections.abc import Callable


class Said(NamedTuple):
    """How far a job says that it is."""

    done: float
    total: float | None
    note: str

    def text(self) -> str:
        """As a row stores it."""
        return json.dumps(self._asdict(), ensure_ascii=False, separators=(",", ":"))


class Progress:
    """
    What the job that an execution runs says of its progress, on its way to storage.

    Any thread may say something. It is told on the watchdog's: there no signal that ends a job cuts
    a message in two, and no job waits for a write lock that it may hold itself.
    """

    def __init__(self) -> None:
        #: Takes a job and what its row is to show.
        self.teller: Callable[[StoredJob, str], None] = lambda _job, _text: None
        #: The last word, and whose it is; None: nothing was said since a job has ended.
        self.last: tuple[StoredJob, Said] | None = None
        self.run: tuple[float] | None = None
        self.told: tuple[float] | None = None
        self._next_at = 0.0  # by time.monotonic()

    def say(self, job: StoredJob, said: Said) -> None:
        """It is this far: told at once, or a while after what was told last."""
        self.last = (job, said)
        if self.run is None or self.run is self.told:
            self.run = (max(time.monotonic(), self._next_at),)
            watchdog.watch(self, self.run[0])

    def tell(self, run: tuple[float]) -> None:
        """For the watchdog's thread."""
        self.told = run  # first: what is said from here on is told later
        self._next_at = time.monotonic() + defaults.PROGRESS_PAUSE
        if self.last is not None:
            job, said = self.last
            self.teller(job, said.text())

    def end(self, job: StoredJob) -> str | None:
        """The job has ended: its last word, as its row is to show it."""
        last, self.last = self.last, None
        self.run = None
        self._next_at = 0.0
        watchdog.forget(self)
        return last[1].text() if last is not None and last[0] is job else None
