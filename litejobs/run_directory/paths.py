import os
import stat
from pathlib import Path

from litejobs.errors import ConfigurationError

_PRIVATE = 0o700
_SUFFIX = ".run"


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


def write_private(path: Path, data: bytes) -> None:
    """Put a file in place that only its owner can read; nobody ever sees half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(draft, flags, 0o600), "wb") as file:  # noqa: PTH123  # a descriptor
        file.write(data)
    draft.replace(path)
