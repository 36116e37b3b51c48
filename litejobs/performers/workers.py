"""The runner's side of workers that find their jobs themselves, on storage it cannot open."""

import selectors
from collections.abc import Callable, Sequence

from litejobs import defaults
from litejobs.job import Outcome
from litejobs.performers.crew import Crew
from litejobs.performers.manifest import Manifest
from litejobs.performers.place import Place
from litejobs.performers.wire import Idle, Look, Message, Settled
from litejobs.stop import Stop


class WorkerPlace(Place):
    """Where a worker with its own connection to its storage runs."""

    watch = defaults.SLEEP_DELAY
    is_idle = False  # it says that it has nothing left to do
    looked_at = 0  # outcomes that there were when it was last sent to look

    def is_free(self) -> bool:
        return self.is_idle

    def loaded(self, manifest: Manifest) -> None:
        super().loaded(manifest)
        self.is_idle = False


class WorkerProcesses(Crew[WorkerPlace]):
    """
    The groups of one adapter that is the app's own: to the runner's loop like one Worker.

    Of a process that dies nothing can be settled here: its job comes back by the storage's own
    rule, which is why ``find`` is told max_runtime.
    """

    def __init__(
        self,
        places: Sequence[WorkerPlace],
        selector: selectors.BaseSelector,
        *,
        stop: Stop,
        workoff: bool,
        give_up: bool,
        on_settled: Callable[[Outcome], None],
        settled: Callable[[], int],
    ) -> None:
        """*settled* says how many outcomes of any worker have been recorded so far."""
        super().__init__(places, selector, give_up=give_up)
        self.finished = False
        self._stop = stop
        self._workoff = workoff
        self._on_settled = on_settled
        self._settled = settled
        self._has_moved = False

    def work_once(self) -> bool:
        """Keep the processes going; False if none of them has recorded anything."""
        for place in self.places:
            self._see_to(place)
        why = self.why_hopeless()
        if why:
            raise why
        if self._stop.requested:
            self.finished = all(place.process is None for place in self.places)
        else:
            self.finished = self._workoff and all(place.is_idle for place in self.places)
        has_moved, self._has_moved = self._has_moved, False
        return has_moved

    def abandon(self) -> None:
        """Stop at once; jobs that are running come back by their storage's own rule."""
        for place in self.places:
            if place.process is not None:
                self.kill(place)
                self.leave(place)

    def heed(self, place: WorkerPlace, message: Message) -> None:
        match message:
            case Settled(outcome):
                self._has_moved = True
                self._on_settled(outcome)
            case Idle():
                place.is_idle = True

    def lost(self, place: WorkerPlace, _what: str) -> bool:
        """One that was told to stop and has done so leaves nothing to say."""
        was_idle, place.is_idle = place.is_idle, False
        return was_idle and self._stop.requested

    def _see_to(self, place: WorkerPlace) -> None:
        if not self._stop.requested:
            self.tend(place)
            # A job of any worker may have stored one for this.
            if place.is_idle and place.looked_at != self._settled():
                self._send_to_look(place)
        elif place.process is not None:
            if self._stop.at_once:
                self.kill(place)
            if self._stop.at_once or place.manifest is None:
                self.leave(place)
            else:
                place.process.dismiss()
                self.watch(place)

    def _send_to_look(self, place: WorkerPlace) -> None:
        assert place.process is not None
        place.looked_at = self._settled()
        place.is_idle = False
        if not place.process.send(Look()):
            self.bury(place, "did not read what it was told")
