"""
A disk as a power cut may leave it: what was synced stands, of the rest any part may.

Writes reach the disk in any order and by sectors. Names come and go in order: none, some or all of
the changes of the directory since it was synced. Reading and the -shm, which SQLite makes anew, are
not modelled.
"""

from pathlib import Path

SECTOR = 512  # bytes that a disk writes whole or not at all


class File:
    """The bytes of one file: those that were synced, and what was done to them since."""

    def __init__(self, content=b""):
        self.synced = bytearray(content)
        self._since = []  # (offset, bytes), or (size, None) for a truncation

    def write(self, offset, data):
        self._since += pieces(offset, bytes(data))

    def truncate(self, size):
        self._since.append((size, None))

    def sync(self):
        for change in self._since:
            apply(self.synced, change)
        self._since.clear()

    def fail_sync(self, chance):
        """The system forgets what it could not write: no later sync makes up for it."""
        self.synced = self.after_cut(chance)
        self._since.clear()

    def after_cut(self, chance):
        """What may be left of it."""
        left = bytearray(self.synced)
        if chance.random() < 1 / 3:
            kept = self._since[: chance.randint(0, len(self._since))]
        else:
            share = chance.choice((0, 0.1, 0.5, 0.9, 1))
            kept = [change for change in self._since if chance.random() < share]
        for change in kept:
            apply(left, change)
        return left


class Disk:
    """The files of one *directory*; those that it holds now are synced."""

    def __init__(self, directory):
        self._directory = Path(directory).resolve()
        files = [path for path in self._directory.iterdir() if path.is_file()]
        self._files = {path.name: File(path.read_bytes()) for path in files}
        self._synced = dict(self._files)  # what the names stand for on the disk
        self._since = []  # (name, File or None) since

    def name_of(self, path):
        """By what name it holds that file; None for one that lies elsewhere."""
        return Path(path).name if Path(path).parent == self._directory else None

    def open(self, name):
        """The file of that name, made where there is none."""
        if name not in self._files:
            self._files[name] = File()
            self._since.append((name, self._files[name]))
        return self._files[name]

    def delete(self, name):
        del self._files[name]
        self._since.append((name, None))

    def sync_directory(self):
        self._synced = dict(self._files)
        self._since.clear()

    def after_cut(self, chance):
        """The bytes that may be left, by name."""
        left = dict(self._synced)
        left.update(self._since[: chance.randint(0, len(self._since))])
        return {name: file.after_cut(chance) for name, file in left.items() if file is not None}


def pieces(offset, data):
    """A write, cut where one sector ends and the next begins."""
    end = offset + len(data)
    starts = [offset, *range(offset // SECTOR * SECTOR + SECTOR, end, SECTOR)]
    return [
        (start, data[start - offset : stop - offset])
        for start, stop in zip(starts, [*starts[1:], end], strict=True)
    ]


def apply(content, change):
    """Do to *content*, a bytearray, what a write or a truncation does."""
    offset, data = change
    end = offset if data is None else offset + len(data)
    content.extend(bytes(max(0, end - len(content))))
    if data is None:
        del content[offset:]
    else:
        content[offset:end] = data
