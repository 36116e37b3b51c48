"""A disk that goes wrong: which call, with which error, once or from then on."""

from collections import Counter
from dataclasses import dataclass

import apsw
from disk import Disk
from vfs import Watcher

ERRORS = {
    "read": [apsw.SQLITE_IOERR_READ],
    "write": [apsw.SQLITE_IOERR_WRITE, apsw.SQLITE_FULL],
    "sync": [apsw.SQLITE_IOERR_FSYNC],
    "truncate": [apsw.SQLITE_IOERR_TRUNCATE],
    "size": [apsw.SQLITE_IOERR_FSTAT],
    "lock": [apsw.SQLITE_IOERR_LOCK, apsw.SQLITE_BUSY],
    "open": [apsw.SQLITE_CANTOPEN],
    "delete": [apsw.SQLITE_IOERR_DELETE],
}


@dataclass(frozen=True)
class Fault:
    """Of the calls of that *kind* number *first*, from 1, goes wrong, and how many from there."""

    kind: str
    code: int
    first: int
    lasting: float

    def strikes(self, number):
        return self.first <= number < self.first + self.lasting


def faults(calls, lasting):
    """All that can go wrong in *calls*, counted by kind; each once, and *lasting* so many calls."""
    for kind, codes in ERRORS.items():
        for first in range(1, calls[kind] + 1):
            for code in codes:
                for times in (1, lasting):
                    yield Fault(kind, code, first, times)


class Saboteur(Watcher):
    """Counts the calls, and lets those go wrong that a fault strikes."""

    def __init__(self, directory, chance):
        super().__init__(Disk(directory))
        self.calls = Counter()
        self._chance = chance
        self._fault = None

    def start(self, fault=None):
        """Count from now, with that fault or none."""
        self.calls.clear()
        self._fault = fault

    def before(self, call, name):
        self.calls[call] += 1
        fault = self._fault
        if fault and call == fault.kind and fault.strikes(self.calls[call]):
            error = apsw.exception_for(fault.code)
            error.args = (f"call {self.calls[call]} of {call} went wrong",)
            raise error

    def failed(self, call, name):
        if call == "sync":
            self.disk.open(name).fail_sync(self._chance)
