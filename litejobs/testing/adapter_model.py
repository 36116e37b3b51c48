"""
What an adapter promises, as a model: hypothesis takes both through the same steps, in any order.

    from hypothesis import settings
    from litejobs.testing.adapter_model import AdapterModel

    class MyAdapterModel(AdapterModel):
        def make(self, place, clock):
            return MyAdapter(place / "jobs", clock=clock)

    TestMyAdapterModel = MyAdapterModel.TestCase
    TestMyAdapterModel.settings = settings(deadline=None)
"""

import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle, filterfalse
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar, TypedDict

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from litejobs.adapters.base import BaseAdapter
from litejobs.errors import JobStateError
from litejobs.job import Find, NewJob, Outcome, Settlement, StoredJob
from litejobs.testing.clock import ManualClock

_SECOND, _HOUR = 1000, 3_600_000  # in milliseconds, as all times here
_WAITS = (0, 1, -1, _SECOND, 16 * _SECOND, _HOUR, -_HOUR)
_MOVES = (_SECOND, 1, 999, 16 * _SECOND, _HOUR, 5 * _HOUR, -1, -_SECOND, -_HOUR, -5 * _HOUR)
_QUEUES = ("a", "b", "B")
_PRIORITIES = (50, 51, 10)
# What is said of those that were asked to end, and were put back.
_GIVEN_BACK = "JobCancelled: given back by its worker"
_PUT_OFF = "JobCancelled: it wanted to be run later"
# And of those that were cancelled while they waited.
_NOT_BEGUN = "JobCancelled: cancelled before it began"
_NOT_AGAIN = "JobCancelled: cancelled while it waited to be tried again"
# The state of a row that is kept, by what came of its job.
_ENDS = {"success": "succeeded", "failure": "failed", "cancelled": "cancelled"}
_REMEMBERED = 20  # jobs that attempts have lost, to be settled late

#: Jobs that have to be there before they are cleared.
MANY = 10
#: Queues that are paused before no more are.
MANY_PAUSED = 2
#: Which one of several there are: counted round.
PICKS = st.integers(0, 99)
#: Which worker.
WORKERS = st.sampled_from((0, 1, 2))

_New = tuple[str, int, int]  # a queue, a priority, a wait
_NEW_JOBS = st.lists(
    st.tuples(st.sampled_from(_QUEUES), st.sampled_from(_PRIORITIES), st.sampled_from(_WAITS)),
    min_size=1,
    max_size=6,
)
_Wish = tuple[int, tuple[str, ...], float, int]  # a worker, queues, max_runtime (seconds), limit
_WISHES = st.tuples(
    WORKERS,
    st.lists(st.sampled_from(("*", "*", *_QUEUES, "nobody's")), min_size=1, max_size=3).map(tuple),
    st.sampled_from((14_400.0, 60.0, 0.5)),
    st.sampled_from((1, 2, 3, 100)),
)
_OUTCOMES = st.sampled_from(
    (
        Outcome("success"),
        Outcome("success", delete=True),
        Outcome("success", keep=60.0, result="[1]", progress='{"done": 2}'),
        Outcome("success", settled=True),  # nothing is left to be done
        Outcome("progress", progress='{"done": 1}'),
        Outcome("released"),
        Outcome("unloadable", "gone"),
        Outcome("failure", "Oh\n\nTraceback"),
        Outcome("failure", "Oh", delete=True),
        Outcome("failure", "Oh", keep=7200.0),
        Outcome("cancelled", "no more"),
        Outcome("cancelled", "no more", keep=0.5),
        Outcome("cancelled", "no more", delete=True),
        *(Outcome("snoozed", run_at=wait) for wait in (1, _HOUR)),  # as yet from now on
        Outcome("failure", "Killed", crashed=True),
        Outcome("error", "Killed", run_at=_SECOND, crashed=True),
        *(Outcome("error", "Oh: ♥", run_at=wait) for wait in (0, 1, 16 * _SECOND, -_HOUR)),
    )
)


class _RowStays(TypedDict):
    """What the methods that end a job are told of its row."""

    delete: bool
    keep: float | None


