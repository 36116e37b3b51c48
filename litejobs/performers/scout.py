import logging
import selectors

from litejobs import defaults
from litejobs.errors import ConfigurationError, UnusableAppError
from litejobs.performers.manifest import Manifest
from litejobs.performers.process import PerformerProcess
from litejobs.performers.wire import Broken, Ready, Start
from litejobs.rules.text import printable_lines
from litejobs.stop import Stop

log = logging.getLogger("litejobs")


def fetch_manifest(start: Start, stop: Stop) -> Manifest | None:
    """
    Ask the app, in a process of its own, what it is; None if *stop* came first.

    Raises ConfigurationError if it does not load, UnusableAppError if there is no such app.
    """
    try:
        process = PerformerProcess("litejobs-app", start)
    except OSError as error:
        raise ConfigurationError(f"{start.app} cannot be loaded: {error}") from error
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process, selectors.EVENT_READ)
            selector.register(stop, selectors.EVENT_READ)
            while not stop.requested:
                if not selector.select(defaults.READINESS):
                    raise ConfigurationError(
                        f"the app {start.app} did not load within {defaults.READINESS:g} s"
                    )
                answer = _answer(process, start)
                if answer is not None:
                    return answer
            return None
    finally:
        process.close()


def _answer(process: PerformerProcess, start: Start) -> Manifest | None:
    messages, end = process.arrived()
    for message in messages:
        match message:
            case Ready(manifest):
                return manifest
            case Broken(reason, detail, final):
                if final:
                    raise UnusableAppError(reason)
                log.debug("%s", printable_lines(detail))
                raise ConfigurationError(reason)
    if end:
        raise ConfigurationError(
            f"the app {start.app} does not load: its process {process.ended_how()}"
        )
    return None
