"""
How soon workers come back and stop, and what they cost when idle.

    python -m benchmarks.processes

Real processes on a new file, each figure measured several times: median and maximum, milliseconds.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROUNDS = 5
IDLE = 60  # seconds over which an idle worker's processor time is taken
APP = """
import os, signal, time
from pathlib import Path
from litejobs import JobManager, SqliteAdapter, WorkerGroup, current_job

here = Path(__file__).parent
count = int(os.environ.get("COUNT", "1"))
jobs = JobManager(
    {"sqlite": SqliteAdapter(here / "jobs.sqlite")}, workers=[WorkerGroup(count=count)]
)
later = jobs.create_scheduler()

def note(word):
    with (here / "notes.txt").open("a") as file:
        print(word, time.monotonic(), file=file)

@jobs.job
def tell():
    note("told")

@jobs.job(max_attempts=1, delete_failed_jobs=True)
def die():
    note("dies")
    os.kill(os.getpid(), signal.SIGKILL)

@jobs.job
def hang():
    note("begins")
    while current_job().attempts == 1:
        time.sleep(0.001)
    note("again")

@jobs.job
def take_a_while():
    note("begins")
    time.sleep(0.3)
    note("ends")
"""


class Bench:
    """One app in a directory of its own, and the processes that work for it."""

    def __init__(self, directory: str) -> None:
        self.directory = Path(directory)
        self.processes: list[subprocess.Popen[bytes]] = []
        (self.directory / "app.py").write_text(APP)
        (self.directory / "pyproject.toml").write_text("")

    def work(self, count: int = 1) -> subprocess.Popen[bytes]:
        """Start a runner and wait until its workers are up."""
        before = len(self.bells())
        with (self.directory / "errors.txt").open("ab") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "litejobs", "work", "--app", "app", "--log-level", "error"],
                cwd=self.directory, env=os.environ | {"COUNT": str(count)},
                stdout=errors, stderr=errors,
            )  # fmt: skip
        self.processes.append(process)
        self.until(lambda: len(self.bells()) > before)
        told = self.noted("told")
        self.later("tell")
        self.until(lambda: self.noted("told") > told)
        return process

    def later(self, *names: str) -> None:
        """Store jobs, in a process of its own."""
        code = "from app import *\n" + "\n".join(f"later({name})" for name in names)
        subprocess.run([sys.executable, "-c", code], cwd=self.directory, check=True)

    def bells(self) -> list[Path]:
        return list(self.directory.glob("jobs.sqlite.run/*.bell"))

    def notes(self) -> list[tuple[str, float]]:
        file = self.directory / "notes.txt"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(word, float(moment)) for word, moment in map(str.split, lines)]

    def noted(self, word: str) -> int:
        return sum(noted == word for noted, _ in self.notes())

    def moment(self, word: str) -> float:
        """When *word* was last noted, by the monotonic clock."""
        return [moment for noted, moment in self.notes() if noted == word][-1]

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, "it did not come true within 60 s"
            time.sleep(0.0005)

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes.clear()


def from_a_crash_to_the_next_job(bench: Bench) -> float:
    """A performer is killed by its job; the next job waits for the one that takes its place."""
    bench.work()
    told = bench.noted("told")
    bench.later("die", "tell")
    bench.until(lambda: bench.noted("told") > told)
    return bench.moment("told") - bench.moment("dies")


def from_a_runners_kill_to_its_job_elsewhere(bench: Bench) -> float:
    """Beyond the job's pause of 1 s after its first attempt."""
    first = bench.work()
    bench.later("hang")
    bench.until(lambda: bench.noted("begins") == 1)
    bench.work()
    again = bench.noted("again")
    killed = time.monotonic()
    first.kill()
    bench.until(lambda: bench.noted("again") > again)
    return bench.moment("again") - killed - 1


def from_term_to_the_exit_when_idle(bench: Bench) -> float:
    """The signal's notice, and the end of an idle performer."""
    process = bench.work()
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait()
    return time.monotonic() - began


def from_the_last_jobs_end_to_the_exit(bench: Bench) -> float:
    """SIGTERM has come while it ran."""
    process = bench.work()
    begun = bench.noted("begins")
    bench.later("take_a_while")
    bench.until(lambda: bench.noted("begins") > begun)
    process.send_signal(signal.SIGTERM)
    process.wait()
    return time.monotonic() - bench.moment("ends")


def family(pid: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def processor_seconds(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def mebibytes(pid: int) -> float:
    """What a process has in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def idle(bench: Bench) -> Iterator[str]:
    """What a runner with two performers costs while nothing happens."""
    runner, *performers = family(bench.work(count=2).pid)
    yield f"resident: runner {mebibytes(runner):.0f} MiB, performer {mebibytes(performers[0]):.0f}"
    before = sum(map(processor_seconds, [runner, *performers]))
    time.sleep(IDLE)
    used = sum(map(processor_seconds, [runner, *performers])) - before
    yield f"idle, {len(performers)} performers: {100 * used / IDLE:.2f} % of a processor"


@contextmanager
def new_bench() -> Iterator[Bench]:
    """An app in a new directory; its processes end with it."""
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(directory)
        try:
            yield bench
        finally:
            bench.end()


def main() -> None:
    """Print every figure."""
    for measure in (
        from_a_crash_to_the_next_job,
        from_a_runners_kill_to_its_job_elsewhere,
        from_term_to_the_exit_when_idle,
        from_the_last_jobs_end_to_the_exit,
    ):
        values = []
        for _ in range(ROUNDS):
            with new_bench() as bench:
                values.append(1000 * measure(bench))
        name = measure.__name__.replace("_", " ")
        print(f"{name}: median {statistics.median(values):.0f} ms, most {max(values):.0f} ms")
    with new_bench() as bench:
        for line in idle(bench):
            print(line)


if __name__ == "__main__":
    main()
