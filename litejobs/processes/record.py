"""What ``start`` leaves behind: for ``restart``, and for all who look for the daemon of an app."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from litejobs.performers.manifest import Storage
from litejobs.run_directory.paths import database_of, read_own, write_private


class Arguments(msgspec.Struct, frozen=True):
    """What ``start`` was told, with all that it took from where it was called."""

    directory: str  # the current one
    root: str
    app: str | None
    database: str | None  # absolute; None: the app says
    name: str
    log: str | None  # absolute; None: beside the pidfile
    log_level: int
    stop_timeout: float  # seconds
    queues: tuple[str, ...] = ()
    count: int = 1
    max_jobs: int | None = None
    max_memory: int | None = None  # MiB
    moved: bool = False  # the project is at root now


class Record(msgspec.Struct, frozen=True):
    """A daemon as it was last started."""

    arguments: Arguments
    pid: int
    started_at: int  # milliseconds since 1970, UTC
    log: str
    workers: tuple[str, ...]  # empty until they are up


@dataclass(frozen=True, slots=True)
class DaemonFiles:
    """The files of the daemon of one name in a run directory."""

    directory: str
    name: str

    @property
    def database(self) -> str:
        """The file beside which they are."""
        return database_of(self.directory)

    @property
    def pidfile(self) -> Path:
        return Path(self.directory, f"{self.name}.pid")

    @property
    def log(self) -> Path:
        return Path(self.directory, f"{self.name}.log")

    @property
    def _record(self) -> Path:
        return Path(self.directory, f"{self.name}.json")

    def write(self, record: Record) -> None:
        write_private(self._record, msgspec.json.encode(record))

    def read(self) -> Record | None:
        """How it was last started; None if it never was, or nobody knows."""
        with suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(read_own(self._record), type=Record)
        return None


def daemons(directory: str) -> list[DaemonFiles]:
    """Those that ever were in a run directory."""
    return [DaemonFiles(directory, path.stem) for path in sorted(Path(directory).glob("*.pid"))]


class _Started(msgspec.Struct, frozen=True):
    root: str
    app: str
    storage: Storage


def note_storage(root: Path, app: str, storage: Storage) -> None:
    """Leave word where the daemon of an app is, for commands that are told of the app alone."""
    path = _place(root, app)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, msgspec.json.encode(_Started(str(root), app, storage)))


def noted_storage(root: Path, app: str) -> Storage | None:
    """Where the daemon of an app was last started, if its file is still there."""
    with suppress(OSError, msgspec.MsgspecError):
        noted = msgspec.json.decode(read_own(_place(root, app)), type=_Started)
        if (noted.root, noted.app) == (str(root), app) and Path(noted.storage.path).exists():
            return noted.storage
    return None


def _place(root: Path, app: str) -> Path:
    import hashlib  # noqa: PLC0415  # 5 MB of memory that a runner with a database does not need

    import platformdirs  # noqa: PLC0415  # as that

    digest = hashlib.blake2b(os.fsencode(f"{root}\0{app}"), digest_size=16).hexdigest()
    return platformdirs.user_data_path("litejobs") / "apps" / f"{digest}.json"
