"""LiteJobs: the jobs of a Flask app."""

import os
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from logging import Logger
from pathlib import Path
from typing import Any, NoReturn

import click
import flask
from flask.cli import FlaskGroup, ScriptInfo
from flask.helpers import get_debug_flag
from werkzeug.serving import is_running_from_reloader

from litejobs import context
from litejobs.adapters.base import BaseAdapter
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.clock import SystemClock
from litejobs.config import WorkerGroup, with_checked_options
from litejobs.errors import ConfigurationError
from litejobs.manager import JobManager
from litejobs.processes.background import Attached
from litejobs.processes.command import become_litejobs
from litejobs.project import root_of_directory
from litejobs.testing.storage import Storage

_LOADER = f"{__name__}:load_flask_app"
_WORKERS = (None, "thread", "process")


@with_checked_options
class LiteJobs(JobManager):
    """
    A Flask app's jobs: a JobManager whose storage ``app.config`` names.

    Each job runs inside an app context. The app's command line gets ``flask jobs``, with all
    commands of ``litejobs``. The keys of ``app.config``:

    ``LITEJOBS_DATABASE``: the file, relative to the instance folder (``"jobs.sqlite"``); or an
    SqliteAdapter. ``LITEJOBS_WORKER``: run the workers beside the server, on its ``"thread"`` or in
    a ``"process"`` of its own; None: elsewhere. ``LITEJOBS_RUN_NOW``: ``later`` runs the job before
    it returns, raises what it raises, and leaves the database alone; None: if ``app.testing``.

    *queues*, *logger* and *workers* are those of JobManager. Raises ConfigurationError when an
    option is not of its kind.
    """

    def __init__(
        self,
        app: flask.Flask | None = None,
        queues: Sequence[str] | None = None,
        logger: Logger | None = None,
        workers: Sequence[WorkerGroup | Mapping[str, Any]] | None = None,
    ) -> None:
        self._app: flask.Flask | None = None
        self._files: weakref.WeakKeyDictionary[flask.Flask, SqliteAdapter]
        self._files = weakref.WeakKeyDictionary()
        self._at_once: weakref.WeakKeyDictionary[flask.Flask, Storage]
        self._at_once = weakref.WeakKeyDictionary()
        self._making = threading.RLock()
        super().__init__({"sqlite": Nowhere()}, queues, logger, workers)
        #: Stores a job of this manager: see Scheduler.
        self.later = self.create_scheduler()
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        """
        Be the jobs of *app*; once its configuration is complete.

        Outside of requests and app contexts, the app that was last given here is meant.
        """
        app.config.setdefault("LITEJOBS_DATABASE", "jobs.sqlite")
        app.config.setdefault("LITEJOBS_WORKER", None)
        app.config.setdefault("LITEJOBS_RUN_NOW", None)
        app.extensions["litejobs"] = self
        app.cli.add_command(command)
        self._app = app
        worker = app.config["LITEJOBS_WORKER"]
        if worker not in _WORKERS:
            raise ConfigurationError(
                f"LITEJOBS_WORKER must be 'thread', 'process' or None, got {worker!r}"
            )
        if worker and _is_server() and not self._runs_now(app):
            self.start_background_worker(process=worker == "process")

    def adapter(self, key: str | None) -> BaseAdapter:
        app = self._current()
        if self._is_lent or app is None or key not in (None, "sqlite"):
            return super().adapter(key)
        with self._making:
            return self._storage_at_once(app) if self._runs_now(app) else self._file(app)

    @contextmanager
    def around_job(self) -> Iterator[None]:
        """The context of the app, and in run-now mode the test's watch over what a job raises."""
        app = self._current()
        assert app is not None  # the job came from its storage
        at_once = self._at_once.get(app)
        with at_once.watch() if at_once else nullcontext(), app.app_context():
            yield

    def attached(self) -> Attached:
        app = self._current()
        assert app is not None  # it starts the worker
        # An app that runs itself when imported must not do so in a worker.
        environment = {"FLASK_APP": _name_of(app), "FLASK_RUN_FROM_CLI": "true"}
        root = root_of_directory(Path(app.root_path))
        return Attached(root, app=_LOADER, environment=environment)

    def _current(self) -> flask.Flask | None:
        """The app that asks, or else the one given last."""
        if flask.has_app_context() and flask.current_app.extensions.get("litejobs") is self:
            app: flask.Flask = flask.current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  # documented
            return app
        return self._app

    def _runs_now(self, app: flask.Flask) -> bool:
        asked = app.config["LITEJOBS_RUN_NOW"]
        return not context.loading_now() and bool(app.testing if asked is None else asked)

    def _file(self, app: flask.Flask) -> SqliteAdapter:
        adapter = self._files.get(app)
        if adapter is None:
            adapter = self._files[app] = _adapter_of(app)
        return adapter

    def _storage_at_once(self, app: flask.Flask) -> SqliteAdapter:
        storage = self._at_once.get(app)
        if storage is None:
            directory = tempfile.TemporaryDirectory(prefix="litejobs-")
            storage = self._at_once[app] = Storage(self, SystemClock(), Path(directory.name))
            storage.at_once = True
            weakref.finalize(app, _close, storage, directory)
        return storage.adapters["sqlite"]


