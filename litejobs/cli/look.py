"""status, list, show: the commands that look and change nothing."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from litejobs.adapters.sqlite.inspection import STATES, Inspection, Record
from litejobs.cli.options import (
    DEFAULT_NAME,
    database_and_ids,
    database_argument,
    json_option,
    project,
    project_options,
    split_words,
)
from litejobs.clock import SystemClock
from litejobs.errors import NotRunningError, UnloadableError, UsageError
from litejobs.processes.control import DaemonState, look
from litejobs.processes.record import DaemonFiles, daemons
from litejobs.row import read
from litejobs.rules.text import printable, printable_lines

_MOST_WORKERS = 10_000
_PARTS, _PID_DIGITS = 6, 12
_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


@click.command()
@database_argument
@project_options
@click.option("--name", metavar="NAME", help="Only this daemon; 3 if it is not running.")
@json_option
def status(
    database: str | None,
    app: str | None,
    root: Path | None,
    *,
    name: str | None,
    as_json: bool,
) -> None:
    """
    Say what is running, and how many jobs there are, by queue and state.

    \b
    Examples:
      litejobs status db.sqlite
      litejobs status --name default     exits with 3 unless that daemon is running
    """
    storage = project(database, app, root).storage()
    inspection = Inspection(storage)
    there = _daemons(storage.run_directory, name)
    working = workers(inspection, there)
    counts, (size, wal) = inspection.counts(), inspection.sizes()
    code = NotRunningError.exit_code if name is not None and not there[0].is_running else 0
    if as_json:
        document = {
            "database": storage.path,
            "bytes": size,
            "wal_bytes": wal,
            "daemons": [_daemon_document(one) for one in there],
            "workers": [dataclasses.asdict(worker) for worker in working],
            "queues": counts,
        }
        click.echo(json.dumps(document, indent=2))
        sys.exit(code)
    now = SystemClock().now()
    click.echo(f"database  {storage.path}  ({size:,} bytes, write-ahead log {wal:,})")
    for one in there:
        click.echo(f"daemon    {_daemon(one, now)}")
    if working:
        lines = [_worker(worker, now) for worker in working]
        click.echo(_table(["worker", "pid", "job", "for"], lines))
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
    sys.exit(code)


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
            _shorten(call(record), 48),
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
    lines = [("job", f"{record.id}  {call(record)}"), ("state", record.state)]
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


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker that is known to be there, and what it runs."""

    worker: str
    pid: int | None  # of the process that runs it, on this machine or another
    job: int | None
    call: str | None
    since: int | None  # milliseconds since 1970, UTC


def workers(inspection: Inspection, daemons: Sequence[DaemonState]) -> list[WorkerState]:
    """All that have a job, and those of daemons that have none."""
    found = []
    busy = set()
    for record in inspection.records(state="running", limit=_MOST_WORKERS):
        who, pid = worker_of(record)
        busy.add((who, pid))
        found.append(WorkerState(who, pid, record.id, call(record), record.locked_at))
    for state in daemons:
        names = state.record.workers if state.pid and state.record else ()
        idle = [who for who in names if (who, state.pid) not in busy]
        found += [WorkerState(who, state.pid, None, None, None) for who in idle]
    return sorted(found, key=lambda one: (one.pid or 0, one.worker, one.job or 0))


def worker_of(record: Record) -> tuple[str, int | None]:
    """Name and process of the worker that has locked a job."""
    name = printable(record.locked_by or "")
    parts = name.rsplit("/", 5)
    if len(parts) != _PARTS:  # written by hand
        return name, None
    pid = parts[3]
    return parts[0], int(pid) if pid.isdecimal() and len(pid) < _PID_DIGITS else None


def _daemons(directory: str, name: str | None) -> list[DaemonState]:
    """Those that there ever were; or the one of that name, whether there was or not."""
    if name is not None:
        return [look(DaemonFiles(directory, name))]
    return [look(files) for files in daemons(directory)] or [
        look(DaemonFiles(directory, DEFAULT_NAME))
    ]


def _daemon(state: DaemonState, now: int) -> str:
    which = "" if state.name == DEFAULT_NAME else f"{state.name!r} "
    log = "" if state.record is None else f", log {printable(state.record.log)}"
    if not state.is_running:
        return f"{which}not running{log}"
    if state.pid is None:
        return f"{which}running in another container{log}"
    if state.record is None:
        return f"{which}starting, pid {state.pid}"
    since = _duration(state.record.started_at, now)
    return f"{which}running for {since}, pid {state.pid}{log}"


def _daemon_document(state: DaemonState) -> dict[str, Any]:
    record = state.record
    return {
        "name": state.name,
        "running": state.is_running,
        "pid": state.pid,
        "started_at": None if record is None else record.started_at,
        "log": None if record is None else record.log,
    }


def _worker(state: WorkerState, now: int) -> list[str]:
    pid = "?" if state.pid is None else str(state.pid)
    if state.job is None:
        return [state.worker, pid, "-", ""]
    what = _shorten(f"{state.job} {state.call}", 60)
    return [state.worker, pid, what, _duration(state.since or now, now)]


def call(record: Record) -> str:
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
    if abs(moment - now) < 1000:  # noqa: PLR2004  # milliseconds of a second
        return "now"
    words = _duration(moment, now)
    return f"in {words}" if moment > now else f"{words} ago"


def _duration(moment: int, now: int) -> str:
    """Between two moments, in words."""
    seconds = abs(moment - now) // 1000
    for size, unit in _UNITS:
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "0 seconds"


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
