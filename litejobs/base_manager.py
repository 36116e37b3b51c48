"""What every manager does: declare jobs, start workers; where the jobs are stored is its own."""

import inspect
import logging
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, overload

from litejobs import context, defaults
from litejobs.adapters.base import BaseAdapter
from litejobs.clock import Clock, SystemClock
from litejobs.config import (
    WorkerGroup,
    check_groups,
    check_keys,
    check_logger,
    check_priority,
    check_queue,
    check_queues,
    check_whole,
)
from litejobs.errors import ConfigurationError, SchedulingError, quoted
from litejobs.hooks import Around, Hooks
from litejobs.job import Job, Limits
from litejobs.job_options import JobOptions, error_rules, hooks, own_limits
from litejobs.keys import Key, result_period
from litejobs.launch import Launch
from litejobs.limit import Limit
from litejobs.program import calling_module, importable_name, is_spawned
from litejobs.project import root_of_file
from litejobs.recurring import Recurring, check_schedules, schedules_of
from litejobs.schedule import Schedule
from litejobs.scheduler import Target

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from litejobs.adapters.sqlite.adapter import SqliteAdapter
    from litejobs.background import BackgroundWorker
    from litejobs.execution import Execution
    from litejobs.inline import InlineWorker
    from litejobs.loader import Loader
    from litejobs.processes.background import Attached, BackgroundProcess

P = ParamSpec("P")
R = TypeVar("R")
_NOTHING = nullcontext()  # may be entered again and again
_JOB_OPTIONS = (
    "queue", "priority", "key", "keep_result", "limit", "cron", "every", "timezone", "schedule",
    "properties", *JobOptions.__annotations__,
)  # fmt: skip


_lent: "list[BaseManager]" = []  # those in a test mode now


