"""What recurs, in a table of its own beside the jobs that are its runs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from litejobs import defaults
from litejobs.adapters.schedules import Schedules, not_found
from litejobs.adapters.sqlite.queries import Queries
from litejobs.adapters.sqlite.rows import STATES, text
from litejobs.adapters.sqlite.storing import store, store_unique
from litejobs.errors import ConfigurationError, DuplicateJobError
from litejobs.job import Kept, NewJob, Unique
from litejobs.recurrence import Recurrence, StoredSchedule
from litejobs.rules.error_text import headline
from litejobs.rules.recurrence import come
from litejobs.rules.text import printable

if TYPE_CHECKING:
    from litejobs.adapters.sqlite.adapter import SqliteAdapter

_SCHEDULED, _UNLOADABLE = 0, 3


class _Firing(NamedTuple):
    """What is to become of a schedule whose time has come."""

    id: int
    version: int
    schedule: StoredSchedule
    slot: int  # the time at which it was due
    slots: Sequence[int]  # those for which runs are to be made
    next: int | None
    error: str | None = None  # why it makes no runs any more


class SqliteSchedules(Schedules):
    """The schedules in the database of an adapter."""

    def __init__(self, adapter: "SqliteAdapter") -> None:
        self._adapter = adapter
        self._sql = Queries(adapter.table, "schedules.sql")

    # For managers

    def sync(self, owner: str, schedules: Sequence[StoredSchedule]) -> None:
        if not schedules and not self._execute(self._sql.owned, owner=owner):
            return
        with self._changing():
            known = {text(name): id_ for id_, name in self._execute(self._sql.owned, owner=owner)}
            for schedule in schedules:
                known.pop(schedule.name, None)
                if not self._keep(schedule, owner):
                    self._adapter.logger.error(
                        "the schedule %s of %s is left out: one of that name is there, %s; name it "
                        "otherwise, or litejobs recurring remove",
                        printable(schedule.name), owner, self._whose(schedule.name),
                    )  # fmt: skip
            for id_ in known.values():
                self._execute(self._sql.remove, id=id_)

    def add(self, schedule: StoredSchedule) -> None:
        with self._changing():
            if not self._keep(schedule, None):
                raise ConfigurationError(
                    f"the schedule {schedule.name} is there, {self._whose(schedule.name)}: change "
                    "it there"
                )

    def remove(self, name: str) -> None:
        with self._changing():
            self._execute(self._sql.remove, id=self._row(name)[0])

    def pause(self, name: str) -> None:
        with self._changing():
            self._execute(self._sql.pause, id=self._row(name)[0], now=self._now())

    def resume(self, name: str) -> None:
        with self._changing():
            now = self._now()
            id_, _, _, *values, next_run_at = self._row(name)
            moment = _schedule(name, values).timing(next_run_at or now).after(now)
            self._execute(self._sql.resume, id=id_, next=moment, now=now)

    def run_now(self, name: str) -> int:
        now = self._now()
        row = self._row(name)
        schedule = _schedule(name, row[3:-1])
        self._adapter.keep_limits([schedule.job])
        with self._adapter.connection.transaction():
            kept = self._store(schedule, now, now)
            if kept.is_new:
                self._execute(self._sql.ran_beside, id=row[0], job=kept.id, slot=now)
        self._adapter.ring()
        return kept.id

    def all(self) -> list[Recurrence]:
        return [_recurrence(row) for row in self._execute(self._sql.all)]

    # For workers

    def next_at(self) -> int | None:
        [(moment,)] = self._execute(self._sql.next_at)
        return moment  # type: ignore[no-any-return]

    def fire(self) -> None:
        now = self._now()
        rows = self._execute(self._sql.due, now=now, limit=defaults.FIRE_BATCH)
        if not rows:
            return
        firings = [self._firing(row, now) for row in rows]  # before others have to wait
        self._adapter.keep_limits([firing.schedule.job for firing in firings])
        with self._adapter.transaction_that_settles():
            for firing in firings:
                self._fire(firing, now)
        self._adapter.ring()

    def _firing(self, row: Sequence[Any], now: int) -> _Firing:
        id_, version, name, *values, slot = row
        schedule = _schedule(text(name), values)
        try:
            timing = schedule.timing(slot)
            moment = timing.after(now)
            most = schedule.catch_up if schedule.missed == "all" else 1
            slots = come(timing, slot, now, most) or [slot]  # which zone or hand may have changed
        except ConfigurationError as error:  # written by hand, or its zone is gone
            return _Firing(id_, version, schedule, slot, (), None, str(error))
        except Exception as error:  # noqa: BLE001  # of a library: no other is to wait for it
            return _Firing(id_, version, schedule, slot, (), None, headline(error))
        if schedule.missed == "skip" and now - slots[-1] > defaults.MISSED:
            slots = ()
        if moment is not None and moment > defaults.END_OF_TIME:
            moment = None
        why = None if moment else "its times are over"
        return _Firing(id_, version, schedule, slot, slots, moment, why)

    def _fire(self, firing: _Firing, now: int) -> None:
        """Make the runs, unless another worker has."""
        held = self._execute(
            self._sql.advance, id=firing.id, version=firing.version, slot=firing.slot,
            next=firing.next, error=firing.error, now=now,
        )  # fmt: skip
        if not held:
            return
        whose, log = firing.schedule.name, self._adapter.logger
        name = printable(whose)
        if firing.error is not None:
            log.error("the schedule %s makes no more runs: %s", name, firing.error)
        if now - firing.slot > defaults.MISSED:
            log.info("the schedule %s has missed times, runs now: %d", name, len(firing.slots))
        [(last_job,)] = held
        for slot in firing.slots:
            if firing.schedule.overlap == "skip":
                unfinished = self._unfinished(whose, last_job, now)
                if unfinished is not None:
                    log.info("the schedule %s passes over a time: job %d goes on", name, unfinished)
                    continue
            try:
                kept = self._store(firing.schedule, slot, now)
            except DuplicateJobError as error:
                log.warning("the schedule %s passes over a time: %s", name, error)
                continue
            if not kept.is_new:
                log.info("the schedule %s passes over a time: job %d has its key", name, kept.id)
                continue
            last_job = kept.id
            self._execute(self._sql.ran, id=firing.id, job=last_job, slot=slot)

    def _unfinished(self, schedule: str, last_job: int | None, now: int) -> int | None:
        """A run that goes on, if there is one; the last, if it failed at first, makes room."""
        rows = self._execute(self._sql.unfinished, schedule=schedule, job=last_job)
        for run, state, attempts in rows:
            if state != _UNLOADABLE and not (state == _SCHEDULED and attempts > 0):
                return run  # type: ignore[no-any-return]
            self._execute(self._sql.supersede, job=run, now=now)
        return None

    def _store(self, schedule: StoredSchedule, slot: int, now: int) -> Kept:
        """Store a run, or find the job that has its key; raises DuplicateJobError."""
        job = schedule.run(slot, min(slot + _by_chance(schedule.jitter), defaults.END_OF_TIME))
        connection, sql, limits = self._adapter.connection, self._adapter.sql, self._adapter.limits
        if job.unique is not None:
            return store_unique(connection, sql, limits, job, now)
        [run] = store(connection, sql, limits, [job], now)
        return Kept(run, is_new=True)

    # Both

    def _keep(self, schedule: StoredSchedule, owner: str | None) -> bool:
        """Insert or change it; False if it is another's."""
        now = self._now()
        values = _values(schedule)
        rows = self._execute(self._sql.named, name=schedule.name)
        if not rows:
            moment = schedule.timing(now).after(now)
            self._execute(
                self._sql.insert, **values, name=schedule.name, owner=owner, next=moment, now=now
            )
            return True
        [(id_, _, whose, *there, moment)] = rows
        if (whose and text(whose)) != owner:
            return False
        before = _schedule(schedule.name, there)
        times = (schedule.cron, schedule.timezone, schedule.every)
        if moment is None or times != (before.cron, before.timezone, before.every):
            moment = schedule.timing(now).after(now)
        elif before == schedule:
            return True
        self._execute(self._sql.change, **values, id=id_, next=moment, now=now)
        return True

    def _row(self, name: str) -> Sequence[Any]:
        rows = self._execute(self._sql.named, name=name)
        if not rows:
            raise not_found(name, (one.name for one in self.all()))
        return rows[0]

    def _whose(self, name: str) -> str:
        owner = self._row(name)[2]
        return "added at run time" if owner is None else f"of the code of {printable(text(owner))}"

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """All or nothing; then workers look when they are needed next."""
        with self._adapter.connection.transaction():
            yield
        self._adapter.ring()

    def _now(self) -> int:
        return self._adapter.clock.now()

    def _execute(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        return self._adapter.connection.execute(statement, values)


def _by_chance(jitter: int) -> int:
    """Up to so many milliseconds."""
    if not jitter:
        return 0
    from random import randint  # noqa: PLC0415  # for few schedules

    return randint(0, jitter)  # noqa: S311  # spreads load


def _values(schedule: StoredSchedule) -> dict[str, Any]:
    """As the columns have it."""
    job = schedule.job
    key, policy, period = job.unique or (None, None, None)
    return {
        "cron": schedule.cron, "timezone": schedule.timezone, "every": schedule.every,
        "missed": schedule.missed, "catch_up": schedule.catch_up, "overlap": schedule.overlap,
        "jitter": schedule.jitter, "handler": job.handler, "queue": job.queue,
        "priority": job.priority, "unique_key": key, "key_policy": policy, "key_period": period,
        "limit_key": job.limit_key, "limit_max": job.limit_max,
    }  # fmt: skip


def _schedule(name: str, values: Sequence[Any]) -> StoredSchedule:
    """The columns from cron to limit_max."""
    texts: list[Any] = [text(value) if isinstance(value, bytes) else value for value in values]
    cron, timezone, every, missed, catch_up, overlap, jitter, *of_job = texts
    handler, queue, priority, key, policy, period, limit_key, limit_max = of_job
    unique = None if key is None else Unique(key, policy, period)
    job = NewJob(handler, queue, priority, 0, unique, limit_key, limit_max)
    return StoredSchedule(name, cron, timezone, every, missed, catch_up, overlap, jitter, job)


def _recurrence(row: Sequence[Any]) -> Recurrence:
    values: list[Any] = [text(value) if isinstance(value, bytes) else value for value in row]
    found = Recurrence(*values)
    state = found.last_state  # its number, as yet
    return found if state is None else found._replace(last_state=STATES[state])  # type: ignore[call-overload]
