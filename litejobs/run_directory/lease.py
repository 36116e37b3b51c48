"""
The lease: what makes a running job belong to one live process.

Each process with workers holds a lock on a file of its own, whose name stands in ``locked_by``. The
system lets go of it when the process ends, whatever ends it; so a lock that can be had says that
its holder is dead, and one that cannot, that it lives, though it may be stopped or the machine
suspended. Time plays no part. https://man7.org/linux/man-pages/man2/flock.2.html

A worker finds several jobs at once and runs one. Which one that is it notes in the file, in a slot
of its own: after its death the others are known to have never been begun.
"""

import fcntl
import os
import re
import struct
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from litejobs.run_directory.identity import is_gone
from litejobs.run_directory.paths import make, open_own, read_own

_SUFFIX, _DRAFT = ".lease", ".draft"
_NAME = re.compile(r"[0-9a-f]{32}")


_RUN = struct.Struct("=qq")  # a job's id, and which attempt it was


class Slot(NamedTuple):
    """Where one worker notes, in a lease, the run that it begins."""

    descriptor: int
    number: int

    def note(self, id_: int, attempts: int) -> None:
        """To be called before the job with that id begins."""
        # Without the note it would, after a crash of all, be tried once more than it should. That
        # is no reason not to run it.
        with suppress(OSError):
            os.pwrite(self.descriptor, _RUN.pack(id_, attempts), self.number * _RUN.size)

    def read(self) -> tuple[int, int]:
        """What was noted last."""
        try:
            return _RUN.unpack(os.pread(self.descriptor, _RUN.size, self.number * _RUN.size))
        except (OSError, struct.error):
            return 0, 0


class Lease:
    """The lock of this process in one run directory, or a name alone where there is none."""

    def __init__(self, directory: str | None) -> None:
        #: Never the name of another.
        self.name = os.urandom(16).hex()
        self._path = self._descriptor = None
        self._slots = 0
        if directory is not None:
            make(directory)
            self._path = Path(directory, f"{self.name}{_SUFFIX}")
            self._descriptor = _locked_file(self._path)

    @property
    def descriptors(self) -> list[int]:
        """What a child process inherits to hold the lease too; empty where there is no file."""
        return [] if self._descriptor is None else [self._descriptor]

    def new_slot(self) -> Slot | None:
        """For one more worker; None where there is no file."""
        if self._descriptor is None:
            return None
        slot = Slot(self._descriptor, self._slots)
        self._slots += 1
        slot.note(0, 0)
        return slot

    def close(self) -> None:
        """Nothing is running any more."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        self.forget()

    def forget(self) -> None:
        """Let go of our copy of the descriptor: others that there are still hold the lock."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)


def _locked_file(path: Path) -> int:
    """Make the file so that its name is never seen unlocked: a prober would take it for dead."""
    draft = path.with_suffix(_DRAFT)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        descriptor = os.open(draft, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.rename(path)
        except BaseException as error:
            os.close(descriptor)
            draft.unlink(missing_ok=True)
            # A sweep may have come before the lock, and be looking at it, or have removed it.
            if not isinstance(error, BlockingIOError | FileNotFoundError):
                raise
        else:
            return descriptor


# One lease for all workers that a process has in one directory.
_held: dict[str | None, tuple[Lease, int]] = {}
_holding = threading.Lock()


@contextmanager
def held_lease(directory: str | None) -> Iterator[Lease]:
    """The lease of this process in *directory*, made by the first who asks, closed by the last."""
    with _holding:
        lease, count = _held.get(directory) or (Lease(directory), 0)
        _held[directory] = lease, count + 1
    try:
        yield lease
    finally:
        with _holding:
            lease, count = _held.get(directory, (lease, 0))
            if count > 1:
                _held[directory] = lease, count - 1
            elif count:
                del _held[directory]
                lease.close()


def _forget_all() -> None:
    """A forked child runs none of its parent's jobs, and must not keep them alive."""
    global _holding  # noqa: PLW0603  # another thread may have held it at the fork
    _holding = threading.Lock()
    while _held:
        _held.popitem()[1][0].forget()


os.register_at_fork(after_in_child=_forget_all)


def is_dead(directory: str, locked_by: str) -> bool:
    """
    Whether the worker process that a lock names has ended.

    By its lease; where there is no such file, by boot, pid and start time. False where that cannot
    be known: a name written by hand, another container.
    """
    name = locked_by.rpartition("/")[2]
    if not _NAME.fullmatch(name):
        return is_gone(locked_by)
    try:
        return _is_free(Path(directory, f"{name}{_SUFFIX}"))
    except OSError:
        return is_gone(locked_by)


def begun_by(directory: str, locked_by: str) -> Collection[tuple[int, int]] | None:
    """The runs that the workers of a lease began last, by id and attempt; None: not known."""
    name = locked_by.rpartition("/")[2]
    if not _NAME.fullmatch(name):
        return None
    try:
        noted = read_own(Path(directory, f"{name}{_SUFFIX}"))
    except OSError:
        return None
    return set(_RUN.iter_unpack(noted[: len(noted) // _RUN.size * _RUN.size]))


def is_worked_on(directory: str) -> bool:
    """Whether a process with workers lives there, or what is there cannot be told from one."""
    for path in Path(directory).glob(f"*{_SUFFIX}"):
        try:
            if not _is_free(path):
                return True
        except FileNotFoundError:
            pass  # it has just ended
        except OSError:
            return True
    return False


def sweep(directory: str, held: Collection[str]) -> None:
    """
    Remove the leases of processes that have ended, but not those that locks in *held* name.

    And what those leave behind that ended while they made one.
    """
    named = {locked_by.rpartition("/")[2] for locked_by in held}
    for path in chain.from_iterable(Path(directory).glob(f"*{one}") for one in (_SUFFIX, _DRAFT)):
        with suppress(OSError):
            if path.stem not in named and _is_free(path):
                path.unlink()


def _is_free(path: Path) -> bool:
    # Shared, so that two who ask at once do not take each other for the holder.
    descriptor = open_own(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)
