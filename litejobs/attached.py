"""
The entry of a runner that an app has started for itself: it ends when the app does.

Started as ``python -P -m litejobs.attached LEASH LEVEL ROOT APP DATABASE``: LEASH is a descriptor
whose other end the app holds, LEVEL that of its logger; of APP and DATABASE one is empty.
"""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from litejobs import logs
from litejobs.errors import LitejobsError
from litejobs.job import Outcome
from litejobs.processes.notify import Notifier
from litejobs.processes.runner import Runner
from litejobs.processes.sources import AppSource, DatabaseSource
from litejobs.rules.text import printable


class Silent:
    """Nobody watches; what is to be said is logged."""

    def ready(self, due: int) -> None: ...

    def up(self, workers: Sequence[str]) -> None: ...

    def settled(self, outcomes: Sequence[Outcome]) -> None: ...


def main(leash: str, level: str, root: str, app: str, database: str) -> int:
    """Work until the app ends or says stop; the exit code."""
    Notifier.from_environment()  # the app's to use, not ours
    log_level = int(level)
    logs.configure(log_level, "litejobs")
    source: AppSource | DatabaseSource
    if app:
        source = AppSource(app, Path(root), None, log_level)
    else:
        source = DatabaseSource(Path(database), Path(root), log_level)
    try:
        return Runner(source, Silent(), leash=int(leash)).run()
    except LitejobsError as error:
        logging.getLogger("litejobs").error("%s", printable(str(error)))  # noqa: TRY400  # one sentence
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
