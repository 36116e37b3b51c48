"""The bell, and the private directory in which workers meet."""

import os
import selectors
import socket
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from helpers import DEADLINE, NOBODY, wait_until

from litejobs.clock import SystemClock
from litejobs.errors import ConfigurationError
from litejobs.run_directory import identity, paths
from litejobs.run_directory.bell import Bell, ring

SECOND = 1_000_000_000  # nanoseconds

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="a way only Linux has")


@pytest.fixture
def directory(tmp_path):
    return str(tmp_path / "jobs.sqlite.run")


@pytest.fixture
def make_bell(directory):
    bells = []

    def make(where=directory):
        bells.append(Bell(where))
        return bells[-1]

    yield make
    for bell in bells:
        bell.close()


def is_ringing(bell):
    with selectors.DefaultSelector() as selector:
        selector.register(bell, selectors.EVENT_READ)
        return bool(selector.select(0))


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def names(directory):
    return [path.name for path in Path(directory).iterdir()]


# Ringing


def test_a_bell_is_silent_until_somebody_rings(make_bell, directory):
    bell = make_bell()
    assert not is_ringing(bell)

    ring(directory)

    assert is_ringing(bell)


def test_every_waiting_worker_is_woken(make_bell, directory):
    bells = [make_bell() for _ in range(3)]

    ring(directory)

    assert [is_ringing(bell) for bell in bells] == [True, True, True]


def test_a_drained_bell_is_silent_until_the_next_ring(make_bell, directory):
    bell = make_bell()
    ring(directory)
    ring(directory)

    bell.drain()
    assert not is_ringing(bell)

    ring(directory)
    assert is_ringing(bell)


def test_draining_a_silent_bell_waits_for_nothing(make_bell):
    bell = make_bell()

    bell.drain()

    assert not is_ringing(bell)


def test_ringing_where_no_worker_has_been_makes_nothing(directory):
    ring(directory)

    assert not Path(directory).exists()


def test_ringing_where_no_worker_waits_is_no_error(make_bell, directory):
    make_bell().close()

    ring(directory)

    assert names(directory) == []


def test_the_bell_of_a_dead_worker_is_removed_and_the_others_ring(make_bell, directory):
    bells = [make_bell() for _ in range(4)]
    dead = bells.pop(0)
    dead._socket.close()

    ring(directory)

    assert [is_ringing(bell) for bell in bells] == [True, True, True]
    assert len(names(directory)) == 3


def test_a_bell_full_of_rings_is_left_alone(make_bell, directory, monkeypatch):
    full, other = make_bell(), make_bell()
    monkeypatch.chdir(directory)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, suppress(BlockingIOError):
        sender.setblocking(False)
        while True:
            sender.sendto(b"!", full._path.name)

    ringing = threading.Thread(target=ring, args=[directory], daemon=True)
    ringing.start()
    ringing.join(DEADLINE)

    assert not ringing.is_alive()
    assert is_ringing(other)
    assert full._path.exists()
    full.drain()
    assert not is_ringing(full)


def test_rings_that_stopped_workers_do_not_hear_keep_none_from_the_others(make_bell, directory):
    """All that waits to be heard would fill the buffer of one socket for all."""
    bells = {bell._path.name: bell for bell in (make_bell() for _ in range(40))}
    heard = bells[names(directory)[-1]]  # that which is rung last

    for _ in range(12):
        ring(directory)
        assert is_ringing(heard)
        heard.drain()


def let_pass(directory, *, seconds):
    """As if the last change of the directory were so long ago."""
    status = Path(directory).stat()
    os.utime(directory, ns=(status.st_atime_ns, status.st_mtime_ns - seconds * SECOND))


