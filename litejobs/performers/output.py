"""What the processes of a worker print, on its way into a daemon's log."""

import logging
import math
import os
import re
import selectors
import time
from contextlib import suppress

from litejobs import defaults
from litejobs.rules.text import printable_lines

_READ = 65_536  # bytes: what a pipe holds
_READS = 16  # in a row; then the others have their turn
_OVERHEAD = 64  # bytes that a line costs in the log, however short
_WINDOW = 1.0  # seconds
log = logging.getLogger("litejobs.output")


class Output:
    """
    The lines that one worker's processes print, each with its name, at a bounded rate.

    Lines that are the performer's own log already begin with time and name, and stay as they are.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._logged = re.compile(rf"\d{{4}}-\d\d-\d\d [\d:,]+ [A-Z]+ +{re.escape(name)}: ")
        self._rest = b""
        self._is_skipping = False  # the rest of a line whose beginning was dropped
        self._window = -math.inf  # when it began (monotonic)
        self._used = 0  # bytes, in this window
        self._dropped = self._dropped_bytes = 0

    def take(self, data: bytes) -> None:
        """Log what is whole lines now, as far as it is not too much."""
        self.tend()
        if time.monotonic() > self._window + _WINDOW:
            self._window, self._used = time.monotonic(), 0
        if self._used >= defaults.PRINTED_RATE or self._is_skipping:
            data = self._skip(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        while len(self._rest) > defaults.PRINTED_LINE:
            lines.append(self._rest[: defaults.PRINTED_LINE])
            self._rest = self._rest[defaults.PRINTED_LINE :]
        for line in lines:
            self._say(line)

    def end(self) -> None:
        """The process is over: a last line without an end is one too."""
        if self._rest:
            self._say(self._rest)
        self._dropped += self._is_skipping
        self._rest, self._is_skipping = b"", False

    def tend(self) -> None:
        """Say how much was dropped, once a second at most."""
        if self._dropped and self.patience() == 0:
            log.warning(
                "%s: printed too much: %s lines (%s bytes) were dropped",
                self._name, f"{self._dropped:,}", f"{self._dropped_bytes:,}",
            )  # fmt: skip
            self._dropped = self._dropped_bytes = 0

    def patience(self) -> float:
        """Seconds until there is something to tend to."""
        return max(0.0, self._window + _WINDOW - time.monotonic()) if self._dropped else math.inf

    def _skip(self, data: bytes) -> bytes:
        """Drop what there is no room for; return what is left. A line counts where it ends."""
        if self._used < defaults.PRINTED_RATE:  # only the rest of one line
            head, end, data = data.partition(b"\n")
            self._is_skipping = not end
            self._dropped += len(end)
            self._dropped_bytes += len(head) + len(end)
            return data
        self._dropped += data.count(b"\n")
        self._dropped_bytes += len(self._rest) + len(data)
        self._is_skipping = not data.endswith(b"\n")
        self._rest = b""
        return b""

    def _say(self, line: bytes) -> None:
        self._used += len(line) + _OVERHEAD
        if self._used >= defaults.PRINTED_RATE:
            self._dropped += 1
            self._dropped_bytes += len(line) + 1
            return
        text = line.decode("utf-8", "backslashreplace").rstrip("\r")
        shown = text if text.isprintable() else printable_lines(text)
        log.info("%s", shown if self._logged.match(shown) else f"{self._name}: {shown}")


class Printed:
    """
    The pipe that is one process's stdout and stderr; a file for a selector.

    Whoever starts the process closes *writer*, the other end, when that is done.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._selector: selectors.BaseSelector | None = None
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)

    def fileno(self) -> int:
        return self._reader

    def watch(self, selector: selectors.BaseSelector) -> None:
        """Be drained whenever *selector* sees something, until the end."""
        self._selector = selector
        selector.register(self, selectors.EVENT_READ, self.drain)

    def drain(self) -> None:
        """Take what there is, but not for ever."""
        if self._reader < 0:
            return  # closed while the selector was about to call
        with suppress(BlockingIOError):
            for _ in range(_READS):
                data = os.read(self._reader, _READ)
                if not data:
                    self._unwatch()
                    return
                self._output.take(data)

    def close(self) -> None:
        """After the end of the process; one that it left behind may still hold the other end."""
        self.drain()
        self._unwatch()
        self._output.end()
        reader, self._reader = self._reader, -1
        os.close(reader)

    def _unwatch(self) -> None:
        selector, self._selector = self._selector, None
        if selector is not None:
            selector.unregister(self)