class Nowhere(SqliteAdapter):
    """What a LiteJobs has before it has an app."""

    def __init__(self) -> None:
        super().__init__("nowhere")

    def describe(self) -> str:
        raise _no_app()

    def _open(self, **_options: bool) -> NoReturn:
        raise _no_app()


def _no_app() -> ConfigurationError:
    return ConfigurationError(
        "these jobs have no Flask app yet: call init_app(app); for commands, name the app or its "
        "factory: --app MODULE:create_app"
    )


def load_flask_app() -> flask.Flask:
    """The app that ``flask`` itself would load here, by FLASK_APP; for ``litejobs --app``."""
    return ScriptInfo(os.environ.get("FLASK_APP")).load_app()


@click.command("jobs", add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def command(words: Sequence[str]) -> None:
    """Background jobs: the commands of litejobs, for this app."""
    app = flask.current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  # documented
    become_litejobs(words, {"LITEJOBS_APP": _LOADER, "FLASK_APP": _name_of(app)})


def _adapter_of(app: flask.Flask) -> SqliteAdapter:
    named = app.config["LITEJOBS_DATABASE"]
    if isinstance(named, SqliteAdapter):
        return named
    if not isinstance(named, str | os.PathLike) or not os.fspath(named):
        raise ConfigurationError(
            f"LITEJOBS_DATABASE must be a path or an SqliteAdapter, got {named!r}"
        )
    path = Path(app.instance_path, named)
    if not Path(named).is_absolute():
        path.parent.mkdir(parents=True, exist_ok=True)
    return SqliteAdapter(path)


def _name_of(app: flask.Flask) -> str:
    """How a process of its own finds *app*, in the words of FLASK_APP."""
    asked = click.get_current_context(silent=True)
    info = asked.find_object(ScriptInfo) if asked is not None else None
    named = os.environ.get("FLASK_APP") if info is None else info.app_import_path
    main = getattr(sys.modules["__main__"], "__file__", None)
    return named or (main if app.import_name == "__main__" and main else app.import_name)


def _is_server() -> bool:
    """Whether this process is to serve requests: not a command, nor a debug server's parent."""
    asked = click.get_current_context(silent=True)
    if asked is None or not isinstance(asked.find_root().command, FlaskGroup):
        return True
    if asked.info_name != "run":
        return False
    reloads = asked.params.get("reload")
    reloads = get_debug_flag() if reloads is None else reloads
    return not reloads or is_running_from_reloader()


def _close(storage: Storage, directory: tempfile.TemporaryDirectory[str]) -> None:
    storage.close()
    directory.cleanup()
