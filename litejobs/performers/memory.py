"""How large a process is, and whether the system kills processes for want of memory."""

import sys
from pathlib import Path

_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def resident() -> int:
    """Bytes of this process in memory; where there is no /proc, the most that there ever were."""
    import resource  # noqa: PLC0415  # for this alone

    try:
        _, pages, *_ = (_PROC / "self/statm").read_bytes().split()
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return int(pages) * resource.getpagesize()


def kills() -> int | None:
    """
    How many processes the system has killed for want of memory; None where it does not tell.

    Of this process's control group (https://docs.kernel.org/admin-guide/cgroup-v2.html, oom_kill of
    memory.events), else of the whole machine.
    """
    own = _read(_PROC / "self/cgroup").rpartition("0::/")[2].partition("\n")[0]
    for file in (_CGROUPS / own / "memory.events", _PROC / "vmstat"):
        for line in _read(file).splitlines():
            key, _, value = line.partition(" ")
            if key == "oom_kill":
                return int(value)
    return None


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except OSError:
        return ""
