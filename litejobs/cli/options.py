"""What the commands have in common: which database, which app, which project."""

import logging
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from litejobs import defaults
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.config import MAX_TENURE, check_selection, selection
from litejobs.errors import ConfigurationError, DatabaseFileError, UsageError
from litejobs.performers.manifest import Storage
from litejobs.processes.record import DaemonFiles, noted_storage
from litejobs.processes.roles import Source
from litejobs.processes.sources import AppSource, DatabaseSource, default_storage, open_storage
from litejobs.processes.storages import Storages
from litejobs.project import (
    APP_VARIABLE,
    DatabasePlace,
    app_of,
    check_root,
    database_of,
    make_default_directory,
    names_database,
    root_of_directory,
)

_APP = click.option(
    "--app",
    metavar="MODULE[:NAME]",
    help=f"The JobManager of your app; also {APP_VARIABLE} or [tool.litejobs] app.",
)
root_option = click.option(
    "--root",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="The project's directory, if it is not found from the current one or has moved.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
#: A file that need not be there, and is looked at elsewhere; a shell completes it as a path.
DATABASE_FILE = click.Path(readable=False)
DEFAULT_NAME = "default"
_MOST_DIGITS = 19
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
LEVELS = click.Choice(["debug", "info", "warning", "error"])
QUEUES = click.option(
    "--queue", "-q", "queues", multiple=True, metavar="NAME",
    help="Take jobs of this queue only, or with !NAME of all others; may be repeated. Without an "
    "app.",
)  # fmt: skip
COUNT = click.option(
    "--count", "-n", type=click.IntRange(1, 256), default=None, metavar="N",
    help="How many workers, each a process; 1 by default. Without an app.",
)  # fmt: skip
MAX_JOBS = click.option(
    "--max-jobs", type=click.IntRange(1, MAX_TENURE), metavar="N",
    help="Replace a worker process after so many jobs. Without an app.",
)  # fmt: skip
MAX_MEMORY = click.option(
    "--max-memory", type=click.IntRange(1, MAX_TENURE), metavar="MIB",
    help="Replace a worker process that has grown above this, after its job. Without an app.",
)  # fmt: skip


def _finite(_context: click.Context, _option: click.Parameter, value: float) -> float:
    if not math.isfinite(value):
        raise click.BadParameter(f"{value} is no number of seconds")
    return value


STOP_TIMEOUT = click.option(
    "--stop-timeout", type=click.FloatRange(0.001), callback=_finite, default=defaults.STOP_TIMEOUT,
    show_default=True, metavar="SECONDS",
    help="How long SIGTERM lets running jobs go on before they are given back.",
)  # fmt: skip
NAME = click.option(
    "--name", default=DEFAULT_NAME, show_default=True, metavar="NAME",
    help="Which daemon, where a database has several.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Project:
    """The options that say what a command is about."""

    database: str | None
    app: str | None
    root: Path
    moved: bool  # --root was given

    @property
    def names_database(self) -> bool:
        """Whether command, environment or project name the file."""
        return self.database is not None or names_database(self.root)

    def source(
        self,
        level: str,
        queues: Sequence[str],
        count: int | None,
        max_jobs: int | None = None,
        max_memory: int | None = None,
    ) -> Source:
        """What a runner is to work for."""
        log_level = logging.getLevelNamesMapping()[level.upper()]
        names = self.queues(queues, count)
        if self.app is not None:
            self.check_tenure(max_jobs, max_memory)
            database = self.place().path if self.names_database else None
            return AppSource(self.app, self.root, database, log_level)
        place = self.place()
        make_default_directory(place, self.root)
        logging.getLogger("litejobs").info("jobs are stored in %s (%s)", place.path, place.why)
        return DatabaseSource(
            place.path,
            self.root,
            log_level,
            queues=names,
            count=count or 1,
            max_jobs=max_jobs,
            max_memory=max_memory,
            moved=self.moved,
        )

    def queues(self, queues: Sequence[str], count: int | None) -> tuple[str, ...]:
        """The queues to work on; raises UsageError where an app says which."""
        if self.app is not None and (queues or count is not None):
            raise UsageError(
                f"--queue and --count do not go with an app: the worker groups of {self.app} "
                "say both"
            )
        return _queue_names(queues)

    def check_tenure(self, max_jobs: int | None, max_memory: int | None) -> None:
        """Raise UsageError where an app says how long a worker process stays."""
        if self.app is not None and (max_jobs or max_memory):
            raise UsageError(
                f"--max-jobs and --max-memory do not go with an app: the worker groups of "
                f"{self.app} say both"
            )

    def place(self) -> DatabasePlace:
        """The database, where no app says so."""
        if self.database is not None:
            return DatabasePlace(Path(self.database), "named on the command line")
        return database_of(self.root)

    def storage(self) -> SqliteAdapter:
        """The database to look at, opened; one that is missing is refused, not made."""
        if self.app is not None and not self.names_database:
            noted = noted_storage(self.root, self.app)
            if noted is not None:
                return self._open(noted, f"the daemon of {self.app} was started there")
            return self._open(self.storages().to_look_at(), f"{self.app} says so")
        place = self.place()
        if place.is_default and not place.path.exists():
            raise DatabaseFileError(
                f"no job has been stored yet for the project at {self.root} (there is no "
                f"{place.path}); if they are an app's, name it: --app MODULE:NAME"
            )
        adapter = self._open(default_storage(place.path), place.why)
        if self.database is None:
            self._check_whose(adapter)
        return adapter

    def check_daemon(self, name: str) -> None:
        """Raise UsageError if no daemon can have that name."""
        if not _NAME.fullmatch(name):
            raise UsageError(f"--name must be letters, digits, - and _, got {name!r}")

    def daemon(self, name: str) -> DaemonFiles:
        """Where the daemon of that name would be; runs user code only if nothing else tells."""
        self.check_daemon(name)
        if self.app is None or self.names_database:
            storage = default_storage(self.place().path)
        else:
            storage = noted_storage(self.root, self.app) or self.storages().to_look_at()
        return DaemonFiles(SqliteAdapter(storage.path).run_directory, name)

    def _open(self, storage: Storage, why: str) -> SqliteAdapter:
        if self.database is None:
            click.echo(f"jobs in {storage.path} ({why})", err=True)
        return open_storage(storage, adopt=False, create=False)

    def storages(self) -> Storages:
        """All that the app stores jobs in; asks it, in a process of its own."""
        assert self.app is not None
        return Storages.of(AppSource(self.app, self.root, None, logging.WARNING))

    def clear(self, index: int | None, confirm: Callable[[str], None]) -> int:
        """
        Delete every job, or those in the storage of the worker group *index*; returns how many.

        *confirm* is told where before anything is deleted, and may raise.
        """
        if self.app is None or self.names_database:
            storage = self.storage()
            confirm(storage.path)
            return storage.clear()
        storages = self.storages()
        keys = list(storages.manifest.adapters)
        if index is not None:
            keys = [storages.manifest.group(index).adapter]
        confirm(storages.where(keys))
        return storages.clear(keys)

    def _check_whose(self, adapter: SqliteAdapter) -> None:
        """Where only settings name the file: it must be this project's, and this app's."""
        if not self.moved:
            check_root(adapter, self.root)
        owner = adapter.get_meta("app")
        if self.app and owner and owner.partition(":")[0] != self.app.partition(":")[0]:
            raise ConfigurationError(
                f"{adapter.path} holds the jobs of the app {owner}, not of {self.app}; name the "
                "file as DATABASE if it is meant"
            )


def _queue_names(queues: Sequence[str]) -> tuple[str, ...]:
    names = selection(queues)
    try:
        check_selection(names)
    except ConfigurationError as error:
        raise UsageError(str(error)) from None
    return names


def project_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--app`` and ``--root``."""
    return _APP(root_option(command))


def log_level_option(default: str) -> Callable[..., Any]:
    """``--log-level``."""
    return click.option(
        "--log-level", type=LEVELS, default=default, show_default=True, help="What is logged."
    )


def database_and_ids(*, required: bool, metavar: str) -> Callable[..., Any]:
    """``[DATABASE] ID...`` as *words*, for ``split_words``."""
    return click.argument("words", nargs=-1, required=required, metavar=metavar, type=DATABASE_FILE)


def database_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """``[DATABASE]``."""
    return click.argument("database", required=False, type=DATABASE_FILE)(command)


def project(database: str | None, app: str | None, root: Path | None) -> Project:
    """What the options say, with what environment and project say where they are silent."""
    if database == "":
        raise UsageError("DATABASE must name a file, got an empty text")
    place = project_root(root)
    if app == "":
        raise UsageError("--app must name a module, got an empty text")
    return Project(database, app or app_of(place), place, moved=root is not None)


def project_root(root: Path | None) -> Path:
    """The project's directory: the one given, else that of the current one."""
    return (root or root_of_directory(Path.cwd())).resolve()


def split_words(words: Sequence[str], what: str) -> tuple[str | None, list[int]]:
    """``[DATABASE] ID...`` taken apart: ids are whole numbers, a database is anything else."""
    database = None
    rest = list(words)
    if rest and not rest[0].isdecimal():
        database = rest.pop(0)
    for word in rest:
        if not word.isdecimal() or len(word) > _MOST_DIGITS:
            raise UsageError(f"{what} is a whole number of at most 19 digits, got {word[:40]!r}")
    return database, [int(word) for word in rest]
