"""Jobs stored on a connection of the app's: they exist if and only if the app commits."""

import sqlite3
import threading
import time
from contextlib import closing
from types import SimpleNamespace

import apsw
import pytest
from callers import KINDS, LIBRARIES, Core, Django, Session
from django.db import transaction
from helpers import wait_until

from litejobs import BaseAdapter, JobManager, SqliteAdapter, TransactionError
from litejobs.errors import DatabaseBusyError, SchedulingError
from litejobs.run_directory.bell import Bell
from litejobs.testing import manual


@pytest.fixture
def make_jobs(database, clock):
    """A manager with one job on the app's file, and its ``later``."""
    adapters = []

    def make(driver="sqlite3", place=database):
        adapters.append(SqliteAdapter(place, clock=clock, driver=driver))
        jobs = JobManager({"sqlite": adapters[-1]}, clock=clock)
        return jobs, jobs.create_scheduler(), jobs.create_job(perform=greet)

    yield make
    for adapter in adapters:
        adapter.close()


def greet(name): ...


def prepare(database):
    """What an app does when it starts."""
    with closing(SqliteAdapter(database)) as adapter:
        adapter.open()


@pytest.fixture
def later(make_jobs):
    _, later, job = make_jobs()
    return lambda connection, *names: later.many(job, [[n] for n in names], connection=connection)


@pytest.fixture
def connect(database):
    """Connections of sqlite3, closed at the end."""
    opened = []

    def connect(place=database, **options):
        opened.append(sqlite3.connect(place, **options))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def rows(database, request):
    """What others see, by the library of the app: two in one process would lose data."""
    by_apsw = "app" in request.fixturenames and request.getfixturevalue("app").driver == "apsw"
    library = apsw.Connection if by_apsw else sqlite3.connect

    def rows(sql):
        with closing(library(str(database))) as connection:
            return connection.execute(sql).fetchall()

    return rows


@pytest.fixture
def stored(rows):
    """How many jobs others see."""
    return lambda: rows("SELECT count(*) FROM background_jobs")[0][0]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def app(request, database):
    app = request.param(database)
    yield app
    app.close()


@pytest.fixture
def app_later(app, make_jobs):
    jobs, later, job = make_jobs(app.driver)
    jobs.adapter(None).open()
    return lambda *names: later.many(job, [[n] for n in names], connection=app.connection)


def test_a_job_exists_once_the_app_has_committed(app, app_later, stored):
    app.begin()
    app.execute("INSERT INTO notes VALUES ('before')")
    app_later("Ada")
    assert stored() == 0

    app.commit()

    assert stored() == 1


def test_a_job_is_never_there_if_the_app_rolls_back(app, app_later, stored):
    app.begin()
    app_later("Ada")

    app.roll_back()

    assert stored() == 0


def test_many_jobs_have_the_ids_under_which_they_are_stored(app, app_later, rows):
    app.begin()
    jobs = app_later("Ada", "Bob", "Cleo")
    app.commit()

    found = rows("SELECT id, state, json_extract(handler, '$.args[0]') FROM background_jobs")
    assert found == [(job.id, 1, job.args[0]) for job in jobs]
    assert len(found) == 3


@pytest.mark.parametrize("app", LIBRARIES, ids=lambda kind: kind.__name__, indirect=True)
def test_what_the_app_writes_after_the_job_is_of_the_same_transaction(app, app_later, rows):
    app.begin()
    app_later("Ada")
    app.execute("INSERT INTO notes VALUES ('after')")

    app.roll_back()

    assert rows("SELECT count(*) FROM notes") == [(0,)]


# Where no transaction is open


def test_where_the_app_commits_each_statement_the_jobs_are_there_at_once(later, connect, stored):
    connection = connect(isolation_level=None)

    later(connection, "Ada", "Bob")

    assert stored() == 2
    assert not connection.in_transaction


def test_in_djangos_own_mode_the_job_is_there_at_once(database, later, stored):
    app = Django(database)

    later(app.connection, "Ada")

    assert stored() == 1
    app.close()


def test_jobs_are_stored_all_or_none(later, connect, stored, database):
    connection = connect(isolation_level=None)
    later(connection)
    prepare(database)
    connection.execute(
        "CREATE TRIGGER no_bob BEFORE INSERT ON background_jobs WHEN new.handler LIKE '%Bob%' "
        "BEGIN SELECT RAISE(ABORT, 'no Bob here'); END"
    )

    with pytest.raises(Exception, match="no Bob here"):
        later(connection, "Ada", "Bob", "Cleo")

    assert stored() == 0
    assert not connection.in_transaction


