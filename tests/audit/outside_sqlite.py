"""
Nobody opens a database, its -wal or its -shm but SQLite while a connection to it is open here.

Closing such a descriptor drops the locks that SQLite holds for this process, so that others write
at the same time and what was stored is lost: https://sqlite.org/howtocorrupt.html section 2.2.
Python tells an audit hook of each file that it opens; SQLite opens files past it.

The directory of this module stands in PYTHONPATH: the children that tests start watch too.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

_REPORT = "OUTSIDE_SQLITE"  # names the file in which all processes of a test note what they saw


def install():
    """Watch this process from now on; an ``open`` that must not be raises RuntimeError."""
    sys.addaudithook(_heed)


def report_to(file):
    """Choose the file in which this process and its children note what they see."""
    os.environ[_REPORT] = str(file)


def seen():
    """What was noted since the last call, in words."""
    with suppress(FileNotFoundError):
        file = Path(os.environ[_REPORT])
        text = file.read_text()
        file.unlink()
        return text
    return ""


def _heed(event, arguments):
    if event != "open":  # of the many events that there are
        return
    path, _, flags = arguments
    # What is only made, O_EXCL, is not opened where it is there.
    if not isinstance(path, int) and not flags & os.O_EXCL and _is_in_use(path):
        text = f"{os.fsdecode(path)} was opened outside SQLite while a connection to it was open"
        with suppress(KeyError), Path(os.environ[_REPORT]).open("a") as report:
            report.write(f"{text}\n")
        raise RuntimeError(text)


def _is_in_use(path):
    module = sys.modules.get("litejobs.adapters.sqlite.connection")
    name = os.path.abspath(os.fsdecode(path))  # noqa: PTH100  # resolve() would look at files
    database = name.removesuffix("-wal").removesuffix("-shm")
    # A copy of what the WeakSet holds: other threads may add to it meanwhile.
    connections = [reference() for reference in list(getattr(module, "_registry", _NONE).data)]
    return any(one is not None and one._raw and one.path == database for one in connections)


class _NONE:
    data = ()
