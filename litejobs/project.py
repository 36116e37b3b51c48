"""Where a project begins, what its pyproject.toml says, and which database is its own."""

import logging
import os
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from litejobs.config import check_keys
from litejobs.errors import ConfigurationError

DATABASE_VARIABLE = "LITEJOBS_DATABASE"
APP_VARIABLE = "LITEJOBS_APP"
_MARKS = ("pyproject.toml", ".git")
log = logging.getLogger("litejobs")


class Facts(Protocol):
    """Storage that keeps facts beside its jobs."""

    def get_meta(self, key: str) -> str | None:
        """The fact, or None."""
        ...

    def set_meta(self, key: str, value: str) -> None:
        """Keep the fact."""
        ...

    def describe(self) -> str:
        """Which storage it is."""
        ...


@dataclass(frozen=True, slots=True)
class DatabasePlace:
    """A database file and the reason why it is that one."""

    path: Path
    why: str
    is_default: bool = False  # nobody named it


def root_of_file(file: Path) -> Path:
    """
    The project that *file* is part of.

    The nearest parent with pyproject.toml or .git; else the file's directory, above its packages.
    """
    file = file.resolve()
    marked = _marked(file.parent)
    if marked is not None:
        return marked
    directory = file.parent
    while (directory / "__init__.py").exists() and directory != directory.parent:
        directory = directory.parent
    return directory


def root_of_directory(directory: Path) -> Path:
    """The project that *directory* lies in: the nearest marked parent, else the directory."""
    directory = directory.resolve()
    return _marked(directory) or directory


def _marked(directory: Path) -> Path | None:
    for place in (directory, *directory.parents):
        if any((place / mark).exists() for mark in _MARKS):
            return place
    return None


def is_installed(file: Path) -> bool:
    """Whether *file* belongs to the Python installation or to a package installed in it."""
    if set(file.parts) & {"site-packages", "dist-packages"}:
        return True
    if any((parent / "pyvenv.cfg").exists() for parent in file.parents):
        return True
    return any(file.is_relative_to(place) for place in _library_directories())


@cache
def _library_directories() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    return tuple(
        Path(paths[key]).resolve() for key in ("stdlib", "platstdlib", "purelib", "platlib")
    )


@cache
def settings(root: Path) -> Mapping[str, Any]:
    """
    ``[tool.litejobs]`` of the project's pyproject.toml: ``app`` and ``database``, both optional.

    Raises ConfigurationError if the file is no TOML, or the table holds anything else.
    """
    file = root / "pyproject.toml"
    if not file.is_file():
        return {}
    import tomllib  # noqa: PLC0415  # 15 ms, only where there is something to read

    try:
        tool = tomllib.loads(file.read_text("utf-8")).get("tool", {})
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read as TOML: {error}") from None
    table = tool.get("litejobs", {}) if isinstance(tool, dict) else tool
    if not isinstance(table, dict):
        raise ConfigurationError(f"tool.litejobs in {file} must be a table, got {table!r}")
    check_keys(table, ("app", "database"), of=f"[tool.litejobs] in {file}")
    for key, value in table.items():
        if not isinstance(value, str) or not value:
            raise ConfigurationError(
                f"{key} in [tool.litejobs] of {file} must be text, got {value!r}"
            )
    return table


def database_of(root: Path) -> DatabasePlace:
    """The database of a project where neither code nor command names one."""
    named = os.environ.get(DATABASE_VARIABLE)
    if named:
        return DatabasePlace(Path(named).absolute(), f"{DATABASE_VARIABLE} names it")
    named = settings(root).get("database")
    if named:
        return DatabasePlace(root / named, f"[tool.litejobs] in {root / 'pyproject.toml'} names it")
    why = f"the default of the project at {root}"
    return DatabasePlace(_default_path(root), why, is_default=True)


def names_database(root: Path) -> bool:
    """Whether environment or project name the database."""
    return bool(os.environ.get(DATABASE_VARIABLE) or settings(root).get("database"))


def claim(storage: Facts, root: Path) -> None:
    """
    See that the storage serves the project at *root*, from now on if it serves none yet.

    Raises ConfigurationError if it serves another: the paths in its rows are relative to that.
    """
    if storage.get_meta("root") is None:
        move(storage, root)
    check_root(storage, root)


def check_root(storage: Facts, root: Path) -> None:
    """Raise ConfigurationError if the storage serves a project that is not at *root*."""
    served = storage.get_meta("root")
    if served not in (None, str(root)):
        raise ConfigurationError(
            f"{storage.describe()} holds the jobs of the project at {served}, this one is at "
            f"{root}; use another database; or, if it is that project and has moved here, say so "
            f"once: litejobs work --root {root} {storage.describe()}"
        )


def move(storage: Facts, root: Path) -> None:
    """Note that the project served by the storage is at *root* from now on."""
    storage.set_meta("root", str(root))


def app_of(root: Path) -> str | None:
    """The app, ``MODULE[:NAME]``, that environment or project name; None: no app."""
    return os.environ.get(APP_VARIABLE) or settings(root).get("app")


def app_named_by(root: Path, app: str) -> str:
    """Which setting names that app, in words; empty where none does."""
    if os.environ.get(APP_VARIABLE):
        return APP_VARIABLE if os.environ[APP_VARIABLE] == app else ""
    return f"[tool.litejobs] in {root / 'pyproject.toml'}" if app_of(root) == app else ""


def make_default_directory(place: DatabasePlace, root: Path) -> None:
    """Make the directory of a default database; say so where a project of like name has another."""
    if not place.is_default or place.path.parent.is_dir():
        return
    try:
        place.path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{place.path.parent} cannot be made ({error.strerror}); name a database, for example "
            f"by {DATABASE_VARIABLE}"
        ) from error
    for other in sorted(place.path.parent.parent.glob(f"{_label(root)}-*/jobs.sqlite")):
        log.warning(
            "a new database for the project at %s; another project named %s has its jobs in %s",
            root, root.name, other,
        )  # fmt: skip


def _default_path(root: Path) -> Path:
    import hashlib  # noqa: PLC0415  # as platformdirs

    import platformdirs  # noqa: PLC0415  # 18 ms that named databases do not need

    digest = hashlib.blake2b(os.fsencode(root), digest_size=4).hexdigest()
    return platformdirs.user_data_path("litejobs") / f"{_label(root)}-{digest}" / "jobs.sqlite"


def _label(root: Path) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in root.name) or "root"
