"""The manager of those who make none of their own: ``litejobs.later`` and ``litejobs.jobs``."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, FunctionType
from typing import TYPE_CHECKING, Any

from litejobs import context
from litejobs.adapters.base import BaseAdapter
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.base_manager import BaseManager, check_no_text, not_declared, path_in_project
from litejobs.errors import ConfigurationError, SchedulingError
from litejobs.handler import locate, relative_path
from litejobs.hooks import NONE
from litejobs.job import Job
from litejobs.project import (
    DatabasePlace,
    app_of,
    claim,
    database_of,
    make_default_directory,
    root_of_directory,
    root_of_file,
)
from litejobs.scheduler import Scheduler, Target

if TYPE_CHECKING:
    from litejobs.background import BackgroundWorker
    from litejobs.inline import InlineWorker
    from litejobs.loader import Loader
    from litejobs.processes.background import Attached, BackgroundProcess


class DefaultManager(BaseManager):
    """
    Takes plain functions and jobs declared with ``litejobs.jobs.job``; has one database.

    Which one is decided by the first use, for the project that is then at work.
    """

    def __init__(self) -> None:
        super().__init__(queues=None, logger=None, workers=None, clock=None)
        self.later = Scheduler(self, None, self.logger)
        self._named: DatabasePlace | None = None
        self._root: Path | None = None
        self._hint = ""
        self._adapter: SqliteAdapter | None = None
        self._targets: dict[Callable[..., Any], Target] = {}

    def configure(self, *, database: str | os.PathLike[str]) -> None:
        """
        Name the database file; before the first ``later`` and before workers start.

        While a worker loads the project, or in a test mode, this does nothing: there it is known
        which file it is about.
        Raises ConfigurationError if another one is in use already.
        """
        if context.loading_now() or self._is_lent:
            return
        place = DatabasePlace(Path(database).absolute(), "litejobs.configure names it")
        if self._adapter is not None and SqliteAdapter(place.path).path != self._adapter.path:
            raise ConfigurationError(
                f"jobs are stored in {self._adapter.path} already; call litejobs.configure() "
                "before the first later()"
            )
        self._named = place

    def use_root(self, root: Path, *, hint: str = "") -> None:
        """
        Work for the project at *root*; for workers, which know it from their command.

        *hint* names the app that other jobs in the database belong to.
        """
        self._root = root
        self._hint = hint

    @property
    def where(self) -> str:
        return "litejobs:jobs"

    def adapter(self, key: str | None) -> SqliteAdapter:
        if key not in (None, "sqlite"):
            raise ConfigurationError(f"there is no adapter {key!r}; the adapter is 'sqlite'")
        return self._storage(self._root or root_of_directory(Path.cwd()))

    @property
    def adapter_keys(self) -> Sequence[str]:
        return ("sqlite",)

    @contextmanager
    def storing_in(self, adapters: Mapping[str, SqliteAdapter]) -> Iterator[None]:
        before = self._adapter, self._root, self._targets
        self._adapter, self._root, self._targets = adapters["sqlite"], None, {}
        try:
            yield
        finally:
            self._adapter, self._root, self._targets = before

    def loader(self) -> "Loader":
        from litejobs.loader import Loader  # noqa: PLC0415  # for workers only

        assert self._root is not None  # adapter() came first
        return Loader(self.declared, self._root, self._hint)

    def start_background_worker(
        self, *, process: bool = False
    ) -> "BackgroundWorker | BackgroundProcess":
        self._use_root_of(sys._getframe(1))  # noqa: SLF001  # the caller
        return super().start_background_worker(process=process)

    def attached(self) -> "Attached":
        from litejobs.processes.background import Attached  # noqa: PLC0415  # for workers only

        database = self.adapter(None).path
        assert self._root is not None  # adapter() came first
        return Attached(self._root, database=database)

    def create_worker(self, *where: int, **how: Any) -> "InlineWorker":
        self._use_root_of(sys._getframe(1))  # noqa: SLF001  # the caller
        return super().create_worker(*where, **how)

    def _use_root_of(self, caller: FrameType) -> None:
        """Where no command says whose project it is, whoever wants workers does."""
        file = Path(caller.f_code.co_filename)
        if self._root is None and file.is_file():
            self._root = root_of_file(file)

    def target(self, job: Callable[..., Any], _adapter: str | None) -> Target:
        if not isinstance(job, (Job, FunctionType)):
            check_no_text(job)
            locate(job)  # refuses it, in words
        self.check_not_beside_a_test()
        target = self._targets.get(job)
        if target is None:
            target = self._targets[job] = self._new_target(job)
        return target

    def _new_target(self, job: Callable[..., Any]) -> Target:
        declared = job if isinstance(job, Job) else None
        if declared is not None and declared.owner is not self:
            raise SchedulingError(f"{not_declared(job, self)}; use its own manager's later")
        function = job if declared is None else declared.perform
        file, module = locate(function, declared)
        root = self._root or root_of_file(file)
        path = relative_path(file, root, function.__name__)
        storage = self._storage(root)
        of = declared or Job(function, owner=self)
        return Target(
            function, of.name, path, module, of.queue, of.priority, storage,
            of.key, of.keep_result, of.hooks or NONE, of.limit,
        )  # fmt: skip

    def describe(self, job: Job[..., Any], _adapter: BaseAdapter) -> Target:
        return self.target(job, None)

    def schedule_owner(self, path: str) -> str:
        """Of several scripts that share the database, each keeps what it declares itself."""
        return f"{self.where} {path}".rstrip()

    def has_code_of(self, owner: str) -> bool:
        path = owner.removeprefix(f"{self.where} ")
        files = {getattr(module, "__file__", None) for module in tuple(sys.modules.values())}
        return path != owner and any(
            Path(file).name == Path(path).name and path_in_project(Path(file)) == path
            for file in files
            if isinstance(file, str)
        )

    def _storage(self, root: Path) -> SqliteAdapter:
        """The database, found by the first use; it serves that project and no other."""
        if self._adapter is None:
            place = self._named or database_of(root)
            make_default_directory(place, root)
            adapter = SqliteAdapter(place.path, clock=self.clock)
            # Tables are added to another program's file only where Python code named it.
            adapter.open(adopt=self._named is not None)
            claim(adapter, root)
            self.logger.info("jobs are stored in %s (%s)", adapter.path, place.why)
            app = app_of(root)
            if app is not None:
                self.logger.warning(
                    "litejobs.later stores in %s, where the workers of the app %s do not look: for "
                    "them use the app's own later", adapter.path, app,
                )  # fmt: skip
            self._adapter = adapter
        self._root = self._root or root
        return self._adapter


manager = DefaultManager()
later = manager.later
