from collections import deque
from collections.abc import Sequence

from litejobs.job import StoredJob
from litejobs.performers.tokens import Tokens


class Tray:
    """
    The jobs that one performer was handed and has not ended, in the order in which it runs them.

    They lie there in chunks. A chunk of which jobs were taken back is cut: the performer still
    holds those jobs, and would take the token of a later one for them. So nothing more is laid out
    until it has said of each cut chunk that it dropped the rest.
    """

    def __init__(self) -> None:
        self.tokens = Tokens()
        self.jobs: deque[StoredJob] = deque()
        self._chunks: deque[int] = deque()  # how many of the jobs are each one's
        self._cuts = 0  # chunks of which the performer has not said that it dropped the rest

    @property
    def chunks(self) -> int:
        """Chunks that are not ended."""
        return len(self._chunks)

    @property
    def takes_more(self) -> bool:
        """Whether another chunk may be laid out."""
        return self._cuts == 0

    def lay(self, jobs: Sequence[StoredJob]) -> None:
        """One more chunk; it is to be told to the performer after this."""
        self.tokens.lay(len(jobs))
        self.jobs.extend(jobs)
        self._chunks.append(len(jobs))

    def count_unbegun(self) -> int:
        """
        How many jobs were not begun a moment ago.

        What the performer said of the jobs that it began before can be heard after this.
        """
        return self.tokens.left() if len(self.jobs) > 1 else 0

    def ended(self, unbegun: int) -> list[StoredJob]:
        """
        Take away what must have ended as *unbegun* were left: all that were begun but the last.

        For after the performer was heard: of these it had nothing to say.
        """
        return self._pop(max(0, len(self.jobs) - unbegun - 1))

    def before(self, id_: int) -> list[StoredJob]:
        """Take away those that were begun before the job with that id; none if it is not here."""
        for count, job in enumerate(self.jobs):
            if job.id == id_:
                return self._pop(count)
        return []

    def pop(self, id_: int) -> StoredJob | None:
        """Take away the first job, if it has that id."""
        if not self.jobs or self.jobs[0].id != id_:
            return None
        [job] = self._pop(1)
        return job

    def take_back(self) -> list[StoredJob]:
        """Take away what was not begun: it never will be, there."""
        count = self.tokens.take_back()
        taken = [self.jobs.pop() for _ in range(count)][::-1]
        while count:
            chunk = self._chunks.pop()
            self._cuts += 1
            if chunk > count:
                self._chunks.append(chunk - count)
            count -= min(chunk, count)
        return taken

    def dropped(self) -> None:
        """The performer has dropped the rest of a chunk that was cut."""
        self._cuts -= 1

    def close(self) -> None:
        self.tokens.close()

    def _pop(self, count: int) -> list[StoredJob]:
        taken = [self.jobs.popleft() for _ in range(count)]
        while count:
            left = self._chunks.popleft()
            if left > count:
                self._chunks.appendleft(left - count)
            count -= min(left, count)
        return taken
