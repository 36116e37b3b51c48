"""JobManager: wires adapters, jobs, schedulers and workers together; holds no rule of its own."""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from litejobs import context, defaults
from litejobs.adapters.base import BaseAdapter
from litejobs.base_manager import BaseManager, check_no_text, not_declared, path_of
from litejobs.clock import Clock
from litejobs.config import WorkerGroup, check_logger, with_checked_options
from litejobs.errors import ConfigurationError, SchedulingError
from litejobs.hooks import NONE
from litejobs.job import Job
from litejobs.project import root_of_file
from litejobs.rules.queues import shared, takes
from litejobs.run_directory.identity import worker_name
from litejobs.scheduler import Scheduler, Target

if TYPE_CHECKING:
    from litejobs.adapters.sqlite.adapter import SqliteAdapter
    from litejobs.loader import Loader
    from litejobs.processes.background import Attached


@with_checked_options
class JobManager(BaseManager):
    """
    An app's jobs: where they are stored, which there are, who works on them.

    *adapters* are storages by name, the first one being the default. *queues* declares the queue
    names (None: any). *logger* logs what no group, scheduler or adapter has a logger of its own
    for (None: ``litejobs``). *workers* are WorkerGroups or dicts with the same keys (None: one
    group on the first adapter, for every queue). *clock* is for tests.

    Raises ConfigurationError when an option is not of its kind, when a group names an adapter or a
    queue that there is not, and when two groups leave to chance which limits a job has.
    """

    def __init__(
        self,
        adapters: Mapping[str, BaseAdapter],
        queues: Sequence[str] | None = None,
        logger: logging.Logger | None = None,
        workers: Sequence[WorkerGroup | Mapping[str, Any]] | None = None,
        *,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(queues, logger, workers, clock)
        self.adapters: dict[str, BaseAdapter] = dict(_checked_adapters(adapters))
        self._announced: set[BaseAdapter] = set()
        self._targets: dict[tuple[Job[..., Any], BaseAdapter], Target] = {}
        for group in self.workers:
            for queue in group.queues:
                if queue != defaults.WORK_QUEUE:
                    self._check_declared(queue.removeprefix("!"))
            if not any(takes(group.queues, queue) for queue in self.queues or group.queues):
                raise ConfigurationError(
                    f"queue of a worker group excludes every declared queue: {list(group.queues)}"
                )
        groups = [(group, self.adapter(group.adapter)) for group in self.workers]
        check_apart(groups, self.queues)

    def adapter(self, key: str | None) -> BaseAdapter:
        if key is None:
            return next(iter(self.adapters.values()))
        try:
            return self.adapters[key]
        except KeyError:
            raise ConfigurationError(
                f"there is no adapter {key!r}; the adapters are {', '.join(self.adapters)}"
            ) from None

    @property
    def adapter_keys(self) -> Sequence[str]:
        return tuple(self.adapters)

    @contextmanager
    def storing_in(self, adapters: "Mapping[str, SqliteAdapter]") -> Iterator[None]:
        before = self.adapters, self._announced, self._targets
        self.adapters, self._announced, self._targets = dict(adapters), set(), {}
        try:
            yield
        finally:
            self.adapters, self._announced, self._targets = before

    def loader(self) -> "Loader":
        from litejobs.loader import Loader  # noqa: PLC0415  # for workers only

        return Loader(self.declared)

    def attached(self) -> "Attached":
        from litejobs.processes.background import Attached  # noqa: PLC0415  # for workers only

        if ":" not in self.where:
            raise ConfigurationError(
                "worker processes must be able to import the manager: give it a name at the top of "
                f"a module ({self.where} has none for it)"
            )
        module = sys.modules[self.module]
        return Attached(root_of_file(Path(module.__file__ or "")), app=self.where)

    def create_scheduler(
        self, adapter: str | None = None, logger: logging.Logger | None = None
    ) -> Scheduler:
        """
        A ``later`` that stores in the adapter of that name (None: the first).

        It takes jobs that this manager declared, no others. *logger* logs what it stores (None:
        the manager's). Raises ConfigurationError if there is no such adapter.
        """
        check_logger(logger)
        self.adapter(adapter)
        return Scheduler(self, adapter, logger or self.logger)

    def target(self, job: Callable[..., Any], adapter: str | None) -> Target:
        check_no_text(job)
        if not isinstance(job, Job) or job.owner is not self:
            raise SchedulingError(
                f"{not_declared(job, self)}; declare it with @jobs.job(), or use its own later"
            )
        self.check_not_beside_a_test()
        storage = self.adapter(adapter)  # which is another for each Flask app
        target = self._targets.get((job, storage))
        if target is None:
            target = self._new_target(job, storage)
            if storage in self._announced:
                self._targets[job, storage] = target
        return target

    def _new_target(self, job: Job[..., Any], storage: BaseAdapter) -> Target:
        self._announce(storage)
        return self.describe(job, storage)

    def describe(self, job: Job[..., Any], adapter: BaseAdapter) -> Target:
        path = path_of(job.perform)
        return Target(
            job.perform, job.name, path, None, job.queue, job.priority, adapter,
            job.key, job.keep_result, job.hooks or NONE, job.limit,
        )  # fmt: skip

    def _announce(self, storage: BaseAdapter) -> None:
        """Once for each storage: say where the jobs go, and leave word which app they are of."""
        if storage in self._announced:
            return
        if storage.get_meta("app") != self.where:
            if context.is_within_transaction():
                return  # which may have read, and could not write any more; the next later() does
            storage.set_meta("app", self.where)
        self.logger.info("jobs are stored in %s", storage.describe())
        self._announced.add(storage)


def check_apart(
    groups: Sequence[tuple[WorkerGroup, BaseAdapter]], declared: Sequence[str] | None
) -> None:
    """Refuse groups whose workers have one name, or leave to chance which limits a job has."""
    for (one, (first, here)), (other, (second, there)) in combinations(enumerate(groups), 2):
        if here != there:
            continue
        if worker_name(first.queues, 0) == worker_name(second.queues, 0):
            raise ConfigurationError(
                f"worker groups {one} and {other} take the same queues, "
                f"{', '.join(first.queues)}: make them one group with a higher count"
            )
        both = shared(first.queues, second.queues, declared)
        differing = [
            key
            for key, value in asdict(first.limits).items()
            if value != getattr(second.limits, key)
        ]
        if both and differing:
            raise ConfigurationError(
                f"worker groups {one} and {other} both take queue {both!r} but differ in "
                f"{', '.join(differing)}: which holds would be chance; name the queues of each "
                "group, or give jobs limits of their own"
            )


def _checked_adapters(adapters: Mapping[str, BaseAdapter]) -> Mapping[str, BaseAdapter]:
    if not isinstance(adapters, Mapping) or not adapters:
        raise ConfigurationError(
            f"adapters must be a dict with one adapter or more, got {adapters!r}"
        )
    for key, adapter in adapters.items():
        if not isinstance(adapter, BaseAdapter):
            raise ConfigurationError(f"adapter {key!r} must be a BaseAdapter, got {adapter!r}")
    return adapters
