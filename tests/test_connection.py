"""Connections to real files: waiting, transactions, threads, forks, errors. On both libraries."""

import logging
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import DEADLINE

from litejobs.adapters.sqlite import connection as connection_module
from litejobs.adapters.sqlite import migrations
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.adapters.sqlite.connection import Connection, Connections
from litejobs.errors import (
    ConfigurationError,
    DatabaseBusyError,
    DatabaseFileError,
    DiskError,
    StorageError,
)
from litejobs.job import NewJob

HOLD_THE_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("INSERT INTO t VALUES ('theirs')")
print("held", flush=True)
input()
connection.execute("COMMIT")
print("released", flush=True)
"""


@pytest.fixture
def connect(database, driver):
    """Makes connections to one file."""
    database.touch()
    made = []

    def connect():
        connection = Connection(str(database), driver, "full")
        made.append(connection)
        connection.set_up()
        return connection

    yield connect
    for connection in made:
        connection.close()


@pytest.fixture
def connection(connect):
    connection = connect()
    connection.execute("CREATE TABLE t (a TEXT NOT NULL)")
    return connection


def words(connection):
    return [word for (word,) in connection.execute("SELECT a FROM t")]


def run_script(script, *arguments):
    """Run a script with the warnings of this suite; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


# Waiting for the write lock


def while_waiting(monkeypatch, act):
    """Call *act* in place of every pause between two tries for the lock."""
    time = SimpleNamespace(monotonic=connection_module.time.monotonic, sleep=lambda _: act())
    monkeypatch.setattr(connection_module, "time", time)


def test_a_write_waits_until_another_connection_lets_go(connection, connect, monkeypatch):
    other = connect()
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO t VALUES ('theirs')")
    while_waiting(monkeypatch, lambda: other.execute("COMMIT"))

    connection.execute("INSERT INTO t VALUES ('ours')")

    assert words(connection) == ["theirs", "ours"]


def test_a_transaction_waits_until_another_process_lets_go(connection, database, monkeypatch):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_LOCK, database],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout.readline() == "held\n"

        def release():
            holder.stdin.write("\n")
            holder.stdin.flush()
            assert holder.stdout.readline() == "released\n"

        while_waiting(monkeypatch, release)

        with connection.transaction():
            connection.execute("INSERT INTO t VALUES ('ours')")

    assert words(connection) == ["theirs", "ours"]


def test_a_lock_held_too_long_is_an_error_in_words(connection, connect, monkeypatch):
    monkeypatch.setattr(connection_module, "LOCK_PATIENCE", 0.12)
    other = connect()

    with (
        other.transaction(),
        pytest.raises(
            DatabaseBusyError, match=r"was locked by another connection for 0\.\d seconds"
        ),
    ):
        connection.execute("INSERT INTO t VALUES ('ours')")

    connection.execute("INSERT INTO t VALUES ('later')")
    assert words(connection) == ["later"]


def test_a_transaction_that_did_not_get_the_lock_leaves_no_trace(connection, connect, monkeypatch):
    monkeypatch.setattr(connection_module, "LOCK_PATIENCE", 0)
    other = connect()
    with other.transaction(), pytest.raises(DatabaseBusyError), connection.transaction():
        pytest.fail("began without the lock")

    with connection.transaction():
        connection.execute("INSERT INTO t VALUES ('later')")

    assert words(other) == ["later"]


def test_pauses_are_short_at_first_and_never_long(connection, connect, monkeypatch):
    pauses, now = [], [0.0]

    def sleep(seconds):
        pauses.append((now[0], seconds))
        now[0] += 0.01

    fake = SimpleNamespace(monotonic=lambda: now[0], sleep=sleep)
    monkeypatch.setattr(connection_module, "time", fake)
    other = connect()

    with other.transaction(), pytest.raises(DatabaseBusyError):
        connection.execute("INSERT INTO t VALUES ('ours')")

    assert pauses[-1][0] == pytest.approx(5, abs=0.02)
    assert all(0.0002 <= pause <= 0.001 for at, pause in pauses if at < 0.99)
    assert all(0.0002 <= pause <= 0.02 for _, pause in pauses)
    assert max(pause for _, pause in pauses) > 0.01


