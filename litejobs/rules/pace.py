"""How many jobs to hand out at once: what takes a few milliseconds, going by the last ones."""

from litejobs.defaults import AHEAD, CHUNK_BYTES, CHUNK_JOBS, CHUNK_TIME, SILENCE


class Pace:
    """
    What jobs took of late: each new figure counts as much as all before it.

    At first one job at a time; where they are quick the number about doubles with each chunk.
    """

    def __init__(self) -> None:
        self._seconds = CHUNK_TIME  # that a job takes
        self._bytes = 0.0  # that it is in size

    def took(self, jobs: int, seconds: float) -> None:
        """So many jobs have ended within so many seconds."""
        # A long one is no reason to take the quick ones after it one by one for long.
        self._seconds = (self._seconds + min(seconds / jobs, 2 * AHEAD)) / 2

    def weighed(self, jobs: int, size: int) -> None:
        """So many jobs have been found, of so many bytes together."""
        self._bytes = (self._bytes + size / jobs) / 2

    @property
    def chunk(self) -> int:
        """Jobs to hand out at once."""
        by_time = CHUNK_TIME / self._seconds if self._seconds else CHUNK_JOBS
        by_size = CHUNK_BYTES / self._bytes if self._bytes else CHUNK_JOBS
        return max(1, int(min(CHUNK_JOBS, by_time, by_size)))

    @property
    def is_light(self) -> bool:
        """Whether the jobs are so quick and small that a next chunk may wait at hand."""
        return self._seconds <= AHEAD and self._bytes <= CHUNK_BYTES

    @property
    def silence(self) -> float:
        """Seconds without the end of a job after which those behind it wait too long."""
        return SILENCE + 2 * self._seconds
