"""recurring: the commands on what is run again and again."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from litejobs.adapters.schedules import Schedules
from litejobs.cli.options import (
    DATABASE_FILE,
    database_argument,
    json_option,
    project,
    project_options,
)
from litejobs.cli.words import call, clock_time, relative, shorten, table
from litejobs.clock import SystemClock
from litejobs.errors import UsageError
from litejobs.recurrence import Recurrence
from litejobs.rules.cron import zone
from litejobs.rules.text import printable

_TIMES = 5  # that are shown of each
_name_argument = click.argument(
    "words", nargs=-1, required=True, metavar="[DATABASE] NAME", type=DATABASE_FILE
)


@click.group()
def recurring() -> None:
    """
    See and steer what is run again and again.

    \b
    Examples:
      litejobs recurring list
      litejobs recurring run-now db.sqlite nightly
    """


@recurring.command("list")
@database_argument
@project_options
@json_option
def list_(database: str | None, app: str | None, root: Path | None, *, as_json: bool) -> None:
    """
    List all schedules, by name.

    \b
    Example:
      litejobs recurring list db.sqlite
    """
    there = project(database, app, root).storage().schedules.all()
    if as_json:
        click.echo(json.dumps([_document(one) for one in there], indent=2))
        return
    now = SystemClock().now()
    rows = [
        [
            shorten(printable(one.name), 40),
            shorten(printable(one.words()), 60),
            _next(one, now),
            _last(one, now),
            shorten(call(one.handler), 48),
        ]
        for one in there
    ]
    heads = ["name", "when", "next", "last", "job"]
    click.echo(table(heads, rows) if rows else "nothing recurs")


@recurring.command()
@_name_argument
@project_options
@json_option
def show(words: Sequence[str], app: str | None, root: Path | None, *, as_json: bool) -> None:
    """
    Show one schedule, and its next five times.

    \b
    Example:
      litejobs recurring show nightly
    """
    database, name = _taken_apart(words)
    one = project(database, app, root).storage().schedules.named(name)
    if as_json:
        click.echo(json.dumps(_document(one), indent=2))
        return
    now = SystemClock().now()
    times = one.next_times(_TIMES)
    lines = [
        ("name", printable(one.name)),
        ("when", printable(one.words())),
        ("job", call(one.handler)),
        ("queue", printable(one.queue)),
        ("priority", str(one.priority)),
        ("missed", f"{one.missed}, at most {one.catch_up}" if one.missed == "all" else one.missed),
        ("overlap", one.overlap),
        ("from", "the code of " + printable(one.owner) if one.owner else "added at run time"),
    ]
    if one.cron is not None:
        lines.insert(2, ("cron", f"{printable(one.cron)}  ({printable(one.timezone)})"))
    if one.jitter:
        lines.append(("jitter", f"up to {one.jitter / 1000:g} s"))
    if one.paused_at is not None:
        lines.append(("paused", relative(one.paused_at, now)))
    if one.last_error is not None:
        lines.append(("error", printable(one.last_error)))
    lines.append(("last", _last(one, now)))
    if one.paused_at is not None:
        lines.append(("next", "none until it is resumed"))
    lines += [
        ("next" if moment == times[0] else "", f"{_time(one, moment)}  ({relative(moment, now)})")
        for moment in times
    ]
    for key, value in lines:
        click.echo(f"{key:<12}{value}")


@recurring.command()
@_name_argument
@project_options
@json_option
def pause(words: Sequence[str], app: str | None, root: Path | None, *, as_json: bool) -> None:
    """
    Let a schedule make no runs, until it is resumed.

    It stays so when workers start anew. A run that is stored goes on.

    \b
    Example:
      litejobs recurring pause nightly
    """
    _steer(words, app, root, lambda schedules, name: schedules.pause(name), as_json=as_json)


@recurring.command()
@_name_argument
@project_options
@json_option
def resume(words: Sequence[str], app: str | None, root: Path | None, *, as_json: bool) -> None:
    """
    Let a schedule go on, with its next time from now.

    \b
    Example:
      litejobs recurring resume nightly
    """
    _steer(words, app, root, lambda schedules, name: schedules.resume(name), as_json=as_json)


@recurring.command("run-now")
@_name_argument
@project_options
@json_option
def run_now(words: Sequence[str], app: str | None, root: Path | None, *, as_json: bool) -> None:
    """
    Make a run of a schedule at once, paused or not. Its times stay as they are.

    \b
    Example:
      litejobs recurring run-now nightly
    """
    database, name = _taken_apart(words)
    id_ = project(database, app, root).storage().schedules.run_now(name)
    click.echo(json.dumps({"id": id_}) if as_json else f"{printable(name)} is stored as job {id_}")


@recurring.command()
@_name_argument
@project_options
@json_option
def remove(words: Sequence[str], app: str | None, root: Path | None, *, as_json: bool) -> None:
    """
    Let a schedule make no more runs. One that is in the code comes back when workers start.

    \b
    Example:
      litejobs recurring remove db.sqlite nightly
    """
    database, name = _taken_apart(words)
    schedules = project(database, app, root).storage().schedules
    one = schedules.named(name)
    schedules.remove(name)
    if as_json:
        click.echo(json.dumps({"removed": name}))
        return
    click.echo(f"{printable(name)} is removed")
    if one.owner is not None:
        click.echo(
            f"it is in the code of {printable(one.owner)}, and comes back when workers start: "
            "remove it there too, or pause it",
            err=True,
        )


def _steer(
    words: Sequence[str],
    app: str | None,
    root: Path | None,
    what: Callable[[Schedules, str], None],
    *,
    as_json: bool,
) -> None:
    database, name = _taken_apart(words)
    schedules = project(database, app, root).storage().schedules
    what(schedules, name)
    one = schedules.named(name)
    if as_json:
        click.echo(json.dumps(_document(one), indent=2))
        return
    now = SystemClock().now()
    state = "is paused" if one.paused_at is not None else f"runs next {_next(one, now)}"
    click.echo(f"{printable(name)} {state}")


def _taken_apart(words: Sequence[str]) -> tuple[str | None, str]:
    """``[DATABASE] NAME``."""
    *databases, name = words
    if len(databases) > 1:
        raise UsageError(f"one schedule at a time, got {' '.join(words)!r}")
    return databases[0] if databases else None, name


def _document(one: Recurrence) -> dict[str, Any]:
    """All that is stored of it, and its next times."""
    return one._asdict() | {"next": one.next_times(_TIMES), "words": one.words()}


def _next(one: Recurrence, now: int) -> str:
    if one.last_error is not None:
        return f"never: {shorten(printable(one.last_error), 60)}"
    if one.paused_at is not None:
        return "paused"
    if one.next_run_at is None:
        return ""
    is_due = one.next_run_at <= now
    return f"{'due, ' if is_due else ''}{relative(one.next_run_at, now)}"


def _time(one: Recurrence, moment: int) -> str:
    """By the clocks of its time zone; of an interval, by those of this machine."""
    return clock_time(moment, zone(one.timezone) if one.cron is not None else None)


def _last(one: Recurrence, now: int) -> str:
    """When the last run was due, and what became of it."""
    if one.last_run_at is None:
        return "none yet"
    state = "done" if one.last_state is None else f"job {one.last_job} {one.last_state}"
    when = relative(one.last_run_at, now)
    return f"{'just now' if when == 'now' else when}: {state}"
