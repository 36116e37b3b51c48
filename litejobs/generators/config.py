"""``init``: the module that configures a project's jobs, and its name in pyproject.toml."""

import json
from dataclasses import dataclass
from pathlib import Path

from litejobs.errors import AlreadyThereError
from litejobs.generators import layout
from litejobs.generators.changes import Changes
from litejobs.generators.pyproject import name_app
from litejobs.generators.templates import fill
from litejobs.project import settings

_DATABASE = "jobs.sqlite"


@dataclass(frozen=True)
class GeneratedConfig:
    """A config module to be written, and the app that it makes."""

    app: str
    file: Path
    changes: Changes


def generate_config(root: Path, module: str | None) -> GeneratedConfig:
    """
    A config module for the project at *root*, by default where its habits put it.

    Raises AlreadyThereError if there is one, UsageError for a name that none can have,
    ConfigurationError if pyproject.toml cannot be read or added to.
    """
    pyproject = root / "pyproject.toml"
    named = settings(root)
    if "app" in named:
        raise AlreadyThereError(
            f"{pyproject} names an app already: {named['app']}; nothing was written"
        )
    module = module or _usual_module(root)
    app = f"{module}:jobs"
    source = layout.source_of(root, module)
    file, packages = layout.new_module(source, module)
    text = fill(
        "config",
        app=app,
        up=len(file.relative_to(root).parts) - 1,
        database=json.dumps(named.get("database", _DATABASE), ensure_ascii=False),
    )
    edit = (pyproject, name_app(pyproject, app)) if pyproject.is_file() else None
    return GeneratedConfig(app, file, Changes({**packages, file: text}, edit))


def _usual_module(root: Path) -> str:
    package = layout.package_of(root)
    return "jobs" if package is None else f"{package.name}.jobs"
