"""
The bell: whoever stores a job that is due wakes the workers that sleep.

Each waiting worker has a datagram socket in the run directory; to ring is to send a byte to each.
It is only a hint: a worker that hears nothing looks by itself every sleep_delay. A watch on the
-wal file instead would fire before the commit can be seen.
"""

import logging
import os
import sys
from contextlib import suppress
from pathlib import Path

from litejobs.run_directory.paths import make

_SUFFIX = ".bell"
log = logging.getLogger("litejobs")
_LONGEST_ADDRESS = 100  # bytes; the systems allow 104 to 108, with the directory in them


class Bell:
    """The ear of one waiting worker: readable, for a selector, once somebody rang."""

    def __init__(self, directory: str) -> None:
        import socket  # noqa: PLC0415  # as in ring

        make(directory)
        self._path = Path(directory) / f"{os.urandom(16).hex()}{_SUFFIX}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)  # noqa: FBT003
        try:
            with _address(directory) as place:
                self._socket.bind(f"{place}/{self._path.name}")
        except OSError as error:
            log.warning("nobody can wake the worker (%s): it looks every sleep_delay", error)

    def fileno(self) -> int:
        return self._socket.fileno()

    def drain(self) -> None:
        """Take note of the rings so far: the next wait sleeps until the next one."""
        with suppress(BlockingIOError):
            while self._socket.recv(64):
                pass

    def close(self) -> None:
        self._socket.close()
        self._path.unlink(missing_ok=True)


def ring(directory: str) -> None:
    """Wake every worker that waits there. Never blocks and never fails."""
    try:
        names = [name for name in os.listdir(directory) if name.endswith(_SUFFIX)]  # noqa: PTH208
    except OSError:
        return  # no worker has been here yet
    if not names:
        return
    import socket  # noqa: PLC0415  # 4 ms that who stores jobs while no worker waits need not pay

    with (
        suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
        _address(directory) as place,
    ):
        sender.setblocking(False)  # noqa: FBT003
        for name in names:
            try:
                sender.sendto(b"!", f"{place}/{name}")
            except ConnectionRefusedError:
                with suppress(OSError):
                    Path(directory, name).unlink()  # its worker died
            except OSError:
                pass  # full: it is ringing already; gone: nobody to wake


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