class BaseManager(ABC):
    """Declares jobs and starts workers; where the jobs are stored is its subclasses' matter."""

    def __init__(
        self,
        queues: Sequence[str] | None,
        logger: logging.Logger | None,
        workers: Sequence[WorkerGroup | Mapping[str, Any]] | None,
        clock: Clock | None,
    ) -> None:
        self.queues = None if queues is None else check_queues(queues)
        check_logger(logger)
        self.logger = logger or logging.getLogger("litejobs")
        self.workers = (WorkerGroup(),) if workers is None else check_groups(workers)
        self.clock = clock or SystemClock()
        self.declared: dict[tuple[str, str], Job[..., Any]] = {}
        self.module = calling_module()
        self.hooks = Hooks()
        #: Is called with a JobCall before that is stored; what it raises refuses it.
        self.before_schedule = self.hooks.before_schedule
        #: Is called with a JobRun before the function; what it raises, the job has raised.
        self.before_perform = self.hooks.before_perform
        #: Makes of a JobRun a context manager around the function, whose errors are the job's.
        self.around_perform = self.hooks.around_perform
        #: Is called with a JobRun after the function, whatever came of it.
        self.after_perform = self.hooks.after_perform
        #: Is called with a JobRun that went well.
        self.after_success = self.hooks.after_success
        #: Is called with a JobRun that went wrong, be it the last one or not.
        self.after_error = self.hooks.after_error
        #: Is called with a JobRun that went wrong and is not to be tried again.
        self.after_failure = self.hooks.after_failure
        #: What recurs: see Recurring.
        self.recurring = Recurring(self)
        self._background = Launch(self._new_threads)
        self._is_lent = False
        self._watch: Around | None = None

    @abstractmethod
    def adapter(self, key: str | None) -> BaseAdapter:
        """The adapter of that name, or the first; raises ConfigurationError if there is none."""

    @abstractmethod
    def target(self, job: Callable[..., Any], adapter: str | None) -> Target:
        """What *job* stands for, stored in that adapter; raises SchedulingError."""

    @abstractmethod
    def describe(self, job: Job[..., Any], adapter: BaseAdapter) -> Target:
        """As ``target``, of a declared job, without a look at the storage."""

    def schedule_owner(self, path: str) -> str:  # noqa: ARG002  # for others
        """Whose the schedules are that the code of the file *path* declares."""
        return self.where

    def has_code_of(self, owner: str) -> bool:
        """Whether this program has loaded a file whose schedules are that owner's."""
        return owner == self.where

    @abstractmethod
    def loader(self) -> "Loader":
        """From rows to the functions that this manager's workers may call."""

    @overload
    def job(self, perform: Callable[P, R], /) -> Job[P, R]: ...

    @overload
    def job(
        self,
        perform: None = None,
        /,
        *,
        queue: str = ...,
        priority: int = ...,
        key: str | Callable[..., str] | Key | None = ...,
        keep_result: bool | float | timedelta | None = ...,
        limit: int | Limit | None = ...,
        cron: str | None = ...,
        every: float | timedelta | None = ...,
        timezone: "str | ZoneInfo | None" = ...,
        schedule: Schedule | Sequence[Schedule] | None = ...,
        properties: Mapping[str, Any] | None = ...,
        **options: Unpack[JobOptions],
    ) -> Callable[[Callable[P, R]], Job[P, R]]: ...

    def job(self, perform: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """
        Declare the decorated function as a job: ``@jobs.job`` or ``@jobs.job(queue="email")``.

        The options are those of ``create_job``.
        """
        if perform is not None:
            return self.create_job(perform=perform)
        return lambda function: self.create_job(perform=function, **options)

    def create_job(
        self,
        *,
        perform: Callable[P, R],
        queue: str = defaults.QUEUE,
        priority: int = defaults.PRIORITY,
        key: str | Callable[..., str] | Key | None = None,
        keep_result: bool | float | timedelta | None = None,
        limit: int | Limit | None = None,
        cron: str | None = None,
        every: float | timedelta | None = None,
        timezone: "str | ZoneInfo | None" = None,
        schedule: Schedule | Sequence[Schedule] | None = None,
        properties: Mapping[str, Any] | None = None,
        **options: Unpack[JobOptions],
    ) -> Job[P, R]:
        """
        Declare *perform* as a job, stored in *queue* with *priority* (lower runs first).

        *key* and *keep_result* are those of ``later``, which may be told others. *limit* says how
        many calls of it may run at once, or with a Limit how many of those that have something in
        common. *cron*, with *timezone*, or *every* run it again and again, as those of a Schedule
        do; *schedule* is such a one, or several, with arguments.
        *properties* become attributes of the job. Of the *options* max_attempts, max_runtime
        (seconds), delete_successful_jobs and delete_failed_jobs (True, False, or seconds or a
        timedelta after which the row goes) win over the group's. *retry_on* are the only exception
        classes worth another try, and after those in *discard_on* the job ends as by Discard.
        *backoff* is the seconds to wait after a bad run: a number; a list, of which the last one
        repeats; or a function of the attempt, 1 after the first. *jitter*, from 0 to 1, is the
        share by which that may be longer. The hooks, before_schedule and so on, are functions or
        lists of them, which run inside of the manager's.

        Raises ConfigurationError when an option is not of its kind, when the queue is not declared,
        when *perform* is no function made by ``def``, and when a schedule does not give it the
        arguments that it needs.
        """
        if not inspect.isfunction(perform) or perform.__name__ == "<lambda>":
            raise ConfigurationError(
                f"perform of a job must be a function made by def, got {perform!r}"
            )
        check_keys(options, _JOB_OPTIONS, of="a job")
        self._check_declared(queue)
        job: Job[P, R] = Job(
            perform,
            owner=self,
            queue=queue,
            priority=check_priority(priority),
            key=None if key is None else Key.of(key),
            keep_result=None if keep_result is None else result_period(keep_result),
            own_limits=own_limits(options),
            error_rules=error_rules(options),
            hooks=hooks(options),
            properties=properties,
            limit=Limit.of(limit),
            schedules=schedules_of(schedule, {"cron": cron, "every": every, "timezone": timezone}),
        )
        place = path_of(perform), job.name
        check_schedules(job, (one for where, one in self.declared.items() if where != place))
        self.declared[place] = job
        return job

    def start_background_worker(
        self, *, process: bool = False
    ) -> "BackgroundWorker | BackgroundProcess":
        """
        Run the worker groups beside this program, until it ends or they are stopped.

        On threads of this process; with *process*, in processes of their own, where jobs can be
        killed and cannot hurt the app. A second call returns what is running already. Nothing is
        started while a worker, or a new child of multiprocessing, loads the program, nor in a test
        mode; and it does not last where the process only watches files for a debug server's child.

        Raises ConfigurationError or a StorageError if the storage cannot be used.
        """
        make = self._new_process if process else self._new_threads
        return self._background.start(make, partial(self._may_start, process=process))

    def _may_start(self, *, process: bool) -> bool:
        if context.loading_now() or self._is_lent or is_spawned():
            return False
        for adapter in {self.adapter(group.adapter) for group in self.workers}:
            adapter.reload()  # a file that is not ours is refused here
        self._sync()
        if not process:  # which says it itself
            from litejobs.worker import tell_untaken  # noqa: PLC0415  # for workers only

            tell_untaken(self.queues, (group.queues for group in self.workers))
        return True

    def _new_threads(self) -> "BackgroundWorker":
        from litejobs.background import BackgroundWorker  # noqa: PLC0415  # for workers only

        return BackgroundWorker(
            [self.new_worker(group, id_) for group in self.workers for id_ in range(group.count)]
        )

    def _new_process(self) -> "BackgroundProcess":
        from litejobs.processes.background import BackgroundProcess  # noqa: PLC0415  # as above

        return BackgroundProcess(self.attached(), self.logger.getEffectiveLevel())

    @abstractmethod
    def attached(self) -> "Attached":
        """What a runner in a process of its own works for; raises ConfigurationError."""

    def create_worker(
        self,
        index: int,
        id: int = 0,  # noqa: A002  # the specification's word
        *,
        workoff: bool = False,
        clear: bool = False,
    ) -> "InlineWorker":
        """
        One worker of the group at *index* of ``workers``; its ``run`` runs jobs on this thread.

        *id* is its number in the group. *workoff*: ``run`` returns when no job is due any more.
        *clear*: ``run`` runs no job but deletes all that the group's storage holds.

        Raises ConfigurationError if there is no such group.
        """
        check_whole("index", index, at_least=0)
        check_whole("id", id, at_least=0)
        return self.new_worker(self.group(index), id, workoff=workoff, clear=clear)

    def group(self, index: int) -> WorkerGroup:
        """The worker group with that number; raises ConfigurationError if there is none."""
        if index >= len(self.workers):
            raise ConfigurationError(
                f"there is no worker group {index}; there are {len(self.workers)}, the first is 0"
            )
        return self.workers[index]

    def new_worker(self, group: WorkerGroup, id_: int, **how: bool) -> "InlineWorker":
        """Worker number *id_* of *group*, for one thread."""
        from litejobs.inline import InlineWorker  # noqa: PLC0415  # for workers only

        adapter = self.adapter(group.adapter)
        return InlineWorker(group, adapter, self.execution, self.clock, id_, sync=self._sync, **how)

    def _sync(self) -> None:
        """Store what recurs; but a test says itself what runs."""
        if not self._is_lent:
            self.recurring.sync()

    def execution(self, group: WorkerGroup) -> "Execution":
        """What runs the jobs of *group*; for one thread."""
        from litejobs.execution import Execution  # noqa: PLC0415  # for workers only

        logger = group.logger or self.logger
        return Execution(
            self.loader(),
            self.limits(group),
            self.clock,
            logger,
            self._surroundings,
            self.hooks,
            partial(self.adapter, group.adapter),
        )

    def limits(self, group: WorkerGroup) -> Limits:
        """What bounds the jobs of *group*, as far as they say nothing themselves."""
        return replace(group.limits, has_failure_hooks=bool(self.hooks.after_failure))

    def pause(self, queue: str) -> None:
        """
        Let workers begin no more jobs of *queue*, ``"*"`` for every queue, until ``resume``.

        It is stored, and holds at once for all workers. Running jobs go on; jobs can still be
        stored and wait. Raises ConfigurationError for a queue that is not declared, or where the
        storage cannot do that.
        """
        for adapter in self._pausing(queue):
            adapter.pause(queue)

    def resume(self, queue: str) -> None:
        """
        Take back a ``pause`` of *queue*; errors as there.

        ``"*"`` takes back the pause of ``"*"``: queues that were paused by name stay so.
        """
        for adapter in self._pausing(queue):
            adapter.resume(queue)

    def cancel(self, id: int, *, adapter: str | None = None) -> bool:  # noqa: A002  # as a job has it
        """
        Let the job with that id not run, or end: whether there was anything to cancel.

        A job that has not begun is cancelled at once. One that runs is asked to end: in a worker
        process by JobCancelled, and killed 2 seconds later; on a thread it has to look at
        ``current_job().is_cancelled``. *adapter* is a key of the manager's adapters (None: the
        first). Raises ConfigurationError where that storage cannot cancel or *id* is no whole
        number, and a StorageError.
        """
        check_whole("id", id, at_least=0)
        storage = self.adapter(adapter)
        if not storage.cancels:
            raise ConfigurationError(f"{storage.describe()} cannot cancel jobs")
        return storage.cancel(id) in ("cancelled", "asked")

    def _pausing(self, queue: str) -> list[BaseAdapter]:
        if queue != defaults.WORK_QUEUE:
            self._check_declared(queue)
        adapters = [self.adapter(key) for key in self.adapter_keys]
        for adapter in adapters:
            if not adapter.pauses:
                raise ConfigurationError(f"{adapter.describe()} cannot pause queues")
        return adapters

    def around_job(self) -> AbstractContextManager[object]:
        """What each job runs inside of, on whichever worker; asked for anew by each."""
        return _NOTHING

    def _surroundings(self) -> AbstractContextManager[object]:
        return self.around_job() if self._watch is None else self._watched(self._watch)

    @contextmanager
    def _watched(self, watch: "Around") -> Iterator[None]:
        with watch(), self.around_job():
            yield

    @contextmanager
    def lent(
        self, adapters: "Mapping[str, SqliteAdapter]", clock: Clock, watch: "Around"
    ) -> Iterator[None]:
        """
        While inside, a test has this manager: it stores in *adapters* instead, by *clock*.

        *watch* is entered around each job. No background worker is started.
        """
        if self._is_lent:
            raise ConfigurationError(f"{self.where} is in a test mode already")
        before = self.clock, self._watch
        self.clock, self._watch, self._is_lent = clock, watch, True
        _lent.append(self)
        try:
            with self.storing_in(adapters):
                yield
        finally:
            self.clock, self._watch = before
            self._is_lent = False
            _lent.remove(self)

    def check_not_beside_a_test(self) -> None:
        """Raise SchedulingError if a test has another manager, and this one is as ever."""
        if _lent and not self._is_lent:
            raise SchedulingError(
                f"a test mode is on for {_lent[-1].where}, but this job would be stored in the real"
                f" database of {self.where}: use testing.manual() or run_now() with that manager, "
                "or name it to the fixtures, by [tool.litejobs] app or a fixture litejobs_manager"
            )

    @abstractmethod
    def storing_in(self, adapters: "Mapping[str, SqliteAdapter]") -> AbstractContextManager[None]:
        """While inside, *adapters* stand in for this manager's own of the same keys."""

    @property
    @abstractmethod
    def adapter_keys(self) -> Sequence[str]:
        """The names of the adapters, the default first."""

    @property
    def where(self) -> str:
        """``module:name`` where this manager can be imported from, as far as that can be seen."""
        module = sys.modules.get(self.module)
        names = [name for name, value in vars(module).items() if value is self] if module else []
        place = self.module if module is None else importable_name(module)
        return f"{place}:{names[0]}" if names else place

    def _check_declared(self, queue: str) -> None:
        check_queue(queue)
        if self.queues is not None and queue not in self.queues:
            raise ConfigurationError(
                f"queue {queue!r} is not one of the declared queues: {', '.join(self.queues)}"
            )


def check_no_text(job: object) -> None:
    """Raise SchedulingError for the name of a job in its place, as other queues take it."""
    if isinstance(job, str):
        raise SchedulingError(f"{quoted(job)} is a text, not a job: pass the function itself")


def not_declared(job: object, manager: BaseManager) -> str:
    """Why *manager* does not take *job*, in words."""
    name = getattr(job, "__name__", repr(job))
    owner = getattr(job, "owner", None)
    of = f"of {owner.where}, not of" if isinstance(owner, BaseManager) else "not declared in"
    return f"{name} is a job {of} {manager.where}"


def path_of(function: Callable[..., Any]) -> str:
    """The function's file, relative to its project; as the code object names it."""
    return path_in_project(Path(inspect.unwrap(function).__code__.co_filename))


def path_in_project(file: Path) -> str:
    """A file of Python, relative to its project."""
    root = root_of_file(file)
    resolved = file.resolve()
    return resolved.relative_to(root).as_posix() if resolved.is_relative_to(root) else file.name
