"""Fixtures for tests of code that schedules jobs. Part of every test run, so it imports little."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from litejobs.base_manager import BaseManager
    from litejobs.testing import Jobs

pytest.register_assert_rewrite("litejobs.testing.adapter_model", "litejobs.testing.adapter_suite")


@pytest.fixture
def litejobs_manager(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> "BaseManager":
    """
    The manager whose jobs are tested; write a fixture of this name to choose another.

    It is the app that LITEJOBS_APP or ``[tool.litejobs] app`` names, else that of
    ``litejobs.later``.
    """
    from litejobs.app import load_app  # noqa: PLC0415  # most test runs never ask
    from litejobs.default_manager import manager  # noqa: PLC0415
    from litejobs.project import app_of, root_of_directory  # noqa: PLC0415

    root = root_of_directory(pytestconfig.rootpath)
    app = app_of(root)
    if app is None:
        return manager
    monkeypatch.syspath_prepend(root)
    return load_app(app, root)


@pytest.fixture
def manual_jobs(litejobs_manager: "BaseManager") -> "Iterator[Jobs]":
    """Jobs are stored in a temporary file and run by ``manual_jobs.drain()``."""
    from litejobs.testing import manual  # noqa: PLC0415

    with manual(litejobs_manager) as jobs:
        yield jobs


@pytest.fixture
def jobs_run_now(litejobs_manager: "BaseManager") -> "Iterator[Jobs]":
    """``later`` runs what is due before it returns, and raises what the job raises."""
    from litejobs.testing import run_now  # noqa: PLC0415

    with run_now(litejobs_manager) as jobs:
        yield jobs