@pytest.fixture
def age(directory, monkeypatch):
    """Make the directory's last change so many milliseconds old, at a moment that is given."""

    def age(milliseconds, *, changed):
        monkeypatch.setattr(SystemClock, "now", lambda _: changed // 1_000_000 + milliseconds)
        os.utime(directory, ns=(changed, changed))

    return age


# As file systems stamp that count seconds, and parts of them.
WHOLE = 1_790_000_000 * SECOND
FINE = WHOLE + 4_000_000


@pytest.mark.parametrize(("changed", "milliseconds"), [(WHOLE, 2001), (FINE, 101)])
def test_a_directory_that_has_not_changed_for_some_time_is_not_listed_again(
    make_bell, directory, age, monkeypatch, changed, milliseconds
):
    bell = make_bell()
    age(milliseconds, changed=changed)
    ring(directory)
    bell.drain()
    monkeypatch.setattr(os, "scandir", lambda _: pytest.fail("was listed"))

    ring(directory)

    assert is_ringing(bell)


def test_a_bell_that_comes_later_is_heard_at_once(make_bell, directory):
    make_bell()
    let_pass(directory, seconds=10)
    ring(directory)

    bell = make_bell()
    ring(directory)

    assert is_ringing(bell)


@pytest.mark.parametrize(("changed", "milliseconds"), [(WHOLE, 2000), (FINE, 100)])
def test_a_bell_that_comes_within_one_tick_of_the_file_systems_clock_is_heard(
    make_bell, directory, age, changed, milliseconds
):
    make_bell()
    age(milliseconds, changed=changed)
    ring(directory)

    bell = make_bell()
    age(milliseconds, changed=changed)
    ring(directory)

    assert is_ringing(bell)


def test_a_worker_that_dies_after_it_was_rung_is_removed(make_bell, directory):
    dead, alive = make_bell(), make_bell()
    let_pass(directory, seconds=10)
    ring(directory)
    alive.drain()
    dead._socket.close()

    ring(directory)

    assert is_ringing(alive)
    assert names(directory) == [alive._path.name]


FORK = """
import os, sys
from pathlib import Path
from litejobs.run_directory import bell

directory = sys.argv[1]
bell.ring(directory)
[number] = [rope._socket.fileno() for rope in bell._tied[directory, bell.TO_DO].ropes.values()]
inherited = Path(f"/dev/fd/{number}")
assert inherited.exists()
if (child := os.fork()) == 0:
    is_closed = not inherited.exists()
    bell.ring(directory)
    os._exit(not is_closed)
assert os.waitpid(child, 0)[1] == 0
assert inherited.exists()
"""


def test_a_forked_child_has_sockets_of_its_own(make_bell, directory):
    """One that closes all that it inherited, as daemons do, may get their numbers for its files."""
    bell = make_bell()

    subprocess.run([sys.executable, "-c", FORK, directory], check=True, timeout=DEADLINE)

    assert bell._socket.recv(64) == b"!"  # the parent's
    assert bell._socket.recv(64) == b"!"  # the child's


def test_a_run_directory_that_is_removed_is_rung_in_vain_until_it_is_there_again(
    make_bell, directory
):
    make_bell().close()
    ring(directory)
    Path(directory).rmdir()
    ring(directory)

    bell = make_bell()
    ring(directory)

    assert is_ringing(bell)


def test_a_run_directory_that_goes_while_it_is_looked_at_is_no_error(directory, monkeypatch):
    paths.make(directory)
    monkeypatch.setattr(os, "listdir", no_file)

    ring(directory)


def test_any_thread_may_ring_while_bells_come_and_go(make_bell, directory):
    stop, errors = threading.Event(), []

    def keep_ringing():
        try:
            while not stop.is_set():
                ring(directory)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=keep_ringing, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(50):
            bell = make_bell()
            wait_until(lambda bell=bell: is_ringing(bell), "the ring")
            bell.close()
    finally:
        stop.set()
        for thread in threads:
            thread.join(DEADLINE)

    assert errors == []


def test_other_files_of_the_directory_are_left_alone(make_bell, directory):
    bell = make_bell()
    note = Path(directory, "note.txt")
    note.touch()

    ring(directory)

    assert note.exists()
    assert is_ringing(bell)


def test_a_closed_bell_leaves_no_socket(make_bell, directory):
    bell = make_bell()

    bell.close()
    bell.close()

    assert names(directory) == []


@on_linux
@pytest.mark.parametrize("length", [60, 61, 200])
def test_a_bell_rings_below_a_path_of_any_length(tmp_path, make_bell, length):
    missing = length - len(os.fsencode(tmp_path)) - 1
    directory = str(tmp_path / ("d" * max(missing, 10)))
    bell = make_bell(directory)

    ring(directory)

    assert is_ringing(bell)


@on_linux
def test_ringing_keeps_one_socket_for_each_bell_and_none_for_those_that_are_gone(
    make_bell, directory
):
    before = len(names("/proc/self/fd"))
    bells = [make_bell() for _ in range(3)]
    for _ in range(5):
        ring(directory)
    assert len(names("/proc/self/fd")) == before + 2 * 3

    for bell in bells:
        bell.close()
    ring(directory)

    assert len(names("/proc/self/fd")) == before


@on_linux
def test_without_proc_a_long_path_is_no_error_for_who_rings(make_bell, tmp_path, monkeypatch):
    directory = str(tmp_path / ("d" * 200))
    bell = make_bell(directory)
    monkeypatch.setattr(sys, "platform", "darwin")

    ring(directory)  # the address is too long for a socket: nobody is woken

    assert not is_ringing(bell)
    assert bell._path.exists()


def test_ringing_fails_silently_where_no_socket_can_be_made(make_bell, directory, monkeypatch):
    bell = make_bell()
    monkeypatch.setattr(socket, "socket", no_socket)

    ring(directory)

    assert not is_ringing(bell)


def no_socket(*_):
    raise OSError(24, "Too many open files")


# The run directory


def test_the_run_directory_lies_beside_the_database():
    assert paths.run_directory("/data/jobs.sqlite") == "/data/jobs.sqlite.run"


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o777])
def test_the_run_directory_is_private_under_any_umask(directory, mask):
    before = os.umask(mask)
    try:
        paths.make(directory)
    finally:
        os.umask(before)

    assert mode(directory) == 0o700


