"""The manager that ``--app MODULE[:NAME]`` names."""

import importlib
import sys

from litejobs.errors import UnusableAppError
from litejobs.manager import JobManager


def load_app(text: str) -> JobManager:
    """
    Import the module and return its JobManager; where no NAME is given, the only one it has.

    Raises UnusableAppError if there is no such module or manager. What the module itself raises
    when it is imported passes through.
    """
    name, colon, attribute = text.partition(":")
    module = _import(name, text)
    if not colon:
        return _only_manager(name)
    try:
        manager = getattr(module, attribute)
    except AttributeError:
        raise UnusableAppError(f"--app {text}: {name} has no attribute {attribute!r}") from None
    if not isinstance(manager, JobManager):
        raise UnusableAppError(
            f"--app {text}: {attribute} is of type {type(manager).__name__}, not a JobManager"
        )
    return manager


def _import(name: str, text: str) -> object:
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


def _only_manager(name: str) -> JobManager:
    found = {
        key: value
        for key, value in vars(sys.modules[name]).items()
        if isinstance(value, JobManager)
    }
    if len(set(map(id, found.values()))) != 1:
        which = f"several JobManagers: {', '.join(found)}" if found else "no JobManager"
        raise UnusableAppError(f"--app {name}: the module has {which}; name it: --app {name}:NAME")
    return next(iter(found.values()))
