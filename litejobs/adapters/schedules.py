from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from litejobs.errors import ScheduleNotFoundError, quoted
from litejobs.recurrence import Recurrence, StoredSchedule
from litejobs.rules.text import printable


class Schedules(ABC):
    """
    Where an adapter keeps what recurs: what managers, workers and commands ask of it.

    However many workers there are, of each time that a schedule names one makes a run.
    """

    @abstractmethod
    def sync(self, owner: str, schedules: Sequence[StoredSchedule]) -> None:
        """
        Keep these *schedules* of *owner*'s code, and none besides them.

        Those that are new begin with their next time; of others that stay, a pause stays too, and
        the next time if the times are the same. Such as are of another owner, or of none, are let
        alone, and one of the same name is told by the adapter's logger and left out.
        """

    @abstractmethod
    def add(self, schedule: StoredSchedule) -> None:
        """
        Keep a *schedule* of nobody's code, or change the one of that name, as ``sync`` would.

        Raises ConfigurationError if the name is that of one that came from code.
        """

    @abstractmethod
    def remove(self, name: str) -> None:
        """Let it make no more runs; raises ScheduleNotFoundError."""

    @abstractmethod
    def pause(self, name: str) -> None:
        """Let it make no runs until ``resume``; raises ScheduleNotFoundError."""

    @abstractmethod
    def resume(self, name: str) -> None:
        """Go on with the next time from now; raises ScheduleNotFoundError."""

    @abstractmethod
    def run_now(self, name: str) -> int:
        """
        Make a run beside those of its times, and return its id, or that of the job with its key.

        Raises ScheduleNotFoundError, and DuplicateJobError where that is the policy of the key.
        """

    @abstractmethod
    def all(self) -> list[Recurrence]:
        """What is kept, by name."""

    def named(self, name: str) -> Recurrence:
        """The one of that name; raises ScheduleNotFoundError, which says which there are."""
        there = {one.name: one for one in self.all()}
        if name not in there:
            raise not_found(name, there)
        return there[name]

    @abstractmethod
    def next_at(self) -> int | None:
        """The next moment at which ``fire`` has something to do, if there is any."""

    @abstractmethod
    def fire(self) -> None:
        """Store the runs of all schedules whose time has come, or of some where they are many."""


def not_found(name: str, there: Iterable[str]) -> ScheduleNotFoundError:
    """That no schedule has that name, with those that are *there*."""
    names = ", ".join(map(printable, there)) or "none"
    return ScheduleNotFoundError(f"there is no schedule {quoted(name)}; there are: {names}")
