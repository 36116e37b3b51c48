"""A child that a job forks, and that comes back from the job's function."""

import os
import sys
import traceback
from contextlib import suppress
from typing import NoReturn


def leave(raised: BaseException | None) -> NoReturn:
    """
    End this process, as Python would where the job *raised* that, or returned.

    It is a copy of a worker: what it did further would be done in the name of the one that runs.
    """
    code = 1
    if raised is None:
        code = 0
    elif not isinstance(raised, SystemExit):
        with suppress(Exception):
            traceback.print_exception(raised)
    elif raised.code is None or isinstance(raised.code, int):
        code = raised.code or 0
    else:
        with suppress(Exception):
            sys.stderr.write(f"{raised.code}\n")
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # closed, or none at all
            stream.flush()
    os._exit(code & 0xFF)
