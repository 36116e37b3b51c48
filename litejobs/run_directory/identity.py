"""Who a worker is, in the words that stand in locked_by."""

import os
import socket
from functools import cache
from pathlib import Path

_SLASHES = 5  # in locked_by, at least
_FIRST_NAMESPACE = 0xEFFFFFFC  # of pids: include/linux/proc_ns.h


def worker_name(queues: tuple[str, ...], index: int) -> str:
    """The name that people see, in ``ps`` and logs: ``litejobs-worker.<queues>.<index>``."""
    return f"litejobs-worker.{'-'.join(queues)}.{index}"


def locked_by(name: str, lease: str) -> str:
    """``<name>/<host>/<boot>/<pid>/<start>/<lease>``: enough to tell later whether it lives."""
    pid = os.getpid()
    return f"{name}/{_host()}/{_boot()}/{pid}/{_start(pid)}/{lease}"


def is_gone(locked_by: str) -> bool:
    """
    Whether the worker process that a lock names has certainly ended.

    False where that cannot be known from here: another container, a system that does not tell, or
    a name written by hand. Of another container only the end of the machine's boot is seen.
    """
    try:
        _, host, boot, pid, start, _ = locked_by.rsplit("/", 5)
    except ValueError:
        return False
    if "-" in (boot, start, _boot()) or not pid.isdecimal():
        return False
    if boot != _boot():
        return True
    return host == _host() and start != _start(int(pid))


def ended_with_the_machine(locked_by: str) -> bool:
    """Whether the machine has been started anew since the worker took its job."""
    return locked_by.count("/") >= _SLASHES and locked_by.rsplit("/", 5)[2] != _boot()


def in_words(locked_by: str) -> str:
    """The worker's name and process, for a log line or an error."""
    if locked_by.count("/") < _SLASHES:
        return locked_by
    name, _, _, pid, _, _ = locked_by.rsplit("/", 5)
    return f"{name} (pid {pid})"


@cache
def _host() -> str:
    """The machine's name, and the pid namespace where it is not the machine's own: a container."""
    host = socket.gethostname().replace("/", "_")
    try:
        inode = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return host
    return host if inode == _FIRST_NAMESPACE else f"{host}:{inode}"


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return "-"


def _start(pid: int) -> str:
    """When the process began, in clock ticks since boot; a reused pid has another."""
    try:
        # The name in brackets may hold spaces: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[19]
    except OSError:
        return "-"