def test_a_wait_that_takes_longer_than_a_second_is_said_once(
    database, connection, connect, driver, monkeypatch, caplog
):
    now = [0.0]

    def sleep(_):
        now[0] += 0.25

    fake = SimpleNamespace(monotonic=lambda: now[0], sleep=sleep)
    monkeypatch.setattr(connection_module, "time", fake)
    other = connect()
    ours = Connection(str(database), driver, "full", logger=logging.getLogger("litejobs"))

    with other.transaction(), pytest.raises(DatabaseBusyError):
        ours.execute("INSERT INTO t VALUES ('ours')")

    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert (
        f"{database} has been locked by another connection for 1.2 seconds" in record.getMessage()
    )
    ours.close()


def test_an_insert_waits_as_any_statement_does_and_tells_the_id(connection, connect, monkeypatch):
    other = connect()
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO t VALUES ('theirs')")
    while_waiting(monkeypatch, lambda: other.execute("COMMIT"))

    assert connection.insert("INSERT INTO t VALUES (?)", ("ours",)) == 2


def test_reading_waits_for_nobody(connection, connect):
    other = connect()

    with other.transaction():
        other.execute("INSERT INTO t VALUES ('theirs')")
        assert words(connection) == []


# Transactions


def test_an_error_inside_a_transaction_undoes_all_of_it(connection):
    def fail():
        with connection.transaction():
            connection.execute("INSERT INTO t VALUES ('ours')")
            raise KeyError("inside")

    with pytest.raises(KeyError):
        fail()

    assert words(connection) == []
    with connection.transaction():
        connection.execute("INSERT INTO t VALUES ('next')")
    assert words(connection) == ["next"]


def test_an_exit_inside_a_transaction_undoes_all_of_it(connection, connect):
    def leave():
        with connection.transaction():
            connection.execute("INSERT INTO t VALUES ('ours')")
            sys.exit()

    with pytest.raises(SystemExit):
        leave()

    with connection.transaction():
        connection.execute("INSERT INTO t VALUES ('next')")
    assert words(connect()) == ["next"]


def test_after_a_commit_that_failed_the_connection_is_usable(connection, connect):
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("CREATE TABLE child (t REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
    connection.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")

    def write():
        with connection.transaction():
            connection.execute("INSERT INTO t VALUES ('ours')")
            connection.execute("INSERT INTO child VALUES (1)")

    with pytest.raises(StorageError, match="FOREIGN KEY"):
        write()

    with connection.transaction():
        connection.execute("INSERT INTO t VALUES ('next')")
    assert words(connect()) == ["next"]


def test_after_sqlite_rolled_back_by_itself_the_connection_is_usable(connection):
    """https://sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction"""

    def write():
        with connection.transaction():
            connection.execute("INSERT INTO t VALUES ('ours')")
            connection.execute("INSERT OR ROLLBACK INTO t VALUES (NULL)")

    with pytest.raises(StorageError, match="NOT NULL"):
        write()

    with connection.transaction():
        connection.execute("INSERT INTO t VALUES ('next')")
    assert words(connection) == ["next"]


def test_inside_a_transaction_the_durability_stays_as_it_began(connection):
    with connection.transaction(durable=False):
        connection.synchronise(durable=True)

    assert connection.execute("PRAGMA synchronous") == [(1,)]


def test_a_half_read_statement_keeps_no_lock(connection, connect):
    connection.execute("INSERT INTO t VALUES ('a'), ('b'), ('c') RETURNING a")

    connect().execute("INSERT INTO t VALUES ('d')")

    assert words(connection) == ["a", "b", "c", "d"]


# Modes


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("trusted_schema", 0),
        ("synchronous", 2),
        ("journal_size_limit", 64 * 1024 * 1024),
        ("wal_autocheckpoint", 2000),
        ("busy_timeout", 0),
    ],
)
def test_a_connection_is_put_into_our_modes(connection, pragma, value):
    assert connection.execute(f"PRAGMA {pragma}") == [(value,)]


@pytest.mark.parametrize("modes", ["wal_autocheckpoint", "trusted_schema"])
def test_a_connection_whose_modes_cannot_be_set_after_a_fork_is_not_used(
    connection, monkeypatch, modes
):
    connection.close()
    with monkeypatch.context() as patch:
        patch.setattr(connection_module.wal, "LIMIT", "no number")
        with pytest.raises(StorageError, match="syntax error"):
            words(connection)

    assert words(connection) == []

    expected = {"wal_autocheckpoint": 2000, "trusted_schema": 0}
    assert connection.execute(f"PRAGMA {modes}") == [(expected[modes],)]


