"""
Background jobs for apps that live on one host: one Python package, one SQLite file.

Everything public is named here. Importing the package alone loads nothing of it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os

    from litejobs.adapters.base import BaseAdapter
    from litejobs.adapters.sqlite.adapter import SqliteAdapter
    from litejobs.background import BackgroundWorker
    from litejobs.clock import Clock, SystemClock
    from litejobs.config import WorkerGroup
    from litejobs.context import CurrentJob, current_job
    from litejobs.control import Discard, Retry, Snooze
    from litejobs.default_manager import later
    from litejobs.default_manager import manager as jobs
    from litejobs.errors import (
        ConfigurationError,
        DatabaseBusyError,
        DatabaseFileError,
        DiskError,
        DuplicateJobError,
        JobCancelled,
        JobDiedError,
        JobFailedError,
        JobStateError,
        JobTimeout,
        LitejobsError,
        NoResultError,
        ScheduleNotFoundError,
        SchedulingError,
        StorageError,
        TransactionError,
    )
    from litejobs.hooks import JobCall, JobRun
    from litejobs.job import Job, NewJob, StoredJob
    from litejobs.keys import Key
    from litejobs.limit import Limit
    from litejobs.manager import JobManager
    from litejobs.processes.background import BackgroundProcess
    from litejobs.retention import Keep
    from litejobs.schedule import Schedule
    from litejobs.scheduled import JobError, ScheduledJob
    from litejobs.scheduler import Scheduler

__all__ = [
    "BackgroundProcess",
    "BackgroundWorker",
    "BaseAdapter",
    "Clock",
    "ConfigurationError",
    "CurrentJob",
    "DatabaseBusyError",
    "DatabaseFileError",
    "Discard",
    "DiskError",
    "DuplicateJobError",
    "Job",
    "JobCall",
    "JobCancelled",
    "JobDiedError",
    "JobError",
    "JobFailedError",
    "JobManager",
    "JobRun",
    "JobStateError",
    "JobTimeout",
    "Keep",
    "Key",
    "Limit",
    "LitejobsError",
    "NewJob",
    "NoResultError",
    "Retry",
    "Schedule",
    "ScheduleNotFoundError",
    "ScheduledJob",
    "Scheduler",
    "SchedulingError",
    "Snooze",
    "SqliteAdapter",
    "StorageError",
    "StoredJob",
    "SystemClock",
    "TransactionError",
    "WorkerGroup",
    "configure",
    "current_job",
    "jobs",
    "later",
]

_HOMES = {
    "BackgroundProcess": ("litejobs.processes.background", "BackgroundProcess"),
    "BackgroundWorker": ("litejobs.background", "BackgroundWorker"),
    "BaseAdapter": ("litejobs.adapters.base", "BaseAdapter"),
    "Clock": ("litejobs.clock", "Clock"),
    "ConfigurationError": ("litejobs.errors", "ConfigurationError"),
    "CurrentJob": ("litejobs.context", "CurrentJob"),
    "DatabaseBusyError": ("litejobs.errors", "DatabaseBusyError"),
    "DatabaseFileError": ("litejobs.errors", "DatabaseFileError"),
    "Discard": ("litejobs.control", "Discard"),
    "DiskError": ("litejobs.errors", "DiskError"),
    "DuplicateJobError": ("litejobs.errors", "DuplicateJobError"),
    "Job": ("litejobs.job", "Job"),
    "JobCall": ("litejobs.hooks", "JobCall"),
    "JobDiedError": ("litejobs.errors", "JobDiedError"),
    "JobError": ("litejobs.scheduled", "JobError"),
    "JobFailedError": ("litejobs.errors", "JobFailedError"),
    "JobCancelled": ("litejobs.errors", "JobCancelled"),
    "JobManager": ("litejobs.manager", "JobManager"),
    "JobRun": ("litejobs.hooks", "JobRun"),
    "JobStateError": ("litejobs.errors", "JobStateError"),
    "JobTimeout": ("litejobs.errors", "JobTimeout"),
    "Keep": ("litejobs.retention", "Keep"),
    "Key": ("litejobs.keys", "Key"),
    "Limit": ("litejobs.limit", "Limit"),
    "LitejobsError": ("litejobs.errors", "LitejobsError"),
    "NewJob": ("litejobs.job", "NewJob"),
    "NoResultError": ("litejobs.errors", "NoResultError"),
    "Retry": ("litejobs.control", "Retry"),
    "Schedule": ("litejobs.schedule", "Schedule"),
    "ScheduleNotFoundError": ("litejobs.errors", "ScheduleNotFoundError"),
    "ScheduledJob": ("litejobs.scheduled", "ScheduledJob"),
    "Scheduler": ("litejobs.scheduler", "Scheduler"),
    "SchedulingError": ("litejobs.errors", "SchedulingError"),
    "Snooze": ("litejobs.control", "Snooze"),
    "SqliteAdapter": ("litejobs.adapters.sqlite.adapter", "SqliteAdapter"),
    "StorageError": ("litejobs.errors", "StorageError"),
    "StoredJob": ("litejobs.job", "StoredJob"),
    "SystemClock": ("litejobs.clock", "SystemClock"),
    "TransactionError": ("litejobs.errors", "TransactionError"),
    "WorkerGroup": ("litejobs.config", "WorkerGroup"),
    "current_job": ("litejobs.context", "current_job"),
    "jobs": ("litejobs.default_manager", "manager"),
    "later": ("litejobs.default_manager", "later"),
}


def configure(*, database: "str | os.PathLike[str]") -> None:
    """
    Name the database file of ``litejobs.later`` and ``litejobs.jobs``.

    To be called before the first ``later`` and before workers start. A relative path is resolved
    against the current directory. While a worker loads the project this does nothing: the worker
    knows which file it is about. Raises ConfigurationError if another file is in use already.
    """
    from litejobs.default_manager import manager  # noqa: PLC0415  # loaded when first used

    manager.configure(database=database)


def _load(name: str) -> Any:
    try:
        module, attribute = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'litejobs' has no attribute {name!r}") from None
    from importlib import import_module  # noqa: PLC0415  # only names that are asked for cost

    value = globals()[name] = getattr(import_module(module), attribute)
    return value


if not TYPE_CHECKING:  # a type checker sees the names above, and no others
    __getattr__ = _load
