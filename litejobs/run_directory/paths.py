import os
import stat
from pathlib import Path

from litejobs.errors import ConfigurationError

_PRIVATE = 0o700


def run_directory(database: str) -> str:
    """The directory beside *database* in which its workers meet; it may not exist yet."""
    return f"{database}.run"


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