@dataclass
class Row:
    """A job as it should be stored. Times are milliseconds since 1970, UTC."""

    id: int
    state: str  #: scheduled, ready, running, unloadable, succeeded, failed or cancelled
    queue: str
    priority: int
    run_at: int | None
    handler: str
    created_at: int
    updated_at: int
    attempts: int = 0
    crashes: int = 0
    locked_at: int | None = None
    locked_by: str | None = None
    last_error: str | None = None
    failed_at: int | None = None
    finished_at: int | None = None
    expires_at: int | None = None
    cancel_at: int | None = None
    limit_key: str | None = None
    result: str | None = None
    progress: str | None = None
    was_due: bool = False  #: at some time since it was given its run_at
    given_up: bool = False  #: perhaps: it has run for longer than a worker was said to take

    @property
    def waits(self) -> bool:
        """Whether it is to be found, now or later."""
        return self.state in ("scheduled", "ready")

    def is_due(self, now: int) -> bool:
        """Whether its time has come."""
        return self.run_at is not None and self.run_at <= now

    def found(self) -> StoredJob:
        """What the worker that has locked it was given."""
        assert self.run_at is not None
        assert self.locked_by is not None
        return StoredJob(
            self.id, self.queue, self.priority, self.run_at, self.attempts, self.locked_by,
            self.handler, self.crashes,
        )  # fmt: skip

    def lock(self, worker: str, now: int) -> None:
        """A worker finds it."""
        self.change(now, state="running", attempts=self.attempts + 1)
        self.locked_at, self.locked_by = now, worker
        self.was_due, self.given_up = True, False

    def give_back(self, now: int, *, wish: str = _GIVEN_BACK, **changes: Any) -> None:
        """
        It was not begun, or is to be begun again: no attempt is spent.

        *wish*: what is said of it if it was asked to end, and now has.
        """
        self.put_back(now, wish, attempts=self.attempts - 1, **{"state": "ready"} | changes)

    def try_later(self, now: int, run_at: int, error: str) -> None:
        """The run went wrong, but it was not the last."""
        self.put_back(now, error, state="scheduled", run_at=run_at, last_error=error, was_due=False)

    def put_back(self, now: int, wish: str, **changes: Any) -> None:
        """It is to be run again, unless it was asked to end."""
        self.unlock(now, progress=None, **changes)
        if self.cancel_at is not None:
            self.end(now, "cancelled", wish)

    def end(self, now: int, state: str, error: str | None, keep: float | None = None) -> None:
        """Nobody finds it again."""
        if self.cancel_at is not None and state == "failed":
            state = "cancelled"
        failed_at = now if state == "failed" else None
        expires_at = None if keep is None else now + int(1000 * keep)
        self.unlock(
            now, state=state, run_at=None, last_error=error, finished_at=now, failed_at=failed_at,
            expires_at=expires_at,
        )  # fmt: skip

    def unlock(self, now: int, **changes: Any) -> None:
        """It is no longer the worker's."""
        self.change(now, locked_at=None, locked_by=None, given_up=False, **changes)

    def change(self, now: int, **changes: Any) -> None:
        """Let these be its values."""
        for name, value in changes.items():
            setattr(self, name, value)
        self.updated_at = now


