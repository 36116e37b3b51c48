import os
from contextlib import suppress


class Wish:
    """
    Something asked for in a signal handler or another thread, seen by loops.

    Waiting loops register the object with their selector: it becomes readable on a request.
    """

    def __init__(self) -> None:
        self._requests = 0
        self._is_open = True
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def request(self) -> None:
        """Ask once more. Safe in a signal handler: takes no lock."""
        self._requests += 1
        if self._is_open:  # a closed descriptor's number may be another file's by now
            with suppress(BlockingIOError):  # full: whoever waits is awake already
                os.write(self._writer, b"!")

    @property
    def count(self) -> int:
        """How often it was asked for."""
        return self._requests

    def fileno(self) -> int:
        return self._reader

    def drain(self) -> None:
        """Take note of the requests so far: the next wait sleeps until the next one."""
        with suppress(BlockingIOError):
            os.read(self._reader, 4096)

    def close(self) -> None:
        """Requests are still counted, but wake nobody any more."""
        self._is_open = False
        os.close(self._reader)
        os.close(self._writer)


class Stop(Wish):
    """
    A wish to stop.

    The first request asks to drain (begin nothing new, finish what runs), the second to stop at
    once.
    """

    @property
    def requested(self) -> bool:
        """Whether nothing new should begin."""
        return self._requests > 0

    @property
    def at_once(self) -> bool:
        """Whether running jobs should not be waited for."""
        return self._requests > 1
