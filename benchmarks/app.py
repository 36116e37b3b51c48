"""The app whose jobs are drained; where they are is said by the environment."""

import os

from benchmarks.jobs import nothing
from litejobs import JobManager, SqliteAdapter

jobs = JobManager(
    adapters={
        "sqlite": SqliteAdapter(
            os.environ["BENCHMARK_DATABASE"], durability=os.environ["BENCHMARK_DURABILITY"]
        )
    }
)
jobs.create_job(perform=nothing)
