"""django-tasks-db: https://github.com/RealOrangeOne/django-tasks-db."""

import importlib.util
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.contestants.base import (
    FULL,
    IN_PROCESSES,
    NORMAL,
    Contestant,
    Workers,
    count_rows,
)


class DjangoTasksDb(Contestant):
    """The database backend of Django's tasks, on SQLite in WAL mode."""

    name = "django-tasks-db"
    distribution = "django-tasks-db"
    module = "django_tasks_db"
    durabilities: ClassVar = {"full": FULL, "normal": NORMAL}
    setting = (
        "WAL and immediate transactions, as Django's docs advise; `db_worker` as it comes looks "
        "every second, here without its random pause at the start"
    )
    kinds = IN_PROCESSES
    waits = IN_PROCESSES
    looks = 1.0
    first = ""

    def __init__(self, directory: Path, durability: str) -> None:
        import django
        from django.conf import settings
        from django.core.management import call_command

        settings.configure(
            DATABASES={
                "default": {
                    "ENGINE": "django.db.backends.sqlite3",
                    "NAME": directory / "jobs.sqlite",
                    "OPTIONS": {
                        "transaction_mode": "IMMEDIATE",
                        "init_command": "PRAGMA journal_mode = WAL;"
                        f"PRAGMA synchronous = {durability.upper()};",
                    },
                }
            },
            INSTALLED_APPS=[*_backport(), "django_tasks_db"],
            TASKS={"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}},
            USE_TZ=True,
        )
        django.setup()
        if not (directory / "jobs.sqlite").exists():
            call_command("migrate", verbosity=0)
        from benchmarks.contestants import django_tasks_jobs

        self.tasks = vars(django_tasks_jobs)

    def enqueue(self, job: str, args: Sequence[Any], wait: float | None = None) -> None:
        task = self.tasks[job]
        if wait is not None:
            task = task.using(run_after=datetime.now(UTC) + timedelta(seconds=wait))
        task.enqueue(*args)

    def work(self, workers: Workers) -> None:
        from django.core.management import call_command

        call_command("db_worker", startup_delay=False, reload=False, verbosity=0)

    @classmethod
    def unsettled(cls, directory: Path) -> int:
        return count_rows(
            directory / "jobs.sqlite",
            "SELECT count(*) FROM django_tasks_database_dbtaskresult WHERE status <> 'SUCCESSFUL'",
        )


def _backport() -> list[str]:
    """Before Django 6 tasks are a package of their own."""
    return ["django_tasks"] if importlib.util.find_spec("django_tasks") else []
