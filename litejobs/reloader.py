"""Whether this process only watches files for another that serves: then workers belong to that."""

import gc
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_PATIENCE = 30.0  # seconds after which a program is taken to be none that reloads
_LONGEST = 1.0  # seconds between two looks
_WAITING = "restart_with_reloader"  # the function that Werkzeug's and Django's wait in


def is_reloader_parent() -> bool:
    """Whether the main thread waits for the child of Werkzeug's (Flask's) or Django's reloader."""
    frame = _frames().get(threading.main_thread().ident or 0)
    while frame is not None:
        if frame.f_code.co_name == _WAITING:
            return True
        frame = frame.f_back
    return False


def _frames() -> "dict[int, FrameType]":
    """
    Of each thread.

    Without collection of garbage: CPython 3.11 makes the frames under a lock that a collected
    threading.local waits for, and the whole process would hang.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return sys._current_frames()  # noqa: SLF001  # public API of CPython for debuggers
    finally:
        if was_enabled:
            gc.enable()


def stop_in_reloader_parent(stop: Callable[[], object]) -> None:
    """
    Call *stop* if this turns out to be the parent of a reloader.

    A program cannot know when it starts its worker: it begins to watch only when all is loaded.
    """

    def look() -> None:
        end, pause = time.monotonic() + _PATIENCE, 0.02
        while time.monotonic() < end:
            if is_reloader_parent():
                stop()
                return
            time.sleep(pause)
            pause = min(_LONGEST, 2 * pause)

    threading.Thread(target=look, name="litejobs-reloader", daemon=True).start()