def test_a_call_that_fails_leaves_the_apps_transaction_as_it_was(later, connect, stored, database):
    connection = connect()
    connection.execute("CREATE TABLE notes (text TEXT)")
    prepare(database)
    connection.execute(
        "CREATE TRIGGER no_bob BEFORE INSERT ON background_jobs WHEN new.handler LIKE '%Bob%' "
        "BEGIN SELECT RAISE(ABORT, 'no Bob here'); END"
    )
    connection.execute("INSERT INTO notes VALUES ('before')")

    with pytest.raises(Exception, match="no Bob here"):
        later(connection, "Ada", "Bob")
    connection.commit()

    assert connection.execute("SELECT text FROM notes").fetchall() == [("before",)]
    assert stored() == 0

    with pytest.raises(Exception, match="no Bob here"):
        later(connection, "Bob")
    assert not connection.in_transaction  # it was not before


def test_rows_of_the_apps_own_kind_are_no_obstacle(later, connect, stored):
    connection = connect()
    connection.row_factory = lambda _cursor, row: {"row": row}
    connection.text_factory = bytes

    later(connection, "Ada")
    connection.commit()

    assert stored() == 1


def test_rows_of_apsw_may_be_of_the_apps_own_kind_too(make_jobs, database):
    _, later, job = make_jobs("apsw")
    with closing(apsw.Connection(str(database))) as connection:
        connection.row_trace = lambda _cursor, row: {"row": row}

        [stored] = later.many(job, [["Ada"]], connection=connection)

    assert stored.id == 1


def test_a_temporary_table_of_that_name_is_not_taken_for_ours(later, connect, stored):
    connection = connect()
    connection.execute("CREATE TEMP TABLE background_jobs (id INTEGER PRIMARY KEY)")

    later(connection, "Ada")
    connection.commit()

    assert stored() == 1


# What is refused, in one sentence


def refused(later, connection, match):
    with pytest.raises(TransactionError, match=match) as caught:
        later(connection, "Ada")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", [5, "app.db", object()], ids=["number", "path", "object"])
def test_what_is_no_connection_is_refused(later, what):
    refused(later, what, f"must be a sqlite3.Connection, .* got {type(what).__name__}")


def test_another_file_is_refused(later, connect, tmp_path):
    refused(
        later, connect(tmp_path / "other.db"), r"to \S+other.db, but jobs are stored in \S+jobs"
    )


def test_a_database_in_memory_is_refused(later, connect):
    refused(later, connect(":memory:"), "to a database in memory, but")


def test_a_file_that_is_attached_is_not_the_main_one(later, connect, database, tmp_path):
    prepare(database)
    connection = connect(tmp_path / "other.db")
    connection.execute("ATTACH ? AS jobs", [str(database)])

    refused(later, connection, "only what is in one file is committed together")


def test_the_same_file_by_another_name_is_taken(later, connect, database, tmp_path, stored):
    prepare(database)
    (tmp_path / "link").symlink_to(tmp_path)
    connection = connect(tmp_path / "link" / database.name)

    later(connection, "Ada")
    connection.commit()

    assert stored() == 1


def test_a_closed_connection_is_refused(later, connect):
    connection = connect()
    connection.close()

    refused(later, connection, "cannot be used: Cannot operate on a closed database")


def test_a_closed_connection_of_apsw_is_refused(make_jobs, database):
    _, later, job = make_jobs("apsw")
    connection = apsw.Connection(str(database))
    connection.close()

    with pytest.raises(TransactionError, match="cannot be used"):
        later(job, ["Ada"], connection=connection)


def test_a_closed_connection_of_sqlalchemy_is_refused(later, database):
    app = Core(database)
    app.close()

    refused(later, app.connection, "cannot be used: .*closed")


@pytest.mark.parametrize("how", ["mode=ro", "query_only"])
def test_a_read_only_connection_is_refused_and_left_as_it_was(later, connect, database, how):
    prepare(database)
    connection = connect(f"file:{database}?mode={'ro' if how == 'mode=ro' else 'rw'}", uri=True)
    if how == "query_only":
        connection.execute("PRAGMA query_only = ON")

    refused(later, connection, "cannot be used: attempt to write a readonly database")

    assert not connection.in_transaction


