"""pause, resume: the commands that hold queues back and let them go on."""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from litejobs.cli.options import DATABASE_FILE, json_option, project, project_options
from litejobs.config import check_queue
from litejobs.defaults import WORK_QUEUE
from litejobs.errors import ConfigurationError, UsageError
from litejobs.rules.text import printable

_queue_argument = click.argument(
    "words", nargs=-1, required=True, metavar="[DATABASE] QUEUE", type=DATABASE_FILE
)


@click.command()
@_queue_argument
@project_options
@json_option
def pause(words: Sequence[str], app: str | None, root: Path | None, *, as_json: bool) -> None:
    """
    Begin no more jobs of a queue, until it is resumed. "*" is every queue.

    It holds at once, for all workers, and until it is taken back. Running jobs go on.

    \b
    Examples:
      litejobs pause email
      litejobs pause db.sqlite "*"
    """
    database, queue = _taken_apart(words)
    storage = project(database, app, root).storage()
    storage.pause(queue)
    _tell(queue, storage.paused(), as_json=as_json)


@click.command()
@_queue_argument
@project_options
@json_option
def resume(words: Sequence[str], app: str | None, root: Path | None, *, as_json: bool) -> None:
    """
    Take back the pause of a queue. "*" takes back that of every queue at once.

    Queues that were paused by name stay so until they are resumed by name.

    \b
    Examples:
      litejobs resume email
      litejobs resume db.sqlite "*"
    """
    database, queue = _taken_apart(words)
    storage = project(database, app, root).storage()
    storage.resume(queue)
    _tell(queue, storage.paused(), as_json=as_json)


def _taken_apart(words: Sequence[str]) -> tuple[str | None, str]:
    """``[DATABASE] QUEUE``."""
    *databases, queue = words
    if len(databases) > 1:
        raise UsageError(f"one queue at a time is paused or resumed, got {' '.join(words)!r}")
    if queue != WORK_QUEUE:
        try:
            check_queue(queue)
        except ConfigurationError as error:
            raise UsageError(str(error)) from None
    return databases[0] if databases else None, queue


def _tell(queue: str, paused: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"paused": paused}))
        return
    what = "every queue" if queue == WORK_QUEUE else f"queue {printable(queue)}"
    if queue in paused:
        click.echo(f"{what} is paused")
    elif paused:
        still = "every queue" if WORK_QUEUE in paused else ", ".join(map(printable, paused))
        click.echo(f"{what} is resumed; still paused: {still}")
    else:
        click.echo(f"{what} is resumed")
