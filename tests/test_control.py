"""Control from inside: Retry, Discard, Snooze, and what a job says of its exceptions."""

import logging
import pickle
from datetime import timedelta

import pytest

from litejobs import Discard, JobManager, Retry, Snooze, SqliteAdapter, WorkerGroup
from litejobs.adapters.sqlite.inspection import Inspection
from litejobs.errors import ConfigurationError, JobTimeout
from litejobs.job import Find
from litejobs.testing import manual

OPTIONS = {"max_attempts": 3, "delete_successful_jobs": False}


@pytest.fixture
def manager(tmp_path, clock):
    adapter = SqliteAdapter(tmp_path / "jobs.sqlite", clock=clock)
    yield JobManager({"sqlite": adapter}, workers=[WorkerGroup(**OPTIONS)], clock=clock)
    adapter.close()


def work(manager, function, **options):
    """Declare *function* as a job, store it, run it; its row."""
    [declared] = [job for job in manager.declared.values() if job.perform is function] or [
        manager.create_job(perform=function, **options)
    ]
    id_ = manager.create_scheduler()(declared).id
    return work_again(manager, id_)


def work_again(manager, id_=1):
    manager.create_worker(0, workoff=True).run()
    return Inspection(manager.adapter(None)).record(id_)


def connect():
    raise ConnectionError("nobody there")


# What is raised


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Retry(-1), "wait must be at least 0 seconds, got -1"),
        (lambda: Retry("soon"), "wait must be a number of seconds, got 'soon'"),
        (lambda: Snooze(0), "wait must be more than 0 seconds, got 0"),
        (lambda: Snooze(None), "wait must be a number of seconds, got None"),
        (lambda: Discard(""), "reason of Discard must be a text, got ''"),
        (lambda: Discard(None), "reason of Discard must be a text, got None"),
    ],
)
def test_what_is_no_wait_or_reason_is_refused_where_it_is_raised(make, reason):
    with pytest.raises(ConfigurationError, match=f"^{reason}$"):
        make()


@pytest.mark.parametrize("kind", [Retry, Snooze])
def test_a_wait_may_be_a_timedelta(kind):
    assert kind(timedelta(minutes=2)).wait == kind(120).wait == 120


@pytest.mark.parametrize("raised", [Retry(), Retry(5), Discard("no use"), Snooze(5)], ids=repr)
def test_except_exception_lets_control_pass_and_it_can_be_sent_to_another_process(raised):
    assert not isinstance(raised, Exception)

    copy = pickle.loads(pickle.dumps(raised))

    assert (type(copy), vars(copy)) == (type(raised), vars(raised))


# What comes of it


def test_a_retry_is_an_error_with_its_own_wait(manager, clock):
    def job():
        raise Retry(wait=2.5)

    record = work(manager, job)

    assert (record.state, record.attempts, record.run_at) == ("scheduled", 1, clock.now() + 2500)
    assert record.last_error.startswith("Retry: asked for in 2.5 s\n\nTraceback")


def test_a_retry_spends_its_attempt_and_the_last_one_is_a_failure(manager, clock):
    def job():
        raise Retry

    record = work(manager, job)
    assert record.last_error.startswith("Retry: asked for\n")
    for _ in range(2):
        clock.advance(seconds=16)
        record = work_again(manager)

    assert (record.state, record.attempts) == ("failed", 3)


@pytest.mark.parametrize("is_caused", [True, False])
def test_a_retry_for_an_exception_records_that(manager, is_caused):
    def job():
        try:
            connect()
        except ConnectionError as error:
            if is_caused:
                raise Retry(wait=5) from error
            raise Retry(wait=5)  # noqa: B904

    record = work(manager, job)

    assert record.last_error.startswith("ConnectionError: nobody there\n\nTraceback")
    assert "Retry" in record.last_error


def test_a_retry_that_wants_no_cause_has_none(manager):
    def job():
        try:
            connect()
        except ConnectionError:
            raise Retry from None

    assert work(manager, job).last_error.startswith("Retry: asked for\n")


def test_a_discarded_job_is_cancelled_with_its_reason(manager, clock, caplog):
    def job():
        raise Discard("the user is gone")

    with caplog.at_level(logging.INFO, "litejobs"):
        record = work(manager, job)

    assert (record.state, record.attempts, record.run_at) == ("cancelled", 1, None)
    assert (record.finished_at, record.failed_at) == (clock.now(), None)
    assert record.last_error.startswith("Discard: the user is gone\n\nTraceback")
    assert "job 1 job is cancelled: Discard: the user is gone" in caplog.messages


def test_a_discarded_job_goes_where_failures_go(manager):
    def job():
        raise Discard("no use")

    manager.create_scheduler()(manager.job(delete_failed_jobs=True)(job))
    manager.create_worker(0, workoff=True).run()

    assert Inspection(manager.adapter(None)).records() == []


def test_a_snoozed_job_comes_back_as_if_it_had_not_been_run(manager, clock):
    runs = []

    def job():
        runs.append(clock.now())
        if len(runs) <= 5:
            raise Snooze(wait=60)

    record = work(manager, job)
    for _ in range(4):
        assert (record.state, record.attempts, record.last_error) == ("scheduled", 0, None)
        assert record.run_at == clock.now() + 60_000
        clock.advance(seconds=60)
        record = work_again(manager)
    clock.advance(seconds=60)
    record = work_again(manager)

    assert (record.state, record.attempts) == ("succeeded", 1)
    assert len(runs) == 6


