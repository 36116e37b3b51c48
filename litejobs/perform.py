"""
The performer's entry: finds the manager and hands it to the room that runs its jobs.

Started by a runner as ``python -P -m litejobs.perform DESCRIPTORS NAME``; the name shows in ps.
"""

import importlib
import sys
from functools import partial
from pathlib import Path

from litejobs.adapters.base import BaseAdapter
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.app import load_app
from litejobs.base_manager import BaseManager
from litejobs.config import WorkerGroup
from litejobs.context import loading
from litejobs.errors import UnusableAppError
from litejobs.logs import configure
from litejobs.manager import JobManager
from litejobs.performers.child import Task, clear, perform, serve, work
from litejobs.performers.manifest import DeclaredJob, Group, Home, Manifest, Storage
from litejobs.performers.wire import Start
from litejobs.rules.text import printable


def load(start: Start) -> tuple[Manifest, Task]:
    """The app that a runner asks for, told in a manifest, and what it asks the app to do."""
    sys.path.insert(0, start.root)
    importlib.invalidate_caches()
    if start.app is None:
        return _load_default(start)
    with loading(start.app):
        manager = load_app(start.app, Path(start.root))
    manifest = manifest_of(manager, _home(start.app, manager))
    if start.task == "clear":
        return manifest, partial(clear, manager.adapter(start.adapter))
    if start.group >= len(manager.workers):
        raise UnusableAppError(
            f"there is no worker group {start.group}: {start.app} has {len(manager.workers)}"
        )
    group = manager.workers[start.group]
    _set_up_logs(start, manager, group)
    if start.task == "perform":
        return manifest, partial(perform, manager.execution(group), start)
    worker = manager.create_worker(start.group, start.id, workoff=start.task == "workoff")
    worker.adapter.reload()
    return manifest, partial(work, worker, start)


def _load_default(start: Start) -> tuple[Manifest, Task]:
    from litejobs.default_manager import manager  # noqa: PLC0415  # not needed with an app

    assert start.database is not None
    manager.configure(database=start.database)
    manager.use_root(Path(start.root), hint=start.hint)
    group = WorkerGroup()
    _set_up_logs(start, manager, group)
    return Manifest((), {}, ()), partial(perform, manager.execution(group), start)


def manifest_of(manager: JobManager, home: Home) -> Manifest:
    """What a runner must know of an app."""
    first = manager.adapter_keys[0]
    return Manifest(
        groups=tuple(
            Group(
                group.adapter or first,
                group.queues,
                group.count,
                manager.limits(group),
                group.sleep_delay,
                group.max_jobs,
                group.max_memory,
            )
            for group in manager.workers
        ),
        adapters={key: _storage(manager.adapter(key)) for key in manager.adapter_keys},
        jobs=tuple(
            DeclaredJob(path, name, job.own_limits)
            for (path, name), job in manager.declared.items()
        ),
        home=home,
        owner=manager.where,
        schedules={key: tuple(some) for key, some in manager.recurring.declared().items()},
    )


def _home(app: str, manager: JobManager) -> Home:
    """Where *app* has its manager; of a web app, or of one that it makes, where that was made."""
    name, _, attribute = app.partition(":")
    names = [key for key, value in vars(sys.modules[name]).items() if value is manager]
    if not names:
        name, _, attribute = manager.where.partition(":")
    elif attribute not in names:
        attribute = names[0]
    file = getattr(sys.modules.get(name), "__file__", None)
    return Home(name, attribute, file or "", manager.queues)


def _storage(adapter: BaseAdapter) -> Storage | str:
    """What a runner needs to open the adapter, or its name where it cannot."""
    if type(adapter) is not SqliteAdapter:
        return printable(adapter.describe())
    return Storage(adapter.path, adapter.table, adapter.durability, adapter.mode, adapter.retention)


def _set_up_logs(start: Start, manager: BaseManager, group: WorkerGroup) -> None:
    configure(start.log_level, sys.argv[-1], manager.logger, group.logger or manager.logger)


if __name__ == "__main__":
    # What jobs print shows at once, also in a file or pipe.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a real stream
    serve([int(word) for word in sys.argv[1].split(",")], load)
