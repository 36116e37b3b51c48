"""What workers cost while there is nothing to do."""

import os
import time
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.contestants.base import Workers
from benchmarks.workloads.base import (
    Column,
    Contestants,
    Entry,
    Scale,
    Values,
    Workload,
    best,
    entry,
    family,
)
from benchmarks.workloads.waking import first, ready

COLUMNS = (
    Column("% of a core", "{:.2f}"),
    Column("MiB in all", "{:,.0f}"),
    Column("MiB, first process", "{:,.0f}"),
    Column("processes", "{:.0f}"),
)
CALM = 1.0  # seconds after the last job until nothing is left to do


def idle(scale: Scale, contestants: Contestants) -> list[Entry]:
    """
    Two workers, and a server where one is needed: processor time and resident memory of them all.

    Memory that processes share counts once for each. The first process is litejobs' runner.
    """

    def measure(bench: Bench) -> Values:
        bench.new_ledger(1)
        first(bench)
        with bench.working(Workers("process", 2)) as started:
            ready(bench)
            time.sleep(CALM)
            processes = [one for pid in started for one in family(pid)]
            before = sum(map(processor_seconds, processes))
            time.sleep(scale.idling)
            used = sum(map(processor_seconds, processes)) - before
            return {
                "% of a core": 100 * used / scale.idling,
                "MiB in all": sum(map(mebibytes, processes)),
                "MiB, first process": mebibytes(processes[0]),
                "processes": len(processes),
            }

    if not Path("/proc/self/schedstat").exists():
        return []
    return [
        entry(contestant, best(contestant), measure)
        for contestant in contestants
        if contestant.is_shared and "process" in contestant.waits
    ]


def processor_seconds(pid: int) -> float:
    """What all threads of a process have used so far."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(file.read_text().split()[0]) for file in threads) / 1e9


def mebibytes(pid: int) -> float:
    """What a process has in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


WORKLOADS = [
    Workload("idle", "Idle", idle.__doc__ or "", COLUMNS, idle, more_is_better=False)
]  # fmt: skip
