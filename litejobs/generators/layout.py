"""The habits of a project: where its package, its modules and its tests are."""

import keyword
import sys
from pathlib import Path

from litejobs.errors import AlreadyThereError, UsageError

#: Packages at the top of a project that are not the app.
_BESIDE_THE_APP = frozenset(
    {"benchmarks", "build", "dist", "doc", "docs", "examples", "scripts", "test", "tests", "tools"}
)


def package_of(root: Path) -> Path | None:
    """The directory of the project's only package, which may be under ``src/``; else None."""
    found = [
        file.parent
        for place in (root, root / "src")
        for file in place.glob("*/__init__.py")
        if file.parent.name.isidentifier() and file.parent.name not in _BESIDE_THE_APP
    ]
    return found[0] if len(found) == 1 else None


def source_of(root: Path, module: str) -> Path:
    """The directory from which *module* is imported: ``src/`` where its top package is there."""
    top = module.partition(".")[0]
    if (root / "src" / top).is_dir() and not (root / top).is_dir():
        return root / "src"
    return root


def needs_installing(root: Path, file: Path) -> bool:
    """Whether workers, which import from the root, find *file* only in an installed project."""
    return file.is_relative_to(root / "src")


def check_module(module: str) -> None:
    """Raise UsageError for what cannot be the name of a module of the project."""
    top, *_ = parts = module.split(".")
    for part in parts:
        if not part.isidentifier() or keyword.iskeyword(part):
            raise UsageError(f"a module is named as in shop.jobs, got {module!r}")
    if top in sys.stdlib_module_names or top == "litejobs":
        raise UsageError(f"{module!r} would hide the module {top!r} that others import")


def new_module(source: Path, module: str) -> tuple[Path, dict[Path, str]]:
    """
    The file of a module to be made, and what its missing packages begin with, by path.

    A missing directory becomes a package where the one above it is a package or *source*.
    Raises UsageError, or AlreadyThereError if something else has that name.
    """
    check_module(module)
    *packages, name = module.split(".")
    begin: dict[Path, str] = {}
    directory, is_package = source, True
    for package in packages:
        directory /= package
        if directory.is_dir():
            is_package = (directory / "__init__.py").exists()
            continue
        _check_free(directory.with_suffix(".py"))
        if is_package:
            begin[directory / "__init__.py"] = ""
    _check_free(directory / name)
    return directory / f"{name}.py", begin


def tests_directory(root: Path, directory: Path) -> Path:
    """Where the test of a module in *directory* goes: to those that are there already."""
    if any(directory.glob("test_*.py")):
        return directory
    places = [directory / "tests", root / "tests", root / "test"]
    return next((place for place in places if place.is_dir()), root / "tests")


def _check_free(path: Path) -> None:
    if path.exists():
        raise AlreadyThereError(f"{path} is there already and has that name; nothing was written")
