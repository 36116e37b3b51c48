"""On what and with what a run was measured, without a path or name of the machine."""

import os
import platform
import sqlite3
import tempfile
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path


def conditions() -> dict[str, str]:
    """Name and value of each that a figure depends on."""
    import apsw  # noqa: PLC0415  # asked for its version only

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "litejobs": metadata.version("litejobs"),
        "Python": platform.python_version(),
        "SQLite": f"{sqlite3.sqlite_version} (sqlite3), {apsw.sqlite_lib_version()} (apsw)",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "processor": f"{_model()}, {cores} cores",
        "file system": _file_system(Path(tempfile.gettempdir())),
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def _model() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _file_system(directory: Path) -> str:
    """The kind of the one that holds the databases."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return "unknown"
    kinds = {fields[1]: fields[2] for fields in map(str.split, mounts.read_text().splitlines())}
    holder = next(p for p in (directory, *directory.resolve().parents) if str(p) in kinds)
    return kinds[str(holder)]
