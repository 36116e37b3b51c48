"""The manager that ``--app MODULE[:NAME]`` names."""

import importlib
import sys
from types import FunctionType, ModuleType

from litejobs.errors import UnusableAppError
from litejobs.manager import JobManager

_CUSTOMARY = ("app", "create_app")  # of web frameworks


def load_app(text: str) -> JobManager:
    """
    Import the module and return its JobManager.

    NAME may also be an app that has a JobManager as its extension ``litejobs``, or a function that
    makes such an app. Without NAME, the only JobManager of the module is meant; where it has none,
    its ``app`` or ``create_app``.

    Raises UnusableAppError if there is no such module or manager. What the module itself raises
    when it is imported passes through.
    """
    name, colon, attribute = text.partition(":")
    module = _import(name, text)
    if not colon:
        return _only_manager(module, text)
    try:
        found = getattr(module, attribute)
    except AttributeError:
        raise UnusableAppError(f"--app {text}: {name} has no attribute {attribute!r}") from None
    manager = _manager_of(found)
    if manager is None:
        raise UnusableAppError(
            f"--app {text}: {attribute} is of type {type(found).__name__}, not a JobManager"
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


def _import(name: str, text: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise UnusableAppError(f"--app {text}: {name!r} is no module name; expected MODULE[:NAME]")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise UnusableAppError(
                f"--app {text}: there is no module {error.name!r} (looked in {sys.path[0]})"
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
    raise UnusableAppError(f"--app {text}: the module has {which}; name it: --app {text}:NAME")
