"""The jobs that benchmarks run."""


def nothing() -> None:
    """No work at all: what is left is the queue's own."""
