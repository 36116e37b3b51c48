"""
The pidfile: the process that holds its lock is the daemon, and no pid alone ever is.

The system lets go of a lock when its process ends, whatever ends it, so a file that was left behind
says nothing and stops nobody. https://man7.org/linux/man-pages/man2/flock.2.html
"""

import fcntl
import os
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from litejobs.errors import AlreadyRunningError, ConfigurationError, LitejobsError
from litejobs.run_directory.identity import _start as start_of
from litejobs.run_directory.paths import open_own, read_own

_PATIENCE = 0.25  # seconds in which one who only looks, or one who is just starting, is done
_PAUSE = 0.005  # seconds between two looks


class Pidfile:
    """
    Held for life by the one daemon of its name. It is never removed.

    Holds the pid, and on a second line when that process began.
    """

    def __init__(self, path: Path) -> None:
        """Raises AlreadyRunningError, with the pid, while another process holds it."""
        end = time.monotonic() + _PATIENCE
        while (descriptor := _locked(path)) is None:
            # Once more: whoever only asks if it is held also holds it for a moment.
            if time.monotonic() > end:
                pid, _ = _written(path)
                raise AlreadyRunningError(f"it is running already, as pid {pid or 'unknown'}")
            time.sleep(_PAUSE)
        self._descriptor = descriptor
        pid = os.getpid()
        text = f"{pid}\n{start_of(pid)}\n".encode()
        os.pwrite(descriptor, text, 0)  # over what was there: nobody ever sees an empty file
        os.ftruncate(descriptor, len(text))
        os.register_at_fork(after_in_child=self.close)

    def close(self) -> None:
        """Let go of our descriptor; in a forked child that leaves the lock to its parent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with suppress(OSError):
                os.close(descriptor)


class Holder:
    """
    The live process that holds a pidfile: signals reach it, or nobody.

    A file whose lock is free names nobody, whatever stands in it. A pid counts only together with
    the moment at which its process began: it may have been given to another since.
    """

    def __init__(self, path: Path, pid: int, began: str, descriptor: int | None) -> None:
        self.pid = pid
        self._path = path
        self._began = began
        self._descriptor = descriptor  # a pidfd, where the system has such

    @classmethod
    def of(cls, path: Path) -> "Holder | None":
        """
        Who holds the file, or None.

        Raises LitejobsError if it is held by a process that cannot be seen from here.
        """
        end = time.monotonic() + _PATIENCE
        while is_held(path):
            pid, began = _written(path)
            if pid > 0:
                # First the descriptor: what is then seen to be true of the process stays its own.
                holder = cls(path, pid, began, _open(pid))
                if holder.is_there():
                    return holder
                holder.close()
            if time.monotonic() > end:
                raise LitejobsError(
                    f"{path} is held by a process that cannot be seen from here, perhaps one of "
                    "another container; nothing was done to it"
                )
            time.sleep(_PAUSE)
        return None

    def is_there(self) -> bool:
        """Whether the process still lives and holds the file."""
        return start_of(self.pid) == self._began and is_held(self._path)

    def send(self, number: signal.Signals) -> bool:
        """Send it a signal; False if it has ended."""
        if not self.is_there():
            return False
        with suppress(ProcessLookupError):
            if self._descriptor is not None and sys.platform == "linux":
                signal.pidfd_send_signal(self._descriptor, number)
            else:
                os.kill(self.pid, number)
            return True
        return False

    def ends_within(self, seconds: float) -> bool:
        """Wait for its end, at most that long; whether it came."""
        end = time.monotonic() + seconds
        if self._descriptor is not None:
            wait = select.poll()
            wait.register(self._descriptor, select.POLLIN)
            return bool(wait.poll(max(0, 1000 * seconds)))
        while self.is_there():
            if time.monotonic() > end:
                return False
            time.sleep(_PAUSE)
        return True

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether a live process holds the file."""
    try:
        descriptor = open_own(path)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two who ask at once do not take each other for the holder.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _locked(path: Path) -> int | None:
    """A descriptor of the file with its lock, or None while another holds that."""
    try:
        descriptor = open_own(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Removed by hand between the two calls, it would be a lock that nobody else sees.
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


def _written(path: Path) -> tuple[int, str]:
    """Pid and beginning of whoever held the file last; 0 for what no daemon of ours wrote."""
    try:
        pid, began, *_ = read_own(path).decode("ascii").split("\n")
        return int(pid), began
    except (OSError, ValueError):
        return 0, ""


def _open(pid: int) -> int | None:
    """A descriptor that stays the process's own, where the system has such."""
    if sys.platform == "linux":
        with suppress(OSError):
            return os.pidfd_open(pid)
    return None
