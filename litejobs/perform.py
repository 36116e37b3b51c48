"""
The performer's entry: finds the manager and hands it to the room that runs its jobs.

Started by a runner as ``python -P -m litejobs.perform DESCRIPTOR NAME``; the name shows in ps.
"""

import importlib
import sys
from pathlib import Path

from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.app import load_app
from litejobs.config import WorkerGroup
from litejobs.context import loading
from litejobs.errors import UnusableAppError
from litejobs.execution import Execution
from litejobs.logs import configure
from litejobs.manager import BaseManager, JobManager
from litejobs.performers.child import serve
from litejobs.performers.manifest import DeclaredJob, Group, Manifest, Storage
from litejobs.performers.wire import Start


def load(start: Start) -> tuple[Manifest, Execution]:
    """The app that a runner asks for, told in a manifest, and what runs the jobs of its group."""
    sys.path.insert(0, start.root)
    importlib.invalidate_caches()
    if start.app is None:
        return _load_default(start)
    with loading(start.app):
        manager = load_app(start.app)
    manifest = manifest_of(manager)
    if start.group >= len(manager.workers):
        raise UnusableAppError(
            f"there is no worker group {start.group}: {start.app} has {len(manager.workers)}"
        )
    group = manager.workers[start.group]
    _set_up_logs(start, manager, group)
    return manifest, manager.execution(group)


def _load_default(start: Start) -> tuple[Manifest, Execution]:
    from litejobs.default_manager import manager  # noqa: PLC0415  # not needed with an app

    assert start.database is not None
    manager.configure(database=start.database)
    manager.use_root(Path(start.root), hint=start.hint)
    group = WorkerGroup()
    _set_up_logs(start, manager, group)
    return Manifest((), {}, ()), manager.execution(group)


def manifest_of(manager: JobManager) -> Manifest:
    """
    What a runner must know of an app.

    Raises UnusableAppError if a group's adapter is none that a runner can open.
    """
    storages = {}
    for key, adapter in manager.adapters.items():
        if isinstance(adapter, SqliteAdapter):
            storages[key] = Storage(adapter.path, adapter.table, adapter.durability, adapter.mode)
    first = next(iter(manager.adapters))
    for number, group in enumerate(manager.workers):
        if (group.adapter or first) not in storages:
            raise UnusableAppError(
                f"worker group {number} is on adapter {group.adapter or first!r}, which is no "
                "SqliteAdapter: run it with start_background_worker()"
            )
    return Manifest(
        groups=tuple(
            Group(
                group.adapter or first, group.queues, group.count, group.limits, group.sleep_delay
            )
            for group in manager.workers
        ),
        storages=storages,
        jobs=tuple(
            DeclaredJob(path, name, job.own_limits)
            for (path, name), job in manager.declared.items()
        ),
    )


def _set_up_logs(start: Start, manager: BaseManager, group: WorkerGroup) -> None:
    configure(start.log_level, sys.argv[-1], manager.logger, group.logger or manager.logger)


if __name__ == "__main__":
    # What jobs print shows at once, also in a file or pipe.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a real stream
    serve(int(sys.argv[1]), load)
