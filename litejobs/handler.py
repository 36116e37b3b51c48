"""
A function as a row stores it, and the way back.

Whoever may write a row must gain no more than to call the functions of the project: *path* is
resolved under the project root, *module* is imported only where it is that very file, *name* is a
function or Job defined there. No dots, no attribute walks, nothing of installed packages.
"""

import importlib
import importlib.util
import inspect
import json
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from litejobs import context
from litejobs.errors import SchedulingError, UnloadableError, quoted
from litejobs.job import Job
from litejobs.project import is_installed

if TYPE_CHECKING:
    from litejobs.row import Handler

T = TypeVar("T")

_MAIN = "__main__"
_SCRIPT = "__litejobs_script__"  # before the path: the name of a script that a worker has loaded
_MISSING = object()


def write(name: str, path: str, module: str | None, args: str, kwargs: str) -> str:
    """The JSON of a row's ``handler``; *args* and *kwargs* are JSON already."""
    return with_arguments(head(name, path, module), args, kwargs)


def head(name: str, path: str, module: str | None) -> str:
    """The part of a ``handler`` that all calls of a function have in common."""
    where = {"name": name, "path": path} | ({} if module is None else {"module": module})
    return json.dumps(where, ensure_ascii=False, separators=(",", ":"))[:-1]


def with_arguments(head: str, args: str, kwargs: str, keep_result: float | None = None) -> str:
    """
    A ``handler``, as ``write`` makes it, from its head.

    *keep_result*: seconds for which what the call returns is kept; None: it is not.
    """
    kept = "" if keep_result is None else f',"keep_result":{keep_result}'
    return f'{head},"args":{args},"kwargs":{kwargs}{kept}}}'


# From a function to where it is found again


