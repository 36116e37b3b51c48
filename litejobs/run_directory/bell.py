"""
The bell: whoever stores a job that is due wakes the workers that sleep.

And whoever settles one wakes those who wait for its end. Each that waits has a datagram socket in
the run directory; to ring is to send a byte to each. It is only a hint: who hears nothing looks by
himself now and then. A watch on the -wal file instead would fire before the commit can be seen. Who
cannot tell when that will be, for the transaction is another's, rings "soon": then a worker looks
several times.
"""

import logging
import os
import stat
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from litejobs.clock import SystemClock
from litejobs.run_directory.paths import make

if TYPE_CHECKING:
    import socket

#: The suffixes of the sockets of those who wait for jobs to do, and for jobs to end.
TO_DO, ENDED = ".bell", ".ended"
#: What a ring says: there are jobs; there soon are; a running one was asked to end.
NOW, SOON, END = b"!", b"~", b"x"
_SECOND = 1_000_000_000  # nanoseconds
# Milliseconds; two changes closer than that may leave one mtime, where a file system counts seconds
# (or two), and where it counts less: https://docs.kernel.org/filesystems/multigrain-ts.html
_COARSE, _FINE = 2000, 100
log = logging.getLogger("litejobs")
_LONGEST_ADDRESS = 100  # bytes; the systems allow 104 to 108, with the directory in them


class Bell:
    """The ear of one who waits: readable, for a selector, once somebody rang."""

    def __init__(self, directory: str, suffix: str = TO_DO) -> None:
        import socket  # noqa: PLC0415  # as in _tie

        make(directory)
        self._path = Path(directory) / f"{os.urandom(16).hex()}{suffix}"
        self._socket: socket.socket | None = None
        #: Whether it can be rung; else it is no file for a selector.
        self.hears = False
        try:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)  # noqa: FBT003
            with _address(directory) as place:
                self._socket.bind(f"{place}/{self._path.name}")
            self.hears = True
        except OSError as error:
            log.warning("nobody can wake who waits here (%s): he looks now and then", error)

    def fileno(self) -> int:
        return -1 if self._socket is None else self._socket.fileno()

    def drain(self) -> set[bytes]:
        """
        Take note of the rings so far: the next wait sleeps until the next one.

        What they said, of NOW, SOON and END.
        """
        words: set[bytes] = set()
        if self._socket is None:
            return words
        with suppress(BlockingIOError):
            while word := self._socket.recv(64):
                words.add(word)
        return words

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._path.unlink(missing_ok=True)


def ring(directory: str, suffix: str = TO_DO, *, word: bytes = NOW) -> None:
    """
    Wake everyone who waits there for that. Never blocks and never fails.

    *word* is NOW; SOON, for a job that nobody sees before another's transaction is committed; or
    END, for a running one that was asked to end.
    """
    tied = _tied.get((directory, suffix))
    if tied is None and not os.access(directory, os.F_OK):
        return  # no worker has been here yet; a stat that fails would take twice as long
    try:
        mtime = os.stat(directory).st_mtime_ns  # noqa: PTH116  # at each later(): a Path costs more
    except OSError:
        return
    if tied is None or tied.mtime != mtime:
        tied = _tied[directory, suffix] = _tie_all(directory, suffix, mtime, tied)
    for rope in tied.ropes.values():
        rope.pull(word)


class _Rope:
    """
    What rings one bell: a socket that is connected to it.

    Each has one of its own: rings that a stopped worker does not hear fill up no buffer that others
    need. It is closed when nobody holds it any more, for another thread may be pulling it.
    """

    def __init__(self, bell: Path, sender: "socket.socket") -> None:
        self._bell = bell
        self._socket = sender

    def pull(self, what: bytes) -> None:
        try:
            self._socket.send(what)
        except ConnectionRefusedError:
            _remove(self._bell)
        except OSError:
            pass  # full: it is ringing already; no longer connected: it was removed

    def __del__(self) -> None:
        self._socket.close()


@dataclass(frozen=True, slots=True)
class _Tied:
    """The bells that were in a directory when it was changed last, as far as that is certain."""

    mtime: int | None  # nanoseconds; None: look again
    ropes: Mapping[str, _Rope]


# By directory and suffix; each is replaced as a whole, so that no thread need wait.
_tied: dict[tuple[str, str], _Tied] = {}
# A child may go on to close every descriptor that it has inherited, and take the numbers again.
os.register_at_fork(after_in_child=_tied.clear)


def _tie_all(directory: str, suffix: str, mtime: int, former: _Tied | None) -> _Tied:
    is_certain = SystemClock().now() - mtime // 1_000_000 > (_FINE if mtime % _SECOND else _COARSE)
    ropes = {}
    for name in _names(directory, suffix):
        rope = former.ropes.get(name) if former else None
        try:
            ropes[name] = rope or _tie(directory, name)
        except ConnectionRefusedError:
            _remove(Path(directory, name))
        except OSError:
            is_certain = False  # too many open files, perhaps
    return _Tied(mtime if is_certain else None, ropes)


def _names(directory: str, suffix: str) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return [entry.name for entry in entries if _is_bell(entry, suffix)]
    except OSError:
        return []  # it is gone


def _is_bell(entry: "os.DirEntry[str]", suffix: str) -> bool:
    """Whether it is a socket itself: behind a link there may be anybody's."""
    return entry.name.endswith(suffix) and stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode)


def _tie(directory: str, name: str) -> _Rope:
    import socket  # noqa: PLC0415  # 4 ms that who stores jobs while no worker waits need not pay

    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    rope = _Rope(Path(directory, name), sender)
    sender.setblocking(False)  # noqa: FBT003
    with _address(directory) as place:
        sender.connect(f"{place}/{name}")
    return rope


def _remove(bell: Path) -> None:
    """Its worker has died."""
    with suppress(OSError):
        bell.unlink()


class _address:  # noqa: N801  # used like a function
    """The directory by a name short enough for a socket's address."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._descriptor: int | None = None

    def __enter__(self) -> str:
        if len(os.fsencode(self._directory)) <= _LONGEST_ADDRESS - 40 or sys.platform != "linux":
            return self._directory
        self._descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._descriptor}"

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
