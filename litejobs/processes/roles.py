"""What a runner asks of those whom it works for, and tells."""

from collections.abc import Sequence
from typing import Protocol

from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.job import Outcome
from litejobs.performers.manifest import Manifest
from litejobs.performers.wire import Start
from litejobs.stop import Stop


class Source(Protocol):
    """What a runner works for: an app, or a database without one."""

    @property
    def start(self) -> Start:
        """What each performer is told first."""
        ...

    def manifest(self, stop: Stop) -> Manifest | None:
        """Groups and storages; None if *stop* came first."""
        ...

    def adapters(self, manifest: Manifest) -> dict[str, SqliteAdapter]:
        """Those of the storages that a runner can open, opened, by the manifest's keys."""
        ...


class Observer(Protocol):
    """Is told what happens."""

    def ready(self, due: int) -> None:
        """Workers begin; so many jobs are due now, counted for a workoff only."""
        ...

    def up(self, workers: Sequence[str]) -> None:
        """All of the workers, named, have loaded the app."""
        ...

    def settled(self, outcomes: Sequence[Outcome]) -> None:
        """These outcomes of runs are recorded."""
        ...
