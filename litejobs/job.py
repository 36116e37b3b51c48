"""What moves through litejobs: frozen values, and the definition of a job."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    NamedTuple,
    ParamSpec,
    TypedDict,
    TypeVar,
)

from litejobs import defaults
from litejobs.errors import ConfigurationError

if TYPE_CHECKING:
    from litejobs.hooks import Hooks
    from litejobs.keys import Key
    from litejobs.limit import Limit
    from litejobs.rules.exceptions import ErrorRules
    from litejobs.schedule import Schedule

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a job and what becomes of its row; a job's own win over its group's."""

    max_attempts: int = defaults.MAX_ATTEMPTS
    max_runtime: float = defaults.MAX_RUNTIME  # seconds
    delete_successful_jobs: bool | float = defaults.DELETE_SUCCESSFUL_JOBS  # or after seconds
    delete_failed_jobs: bool | float = defaults.DELETE_FAILED_JOBS
    backoff: tuple[float, ...] = ()  # seconds after each bad run, the last repeats; else the rule
    jitter: float = 0.0  # the share, 0 to 1, by which such a wait may be longer
    has_failure_hooks: bool = False  # to be run before a failure is recorded

    def overridden(self, own: Mapping[str, Any]) -> "Limits":
        """These limits with *own* in place of the like-named ones."""
        return replace(self, **own) if own else self


class OwnLimits(TypedDict, total=False):
    """The limits that a job has for itself."""

    max_attempts: int
    max_runtime: float  # seconds
    delete_successful_jobs: bool | float  # seconds
    delete_failed_jobs: bool | float
    backoff: tuple[float, ...]  # seconds
    jitter: float
    has_failure_hooks: bool


class Unique(NamedTuple):
    """That a job is not to be stored beside another with its key."""

    key: str  #: of the whole table
    policy: Literal["skip", "replace", "raise"]  #: what is done where it is taken
    period: int | None  #: milliseconds after a success for which it still counts as taken


class NewJob(NamedTuple):  # made for each later(), where a frozen dataclass takes thrice as long
    """A job to be stored."""

    handler: str  #: JSON: name, path, args, kwargs and, where no app declares it, module
    queue: str  #: the queue's name
    priority: int  #: lower runs first
    run_at: int  #: milliseconds since 1970, UTC
    unique: Unique | None = None  #: None: it may be stored beside any
    limit_key: str | None = None  #: what at most *limit_max* of run at once have in common
    limit_max: int | None = None


class Kept(NamedTuple):
    """What became of a job with a key."""

    id: int  #: of the row that has it now
    is_new: bool  #: whether the call has stored it, or replaced what was there


class StoredJob(NamedTuple):
    """A row that its worker has found and locked."""

    id: int  #: never used again for another job
    queue: str  #: the queue's name
    priority: int  #: lower runs first
    run_at: int  #: milliseconds since 1970, UTC
    attempts: int  #: how often the job was begun, this run included
    locked_by: str  #: the worker that ``find`` was called for
    handler: str  #: as it was stored
    crashes: int = 0  #: runs before this one in which a process died


class Outcome(NamedTuple):
    """What became of one run, ready to be recorded."""

    kind: Literal[
        "success", "error", "failure", "cancelled", "snoozed", "unloadable", "released", "progress"
    ]  #: what happened; ``progress``: the run goes on
    error: str | None = None  #: what went wrong, or why the job was cancelled or did not load
    run_at: int | None = None  #: of an error or a snooze: when to run it again, as in NewJob
    delete: bool = False  #: of a success, a failure or a cancelled job: the row goes
    crashed: bool = False  #: of an error or a failure: a process died in the run
    keep: float | None = None  #: of a row that stays: seconds until it may go; None: not said
    result: str | None = None  #: of a success: what it returned, as JSON, if that is kept
    settled: bool = False  #: of a success: the job has recorded it in a transaction of its own
    progress: str | None = None  #: JSON: how far the job says that it is, for a row that shows it

    @property
    def is_of_a_run(self) -> bool:
        """Whether a run has ended: a job that was released had none, or will have it again."""
        return self.kind not in ("released", "progress")

    def waits_for_hooks(self, limits: Limits) -> bool:
        """Whether, of a job that has died, hooks are to run before this is recorded."""
        return self.kind == "failure" and limits.has_failure_hooks

    @property
    def keeps_row(self) -> bool:
        """Whether the job is over, and its row stays."""
        return self.kind in ("success", "failure", "cancelled") and not self.delete


#: What came of the wish to cancel a job: it will not run; it runs, and was asked to end; it had
#: ended before; there is none of that id.
Cancellation = Literal["cancelled", "asked", "over", "gone"]

Settlement = tuple[StoredJob, Outcome]


class Glimpse(NamedTuple):
    """What can be seen of a stored job at one moment."""

    state: str  #: its name
    queue: str  #: the queue's name
    priority: int  #: lower runs first
    run_at: int | None  #: milliseconds since 1970, UTC; None: it is over
    handler: str  #: as it was stored
    error: str | None  #: what went wrong last
    result: str | None  #: JSON


class Find(NamedTuple):
    """A wish for jobs: who wants them, from which queues, how many at most."""

    worker: str  #: what is to stand in locked_by
    queues: tuple[str, ...]  #: names, or ``"*"`` for every queue
    max_runtime: float  #: seconds; for storage that cannot tell whether a worker lives
    limit: int = 1  #: jobs at most


class Job(Generic[P, R]):
    """
    A function declared as a job of a manager. Calling it, or its ``perform``, runs it now, here.

    Made by ``JobManager.job`` and ``JobManager.create_job``. The *properties* given there are
    attributes too; one that would hide an attribute of every job is refused with a
    ConfigurationError.
    """

    def __init__(
        self,
        perform: Callable[P, R],
        *,
        owner: object,
        queue: str = defaults.QUEUE,
        priority: int = defaults.PRIORITY,
        key: "Key | None" = None,
        keep_result: float | None = None,
        own_limits: OwnLimits | None = None,
        error_rules: "ErrorRules | None" = None,
        hooks: "Hooks | None" = None,
        limit: "Limit | None" = None,
        schedules: "tuple[Schedule, ...]" = (),
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        functools.update_wrapper(self, perform)
        #: The function itself.
        self.perform = perform
        #: The function's name, by which a row knows the job.
        self.name: str = perform.__name__
        #: The manager that declared it.
        self.owner = owner
        #: The queue in which its calls are stored, unless ``later`` is told another.
        self.queue = queue
        #: Lower runs first; ``later`` may be told another.
        self.priority = priority
        #: The Key that its calls have, unless ``later`` is told another; None: none.
        self.key = key
        #: Seconds for which what it returns is kept, unless ``later`` is told otherwise.
        self.keep_result = keep_result
        #: The limits of its own, by name; they win over its worker group's.
        self.own_limits: OwnLimits = {**own_limits} if own_limits else {}
        #: What it says of exceptions, if it says anything.
        self.error_rules = error_rules
        #: How many of its calls may run at once; None: any number.
        self.limit = limit
        #: When it is run again and again.
        self.schedules = schedules
        #: The functions that run around it, beside its manager's, if there are any.
        self.hooks = hooks
        for name, value in (properties or {}).items():
            if hasattr(self, name):
                raise ConfigurationError(
                    f"property {name!r} of {self.name} would hide an attribute that every job has"
                )
            setattr(self, name, value)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.perform(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Job {self.__module__}.{self.name}>"
