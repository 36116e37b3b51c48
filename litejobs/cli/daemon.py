"""start, stop, restart, systemd: workers that nobody sits before."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from litejobs import defaults
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.adapters.sqlite.inspection import Inspection
from litejobs.cli.options import (
    COUNT,
    MAX_JOBS,
    MAX_MEMORY,
    NAME,
    QUEUES,
    STOP_TIMEOUT,
    Project,
    database_argument,
    log_level_option,
    project,
    project_options,
)
from litejobs.cli.status import worker_of
from litejobs.cli.words import call
from litejobs.errors import LitejobsError
from litejobs.processes import control
from litejobs.processes.daemon import Up
from litejobs.processes.record import Arguments
from litejobs.processes.unit import Unit
from litejobs.project import make_default_directory

_TIMEOUT = click.option(
    "--timeout", type=click.FloatRange(0), default=defaults.STOP_PATIENCE, show_default=True,
    metavar="SECONDS", help="How long running jobs may go on before they are killed.",
)  # fmt: skip


def _workers(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which workers are to run, and how."""
    for option in (log_level_option("info"), STOP_TIMEOUT, MAX_MEMORY, MAX_JOBS, COUNT, QUEUES):
        command = option(command)
    return database_argument(project_options(command))


@click.command()
@_workers
@NAME
@click.option(
    "--log",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to log; NAME.log in DATABASE.run/ by default.",
)
def start(
    database: str | None,
    app: str | None,
    root: Path | None,
    *,
    name: str,
    log: Path | None,
    **options: Any,
) -> None:
    """
    Start workers as a daemon; return when they are up, or say why not.

    Jobs run in the directory that is the current one now. The database is made where it is missing.

    \b
    Examples:
      litejobs start db.sqlite --count 4
      litejobs start --app shop.jobs:jobs --log /var/log/shop/jobs.log
    """
    place = project(database, app, root)
    place.check_daemon(name)
    log_path = None if log is None else str(log.absolute())
    _say(control.start(_arguments(place, name, log_path, **options)))


@click.command()
@database_argument
@project_options
@NAME
@_TIMEOUT
def stop(
    database: str | None, app: str | None, root: Path | None, *, name: str, timeout: float
) -> None:
    """
    Stop the daemon, when its running jobs are finished.

    Exits with 3 if it is not running; with 4 if jobs took longer than --timeout and were killed:
    they go back, no attempt is spent.

    \b
    Examples:
      litejobs stop db.sqlite
      litejobs stop --app shop.jobs:jobs --timeout 300
    """
    files = project(database, app, root).daemon(name)
    pid = control.stop(files, timeout, _running(files.database))
    click.echo(f"stopped (pid {pid})")


@click.command()
@database_argument
@project_options
@NAME
@_TIMEOUT
def restart(
    database: str | None, app: str | None, root: Path | None, *, name: str, timeout: float
) -> None:
    """
    Stop the daemon as stop does, and start it as it was started last, with the code of now.

    If it is not running it is started. If its app does not load now, nothing is stopped.

    \b
    Examples:
      litejobs restart db.sqlite
      litejobs restart --app shop.jobs:jobs
    """
    files = project(database, app, root).daemon(name)
    _say(control.restart(files, timeout, _running(files.database)))


@click.command()
@_workers
@click.option("--user", is_flag=True, help="For the service manager of your user.")
def systemd(
    database: str | None, app: str | None, root: Path | None, *, user: bool, **options: Any
) -> None:
    """
    Print a unit of systemd that keeps litejobs work running.

    The directory that is the current one now is that of the unit.

    \b
    Examples:
      litejobs systemd --app shop.jobs:jobs > /etc/systemd/system/shop-jobs.service
      litejobs systemd --user db.sqlite > ~/.config/systemd/user/jobs.service
    """
    place = project(database, app, root)
    level = options["log_level"]
    arguments = _arguments(place, "", None, **options)
    click.echo(Unit(arguments, level, is_of_user=user).text(), nl=False)


def _arguments(
    place: Project,
    name: str,
    log: str | None,
    *,
    queues: Sequence[str],
    count: int | None,
    max_jobs: int | None,
    max_memory: int | None,
    stop_timeout: float,
    log_level: str,
) -> Arguments:
    """The options, with all that they leave to where the command is called."""
    names = place.queues(queues, count)
    place.check_tenure(max_jobs, max_memory)
    path = None
    if place.app is None or place.names_database:
        where = place.place()
        path = SqliteAdapter(where.path).path
        make_default_directory(where, place.root)
    return Arguments(
        directory=str(Path.cwd()),
        root=str(place.root),
        app=place.app,
        database=path,
        name=name,
        log=log,
        log_level=logging.getLevelNamesMapping()[log_level.upper()],
        stop_timeout=stop_timeout,
        queues=names,
        count=count or 1,
        max_jobs=max_jobs,
        max_memory=max_memory,
        moved=place.moved,
    )


def _say(up: Up) -> None:
    workers = ", ".join(up.workers)
    click.echo(f"started on {up.database} as {workers} (pid {up.pid}); the log is {up.log}")


def _running(database: str) -> Callable[[int], list[str]]:
    """Of a process its jobs in the database, in words; none where that cannot be read."""

    def running(pid: int) -> list[str]:
        with suppress(LitejobsError, OSError):
            adapter = SqliteAdapter(database, driver="apsw")
            adapter.open(create=False, adopt=False)
            records = Inspection(adapter).records(state="running", limit=1_000_000)
            pairs = [(worker_of(record), record) for record in records]
            return [
                f"{r.id} {call(r.handler)} of {who}" for (who, theirs), r in pairs if theirs == pid
            ]
        return []

    return running
