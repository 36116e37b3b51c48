"""pause, resume: the commands that hold queues back and let them go on."""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from litejobs.adapters.sqlite.inspection import Inspection
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
    known = Inspection(storage).queues()
    hint = ""
    if queue not in (WORK_QUEUE, *known):
        where = ", ".join(map(printable, known)) or "none"
        hint = f"; there are no jobs in it, queues with jobs: {where}"
    _tell(f"{_named(queue)} is paused{hint}", storage.paused(), as_json=as_json)


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
    was_paused = queue in storage.paused()
    storage.resume(queue)
    paused = storage.paused()
    if was_paused:
        what = f"{_named(queue)} is resumed"
    elif queue == WORK_QUEUE:
        what = "there was no pause of every queue"
    else:
        what = f"{_named(queue)} was not paused"
    still = "every queue" if WORK_QUEUE in paused else ", ".join(map(printable, paused))
    _tell(f"{what}; still paused: {still}" if paused else what, paused, as_json=as_json)


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


def _named(queue: str) -> str:
    return "every queue" if queue == WORK_QUEUE else f"queue {printable(queue)}"


def _tell(sentence: str, paused: Sequence[str], *, as_json: bool) -> None:
    click.echo(json.dumps({"paused": paused}) if as_json else sentence)
