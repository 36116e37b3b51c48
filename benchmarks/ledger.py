"""
The proof that each job ran exactly once: memory that every process of a run shares.

A job adds one to the byte of its number. That costs a tenth of a microsecond, the same for every
contestant, so that the very run that is timed is the run that is checked; it outlives a process
that is killed; and the watching process reads it without disturbing any storage.
"""

import mmap
import os
import time
from pathlib import Path

VARIABLE = "BENCHMARK_LEDGER"


class WrongResult(Exception):  # noqa: N818  # what it is, in the words of the report
    """Jobs were lost, or ran twice, or are left: the figure does not count."""


class Ledger:
    """Marks and times of *size* jobs, in files of *directory*."""

    def __init__(self, directory: Path) -> None:
        self.marks = _shared(directory / "marks", "B")
        self.times = _shared(directory / "times", "q")  # ns: monotonic, wall; two for each job
        self._begun = directory / "begun"

    @classmethod
    def create(cls, directory: Path, size: int) -> "Ledger":
        """A new one, all zero."""
        for name, width in (("marks", 1), ("times", 16)):
            with (directory / name).open("wb") as file:
                file.truncate(size * width)
        return cls(directory)

    def begin(self) -> None:
        """Note when this process came to its first job; one write appends whole."""
        with self._begun.open("ab", buffering=0) as file:
            file.write(time.monotonic_ns().to_bytes(8, "little"))

    def first_start(self) -> float:
        """When the first job of all began, in seconds of the monotonic clock."""
        data = self._begun.read_bytes()
        return min(int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data), 8)) / 1e9

    def has_run(self, numbers: range) -> bool:
        """Whether each of *numbers* has been run at least once; the last one is told apart fast."""
        return (
            self.marks[numbers[-1]] > 0
            and b"\0" not in self.marks[numbers.start : numbers.stop].tobytes()
        )

    def check(self, *runs: range, unsure: frozenset[int] = frozenset()) -> None:
        """
        Raise WrongResult unless each number of *runs* ran exactly once, and nothing else did.

        *unsure* are those whose storing raised an error: they may have run once or not at all.
        """
        marks = self.marks.tobytes()
        stored = bytearray(len(marks))
        for run in runs:
            stored[run.start : run.stop] = b"\1" * len(run)
        for number in unsure:
            stored[number] = marks[number] and 1
        wanted = sum(stored)
        lost = sum(wants and not ran for wants, ran in zip(stored, marks, strict=True))
        again = sum(ran > 1 for ran in marks)
        others = sum(ran and not wants for wants, ran in zip(stored, marks, strict=True))
        if lost or again or others:
            raise WrongResult(
                f"of {wanted} jobs {lost} did not run, {again} ran more than once, "
                f"and {others} ran that were not stored"
            )


def _shared(path: Path, kind: str) -> memoryview:
    with path.open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), 0)).cast("B").cast(kind)  # type: ignore[call-overload,no-any-return]


_ledger: Ledger | None = None


def ledger() -> Ledger:
    """The one that the environment names, opened by the first job of a process."""
    global _ledger  # noqa: PLW0603  # one for each process
    if _ledger is None:
        _ledger = Ledger(Path(os.environ[VARIABLE]))
        _ledger.begin()
    return _ledger