@pytest.mark.parametrize(("platform", "value"), [("darwin", 1), ("linux", 0)])
def test_where_fsync_does_not_reach_the_disk_fullfsync_does(connect, monkeypatch, platform, value):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", platform)
        connection = connect()

    assert connection.execute("PRAGMA fullfsync") == [(value,)]


def test_a_file_that_cannot_be_in_wal_mode_is_refused(driver):
    connection = Connection(":memory:", driver, "full")

    with pytest.raises(DatabaseFileError, match="cannot hold a WAL"):
        connection.set_up()
    connection.close()


def test_a_connection_makes_no_file(database, driver):
    with pytest.raises(DatabaseFileError, match="cannot be opened"):
        Connection(str(database), driver, "full").execute("SELECT 1")

    assert not database.exists()


def test_an_unknown_library_is_refused(database):
    with pytest.raises(ConfigurationError, match="driver must be 'sqlite3' or 'apsw', got 'x'"):
        Connection(str(database), "x", "full")


def test_a_standard_library_with_an_old_sqlite_is_refused(database, monkeypatch):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.36.0")

    with pytest.raises(ConfigurationError, match=r"is 3\.36\.0, litejobs needs 3\.37: .*'apsw'"):
        Connection(str(database), "sqlite3", "full")


@pytest.mark.parametrize("name", ["a?mode=ro", "a#b", "50%41", "größe ☃", "a b'c\"", "file:x"])
def test_a_file_may_have_any_name(tmp_path, driver, name):
    adapter = SqliteAdapter(tmp_path / name, driver=driver)

    adapter.schedule([NewJob("{}", "default", 50, 0)])

    made = {path.name for path in tmp_path.iterdir()}
    adapter.close()
    assert made == {name, f"{name}-wal", f"{name}-shm"}


# Threads


class Recorded:
    """Stands for a connection; notes in which thread it is closed."""

    def __init__(self):
        self.closed_by = []

    def close(self):
        self.closed_by.append(threading.get_ident())


def in_a_thread(function):
    """What *function* returns in a thread of its own, which has ended."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join(DEADLINE)
    [result] = results
    return thread, result


def test_a_thread_keeps_its_connection(adapter):
    assert adapter.connection is adapter.connection


def test_each_thread_has_a_connection_of_its_own(adapter):
    mine = adapter.connection

    _, theirs = in_a_thread(lambda: adapter.connection)

    assert theirs is not mine
    assert adapter.connection is mine


def test_a_connection_is_closed_when_its_thread_ends():
    connections = Connections()

    thread, connection = in_a_thread(lambda: connections.get(Recorded))

    assert connection.closed_by == [thread.ident]


def test_the_connection_of_a_thread_that_ended_is_really_closed(adapter):
    adapter.open()

    _, theirs = in_a_thread(lambda: adapter.connection)

    assert theirs._raw is None
    assert adapter.connection.execute("SELECT 1") == [(1,)]


def test_closing_closes_only_the_connection_of_this_thread():
    connections = Connections()
    closed_there, go_on = threading.Event(), threading.Event()
    theirs = []

    def work():
        theirs.append(connections.get(Recorded))
        closed_there.set()
        go_on.wait(DEADLINE)

    mine = connections.get(Recorded)
    thread = threading.Thread(target=work)
    thread.start()
    closed_there.wait(DEADLINE)

    connections.close()

    closed = (len(mine.closed_by), len(theirs[0].closed_by))
    go_on.set()
    thread.join(DEADLINE)
    assert closed == (1, 0)


def test_closing_twice_is_closing_once(adapter):
    adapter.open()

    adapter.close()
    adapter.close()

    assert adapter.connection.execute("SELECT 1") == [(1,)]


def test_a_thread_opens_the_file_without_preparing_it_again(adapter, monkeypatch):
    adapter.open()
    monkeypatch.delattr(migrations, "prepare")

    _, answer = in_a_thread(lambda: adapter.connection.execute("PRAGMA journal_mode"))

    assert answer == [("wal",)]


# Forks

IN_A_TRANSACTION = """
import os, sys, threading
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.job import NewJob

