"""
An app whose jobs live in memory, beside some that live in SQLite.

    cd examples/memory_adapter
    python jobs.py                                   # stores a job in each
    litejobs work                                    # runs both, until Ctrl-C
"""

from pathlib import Path

from litejobs import JobManager, SqliteAdapter, WorkerGroup

from memory_adapter import MemoryAdapter

HERE = Path(__file__).resolve().parent

jobs = JobManager(
    adapters={
        "sqlite": SqliteAdapter(HERE / "jobs.sqlite"),
        "memory": MemoryAdapter(f"example-{HERE.name}"),
    },
    workers=[WorkerGroup(adapter="sqlite"), WorkerGroup(adapter="memory", count=2)],
)
later = jobs.create_scheduler("sqlite")
soon = jobs.create_scheduler("memory")


@jobs.job
def greet(name: str) -> None:
    """Say hello."""
    print(f"hello, {name}!")


if __name__ == "__main__":
    later(greet, ["SQLite"])
    soon(greet, ["memory"])
