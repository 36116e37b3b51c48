"""The states that a database had, one for each commit, and what led to them."""

import hashlib
from contextlib import contextmanager
from unittest import mock

from litejobs.adapters.sqlite.connection import Connection

NOTHING = "nothing"  # the state of a database without tables


class History:
    """What was committed, in order, and how much of it the caller has been told."""

    def __init__(self, state=NOTHING, listener=lambda *event: None):
        """*state* is the first; *listener* is told of each event, by its name."""
        self.states = [state]
        self.made_by = [""]  # which operation led to each
        self.acknowledged = 0  # the last state of which the caller knows
        self.operation = ""  # what goes on
        self._listener = listener

    def begin(self, operation):
        """An operation is called."""
        self.operation = operation
        self._listener("begin", operation)

    def note(self, state):
        """The database holds that now."""
        if state != self.states[-1]:
            self.states.append(state)
            self.made_by.append(self.operation)
            self._listener("note", state)

    def acknowledge(self):
        """The operation has returned."""
        self.acknowledged = len(self.states) - 1
        self._listener("acknowledge")


def state(execute):
    """All that a database holds, told by a function that runs SQL, in a short text."""
    schema = execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()
    tables = [name for kind, name, _ in schema if kind == "table"]
    rows = [execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in tables]
    return hashlib.md5(repr((schema, tables, rows)).encode()).hexdigest() if schema else NOTHING


@contextmanager
def noted(history):
    """Meanwhile *history* is told of every commit of the adapter."""
    run = Connection._run

    def noting(connection, how, sql, values=()):
        result = run(connection, how, sql, values)
        if not connection._inside or sql == "COMMIT":
            history.note(state(connection._raw.execute))
        return result

    with mock.patch.object(Connection, "_run", noting):
        yield
