"""status: the command that says what is running and how much there is."""

import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from litejobs.adapters.sqlite.inspection import Counts, Inspection, Record
from litejobs.adapters.sqlite.rows import STATES
from litejobs.adapters.sqlite.wal import complaint
from litejobs.cli.options import (
    DEFAULT_NAME,
    database_argument,
    json_option,
    project,
    project_options,
)
from litejobs.cli.words import call, duration, shorten, table
from litejobs.clock import SystemClock
from litejobs.errors import NotRunningError
from litejobs.processes.control import DaemonState, look
from litejobs.processes.record import DaemonFiles, daemons
from litejobs.rules.text import printable

_MOST_WORKERS = 10_000
_PARTS, _PID_DIGITS = 6, 12


@click.command()
@database_argument
@project_options
@click.option("--name", metavar="NAME", help="Only this daemon; 3 if it is not running.")
@click.option("--exact", is_flag=True, help="Count all jobs, also where there are many.")
@json_option
def status(
    database: str | None,
    app: str | None,
    root: Path | None,
    *,
    name: str | None,
    exact: bool,
    as_json: bool,
) -> None:
    """
    Say what is running, and how many jobs there are, by queue and state.

    \b
    Examples:
      litejobs status db.sqlite
      litejobs status --exact
      litejobs status --name default     exits with 3 unless that daemon is running
    """
    storage = project(database, app, root).storage()
    inspection = Inspection(storage)
    there = _daemons(storage.run_directory, name)
    working = workers(inspection, there)
    paused = storage.paused()
    counts, (size, wal) = inspection.counts(exact=exact), inspection.sizes()
    code = NotRunningError.exit_code if name is not None and not there[0].is_running else 0
    if as_json:
        document = {
            "database": storage.path,
            "bytes": size,
            "wal_bytes": wal,
            "daemons": [_daemon_document(one) for one in there],
            "workers": [dataclasses.asdict(worker) for worker in working],
            "queues": counts.queues,
            "paused": paused,
            "counted_up_to": counts.up_to,
        }
        click.echo(json.dumps(document, indent=2))
        sys.exit(code)
    now = SystemClock().now()
    click.echo(f"database  {storage.path}  ({size:,} bytes, write-ahead log {wal:,})")
    for one in there:
        click.echo(f"daemon    {_daemon(one, now)}")
    if working:
        lines = [_worker(worker, now) for worker in working]
        click.echo(table(["worker", "pid", "job", "for"], lines))
    if (text := complaint(storage.path, wal)) is not None:
        click.echo(text)
    for line in _in_words(counts, len(inspection.orphans())):
        click.echo(line)
    if paused:
        click.echo(f"paused: {', '.join(map(printable, paused))}; see litejobs resume QUEUE")
    sys.exit(code)


def _in_words(counts: Counts, orphans: int) -> Iterator[str]:
    """How many jobs of which kind, and what somebody should see to."""
    queues = counts.queues.items()
    states = [state for state in STATES if any(state in numbers for _, numbers in queues)]
    rows = [
        [printable(queue), *(_number(numbers.get(state, 0), counts) for state in states)]
        for queue, numbers in queues
    ]
    yield table(["queue", *states], rows) if rows else "no jobs"
    if counts.up_to is not None:
        yield f"{_number(counts.up_to, counts)} means so many or more: --exact counts all"
    if orphans:
        yield f"of the running, {orphans} lost their worker: see litejobs retry ID|--all"
    stuck = [numbers.get(state, 0) for _, numbers in queues for state in ("failed", "unloadable")]
    if any(stuck):
        more = "" if all(map(counts.is_exact, stuck)) else "+"
        yield (
            f"{sum(stuck)}{more} failed or cannot be loaded: see litejobs list --state "
            "failed|unloadable, then litejobs retry ID|--all"
        )


def _number(number: int, counts: Counts) -> str:
    return f"{number}{'' if counts.is_exact(number) else '+'}"


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
    for record in inspection.begun(limit=_MOST_WORKERS):
        who, pid = worker_of(record)
        busy.add((who, pid))
        found.append(WorkerState(who, pid, record.id, call(record.handler), record.locked_at))
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
    since = duration(state.record.started_at, now)
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
    what = shorten(f"{state.job} {state.call}", 60)
    return [state.worker, pid, what, duration(state.since or now, now)]
