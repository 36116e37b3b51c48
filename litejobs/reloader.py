"""Whether this process only watches files for another that serves: then workers belong to that."""

import sys
import threading
import time
from collections.abc import Callable

_PATIENCE = 30.0  # seconds after which a program is taken to be none that reloads
_LONGEST = 1.0  # seconds between two looks
_WAITING = "restart_with_reloader"  # the function that Werkzeug's and Django's wait in


def is_reloader_parent() -> bool:
    """Whether the main thread waits for the child of Werkzeug's (Flask's) or Django's reloader."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001  # public API of CPython for debuggers
    while frame is not None:
        if frame.f_code.co_name == _WAITING:
            return True
        frame = frame.f_back
    return False


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
