import logging
import selectors
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

from litejobs import defaults
from litejobs.errors import ConfigurationError, LitejobsError
from litejobs.performers.manifest import Manifest
from litejobs.performers.place import Place
from litejobs.performers.wire import GARBLED, Broken, Message, Ready
from litejobs.rules.text import printable_lines

P = TypeVar("P", bound=Place)
_FAILED_STARTS = 3  # in a row, of one place, until those who give up do
log = logging.getLogger("litejobs")


class Crew(ABC, Generic[P]):
    """Keeps a process at each place: starts it, hears it, notices its end, starts the next."""

    def __init__(
        self, places: Sequence[P], selector: selectors.BaseSelector, *, give_up: bool
    ) -> None:
        """*give_up*: tell by ``why_hopeless`` when an app does not load, rather than retry."""
        self.places = places
        self._selector = selector
        self._give_up = give_up

    @abstractmethod
    def heed(self, place: P, message: Message) -> None:
        """What the process at *place* says, once it is ready."""

    def ready(self, place: P, manifest: Manifest) -> None:
        """The process at *place* has loaded the app, which tells of itself what *manifest* says."""

    def hung_up(self, place: P) -> None:
        """The process at *place* speaks no more, and ends soon."""

    @abstractmethod
    def lost(self, place: P, what: str) -> bool:
        """The process at *place* is over, for *what* happened; whether there is no more to say."""

    def why_hopeless(self) -> LitejobsError | None:
        """Why to try no longer, if an app does not load and that is not to be waited for."""
        if not self._give_up:
            return None
        tried = [place for place in self.places if place.failed_starts >= _FAILED_STARTS]
        return tried[0].broken if tried else None

    def is_up(self) -> bool:
        """Whether at every place a process has loaded its app."""
        return all(place.manifest is not None for place in self.places)

    def persevere(self) -> None:
        """From now on an app that does not load is waited for."""
        self._give_up = False

    def pids(self) -> list[int]:
        """The processes that are there."""
        return [place.process.pid for place in self.places if place.process is not None]

    def tend(self, place: P) -> None:
        """See to it that a process is there, or soon will be."""
        if place.process is None:
            self._launch(place)
        else:
            self.watch(place)

    def watch(self, place: P) -> None:
        """Notice the end of a process that its socket does not tell of."""
        assert place.process is not None
        if place.hung_up:
            if place.process.has_ended() or place.is_speechless():
                self.listen(place)
                self.bury(place, place.process.ended_how())
        elif place.is_overdue():
            self.bury(place, f"did not load its app within {defaults.READINESS:g} s")
        elif place.lingers():
            self.leave(place)
        elif not place.is_free() and place.process.has_ended():
            self.listen(place)  # a process of its job may still hold the socket
            self.bury(place, place.process.ended_how())

    def bury(self, place: P, what: str) -> None:
        """The process is over, or must be."""
        if not self.lost(place, what):
            if place.manifest is not None:
                log.error("%s %s; another is started", place.who, what)
            elif place.broken is None:
                self._say_broken(place, ConfigurationError(f"{place.who} {what} while it loaded"))
        self.leave(place)

    def kill(self, place: P) -> None:
        """End the process at once; what it said before counts."""
        assert place.process is not None
        place.process.kill()
        self.listen(place)

    def leave(self, place: P) -> None:
        """The process at *place* goes, whatever it is doing."""
        assert place.process is not None
        if not place.hung_up:
            self._selector.unregister(place.process)
        place.process.close()
        place.vacate()

    def patience(self) -> float:
        return min(place.patience() for place in self.places)

    def close(self) -> None:
        """End every process: idle ones may end by themselves, which flushes what they print."""
        deadline = time.monotonic() + defaults.FAREWELL
        for place in self.places:
            if place.process is not None:
                place.process.dismiss()
        for place in self.places:
            if place.process is not None:
                if place.is_free() or place.leaves:
                    place.process.end(deadline)
                self.leave(place)

    def _launch(self, place: P) -> None:
        try:
            is_there = place.launch()
        except OSError as error:
            reason = f"{place.name} cannot be started: {error}"
            self._say_broken(place, ConfigurationError(reason))
            place.vacate()
            return
        if is_there:
            assert place.process is not None
            self._selector.register(place.process, selectors.EVENT_READ, lambda: self._hear(place))
            if place.process.printed is not None:
                place.process.printed.watch(self._selector)

    def _hear(self, place: P) -> None:
        assert place.process is not None
        end = self.listen(place)
        if end == GARBLED:
            self.bury(place, "wrote something of its own to the runner")
        elif end and place.process.has_ended():
            self.bury(place, place.process.ended_how())
        elif end:
            self.hang_up(place)

    def hang_up(self, place: P) -> None:
        """The process has closed its socket: it is about to end, which nobody else waits for."""
        assert place.process is not None
        self._selector.unregister(place.process)
        place.hangs_up()
        self.hung_up(place)

    def listen(self, place: P) -> str:
        """Heed what the process says; why it will say no more, or an empty text."""
        assert place.process is not None
        messages, end = place.process.arrived()
        for message in messages:
            match message:
                case Ready(manifest):
                    place.loaded(manifest)
                    self.ready(place, manifest)
                case Broken():
                    self._say_broken(place, message.error())
                    log.debug("%s", printable_lines(message.detail))
                    place.failed_starts = _FAILED_STARTS
                case _:
                    self.heed(place, message)
        return end

    def _say_broken(self, place: P, reason: LitejobsError) -> None:
        """Once, loudly; the same again only quietly."""
        if str(reason) not in {str(other.broken) for other in self.places}:
            log.error("%s%s", reason, "" if self._give_up else "; tried again until it works")
        place.broken = reason
