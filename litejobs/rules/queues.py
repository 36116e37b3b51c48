"""
What the queues of a worker group mean.

A selection is a tuple of names, ``"*"`` for every queue, or ``"*"`` and exceptions ``"!name"``.
"""

from collections.abc import Iterable, Sequence
from functools import cache

from litejobs.defaults import WORK_QUEUE


def takes(selection: Iterable[str], queue: str) -> bool:
    """
    Whether a worker of that selection takes jobs of *queue*.

    >>> [takes(("*", "!slow"), queue) for queue in ("email", "slow")]
    [True, False]
    """
    chosen = set(selection)
    return queue in chosen or (WORK_QUEUE in chosen and f"!{queue}" not in chosen)


@cache
def union(*selections: Sequence[str]) -> frozenset[str]:
    """
    The selection of what at least one of *selections* takes.

    >>> sorted(union(("*", "!slow", "!huge"), ("slow",)))
    ['!huge', '*', 'slow']
    """
    names = frozenset(name for one in selections for name in one)
    return frozenset(
        name
        for name in names
        if not name.startswith("!") or not any(takes(one, name[1:]) for one in selections)
    )


def shared(one: Sequence[str], other: Sequence[str], declared: Iterable[str] | None) -> str:
    """
    A queue that both selections take, of the *declared* ones (None: any), or an empty text.

    >>> shared(("*", "!slow"), ("slow", "email"), None)
    'email'
    """
    if declared is None:  # "*" stands for those that neither names
        declared = [name for name in (*one, *other) if not name.startswith("!")]
    return next((name for name in declared if takes(one, name) and takes(other, name)), "")
