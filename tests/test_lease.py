"""The lease: whoever asks knows whether a worker process lives, whatever ended it."""

import fcntl
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import DEADLINE, wait_until

from litejobs.run_directory import identity, lease
from litejobs.run_directory.lease import Lease, Slot, begun_by, held_lease, is_dead, sweep

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="by /proc")
HOLDER = """
import os, subprocess, sys, time
from litejobs.run_directory.identity import locked_by
from litejobs.run_directory.lease import Lease

lease = Lease(sys.argv[1])
print(locked_by("w", lease.name), flush=True)
{then}
time.sleep(100)
"""


@pytest.fixture
def directory(tmp_path):
    return str(tmp_path / "jobs.sqlite.run")


@pytest.fixture
def hold(directory):
    """Starts a process that holds a lease; gives it and what stands in locked_by."""
    holders = []

    def hold(then=""):
        code = HOLDER.format(then=then)
        holders.append(
            subprocess.Popen(
                [sys.executable, "-c", code, directory], stdout=subprocess.PIPE, text=True
            )
        )
        return holders[-1], holders[-1].stdout.readline().strip()

    yield hold
    for holder in holders:
        holder.kill()
        holder.wait()
        holder.stdout.close()  # what it has started may hold the other end for long


def files(directory):
    return sorted(path.name for path in Path(directory).iterdir())


def test_a_lease_is_a_locked_file_of_its_owner_alone(directory):
    own = Lease(directory)

    [file] = files(directory)
    assert file == f"{own.name}.lease"
    assert stat.S_IMODE(Path(directory, file).stat().st_mode) == 0o600
    assert not os.get_inheritable(own.descriptors[0])
    own.close()
    assert files(directory) == []


def test_the_name_of_a_lease_is_never_seen_unlocked(directory, monkeypatch):
    seen = []

    def flock(descriptor, how, real=fcntl.flock):
        seen.append(list(Path(directory).glob("*.lease")))
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    held = Lease(directory)

    assert seen == [[]]
    held.close()


def test_no_two_leases_have_one_name():
    assert len({Lease(None).name for _ in range(100)}) == 100


def test_where_there_is_no_directory_a_lease_is_a_name():
    assert Lease(None).descriptors == []
    Lease(None).close()


def test_a_holder_lives_until_it_ends(directory, hold):
    holder, name = hold()
    assert not is_dead(directory, name)

    holder.send_signal(signal.SIGSTOP)
    assert not is_dead(directory, name)

    holder.kill()
    holder.wait()
    assert is_dead(directory, name)


def test_a_lease_lives_as_long_as_a_child_that_was_given_it(directory, hold):
    then = (
        "child = subprocess.Popen(['sleep', '100'], pass_fds=lease.descriptors)\nprint(child.pid)"
    )
    holder, name = hold(f"{then}\nsys.stdout.flush()")
    child = int(holder.stdout.readline())

    holder.kill()
    holder.wait()
    assert not is_dead(directory, name)

    os.kill(child, signal.SIGKILL)
    wait_until(lambda: is_dead(directory, name), "the end of the lease")


def test_other_programs_that_the_holder_starts_do_not_keep_its_lease(directory, hold):
    then = "subprocess.Popen(['sleep', '100'], close_fds=False)\nprint('ready', flush=True)"
    holder, name = hold(then)
    holder.stdout.readline()

    holder.kill()
    holder.wait()

    assert is_dead(directory, name)


