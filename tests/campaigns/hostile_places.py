"""What may lie in the way where litejobs keeps its files, and that it does no harm there."""

import os
import socket
import sqlite3
import stat
from contextlib import closing, suppress
from pathlib import Path

from hostile_rows import LOST, handler

PATIENCE = 20  # seconds for a command here
HUGE = 1 << 40  # bytes of a file with nothing in it
LEASE = "0" * 32
NOBODY = 65534


# What something may be instead of the file that belongs there


def link(path, outside):
    path.symlink_to(outside / "secret.txt")


def link_to_zeros(path, _):
    path.symlink_to("/dev/zero")


def pipe(path, _):
    os.mkfifo(path)


def folder(path, _):
    path.mkdir()


def ears(path, _):
    """A socket that nobody reads, full to the brim."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as ear:
        _bind(ear, path)
        ear.setblocking(False)
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as mouth:
            mouth.setblocking(False)
            with suppress(BlockingIOError), _Entered(path.parent):
                while True:
                    mouth.sendto(b"!", path.name)
        os.dup(ear.fileno())  # it stays open as long as the campaign


def stream(path, _):
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as server:
        _bind(server, path)


def huge(path, _):
    with path.open("wb") as file:
        file.truncate(HUGE)


def garbage(path, _):
    path.write_bytes(b"\x1b[2J\r\n\xff\x00" * 100)


KINDS = (link, link_to_zeros, pipe, folder, ears, stream, huge, garbage)
FILES = (f"{LEASE}.lease", "default.pid", "default.json", "default.log", f"{LEASE}.bell")
ODD_NAMES = ("\x1b[2J.pid", "a\nb.pid", "\x1b[2J.lease", "\udcff.bell", f"{LEASE}.draft", "x")


# What may be instead of the whole directory


def run_linked(project):
    project.run_directory.symlink_to(project.outside / "folder")


def run_is_a_file(project):
    project.run_directory.write_text("")


def run_is_a_pipe(project):
    os.mkfifo(project.run_directory)


def run_of_another(project):
    project.run_directory.mkdir()
    os.chown(project.run_directory, NOBODY, NOBODY)


def run_for_all(project):
    project.run_directory.mkdir()
    project.run_directory.chmod(0o777)


DIRECTORIES = (run_linked, run_is_a_file, run_is_a_pipe, run_for_all)
if os.geteuid() == 0:
    DIRECTORIES += (run_of_another,)


def all_plants():
    """Each with its name: a function that puts it into a project's way."""
    found = {}
    for name in FILES:
        for kind in KINDS:
            found[f"{name.replace(LEASE, '')} {kind.__name__}"] = (name, kind)
    for number, name in enumerate(ODD_NAMES):
        found[f"odd name {number}"] = (name, KINDS[number % len(KINDS)])
    return found | {directory.__name__: directory for directory in DIRECTORIES}


def set_up(project):
    """A database with a job that is due, and one of a worker that is dead; files outside."""
    project.write("jobs.py", "def note(*_): print('ran')\n")
    (project.outside / "secret.txt").write_text("secret")
    (project.outside / "folder").mkdir()
    project.make_database()
    text = handler("note", "jobs.py", "jobs", [])
    with closing(sqlite3.connect(project.database)) as database, database:
        insert = "INSERT INTO background_jobs (run_at, state, locked_by, handler, attempts) "
        database.execute(f"{insert} VALUES (1, 0, NULL, ?, 0)", (text,))
        database.execute(f"{insert} VALUES (1, 2, ?, ?, 1)", (LOST, text))


def try_plant(project, plant):
    """What went wrong, in words, with *plant* in the way; an empty list if nothing did."""
    is_directory = callable(plant)
    if is_directory:
        plant(project)
    else:
        name, kind = plant
        project.run_directory.mkdir(mode=0o700)
        kind(project.run_directory / name, project.outside)
    before = seen(project.outside)
    wrong = []
    for command in ("status", "workoff", "start", "status", "stop"):
        ended = project.litejobs(command, project.database, patience=PATIENCE)
        if not ended.is_told_in_a_sentence:
            wrong.append(f"{command}: {ended.code} {ended.err[-300:]!r}")
    project.kill_all()
    if seen(project.outside) != before:
        wrong.append("something outside has changed")
    is_refused = is_directory and plant is not run_for_all
    with closing(sqlite3.connect(project.database)) as database:
        left = database.execute("SELECT state FROM background_jobs WHERE id = 1").fetchall()
        lost = database.execute("SELECT state FROM background_jobs WHERE id = 2").fetchall()
    if bool(left) != is_refused:
        wrong.append(f"the job is {left}")
    if not is_refused and lost == [(2,)]:
        wrong.append("the dead worker's job was not taken back")
    return wrong


def seen(directory):
    """All that lies there, with what is in it and who may do what."""
    files = sorted(directory.rglob("*"))
    found = [(str(file), file.lstat().st_mode, file.lstat().st_mtime_ns) for file in files]
    return found + [file.read_bytes() for file in files if file.is_file()]


def open_to_others(project):
    """How many files others could read or write, were it for the umask: there it is 0."""
    start = "import os, sys; os.umask(0); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    project.run("-c", start, "-m", "litejobs", "start", "db.sqlite")
    files = [project.database, *project.directory.glob("db.sqlite*")]
    files += project.run_directory.rglob("*")
    modes = [file.lstat().st_mode for file in files]
    project.litejobs("stop", "db.sqlite")
    # A bell is a socket: who may enter its directory may ring it.
    return sum(not stat.S_ISSOCK(mode) and stat.S_IMODE(mode) & 0o077 != 0 for mode in modes)


def _bind(end, path):
    with _Entered(path.parent):  # a socket's name has to be short
        end.bind(path.name)


class _Entered:
    def __init__(self, directory):
        self._directory = directory

    def __enter__(self):
        self._before = Path.cwd()
        os.chdir(self._directory)

    def __exit__(self, *_):
        os.chdir(self._before)
