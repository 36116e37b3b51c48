"""One run of one job: what comes out of it, whatever the job does."""

import asyncio
import contextlib
import gc
import json
import logging
import weakref
from datetime import UTC, datetime, timedelta

import pytest

from litejobs import current_job
from litejobs.errors import UnloadableError
from litejobs.execution import Execution
from litejobs.job import Job, Limits, Outcome, StoredJob
from litejobs.loader import Call, Loader

DEFAULTS = Limits()
seen = []


def note(word="done"):
    seen.append(word)
    return word


def look():
    seen.append(current_job())


def look_again():
    seen.append(current_job())


def look_on():
    seen.append(current_job())


def exit_with(code):
    raise SystemExit(code)


def interrupt():
    raise KeyboardInterrupt


def leave():
    raise GeneratorExit


class Mute(Exception):  # noqa: N818
    def __str__(self):
        raise RuntimeError("not even this")


def raise_mute():
    raise Mute


def raise_long():
    raise ValueError("x" * 100_000_000)


def raise_forged():
    raise ValueError("\x1b[2J\r\nERROR forged\0\ud800")


async def remember_loop():
    await asyncio.sleep(0)
    seen.append(asyncio.get_running_loop())
    seen.append(current_job())


async def raise_later():
    await asyncio.sleep(0)
    raise ValueError("late")


async def cancelled():
    raise asyncio.CancelledError


def takes_int(number: int): ...


@pytest.fixture(autouse=True)
def nothing_seen():
    seen.clear()


@pytest.fixture
def make_execution(clock, request):
    with contextlib.ExitStack() as stack:

        def make(limits=DEFAULTS, declared=None):
            loader = Loader(declared or {}, None if declared else request.path.parent)
            execution = Execution(loader, limits, clock, logging.getLogger("test.execution"))
            stack.callback(execution.close)
            return execution

        yield make


@pytest.fixture
def execution(make_execution):
    return make_execution()


def ready(function, clock):
    """An execution for which every row names *function*."""

    class Ready:
        def load(self, _):
            return Call("job", function, [], {}, {})

    return Execution(Ready(), Limits(), clock, logging.getLogger("litejobs"))


def stored(function, *args, attempts=1):
    name = getattr(function, "__name__", function)
    handler = {"name": name, "path": "test_execution.py", "module": "test_execution", "args": args}
    return StoredJob(7, "email", 50, 0, attempts, "tester", json.dumps(handler))


@pytest.mark.parametrize("delete", [True, False])
def test_a_job_that_returns_is_a_success(make_execution, delete):
    execution = make_execution(Limits(delete_successful_jobs=delete))

    outcome = execution.run(stored(note, "a"))

    assert outcome == Outcome("success", delete=delete)
    assert seen == ["a"]


@pytest.mark.parametrize(
    ("function", "args", "headline"),
    [
        (exit_with, [0], "SystemExit: 0"),
        (exit_with, ["bye"], "SystemExit: bye"),
        (interrupt, [], "KeyboardInterrupt"),
        (leave, [], "GeneratorExit"),
        (raise_mute, [], "test_execution.Mute: <its __str__ raised RuntimeError>"),
        (raise_later, [], "ValueError: late"),
        (cancelled, [], "asyncio.exceptions.CancelledError"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_whatever_a_job_raises_is_an_error_of_the_job(execution, clock, function, args, headline):
    outcome = execution.run(stored(function, *args))

    assert outcome.kind == "error"
    assert outcome.error.split("\n\n")[0] == headline
    assert f"in {function.__name__}" in outcome.error
    assert outcome.run_at == clock.now() + 1000


def raise_and_hold():
    held = Mute()
    seen.append(weakref.ref(held))
    raise ValueError("no luck")


def test_what_a_job_held_is_gone_after_its_error(execution):
    gc.disable()
    try:
        execution.run(stored(raise_and_hold))

        assert seen[0]() is None
    finally:
        gc.enable()


def test_the_traceback_begins_with_the_job(execution):
    outcome = execution.run(stored(exit_with, 3))

    assert "litejobs/execution.py" not in outcome.error


def test_an_enormous_message_is_cut(execution):
    outcome = execution.run(stored(raise_long))

    assert outcome.error.startswith("ValueError: xxx")
    assert len(outcome.error.encode()) <= 8192


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 1), (2, 16), (3, 81)])
def test_an_error_waits_out_its_backoff(execution, clock, attempts, seconds):
    outcome = execution.run(stored(interrupt, attempts=attempts))

    assert outcome.run_at == clock.now() + 1000 * seconds


