"""list, show: the commands that look at single jobs and change nothing."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import click

from litejobs.adapters.sqlite.inspection import Inspection, Record
from litejobs.adapters.sqlite.rows import STATES
from litejobs.cli.options import (
    database_and_ids,
    database_argument,
    json_option,
    project,
    project_options,
    split_words,
)
from litejobs.cli.words import call, clock_time, progress, relative, shorten, table
from litejobs.clock import SystemClock
from litejobs.errors import UsageError
from litejobs.rules.text import printable, printable_lines


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
            shorten(call(record.handler), 48),
            shorten(printable((record.last_error or "").split("\n", 1)[0]), 60),
        ]
        for record in records
    ]
    heads = ["id", "state", "queue", "priority", "attempts", "when", "job", "last error"]
    if any(record.progress for record in records):  # few jobs say how far they are
        heads.insert(2, "progress")
        for record, row in zip(records, rows, strict=True):
            row.insert(2, shorten(progress(record), 40))
    click.echo(table(heads, rows) if rows else "no jobs")


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
    lines = [("job", f"{record.id}  {call(record.handler)}"), ("state", record.state)]
    lines += [("queue", printable(record.queue)), ("priority", str(record.priority))]
    lines += [("attempts", str(record.attempts))]
    if record.progress is not None:
        lines.append(("progress", progress(record)))
    for key in (
        "run_at", "locked_at", "cancel_at", "failed_at", "finished_at", "created_at", "updated_at",
    ):  # fmt: skip
        moment = getattr(record, key)
        if moment is not None:
            lines.append((key, f"{clock_time(moment)}  ({relative(moment, now)})"))
    if record.locked_by is not None:
        lines.append(("locked_by", printable(record.locked_by)))
    if record.limit_key is not None:
        lines.append(("limit_key", printable(record.limit_key)))
    lines.append(("handler", printable(record.handler)))
    for key, value in lines:
        click.echo(f"{key:<12}{value}")
    if record.last_error is not None:
        click.echo(f"\n{printable_lines(record.last_error)}")


def _when(record: Record, now: int) -> str:
    """The moment that matters in the job's state."""
    match record.state:
        case "running":
            moment = record.locked_at
        case "succeeded" | "failed" | "cancelled":
            moment = record.finished_at
        case _:
            moment = record.run_at
    return "" if moment is None else relative(moment, now)
