"""status, list, show: the commands that look and change nothing."""

import dataclasses
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from litejobs.adapters.sqlite.inspection import STATES, Inspection, Record
from litejobs.cli.options import (
    database_and_ids,
    database_argument,
    json_option,
    project,
    project_options,
    split_words,
)
from litejobs.clock import SystemClock
from litejobs.errors import UnloadableError, UsageError
from litejobs.handler import read
from litejobs.rules.text import printable, printable_lines

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


@click.command()
@database_argument
@project_options
@json_option
def status(database: str | None, app: str | None, root: Path | None, *, as_json: bool) -> None:
    """
    Say how many jobs there are, by queue and state, and where.

    \b
    Example:
      litejobs status db.sqlite
    """
    storage = project(database, app, root).storage()
    inspection = Inspection(storage)
    counts, (size, wal) = inspection.counts(), inspection.sizes()
    if as_json:
        document = {"database": storage.path, "bytes": size, "wal_bytes": wal, "queues": counts}
        click.echo(json.dumps(document, indent=2))
        return
    click.echo(f"database  {storage.path}  ({size:,} bytes, write-ahead log {wal:,})")
    states = [state for state in STATES if any(state in queue for queue in counts.values())]
    rows = [
        [printable(queue), *(str(numbers.get(state, 0)) for state in states)]
        for queue, numbers in counts.items()
    ]
    click.echo(_table(["queue", *states], rows) if rows else "no jobs")
    orphans = len(inspection.orphans())
    if orphans:
        click.echo(f"of the running, {orphans} lost their worker: see litejobs retry ID|--all")
    stuck = sum(
        queue.get(state, 0) for queue in counts.values() for state in ("failed", "unloadable")
    )
    if stuck:
        click.echo(
            f"{stuck} failed or cannot be loaded: see litejobs list --state failed|unloadable, "
            "then litejobs retry ID|--all"
        )


@click.command("list")
@database_argument
@project_options
@click.option("--state", type=click.Choice(STATES), help="Only jobs in this state.")
@click.option("--queue", "-q", metavar="NAME", help="Only jobs of this queue.")
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=50,
    show_default=True,
    metavar="N",
    help="How many at most.",
)
@json_option
def list_(
    database: str | None,
    app: str | None,
    root: Path | None,
    *,
    state: str | None,
    queue: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """
    List jobs, the newest first.

    \b
    Examples:
      litejobs list db.sqlite
      litejobs list --state failed --queue email
    """
    inspection = Inspection(project(database, app, root).storage())
    if queue is not None:
        inspection.check_queue(queue)
    records = inspection.records(state=state, queue=queue, limit=limit)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(record) for record in records], indent=2))
        return
    now = SystemClock().now()
    rows = [
        [
            str(record.id),
            record.state,
            printable(record.queue),
            str(record.priority),
            str(record.attempts),
            _when(record, now),
            _shorten(_call(record), 48),
            _shorten(printable((record.last_error or "").split("\n", 1)[0]), 60),
        ]
        for record in records
    ]
    heads = ["id", "state", "queue", "priority", "attempts", "when", "job", "last error"]
    click.echo(_table(heads, rows) if rows else "no jobs")


@click.command()
@database_and_ids(required=True, metavar="[DATABASE] ID")
@project_options
@json_option
def show(words: Sequence[str], app: str | None, root: Path | None, *, as_json: bool) -> None:
    """
    Show all that is stored of one job.

    \b
    Example:
      litejobs show db.sqlite 7
    """
    database, ids = split_words(words, "ID")
    if len(ids) != 1:
        raise UsageError(f"show takes [DATABASE] ID, one whole number; got {' '.join(words)!r}")
    record = Inspection(project(database, app, root).storage()).record(ids[0])
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(record), indent=2))
        return
    now = SystemClock().now()
    lines = [("job", f"{record.id}  {_call(record)}"), ("state", record.state)]
    lines += [("queue", printable(record.queue)), ("priority", str(record.priority))]
    lines += [("attempts", str(record.attempts))]
    for key in ("run_at", "locked_at", "failed_at", "finished_at", "created_at", "updated_at"):
        moment = getattr(record, key)
        if moment is not None:
            lines.append((key, f"{_clock_time(moment)}  ({_relative(moment, now)})"))
    if record.locked_by is not None:
        lines.append(("locked_by", printable(record.locked_by)))
    lines.append(("handler", printable(record.handler)))
    for key, value in lines:
        click.echo(f"{key:<12}{value}")
    if record.last_error is not None:
        click.echo(f"\n{printable_lines(record.last_error)}")


def _call(record: Record) -> str:
    """``name(arguments)``, or the handler as it is where it cannot be read."""
    try:
        row = read(record.handler)
    except UnloadableError:
        return printable(record.handler)
    arguments = [json.dumps(value, ensure_ascii=False) for value in row.args]
    arguments += [
        f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in row.kwargs.items()
    ]
    return printable(f"{row.name}({', '.join(arguments)})")


def _when(record: Record, now: int) -> str:
    """The moment that matters in the job's state."""
    match record.state:
        case "running":
            moment = record.locked_at
        case "succeeded" | "failed" | "cancelled":
            moment = record.finished_at
        case _:
            moment = record.run_at
    return "" if moment is None else _relative(moment, now)


def _relative(moment: int, now: int) -> str:
    """How far *moment* lies from *now*, both milliseconds, in words."""
    seconds = abs(moment - now) // 1000
    for size, unit in _UNITS:
        if seconds >= size:
            count = seconds // size
            words = f"{count} {unit}{'' if count == 1 else 's'}"
            return f"in {words}" if moment > now else f"{words} ago"
    return "now"


def _clock_time(moment: int) -> str:
    """In the local zone; a row written by hand may hold any number."""
    try:
        return f"{datetime.fromtimestamp(moment / 1000, UTC).astimezone():%Y-%m-%d %H:%M:%S %z}"
    except (OverflowError, ValueError, OSError):
        return str(moment)


def _shorten(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines: list[Any] = [heads, *rows]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
