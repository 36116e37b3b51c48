"""
What an adapter promises, as tests: its author subclasses ``AdapterSuite`` and runs pytest.

    from litejobs.testing.adapter_suite import AdapterSuite

    class TestMyAdapter(AdapterSuite):
        def make(self, place, clock):
            return MyAdapter(place / "jobs", clock=clock)
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from litejobs.adapters.base import BaseAdapter
from litejobs.job import Find, NewJob, Outcome, StoredJob
from litejobs.manager import JobManager
from litejobs.testing.clock import ManualClock

Open = Callable[[], BaseAdapter]

_EVERY = ("*",)
_THREADS, _JOBS = 6, 60
_OUTCOMES = {
    "success": Outcome("success"),
    "deleted success": Outcome("success", delete=True),
    "error": Outcome("error", "oh", run_at=0),
    "success kept for a minute": Outcome("success", keep=60.0),
    "failure": Outcome("failure", "oh"),
    "failure kept for a minute": Outcome("failure", "oh", keep=60.0),
    "deleted failure": Outcome("failure", "oh", delete=True),
    "cancelled": Outcome("cancelled", "oh"),
    "deleted cancelled": Outcome("cancelled", "oh", delete=True),
    "snoozed": Outcome("snoozed", run_at=0),
    "unloadable": Outcome("unloadable", "gone"),
    "released": Outcome("released"),
}
_HANDLERS = {
    "empty": "{}",
    "unicode": '{"name": "grüße", "args": ["日本", "👋", "\u2028"]}',
    "controls": '{"args": ["\\u0000", "\\n"]}\n\t',
    "large": '{"args": ["' + "x" * 1_000_000 + '"]}',
    "no JSON": "'; DROP TABLE jobs; --",
}


class AdapterSuite:
    """The contract of ``BaseAdapter``; ``make`` says how to make the adapter under test."""

    def make(self, place: Path, clock: ManualClock) -> BaseAdapter:
        """
        A new adapter that reads *clock*.

        *place* is a directory of the test's own: adapters made for one place have the same jobs,
        those of different places have nothing in common.
        """
        raise NotImplementedError

    @pytest.fixture
    def clock(self) -> ManualClock:
        """The time, which stands still until a test moves it."""
        return ManualClock(datetime(2027, 1, 1, tzinfo=UTC))

    @pytest.fixture
    def another(self, tmp_path: Path, clock: ManualClock) -> Iterator[Open]:
        """Makes one more adapter with the same jobs, as another process would have it."""
        made = []

        def make() -> BaseAdapter:
            made.append(self.make(tmp_path, clock))
            return made[-1]

        yield make
        for adapter in made:
            adapter.close()

    @pytest.fixture
    def adapter(self, another: Open) -> BaseAdapter:
        """The adapter under test; it holds no job yet."""
        return another()

    # Storing

    def test_jobs_get_their_ids_in_order(self, adapter: BaseAdapter, clock: ManualClock) -> None:
        ids = adapter.schedule([new(clock, priority=number) for number in (3, 1, 2)])

        assert len(set(ids)) == 3
        assert [job.id for job in find(adapter, limit=9)] == [ids[1], ids[2], ids[0]]

    def test_no_jobs_are_no_ids(self, adapter: BaseAdapter) -> None:
        assert adapter.schedule([]) == []

    def test_an_id_is_never_used_again(self, adapter: BaseAdapter, clock: ManualClock) -> None:
        used = adapter.schedule([new(clock), new(clock)])
        [job] = find(adapter)
        adapter.success(job, delete=True)
        [job] = find(adapter)
        adapter.success(job, delete=True)

        assert not {*adapter.schedule([new(clock)])} & {*used}
        adapter.clear()

    @pytest.mark.parametrize("handler", _HANDLERS.values(), ids=_HANDLERS)
    def test_a_job_comes_back_as_it_was_stored(
        self, adapter: BaseAdapter, clock: ManualClock, handler: str
    ) -> None:
        [id_] = adapter.schedule([new(clock, queue="mail", priority=3, handler=handler)])

        [job] = find(adapter, worker="me")

        assert job == StoredJob(id_, "mail", 3, clock.now(), 1, "me", handler)

    def test_what_one_adapter_stores_another_finds(
        self, adapter: BaseAdapter, another: Open, clock: ManualClock
    ) -> None:
        ids = adapter.schedule([new(clock)])

        assert [job.id for job in find(another())] == ids

    def test_jobs_outlive_the_adapter(
        self, adapter: BaseAdapter, another: Open, clock: ManualClock
    ) -> None:
        ids = adapter.schedule([new(clock)])
        adapter.close()

        assert [job.id for job in find(another())] == ids

    def test_a_closed_adapter_can_be_used_again(
        self, adapter: BaseAdapter, clock: ManualClock
    ) -> None:
        ids = adapter.schedule([new(clock)])
        adapter.close()

        assert [job.id for job in find(adapter)] == ids

    # Finding

    def test_jobs_are_found_by_priority_then_run_at_then_id(
        self, adapter: BaseAdapter, clock: ManualClock
    ) -> None:
        options: list[dict[str, Any]] = [
            {"wait": -1}, {"wait": -2}, {"priority": 51, "wait": -9}, {"priority": 49},
            {"wait": -2}, {"priority": -(2**63)}, {"priority": 2**63 - 1},
        ]  # fmt: skip
        ids = adapter.schedule([new(clock, **one) for one in options])

        found = [ids.index(job.id) for job in find(adapter, limit=9)]

        assert found == [5, 3, 1, 4, 0, 2, 6]

    @pytest.mark.parametrize(
        ("queues", "expected"),
        [
            (("*",), "abc"), (("b",), "b"), (("a", "c"), "ac"), (("b", "*"), "abc"),
            (("c", "c"), "c"), (("nobody's",), ""), (("nobody's", "a"), "a"), (("A",), ""),
            (("*", "!b"), "ac"), (("*", "!a", "!b"), "c"), (("*", "!nobody's"), "abc"),
        ],
        ids=str,
    )  # fmt: skip
    def test_only_jobs_of_the_queues_asked_for_are_found(
        self, adapter: BaseAdapter, clock: ManualClock, queues: Sequence[str], expected: str
    ) -> None:
        adapter.schedule([new(clock, queue=queue) for queue in "abc"])

        assert "".join(job.queue for job in find(adapter, *queues, limit=9)) == expected

    def test_no_more_than_the_limit_are_found_over_all_queues(
        self, adapter: BaseAdapter, clock: ManualClock
    ) -> None:
        ids = adapter.schedule([new(clock, queue=queue) for queue in "aabbcc"])

        assert [job.id for job in find(adapter, limit=4)] == ids[:4]
        assert [job.id for job in find(adapter, limit=4)] == ids[4:]

    def test_a_job_is_never_found_early_and_always_when_it_is_due(
        self, adapter: BaseAdapter, clock: ManualClock
    ) -> None:
        adapter.schedule([new(clock, wait=1000)])
        clock.advance(0.999)
        assert find(adapter) == []

        clock.advance(0.001)

        assert len(find(adapter)) == 1

    def test_a_job_of_the_far_future_or_past_is_taken_for_what_it_is(
        self, adapter: BaseAdapter, clock: ManualClock
    ) -> None:
        _, past = adapter.schedule(
            [new(clock, run_at=253_402_300_799_999), new(clock, run_at=-62_135_596_800_000)]
        )

        assert [job.id for job in find(adapter, limit=9)] == [past]

    def test_a_job_that_was_found_is_not_found_again(
        self, adapter: BaseAdapter, another: Open, clock: ManualClock
    ) -> None:
        adapter.schedule([new(clock)])
        assert find(adapter)

        assert find(adapter, worker="another") == []
        assert find(another(), worker="another") == []

    def test_attempts_rise_with_every_find(self, adapter: BaseAdapter, clock: ManualClock) -> None:
        adapter.schedule([new(clock)])

        for attempt in (1, 2, 3):
            [job] = find(adapter)
            assert job.attempts == attempt
            assert adapter.error(job, "oh", clock.now())

    def test_workers_that_find_at_once_never_share_a_job(
        self, adapter: BaseAdapter, another: Open, clock: ManualClock
    ) -> None:
        ids = adapter.schedule([new(clock) for _ in range(_JOBS)])
        found: list[int] = []
        adapters = [another() for _ in range(_THREADS)]

        def work(one: BaseAdapter, name: str) -> None:
            while jobs := find(one, worker=name, limit=2):
                found.extend(job.id for job in jobs)
                for job in jobs:
                    assert one.success(job, delete=True)
            one.close()

        together(*(lambda one=one, n=n: work(one, f"w{n}") for n, one in enumerate(adapters)))

        assert sorted(found) == sorted(ids)

    # Settling

    @pytest.fixture
    def job(self, adapter: BaseAdapter, clock: ManualClock) -> StoredJob:
        """The only job, and found."""
        adapter.schedule([new(clock)])
        [job] = find(adapter)
        return job

    @pytest.mark.parametrize("way", ["success", "failure", "cancelled"])
    @pytest.mark.parametrize("delete", [True, False], ids=["deleted", "kept"])
    def test_a_job_that_is_done_with_is_not_found_again(
        self,
        adapter: BaseAdapter,
        clock: ManualClock,
        job: StoredJob,
        way: str,
        delete: bool,  # noqa: FBT001
    ) -> None:
        if way == "success":
            assert adapter.success(job, delete=delete)
        else:
            settle = getattr(adapter, way)
            assert settle(job, "Oh: ♥\n\n" + "x" * 8000, delete=delete)
        clock.advance(366 * 24 * 3600)

        assert find(adapter) == []
        assert adapter.clear() == (0 if delete else 1)

    def test_a_job_that_went_wrong_is_found_again_when_it_is_to_be(
        self, adapter: BaseAdapter, clock: ManualClock, job: StoredJob
    ) -> None:
        assert adapter.error(job, "Oh: ♥\n\n" + "x" * 8000, clock.now() + 16_000)
        clock.advance(15.999)
        assert find(adapter) == []

        clock.advance(0.001)

        [again] = find(adapter, worker="another")
        assert again == job._replace(run_at=clock.now(), attempts=2, locked_by="another")

    @pytest.mark.parametrize("outcome", _OUTCOMES.values(), ids=_OUTCOMES)
    @pytest.mark.parametrize(
        "stale", [{"locked_by": "another"}, {"attempts": 0}, {"attempts": 2}, {"id": 10**9}],
        ids=["another worker", "earlier attempt", "later attempt", "another job"],
    )  # fmt: skip
    def test_an_attempt_that_lost_its_job_changes_nothing(
        self, adapter: BaseAdapter, job: StoredJob, outcome: Outcome, stale: dict[str, Any]
    ) -> None:
        adapter.settle(job._replace(**stale), outcome)

        assert find(adapter) == []
        assert adapter.reload() == 0
        assert adapter.error(job, "the holder still holds it", 0)

    @pytest.mark.parametrize("outcome", _OUTCOMES.values(), ids=_OUTCOMES)
    def test_a_settled_job_cannot_be_settled_again(
        self, adapter: BaseAdapter, job: StoredJob, outcome: Outcome
    ) -> None:
        adapter.settle(job, outcome)

        assert not adapter.success(job, delete=True)
        assert not adapter.error(job, "again", 0)
        assert not adapter.failure(job, "again", delete=True)
        assert not adapter.release(job)
        assert not adapter.unloadable(job, "again")

    def test_a_released_job_can_be_found_at_once(
        self, adapter: BaseAdapter, job: StoredJob
    ) -> None:
        assert adapter.release(job)

        [again] = find(adapter)
        assert (again.id, again.run_at) == (job.id, job.run_at)
        assert again.attempts == (1 if overrides(adapter, "release") else 2)

    def test_a_snoozed_job_is_found_again_when_it_wants_to_be(
        self, adapter: BaseAdapter, clock: ManualClock, job: StoredJob
    ) -> None:
        assert adapter.snooze(job, clock.now() + 500)
        assert find(adapter) == []

        clock.advance(0.5)

        [again] = find(adapter)
        assert (again.id, again.run_at) == (job.id, clock.now())
        assert again.attempts == (1 if overrides(adapter, "snooze") else 2)

    def test_a_job_that_does_not_load_waits_until_all_such_are_tried_again(
        self, adapter: BaseAdapter, clock: ManualClock, job: StoredJob
    ) -> None:
        assert adapter.unloadable(job, "gone")
        clock.advance(366 * 24 * 3600)
        assert find(adapter) == []

        count = adapter.reload()

        assert count == (1 if overrides(adapter, "reload") else 0)
        found = find(adapter)
        assert len(found) == count
        if overrides(adapter, "unloadable"):
            assert [again.attempts for again in found] == [1] * count

    # All in one

    def test_an_exchange_settles_before_it_finds(
        self, adapter: BaseAdapter, job: StoredJob
    ) -> None:
        [[again]] = adapter.exchange([(job, _OUTCOMES["error"])], [Find("v", _EVERY, 60)])

        assert (again.id, again.attempts, again.locked_by) == (job.id, 2, "v")

    def test_an_exchange_answers_each_wish_and_shares_no_job(
        self, adapter: BaseAdapter, clock: ManualClock
    ) -> None:
        ids = adapter.schedule([new(clock, queue=queue) for queue in "aaab"])

        found = adapter.exchange(
            [], [Find("v", ("a",), 60, 2), Find("w", _EVERY, 60, 9), Find("x", _EVERY, 60)]
        )

        assert [[job.id for job in jobs] for jobs in found] == [ids[:2], ids[2:], []]
        assert [job.locked_by for job in found[0] + found[1]] == ["v", "v", "w", "w"]

    def test_an_exchange_without_wishes_only_settles(
        self, adapter: BaseAdapter, clock: ManualClock, job: StoredJob
    ) -> None:
        ids = adapter.schedule([new(clock)])

        assert adapter.exchange([(job, _OUTCOMES["deleted success"])], []) == []

        assert [job.id for job in find(adapter, limit=9)] == ids

    # Looking

    def test_nothing_is_due_that_cannot_be_found(
        self, adapter: BaseAdapter, clock: ManualClock
    ) -> None:
        assert not adapter.is_due(_EVERY)
        adapter.schedule([new(clock, queue="a"), new(clock, queue="b", wait=1)])
        assert not adapter.is_due(("c",))
        assert find(adapter)

        assert not adapter.is_due(_EVERY)

    def test_when_the_next_job_is_due_is_told_right_or_not_at_all(
        self, adapter: BaseAdapter, clock: ManualClock
    ) -> None:
        assert adapter.next_run_at() is None
        adapter.schedule([new(clock, wait=wait) for wait in (500, 300)])

        assert adapter.next_run_at() in {None, clock.now() + 300}

    def test_a_fact_is_kept_and_replaced_or_there_is_no_place_for_any(
        self, adapter: BaseAdapter, another: Open
    ) -> None:
        assert adapter.get_meta("app") is None
        adapter.set_meta("app", "one")
        adapter.set_meta("app", "two")

        assert another().get_meta("app") == ("two" if overrides(adapter, "set_meta") else None)

    def test_it_says_in_words_where_the_jobs_are(self, adapter: BaseAdapter) -> None:
        assert adapter.describe().isprintable()
        assert adapter.describe()

    # Clearing

    def test_all_jobs_are_cleared_and_counted(
        self, adapter: BaseAdapter, another: Open, clock: ManualClock
    ) -> None:
        adapter.schedule([new(clock), new(clock, wait=1)])

        assert adapter.clear() == 2

        clock.advance(1)
        assert find(another()) == []
        assert adapter.clear() == 0

    # At work

    def test_a_worker_runs_what_a_scheduler_stores(
        self, adapter: BaseAdapter, another: Open, clock: ManualClock
    ) -> None:
        done: list[int] = []

        def note(number: int) -> None:
            done.append(number)

        def go_wrong() -> None:
            raise ValueError(f"at attempt {len(done)}")

        manager = JobManager({"it": adapter}, clock=clock)
        later = manager.create_scheduler()
        noted, wrong = manager.create_job(perform=note), manager.create_job(perform=go_wrong)
        later.many(noted, [[number] for number in range(10)])
        later(wrong)
        later(noted, [99], wait=60)

        manager.create_worker(0, workoff=True).run()

        assert done == list(range(10))
        clock.advance(60)
        assert [job.attempts for job in find(another(), limit=9)] == [2, 1]

    def test_a_worker_on_another_thread_is_woken_or_looks(
        self, adapter: BaseAdapter, another: Open, clock: ManualClock
    ) -> None:
        ran = threading.Event()

        def tell() -> None:
            ran.set()

        manager = JobManager({"it": another()}, workers=[{"sleep_delay": 0.1}], clock=clock)
        scheduled = manager.create_job(perform=tell)
        worker = manager.create_worker(0)
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            manager.create_scheduler()(scheduled)
            assert ran.wait(60)
        finally:
            worker.stop()
            thread.join()
        assert adapter.clear() == 0


def new(
    clock: ManualClock,
    *,
    queue: str = "default",
    priority: int = 50,
    wait: int = 0,
    run_at: int | None = None,
    handler: str = "{}",
) -> NewJob:
    """A job that is due in *wait* milliseconds, or at *run_at* (milliseconds since 1970)."""
    return NewJob(handler, queue, priority, clock.now() + wait if run_at is None else run_at)


def find(adapter: BaseAdapter, *queues: str, limit: int = 1, worker: str = "w") -> list[StoredJob]:
    """What *adapter* finds; in every queue where none is named."""
    return adapter.find(worker=worker, queues=queues or _EVERY, max_runtime=3600, limit=limit)


def overrides(adapter: BaseAdapter, method: str) -> bool:
    """Whether the adapter has a way of its own to do what ``BaseAdapter`` does poorly."""
    return getattr(type(adapter), method) is not getattr(BaseAdapter, method)


def together(*actions: Callable[[], None]) -> None:
    """Run *actions* on threads that begin at once; raises what one of them raised."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(len(actions))

    def run(action: Callable[[], None]) -> None:
        try:
            barrier.wait(60)
            action()
        except BaseException as error:  # noqa: BLE001  # raised below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
