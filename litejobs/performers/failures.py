"""Jobs that have died for good: their after_failure hooks run before that is recorded."""

import logging
from collections import deque
from collections.abc import Sequence

from litejobs.job import Settlement
from litejobs.performers.job_place import JobPlace
from litejobs.rules.queues import takes

log = logging.getLogger("litejobs")


class Failures:
    """Those that wait for a performer, which runs their hooks; the next one that is idle does."""

    def __init__(self) -> None:
        self._waiting: deque[Settlement] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def ids(self) -> list[int]:
        """Of the jobs that wait."""
        return [job.id for job, _ in self._waiting]

    def add(self, failure: Settlement) -> None:
        """One more waits."""
        self._waiting.append(failure)

    def hand_out(self, places: Sequence[JobPlace]) -> list[Settlement]:
        """Give them to idle performers; those that none will run, for the app does not load."""
        hopeless = []
        for _ in range(len(self._waiting)):
            job, outcome = self._waiting.popleft()
            fitting = [place for place in places if takes(place.group.queues, job.queue)]
            free = [place for place in fitting if place.is_free()]
            if free:
                free[0].run_failure_hooks(job, outcome)
            elif all(place.failed_starts for place in fitting):
                not_run(job.id, "no process can load them")
                hopeless.append((job, outcome))
            else:
                self._waiting.append((job, outcome))
        return hopeless

    def give_up(self) -> list[Settlement]:
        """Those that wait, without their hooks: the runner stops at once."""
        given_up, self._waiting = list(self._waiting), deque()
        for job, _ in given_up:
            not_run(job.id, "the worker stops at once")
        return given_up


def not_run(id_: int, why: str) -> None:
    """Say so of the hooks of a job."""
    log.error("after_failure hooks of job %d have not run to their end: %s", id_, why)