def test_a_snooze_keeps_the_error_of_an_earlier_run(manager, clock):
    raises = [ValueError("no luck"), Snooze(60)]

    def job():
        raise raises.pop(0)

    work(manager, job)
    clock.advance(seconds=1)
    record = work_again(manager)

    assert (record.state, record.attempts) == ("scheduled", 1)
    assert record.last_error.startswith("ValueError: no luck")


def test_control_of_an_async_job_counts_too(manager):
    async def job():
        raise Snooze(wait=60)

    assert work(manager, job).attempts == 0


# What a job says of itself


def test_exceptions_that_are_not_worth_a_retry_fail_at_once(manager, clock):
    raises = [ConnectionResetError(), ValueError()]

    def job():
        raise raises.pop(0)

    assert work(manager, job, retry_on=[ConnectionError]).state == "scheduled"
    clock.advance(seconds=1)

    record = work_again(manager)
    assert (record.state, record.attempts) == ("failed", 2)


def test_exceptions_that_end_a_job_cancel_it_with_what_is_known(manager):
    def job():
        raise KeyError("ada")

    record = work(manager, job, discard_on=LookupError)

    assert record.state == "cancelled"
    assert record.last_error.startswith("KeyError: 'ada'\n\nTraceback")


@pytest.mark.parametrize(
    ("backoff", "waits"),
    [(7, [7, 7]), ([5, 60], [5, 60]), ([0.5], [0.5, 0.5]), (lambda n: 100 * n, [100, 200])],
    ids=["number", "list", "short list", "function"],
)
def test_a_job_says_how_long_to_wait(manager, clock, backoff, waits):
    def job():
        raise ValueError

    record = work(manager, job, backoff=backoff)
    for wait in waits:
        assert record.run_at == clock.now() + 1000 * wait
        clock.advance(seconds=wait)
        record = work_again(manager)

    assert record.state == "failed"


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        (-1, "backoff must be at least 0 seconds, got -1"),
        (None, "backoff must be a number of seconds, got None"),
        (ZeroDivisionError("oh"), "ZeroDivisionError: oh"),
        (Snooze(60), "Snooze: for 60 s"),
    ],
    ids=repr,
)
def test_a_backoff_function_that_says_nonsense_is_told_of_and_the_usual_wait_holds(
    manager, clock, caplog, says, reason
):
    def backoff(_attempts):
        if isinstance(says, BaseException):
            raise says
        return says

    def job():
        raise ValueError

    record = work(manager, job, backoff=backoff)

    assert record.run_at == clock.now() + 1000
    [told] = [text for text in caplog.messages if text.startswith("backoff of job: ")]
    assert told.endswith(f"{reason}; the usual one holds")


def test_a_backoff_function_is_not_asked_where_nothing_is_tried_again(manager):
    asked = []

    def job():
        raise ValueError

    work(manager, job, backoff=asked.append, retry_on=ConnectionError)

    assert asked == []


def test_jitter_is_drawn_for_each_run(manager, clock, monkeypatch):
    monkeypatch.setattr("litejobs.execution.random.random", lambda: 0.5)

    def job():
        raise ValueError

    assert work(manager, job, backoff=10, jitter=1).run_at == clock.now() + 15_000


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"retry_on": "x"}, "retry_on must be an exception class or a list of them, got 'x'"),
        ({"discard_on": [int]}, "discard_on must be an exception class or a list of them, got"),
        ({"retry_on": [ValueError()]}, "retry_on must be an exception class or a list of them"),
        ({"discard_on": JobTimeout}, "discard_on takes no JobTimeout"),
        ({"backoff": "x"}, "backoff must be a number of seconds, got 'x'"),
        ({"backoff": [1, -1]}, "backoff must be at least 0 seconds, got -1"),
        ({"backoff": []}, r"backoff must be seconds, a list of them or a function, got \[\]"),
        ({"jitter": 1.5}, "jitter must be a number from 0 to 1, got 1.5"),
        ({"jitter": True}, "jitter must be a number from 0 to 1, got True"),
        ({"retry_no": ValueError}, "'retry_no' is not an option of a job; did you mean 'retry_on'"),
    ],
    ids=str,
)
def test_an_option_that_is_not_of_its_kind_is_refused_at_the_definition(manager, options, reason):
    def job(): ...

    with pytest.raises(ConfigurationError, match=f"^{reason}"):
        manager.create_job(perform=job, **options)


def test_what_a_job_says_in_numbers_holds_where_its_code_does_not_run(manager):
    """So it does when its process died: the runner knows it by the manifest."""

    def listed(): ...
    def function(): ...

    listed = manager.job(backoff=[5, 60], jitter=0.5)(listed)
    function = manager.job(backoff=lambda _: 5)(function)

    assert listed.own_limits == {"backoff": (5, 60), "jitter": 0.5}
    assert function.own_limits == {}


def test_a_drain_counts_control_and_raises_none(manager):
    raises = [Retry(60), Snooze(60), Discard("no use")]

    @manager.job
    def job():
        raise raises.pop()

    with manual(manager) as jobs:
        later = manager.create_scheduler()
        for _ in range(3):
            later(job)

        assert jobs.drain() == {"cancelled": 1, "snoozed": 1, "error": 1}


def test_a_snoozed_job_is_fenced_like_others(manager, clock):
    adapter = manager.adapter(None)
    manager.create_scheduler()(manager.job(fenced))
    [[job]] = adapter.exchange([], [Find("one", ("*",), 60)])
    assert adapter.snooze(job, clock.now())
    [[again]] = adapter.exchange([], [Find("two", ("*",), 60)])

    assert again.attempts == job.attempts == 1
    assert not adapter.snooze(job, clock.now())


def fenced(): ...
