import inspect
import logging
import os
import random
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from litejobs import context, defaults
from litejobs.adapters.base import BaseAdapter
from litejobs.arguments import parameters_of
from litejobs.clock import Clock
from litejobs.config import check_seconds
from litejobs.control import Control, Discard
from litejobs.errors import JobDiedError, JobStateError, JobTimeout, UnloadableError
from litejobs.finishing import NOT_COMMITTED, Finishing, nowhere
from litejobs.hooks import AFTER, NONE, Around, Chain, Hooks, JobRun
from litejobs.job import Limits, Outcome, StoredJob
from litejobs.loader import Call, Loader
from litejobs.progress import Progress
from litejobs.rules import outcome
from litejobs.rules.error_text import describe, headline
from litejobs.rules.exceptions import ErrorRules, after_exception
from litejobs.rules.text import cut, printable, printable_lines
from litejobs.run_directory import forked

if TYPE_CHECKING:
    import asyncio

    from litejobs.coroutines import EventLoop


class Guard:
    """Is told when a job begins and ends, to keep it to its max_runtime. This one lets it go on."""

    #: Whether the last job was told that its time is over: then its run is an error.
    timed_out = False

    #: Whether the last job was told that it is cancelled: then it is, unless it returns.
    cancelled = False

    def is_cancelled(self) -> bool:
        """Whether the job that runs was cancelled."""
        return self.cancelled

    def was_cancelled(self) -> bool:
        """For when the last job has gone wrong: whether it was cancelled while it ran."""
        return self.cancelled

    def begin(self, job: StoredJob, name: str, limits: Limits) -> None:
        """The job begins; what this raises until ``end`` has returned, the job has raised."""

    def awaits(self, task: "asyncio.Task[object]") -> None:
        """The job that began is this task."""

    def end(self) -> None:
        """The job is over, or did not begin after all; nothing is raised any more."""


_UNLIMITED = Guard()
# Under which the calls of a function run: its limits, its hooks if there are any, and how many its
# manager had then.
Terms = tuple[Limits, Chain | None, int]
_UNKNOWN: Terms = (Limits(), None, -1)
_NO_RULES = ErrorRules()


