"""
The write-ahead log as a file: how large it is, and a word about it when it cannot be started anew.

SQLite starts it anew when all that is in it has been copied into the database and nobody reads it
any more. Where many processes write without a pause that moment does not come by itself, and
somebody has to keep the others off. While a transaction stays open that has read something, nobody
can, and every commit makes it longer:
https://sqlite.org/wal.html#avoiding_excessively_large_wal_files
"""

import logging

from litejobs.adapters.sqlite import file

LIMIT = 64 * 1024 * 1024  # bytes that it keeps on disk when it is started anew


def size(database: str) -> int:
    """Bytes of the log of that database, 0 where there is none."""
    return file.size(f"{database}-wal")


def is_to_be_emptied(database: str) -> bool:
    """Whether it is half as large as it may become, so that somebody should see to it."""
    return size(database) > LIMIT // 2


def complaint(database: str, size: int) -> str | None:
    """What somebody should know of a log of that *size*; None where all is well."""
    if size <= LIMIT:
        return None
    return (
        f"the write-ahead log {database}-wal has grown to {size:,} bytes: a program keeps a "
        "transaction open that has read something, or writes very much in one"
    )


class Watch:
    """Says what there is to complain about: once, and again when it has become twice as bad."""

    def __init__(self, database: str, logger: logging.Logger) -> None:
        self._database = database
        self._logger = logger
        self._bearable = 0  # bytes up to which nothing is said

    def look(self) -> None:
        """Look at the log, by its name alone; to be called about once a second."""
        now = size(self._database)
        if (text := complaint(self._database, now)) is None:
            self._bearable = 0
        elif now > self._bearable:
            self._bearable = 2 * now
            self._logger.warning("%s", text)
