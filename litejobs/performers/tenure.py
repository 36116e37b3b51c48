"""How long a performer serves: at most so many jobs, and not when it has grown too large."""

from litejobs.performers.memory import resident

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
