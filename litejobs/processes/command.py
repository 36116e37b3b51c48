import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn


def become_litejobs(words: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """
    Let this process be the command ``litejobs WORDS...`` from now on, without what it had loaded.

    *environment* adds to this process's own.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(  # noqa: S606  # our own module
        sys.executable,
        [sys.executable, "-m", "litejobs", *words],
        {**os.environ, **environment},
    )
