"""A daemon's log: a file of its own, rotated, opened anew when asked."""

import logging
import logging.handlers
import math
import os
from collections import deque
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path

from litejobs import defaults, logs
from litejobs.errors import ConfigurationError
from litejobs.performers.output import Output
from litejobs.performers.output import log as output_log
from litejobs.processes.beside import Beside

_HELD = 10_000  # records at most, until it is known where the log is
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY
log = logging.getLogger("litejobs")


class DaemonLog(Beside):
    """Holds what is logged until ``open`` says where to; then it also takes stdout and stderr."""

    def __init__(self, level: int) -> None:
        self.path = ""
        self._outputs: list[Output] = []
        self._file: LogFile | None = None
        self._held = Held()
        logging.raiseExceptions = False  # a full disk is no reason to say more
        logs.configure(level, "litejobs", handler=self._held)
        output_log.setLevel(logging.DEBUG)  # what jobs print is theirs to choose

    def open(self, path: Path) -> None:
        """Write there from now on; raises ConfigurationError if that cannot be done."""
        try:
            self._file = LogFile(path)
        except OSError as error:
            raise ConfigurationError(
                f"the log {path} cannot be written: {error.strerror}"
            ) from error
        self.path = str(path)
        self._file.setFormatter(_Formatter(logs.FORMAT.format(name="litejobs")))
        self._held.hand_over(self._file)
        logging.root.removeHandler(self._held)
        logging.root.addHandler(self._file)

    def reopen(self) -> None:
        """Go on in a new file of that name, if there is one."""
        if self._file is not None:
            self._file.reopen()
            log.info("the log was opened anew")

    def output(self, name: str) -> Output:
        """Where what the worker of that name prints goes."""
        self._outputs.append(Output(name))
        return self._outputs[-1]

    def work_once(self) -> bool:
        for output in self._outputs:
            output.tend()
        return False

    def patience(self) -> float:
        return min((output.patience() for output in self._outputs), default=math.inf)


class Held(logging.Handler):
    """Keeps what is logged, of more than 10,000 records the last, until there is a place for it."""

    def __init__(self) -> None:
        super().__init__()
        self._records: deque[logging.LogRecord] = deque(maxlen=_HELD)

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)

    def hand_over(self, to: logging.Handler) -> None:
        """Let *to* have all that is kept, in its order."""
        while self._records:
            to.handle(self._records.popleft())


class LogFile(logging.handlers.RotatingFileHandler):
    """For its owner only from the start, never behind a link; where stdout and stderr go too."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            path,
            maxBytes=defaults.LOG_SIZE,
            backupCount=defaults.LOG_COUNT,
            encoding="utf-8",
            errors="backslashreplace",
        )

    def reopen(self) -> None:
        """Let go of a file that was moved away; keep it where no new one can be made."""
        self.acquire()
        try:
            with suppress(OSError):
                old, self.stream = self.stream, self._open()
                if old is not None:  # at the last rotation there was no room for a new one
                    old.close()
        finally:
            self.release()

    def doRollover(self) -> None:  # noqa: N802  # logging's name
        """As inherited; where files cannot be renamed, go on in the one that is there."""
        try:
            super().doRollover()
        except OSError:
            self.stream = self._open()

    def _open(self) -> TextIOWrapper:
        # Not blocking: nobody may be reading what turns out to be a pipe.
        descriptor = os.open(self.baseFilename, _FLAGS | os.O_NONBLOCK, 0o600)
        for standard in (1, 2):
            os.dup2(descriptor, standard)
        return open(  # noqa: PTH123  # a descriptor
            descriptor, "a", encoding=self.encoding, errors=self.errors
        )


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        if record.name == output_log.name and record.levelno < logging.WARNING:
            return record.getMessage()  # a line that a worker printed is whole already
        return super().format(record)
