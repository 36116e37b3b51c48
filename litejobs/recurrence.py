"""What is stored of jobs that recur."""

import json
from contextlib import suppress
from typing import Literal, NamedTuple

from litejobs.errors import ConfigurationError, quoted
from litejobs.job import NewJob
from litejobs.rules.recurrence import Every, Timing

Missed = Literal["skip", "once", "all"]
Overlap = Literal["skip", "allow"]


class StoredSchedule(NamedTuple):
    """What is stored of a schedule: all that is needed to make its runs."""

    name: str
    cron: str | None
    timezone: str
    every: int | None  #: milliseconds
    missed: Missed
    catch_up: int
    overlap: Overlap
    jitter: int  #: milliseconds
    job: NewJob  #: what each run is stored as, but for its time

    def timing(self, anchor: int = 0) -> Timing:
        """The times that it names; those of ``every`` go by *anchor*. Raises ConfigurationError."""
        return timing(self.cron, self.timezone, self.every, anchor)

    def run(self, slot: int, run_at: int) -> NewJob:
        """The job that is its run of the time *slot*, to begin at *run_at*."""
        of_it = f',"schedule":{json.dumps(self.name, ensure_ascii=False)},"slot":{slot}}}'
        return self.job._replace(handler=self.job.handler.rstrip()[:-1] + of_it, run_at=run_at)


class Recurrence(NamedTuple):
    """A schedule as it stands in the database. Times are milliseconds since 1970, UTC."""

    name: str
    owner: str | None  #: the manager whose code has it; None: it was added at run time
    cron: str | None
    timezone: str
    every: int | None  #: milliseconds
    missed: str
    catch_up: int
    overlap: str
    jitter: int  #: milliseconds
    queue: str
    priority: int
    next_run_at: int | None  #: in a pause, what it was before; None: see last_error
    last_run_at: int | None  #: the time for which the last run was made
    last_job: int | None  #: the id of that run
    last_state: str | None  #: what that is now; None: it was deleted, which successes are
    paused_at: int | None
    last_error: str | None  #: why it makes no runs any more
    created_at: int
    updated_at: int
    handler: str

    def next_times(self, count: int) -> list[int]:
        """The next moments at which it makes runs: none while it is paused."""
        moments: list[int] = []
        moment = self.next_run_at if self.paused_at is None else None
        with suppress(ConfigurationError):  # written by hand
            while moment is not None and len(moments) < count:
                moments.append(moment)
                moment = timing(self.cron, self.timezone, self.every, moment).after(moment)
        return moments

    def words(self) -> str:
        """Its times in English, or as they stand there where that cannot be read."""
        try:
            return timing(self.cron, self.timezone, self.every).words()
        except ConfigurationError:
            return f"{self.cron} ({self.timezone})"


def timing(cron: object, timezone: str, every: int | None, anchor: int = 0) -> Timing:
    """The times that one of *cron* and *every* names; raises ConfigurationError."""
    if cron is None:
        assert every is not None
        return Every(every, anchor)
    if not isinstance(cron, str):
        raise ConfigurationError(f"cron must be an expression, got {quoted(cron)}")
    from litejobs.rules import cron as rule  # noqa: PLC0415  # for those who use it

    try:
        return rule.cron(cron, timezone)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
