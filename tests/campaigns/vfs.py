"""
The file system of apsw, with somebody who watches: he may take notes or let a call go wrong.

Registered as the default, so that the code under test opens its files by it and knows nothing.
Shared memory and the locks in it pass by: apsw has no way to reach them.
"""

# ruff: noqa: N802  # SQLite's names of what a file system does

from contextlib import contextmanager

import apsw
from disk import File

BASE = apsw.vfs_names()[0]
_JOURNALS = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL


class Watcher:
    """Sees all that is done to the files of a directory whose *disk* it keeps."""

    def __init__(self, disk):
        self.disk = disk

    def before(self, call, name):
        """*call* ("write", "sync" ...) is about to be done; what this raises is its error."""

    def failed(self, call, name):
        """That call was to be done, and went wrong."""

    @contextmanager
    def seeing(self, call, name):
        """Around a call; *name* is None where the file is none of the disk's."""
        if name is None:
            yield
            return
        try:
            self.before(call, name)
            yield
        except apsw.Error:
            self.failed(call, name)
            raise


class WatchedFile(apsw.VFSFile):
    def __init__(self, watcher, path, flags):
        self._watcher = watcher
        # None for a temporary file, too
        self._name = None if path is None else watcher.disk.name_of(_text(path))
        with self._seeing("open"):
            super().__init__(BASE, path, flags)
        self._content = File() if self._name is None else watcher.disk.open(self._name)
        # With a new journal SQLite syncs the directory, at its first sync: os_unix.c, unixSync
        self._syncs_directory = bool(flags[0] & apsw.SQLITE_OPEN_CREATE and flags[0] & _JOURNALS)

    def _seeing(self, call):
        return self._watcher.seeing(call, self._name)

    def xRead(self, amount, offset):
        with self._seeing("read"):
            return super().xRead(amount, offset)

    def xWrite(self, data, offset):
        with self._seeing("write"):
            super().xWrite(data, offset)
        self._content.write(offset, data)

    def xTruncate(self, size):
        with self._seeing("truncate"):
            super().xTruncate(size)
        self._content.truncate(size)

    def xSync(self, flags):
        with self._seeing("sync"):
            self._content.sync()  # that of the model; the real one would only take time
        if self._syncs_directory:
            self._watcher.disk.sync_directory()
            self._syncs_directory = False

    def xFileSize(self):
        with self._seeing("size"):
            return super().xFileSize()

    def xLock(self, level):
        with self._seeing("lock"):
            super().xLock(level)


class WatchedVfs(apsw.VFS):
    def __init__(self, watcher):
        self._watcher = watcher
        super().__init__("watched", BASE, makedefault=True)

    def xOpen(self, path, flags):
        return WatchedFile(self._watcher, path, flags)

    def xDelete(self, path, sync_directory):
        name = self._watcher.disk.name_of(path)
        with self._watcher.seeing("delete", name):
            super().xDelete(path, sync_directory)
        if name is not None:
            self._watcher.disk.delete(name)
            if sync_directory:
                self._watcher.disk.sync_directory()


@contextmanager
def watched(watcher):
    """What apsw opens meanwhile is seen by *watcher*, until it is closed."""
    vfs = WatchedVfs(watcher)
    try:
        yield
    finally:
        vfs.unregister()


def _text(path):
    return path.filename() if isinstance(path, apsw.URIFilename) else path