@pytest.mark.parametrize("loose", [0o755, 0o777, 0o770])
def test_a_run_directory_open_to_others_is_made_private(directory, loose):
    Path(directory).mkdir()
    Path(directory).chmod(loose)

    paths.make(directory)

    assert mode(directory) == 0o700


def test_a_run_directory_that_is_there_keeps_what_lies_in_it(directory):
    paths.make(directory)
    Path(directory, "lease").touch()

    paths.make(directory)

    assert names(directory) == ["lease"]


def test_a_link_in_place_of_the_run_directory_is_refused(directory, tmp_path):
    target = tmp_path / "theirs"
    target.mkdir(mode=0o755)
    target.chmod(0o755)
    Path(directory).symlink_to(target)

    with pytest.raises(ConfigurationError, match=r"is a link; remove it"):
        Bell(directory)

    assert mode(target) == 0o755
    assert names(target) == []


@pytest.mark.parametrize("kind", ["file", "dangling link"])
def test_what_stands_in_the_way_of_the_run_directory_is_refused(directory, tmp_path, kind):
    if kind == "file":
        Path(directory).touch()
    else:
        Path(directory).symlink_to(tmp_path / "nowhere")

    with pytest.raises(ConfigurationError, match="is in the way: it is not a directory"):
        paths.make(directory)


def test_a_run_directory_without_a_parent_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be made: No such file or directory"):
        paths.make(str(tmp_path / "missing" / "jobs.run"))


@as_root
def test_another_users_run_directory_is_refused(directory):
    Path(directory).mkdir(mode=0o700)
    os.chown(directory, NOBODY, NOBODY)

    with pytest.raises(ConfigurationError, match="belongs to another user; run as its owner"):
        Bell(directory)


# Who a worker is


def test_a_workers_name_tells_its_queues_and_number():
    assert identity.worker_name(("mail", "default"), 2) == "litejobs-worker.mail-default.2"


@on_linux
def test_locked_by_tells_which_process_it_was():
    name, host, boot, pid, start, lease = identity.locked_by("w", "l").split("/")

    assert (name, host, pid, lease) == ("w", socket.gethostname(), str(os.getpid()), "l")
    assert boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert start.isdecimal()
    assert start in Path("/proc/self/stat").read_text().split()


def test_where_the_system_does_not_tell_a_dash_stands(monkeypatch):
    identity._boot.cache_clear()
    monkeypatch.setattr(Path, "read_text", no_file)

    words = identity.locked_by("w", "l").split("/")

    identity._boot.cache_clear()
    assert (words[2], words[4]) == ("-", "-")


def no_file(*_):
    raise FileNotFoundError


def test_a_directory_in_place_of_a_bell_keeps_no_other_silent(make_bell, directory):
    bell = make_bell()
    for name in ("0.bell", "f" * 40 + ".bell"):
        Path(directory, name).mkdir()

    ring(directory)

    assert is_ringing(bell)


def test_nothing_behind_a_link_is_rung(make_bell, directory, tmp_path, monkeypatch):
    bell = make_bell()
    monkeypatch.chdir(tmp_path)  # a socket's name has to be short
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        stranger.bind("stranger")
        stranger.setblocking(False)
        Path(directory, "link.bell").symlink_to(tmp_path / "stranger")

        ring(directory)

        assert is_ringing(bell)
        with pytest.raises(BlockingIOError):
            stranger.recv(1)


def test_a_worker_that_cannot_have_a_bell_goes_without(make_bell, tmp_path, monkeypatch, caplog):
    place = tmp_path / ("x" * 120)
    place.mkdir()
    monkeypatch.setattr("litejobs.run_directory.bell.sys.platform", "darwin")

    bell = make_bell(str(place / "jobs.sqlite.run"))

    assert not is_ringing(bell)
    assert "nobody can wake who waits here" in caplog.text


def test_a_bell_without_a_descriptor_is_silent(make_bell, directory, monkeypatch):
    monkeypatch.setattr(socket, "socket", no_socket)

    bell = make_bell()

    assert not bell.hears
    assert bell.fileno() == -1
    assert bell.drain() == set()
    assert names(directory) == []
