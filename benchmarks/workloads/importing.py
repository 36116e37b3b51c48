"""What a script pays before anything is stored, and for its first job."""

import statistics
import subprocess
import sys
import time
from functools import partial

from benchmarks.bench import Bench
from benchmarks.workloads.base import (
    Column,
    Contestants,
    Entry,
    Scale,
    Values,
    Workload,
    best,
    entry,
)

COLUMNS = (Column("import ms", "{:,.0f}"), Column("first job ms", "{:,.0f}"))


def first_job(scale: Scale, contestants: Contestants) -> list[Entry]:
    """
    New interpreters: over a bare one, what an import takes, and what a script with one job takes.

    The file exists; the import is a part of the second. Libraries that need a server or a
    framework first are left out.
    """
    return [
        entry(contestant, best(contestant), partial(measure, times=scale.imports))
        for contestant in contestants
        if contestant.first
    ]


def measure(bench: Bench, times: int) -> Values:
    """Medians of so many interpreters each, interleaved."""
    codes = {
        "bare": "pass",
        "import ms": bench.contestant.first.splitlines()[0],
        "first job ms": bench.contestant.first.format(directory=bench.directory),
    }
    script = bench.directory / "script.py"
    taken: dict[str, list[float]] = {name: [] for name in codes}
    for number in range(times + 1):
        for name, code in codes.items():
            script.write_text(code)
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, script], check=True, cwd=bench.directory, stderr=subprocess.PIPE,
                env=bench.environment(),
            )  # fmt: skip
            if number:  # the first one compiles and makes the file
                taken[name].append(1000 * (time.perf_counter() - started))
    medians = {name: statistics.median(sample) for name, sample in taken.items()}
    return {name: medians[name] - medians["bare"] for name in ("import ms", "first job ms")}


WORKLOADS = [
    Workload("import", "Import and first job", first_job.__doc__ or "", COLUMNS, first_job,
             more_is_better=False)
]  # fmt: skip