class Execution:
    """
    Runs stored jobs of one group, one at a time, in this thread. Settles nothing.

    *around* is entered anew for each job; what it raises is an error of that job. *hooks* are those
    of the manager. *storage* is where the jobs are: only those that finish themselves have it asked
    for.
    """

    def __init__(
        self,
        loader: Loader,
        limits: Limits,
        clock: Clock,
        logger: logging.Logger,
        around: Around = nullcontext,
        hooks: Hooks = NONE,
        storage: Callable[[], BaseAdapter] = nowhere,
    ) -> None:
        self._loader = loader
        self._limits = limits
        self._clock = clock
        self.logger = logger
        self._around = around
        self._finishing = Finishing(storage)
        self._hooks = hooks
        self.progress = Progress()
        self._loop: EventLoop | None = None
        self._terms: dict[Callable[..., Any], Terms] = {}

    def run(self, job: StoredJob, guard: Guard = _UNLIMITED) -> Outcome:
        """Load the job, run it, and say what is to be recorded."""
        try:
            call = self._loader.load(job.handler)
        except BaseException as error:  # noqa: BLE001  # loading runs the user's classes too
            return self._unloadable(job, error)
        limits, chain, size = self._terms.get(call.function, _UNKNOWN)
        if size != self._hooks.size:  # not known yet, or code that was loaded since has added some
            limits, chain, _ = self._new_terms(call)
        is_told = self.logger.isEnabledFor(logging.DEBUG)
        started = time.monotonic()
        if is_told:
            what = (job.id, call.name, job.attempts, limits.max_attempts)
            self._log("job %d %s started (attempt %d of %d)", *what)
        now, process = self._clock.now(), os.getpid()
        token = context.running.set((job, call, limits, now, self._finish, self.progress, guard))
        try:
            raised, value = self._perform(job, call, limits, guard, chain)
            if os.getpid() != process:
                forked.leave(raised)
            raised, result = self._judge(job, call, limits, guard, raised, value)
            if is_told and result.kind == "success":
                elapsed = time.monotonic() - started
                self._log("job %d %s succeeded in %.3f s", job.id, call.name, elapsed)
            if chain is not None:
                is_timeout = guard.timed_out and not result.settled
                cause = _timeout(raised, limits) if is_timeout else raised
                run = _job_run(job, call, limits, value, cause, time.monotonic() - started)
                chain.after(AFTER[result.kind], self._around, run, self.logger)
                del cause, run
            # It has the job's frames, and by those this one: all that the job held would stay.
            del raised
        finally:
            context.running.reset(token)
        return result if self.progress.last is None else self._with_last_word(job, result)

    def _judge(
        self,
        job: StoredJob,
        call: Call,
        limits: Limits,
        guard: Guard,
        raised: BaseException | None,
        value: object,
    ) -> tuple[BaseException | None, Outcome]:
        """What the run went wrong by, if it did, and what is to be recorded."""
        has_finished = self._finishing.job is job
        if has_finished and self._finishing.is_committed():
            self._tell_too_late(job, call, raised)
            return None, outcome.settled()
        if raised is not None and guard.was_cancelled():
            return raised, self._cancelled(job, call, limits, raised)
        if raised is not None or guard.timed_out:
            result = self._went_wrong(job, call, limits, raised, timed_out=guard.timed_out)
            return raised, result
        if has_finished:
            return JobStateError(NOT_COMMITTED), self._not_committed(job, call, limits)
        return None, self._success(job, call, limits, value)

    def _with_last_word(self, job: StoredJob, result: Outcome) -> Outcome:
        """How far the job was, if its row is to show it."""
        last_word = self.progress.end(job)
        return result._replace(progress=last_word) if result.keeps_row else result

    def _success(self, job: StoredJob, call: Call, limits: Limits, value: object) -> Outcome:
        if call.keep_result is None:
            return outcome.after_success(limits)
        if value is context.NO_RESULT:
            return Outcome("success", keep=call.keep_result)
        try:
            result = parameters_of(call.function).dump_result(value)
        except Exception as error:  # noqa: BLE001  # to run it again for that would be worse
            result = None
            with suppress(Exception):  # as in _log
                name = printable(call.name)
                self.logger.error("job %d %s keeps no result: %s", job.id, name, error)  # noqa: TRY400
        return Outcome("success", keep=call.keep_result, result=result)

    def _finish(
        self, job: StoredJob, call: Call, limits: Limits, connection: object, result: object
    ) -> None:
        """For the job that runs: see ``CurrentJob.finish``."""
        self._finishing.finish(job, self._success(job, call, limits, result), connection)

    def run_failure_hooks(self, job: StoredJob, error: str) -> None:
        """Run the after_failure hooks of a job whose last run has ended with its process."""
        try:
            call = self._loader.load(job.handler)
        except BaseException as raised:  # noqa: BLE001  # as in run
            with suppress(Exception):  # as _log
                what = printable(headline(raised))
                self.logger.error("after_failure hooks of job %d are not run: %s", job.id, what)  # noqa: TRY400  # one sentence
            return
        limits, chain, _ = self._new_terms(call)
        if chain is None:
            return
        died = JobDiedError(error.partition("\n")[0])
        now = self._clock.now()
        run_of_it = (job, call, limits, now, self._finish, self.progress, _UNLIMITED)
        token = context.running.set(run_of_it)
        try:
            run = _job_run(job, call, limits, None, died, 0.0)
            chain.after(("after_failure",), self._around, run, self.logger)
        finally:
            context.running.reset(token)

    def limits_of(self, job: StoredJob) -> Limits:
        """The limits of a job, found without loading it: those it declared, else the group's."""
        return self._limits.overridden(self._loader.own_limits(job.handler))

    def _log(self, text: str, *values: object) -> None:
        with suppress(Exception):  # a filter of the app's that raises is no error of the job
            self.logger.debug(text, *values)

    def close(self) -> None:
        """End the event loop, if an ``async def`` job ever needed one."""
        if self._loop is not None:
            self._loop.close()
            self._loop = None

    def _new_terms(self, call: Call) -> Terms:
        """Those of a function, kept for its next calls."""
        limits, chain = self._limits.overridden(call.own_limits), None
        own = (call.job and call.job.hooks) or NONE
        if self._hooks.size or own.size:
            chain = Chain(self._hooks, own)
            if chain.has_failure_hooks and not limits.has_failure_hooks:
                limits = replace(limits, has_failure_hooks=True)
        terms = self._terms[call.function] = (limits, chain, self._hooks.size)
        return terms

    def _event_loop(self) -> "EventLoop":
        """One for as long as this execution lasts, made for the first ``async def`` job."""
        if self._loop is None:
            from litejobs.coroutines import EventLoop  # noqa: PLC0415  # 20 ms that few apps need

            self._loop = EventLoop()
        return self._loop

    def _perform(
        self, job: StoredJob, call: Call, limits: Limits, guard: Guard, chain: Chain | None
    ) -> tuple[BaseException | None, Any]:
        """Call the user's function; what it raises is data, whatever it is, as what it returns."""
        value = None
        try:
            try:
                guard.begin(job, call.name, limits)
                if chain is None:
                    around = self._around()
                else:
                    around = chain.inside(self._around, _job_run(job, call, limits))
                with around:
                    value = call.function(*call.args, **call.kwargs)
                    if inspect.iscoroutine(value):
                        value = self._event_loop().run(value, guard.awaits)
            finally:
                guard.end()  # inside of the outer try: a guard may raise until it has ended
        except BaseException as error:  # noqa: BLE001  # SystemExit of a job is an error of the job
            return error, None
        return None, value

    def _went_wrong(
        self,
        job: StoredJob,
        call: Call,
        limits: Limits,
        raised: BaseException | None,
        *,
        timed_out: bool,
    ) -> Outcome:
        rules = (call.job and call.job.error_rules) or _NO_RULES
        error = _timeout(raised, limits) if raised is None or timed_out else raised
        result = after_exception(
            error,
            _described(raised, limits, timed_out=timed_out),
            rules=rules,
            attempts=job.attempts,
            limits=limits,
            now=self._clock.now(),
            chance=random.random(),  # noqa: S311  # spreads retries
            wait=self._own_wait(job, call, rules) if rules.retries(error) else None,
        )
        with suppress(Exception):  # as _log
            log_outcome(self.logger, job, call.name, limits.max_attempts, result)
        return result

    def _tell_too_late(self, job: StoredJob, call: Call, raised: BaseException | None) -> None:
        """What went wrong after the job was settled changes nothing, but is not to go unheard."""
        if raised is not None:
            with suppress(Exception):  # as _log
                text = describe(raised, below=raised.__traceback__)
                what = printable(call.name), printable_lines(text).rstrip()
                self.logger.error("job %d %s had finished when it raised %s", job.id, *what)

    def _not_committed(self, job: StoredJob, call: Call, limits: Limits) -> Outcome:
        result = outcome.after_error(
            NOT_COMMITTED,
            attempts=job.attempts,
            limits=limits,
            now=self._clock.now(),
            chance=random.random(),  # noqa: S311  # spreads retries
        )
        with suppress(Exception):  # as _log
            log_outcome(self.logger, job, call.name, limits.max_attempts, result)
        return result

    def _own_wait(self, job: StoredJob, call: Call, rules: ErrorRules) -> float | None:
        """What the job's own function says, in seconds; None without one that says something."""
        if rules.backoff is None:
            return None
        try:
            wait = rules.backoff(job.attempts)
            check_seconds("backoff", wait)
        except BaseException as error:  # noqa: BLE001  # as a job's
            with suppress(Exception):  # as _log
                what = headline(error)
                self.logger.error("backoff of %s: %s; the usual one holds", call.name, what)  # noqa: TRY400  # one sentence
            return None
        return wait

    def _cancelled(
        self, job: StoredJob, call: Call, limits: Limits, raised: BaseException
    ) -> Outcome:
        text = describe(raised, below=raised.__traceback__, instead=outcome.CANCELLED)
        result = outcome.after_cancel(limits, text=text)
        with suppress(Exception):  # as _log
            log_outcome(self.logger, job, call.name, limits.max_attempts, result)
        return result

    def _unloadable(self, job: StoredJob, error: BaseException) -> Outcome:
        if not isinstance(error, UnloadableError):
            reason = f"loading it raised {describe(error)}"
        elif error.__cause__ is not None:
            reason = f"{error}\n\n{describe(error.__cause__)}"
        else:
            reason = str(error)
        with suppress(Exception):  # as _log
            first = printable(reason.partition("\n")[0])
            self.logger.error("job %d cannot be loaded and waits: %s", job.id, first)
        return outcome.unloadable(cut(reason, defaults.MAX_ERROR))


