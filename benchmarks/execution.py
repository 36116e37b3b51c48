"""
What it costs to run one no-op job in the process that runs it, beside the bare call; no storage.

    python -m benchmarks.execution [--jobs 5000] [--rounds 9]

Who runs it: a *performer*, with all that it does for each job but the messages with its runner; a
*thread*, which watches the job's time; or *nobody*, who does not. DEBUG lines go to a NullHandler.
"""

import argparse
import logging
import time
from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from statistics import median

from benchmarks import jobs
from litejobs import JobManager
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.default_manager import DefaultManager
from litejobs.execution import Execution
from litejobs.handler import write
from litejobs.job import Limits, StoredJob
from litejobs.overdue import Overdue
from litejobs.performers.alarm import Alarm
from litejobs.performers.surroundings import Surroundings
from litejobs.performers.tenure import Tenure

ROOT = Path(__file__).resolve().parent.parent
PATH = Path(__file__).with_name("jobs.py").relative_to(ROOT).as_posix()
ADAPTER = SqliteAdapter("never-opened.sqlite")
DECLARED = JobManager({"sqlite": ADAPTER})
PLAIN = DefaultManager()
JOBS = {
    "declared, no arguments": (DECLARED, jobs.nothing, "[]"),
    'declared, [1, "x"]': (DECLARED, jobs.take, '[1,"x"]'),
    "plain, no arguments": (PLAIN, jobs.nothing, "[]"),
}
Runner = Callable[[Execution, StoredJob, int], None]


def bare(_execution: Execution, _job: StoredJob, count: int) -> None:
    """The function alone, called as a job is."""
    args: list[object] = []
    kwargs: dict[str, object] = {}
    for _ in repeat(None, count):
        jobs.nothing(*args, **kwargs)


def nobody(execution: Execution, job: StoredJob, count: int) -> None:
    """Jobs that may take as long as they like."""
    for _ in repeat(None, count):
        execution.run(job)


def thread(execution: Execution, job: StoredJob, count: int) -> None:
    """As ``litejobs.inline`` runs jobs."""
    guard = Overdue(ADAPTER, execution.logger)
    for _ in repeat(None, count):
        execution.run(job, guard)


def performer(execution: Execution, job: StoredJob, count: int) -> None:
    """As ``litejobs.performers.child`` runs jobs."""
    alarm = Alarm(Limits(), lambda _: None)
    tenure = Tenure(None, None)
    surroundings = Surroundings()
    for _ in repeat(None, count):
        alarm.expect()
        execution.run(job, alarm)
        tenure.why_over()
        surroundings.restore()


def measure(runner: Runner, name: str, level: int, count: int) -> float:
    """Microseconds per job; each job's outcome is checked once before it counts."""
    manager, function, args = JOBS[name]
    module = jobs.__name__ if manager is PLAIN else None
    handler = write(function.__name__, PATH, module, args, "{}")
    job = StoredJob(1, "default", 50, 0, 1, "benchmark", handler)
    execution = manager.execution(manager.workers[0])
    execution.logger.setLevel(level)
    outcome = execution.run(job)
    if outcome.kind != "success":
        raise SystemExit(f"{name}: {outcome}")
    started = time.perf_counter()
    runner(execution, job, count)
    return (time.perf_counter() - started) / count * 1e6


def main() -> None:
    """Print microseconds per job, medians of interleaved rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    logger = logging.getLogger("litejobs")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    PLAIN.use_root(ROOT)
    for function in (jobs.nothing, jobs.take):
        DECLARED.create_job(perform=function)
    runners = (performer, thread, nobody)
    cases = [(bare, next(iter(JOBS)), logging.INFO)]
    cases += [
        (runner, name, level)
        for level in (logging.INFO, logging.DEBUG)
        for name in JOBS
        for runner in runners
    ]
    rounds = [[measure(*case, options.jobs) for case in cases] for _ in range(options.rounds)]
    medians = [median(column) for column in zip(*rounds, strict=True)]
    print(f"{options.rounds} rounds of {options.jobs} jobs each; µs per job")
    print(f"{'the bare call':<32}{medians[0]:>10.2f}")
    print(f"{'':<32}" + "".join(f"{runner.__name__:>10}" for runner in runners))
    for at in range(1, len(cases), len(runners)):
        _, name, level = cases[at]
        figures = "".join(f"{figure:>10.2f}" for figure in medians[at : at + len(runners)])
        print(f"{logging.getLevelName(level):<6}{name:<26}{figures}")


if __name__ == "__main__":
    main()