@pytest.mark.parametrize("delete", [True, False])
def test_attempts_used_up_are_a_failure(make_execution, delete):
    execution = make_execution(Limits(max_attempts=2, delete_failed_jobs=delete))

    outcome = execution.run(stored(interrupt, attempts=2))

    assert (outcome.kind, outcome.run_at, outcome.delete) == ("failure", None, delete)


def test_a_jobs_own_limits_win(make_execution):
    job = Job(look, owner=None, own_limits={"max_attempts": 3, "max_runtime": 5})
    execution = make_execution(Limits(max_attempts=9), {("test_execution.py", "look"): job})

    execution.run(stored(look))

    assert seen[0].max_attempts == 3


def test_a_job_can_ask_which_it_is(make_execution, clock):
    execution = make_execution(Limits(max_attempts=9, max_runtime=2.5))

    execution.run(stored(look, attempts=4))

    [current] = seen
    assert (current.id, current.attempts, current.max_attempts) == (7, 4, 9)
    assert current.queue == "email"
    assert current.deadline == datetime.fromtimestamp(clock.now() / 1000, UTC) + timedelta(
        seconds=2.5
    )


def test_the_deadline_is_the_same_whenever_a_job_asks(clock):
    deadlines = []

    def job():
        for _ in range(2):
            deadlines.append(current_job().deadline)
            clock.advance(seconds=60)

    ready(job, clock).run(stored(note))

    assert deadlines[0] == deadlines[1]


def test_each_job_has_its_own_limits_however_often_it_runs(make_execution):
    names = {"look": {"max_attempts": 3}, "look_again": {"max_attempts": 4}, "look_on": {}}
    declared = {
        ("test_execution.py", name): Job(globals()[name], owner=None, own_limits=own)
        for name, own in names.items()
    }
    execution = make_execution(Limits(max_attempts=9), declared)

    for name in 2 * list(names):
        execution.run(stored(name))

    assert [job.max_attempts for job in seen] == [3, 4, 9, 3, 4, 9]


def test_outside_of_a_job_there_is_none(execution):
    assert current_job() is None

    execution.run(stored(interrupt))

    assert current_job() is None


def test_async_jobs_share_one_loop_and_know_their_job(execution):
    execution.run(stored(remember_loop))
    execution.run(stored(note))
    execution.run(stored(remember_loop))

    first, first_job, _, second, second_job = seen
    assert first is second
    assert first_job.id == second_job.id == 7
    assert not first.is_closed()


def test_the_loop_ends_with_its_execution(execution):
    execution.run(stored(remember_loop))

    execution.close()
    execution.close()

    assert seen[0].is_closed()


def test_after_an_async_job_was_cancelled_the_next_runs(execution):
    execution.run(stored(cancelled))

    assert execution.run(stored(remember_loop)).kind == "success"


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        (stored("gone"), "test_execution.py has no function or job named 'gone'"),
        (stored(takes_int, "a"), "the stored argument 'number' of takes_int does not fit"),
        (stored(takes_int), "the stored arguments do not fit takes_int"),
        (StoredJob(7, "email", 50, 0, 1, "tester", "{"), "its handler is not valid JSON"),
    ],
    ids=["gone", "argument", "arguments", "no JSON"],
)
def test_a_job_that_does_not_load_is_unloadable_with_its_reason(execution, caplog, job, reason):
    outcome = execution.run(job)

    assert outcome.kind == "unloadable"
    assert outcome.error.startswith(reason)
    assert f"job 7 cannot be loaded and waits: {reason}" in caplog.text
    assert seen == []


def test_an_unloadable_job_tells_what_its_code_raised(execution, monkeypatch):
    def load(text):
        raise UnloadableError("loading shop.py raised" + " it" * 5000) from ZeroDivisionError(
            "here"
        )

    monkeypatch.setattr(execution._loader, "load", load)

    outcome = execution.run(stored(note))

    assert "ZeroDivisionError: here" in outcome.error
    assert len(outcome.error.encode()) <= 8192