def test_the_connection_of_another_thread_is_refused(later, connect):
    connection = connect()
    raised = []

    def run():
        try:
            later(connection, "Ada")
        except TransactionError as error:
            raised.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()

    assert "can only be used in that same thread" in raised[0]


def test_two_libraries_on_one_file_in_one_process_are_refused(make_jobs, connect, database):
    _, later, job = make_jobs()
    with (
        closing(apsw.Connection(str(database))) as connection,
        pytest.raises(TransactionError, match=r"of apsw, and two .*driver='apsw'"),
    ):
        later(job, ["Ada"], connection=connection)

    _, later, job = make_jobs("apsw")
    with pytest.raises(TransactionError, match=r"of sqlite3, and two .*driver='sqlite3'"):
        later(job, ["Ada"], connection=connect())


def test_a_database_of_another_kind_is_refused(later, monkeypatch, database):
    app = Core(database)
    monkeypatch.setattr(
        type(app.connection.connection), "driver_connection", property(lambda _: object())
    )

    refused(later, app.connection, "is an object, not one of sqlite3 or apsw")
    monkeypatch.undo()
    app.close()


def test_djangos_broken_transaction_is_refused(later, database, stored):
    app = Django(database)
    later(app.connection, "Ada")
    app.begin()
    app.connection.set_rollback(True)

    with pytest.raises(transaction.TransactionManagementError):
        later(app.connection, "Bob")

    app.commit()
    assert stored() == 1
    app.close()


def test_storage_that_knows_no_transactions_refuses(memory_manager):
    jobs, later = memory_manager

    with pytest.raises(TransactionError, match="has no place for jobs in a transaction"):
        later(next(iter(jobs.declared.values())), ["Ada"], connection=object())


@pytest.fixture
def memory_manager(clock):
    nothing = dict.fromkeys(BaseAdapter.__abstractmethods__)
    adapter = type("Forgetful", (BaseAdapter,), nothing)()
    jobs = JobManager({"forgetful": adapter}, clock=clock)
    jobs.create_job(perform=greet)
    return jobs, jobs.create_scheduler()


def test_what_a_worker_could_not_run_is_refused_before_the_connection_is_asked(make_jobs, connect):
    _, later, job = make_jobs()
    connection = connect()

    with pytest.raises(SchedulingError):
        later(job, ["Ada", "one too many"], connection=connection)
    with pytest.raises(SchedulingError):
        later(job, ["Ada"], wait=-1, connection=connection)

    assert not connection.in_transaction


# The table is made first, on a connection of ours


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_caller_who_holds_the_lock_is_told_what_to_call_first(later, connect, mode, monkeypatch):
    impatient = SimpleNamespace(monotonic=time.monotonic, sleep=pytest.fail)
    monkeypatch.setattr("litejobs.adapters.sqlite.connection.time", impatient)
    connection = connect()
    connection.execute(f"PRAGMA journal_mode = {mode}")
    connection.execute("CREATE TABLE notes (text TEXT)")
    connection.execute("INSERT INTO notes VALUES ('mine')")

    refused(later, connection, r"call test_borrowed\S*.adapter\('sqlite'\).open\(\) when the app")

    connection.commit()
    assert connection.execute("SELECT text FROM notes").fetchall() == [("mine",)]
    monkeypatch.undo()
    later(connection, "Ada")  # and now it is made


def test_a_reader_who_keeps_the_file_from_wal_is_told_what_to_call_first(later, connect):
    connection = connect(isolation_level=None)
    connection.execute("CREATE TABLE notes (text TEXT)")
    connection.execute("BEGIN")
    connection.execute("SELECT * FROM notes").fetchall()

    refused(later, connection, r"open\(\) when the app starts")


def test_once_the_adapter_was_opened_the_lock_may_be_held(make_jobs, connect, stored, database):
    jobs, later, job = make_jobs()
    prepare(database)
    connection = connect()
    connection.execute("CREATE TABLE notes (text TEXT)")
    connection.execute("INSERT INTO notes VALUES ('mine')")

    later(job, ["Ada"], connection=connection)
    connection.commit()

    assert stored() == 1
    assert jobs.adapter(None).get_meta("app") is None  # the lock was held
    later(job, ["Bob"])
    assert jobs.adapter(None).get_meta("app") == jobs.where


