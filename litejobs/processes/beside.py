"""What a runner's loop does beside its workers."""

import math
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from litejobs.performers.crew import Crew

_REAP = 1.0  # seconds between looks for orphans


class Beside:
    """Something that the loop does in each round, and never waits for."""

    finished = True

    def work_once(self) -> bool:
        """Do what is due; nothing moves by that."""
        return False

    def patience(self) -> float:
        """Seconds until something is due."""
        return math.inf

    def abandon(self) -> None:
        """The loop is left."""


class Readiness(Beside):
    """Says once that every worker has loaded the app; from then on a broken one is waited for."""

    def __init__(self, crews: Sequence[Crew[Any]], up: Callable[[], None]) -> None:
        self._crews = crews
        self._up: Callable[[], None] | None = up

    def work_once(self) -> bool:
        if self._up is not None and all(crew.is_up() for crew in self._crews):
            up, self._up = self._up, None
            for crew in self._crews:
                crew.persevere()
            up()
        return False


class Reaper(Beside):
    """As process 1 of a container: buries the orphans that the system hands over to it."""

    def __init__(self, crews: Sequence[Crew[Any]]) -> None:
        self._crews = crews

    def work_once(self) -> bool:
        own = {pid for crew in self._crews for pid in crew.pids()}
        # A performer's exit code is its crew's to take; what lies behind it has time.
        with suppress(ChildProcessError):  # there are none at all
            while (dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and (
                dead.si_pid not in own
            ):
                os.waitpid(dead.si_pid, 0)
        return False

    def patience(self) -> float:
        return _REAP