class AdapterModel(RuleBasedStateMachine):
    """
    The contract of ``BaseAdapter`` as a state machine; ``make`` says how to make the adapter.

    The jobs are held in ``rows`` too, where each step does what it should have done, and what the
    adapter answers must follow from them: which jobs are found, in which order, never early, none
    twice at a time; whose outcomes count; how often a job was begun. The clock moves on and back,
    adapters are closed and made anew.
    """

    #: How often what was done, by all machines of the class.
    tally: ClassVar[Counter[str]]

    def __init_subclass__(cls) -> None:
        cls.tally = Counter()

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory(prefix="litejobs-model-")
        #: Directory of this machine's own.
        self.place = Path(self._directory.name)
        self.clock = ManualClock(datetime(2027, 1, 1, tzinfo=UTC))
        #: Every job that should be stored, by its id, in this order.
        self.rows: dict[int, Row] = {}
        #: Queues that are paused, ``"*"`` for every one.
        self.paused: set[str] = set()
        self._last_id = 0
        self._lost: list[StoredJob] = []
        #: Adapters of the same jobs; the first is the one in use.
        self.adapters = [self.make(self.place, self.clock) for _ in range(2)]
        self.tally["runs"] += 1

    def make(self, place: Path, clock: ManualClock) -> BaseAdapter:
        """
        A new adapter that reads *clock*.

        *place* is an empty directory: adapters made for one place have the same jobs, those of
        different places have nothing in common.
        """
        raise NotImplementedError

    def teardown(self) -> None:
        for adapter in self.adapters:
            adapter.close()
        self._directory.cleanup()

    # What is known

    @property
    def adapter(self) -> BaseAdapter:
        """The adapter in use."""
        return self.adapters[0]

    @property
    def now(self) -> int:
        """The time."""
        return self.clock.now()

    def worker(self, number: int) -> str:
        """What stands in locked_by for a worker."""
        return f"worker {number}"

    def overrides(self, method: str) -> bool:
        """Whether the adapter has a way of its own to do what ``BaseAdapter`` does poorly."""
        return getattr(type(self.adapter), method) is not getattr(BaseAdapter, method)

    def running(self) -> list[Row]:
        """Those that a worker has."""
        return [row for row in self.rows.values() if row.state == "running"]

    def may_be_found(self, row: Row) -> bool:
        """Whether storage may hand it out: it may know no longer than once that a job is due."""
        free = row.waits or row.given_up
        return free and (row.was_due or row.is_due(self.now))

    def must_be_found(self, row: Row) -> bool:
        """Whether storage has no excuse not to hand it out."""
        return row.waits and row.is_due(self.now)

    def is_paused(self, row: Row) -> bool:
        """Whether it waits as its queue does."""
        return not self.paused.isdisjoint(("*", row.queue))

    def row_of(self, job: StoredJob) -> Row | None:
        """The row that an attempt still owns."""
        row = self.rows.get(job.id)
        if row is None or row.state != "running":
            return None
        owns = (row.locked_by, row.attempts) == (job.locked_by, job.attempts)
        return row if owns else None

    # Storing

    @initialize(jobs=_NEW_JOBS)
    def begin_with(self, jobs: Sequence[_New]) -> None:
        """Jobs, so that something can be done with them."""
        self.schedule(jobs)

    @rule(jobs=_NEW_JOBS)
    def schedule(self, jobs: Sequence[_New]) -> None:
        """All or none, for now or for later."""
        new = [
            NewJob(f'{{"args": [{self._last_id}, {number}]}}', queue, priority, self.now + wait)
            for number, (queue, priority, wait) in enumerate(jobs)
        ]

        ids = self.adapter.schedule(new)

        assert len(ids) == len(new)
        for id_, job in zip(ids, new, strict=True):
            assert id_ > self._last_id, f"id {id_} is not new"
            self._last_id = id_
            state = "ready" if job.run_at <= self.now else "scheduled"
            self.rows[id_] = Row(
                id_, state, job.queue, job.priority, job.run_at, job.handler, self.now, self.now
            )
        self.tally["stored"] += len(ids)

    # Finding and settling

    @rule(wish=_WISHES)
    def find(self, wish: _Wish) -> None:
        """A worker wants jobs of some queues, up to a limit."""
        self._find(wish)

    @rule(wish=_WISHES, outcomes=st.lists(_OUTCOMES, min_size=1, max_size=3))
    def work(self, wish: _Wish, outcomes: Sequence[Outcome]) -> None:
        """A worker finds jobs and runs them, and tells all of it at once what came of them."""
        jobs = self._find(wish)
        settlements = [
            (job, self._at_a_moment(outcome))
            for job, outcome in zip(jobs, cycle(outcomes), strict=False)
        ]

        assert self.adapter.exchange(settlements, []) == []

        for job, outcome in settlements:
            self._record(job, outcome)

    @rule(
        settled=st.lists(st.tuples(PICKS, _OUTCOMES), max_size=4),
        wishes=st.lists(_WISHES, max_size=3),
    )
    def exchange(self, settled: Sequence[tuple[int, Outcome]], wishes: Sequence[_Wish]) -> None:
        """Outcomes of several jobs, not all of them still their attempt's, and some wishes."""
        settlements = self._settlements(settled)
        finds = [self._find_for(wish) for wish in wishes]

        found = self.adapter.exchange(settlements, finds)

        assert len(found) == len(finds)
        for job, outcome in settlements:
            self._record(job, outcome)
        if finds:
            self.promote()
        for find, some in zip(finds, found, strict=True):
            self._answer(find, some)

    @precondition(lambda self: self.running())
    @rule(pick=PICKS, outcome=_OUTCOMES)
    def settle(self, pick: int, outcome: Outcome) -> None:
        """One job by the method of its outcome, which says whether it was still the attempt's."""
        job, outcome = self._job(pick), self._at_a_moment(outcome._replace(settled=False))
        row = self.row_of(job)
        if outcome.crashed:
            self.adapter.crash(job)
        if outcome.progress is not None:
            told = self.adapter.progress(job, outcome.progress)
            assert told == (row is not None) or not self.overrides("progress")
        held = row is not None if outcome.kind == "progress" else self._settled(job, outcome)
        if row is not None and row.given_up and not held:
            row.unlock(self.now, state="ready")
        else:
            assert held == (row is not None), f"{outcome.kind} of {job}: {held}"
            self._record(job, outcome)

    @precondition(lambda self: self.running())
    @rule(pick=PICKS)
    def overdue(self, pick: int) -> None:
        """A job runs for too long, and cannot be stopped."""
        job = self._job(pick)
        row = self.row_of(job)

        held = self.adapter.overdue(job, "overdue")

        if self.overrides("overdue"):
            assert held == (row is not None)
            if row is not None:
                row.change(self.now, last_error="overdue")

    @precondition(lambda self: self.running() and not any(row.given_up for row in self.running()))
    @rule(workers=st.sets(WORKERS), known=st.sets(PICKS, max_size=3))
    def release_strays(self, workers: Collection[int], known: Collection[int]) -> None:
        """Workers do not know all that they hold."""
        names = {self.worker(number) for number in workers}
        theirs = [row for row in self.running() if row.locked_by in names]
        ids = {theirs[pick % len(theirs)].id for pick in known} if theirs else set()
        strays = [row for row in theirs if row.id not in ids]

        count = self.adapter.release_strays(names, ids)

        if self.overrides("release_strays"):
            assert count == len(strays)
            for row in strays:
                self.lose(row)
                row.give_back(self.now)

    @precondition(lambda self: self.adapter.cancels and self.rows)
    @rule(pick=PICKS)
    def cancel(self, pick: int) -> None:
        """A job is not wanted any more: at once, or it is asked to end."""
        ids = [row.id for row in self.running()] if pick % 2 else []
        ids = ids or [*self.rows, self._last_id + 1]
        row = self.rows.get(ids[pick % len(ids)])

        told = self.adapter.cancel(ids[pick % len(ids)])

        if row is None:
            assert told == "gone"
        elif row.state == "running":
            assert told == "asked"
            assert self.adapter.is_asked_to_end(row.found())
            row.cancel_at = self.now if row.cancel_at is None else row.cancel_at
        elif row.waits or row.state == "unloadable":
            assert told == "cancelled"
            row.end(self.now, "cancelled", _NOT_AGAIN if row.attempts else _NOT_BEGUN)
        else:
            assert told == "over"
        self.tally["cancelled"] += told in ("asked", "cancelled")

    @precondition(lambda self: self.adapter.pauses and len(self.paused) < MANY_PAUSED)
    @rule(queue=st.sampled_from(("*", *_QUEUES)))
    def pause(self, queue: str) -> None:
        """Of a queue, or of all, nothing is to be begun; perhaps for the second time."""
        self.adapter.pause(queue)

        self.paused.add(queue)
        assert self.adapter.paused() == sorted(self.paused)

    @precondition(lambda self: self.paused)
    @rule(pick=PICKS)
    def resume(self, pick: int) -> None:
        """A queue that is paused goes on, or one that is not."""
        names = [*sorted(self.paused), _QUEUES[0]]

        self.adapter.resume(names[pick % len(names)])

        self.paused.discard(names[pick % len(names)])
        assert self.adapter.paused() == sorted(self.paused)

    @precondition(lambda self: any(row.state == "unloadable" for row in self.rows.values()))
    @rule()
    def reload(self) -> None:
        """The code has changed: jobs that did not load are tried again."""
        rows = [row for row in self.rows.values() if row.state == "unloadable"]

        count = self.adapter.reload()

        if self.overrides("reload"):
            assert count == len(rows)
            for row in rows:
                row.change(self.now, state="ready")

    @precondition(lambda self: len(self.rows) > MANY)
    @rule()
    def clear(self) -> None:
        """All jobs go; or none, for storage may refuse that while some are running."""
        try:
            count = self.adapter.clear()
        except JobStateError:
            assert self.running()
            return
        assert count == len(self.rows)
        for row in self.running():
            self.lose(row)
        self.rows.clear()

    def promote(self) -> None:
        """What a find does with scheduled jobs that are due."""
        for row in self.rows.values():
            if row.state == "scheduled" and row.is_due(self.now):
                row.change(self.now, state="ready", was_due=True)

    def lose(self, row: Row) -> None:
        """Its attempt is about to lose it, and may not know."""
        self._lost = [*self._lost, row.found()][-_REMEMBERED:]

    def _find(self, wish: _Wish) -> list[StoredJob]:
        find = self._find_for(wish)
        jobs = self.adapter.find(
            worker=find.worker, queues=find.queues, max_runtime=find.max_runtime, limit=find.limit
        )
        self.promote()
        self._answer(find, jobs)
        return jobs

    def _find_for(self, wish: _Wish) -> Find:
        number, queues, max_runtime, limit = wish
        return Find(self.worker(number), queues, max_runtime, limit)

    def _answer(self, find: Find, jobs: Sequence[StoredJob]) -> None:
        """*jobs* were found: they must be the first of those that are due, and come in order."""
        if not self.adapter.recovers:
            for row in self.running():
                assert row.locked_at is not None
                row.given_up |= row.locked_at + 1000 * find.max_runtime <= self.now
        ids = [job.id for job in jobs]
        wanted = [
            row
            for row in self.rows.values()
            if self.may_be_found(row)
            and not self.is_paused(row)
            and ("*" in find.queues or row.queue in find.queues)
        ]
        line = sorted(wanted, key=attrgetter("priority", "run_at", "id"))
        if len(ids) == find.limit:  # those behind the last one have to wait
            line = line[: 1 + next((n for n, row in enumerate(line) if row.id == ids[-1]), -1)]
        may = [row.id for row in line]
        must = [row.id for row in line if self.must_be_found(row)]
        assert len(ids) <= find.limit
        assert ids == [id_ for id_ in may if id_ in ids], f"found {ids}, due were only {may}"
        assert set(must) <= set(ids), f"found {ids}, due were {must}"
        for job in jobs:
            row = self.rows[job.id]
            if row.given_up:
                self.lose(row)
            row.lock(find.worker, self.now)
            assert job == row.found()
        self.tally["found"] += len(jobs)

    def _job(self, pick: int) -> StoredJob:
        """A job that was found: as one attempt has it, or one has lost it, best to another."""
        running = {row.id: row.found() for row in self.running()}
        lost = [job for job in self._lost if job.id in running] or self._lost
        jobs = [*running.values()] if running and (pick % 4 or not lost) else lost
        return jobs[pick % len(jobs)]

    def _settlements(self, settled: Iterable[tuple[int, Outcome]]) -> list[Settlement]:
        """The jobs of picks with their outcomes; of each attempt one, as there is in life."""
        if not (self.running() or self._lost):
            return []
        found = {}
        for pick, outcome in settled:
            job = self._job(pick)
            row = self.row_of(job)
            if row is None or not row.given_up:  # else an exchange does not say what came of it
                found[job.id, job.locked_by, job.attempts] = job, self._at_a_moment(outcome)
        return list(found.values())

    def _at_a_moment(self, outcome: Outcome) -> Outcome:
        """With the time of the next try, where so far there was how long to wait for it."""
        wait = outcome.run_at
        return outcome if wait is None else outcome._replace(run_at=self.now + wait)

    def _settled(self, job: StoredJob, outcome: Outcome) -> bool:
        """What the method of an outcome answers."""
        error, run_at = outcome.error or "", outcome.run_at or 0
        adapter, row_stays = self.adapter, _RowStays(delete=outcome.delete, keep=outcome.keep)
        match outcome.kind:
            case "success":
                held = adapter.success(job, result=outcome.result, **row_stays)
            case "error":
                held = adapter.error(job, error, run_at)
            case "failure":
                held = adapter.failure(job, error, **row_stays)
            case "cancelled":
                held = adapter.cancelled(job, error, **row_stays)
            case "snoozed":
                held = adapter.snooze(job, run_at)
            case "unloadable":
                held = adapter.unloadable(job, error)
            case _:
                held = adapter.release(job)
        return held

    def _record(self, job: StoredJob, outcome: Outcome) -> None:
        row = self.row_of(job)
        if row is None:
            self.tally["settled late"] += 1
            return
        if outcome.settled:
            return
        if outcome.progress is not None and self.overrides("progress"):
            row.change(self.now, progress=outcome.progress)
        if outcome.kind == "progress":
            return
        self.tally["settled"] += 1
        self.lose(row)
        if outcome.crashed and self.overrides("crash"):
            row.crashes += 1
        outcome = self._as_told_here(job, outcome)
        if outcome.keeps_row:
            row.result = outcome.result
            state = _ENDS[outcome.kind]
            row.end(self.now, state, outcome.error, outcome.keep)
        elif outcome.kind in _ENDS:
            del self.rows[row.id]
        else:
            self._put_back(row, outcome)

    def _as_told_here(self, job: StoredJob, outcome: Outcome) -> Outcome:
        """What an adapter makes of an outcome that it has no method of its own for."""
        match outcome.kind:
            case "released" if not self.overrides("release"):
                return outcome._replace(kind="error", run_at=job.run_at)
            case "snoozed" if not self.overrides("snooze"):
                return outcome._replace(kind="error")
            case "unloadable" | "cancelled" as kind if not self.overrides(kind):
                return outcome._replace(kind="failure")
            case _:
                return outcome

    def _put_back(self, row: Row, outcome: Outcome) -> None:
        error, run_at = outcome.error or "", outcome.run_at
        match outcome.kind:
            case "error":
                assert run_at is not None
                row.try_later(self.now, run_at, error)
            case "snoozed":
                row.give_back(
                    self.now, wish=_PUT_OFF, state="scheduled", run_at=run_at, was_due=False
                )
            case "unloadable":
                row.give_back(self.now, wish=error, state="unloadable", last_error=error)
            case _:
                row.give_back(self.now)

    # Time, and other processes

    @rule(milliseconds=st.sampled_from(_MOVES), since=st.none() | PICKS)
    def time_goes_by(self, milliseconds: int, since: int | None) -> None:
        """Or the clock is set, on or back; to some moment, or to about that of a job."""
        moments = [row.run_at for row in self.rows.values() if row.run_at is not None]
        if since is None or not moments:
            self._set_clock(self.now + milliseconds)
        else:
            self._set_clock(moments[since % len(moments)] + min(0, max(-1, milliseconds)))

    @precondition(lambda self: self.rows)
    @rule(closed=st.booleans(), anew=st.booleans())
    def another_process(self, *, closed: bool, anew: bool) -> None:
        """Does the next steps, or the same does with an adapter that is closed, or made anew."""
        if closed or anew:
            self.adapter.close()
        if anew:
            self.adapters[0] = self.make(self.place, self.clock)
        if not closed:
            self.adapters.reverse()

    def _set_clock(self, now: int) -> None:
        for row in self.rows.values():
            row.was_due |= row.waits and row.is_due(self.now)
        self.clock.advance((now - self.now) / 1000)

    # After each step

    @invariant()
    def a_worker_is_told_when_to_look(self) -> None:
        """Else it looks in vain, or sleeps while jobs are due."""
        rows = [row for row in self.rows.values() if row.waits]
        is_due, next_run_at = self.adapter.is_due(("*",)), self.adapter.next_run_at()
        assert not is_due or any(map(self.may_be_found, self.rows.values()))
        assert next_run_at is None or next_run_at in [row.run_at for row in rows]
        if self.overrides("has_unloadable"):
            unloadable = any(row.state == "unloadable" for row in self.rows.values())
            assert self.adapter.has_unloadable() == unloadable
        if self.overrides("is_due"):
            assert is_due or not any(map(self.must_be_found, filterfalse(self.is_paused, rows)))
        if self.overrides("next_run_at"):
            later = [row.run_at or 0 for row in rows if not self.may_be_found(row)]
            assert not later or (next_run_at is not None and next_run_at <= min(later))

    @invariant()
    def runs_are_told_to_end(self) -> None:
        """Those that are not wanted any more, and no others."""
        asked = [(row.id, row.attempts) for row in self.running() if row.cancel_at is not None]
        if self.adapter.cancels:
            assert sorted(self.adapter.asked_to_end()) == asked
