"""The database as a file: made private, told from foreign ones, refused in words and untouched."""

import logging
import os
import shutil
import stat
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers import without_root

from litejobs.adapters.sqlite import file, migrations
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.adapters.sqlite.connection import Connection
from litejobs.adapters.sqlite.migrations import APPLICATION_ID
from litejobs.errors import ConfigurationError, DatabaseFileError, DiskError
from litejobs.job import NewJob, Outcome, StoredJob

JOB = NewJob("{}", "default", 50, 0)
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="mounts are read on Linux only")


@pytest.fixture
def make(database, clock, driver):
    """Makes adapters on one file."""
    made = []

    def make(path=database, **options):
        made.append(SqliteAdapter(path, clock=clock, driver=driver, **options))
        return made[-1]

    yield make
    for adapter in made:
        adapter.close()


@pytest.fixture
def other_program(database, driver):
    """Has another program, with the same library, write the database."""

    def write(*statements):
        database.touch()
        connection = Connection(str(database), driver, "full")
        for statement in statements:
            connection.execute(statement)
        connection.close()

    return write


@pytest.fixture
def shared_directory():
    """A directory that users other than root can reach."""
    directory = Path(tempfile.mkdtemp()).resolve()
    directory.chmod(0o777)
    yield directory
    directory.chmod(0o777)
    shutil.rmtree(directory)


@contextmanager
def umask(mask):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def refused(path, words):
    """The block is refused in *words*, and no byte of the file has changed."""
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(DatabaseFileError, match=words):
        yield
    assert (path.read_bytes() if path.exists() else None) == before


def mode(path):
    return stat.S_IMODE(Path(path).stat().st_mode)


# Making


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o777])
def test_a_new_file_and_its_log_are_private_under_any_umask(make, database, mask):
    with umask(mask):
        make().schedule([JOB])

    assert [mode(f"{database}{end}") for end in ("", "-wal", "-shm")] == [0o600] * 3


@pytest.mark.parametrize("wanted", [0o640, 0o660])
def test_a_new_file_and_its_log_get_the_mode_asked_for(make, database, wanted):
    with umask(0o077):
        make(mode=wanted).schedule([JOB])

    assert [mode(f"{database}{end}") for end in ("", "-wal", "-shm")] == [wanted] * 3


def test_an_existing_file_keeps_its_mode(make, database):
    database.touch()
    database.chmod(0o664)

    make().schedule([JOB])

    assert mode(database) == 0o664


def test_a_new_file_bears_our_application_id(make):
    connection = make().connection

    assert connection.execute("PRAGMA application_id") == [(APPLICATION_ID,)]


def test_a_file_without_bytes_is_a_new_database(make, database):
    database.touch()

    make().open(adopt=False)

    assert make().connection.execute("PRAGMA application_id") == [(APPLICATION_ID,)]


def test_nothing_is_made_before_the_first_use(make, database):
    make()

    assert not database.exists()


def test_a_second_opening_keeps_the_jobs(make):
    first = make()
    [id_] = first.schedule([JOB])
    first.close()

    [job] = make().find(worker="w", queues=["*"], max_runtime=60)

    assert job.id == id_


def test_creating_again_makes_nothing(tmp_path):
    path = str(tmp_path / "jobs")

    assert [file.create(path, 0o600), file.create(path, 0o644)] == [True, False]

    assert mode(path) == 0o600


def test_a_file_that_cannot_be_made_is_an_error_of_the_disk(tmp_path):
    with pytest.raises(DiskError, match="cannot be made: No such file or directory"):
        file.create(str(tmp_path / "missing" / "jobs"), 0o600)


