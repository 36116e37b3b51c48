"""The manager that ``--app MODULE[:NAME]`` names."""

import importlib
import sys
from pathlib import Path
from types import FunctionType, ModuleType

from litejobs.errors import UnusableAppError
from litejobs.manager import JobManager
from litejobs.project import app_named_by

_CUSTOMARY = ("app", "create_app")  # of web frameworks


def load_app(text: str, root: Path | None = None) -> JobManager:
    """
    Import the module and return its JobManager.

    Where settings of the project at *root* name it, an error says so.

    NAME may also be an app that has a JobManager as its extension ``litejobs``, or a function that
    makes such an app. Without NAME, the only JobManager of the module is meant; where it has none,
    its ``app`` or ``create_app``.

    Raises UnusableAppError if there is no such module or manager. What the module itself raises
    when it is imported passes through.
    """
    name, colon, attribute = text.partition(":")
    try:
        module = _import(name)
        return _named(module, attribute) if colon else _only_manager(module, text)
    except _Misnamed as error:
        where = "" if root is None else app_named_by(root, text)
        by = f", named by {where}" if where else ""
        raise UnusableAppError(f"--app {text}{by}: {error}") from None


class _Misnamed(Exception):  # noqa: N818  # caught by who knows the whole name
    """Why what was named is no app."""


def _named(module: ModuleType, attribute: str) -> JobManager:
    try:
        found = getattr(module, attribute)
    except AttributeError:
        raise _Misnamed(f"{module.__name__} has no attribute {attribute!r}") from None
    manager = _manager_of(found)
    if manager is None:
        own = [key for key, value in vars(module).items() if isinstance(value, JobManager)]
        instead = f"{module.__name__}:{own[0]}" if own else "MODULE:NAME"
        raise _Misnamed(
            f"{attribute} is of type {type(found).__name__}, not a JobManager; name that: "
            f"--app {instead}"
        )
    return manager


def _manager_of(found: object) -> JobManager | None:
    """What was named, the extension of it, or that of the app that it makes."""
    if isinstance(found, FunctionType):
        found = found()
    extensions = getattr(found, "extensions", None)
    if isinstance(extensions, dict):
        found = extensions.get("litejobs")
    return found if isinstance(found, JobManager) else None


def _import(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise _Misnamed(f"{name!r} is no module name; expected MODULE[:NAME]")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise _Misnamed(
                f"there is no module {error.name!r} (looked in {sys.path[0]})"
            ) from None
        raise


def _only_manager(module: ModuleType, text: str) -> JobManager:
    found = {key: value for key, value in vars(module).items() if isinstance(value, JobManager)}
    if len(set(map(id, found.values()))) == 1:
        return next(iter(found.values()))
    for name in _CUSTOMARY:
        manager = None if found else _manager_of(getattr(module, name, None))
        if manager is not None:
            return manager
    which = f"several JobManagers: {', '.join(found)}" if found else "no JobManager"
    raise _Misnamed(f"the module has {which}; name it: --app {text}:NAME")
