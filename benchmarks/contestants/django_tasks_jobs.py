"""The jobs as Django's tasks: importable by name, once Django is set up."""

from typing import Any

from benchmarks import jobs

try:
    from django.tasks import task
except ImportError:  # before Django 6
    from django_tasks import task


@task
def mark(*args: Any) -> None:
    """As in benchmarks.jobs."""
    jobs.mark(*args)


@task
def stamp(*args: Any) -> None:
    """As mark."""
    jobs.stamp(*args)


@task
def sleep(*args: Any) -> None:
    """As mark."""
    jobs.sleep(*args)


@task
def spin(*args: Any) -> None:
    """As mark."""
    jobs.spin(*args)