def test_two_that_open_a_new_file_at_once_make_one_schema(make):
    adapters = [make() for _ in range(4)]
    barrier = threading.Barrier(len(adapters))
    ids = []

    def open_and_store(adapter):
        barrier.wait()
        ids.extend(adapter.schedule([JOB]))

    threads = [threading.Thread(target=open_and_store, args=[adapter]) for adapter in adapters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(ids) == [1, 2, 3, 4]


def test_one_that_waited_while_another_made_the_table_takes_that(make, monkeypatch):
    first, second = make(), make()
    identify = migrations.identify

    def outrun(connection, table):
        version = identify(connection, table)
        monkeypatch.setattr(migrations, "identify", identify)
        first.schedule([JOB])
        return version

    monkeypatch.setattr(migrations, "identify", outrun)

    second.schedule([JOB])

    assert second.connection.execute("SELECT count(*) FROM background_jobs") == [(2,)]


# Opening without making


def test_a_missing_file_is_not_made_where_only_looking_is_wanted(make, database):
    with pytest.raises(DatabaseFileError, match=f"{database} does not exist"):
        make().open(create=False)

    assert not database.exists()


def test_a_file_without_bytes_is_no_database_to_look_at(make, database):
    database.touch()

    with refused(database, "is empty: no job has been stored there yet"):
        make().open(create=False)


def test_a_database_without_our_table_has_nothing_to_look_at(make, database, other_program):
    other_program("CREATE TABLE theirs (a)")

    with refused(database, "holds no table background_jobs of litejobs"):
        make().open(create=False)


def test_our_own_database_is_looked_at(make):
    make().schedule([JOB])
    looker = make()

    looker.open(create=False, adopt=False)

    assert looker.count_due(["*"]) == 1


# The database of another program


def test_a_database_of_another_program_is_adopted_and_its_table_untouched(
    make, database, other_program
):
    other_program(
        "PRAGMA user_version = 7", "CREATE TABLE theirs (a)", "INSERT INTO theirs VALUES (1)"
    )
    database.chmod(0o644)
    adapter = make()

    adapter.schedule([JOB])

    ask = adapter.connection.execute
    assert ask("SELECT a FROM theirs") == [(1,)]
    assert ask("SELECT sql FROM sqlite_master WHERE name = 'theirs'") == [
        ("CREATE TABLE theirs (a)",)
    ]
    assert ask("PRAGMA user_version") == [(7,)]
    assert ask("PRAGMA application_id") == [(0,)]
    assert mode(database) == 0o644


def test_a_database_of_another_program_is_refused_where_it_may_be_a_mistake(
    make, database, other_program
):
    other_program("CREATE TABLE theirs (a)")

    with refused(database, r"is a database of another program .* SqliteAdapter\("):
        make().open(adopt=False)


def test_a_file_with_a_foreign_application_id_is_refused(make, database, other_program):
    other_program("PRAGMA application_id = 77", "CREATE TABLE theirs (a)")

    with refused(database, r"belongs to another program \(its application_id is 77\)"):
        make().open()


@pytest.mark.parametrize(
    "statement",
    ["CREATE TABLE background_jobs (a)", "CREATE TABLE background_jobs_meta (key, value)"],
    ids=["jobs", "meta"],
)
def test_a_table_of_our_name_and_another_shape_is_refused(make, database, other_program, statement):
    other_program(statement)

    with refused(database, "table background_jobs that litejobs did not make"):
        make().open()


# Schemas


def test_a_newer_schema_is_refused_untouched(make, database, other_program):
    first = make()
    first.schedule([JOB])
    first.close()
    other_program("UPDATE background_jobs_meta SET value = '2'")

    with refused(database, r"written by a newer litejobs \(schema 2, this one knows 1\); upgrade"):
        make().open()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM background_jobs_meta WHERE key = 'schema_version'",
        "UPDATE background_jobs_meta SET value = 'one'",
        "UPDATE background_jobs_meta SET value = '0'",
        "UPDATE background_jobs_meta SET value = '-1'",
    ],
    ids=["missing", "word", "zero", "negative"],
)
def test_a_schema_without_a_version_is_refused(make, database, other_program, statement):
    first = make()
    first.open()
    first.close()
    other_program(statement)

    with refused(database, "does not say which schema background_jobs has"):
        make().open()


# What is no database


def test_a_text_file_is_refused(make, database):
    database.write_text("dear diary\n" * 500)

    with refused(database, "is not an SQLite database"):
        make().open()


def test_a_damaged_header_is_refused(make, database, other_program):
    other_program("CREATE TABLE theirs (a)")
    data = database.read_bytes()
    database.write_bytes(data[:16] + b"\xff" * 84 + data[100:])

    with refused(database, "is not an SQLite database"):
        make().open()


def test_a_damaged_schema_is_refused(make, database, other_program):
    other_program("CREATE TABLE theirs (a)")
    data = database.read_bytes()
    database.write_bytes(data[:100] + b"\xff" * 200 + data[300:])

    with refused(database, "is corrupt; restore it from a backup"):
        make().open()


def test_a_directory_is_refused(make, tmp_path):
    with pytest.raises(DatabaseFileError, match="is a directory, not a database"):
        make(tmp_path).open()

    assert list(tmp_path.iterdir()) == []


def test_a_missing_directory_is_not_made(make, tmp_path):
    path = tmp_path / "missing" / "jobs.sqlite"

    with pytest.raises(DatabaseFileError, match=rf"the directory {path.parent} does not exist"):
        make(path).open()

    assert not path.parent.exists()


