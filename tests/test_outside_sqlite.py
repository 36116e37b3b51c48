"""That this suite sees it when a database is opened by anything but SQLite: see audit/."""

import os
import shutil
import subprocess
import sys

import outside_sqlite
import pytest
from helpers import DEADLINE

from litejobs.adapters.sqlite.adapter import SqliteAdapter

COPY = """
import sys
from pathlib import Path
from litejobs.adapters.sqlite.adapter import SqliteAdapter

adapter = SqliteAdapter(sys.argv[1])
adapter.open()
try:
    Path(sys.argv[1]).read_bytes()
except Exception as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
def test_a_file_of_a_database_in_use_cannot_be_opened(adapter, database, end):
    adapter.open()
    file = f"{database}{end}"

    with pytest.raises(RuntimeError, match="outside SQLite while a connection to it was open"):
        os.open(file, os.O_RDONLY)

    assert outside_sqlite.seen().startswith(f"{file} was opened")


@pytest.mark.parametrize("name", [str, os.fsencode, os.path.relpath], ids=["str", "bytes", "rel"])
def test_however_it_is_named(adapter, database, tmp_path, name):
    adapter.open()

    with pytest.raises(RuntimeError, match="outside SQLite"):
        shutil.copyfile(name(database), tmp_path / "copy")

    assert outside_sqlite.seen()


def test_once_no_connection_is_open_it_may_be_read(adapter, database):
    adapter.open()
    adapter.close()

    assert database.read_bytes().startswith(b"SQLite format 3\0")


def test_the_database_of_another_connection_may_be_read(adapter, tmp_path):
    other = SqliteAdapter(tmp_path / "other.sqlite")
    other.open()
    other.close()
    adapter.open()

    assert (tmp_path / "other.sqlite").read_bytes()


def test_children_are_watched_and_what_they_do_is_told_though_they_hide_it(database):
    command = [sys.executable, "-c", COPY, database]

    out = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=True)

    assert out.stdout == "RuntimeError\n"
    assert f"{database} was opened outside SQLite" in outside_sqlite.seen()
