"""The database as a file: may it be one, where does it lie, making it private from the start."""

import os
import re
import stat
import sys
import threading
from contextlib import suppress
from pathlib import Path

from litejobs.errors import DatabaseFileError, DiskError

# WAL needs memory shared by all who open the file: https://sqlite.org/wal.html#overview
NETWORK_FILE_SYSTEMS = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "davfs", "fuse.ceph", "fuse.davfs2", "fuse.glusterfs",
     "fuse.sshfs", "gfs2", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "smb3", "smbfs"}
)  # fmt: skip

_MOUNT_POINT = 4  # the field of mountinfo, counted from 0
_OCTAL = re.compile(r"\\([0-7]{3})")  # how it writes spaces and the like

# Closing any descriptor of the file drops the POSIX locks of every connection in this process
# (https://sqlite.org/howtocorrupt.html section 2.2.1), so nobody may open one while we create.
_creating = threading.Lock()


def locate(path: str | os.PathLike[str]) -> str:
    """The absolute path, directories resolved, with its last component as given."""
    given = Path(os.path.abspath(os.fspath(path)))  # noqa: PTH100  # resolve() would follow a link
    return str(given.parent.resolve() / given.name)


def check(path: str, *, mountinfo: str = "/proc/self/mountinfo") -> None:
    """Refuse what cannot be a database of ours. Looks at names only: never opens the file."""
    place = Path(path)
    if not place.parent.is_dir():
        raise DatabaseFileError(f"{path}: the directory {place.parent} does not exist")
    kind = file_system(path, mountinfo)
    if kind in NETWORK_FILE_SYSTEMS:
        raise DatabaseFileError(
            f"{path} is on a network file system ({kind}), where SQLite's locks and shared memory "
            "do not work; use a local disk"
        )
    try:
        status = place.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise DatabaseFileError(f"{path} cannot be looked at: {error.strerror}") from error
    if stat.S_ISLNK(status.st_mode):
        raise DatabaseFileError(f"{path} is a link to {place.readlink()}; name that file instead")
    if stat.S_ISDIR(status.st_mode):
        raise DatabaseFileError(f"{path} is a directory, not a database")
    if not stat.S_ISREG(status.st_mode):
        raise DatabaseFileError(f"{path} is not a regular file")
    if not os.access(path, os.R_OK | os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise DatabaseFileError(f"{path} is read-only for this user; jobs need it writable")


def create(path: str, mode: int) -> bool:
    """
    Make an empty file with *mode* unless there is one; True if it was made.

    SQLite would make it with the umask's mode; its -wal and -shm take over the mode they find.
    """
    with _creating:
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, mode)
        except FileExistsError:
            return False
        except PermissionError as error:
            raise DatabaseFileError(
                f"{path} cannot be made: its directory is not writable for this user"
            ) from error
        except OSError as error:
            raise DiskError(f"{path} cannot be made: {error.strerror}") from error
        try:
            os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)
    return True


def shortage() -> str | None:
    """Why this process can open no file at all, in the system's words; None while it can."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.strerror
    return None


def exists(path: str) -> bool:
    """Whether there is such a file."""
    return Path(path).exists()


def size(path: str) -> int:
    """Bytes of a file, 0 where there is none."""
    with suppress(FileNotFoundError):
        return Path(path).stat().st_size
    return 0


def file_system(path: str, mountinfo: str) -> str | None:
    """The type of the file system that holds *path*; None where the system does not tell."""
    if sys.platform != "linux":
        return None
    try:
        lines = Path(mountinfo).read_text("utf-8", "surrogateescape").split("\n")
    except OSError:
        return None
    best, kind = "", None
    for line in lines:
        # https://docs.kernel.org/filesystems/proc.html, section 3.5
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) <= _MOUNT_POINT or not after:
            continue
        point = _OCTAL.sub(lambda found: chr(int(found[1], 8)), fields[_MOUNT_POINT])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, after.split(" ")[0]
    return kind
