"""Where a process of the app is to be: the one that is there, and the next one when it dies."""

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from litejobs import defaults
from litejobs.job import Limits
from litejobs.performers.manifest import Manifest
from litejobs.performers.output import Output
from litejobs.performers.process import PerformerProcess
from litejobs.performers.wire import Start

if TYPE_CHECKING:
    from litejobs.errors import LitejobsError


class Place:
    """The process that is there, and when the next one may start."""

    #: Seconds between looks whether a busy process is there, beside its socket.
    watch = 1.0

    def __init__(
        self,
        name: str,
        start: Start,
        lease: Sequence[int] = (),
        *,
        output: Output | None = None,
    ) -> None:
        """
        *lease* are the descriptors by which its processes hold the runner's lease too.

        *output* takes what they print; None: that is inherited.
        """
        self.name = name
        self._lease = lease
        self.process: PerformerProcess | None = None
        self.manifest: Manifest | None = None  # None: the process is still loading
        self.broken: LitejobsError | None = None  # why it was not up to its task at the last try
        self.failed_starts = 0  # in a row
        self.leaves = ""  # why the process ends though all is well
        self._gone_by = 0.0
        self.hung_up = False  # it has closed its socket
        self._job_ends_by = math.inf
        self._start = start
        self._output = output
        self._pause = 0.0  # seconds before the next start
        self._start_at = 0.0

    @property
    def who(self) -> str:
        """The worker and its process, for a log line."""
        return f"{self.name} (pid {self.process.pid if self.process else '-'})"

    def is_free(self) -> bool:
        """Whether the process is there and has nothing to do."""
        raise NotImplementedError

    def launch(self) -> bool:
        """Start a process if the pause since the last one is over; raises OSError."""
        if time.monotonic() < self._start_at:
            return False
        self.manifest = None
        self.process = self.new_process()
        return True

    def new_process(self) -> PerformerProcess:
        """Start a process; raises OSError."""
        return PerformerProcess(self.name, self._start, self._lease, output=self._output)

    def is_overdue(self) -> bool:
        """Whether the process takes longer to load than it may."""
        return (
            self.process is not None
            and self.manifest is None
            and time.monotonic() > self.process.started + defaults.READINESS
        )

    def counts_from_now(self, limits: Limits) -> None:
        """A job begins, which may take as long as *limits* say, and the grace."""
        self._job_ends_by = time.monotonic() + limits.max_runtime + defaults.TIMEOUT_GRACE

    def counts_no_more(self) -> None:
        """The job has ended."""
        self._job_ends_by = math.inf

    def is_out_of_time(self) -> bool:
        """Whether the job went on after its time was over, and the grace too."""
        return time.monotonic() >= self._job_ends_by

    def takes_leave(self, why: str) -> None:
        """The process ends by itself, soon; the next one is to start without a pause."""
        self.leaves = why
        self._gone_by = time.monotonic() + defaults.FAREWELL

    def hangs_up(self) -> None:
        """The process has closed its socket, so that it is over or about to be."""
        self.hung_up = True
        self._gone_by = time.monotonic() + defaults.LAST_WORDS

    def is_speechless(self) -> bool:
        """Whether the process that has hung up takes longer to end than it may."""
        return time.monotonic() > self._gone_by

    def lingers(self) -> bool:
        """Whether the process takes longer to end than it may."""
        return bool(self.leaves) and time.monotonic() > self._gone_by

    def loaded(self, manifest: Manifest) -> None:
        """The process is ready. Only starts that fail make the next ones wait longer."""
        self.manifest = manifest
        self.broken = None
        self.failed_starts = 0
        self._pause = 0.0

    def vacate(self) -> None:
        """The process is gone; the next one starts at once if it took leave, else after a pause."""
        first, longest = defaults.RESTART_BACKOFF
        if self.manifest is None:
            self.failed_starts += 1
        self.process = None
        self.counts_no_more()
        self._pause = 0.0 if self.leaves else min(longest, 2 * self._pause or first)
        self.leaves = ""
        self.hung_up = False
        self._start_at = time.monotonic() + self._pause

    def patience(self) -> float:
        """Seconds until something is to be done here though its socket says nothing."""
        if self.process is None:
            return max(0.0, self._start_at - time.monotonic())
        if self.hung_up:
            return defaults.SILENCE
        if self.is_free():
            return math.inf
        return min(self.watch, max(0.0, self._job_ends_by - time.monotonic()))
