import math
from collections.abc import Sequence

from litejobs.defaults import BACKOFF_EXPONENT, MAX_BACKOFF


def backoff(attempts: int) -> int:
    """
    Seconds to wait after failed run number *attempts* (the first is 1).

    Grows as ``attempts ** 4``: 1 s, 16 s, 81 s, ... up to MAX_BACKOFF, 7 days.

    Raises ValueError if *attempts* is below 1.
    Source: Redwood Background Jobs 8.1, "Job Errors & Failure"; the cap is ours.

    >>> [backoff(n) for n in (1, 2, 3)]
    [1, 16, 81]
    """
    if attempts < 1:
        raise ValueError(f"attempts must be at least 1, got {attempts}")
    return int(min(attempts**BACKOFF_EXPONENT, MAX_BACKOFF))


def listed(attempts: int, waits: Sequence[float]) -> float:
    """
    As ``backoff``, where a job names its *waits* in seconds: the last one repeats.

    >>> [listed(n, [5, 60]) for n in (1, 2, 3)]
    [5, 60, 60]
    """
    return waits[min(attempts, len(waits)) - 1]


def spread(wait: float, jitter: float, chance: float) -> int:
    """
    Milliseconds in place of *wait* seconds: longer by up to a share *jitter*, never shorter.

    *chance* lies between 0 and 1 and says by how much of it.

    >>> [spread(10, 0.5, chance) for chance in (0, 0.5, 1)]
    [10000, 12500, 15000]
    """
    return math.ceil(1000 * wait * (1 + jitter * chance))
