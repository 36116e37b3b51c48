"""The runner's side of workers that find their jobs themselves, on storage it cannot open."""

import logging
import selectors
from collections.abc import Callable, Sequence

from litejobs import defaults
from litejobs.job import Outcome
from litejobs.performers.crew import Crew
from litejobs.performers.manifest import Manifest
from litejobs.performers.place import Place
from litejobs.performers.wire import Begun, Idle, Leaves, Look, Message, Over, Settled
from litejobs.stop import Stop

log = logging.getLogger("litejobs")


class WorkerPlace(Place):
    """Where a worker with its own connection to its storage runs."""

    watch = defaults.SLEEP_DELAY
    is_idle = False  # it says that it has nothing left to do
    job_id = 0  # of the job that began last
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
        on_settled: Callable[[Sequence[Outcome]], None],
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

    @property
    def busy(self) -> bool:
        """Whether a job may be running: of short ones a worker does not say that they begin."""
        return any(
            place.process is not None and place.manifest is not None and not place.is_idle
            for place in self.places
        )

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

    def patience(self) -> float:
        """Once they are to stop, nothing is started where no process is."""
        if not self._stop.requested:
            return super().patience()
        left = [place for place in self.places if place.process is not None]
        return min((place.patience() for place in left), default=0.0)

    def abandon(self) -> None:
        """Stop at once; jobs that are running come back by their storage's own rule."""
        for place in self.places:
            if place.process is not None:
                self.kill(place)
                self.leave(place)

    def heed(self, place: WorkerPlace, message: Message) -> None:
        match message:
            case Begun(id_, limits):
                place.job_id = id_
                place.counts_from_now(limits)
            case Over():
                place.counts_no_more()
            case Settled(outcomes):
                self._has_moved = True
                self._on_settled(outcomes)
            case Idle():
                place.is_idle = True
            case Leaves(why):
                log.debug("%s %s and is replaced", place.who, why)
                place.takes_leave(why)

    def watch(self, place: WorkerPlace) -> None:
        if not place.is_out_of_time():
            super().watch(place)
            return
        self.kill(place)
        if place.is_out_of_time():  # it has not ended just now
            log.error(
                "job %d did not heed its max_runtime: %s is killed, and another is started; the "
                "job comes back by its storage's own rule",
                place.job_id,
                place.who,
            )
        place.takes_leave("did not end in time")
        self.leave(place)

    def lost(self, place: WorkerPlace, _what: str) -> bool:
        """One that was told to stop and has done so leaves nothing to say."""
        was_idle, place.is_idle = place.is_idle, False
        return bool(place.leaves) or (was_idle and self._stop.requested)

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
