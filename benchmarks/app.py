"""The app whose jobs litejobs runs in benchmarks; the environment says where and how."""

import os

from benchmarks.jobs import JOBS, nothing
from litejobs import JobManager, SqliteAdapter, WorkerGroup

jobs = JobManager(
    adapters={
        "sqlite": SqliteAdapter(
            os.environ["BENCHMARK_DATABASE"], durability=os.environ["BENCHMARK_DURABILITY"]
        )
    },
    workers=[WorkerGroup(count=int(os.environ.get("BENCHMARK_COUNT", "1")))],
)
later = jobs.create_scheduler()
declared = {job.__name__: jobs.create_job(perform=job) for job in (nothing, *JOBS.values())}
