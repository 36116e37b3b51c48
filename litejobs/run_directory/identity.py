"""Who a worker is, in the words that stand in locked_by."""

import os
import socket
from functools import cache
from pathlib import Path


def worker_name(queues: tuple[str, ...], index: int) -> str:
    """The name that people see, in ``ps`` and logs: ``litejobs-worker.<queues>.<index>``."""
    return f"litejobs-worker.{'-'.join(queues)}.{index}"


def locked_by(name: str, lease: str) -> str:
    """``<name>/<host>/<boot>/<pid>/<start>/<lease>``: enough to tell later whether it lives."""
    pid = os.getpid()
    return f"{name}/{socket.gethostname()}/{_boot()}/{pid}/{_start(pid)}/{lease}"


def new_lease() -> str:
    """A name that no other worker process has ever had."""
    return os.urandom(16).hex()


def is_gone(locked_by: str) -> bool:
    """
    Whether the worker process that a lock names has certainly ended.

    False where that cannot be known from here: another host, a system that does not tell, or a
    name written by hand.
    """
    try:
        _, host, boot, pid, start, _ = locked_by.rsplit("/", 5)
    except ValueError:
        return False
    if host != socket.gethostname() or "-" in (boot, start, _boot()) or not pid.isdecimal():
        return False
    return boot != _boot() or start != _start(int(pid))


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