def test_a_function_is_looked_up_once(make_execution, monkeypatch):
    execution = make_execution()
    execution.run(stored(note, "first"))
    monkeypatch.delitem(globals(), "note")

    assert execution.run(StoredJob(8, "email", 50, 0, 1, "t", stored("note").handler)).kind == (
        "success"
    )


def test_start_and_success_are_debug_lines(execution, caplog):
    with caplog.at_level(logging.DEBUG, "test.execution"):
        execution.run(stored(note, attempts=2))

    started, succeeded = caplog.records
    assert started.getMessage() == "job 7 note started (attempt 2 of 24)"
    assert succeeded.getMessage().startswith("job 7 note succeeded in 0.")
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}


def test_a_log_that_raises_is_no_error_of_the_job(execution, caplog, monkeypatch):
    def refuse(_record):
        raise RuntimeError("not to be logged")

    monkeypatch.setattr(execution.logger, "filters", [refuse])

    with caplog.at_level(logging.DEBUG, "test.execution"):
        assert execution.run(stored(note)).kind == "success"


def test_an_error_is_logged_with_what_comes_of_it(execution, clock, caplog):
    execution.run(stored(raise_later, attempts=3))

    clock.advance(seconds=81)
    when = datetime.fromtimestamp(clock.now() / 1000, UTC).astimezone()
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert f"in attempt 3 of 24, next at {when:%Y-%m-%d %H:%M:%S}" in record.getMessage()
    assert "ValueError: late" in record.getMessage()


def test_a_failure_is_logged_as_final(make_execution, caplog):
    make_execution(Limits(max_attempts=3)).run(stored(raise_later, attempts=3))

    assert "job 7 raise_later failed for good in attempt 3: ValueError: late" in caplog.text


def has_no_control(caplog):
    [record] = caplog.records
    assert "\\x1b[2J" in record.getMessage()
    return not set(record.getMessage()) & set("\x1b\r\0\ud800")


def test_no_message_of_an_error_steers_a_terminal(execution, caplog):
    outcome = execution.run(stored(raise_forged))

    assert has_no_control(caplog)
    outcome.error.encode()


def test_no_name_of_a_job_steers_a_terminal(make_execution, caplog):
    declared = {("test_execution.py", "\x1b[2J"): Job(interrupt, owner=None)}

    make_execution(declared=declared).run(stored("\x1b[2J"))

    assert has_no_control(caplog)


def test_no_reason_why_a_job_does_not_load_steers_a_terminal(execution, caplog, monkeypatch):
    def load(text):
        raise UnloadableError("loading shop.py raised ValueError: \x1b[2J\r")

    monkeypatch.setattr(execution._loader, "load", load)

    execution.run(stored(note))

    assert has_no_control(caplog)


def test_whatever_loading_raises_makes_the_job_unloadable(clock):
    class Broken:
        def load(self, _):
            raise KeyError("from the class of an argument")

    execution = Execution(Broken(), Limits(), clock, logging.getLogger("litejobs"))

    result = execution.run(StoredJob(1, "default", 50, 0, 1, "me", "{}"))

    assert result.kind == "unloadable"
    assert result.error.startswith("loading it raised KeyError")


def test_each_async_job_sees_itself_as_the_current_job(clock):
    seen = []

    async def job():
        seen.append((current_job().id, current_job().attempts))

    execution = ready(job, clock)

    for id_ in (1, 2, 3):
        assert (
            execution.run(StoredJob(id_, "default", 50, 0, id_ + 5, "me", "{}")).kind == "success"
        )

    execution.close()
    assert seen == [(1, 6), (2, 7), (3, 8)]


def test_a_class_that_leaves_by_exit_while_loading_makes_the_job_unloadable(clock):
    class Leaving:
        def load(self, _):
            raise SystemExit(3)

    execution = Execution(Leaving(), Limits(), clock, logging.getLogger("litejobs"))

    result = execution.run(StoredJob(1, "default", 50, 0, 1, "me", "{}"))

    assert result.kind == "unloadable"