def test_a_file_in_place_of_the_directory_is_refused(make, tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(DatabaseFileError, match="does not exist"):
        make(tmp_path / "file" / "jobs.sqlite").open()


@pytest.mark.parametrize("target", ["jobs.sqlite", "nowhere"], ids=["to a file", "dangling"])
def test_a_link_is_refused_and_its_target_named(make, tmp_path, database, target):
    database.touch()
    link = tmp_path / "link"
    link.symlink_to(target)

    with pytest.raises(DatabaseFileError, match=rf"is a link to {target}; name that file instead"):
        make(link).open()

    assert set(tmp_path.iterdir()) == {database, link}


def test_a_directory_by_its_link_is_the_same_directory(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")

    assert file.locate(tmp_path / "link" / "jobs") == str(tmp_path.resolve() / "real" / "jobs")


def test_a_fifo_is_refused_without_waiting_for_its_other_end(make, database):
    os.mkfifo(database)

    with pytest.raises(DatabaseFileError, match="is not a regular file"):
        make().open()


def test_a_name_that_the_system_refuses_is_refused_in_words(make, tmp_path):
    with pytest.raises(DatabaseFileError, match="cannot be looked at: File name too long"):
        make(tmp_path / ("x" * 300)).open()


def test_a_file_that_went_has_no_bytes(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")

    assert [file.size(str(tmp_path / name)) for name in ("file", "gone")] == [5, 0]


# Permissions


def test_a_read_only_file_is_refused(make, shared_directory):
    path = shared_directory / "jobs.sqlite"
    path.touch()
    path.chmod(0o444)

    with without_root(), refused(path, "is read-only for this user; jobs need it writable"):
        make(path).open()


def test_a_file_of_another_user_is_refused(make, shared_directory):
    path = shared_directory / "jobs.sqlite"
    path.touch()
    path.chmod(0o000)

    with without_root(), pytest.raises(DatabaseFileError, match="is read-only for this user"):
        make(path).open()


def test_in_a_read_only_directory_no_file_is_made(make, shared_directory):
    shared_directory.chmod(0o555)
    path = shared_directory / "jobs.sqlite"

    with without_root(), refused(path, "cannot be made: its directory is not writable"):
        make(path).open()


def test_in_a_read_only_directory_a_file_cannot_be_used(make, shared_directory):
    path = shared_directory / "jobs.sqlite"
    adapter = make(path, mode=0o666)
    adapter.open()
    adapter.close()
    shared_directory.chmod(0o555)

    with without_root(), pytest.raises(DatabaseFileError, match="directory"):
        make(path).open()


# Network file systems


@pytest.fixture
def mounts(tmp_path):
    """Writes a mountinfo as Linux has it: https://docs.kernel.org/filesystems/proc.html"""

    def write(*points):
        lines = [
            f"{number} 1 0:{number} / {point} rw,noatime master:1 - {kind} server:/x rw\n"
            for number, (point, kind) in enumerate(points, start=20)
        ]
        info = tmp_path / "mountinfo"
        info.write_text("".join(lines))
        return str(info)

    return write


@on_linux
@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"])
def test_a_network_file_system_is_refused(database, mounts, kind):
    info = mounts(("/", kind))

    with pytest.raises(DatabaseFileError, match=rf"is on a network file system \({kind}\)"):
        file.check(str(database), mountinfo=info)


@on_linux
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "fuse"])
def test_a_local_file_system_is_taken(database, mounts, kind):
    file.check(str(database), mountinfo=mounts(("/", kind)))

    assert file.file_system(str(database), mounts(("/", kind))) == kind


@on_linux
@pytest.mark.parametrize(
    ("points", "kind"),
    [
        ([("/", "ext4"), ("/srv", "xfs"), ("/srv/net", "nfs")], "nfs"),
        ([("/srv/net", "nfs"), ("/srv", "xfs"), ("/", "ext4")], "nfs"),
        ([("/", "ext4"), ("/srv/ne", "nfs")], "ext4"),
        ([("/", "ext4"), ("/srv/net/deeper", "nfs")], "ext4"),
        ([("/srv/net", "xfs"), ("/srv/net", "nfs")], "nfs"),
        ([("/srv/net/jobs", "nfs"), ("/", "ext4")], "nfs"),
        ([("/other", "nfs")], None),
        ([], None),
    ],
    ids=["deepest", "any order", "half a name", "below", "mounted over", "itself", "none", "empty"],
)
def test_the_deepest_mount_that_holds_the_file_tells_its_file_system(mounts, points, kind):
    assert file.file_system("/srv/net/jobs", mounts(*points)) == kind


@on_linux
@pytest.mark.parametrize(
    ("point", "directory"),
    [
        (r"/srv/my\040share", "/srv/my share"),
        (r"/srv/a\011b", "/srv/a\tb"),
        (r"/srv/a\012b", "/srv/a\nb"),
        (r"/srv/a\134040b", r"/srv/a\040b"),
        ("/srv/a - b".replace(" ", r"\040"), "/srv/a - b"),
    ],
    ids=["space", "tab", "newline", "backslash", "dash"],
)
def test_a_mount_point_is_read_as_the_kernel_escapes_it(mounts, point, directory):
    info = mounts(("/", "ext4"), (point, "nfs4"))

    assert file.file_system(f"{directory}/jobs", info) == "nfs4"


def test_where_the_system_does_not_tell_its_mounts_any_place_is_taken(database, tmp_path):
    file.check(str(database), mountinfo=str(tmp_path / "missing"))

    assert file.file_system(str(database), str(tmp_path / "missing")) is None


def test_elsewhere_than_on_linux_no_mounts_are_read(mounts, monkeypatch):
    info = mounts(("/", "nfs"))
    monkeypatch.setattr(sys, "platform", "darwin")

    assert file.file_system("/jobs", info) is None


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        pytest.param(
            "36 27 0:33 / /mnt/d\u00e4t\u00e4 rw - nfs4 host:/x rw", "nfs4", id="not ASCII"
        ),
        pytest.param("36 27 0:33 / /mnt/d\u00e4t\u00e4 rw", None, id="cut off"),
        pytest.param("", None, id="empty"),
        pytest.param("36 27 0:33 / /mnt/\u2028 rw - tmpfs t rw", None, id="a separator in a name"),
    ],
)
def test_an_odd_mount_is_read_right_and_hides_no_other(tmp_path, line, kind):
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(f"{line}\n", "utf-8")

    assert file.file_system("/mnt/d\u00e4t\u00e4/jobs.sqlite", str(mountinfo)) == kind


