"""The daemon itself: a runner in a session of its own, with a pidfile and a log."""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.clock import SystemClock
from litejobs.errors import AlreadyRunningError, LitejobsError, StorageError, UnusableAppError
from litejobs.job import Outcome
from litejobs.performers.manifest import Manifest, Storage
from litejobs.performers.output import Output
from litejobs.performers.wire import Broken, Start
from litejobs.processes.log import DaemonLog
from litejobs.processes.record import Arguments, DaemonFiles, Record, note_storage
from litejobs.processes.roles import Source
from litejobs.processes.runner import Runner
from litejobs.processes.signals import heed_all
from litejobs.processes.sources import AppSource, DatabaseSource
from litejobs.rules.text import printable
from litejobs.run_directory import paths
from litejobs.run_directory.pidfile import Pidfile
from litejobs.stop import Stop

log = logging.getLogger("litejobs")


class Up(msgspec.Struct, frozen=True, tag=True):
    """To ``start``: the workers are up."""

    pid: int
    database: str
    log: str
    workers: tuple[str, ...]


def source_of(arguments: Arguments, output: Output | None = None) -> Source:
    """What a daemon works for."""
    root = Path(arguments.root)
    database = None if arguments.database is None else Path(arguments.database)
    if arguments.app is not None:
        return AppSource(arguments.app, root, database, arguments.log_level, output)
    assert database is not None
    return DatabaseSource(
        database,
        root,
        arguments.log_level,
        queues=arguments.queues,
        count=arguments.count,
        max_jobs=arguments.max_jobs,
        max_memory=arguments.max_memory,
        moved=arguments.moved,
    )


def run() -> int:
    """
    Be the daemon that stdin, in a message of ``start``, asks for; the exit code.

    Stdout tells ``start`` what became of it. Both are let go of as soon as that is said.
    """
    heed_all()
    arguments = msgspec.json.decode(sys.stdin.buffer.read(), type=Arguments)
    daemon = Daemon(arguments, _taken_over())
    try:
        return daemon.run()
    except LitejobsError as error:
        return daemon.failed(error)
    except OSError as error:
        return daemon.failed(StorageError(str(error)))


class Daemon:
    """What is around a runner when nobody sits before it; its source and its observer."""

    def __init__(self, arguments: Arguments, report: int) -> None:
        """*report* is a descriptor by which ``start`` is told once."""
        self._arguments = arguments
        self._report = report
        self._log = DaemonLog(arguments.log_level)
        self._source = source_of(arguments, self._log.output("litejobs-app"))
        self._pidfile: Pidfile | None = None
        self._files: DaemonFiles | None = None
        self._record: Record | None = None
        self._database = ""

    def run(self) -> int:
        runner = Runner(self, self, stop_timeout=self._arguments.stop_timeout, log=self._log)
        code = runner.run()
        log.info("stopped")
        return code

    def failed(self, error: LitejobsError) -> int:
        """Say why to ``start``, or to the log where ``start`` has gone."""
        log.error("%s", printable(str(error)))
        self._tell(Broken(str(error), kind=type(error).__name__))
        return error.exit_code

    # The source

    @property
    def start(self) -> Start:
        return self._source.start

    def manifest(self, stop: Stop) -> Manifest | None:
        return self._source.manifest(stop)

    def adapters(self, manifest: Manifest) -> dict[str, SqliteAdapter]:
        """The storages, opened; then this is the daemon of the first, or there is another."""
        adapters = self._source.adapters(manifest)
        home = manifest.first_file()
        if home is None:
            raise UnusableAppError(
                f"no worker group of {self._arguments.app} has its jobs in an SQLite file, beside "
                "which a daemon keeps its pidfile; start it as litejobs work, from a process "
                "monitor"
            )
        self._move_in(SqliteAdapter(home.path), home)
        return adapters

    def _move_in(self, adapter: SqliteAdapter, storage: Storage) -> None:
        arguments = self._arguments
        self._database = adapter.path
        paths.make(adapter.run_directory)
        self._files = DaemonFiles(adapter.run_directory, arguments.name)
        try:
            self._pidfile = Pidfile(self._files.pidfile)
        except AlreadyRunningError as error:
            raise AlreadyRunningError(
                f"the daemon {arguments.name!r} of {adapter.path} is not started: {error}"
            ) from None
        self._log.open(Path(arguments.log or self._files.log))
        self._record = Record(
            msgspec.structs.replace(arguments, moved=False),
            os.getpid(),
            SystemClock().now(),
            self._log.path,
            (),
        )
        self._files.write(self._record)
        if arguments.app is not None:
            try:
                note_storage(Path(arguments.root), arguments.app, storage)
            except OSError as error:
                log.warning("commands will have to ask the app where its jobs are: %s", error)
        log.info("started as pid %d in %s", os.getpid(), arguments.directory)

    # The observer

    def ready(self, due: int) -> None: ...

    def settled(self, outcomes: Sequence[Outcome]) -> None: ...

    def up(self, workers: Sequence[str]) -> None:
        """Now ``start`` may go."""
        assert self._files is not None
        assert self._record is not None
        self._files.write(msgspec.structs.replace(self._record, workers=tuple(workers)))
        self._tell(Up(os.getpid(), self._database, self._log.path, tuple(workers)))

    def _tell(self, what: Up | Broken) -> None:
        report, self._report = self._report, -1
        if report >= 0:
            with open(report, "wb") as out:  # noqa: PTH123  # a descriptor
                try:
                    out.write(msgspec.json.encode(what))
                    out.flush()
                except OSError:
                    log.warning("whoever started this did not wait for it")


def _taken_over() -> int:
    """Stdout, out of the way of all that might print; neither it nor stdin is ever inherited."""
    report = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    return report
