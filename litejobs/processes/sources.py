"""What a runner works for: an app that tells of itself, or a database without one."""

import logging
from dataclasses import dataclass
from pathlib import Path

from litejobs import defaults
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.errors import UnusableAppError
from litejobs.job import Limits
from litejobs.performers.manifest import Group, Manifest, Storage
from litejobs.performers.output import Output
from litejobs.performers.scout import fetch_manifest
from litejobs.performers.wire import Start
from litejobs.project import check_root, move
from litejobs.retention import check_retention
from litejobs.stop import Stop

log = logging.getLogger("litejobs")


@dataclass(frozen=True)
class AppSource:
    """The app that ``--app`` names; *database*, if given, is the file that it must be about."""

    app: str
    root: Path
    database: Path | None
    log_level: int
    output: Output | None = None  # takes what the app prints while it is asked

    @property
    def start(self) -> Start:
        """What each performer is told first."""
        return Start(self.app, str(self.root), None, 0, self.log_level)

    def manifest(self, stop: Stop) -> Manifest | None:
        """Groups and storages as the app tells them; None if *stop* came first."""
        log.info("loading the app %s", self.app)
        manifest = fetch_manifest(self.start, stop, self.output)
        if manifest is not None and self.database is not None:
            wanted = SqliteAdapter(self.database).path
            if all(storage.path != wanted for storage in manifest.storages.values()):
                where = ", ".join(
                    one.path if isinstance(one, Storage) else one
                    for one in manifest.adapters.values()
                )
                raise UnusableAppError(
                    f"{self.app} keeps its jobs in {where}, not in {wanted}; leave the database out"
                )
        return manifest

    def adapters(self, manifest: Manifest) -> dict[str, SqliteAdapter]:
        """The storages, opened."""
        return {key: open_storage(one, adopt=True) for key, one in manifest.storages.items()}


class DatabaseSource:
    """A database, with the functions of the project at *root*; one group with default limits."""

    def __init__(
        self,
        database: Path,
        root: Path,
        log_level: int,
        *,
        queues: tuple[str, ...] = (defaults.WORK_QUEUE,),
        count: int = defaults.COUNT,
        max_jobs: int | None = None,
        max_memory: int | None = None,
        moved: bool = False,
    ) -> None:
        """*moved*: the project that the database serves is at *root* now."""
        self._database = database
        self._root = root
        self._log_level = log_level
        self._queues = queues
        self._count = count
        self._max_jobs = max_jobs
        self._max_memory = max_memory
        self._moved = moved
        self._hint = ""

    @property
    def start(self) -> Start:
        """What each performer is told first."""
        return Start(None, str(self._root), str(self._database), 0, self._log_level, self._hint)

    def manifest(self, _stop: Stop) -> Manifest:
        """One group, one storage."""
        group = Group(
            "sqlite",
            self._queues,
            self._count,
            Limits(),
            defaults.SLEEP_DELAY,
            self._max_jobs,
            self._max_memory,
        )
        return Manifest((group,), {"sqlite": default_storage(self._database)}, ())

    def adapters(self, manifest: Manifest) -> dict[str, SqliteAdapter]:
        """The storage, opened; raises ConfigurationError if it serves a project elsewhere."""
        adapter = open_storage(manifest.storages["sqlite"], adopt=False)
        if self._moved:
            move(adapter, self._root)
        check_root(adapter, self._root)
        self._hint = adapter.get_meta("app") or ""
        return {"sqlite": adapter}


def default_storage(database: Path) -> Storage:
    """A database with the options that hold where no app says otherwise."""
    return Storage(str(database), defaults.TABLE, "full", 0o600, check_retention(None))


def open_storage(storage: Storage, *, adopt: bool, create: bool = True) -> SqliteAdapter:
    """The storage by the library that serves where no user code lives."""
    adapter = SqliteAdapter(
        storage.path,
        table=storage.table,
        durability=storage.durability,  # type: ignore[arg-type]  # checked by the adapter
        mode=storage.mode,
        retention=storage.retention,
        driver="apsw",
    )
    adapter.open(create=create, adopt=adopt)
    return adapter