def test_a_mount_of_a_name_that_is_no_utf8_is_read(tmp_path):
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_bytes(b"1 2 0:3 / /mnt/\xff rw - ext4 a rw\n2 3 0:4 / / rw - xfs b rw\n")

    assert file.file_system("/mnt/jobs.sqlite", str(mountinfo)) == "xfs"


@pytest.mark.parametrize("name", ["a\0b", "\ud800"], ids=["NUL", "surrogate"])
def test_a_name_that_sqlite_cannot_open_is_refused(name):
    with pytest.raises(ConfigurationError, match="SQLite cannot open a file named"):
        SqliteAdapter(name)


def test_a_refused_database_is_closed(database, driver):
    adapter = SqliteAdapter(database, driver=driver)
    adapter.schedule([NewJob("{}", "default", 50, 0)])
    adapter.set_meta("schema_version", "99")
    adapter.close()

    with pytest.raises(DatabaseFileError) as caught:
        SqliteAdapter(database, driver=driver).open()

    assert "newer litejobs" in str(caught.value)
    assert [path.name for path in database.parent.iterdir()] == [database.name]


# Options


def test_an_adapter_speaks_through_the_logger_it_was_given(make, database, caplog, driver):
    adapter = make(logger=logging.getLogger("shop.storage"))
    job = StoredJob(7, "default", 50, 0, 1, "nobody", "{}")

    with caplog.at_level(logging.DEBUG):
        adapter.settle(job, Outcome("success"))

    told = [(record.name, record.getMessage()) for record in caplog.records]
    assert told == [
        ("shop.storage", f"opened {database} ({driver}, durability full)"),
        ("shop.storage", "job 7 was no longer ours: its success changed nothing"),
    ]


def test_an_adapter_without_a_logger_of_its_own_speaks_through_the_librarys(make):
    assert make().logger is logging.getLogger("litejobs")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"durabilty": "full"}, "'durabilty' is not an option of .*mean 'durability'"),
        ({"logger": "shop"}, r"logger must be a logging\.Logger, got 'shop'"),
    ],
    ids=str,
)
def test_an_option_that_an_adapter_cannot_use_is_refused(database, options, reason):
    with pytest.raises(ConfigurationError, match=reason):
        SqliteAdapter(database, **options)


def test_adapters_are_equal_where_their_jobs_are_the_same(database, tmp_path):
    adapter = SqliteAdapter(database)

    assert adapter == SqliteAdapter(str(database), durability="normal")
    assert len({adapter, SqliteAdapter(database)}) == 1
    assert adapter != SqliteAdapter(database, table="mail")
    assert adapter != SqliteAdapter(tmp_path / "other.sqlite")
    assert adapter != database
