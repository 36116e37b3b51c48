"""work, workoff, worker: the commands that run jobs."""

import json
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, get_args

import click

from litejobs import logs
from litejobs.cli.change import cleared
from litejobs.cli.options import (
    COUNT,
    MAX_JOBS,
    MAX_MEMORY,
    QUEUES,
    STOP_TIMEOUT,
    database_argument,
    json_option,
    log_level_option,
    project,
    project_options,
)
from litejobs.errors import UsageError
from litejobs.job import Outcome
from litejobs.processes.notify import Notifier
from litejobs.processes.runner import Only, Runner


class Tally:
    """Counts outcomes; on a terminal it draws a progress bar meanwhile."""

    def __init__(self, *, bar: bool = False) -> None:
        self.counts: Counter[str] = Counter()
        self.started = time.monotonic()
        self._bar: Any = None
        self._draw = bar and sys.stderr.isatty()

    def ready(self, due: int) -> None:
        self.started = time.monotonic()
        if self._draw and due:
            self._bar = click.progressbar(
                length=due, label="jobs", show_pos=True, file=sys.stderr,
                update_min_steps=max(1, due // 500),
            )  # fmt: skip
            self._bar.render_progress()

    def up(self, workers: Sequence[str]) -> None: ...

    def settled(self, outcomes: Sequence[Outcome]) -> None:
        self.counts.update(outcome.kind for outcome in outcomes)
        if self._bar is not None:
            self._bar.length = max(self._bar.length, self.counts.total())  # jobs make jobs
            self._bar.update(len(outcomes))

    def summary(self) -> str:
        """What happened, in one line."""
        seconds, count = self.seconds, self.counts.total()
        rate = f", {count / seconds:,.0f} jobs/s" if seconds > 0 and count else ""
        runs = "1 run" if count == 1 else f"{count} runs"
        return (
            f"{runs} in {seconds:.1f} s{rate}: {self.counts['success']} succeeded, "
            f"{self.counts['error']} to be retried, {self.counts['failure']} failed for good, "
            f"{self.counts['unloadable']} could not be loaded"
            + "".join(
                f", {self.counts[kind]} {kind}"
                for kind in ("cancelled", "snoozed")
                if self.counts[kind]
            )
        )

    def document(self) -> dict[str, Any]:
        """What happened, for another program."""
        kinds = get_args(Outcome.__annotations__["kind"])
        outcomes = {kind: self.counts[kind] for kind in kinds if Outcome(kind).is_of_a_run}
        return {
            "runs": self.counts.total(),
            "seconds": round(self.seconds, 3),
            "outcomes": outcomes,
        }

    @property
    def seconds(self) -> float:
        """Since the workers began."""
        return time.monotonic() - self.started

    def close(self) -> None:
        if self._bar is not None:
            self._bar.render_finish()

    @property
    def exit_code(self) -> int:
        """1 if a job failed for good or could not be loaded."""
        return int(self.counts["failure"] + self.counts["unloadable"] > 0)


@click.command()
@database_argument
@project_options
@QUEUES
@COUNT
@MAX_JOBS
@MAX_MEMORY
@STOP_TIMEOUT
@log_level_option("debug")
def work(**options: Any) -> None:
    """
    Run jobs as they become due, until stopped.

    Ctrl-C lets running jobs finish; a second one stops them, they go back and no attempt is spent.

    \b
    Examples:
      litejobs work db.sqlite
      litejobs work db.sqlite --count 4 --queue email --queue default
      litejobs work --app shop.jobs:jobs
    """
    sys.exit(_run(Tally(), **options))


@click.command()
@database_argument
@project_options
@QUEUES
@COUNT
@MAX_JOBS
@MAX_MEMORY
@STOP_TIMEOUT
@log_level_option("info")
@json_option
def workoff(*, as_json: bool, **options: Any) -> None:
    """
    Run all jobs that are due, then exit.

    Exits with 1 if a job failed for good or could not be loaded. Jobs that are to be tried again
    later are not waited for. With --json what jobs print goes to stderr.

    \b
    Examples:
      litejobs workoff db.sqlite
      litejobs workoff --count 4
    """
    tally = Tally(bar=True)
    with _stdout_kept() if as_json else nullcontext():
        code = _run(tally, workoff=True, **options)
    click.echo(json.dumps(tally.document(), indent=2) if as_json else tally.summary())
    sys.exit(code or tally.exit_code)


@click.command()
@database_argument
@project_options
@click.option("--index", type=click.IntRange(0), required=True, help="Which worker group, from 0.")
@click.option("--id", "id_", type=click.IntRange(0), required=True, help="Its number in the group.")
@click.option("--workoff", is_flag=True, help="Exit when no job is due any more.")
@click.option("--clear", is_flag=True, help="Run nothing: delete every job in its storage.")
@STOP_TIMEOUT
@log_level_option("info")
def worker(index: int, id_: int, *, clear: bool, **options: Any) -> None:
    """
    Run one worker of one group: for a process monitor that wants to start each by itself.

    \b
    Examples:
      litejobs worker --app shop.jobs:jobs --index 0 --id 0
      litejobs worker --app shop.jobs:jobs --index 0 --id 0 --clear
    """
    if clear:
        if options["workoff"]:
            raise UsageError("--clear runs no jobs, so that --workoff does not go with it")
        place = project(options["database"], options["app"], options["root"])
        click.echo(cleared(place.clear(index, lambda _where: None)))
        return
    tally = Tally()
    code = _run(tally, only=Only(index, id_), **options)
    sys.exit(code or (tally.exit_code if options["workoff"] else 0))


@contextmanager
def _stdout_kept() -> Iterator[None]:
    """While inside, what this process or its children print goes to stderr."""
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _run(
    tally: Tally,
    *,
    database: str | None,
    app: str | None,
    root: Path | None,
    stop_timeout: float,
    log_level: str,
    queues: Sequence[str] = (),
    count: int | None = None,
    max_jobs: int | None = None,
    max_memory: int | None = None,
    workoff: bool = False,
    only: Only | None = None,
) -> int:
    logs.configure(logging.getLevelNamesMapping()[log_level.upper()], "litejobs")
    source = project(database, app, root).source(log_level, queues, count, max_jobs, max_memory)
    notifier = Notifier.from_environment()
    runner = Runner(
        source, tally, workoff=workoff, only=only, stop_timeout=stop_timeout, notifier=notifier
    )
    try:
        return runner.run()
    finally:
        tally.close()
