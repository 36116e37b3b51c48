"""
One byte in a pipe for each job that a performer has been handed and has not begun.

Who takes the byte has the job: the performer, to begin it, or the runner, to hand it to another.
The system lets only one of them have it.
"""

import fcntl
import os
import sys
import termios
from contextlib import suppress

_MANY = 65536  # bytes: more than there are ever


class Tokens:
    """The runner's end: lays tokens out and takes them back."""

    def __init__(self) -> None:
        #: What the performer inherits.
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)

    def lay(self, count: int) -> None:
        """So many jobs more may be begun: before they are told, so that none is without."""
        os.write(self._writer, bytes(count))

    def left(self) -> int:
        """How many have been taken by nobody."""
        answer = fcntl.ioctl(self.reader, termios.FIONREAD, bytes(4))
        return int.from_bytes(answer, sys.byteorder)

    def take_back(self) -> int:
        """Take all that are left, and say how many."""
        with suppress(BlockingIOError):
            return len(os.read(self.reader, _MANY))
        return 0

    def close(self) -> None:
        os.close(self.reader)
        os.close(self._writer)


class Taker:
    """The performer's end."""

    def __init__(self, reader: int) -> None:
        self._reader = reader

    def take(self) -> bool:
        """Whether the next job may begin. Raises OSError in a forked child, where none may."""
        try:
            return len(os.read(self._reader, 1)) == 1
        except BlockingIOError:
            return False

    def forget(self) -> None:
        """For a forked child, where the descriptor's number may soon be another file's."""
        self._reader = -1
