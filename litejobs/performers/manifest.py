"""What a performer tells of the app it has loaded, so that the runner needs no user code."""

import msgspec

from litejobs.errors import ConfigurationError, UnloadableError
from litejobs.handler import declared_as
from litejobs.job import Limits, OwnLimits
from litejobs.recurrence import StoredSchedule
from litejobs.retention import Keep
from litejobs.row import read


class Group(msgspec.Struct, frozen=True):
    """A worker group: see WorkerGroup."""

    adapter: str
    queues: tuple[str, ...]
    count: int
    limits: Limits
    sleep_delay: float
    max_jobs: int | None = None
    max_memory: int | None = None


class Storage(msgspec.Struct, frozen=True):
    """An SqliteAdapter, by what it takes to open the same file."""

    path: str
    table: str
    durability: str
    mode: int
    retention: dict[str, Keep] = {}


class DeclaredJob(msgspec.Struct, frozen=True):
    """A job's name and the limits that are its own."""

    path: str
    name: str
    own_limits: OwnLimits


class Home(msgspec.Struct, frozen=True):
    """Where the manager is, and which queues it declares (None: any)."""

    module: str
    name: str
    file: str  # empty for a module without one
    queues: tuple[str, ...] | None


class Manifest(msgspec.Struct, frozen=True):
    """The app: who works, where the jobs are, which jobs have limits of their own."""

    groups: tuple[Group, ...]
    adapters: dict[str, Storage | str]  # by the manager's keys; of others what they call themselves
    jobs: tuple[DeclaredJob, ...]
    home: Home | None = None  # None: the default manager
    owner: str | None = None  # of schedules, the manager by its name; None: the default manager
    schedules: dict[str, tuple[StoredSchedule, ...]] = {}  # by adapter

    @property
    def storages(self) -> dict[str, Storage]:
        """Of the adapters those that a runner can open."""
        return {key: one for key, one in self.adapters.items() if isinstance(one, Storage)}

    def first_file(self) -> Storage | None:
        """Of the adapters that groups work on the first that a runner can open."""
        used = (self.adapters[group.adapter] for group in self.groups)
        return next((one for one in used if isinstance(one, Storage)), None)

    def group(self, index: int) -> Group:
        """The worker group with that number; raises ConfigurationError if there is none."""
        if index >= len(self.groups):
            raise ConfigurationError(
                f"there is no worker group {index}; there are {len(self.groups)}, the first is 0"
            )
        return self.groups[index]

    def limits_of(self, group: Group, handler: str) -> Limits:
        """The limits of a stored job; its group's where nothing is known of it."""
        try:
            row = read(handler)
        except UnloadableError:
            return group.limits
        declared = {(job.path, job.name): job for job in self.jobs}
        job = declared.get((row.path, row.name))
        if job is None and self.home is not None:  # as the app's Loader finds it
            job = declared_as(row, declared)
        return group.limits if job is None else group.limits.overridden(job.own_limits)
