"""The pidfile: held by one, left behind by all, and never a reason to signal a stranger."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest
from helpers import DEADLINE, wait_until

from litejobs.errors import AlreadyRunningError, ConfigurationError, LitejobsError
from litejobs.run_directory import pidfile
from litejobs.run_directory.pidfile import Holder, Pidfile, is_held

HOLDING = """
import sys, time
from pathlib import Path
from litejobs.run_directory.pidfile import Pidfile

pidfile = Pidfile(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "default.pid"


@pytest.fixture
def stranger():
    """A live process that has nothing to do with us."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def hold():
    """Start a process that holds a pidfile."""
    processes = []

    def hold(path):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDING, path], stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in processes:
        process.kill()
        process.communicate()


def write_of(process, path):
    """What a daemon of that pid would have written."""
    path.write_text(f"{process.pid}\n{pidfile.start_of(process.pid)}\n")


def test_its_holder_is_found_by_pid_and_ends_by_a_signal(path, hold):
    process = hold(path)

    holder = Holder.of(path)

    assert holder.pid == process.pid
    assert not holder.ends_within(0)
    assert holder.send(signal.SIGTERM)
    assert holder.ends_within(DEADLINE)
    assert process.wait() == -signal.SIGTERM
    assert not holder.send(signal.SIGTERM)
    assert not is_held(path)
    holder.close()


def test_a_second_one_is_refused_with_the_pid_of_the_first(path, hold):
    process = hold(path)

    with pytest.raises(AlreadyRunningError, match=f"as pid {process.pid}$"):
        Pidfile(path)

    assert path.read_text().startswith(f"{process.pid}\n")


def test_the_file_that_a_killed_process_left_stops_nobody(path, hold):
    first = hold(path)
    first.kill()
    first.wait()

    assert Holder.of(path) is None
    second = hold(path)
    assert Holder.of(path).pid == second.pid


def test_it_is_for_its_owner_only_whatever_the_umask(path):
    before = os.umask(0)
    try:
        held = Pidfile(path)
    finally:
        os.umask(before)

    assert path.stat().st_mode & 0o777 == 0o600
    held.close()


def test_a_link_is_refused_and_what_it_leads_to_stays_as_it_is(path, tmp_path):
    target = tmp_path / "precious"
    target.write_text("kept")
    path.symlink_to(target)

    with pytest.raises(ConfigurationError, match="cannot be opened"):
        Pidfile(path)

    assert target.read_text() == "kept"


def test_a_planted_file_with_the_pid_of_a_stranger_names_nobody(path, stranger):
    write_of(stranger, path)

    assert Holder.of(path) is None
    assert stranger.poll() is None


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody tells when it began")
def test_a_pid_that_was_given_to_another_process_is_not_signalled(path, stranger):
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(f"{stranger.pid}\n1\n")  # the one that wrote this began at another moment
        file.flush()

        with pytest.raises(LitejobsError, match="cannot be seen from here"):
            Holder.of(path)

    assert stranger.poll() is None


@pytest.mark.parametrize("text", ["", "words\n", "12", "-1\n5\n"])
def test_a_held_file_that_names_nobody_is_no_reason_to_signal_anybody(path, text):
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(text)
        file.flush()

        with pytest.raises(LitejobsError, match="nothing was done to it"):
            Holder.of(path)


def test_a_process_that_let_go_of_the_file_meanwhile_is_not_signalled(path, stranger):
    write_of(stranger, path)
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        holder = Holder.of(path)

    assert not holder.send(signal.SIGKILL)
    assert stranger.poll() is None
    holder.close()


def test_without_pidfds_the_pid_and_its_beginning_are_what_counts(path, hold, monkeypatch):
    monkeypatch.setattr(pidfile, "_open", lambda _pid: None)
    process = hold(path)

    holder = Holder.of(path)

    assert not holder.ends_within(0)
    assert holder.send(signal.SIGTERM)
    assert holder.ends_within(DEADLINE) == (process.wait() == -signal.SIGTERM)
    assert not holder.send(signal.SIGTERM)


def test_one_who_only_asks_does_not_keep_a_daemon_from_starting(path):
    path.touch()
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        timer = threading.Timer(0.05, lambda: fcntl.flock(file, fcntl.LOCK_UN))
        timer.start()
        held = Pidfile(path)
        timer.join()

    assert is_held(path)
    held.close()


def test_the_file_stays_when_its_holder_ends(path):
    Pidfile(path).close()

    assert path.exists()
    assert not is_held(path)


def test_the_file_that_took_the_place_of_a_removed_one_is_the_one_that_is_locked(path):
    removed = []

    def flock(descriptor, how, real=fcntl.flock):
        if not removed:
            path.unlink()
            removed.append(path)
        real(descriptor, how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fcntl, "flock", flock)
        held = Pidfile(path)

    assert is_held(path)
    held.close()


@pytest.fixture(params=["pipe", "socket", "link", "directory"])
def planted(request, path, tmp_path, monkeypatch):
    """Something that is no file, where a pidfile belongs."""
    match request.param:
        case "pipe":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
                monkeypatch.chdir(tmp_path)
                ear.bind(path.name)
        case "link":
            (tmp_path / "other").write_text("other")
            path.symlink_to(tmp_path / "other")
        case "directory":
            path.mkdir()
    return path


def test_what_is_no_file_is_held_by_nobody_and_refused_to_who_would_hold_it(planted):
    assert not is_held(planted)
    assert Holder.of(planted) is None
    with pytest.raises(ConfigurationError, match="it is in the way, for it is not a file"):
        Pidfile(planted)


def test_a_forked_child_does_not_keep_it(path):
    held = Pidfile(path)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)

    held.close()

    wait_until(lambda: not is_held(path), "the lock to be free")
    os.close(writer)
    os.waitpid(child, 0)
