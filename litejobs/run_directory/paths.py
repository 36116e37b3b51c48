import errno
import os
import stat
from pathlib import Path

from litejobs.errors import ConfigurationError

_PRIVATE = 0o700
_SUFFIX = ".run"
_MOST = 1 << 20  # bytes that a file of ours holds
_IN_THE_WAY = (errno.ELOOP, errno.ENXIO, errno.EISDIR)  # a link, a socket, a directory


def run_directory(database: str) -> str:
    """The directory beside *database* in which its workers meet; it may not exist yet."""
    return f"{database}{_SUFFIX}"


def database_of(directory: str) -> str:
    """The database beside which a run directory is."""
    return directory.removesuffix(_SUFFIX)


def make(directory: str) -> None:
    """
    Make the directory, for its owner only; one that is there must be such.

    Raises ConfigurationError if it is a link, no directory, or another user's.
    """
    path = Path(directory)
    try:
        path.mkdir(mode=_PRIVATE, exist_ok=True)
    except FileExistsError as error:
        raise ConfigurationError(f"{directory} is in the way: it is not a directory") from error
    except OSError as error:
        raise ConfigurationError(f"{directory} cannot be made: {error.strerror}") from error
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigurationError(f"{directory} is a link; remove it, litejobs makes its own")
    if status.st_uid != os.geteuid():
        raise ConfigurationError(f"{directory} belongs to another user; run as its owner")
    if stat.S_IMODE(status.st_mode) != _PRIVATE:
        path.chmod(_PRIVATE)


def open_own(path: Path, flags: int = os.O_RDONLY) -> int:
    """
    Open a file in a run directory.

    What has its name and is no file (a link, a pipe, a socket, a directory) is not followed, waited
    for or read: FileNotFoundError, as if there were nothing.
    """
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno in _IN_THE_WAY:
            raise _not_a_file(path) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_a_file(path)
    return descriptor


def read_own(path: Path) -> bytes:
    """What a file in a run directory holds, as far as litejobs may have written it."""
    with open(open_own(path), "rb") as file:
        return file.read(_MOST)


def _not_a_file(path: Path) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "it is in the way, for it is not a file", str(path))


def write_private(path: Path, data: bytes) -> None:
    """Put a file in place that only its owner can read; nobody ever sees half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(draft, flags, 0o600), "wb") as file:  # noqa: PTH123  # a descriptor
        file.write(data)
    draft.replace(path)