adapter = SqliteAdapter(sys.argv[1], driver=sys.argv[2])
job = NewJob("{}", "default", 50, 0)
inside, forking, committed = threading.Event(), threading.Event(), threading.Event()
os.register_at_fork(before=forking.set)

def store():
    with adapter.connection.transaction():
        adapter.schedule([job])
        inside.set()
        forking.wait(60)
    committed.set()
    adapter.close()

adapter.open()
thread = threading.Thread(target=store)
thread.start()
inside.wait(60)
if (child := os.fork()) == 0:
    adapter.schedule([job])
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
thread.join()
print("committed" if committed.is_set() else "lost")
adapter.schedule([job])
print(*adapter.connection.execute("SELECT count(*) FROM background_jobs")[0])
"""

PARENT_ENDS_FIRST = """
import os, sys
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.job import NewJob

adapter = SqliteAdapter(sys.argv[1], driver=sys.argv[2])
job = NewJob("{}", "default", 50, 0)
adapter.schedule([job])
stored, closed = os.pipe(), os.pipe()
if (child := os.fork()) == 0:
    adapter.schedule([job])
    os.write(stored[1], b"!")
    os.read(closed[0], 1)
    for _ in range(5):
        adapter.schedule([job])
    os._exit(0)
os.read(stored[0], 1)
adapter.close()
os.write(closed[1], b"!")
assert os.waitpid(child, 0)[1] == 0
"""

AT_REST = """
import os, sys
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.job import NewJob

adapter = SqliteAdapter(sys.argv[1], driver=sys.argv[2])
job = NewJob("{}", "default", 50, 0)
adapter.schedule([job])
if (child := os.fork()) == 0:
    adapter.schedule([job])
    END
assert os.waitpid(child, 0)[1] == 0
adapter.schedule([job])
print(len(adapter.find(worker="w", queues=["*"], max_runtime=60, limit=9)))
print(*adapter.connection.execute("PRAGMA integrity_check")[0])
"""


def test_a_fork_waits_for_the_transaction_of_another_thread(database, driver):
    printed = run_script(IN_A_TRANSACTION, database, driver)

    assert printed == ["committed", "3"]


def test_what_a_forked_child_stores_outlives_the_end_of_its_parent(database, driver):
    run_script(PARENT_ENDS_FIRST, database, driver)

    adapter = SqliteAdapter(database, driver=driver)
    assert len(adapter.find(worker="w", queues=["*"], max_runtime=60, limit=9)) == 7
    adapter.close()


@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit()"], ids=["at once", "in order"])
def test_parent_and_child_both_store_jobs_after_a_fork(database, driver, end):
    printed = run_script(AT_REST.replace("END", end), database, driver)

    assert printed == ["3", "ok"]


# Errors

FULL_DISK = """
import resource, sys
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.errors import DiskError
from litejobs.job import Find, NewJob, Outcome

adapter = SqliteAdapter(sys.argv[1], driver=sys.argv[2])
small, large = (NewJob("x" * size, "default", 50, 0) for size in (1, 1_000_000))
adapter.schedule([small])
[found] = adapter.find(worker="w", queues=["*"], max_runtime=60)
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
for attempt in ([large], [small, large]):
    try:
        adapter.schedule(attempt)
    except DiskError as error:
        print("DiskError")
        assert sys.argv[1] in str(error)
print(*adapter.connection.execute("SELECT count(*) FROM background_jobs")[0])
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
adapter.schedule([small, large])
adapter.exchange([(found, Outcome("success", delete=True))], [Find("w", ("*",), 60)])
print(*adapter.connection.execute("SELECT count(*) FROM background_jobs")[0])
print(*adapter.connection.execute("PRAGMA integrity_check")[0])
"""


def test_after_a_full_disk_the_connection_works_again(database, driver):
    printed = run_script(FULL_DISK, database, driver)

    assert printed == ["DiskError", "DiskError", "1", "2", "ok"]


NO_DESCRIPTORS = """
import os, resource, sys, threading
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.errors import DiskError
from litejobs.job import NewJob

adapter = SqliteAdapter(sys.argv[1], driver=sys.argv[2])
job = NewJob("{}", "default", 50, 0)
adapter.schedule([job])

def store():  # by a connection of its own
    try:
        adapter.schedule([job])
    except DiskError as error:
        print(error)
    else:
        print("stored")

