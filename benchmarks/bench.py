"""A contestant at work in a directory of its own, watched from outside."""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.contestants.base import Contestant, Workers, child
from benchmarks.ledger import VARIABLE, Ledger, WrongResult

HOME = Path(__file__).resolve().parent.parent
PATIENCE = 120.0  # seconds without progress after which a run is given up
LOOK = 0.002  # seconds between two looks


class Bench:
    """One contestant at one durability, with a new storage, and the processes that use it."""

    def __init__(self, contestant: type[Contestant], durability: str, directory: Path) -> None:
        self.contestant = contestant
        self.durability = durability
        self.directory = directory
        self.servers: list[int] = []
        self.ledger: Ledger | None = None

    def environment(self, workers: int = 1, durability: str | None = None) -> dict[str, str]:
        """What tells child processes where they are."""
        # With compiled modules, as an installed package has them.
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        return kept | {
            VARIABLE: str(self.directory),
            "BENCHMARK_DIRECTORY": str(self.directory),
            "BENCHMARK_DATABASE": str(self.directory / "jobs.sqlite"),
            "BENCHMARK_DURABILITY": durability or self.durability,
            "BENCHMARK_COUNT": str(workers),
        }

    def start(self, activity: str, **options: Any) -> subprocess.Popen[str]:
        """Begin one thing in a process of its own."""
        return self._start(activity, None, options)

    def call(self, activity: str, **options: Any) -> dict[str, Any]:
        """Do one thing in a process of its own; returns what it found."""
        return answer(self.start(activity, **options))

    def fill(self, job: str, args_list: list[list[Any]]) -> None:
        """
        Store jobs in an empty storage; how durably does not matter, so as fast as can be.

        Counting them from here, where no connection stays, also leaves no write-ahead log behind.
        """
        fastest = "normal" if "normal" in self.contestant.durabilities else self.durability
        answer(self._start("fill", fastest, {"job": job, "args_list": args_list}))
        self.check_stored(len(args_list))

    def _start(
        self, activity: str, durability: str | None, options: dict[str, Any]
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            child(self.contestant, activity, "-"),
            cwd=HOME, env=self.environment(durability=durability), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(json.dumps(options))
        process.stdin.close()
        process.stdin = None
        return process

    @contextmanager
    def working(self, workers: Workers) -> Iterator[list[int]]:
        """Workers, as long as this lasts; yields the processes that it started and servers."""
        log = (self.directory / "workers.log").open("ab")
        processes = [
            subprocess.Popen(
                command, cwd=HOME, env=self.environment(workers.count), stdout=log, stderr=log,
                start_new_session=True,
            )
            for command in self.contestant.commands(workers)
        ]  # fmt: skip
        try:
            yield [*(process.pid for process in processes), *self.servers]
        finally:
            for process in processes:
                _end(process)
            log.close()

    @property
    def waiting(self) -> int:
        """How many children wait for ``fire``."""
        return len(list(self.directory.glob("waiting-*")))

    def fire(self) -> float:
        """Tell children that wait to begin at one moment, of the monotonic clock; returns it."""
        moment = time.monotonic() + 0.1
        written = self.directory / "moment"
        written.write_text(str(moment))
        written.rename(self.directory / "start")
        return moment

    def check_stored(self, number: float) -> None:
        """Raise WrongResult unless the storage holds so many jobs."""
        held = self.contestant.unsettled(self.directory)
        if held != number:
            raise WrongResult(f"{number} jobs were stored, the storage holds {held}")

    def settled(self) -> bool:
        """Whether no job is left in storage."""
        return self.contestant.unsettled(self.directory) == 0

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait; raises WrongResult, with what workers printed last, after PATIENCE seconds."""
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                log = self.directory / "workers.log"
                said = log.read_text("utf-8", "replace")[-2000:] if log.exists() else ""
                raise WrongResult(f"{what} within {PATIENCE:g} s; workers said: {said}")
            time.sleep(LOOK)

    def new_ledger(self, size: int) -> Ledger:
        """The proof for jobs with numbers below *size*."""
        self.ledger = Ledger.create(self.directory, size)
        return self.ledger


@contextmanager
def bench(contestant: type[Contestant], durability: str) -> Iterator[Bench]:
    """A new one; what it stored goes with it."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as directory:
        new = Bench(contestant, durability, Path(directory))
        with contestant.surroundings(new.directory) as new.servers:
            yield new


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a child found; raises WrongResult if it failed."""
    out, _ = process.communicate()
    if process.returncode != 0:
        raise WrongResult(f"{process.args!r} ended with {process.returncode}")
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop a worker that has nothing to do, and whatever is left of its session."""
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(0.5)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
