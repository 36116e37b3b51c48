"""Giving back to the disk what deleted jobs have left empty."""

from typing import TYPE_CHECKING

from litejobs.adapters.sqlite import file
from litejobs.errors import JobStateError
from litejobs.run_directory.lease import is_worked_on

if TYPE_CHECKING:
    from litejobs.adapters.sqlite.adapter import SqliteAdapter


def vacuum(adapter: "SqliteAdapter", *, force: bool = False) -> tuple[int, int]:
    """
    Write the file anew without its empty pages; its bytes before and after, -wal included.

    Takes the write lock for as long as that takes, and meanwhile as much space again on the disk.
    Raises JobStateError while workers are there, unless *force*.
    """
    if is_worked_on(adapter.run_directory) and not force:
        raise JobStateError(
            f"workers are there: stop them first, for while {adapter.path} is written anew nobody "
            "can store a job; --force does it all the same"
        )
    before = _size(adapter.path)
    connection = adapter.connection
    connection.synchronise(durable=True)
    connection.execute("VACUUM")  # https://sqlite.org/lang_vacuum.html
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return before, _size(adapter.path)


def _size(path: str) -> int:
    return file.size(path) + file.size(f"{path}-wal")
