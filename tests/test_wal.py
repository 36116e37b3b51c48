"""The write-ahead log: how large it may become, and who says so. On both libraries."""

import logging

import pytest

from litejobs.adapters.sqlite import wal
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.adapters.sqlite.connection import Connection
from litejobs.job import NewJob

LARGE = NewJob("x" * 1_000_000, "default", 50, 0)


@pytest.fixture
def small_limit(monkeypatch):
    monkeypatch.setattr(wal, "LIMIT", 3_000_000)


@pytest.fixture
def reader(adapter, database, driver):
    """Another connection, in a transaction that has read something."""
    adapter.open()
    connection = Connection(str(database), driver, "full")
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM background_jobs")
    yield connection
    connection.close()


def said(adapter, caplog):
    """What a look at the log finds worth a warning."""
    caplog.clear()
    adapter.check()
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_a_log_that_a_reader_keeps_from_starting_anew_is_told_of_once(
    small_limit, adapter, database, reader, caplog
):
    adapter.schedule([LARGE])
    assert said(adapter, caplog) == []

    for _ in range(3):
        adapter.schedule([LARGE])

    [line] = said(adapter, caplog)
    assert line == wal.complaint(str(database), wal.size(str(database)))
    assert "keeps a transaction open that has read something" in line
    assert said(adapter, caplog) == []


def test_it_is_told_of_again_when_it_has_become_twice_as_large(
    small_limit, adapter, reader, caplog
):
    for _ in range(4):
        adapter.schedule([LARGE])
    assert len(said(adapter, caplog)) == 1

    for _ in range(5):
        adapter.schedule([LARGE])

    assert len(said(adapter, caplog)) == 1


def test_once_the_reader_is_gone_the_log_is_small_again_and_nothing_is_said(
    small_limit, adapter, database, reader, caplog
):
    for _ in range(4):
        adapter.schedule([LARGE])
    assert len(said(adapter, caplog)) == 1

    reader.execute("COMMIT")
    small = SqliteAdapter(database, driver=adapter.driver)  # with the limit of this test
    for _ in range(6):
        small.schedule([LARGE])

    assert wal.size(str(database)) <= wal.LIMIT
    assert said(adapter, caplog) == []
    small.close()


def test_a_log_that_is_half_as_large_as_it_may_be_is_emptied(
    small_limit, adapter, database, caplog
):
    adapter.schedule([LARGE])
    size = wal.size(str(database))
    assert said(adapter, caplog) == []
    assert wal.size(str(database)) == size

    adapter.schedule([LARGE])
    assert said(adapter, caplog) == []

    assert wal.size(str(database)) == 0
    assert adapter.connection.execute("SELECT count(*) FROM background_jobs") == [(2,)]


def test_a_log_that_nobody_keeps_from_starting_anew_stays_small(
    small_limit, adapter, database, caplog
):
    for _ in range(20):
        adapter.schedule([NewJob("x" * 100_000, "default", 50, 0)])
        adapter.connection.execute("PRAGMA wal_checkpoint")

    assert said(adapter, caplog) == []


def test_a_database_without_a_log_has_nothing_to_complain_about(tmp_path, caplog):
    wal.Watch(str(tmp_path / "none"), logging.getLogger("litejobs")).look()

    assert caplog.records == []
