"""retry, cancel, clear, vacuum: the commands that change what is stored."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from litejobs.adapters.sqlite.inspection import Inspection
from litejobs.adapters.sqlite.vacuum import vacuum as shrunk
from litejobs.cli.options import (
    database_and_ids,
    database_argument,
    json_option,
    project,
    project_options,
    split_words,
)
from litejobs.errors import UsageError


def _ids_or_all(which: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``[DATABASE] [ID]...``, or ``--all``, which *which* tells of, and ``--queue``."""
    options = (
        database_and_ids(required=False, metavar="[DATABASE] [ID]..."),
        project_options,
        click.option("--all", "everything", is_flag=True, help=which),
        click.option("--queue", "-q", metavar="NAME", help="With --all: only those of this queue."),
        json_option,
    )

    def added(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return added


def _chosen(
    command: str,
    words: Sequence[str],
    app: str | None,
    root: Path | None,
    *,
    everything: bool,
    queue: str | None,
) -> tuple[Inspection, list[int]]:
    """Where the jobs are, and their ids: none where all are meant."""
    database, ids = split_words(words, "ID")
    if everything == bool(ids):
        taken = "" if database is None else f"; {database!r} is taken for the database"
        raise UsageError(f"{command} takes [DATABASE] and the IDs of jobs, or --all{taken}")
    if queue is not None and not everything:
        raise UsageError("--queue goes with --all")
    inspection = Inspection(project(database, app, root).storage())
    if queue is not None:
        inspection.check_queue(queue)
    return inspection, ids


@click.command()
@_ids_or_all("All that failed, cannot be loaded or lost their worker.")
def retry(
    words: Sequence[str],
    app: str | None,
    root: Path | None,
    *,
    everything: bool,
    queue: str | None,
    as_json: bool,
) -> None:
    """
    Try jobs again, at once and with all their attempts.

    \b
    Examples:
      litejobs retry db.sqlite 7 8
      litejobs retry --all --queue email
    """
    inspection, ids = _chosen("retry", words, app, root, everything=everything, queue=queue)
    if everything:
        count = inspection.retry_all(queue)
    else:
        inspection.retry(ids)
        count = len(ids)
    text = f"{count} {'job is' if count == 1 else 'jobs are'} to be tried again"
    click.echo(json.dumps({"retried": count}) if as_json else text)


@click.command()
@_ids_or_all("All that wait to be run.")
def cancel(
    words: Sequence[str],
    app: str | None,
    root: Path | None,
    *,
    everything: bool,
    queue: str | None,
    as_json: bool,
) -> None:
    """
    Let jobs not run. One that runs is asked to end, and killed 2 seconds later.

    They are kept as cancelled. With --all, jobs that run go on.

    \b
    Examples:
      litejobs cancel db.sqlite 7 8
      litejobs cancel --all --queue email
    """
    inspection, ids = _chosen("cancel", words, app, root, everything=everything, queue=queue)
    if everything:
        cancelled, asked = inspection.cancel_all(queue), 0
    else:
        told = list(inspection.cancel(ids).values())
        cancelled, asked = told.count("cancelled"), told.count("asked")
    text = f"{cancelled} {'job is' if cancelled == 1 else 'jobs are'} cancelled"
    if asked:
        text += f", {asked} that {'runs is' if asked == 1 else 'run are'} asked to end"
    click.echo(json.dumps({"cancelled": cancelled, "asked": asked}) if as_json else text)


@click.command()
@database_argument
@project_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def clear(
    database: str | None, app: str | None, root: Path | None, *, yes: bool, as_json: bool
) -> None:
    """
    Delete every job, in every storage of the app. While one is running nothing is deleted.

    \b
    Examples:
      litejobs clear db.sqlite --yes
      litejobs clear --app shop.jobs:jobs
    """

    def confirm(where: str) -> None:
        if not yes:
            click.confirm(f"Delete every job in {where}?", abort=True, err=True)

    count = project(database, app, root).clear(None, confirm)
    click.echo(json.dumps({"deleted": count}) if as_json else cleared(count))


@click.command()
@database_argument
@project_options
@click.option("--force", is_flag=True, help="Also while workers are there.")
@json_option
def vacuum(
    database: str | None, app: str | None, root: Path | None, *, force: bool, as_json: bool
) -> None:
    """
    Give the space that deleted jobs have left back to the disk.

    The file is written anew, about 100 MB in a second, and nobody can store a job meanwhile.

    \b
    Examples:
      litejobs vacuum db.sqlite
    """
    before, after = shrunk(project(database, app, root).storage(), force=force)
    sizes = f"{before:,} bytes before, {after:,} after"
    click.echo(json.dumps({"bytes_before": before, "bytes_after": after}) if as_json else sizes)


def cleared(count: int) -> str:
    """How many jobs were deleted, in words."""
    return f"{count} {'job' if count == 1 else 'jobs'} deleted"
