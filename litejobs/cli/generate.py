"""init, generate: the commands that write into the project."""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from litejobs.cli.options import (
    json_option,
    project,
    project_options,
    project_root,
    root_option,
)
from litejobs.errors import UsageError
from litejobs.generators.changes import Changes
from litejobs.generators.config import generate_config
from litejobs.generators.job import JobName, generate_job
from litejobs.generators.layout import needs_installing

_INSTALL = "workers find src/ only if the project is installed: pip install -e ."


@click.command()
@click.argument("module", required=False)
@root_option
@json_option
def init(module: str | None, root: Path | None, *, as_json: bool) -> None:
    """
    Write a config module for the project's jobs.

    It has every option, at its default. MODULE is its name. Without it: PACKAGE.jobs if the project
    has one package (tests, docs and the like aside), also under src/; else jobs, at the root.
    Directories that are missing are made, as packages where they lie at the top or in a package.

    A pyproject.toml is told of the app, so that no command needs --app; all else in it stays as it
    is. No file is ever overwritten: if one is there, nothing is changed.

    \b
    Examples:
      litejobs init
      litejobs init shop.jobs
    """
    if module == "":
        raise UsageError("MODULE must name a module, got an empty text")
    place = project_root(root)
    config = generate_config(place, module)
    config.changes.make()
    named = config.changes.edit is not None
    how = "pyproject.toml names it" if named else f"name it to commands: --app {config.app}"
    lines = [f"the app is {config.app}; {how}"]
    if needs_installing(place, config.file):
        lines.append(_INSTALL)
    facts = {"app": config.app, "module": config.app.partition(":")[0]}
    _tell(place, config.changes, facts, lines, as_json=as_json)


@click.group()
def generate() -> None:
    """
    Write code into the project: a job with its test.

    \b
    Example:
      litejobs generate job SendWelcomeEmail
    """


@generate.command()
@click.argument("name")
@click.option(
    "--queue", "-q", metavar="NAME", help="Its queue; else the first declared one, if any."
)
@project_options
@json_option
def job(name: str, queue: str | None, app: str | None, root: Path | None, *, as_json: bool) -> None:
    """
    Write a job in a module of its own, and its test.

    NAME may be spelt send_welcome_email, SendWelcomeEmail, send-welcome-email, with or without Job
    at its end; mailing/SendWelcomeEmail puts it into the package mailing.

    With an app the module lies beside the app's, which imports it at its end: that line is added,
    for workers find a job only if the app imports it. Without an app the module lies in the
    project's only package, else at the root, and belongs to litejobs.jobs.

    The test goes where tests are: beside the module if some are there, else into tests/. No file
    is ever overwritten: if one is there, nothing is changed.

    \b
    Examples:
      litejobs generate job SendWelcomeEmail
      litejobs generate job mailing/send_welcome_email --queue email --app shop.jobs:jobs
    """
    job_name = JobName.of(name)
    place = project(None, app, root)
    manifest = None if place.app is None else place.storages().manifest
    generated = generate_job(place.root, job_name, queue, manifest)
    generated.changes.make()
    facts = {"job": job_name.name, "module": generated.module}
    lines = [f"the app finds it by: {generated.importing}"] if generated.importing else []
    if needs_installing(place.root, generated.file):
        lines.append(_INSTALL)
    lines += [f"test it: python -m pytest {generated.test.relative_to(place.root)}"]
    _tell(place.root, generated.changes, facts, lines, as_json=as_json)


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
