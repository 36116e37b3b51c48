import logging
import math
import selectors
import time
from collections.abc import Iterator
from typing import TypeVar

from litejobs import defaults
from litejobs.errors import ConfigurationError
from litejobs.performers.manifest import Manifest
from litejobs.performers.output import Output
from litejobs.performers.process import PerformerProcess
from litejobs.performers.wire import Broken, Cleared, Message, Ready, Start
from litejobs.rules.text import printable_lines
from litejobs.stop import Stop

A = TypeVar("A", Ready, Cleared)
log = logging.getLogger("litejobs")


def fetch_manifest(start: Start, stop: Stop, output: Output | None = None) -> Manifest | None:
    """
    Ask the app, in a process of its own, what it is; None if *stop* came first.

    *output* takes what the app prints meanwhile; None: it has our own stdout and stderr.
    Raises ConfigurationError if it does not load, UnusableAppError if there is no such app.
    """
    answer = _ask(start, stop, Ready, output)
    return None if answer is None else answer.manifest


def clear(start: Start, stop: Stop) -> int | None:
    """
    Let the app empty one of its adapters, and return how many jobs there were; None as above.

    Raises what the adapter raises, and what fetch_manifest does.
    """
    answer = _ask(start, stop, Cleared)
    return None if answer is None else answer.count


def _ask(start: Start, stop: Stop, kind: type[A], output: Output | None = None) -> A | None:
    """What the process says of that *kind*."""
    try:
        process = PerformerProcess("litejobs-app", start, output=output)
    except OSError as error:
        raise ConfigurationError(f"{start.app} cannot be loaded: {error}") from error
    with selectors.DefaultSelector() as selector:
        try:
            selector.register(process, selectors.EVENT_READ)
            selector.register(stop, selectors.EVENT_READ)
            if process.printed is not None:
                process.printed.watch(selector)
            end = time.monotonic() + defaults.READINESS
            while not stop.requested:
                left = None if end == math.inf else max(0, end - time.monotonic())
                if not selector.select(left):
                    raise ConfigurationError(
                        f"the app {start.app} did not load within {defaults.READINESS:g} s"
                    )
                if process.printed is not None:
                    process.printed.drain()
                for message in _arrived(process, start):
                    if isinstance(message, kind):
                        return message
                    if isinstance(message, Ready):
                        end = math.inf  # what it does then takes as long as it takes
            return None
        finally:
            process.close()


def _arrived(process: PerformerProcess, start: Start) -> Iterator[Message]:
    """What the process says; raises what it, or its end, says that went wrong."""
    messages, end = process.arrived()
    for message in messages:
        if isinstance(message, Broken):
            log.debug("%s", printable_lines(message.detail))
            raise message.error()
        yield message
    if end:
        how = process.ended_how(defaults.LAST_WORDS)
        raise ConfigurationError(f"the app {start.app} does not load: its process {how}")