def locate(function: Callable[..., Any], job: Job[..., Any] | None = None) -> tuple[Path, str]:
    """
    The file of a function and the module to import it from (``__main__``: a script).

    *job* is the Job that was made of it, if any. Raises SchedulingError for what no worker could
    find again.
    """
    name = getattr(function, "__name__", None)
    if not isinstance(function, FunctionType) or name is None:
        raise SchedulingError(
            f"{quoted(function)} cannot be a job: a job is a function, defined with def in a file"
        )
    if name == "<lambda>":
        raise SchedulingError("a lambda cannot be a job: a worker could not find it; use def")
    if "." in function.__qualname__:
        raise SchedulingError(
            f"{function.__qualname__} cannot be a job: it is defined inside a function or class, "
            "where a worker could not find it; define it at the top of its module"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise SchedulingError(f"{name} cannot be a job: calling a generator function runs nothing")
    module = sys.modules.get(function.__module__)
    file = getattr(module, "__file__", None)
    if module is None or file is None or function.__code__.co_filename.startswith("<"):
        raise SchedulingError(
            f"{name} cannot be a job: it was typed into the interpreter, a notebook or -c, where "
            "a worker could not find it; put it into a file"
        )
    if getattr(module, name, _MISSING) not in (function, job):
        raise SchedulingError(
            f"{name} cannot be a job: in {module.__name__} that name is something else"
        )
    return Path(file).resolve(), _importable_name(module)


def _importable_name(module: ModuleType) -> str:
    if module.__name__.startswith(_SCRIPT):
        return _MAIN  # a job of a script that a worker has loaded schedules another
    if module.__name__ != _MAIN:
        return module.__name__
    spec = getattr(module, "__spec__", None)
    return _MAIN if spec is None else spec.name  # python -m package.module


def relative_path(file: Path, root: Path, name: str) -> str:
    """
    The path of a function's file as a row stores it.

    Raises SchedulingError if it is not a file of the project at *root*.
    """
    if is_installed(file):
        raise SchedulingError(
            f"{name} is part of an installed package ({file}), not of a project: call it from a "
            "function of your own, or declare it as a job of a JobManager"
        )
    if not file.is_relative_to(root):
        raise SchedulingError(
            f"{name} is defined in {file}, but the jobs here belong to the project at {root}; "
            "configure another database for this project"
        )
    return file.relative_to(root).as_posix()


# From a row to the function


def load(handler: "Handler", root: Path, app: str = "") -> Callable[..., Any]:
    """
    The function, or Job, that a row without an app names, found under *root* by the rule above.

    Raises UnloadableError; *app* is what it then says a row of an app needs.
    """
    if handler.module is None:
        raise UnloadableError(
            f"the job {handler.name} of {handler.path} was declared by an app; the worker needs "
            f"--app {app or 'MODULE:NAME'}"
        )
    file = _resolve(handler.path, root)
    with context.loading(handler.path):
        if handler.module == _MAIN:
            module = _script(file)
        else:
            module = _module(handler.module, file.relative_to(root.resolve()), file)
    found = vars(module).get(handler.name)
    if isinstance(found, Job) and found.__module__ == module.__name__:
        return found
    if (
        isinstance(found, FunctionType)
        and found.__module__ == module.__name__
        and found.__name__ == handler.name
    ):
        return found
    reason = f"{handler.path} has no function or job named {handler.name!r}"
    if _defines_below(file, handler.name):
        reason += ' at its top: it must stand there, outside of if __name__ == "__main__"'
    raise UnloadableError(reason)


def _defines_below(file: Path, name: str) -> bool:
    """Whether the function stands in the file, but indented."""
    with suppress(OSError):
        text = file.read_text("utf-8", "replace")
        return bool(re.search(rf"^[ \t]+(async +)?def +{re.escape(name)}\b", text, re.MULTILINE))
    return False


def _resolve(path: str, root: Path) -> Path:
    pure = PurePosixPath(path)
    if "\0" in path or pure.is_absolute() or ".." in pure.parts or pure.suffix != ".py":
        raise UnloadableError(f"its path {path!r} is not that of a Python file of the project")
    try:
        file = (root / pure).resolve()
        is_file = file.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # too long, links in a circle, surrogates
        raise UnloadableError(f"its path {path!r} cannot be followed: {error}") from None
    if not file.is_relative_to(root.resolve()):
        raise UnloadableError(f"its path {path!r} leads out of the project at {root}")
    if is_installed(file):
        raise UnloadableError(f"its path {path!r} belongs to an installed package")
    if not is_file:
        raise UnloadableError(f"there is no file {path!r} in the project at {root}")
    return file


def _script(file: Path) -> ModuleType:
    main = sys.modules.get(_MAIN)
    if main is not None and _is_file(main, file) and getattr(main, "__spec__", None) is None:
        return main  # a thread worker inside the script itself
    name = f"{_SCRIPT}{file}"  # no dots before it: nobody's package
    if name in sys.modules:
        return sys.modules[name]
    _make_importable(file.parent)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None  # the suffix is .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        _run(lambda: spec.loader.exec_module(module), file)  # type: ignore[union-attr]
    except UnloadableError:
        del sys.modules[name]
        raise
    return module


def _module(name: str, path: Path, file: Path) -> ModuleType:
    main = sys.modules.get(_MAIN)
    if main is not None and _is_file(main, file) and _importable_name(main) == name:
        return main  # a thread worker inside the program run by -m
    parts = path.with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    names = tuple(name.split("."))
    if not names or parts[len(parts) - len(names) :] != names:
        raise UnloadableError(f"its module {name!r} is not the name of {path}")
    depth = len(names) + (1 if path.name == "__init__.py" else 0)
    base = file.parents[depth - 1]
    _make_importable(base)
    if not _leads_to(names[0], base):
        raise UnloadableError(
            f"{names[0]!r} names another module here than {base / names[0]}: it is hidden by it"
        )
    module: ModuleType = _run(lambda: importlib.import_module(name), file)
    if not _is_file(module, file):
        raise UnloadableError(f"importing {name!r} gave another file than {path}")
    return module


def _leads_to(top: str, base: Path) -> bool:
    """Whether importing *top* takes it from *base*; found out without importing anything."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return False
    if spec is None:
        return False
    places = list(spec.submodule_search_locations or ()) or [spec.origin or ""]
    return any(Path(place).resolve().parent == base for place in places)


def _is_file(module: ModuleType, file: Path) -> bool:
    own = getattr(module, "__file__", None)
    return own is not None and Path(own).resolve() == file


def _make_importable(directory: Path) -> None:
    place = str(directory)
    if place not in sys.path:
        sys.path.insert(0, place)
        importlib.invalidate_caches()


def _run(importing: Callable[[], Any], file: Path) -> Any:
    try:
        return importing()
    except BaseException as error:  # a script may leave by SystemExit
        kind = type(error).__name__
        raise UnloadableError(f"loading {file.name} raised {kind}: {error}") from error


def declared_as(handler: "Handler", declared: Mapping[tuple[str, str], T]) -> T | None:
    """What is declared by a row's path and name, or by its name alone if one has it."""
    exact = declared.get((handler.path, handler.name))
    if exact is not None:
        return exact
    like_named = [one for (_, name), one in declared.items() if name == handler.name]
    return like_named[0] if len(like_named) == 1 else None


def find_declared(
    handler: "Handler", declared: Mapping[tuple[str, str], Job[..., Any]]
) -> Job[..., Any]:
    """
    The declared job that a row names, as ``declared_as``.

    So a job may move to another file. Raises UnloadableError.
    """
    found = declared_as(handler, declared)
    if found is not None:
        return found
    like_named = [job for (_, name), job in declared.items() if name == handler.name]
    if like_named:
        raise UnloadableError(
            f"{len(like_named)} jobs are named {handler.name}, and none of them in {handler.path}"
        )
    raise UnloadableError(f"the app declares no job named {handler.name!r}")
