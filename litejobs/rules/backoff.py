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
