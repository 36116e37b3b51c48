import os
import sys
import tempfile
from pathlib import Path

import pytest
from helpers import NOW, Project
from hypothesis import settings

from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.testing import ManualClock

AUDIT = str(Path(__file__).parent / "audit")
sys.path.append(AUDIT)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [AUDIT, os.environ.get("PYTHONPATH")]))

import outside_sqlite  # noqa: E402  # found only now

reports = tempfile.TemporaryDirectory(prefix="outside-sqlite-")
outside_sqlite.report_to(Path(reports.name, "report.txt"))
outside_sqlite.install()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """A test fails in which a database was opened outside SQLite, in whatever process."""
    result = yield
    assert outside_sqlite.seen() == ""
    return result


# However slow the machine is: how long an example takes is no fact under test.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")


@pytest.fixture
def clock():
    return ManualClock(NOW)


@pytest.fixture(params=["sqlite3", "apsw"])
def driver(request):
    return request.param


@pytest.fixture
def database(tmp_path):
    return tmp_path / "jobs.sqlite"


@pytest.fixture
def adapter(database, clock, driver):
    adapter = SqliteAdapter(database, clock=clock, driver=driver)
    yield adapter
    adapter.close()


@pytest.fixture
def project(tmp_path):
    """An empty project; its commands find neither this one's settings nor the user's files."""
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "pyproject.toml").write_text("")
    home = tmp_path / "home"
    home.mkdir()
    return Project(directory, home)