def _job_run(
    job: StoredJob,
    call: Call,
    limits: Limits,
    value: object = None,
    error: BaseException | None = None,
    seconds: float = 0.0,
) -> JobRun:
    return JobRun(
        job.id,
        call.name,
        tuple(call.args),
        call.kwargs,
        job.queue,
        job.attempts,
        limits.max_attempts,
        value,
        error,
        seconds,
    )


def _timeout(raised: BaseException | None, limits: Limits) -> JobTimeout:
    """What a run went wrong by whose time was over, whatever the job made of it."""
    return raised if isinstance(raised, JobTimeout) else JobTimeout(outcome.too_long(limits))


def _described(raised: BaseException | None, limits: Limits, *, timed_out: bool) -> str:
    """What is recorded of a run that went wrong."""
    first = f"JobTimeout: {outcome.too_long(limits)}" if timed_out else _reason(raised)
    if raised is not None:
        return describe(raised, below=raised.__traceback__, instead=first)
    return f"{first}\n\nIt caught JobTimeout and returned."


def _reason(raised: BaseException | None) -> str:
    """Why a job raised what litejobs has for jobs; else an empty text."""
    if isinstance(raised, Discard):
        return f"{type(raised).__name__}: {raised.reason}"
    if not isinstance(raised, Control):
        return ""
    handled = raised.__cause__ or (None if raised.__suppress_context__ else raised.__context__)
    return headline(handled) if handled else f"{type(raised).__name__}: {raised}"


def log_outcome(
    logger: logging.Logger, job: StoredJob, name: str, max_attempts: int, result: Outcome
) -> None:
    """Say that a run was no success, and what comes of it; of an error with all that is known."""
    when = ""
    if result.run_at is not None:
        moment = datetime.fromtimestamp(result.run_at / 1000, UTC).astimezone()
        when = f", next at {moment:%F %T}"
    if result.kind == "snoozed":
        logger.debug("job %d %s is not to be run yet%s", job.id, printable(name), when)
        return
    if result.kind == "cancelled":
        reason = printable((result.error or "").partition("\n")[0])
        logger.info("job %d %s is cancelled: %s", job.id, printable(name), reason)
        return
    if result.kind == "failure":
        what = f"failed for good in attempt {job.attempts}"
    else:
        what = f"went wrong in attempt {job.attempts} of {max_attempts}{when}"
    text = printable_lines(result.error or "").rstrip()
    logger.error("job %d %s %s: %s", job.id, printable(name), what, text)
