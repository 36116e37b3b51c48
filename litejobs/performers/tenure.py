"""How long a performer serves: at most so many jobs, and not when it has grown too large."""

import sys
from pathlib import Path

_MIB = 1024 * 1024


class Tenure:
    """Counts the jobs of this process, and looks how large it is after each."""

    def __init__(self, max_jobs: int | None, max_memory: int | None) -> None:
        """*max_memory* is MiB of resident memory; None: without limit."""
        self._max_jobs = max_jobs
        self._max_memory = max_memory
        self._jobs = 0

    def why_over(self) -> str:
        """After each job: why it was the last, or an empty text."""
        self._jobs += 1
        if self._jobs == self._max_jobs:
            return f"has run {self._jobs} jobs, its max_jobs"
        if self._max_memory is not None and resident() > self._max_memory * _MIB:
            return f"uses {resident() // _MIB} MiB, more than its max_memory of {self._max_memory}"
        return ""


def resident() -> int:
    """Bytes of this process in memory; where there is no /proc, the most that there ever were."""
    try:
        _, pages, *_ = Path("/proc/self/statm").read_bytes().split()
    except OSError:
        return _most()
    import resource  # noqa: PLC0415  # for this alone

    return int(pages) * resource.getpagesize()


def _most() -> int:
    import resource  # noqa: PLC0415  # as above

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
