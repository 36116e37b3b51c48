"""init: the command that writes into the project."""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from litejobs.cli.options import (
    json_option,
    project_root,
    root_option,
)
from litejobs.generators.changes import Changes
from litejobs.generators.config import generate_config
from litejobs.generators.layout import needs_installing


@click.command()
@click.argument("module", required=False)
@root_option
@json_option
def init(module: str | None, root: Path | None, *, as_json: bool) -> None:
    """
    Write a module that configures the project's jobs, with every option.

    MODULE is its name. Without it: PACKAGE.jobs if the project has one package (tests, docs and
    the like aside), also under src/; else jobs, at the root. Directories that are missing are made,
    as packages where they lie at the top or in a package.

    A pyproject.toml is told of the app, so that no command needs --app; all else in it stays as it
    is. No file is ever overwritten: if one is there, nothing is changed.

    \b
    Examples:
      litejobs init
      litejobs init shop.jobs
    """
    place = project_root(root)
    config = generate_config(place, module)
    config.changes.make()
    named = config.changes.edit is not None
    lines = [f"the app is {config.app}" + ("" if named else f": say --app {config.app}")]
    if needs_installing(place, config.file):
        lines.append("workers find src/ only if the project is installed: pip install -e .")
    facts = {"app": config.app, "module": config.app.partition(":")[0]}
    _tell(place, config.changes, facts, lines, as_json=as_json)


def _tell(
    root: Path, changes: Changes, facts: dict[str, str], lines: Sequence[str], *, as_json: bool
) -> None:
    """What was done, with paths relative to the project."""
    new = [str(file.relative_to(root)) for file in changes.new]
    changed = [] if changes.edit is None else [str(changes.edit[0].relative_to(root))]
    if as_json:
        document = {**facts, "root": str(root), "new": new, "changed": changed}
        click.echo(json.dumps(document, indent=2))
        return
    for file in new:
        click.echo(f"new      {file}")
    for file in changed:
        click.echo(f"changed  {file}")
    for line in lines:
        click.echo(line)