def test_a_forked_child_keeps_no_lease(directory):
    code = f"""
import os, time
from litejobs.run_directory.identity import locked_by
from litejobs.run_directory.lease import held_lease

with held_lease({directory!r}) as lease:
    print(locked_by("w", lease.name), flush=True)
    pid = os.fork()
    if pid == 0:
        time.sleep(100)
    print(pid, flush=True)
    time.sleep(100)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as holder:
        name, child = holder.stdout.readline().strip(), int(holder.stdout.readline())
        assert not is_dead(directory, name)

        holder.kill()
        holder.wait(DEADLINE)

        try:  # the child lets go of it as soon as it runs at all
            wait_until(lambda: is_dead(directory, name), "the end of the lease")
        finally:
            os.kill(child, signal.SIGKILL)


def test_after_a_fork_the_child_has_a_lease_of_its_own(directory):
    with held_lease(directory) as own:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            with held_lease(directory) as other:
                os.write(writer, other.name.encode())
            os._exit(0)
        os.close(writer)
        name = os.read(reader, 100).decode()
        os.close(reader)
        os.waitpid(pid, 0)

    assert len(name) == len(own.name)
    assert name != own.name


def test_all_who_work_in_one_process_have_one_lease(directory):
    with held_lease(directory) as first, held_lease(directory) as second:
        assert first is second
        assert len(files(directory)) == 1
    assert files(directory) == []

    with held_lease(directory) as third:
        assert third.name != first.name


def test_the_first_who_leaves_does_not_end_it(directory):
    with held_lease(directory) as own:
        with held_lease(directory):
            pass
        assert files(directory) == [f"{own.name}.lease"]
        assert not is_dead(directory, identity.locked_by("w", own.name))


def test_who_asks_at_once_with_another_is_not_taken_for_the_holder(directory, hold, monkeypatch):
    holder, name = hold()
    holder.kill()
    holder.wait()
    [file] = files(directory)
    asking = os.open(Path(directory, file), os.O_RDONLY)
    lease.fcntl.flock(asking, lease.fcntl.LOCK_SH)

    assert is_dead(directory, name)
    os.close(asking)


def test_the_leases_of_the_dead_are_swept_away_and_no_others(directory, hold):
    holder, _ = hold()
    with held_lease(directory) as own:
        assert len(files(directory)) == 2
        sweep(directory, [])
        assert len(files(directory)) == 2

        holder.kill()
        holder.wait()
        sweep(directory, [])

        assert files(directory) == [f"{own.name}.lease"]


def test_leases_that_locks_still_name_stay(directory, hold):
    holder, locked_by = hold()
    name = locked_by.rpartition("/")[2]
    holder.kill()
    holder.wait()

    sweep(directory, [locked_by])
    assert files(directory) == [f"{name}.lease"]

    sweep(directory, ["w/another"])
    assert files(directory) == []


def test_what_the_dead_left_of_a_lease_that_they_were_making_is_swept_away(directory):
    with held_lease(directory):
        Path(directory, f"{'0' * 32}.draft").touch()
        living = Path(directory, f"{'1' * 32}.draft").open("w")  # noqa: SIM115  # closed below
        fcntl.flock(living, fcntl.LOCK_EX)

        sweep(directory, [])

        assert [name for name in files(directory) if "draft" in name] == [f"{'1' * 32}.draft"]
        living.close()
        sweep(directory, [])
        assert len(files(directory)) == 1


@pytest.mark.parametrize("when", ["sweeps", "looks"])
def test_a_sweep_while_a_lease_is_made_keeps_nobody_from_it(directory, monkeypatch, when):
    interrupted = []

    def flock(descriptor, how, real=fcntl.flock):
        if how & fcntl.LOCK_EX and not interrupted:
            [draft] = Path(directory).glob("*.draft")
            interrupted.append(draft.open())
            if when == "sweeps":
                sweep(directory, [])
            else:
                real(interrupted[0], fcntl.LOCK_SH)
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)

    with held_lease(directory) as own:
        interrupted[0].close()
        assert files(directory) == [f"{own.name}.lease"]
        assert not is_dead(directory, identity.locked_by("w", own.name))


# Slots


def test_each_worker_notes_what_it_begins_in_a_slot_of_its_own(directory):
    with held_lease(directory) as lease:
        first, second = lease.new_slot(), lease.new_slot()
        first.note(7, 1)
        second.note(2**40, 23)
        assert {(7, 1), (2**40, 23)} <= begun_by(directory, f"w/{lease.name}")

        first.note(8, 1)

        begun = begun_by(directory, f"w/{lease.name}")
        assert (8, 1) in begun
        assert (7, 1) not in begun


def test_a_slot_is_there_before_anything_is_noted(directory):
    with held_lease(directory) as lease:
        size = lambda: Path(directory, f"{lease.name}.lease").stat().st_size  # noqa: E731
        lease.new_slot()
        before = size()

        lease.new_slot().note(7, 1)

        assert size() == 2 * before > 0


@pytest.mark.parametrize("name", ["by hand", f"w/{32 * 'f'}"], ids=["no lease", "gone"])
def test_what_a_worker_without_a_lease_began_is_not_known(directory, name):
    assert begun_by(directory, name) is None


def test_a_file_that_was_cut_short_tells_what_is_whole(directory):
    with held_lease(directory) as lease:
        lease.new_slot().note(7, 1)
        lease.new_slot().note(8, 1)
        os.truncate(Path(directory, f"{lease.name}.lease"), 31)

        assert begun_by(directory, f"w/{lease.name}") == {(7, 1)}


def test_where_nothing_can_be_written_a_job_begins_all_the_same(directory):
    with held_lease(directory) as lease:
        read_only = os.open(Path(directory, f"{lease.name}.lease"), os.O_RDONLY)

        Slot(read_only, 0).note(7, 1)

        os.close(read_only)


def test_without_a_directory_there_is_no_slot():
    with held_lease(None) as lease:
        assert lease.new_slot() is None


# Where the file is gone


@on_linux
def test_a_holder_whose_file_is_gone_is_known_by_its_process(directory, hold):
    holder, name = hold()
    for file in Path(directory).iterdir():
        file.unlink()
    assert not is_dead(directory, name)

    holder.kill()
    holder.wait()

    assert is_dead(directory, name)


@on_linux
def test_a_process_is_known_by_boot_pid_and_start(monkeypatch):
    mine = identity.locked_by("name", "lease")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    parts = mine.split("/")

    assert not identity.is_gone(mine)
    assert identity.is_gone("/".join([*parts[:3], str(ended.pid), *parts[4:]]))
    assert identity.is_gone("/".join([*parts[:4], "1", parts[5]]))
    assert identity.is_gone("/".join([*parts[:2], "another boot", *parts[3:]]))


@on_linux
def test_of_another_container_only_the_end_of_the_boot_is_seen():
    _, _, boot, pid, _, name = identity.locked_by("w", "l").rsplit("/", 5)

    assert not identity.is_gone(f"w/elsewhere/{boot}/{pid}/1/{name}")
    assert not identity.is_gone(f"w/{socket.gethostname()}:4026532000/{boot}/{pid}/1/{name}")
    assert identity.is_gone(f"w/elsewhere/an-earlier-boot/{pid}/1/{name}")


@pytest.mark.parametrize("text", ["me", "", "a/-/-/-/-/b", "a/b/-/d/e/f", "\x00", "/" * 9])
def test_of_a_lock_that_tells_nothing_no_worker_is_held_to_be_dead(directory, text):
    Path(directory).mkdir()

    assert not identity.is_gone(text)
    assert not is_dead(directory, text)
    assert not identity.ended_with_the_machine("by hand")


def test_a_worker_is_known_in_words_by_its_name_and_process():
    assert identity.in_words("litejobs-worker.a/b.0/h/b/17/s/u") == "litejobs-worker.a/b.0 (pid 17)"
    assert identity.in_words("by hand") == "by hand"


@on_linux
def test_a_worker_of_an_earlier_boot_ended_with_the_machine():
    mine = identity.locked_by("w", "l")

    assert not identity.ended_with_the_machine(mine)
    assert identity.ended_with_the_machine(mine.replace(mine.split("/")[2], "b"))


@pytest.fixture(params=["pipe", "socket", "link", "directory"])
def planted(request, directory, tmp_path, monkeypatch):
    """Something that is no file, by the name of a lease; gives what would stand in locked_by."""
    Path(directory).mkdir(mode=0o700)
    place = Path(directory, f"{'0' * 32}.lease")
    match request.param:
        case "pipe":
            os.mkfifo(place)
        case "socket":
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
                monkeypatch.chdir(directory)
                ear.bind(place.name)
        case "link":
            (tmp_path / "other").write_bytes(bytes(16))
            place.symlink_to(tmp_path / "other")
        case "directory":
            place.mkdir()
    return "w/host/another-boot/1/1/" + "0" * 32


def test_what_is_no_file_is_no_lease_and_nobody_waits_for_it(directory, planted):
    sweep(directory, [])

    assert begun_by(directory, planted) is None
    assert is_dead(directory, planted)  # by the boot of the machine
    assert not is_dead(directory, identity.locked_by("w", "0" * 32))  # by its pid
    assert files(directory) == ["0" * 32 + ".lease"]


def test_of_a_huge_lease_only_what_slots_may_fill_is_read(directory):
    Path(directory).mkdir(mode=0o700)
    with Path(directory, f"{'0' * 32}.lease").open("wb") as file:
        file.truncate(1 << 40)

    assert begun_by(directory, "w/host/boot/1/1/" + "0" * 32) == {(0, 0)}