limits = resource.getrlimit(resource.RLIMIT_NOFILE)
for limit in (0, limits[0]):
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limits[1]))
    thread = threading.Thread(target=store)
    thread.start()
    thread.join()
"""


def test_a_process_without_descriptors_is_told_so_and_the_file_is_not_blamed(database, driver):
    printed = run_script(NO_DESCRIPTORS, database, driver)

    assert printed == [*f"{database} cannot be opened: Too many open files".split(), "stored"]


def test_a_database_that_may_not_grow_is_a_full_disk(connection):
    [(pages,)] = connection.execute("PRAGMA page_count")
    connection.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(DiskError, match=r"jobs\.sqlite failed: the disk is full"):
        connection.execute("INSERT INTO t VALUES (?)", ("x" * 100_000,))

    connection.execute(f"PRAGMA max_page_count = {pages + 100}")
    connection.execute("INSERT INTO t VALUES ('next')")
    assert words(connection) == ["next"]


def test_a_file_that_is_damaged_under_us_is_corrupt(connection, connect, database):
    connection.execute("INSERT INTO t VALUES ('a')")
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_master SET rootpage = 99 WHERE name = 't'")

    with pytest.raises(DatabaseFileError, match="is corrupt; restore it from a backup"):
        connect().execute("SELECT a FROM t")


@pytest.mark.parametrize(
    ("sql", "words_of_sqlite"),
    [("SELECT nothing FROM t", "nothing"), ("INSERT INTO t VALUES (NULL)", "NOT NULL")],
    ids=["bad SQL", "constraint"],
)
def test_any_other_error_keeps_the_words_of_sqlite(connection, sql, words_of_sqlite):
    with pytest.raises(StorageError, match=rf"jobs\.sqlite: .*{words_of_sqlite}") as caught:
        connection.execute(sql)

    assert type(caught.value) is StorageError
    assert caught.value.__cause__ is not None


def test_an_error_without_a_code_of_sqlite_is_a_storage_error(connection, driver):
    with pytest.raises(StorageError, match="binding") as caught:
        connection.execute("SELECT ?")

    assert type(caught.value) is StorageError


# A file that is no longer the one of its name


@pytest.fixture
def used(adapter, clock):
    adapter.schedule([NewJob("{}", "default", 50, clock.now())])
    return adapter


def replaced(database):
    other = sqlite3.connect(f"{database}.new")
    other.execute("CREATE TABLE other (x)")
    other.close()
    Path(f"{database}.new").replace(database)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda database: Path(database).unlink(), "was deleted while it was in use"),
        (replaced, "was replaced by another file while it was in use"),
    ],
    ids=["deleted", "replaced"],
)
@pytest.mark.parametrize(
    "action",
    [
        lambda adapter: adapter.schedule([NewJob("{}", "default", 50, 1)]),
        lambda adapter: adapter.find(worker="w", queues=["*"], max_runtime=60),
        lambda adapter: adapter.next_run_at(),
    ],
    ids=["schedule", "find", "look"],
)
def test_a_file_that_has_lost_its_name_is_used_no_more(used, database, change, says, action):
    change(database)

    with pytest.raises(DatabaseFileError, match=says):
        action(used)


def test_after_it_was_deleted_jobs_are_stored_in_a_new_one(used, database, clock):
    limited = NewJob("{}", "default", 50, clock.now(), limit_key="k", limit_max=1)
    used.schedule([limited])
    database.unlink()
    with pytest.raises(DatabaseFileError, match="was deleted while it was in use"):
        used.schedule([limited])

    for _ in range(2):
        used.schedule([limited])

    rows = used.connection.execute("SELECT id, state FROM background_jobs ORDER BY id")
    assert rows == [(1, 1), (2, -1)]


def test_a_thread_that_was_told_to_give_up_waits_for_no_lock(used, database, driver):
    other = SqliteAdapter(database, driver=driver)
    used.give_up_when(lambda: True)
    began = time.monotonic()

    with other.connection.transaction(), pytest.raises(DatabaseBusyError):
        used.clear()

    assert time.monotonic() - began < connection_module.LOCK_PATIENCE / 2
    other.close()


def test_other_threads_wait_as_ever_and_so_does_this_one_once_it_is_closed(used):
    used.give_up_when(lambda: True)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(used._connections.is_impatient).result() is False
    assert used._connections.is_impatient()

    used.close()

    assert not used._connections.is_impatient()