def test_a_transaction_that_has_read_can_still_write_after_the_first_job(
    make_jobs, connect, stored, database
):
    _, later, job = make_jobs()
    prepare(database)
    connection = connect(isolation_level=None)
    connection.execute("CREATE TABLE notes (text TEXT)")
    connection.execute("BEGIN")
    connection.execute("SELECT * FROM notes").fetchall()

    later(job, ["Ada"], connection=connection)
    connection.execute("COMMIT")

    assert stored() == 1


def test_a_transaction_that_began_before_the_table_was_made_is_told_so(later, connect, database):
    connection = connect(isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE notes (text TEXT)")
    connection.execute("BEGIN")
    connection.execute("SELECT * FROM notes").fetchall()
    prepare(database)

    refused(later, connection, r"began before .* call adapter.open\(\) when the app starts")


def test_a_table_made_in_a_transaction_that_is_undone_is_not_remembered(
    make_jobs, connect, database, tmp_path, stored
):
    prepare(tmp_path / "model.sqlite")
    with closing(sqlite3.connect(tmp_path / "model.sqlite")) as model:
        schema = [sql for (sql,) in model.execute("SELECT sql FROM sqlite_schema") if sql]
    _, later, job = make_jobs()
    connection = connect(isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    for statement in schema:
        if not statement.startswith("CREATE TABLE sqlite_"):
            connection.execute(statement)

    with pytest.raises(TransactionError):
        later(job, ["Ada"], connection=connection)
    connection.execute("ROLLBACK")

    later(job, ["Ada"], connection=connection)
    assert stored() == 1


def test_the_default_manager_names_its_set_up_call_too(project):
    project.write(
        "script.py",
        """
        import sqlite3
        import litejobs

        def greet(name): print("hello", name)

        if __name__ == "__main__":
            litejobs.configure(database="app.db")
            connection = sqlite3.connect("app.db")
            connection.execute("CREATE TABLE notes (text TEXT)")
            connection.execute("INSERT INTO notes VALUES ('mine')")
            try:
                litejobs.later(greet, ["Ada"], connection=connection)
            except litejobs.TransactionError as error:
                print(error)
            connection.rollback()
            litejobs.jobs.adapter("sqlite").open()
            connection.execute("INSERT INTO notes VALUES ('mine')")
            litejobs.later(greet, ["Bob"], connection=connection)
            connection.commit()
        """,
    )

    told = project.run("script.py").out

    assert "call litejobs:jobs.adapter('sqlite').open() when the app starts" in told
    with closing(sqlite3.connect(project.directory / "app.db")) as connection:
        [(handler,)] = connection.execute("SELECT handler FROM background_jobs").fetchall()
    assert "Bob" in handler


def test_a_caller_whose_lock_another_holds_is_told_so_by_its_own_patience(later, connect):
    first = connect()
    later(first, "Ada")
    first.commit()
    with closing(connect()) as other:
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(DatabaseBusyError, match="is locked by another connection"):
            later(connect(timeout=0), "Bob")
        other.rollback()


@pytest.mark.parametrize("key", [None, "once"])
@pytest.mark.parametrize("is_ready", [True, False], ids=["ready", "new"])
def test_a_caller_who_holds_the_lock_itself_is_told_of_connection(
    make_jobs, connect, database, monkeypatch, key, is_ready
):
    monkeypatch.setattr("litejobs.adapters.sqlite.connection.LOCK_PATIENCE", 0.1)
    if is_ready:
        prepare(database)
    _, later, job = make_jobs()
    own = connect()
    own.execute("PRAGMA journal_mode = WAL")
    own.execute("BEGIN IMMEDIATE")

    with pytest.raises(DatabaseBusyError) as told:
        later(job, ["Ada"], key=key)

    own.rollback()
    assert "locked by another connection" in str(told.value)
    assert "this very one's with an open transaction" in str(told.value)
    assert "passed to it as connection=" in str(told.value)
    later(job, ["Ada"], key=key)


# Waking


@pytest.fixture
def bell(database):
    bell = Bell(f"{database}.run")
    yield bell
    bell.close()


@pytest.fixture
def heard(bell):
    """What the bell has rung since it was last asked: ``now``, ``soon`` or nothing."""

    def listen():
        rung = []
        try:
            while data := bell._socket.recv(64):
                rung.append({b"!": "now", b"~": "soon"}[data])
        except BlockingIOError:
            return rung

    return listen


def test_a_bare_connection_rings_soon(make_jobs, heard, connect):
    _, later, job = make_jobs()
    later(job, ["Ada"], connection=connect())

    assert heard() == ["soon"]


def test_where_nothing_is_left_to_commit_the_bell_rings_now(later, heard, connect, database):
    later(connect(isolation_level=None), "Ada")
    assert heard() == ["now"]

    app = Django(database)
    later(app.connection, "Bob")
    app.close()
    assert heard() == ["now"]


@pytest.mark.parametrize("kind", [Core, Session], ids=lambda kind: kind.__name__)
def test_sqlalchemy_rings_when_it_commits_and_not_before(kind, later, heard, database):
    app = kind(database)
    later(app.connection, "Ada")
    with app.connection.begin_nested():
        later(app.connection, "Bob")
    assert heard() == []

    app.commit()
    assert heard() == ["soon"]  # once, for all

    later(app.connection, "Cleo")
    app.roll_back()
    assert heard() == []
    app.close()


def test_django_rings_when_it_has_committed_and_not_before(later, heard, database):
    app = Django(database)
    app.begin()
    later(app.connection, "Ada")
    assert heard() == []

    app.commit()
    assert heard() == ["now"]

    app.begin()
    later(app.connection, "Bob")
    app.roll_back()
    assert heard() == []
    app.close()


def test_django_without_its_own_transactions_rings_soon(later, heard, database, stored):
    app = Django(database)
    app.connection.set_autocommit(False)
    later(app.connection, "Ada")
    assert heard() == ["soon"]

    app.connection.commit()
    app.connection.set_autocommit(True)
    assert stored() == 1
    app.close()


SOON = 30  # seconds; these workers would look by themselves in an hour


def test_an_idle_worker_begins_the_job_long_before_it_would_have_looked(
    database, connect, monkeypatch
):
    monkeypatch.setattr("litejobs.defaults.RECOVERY_PAUSE", 3600)
    done = threading.Event()
    adapter = SqliteAdapter(database)
    jobs = JobManager({"sqlite": adapter}, workers=[{"sleep_delay": 3600}])

    @jobs.job
    def note(what):
        done.set()

    later = jobs.create_scheduler()
    worker = jobs.create_worker(0)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        later(note, ["at once"])  # after which it is idle
        assert done.wait(SOON)
        done.clear()
        connection = connect()
        later(note, ["soon"], connection=connection)
        connection.commit()

        assert done.wait(SOON)
    finally:
        worker.stop()
        thread.join()
        adapter.close()


def test_an_idle_runner_begins_the_job_long_before_it_would_have_looked(project):
    project.write(
        "first/sitecustomize.py",
        """
        from litejobs import defaults

        defaults.RECOVERY_PAUSE = defaults.SLEEP_DELAY = 3600.0
        """,
    )
    project.write("pyproject.toml", "[tool.litejobs]\ndatabase = 'db.sqlite'\n")
    project.write(
        "script.py",
        """
        import sqlite3, sys
        from litejobs import configure, later

        def note(what):
            with open("done.txt", "a") as file:
                file.write(what)

        if __name__ == "__main__":
            configure(database="db.sqlite")
            connection = sqlite3.connect("db.sqlite") if sys.argv[1] == "soon" else None
            later(note, sys.argv[1:], connection=connection)
            if connection:
                connection.commit()
        """,
    )
    project.run("script.py", "first")
    environment = {"PYTHONPATH": str(project.directory / "first")}
    runner = project.start_litejobs("work", env=environment)
    try:
        wait_until(lambda: project.read("done.txt") == "first", "the first job")

        project.run("script.py", "soon")

        wait_until(lambda: project.read("done.txt") == "firstsoon", "the second job", SOON)
    finally:
        runner.terminate()
        runner.communicate()


# In tests of the app


def test_in_a_test_mode_the_job_is_stored_beside_and_the_connection_left_alone(make_jobs, connect):
    jobs, later, job = make_jobs()
    connection = connect()

    with manual(jobs) as stored:
        later(job, ["Ada"], connection=connection)

        stored.assert_scheduled(job, ["Ada"])
        assert not connection.in_transaction
