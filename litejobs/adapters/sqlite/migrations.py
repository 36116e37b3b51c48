"""Whose file is it, which schema has it, and the way to ours. Forward only."""

from litejobs.adapters.sqlite.connection import Connection
from litejobs.adapters.sqlite.queries import schema
from litejobs.errors import DatabaseFileError

SCHEMA_VERSION = 1
APPLICATION_ID = 0x6C6A6F62  # "ljob", https://sqlite.org/pragma.html#pragma_application_id


def prepare(connection: Connection, table: str, *, adopt: bool, create: bool) -> None:
    """
    Make the file one that this version can use, or refuse it in one sentence and leave it as it is.

    *adopt*: the table may be added to a database of another program. *create*: it may be made.
    """
    version = identify(connection, table)
    if version is None:
        if not create:
            raise DatabaseFileError(
                f"{connection.path} holds no table {table} of litejobs; "
                "where an app names its own, say --app MODULE:NAME"
            )
        if not adopt and _tables(connection):
            raise DatabaseFileError(
                f"{connection.path} is a database of another program and holds no jobs; if jobs "
                f"should live in it, say so in Python: SqliteAdapter({connection.path!r})"
            )
    connection.set_up()
    if version is None:
        _create(connection, table)


def identify(connection: Connection, table: str) -> int | None:
    """
    The version of our schema in the file; None if it has none yet. Reads only.

    Raises DatabaseFileError if the file is another program's or a newer litejobs'.
    """
    [(application_id,)] = connection.execute("PRAGMA application_id")
    if application_id not in (0, APPLICATION_ID):
        raise DatabaseFileError(
            f"{connection.path} belongs to another program (its application_id is {application_id})"
        )
    tables = _tables(connection)
    if table not in tables and f"{table}_meta" not in tables:
        return None
    if table not in tables or f"{table}_meta" not in tables:
        raise DatabaseFileError(
            f"{connection.path} has a table {table} that litejobs did not make; "
            "use another file, or SqliteAdapter(..., table=...)"
        )
    rows = connection.execute(f"SELECT value FROM {table}_meta WHERE key = 'schema_version'")
    version = int(rows[0][0]) if rows and str(rows[0][0]).isdecimal() else 0
    if version > SCHEMA_VERSION:
        raise DatabaseFileError(
            f"{connection.path} was written by a newer litejobs (schema {version}, this one knows "
            f"{SCHEMA_VERSION}); upgrade litejobs"
        )
    if version < 1:
        raise DatabaseFileError(f"{connection.path} does not say which schema {table} has")
    return version


def _tables(connection: Connection) -> set[str]:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {name for (name,) in rows if not name.startswith("sqlite_")}


def _create(connection: Connection, table: str) -> None:
    with connection.transaction():
        # Another process may have been first while we waited for the lock.
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        if (table,) in names:
            return
        if not names:  # a file of our own; an app's keeps the id that it has
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        for statement in schema(table):
            connection.execute(statement)
        connection.execute(
            f"CREATE TABLE {table}_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT"
        )
        connection.execute(
            f"INSERT INTO {table}_meta VALUES ('schema_version', '{SCHEMA_VERSION}')"
        )
