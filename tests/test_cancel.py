"""Jobs that somebody cancels: before they run, while they run, and just as they end."""

import logging
import signal
import threading
import time
from contextlib import suppress

import pytest
from helpers import Jobs, wait_until

from litejobs import (
    ConfigurationError,
    JobCancelled,
    JobManager,
    SqliteAdapter,
    current_job,
    overdue,
)
from litejobs.adapters.sqlite.inspection import Inspection
from litejobs.errors import JobNotFoundError, JobStateError
from litejobs.execution import Execution
from litejobs.job import Find, Limits, NewJob, Outcome, StoredJob
from litejobs.loader import Call
from litejobs.performers.alarm import Alarm
from litejobs.performers.job_place import JobPlace
from litejobs.performers.manifest import Group
from litejobs.performers.tokens import Taker
from litejobs.performers.wire import Done, Start
from litejobs.run_directory.bell import END, Bell
from litejobs.run_directory.lease import Slot
from litejobs.testing import ManualClock

CANCELLED, FOUND = 6, 2


def schedule(adapter, wait=0, queue="default", limit_key=None):
    now = adapter.clock.now()
    limit = (limit_key, 1) if limit_key else ()
    return adapter.schedule([NewJob("{}", queue, 50, now + 1000 * wait, *limit)])[0]


def find(adapter):
    [job] = adapter.find(worker="w", queues=("*",), max_runtime=60)
    return job


def row(adapter, id_, columns="state, run_at, locked_by"):
    [values] = adapter.connection.execute(f"SELECT {columns} FROM {adapter.table} WHERE id = {id_}")
    return values


# Before it runs


@pytest.mark.parametrize("wait", [0, 60], ids=["ready", "scheduled"])
def test_a_job_that_has_not_begun_is_cancelled_at_once_and_kept(adapter, clock, wait):
    id_ = schedule(adapter, wait)

    assert adapter.cancel(id_) == "cancelled"

    columns = "state, run_at, finished_at, failed_at, last_error"
    text = "JobCancelled: cancelled before it began"
    assert row(adapter, id_, columns) == (CANCELLED, None, clock.now(), None, text)
    assert not adapter.is_due(("*",))


def test_a_job_that_does_not_load_or_waits_for_its_retry_is_cancelled_at_once(adapter):
    for settle in (
        lambda job: adapter.unloadable(job, "gone"),
        lambda job: adapter.error(job, "oh", 9),
    ):
        id_ = schedule(adapter)
        settle(find(adapter))

        assert adapter.cancel(id_) == "cancelled"

    assert row(adapter, 2, "last_error") == (
        "JobCancelled: cancelled while it waited to be tried again",
    )


def test_a_job_that_waits_for_its_limit_is_cancelled_and_gives_its_place_back(adapter):
    first, second, third = [schedule(adapter, limit_key="k") for _ in range(3)]

    assert [adapter.cancel(second), adapter.cancel(first)] == ["cancelled", "cancelled"]

    assert row(adapter, third, "state") == (1,)


def test_what_is_over_or_was_never_there_cannot_be_cancelled(adapter):
    id_ = schedule(adapter)
    adapter.success(find(adapter), delete=False)

    assert adapter.cancel(id_) == "over"
    assert adapter.cancel(99) == "gone"
    schedule(adapter)
    assert [adapter.cancel(2), adapter.cancel(2)] == ["cancelled", "over"]


# While it runs: what the row says


def test_a_running_job_is_asked_to_end_once_and_again(adapter, clock):
    id_ = schedule(adapter)
    job = find(adapter)
    asked = clock.now()

    assert adapter.cancel(id_) == "asked"
    clock.advance(seconds=1)
    assert adapter.cancel(id_) == "asked"

    assert row(adapter, id_, "state, cancel_at") == (FOUND, asked)
    assert adapter.asked_to_end() == {(id_, 1)}
    assert adapter.is_asked_to_end(job)
    assert not adapter.is_asked_to_end(job._replace(attempts=2))


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome("error", "oh", run_at=5),
        Outcome("error", "oh", run_at=5, crashed=True),
        Outcome("failure", "oh"),
        Outcome("unloadable", "oh"),
        Outcome("released"),
        Outcome("cancelled", "oh"),
    ],
    ids=str,
)
def test_whatever_settles_a_job_that_was_asked_to_end_cancels_it(adapter, clock, outcome):
    id_ = schedule(adapter)
    job = find(adapter)
    adapter.cancel(id_)

    assert adapter.exchange([(job, outcome)], [Find("w", ("*",), 60)]) == [[]]

    assert row(adapter, id_) == (CANCELLED, None, None)
    assert row(adapter, id_, "finished_at, failed_at") == (clock.now(), None)


@pytest.mark.parametrize("delete", [True, False])
def test_but_a_success_is_one(adapter, delete):
    id_ = schedule(adapter)
    job = find(adapter)
    adapter.cancel(id_)

    assert adapter.success(job, delete=delete)

    assert Inspection(adapter).counts().queues == ({} if delete else {"default": {"succeeded": 1}})


def test_a_job_of_a_dead_worker_that_was_asked_to_end_is_not_tried_again(adapter, monkeypatch):
    id_ = schedule(adapter)
    find(adapter)
    adapter.cancel(id_)
    monkeypatch.setattr(adapter, "is_dead", lambda _worker: True)

    adapter.recover(lambda _job: Limits())

    assert row(adapter, id_) == (CANCELLED, None, None)


def test_strays_that_were_asked_to_end_are_cancelled(adapter):
    id_ = schedule(adapter)
    find(adapter)
    adapter.cancel(id_)

    adapter.release_strays({"w"}, ())

    assert row(adapter, id_) == (CANCELLED, None, None)
    assert row(adapter, id_, "last_error") == ("JobCancelled: given back by its worker",)


def test_a_cancelled_job_that_a_person_retries_is_not_asked_to_end_any_more(adapter):
    id_ = schedule(adapter)
    job = find(adapter)
    adapter.cancel(id_)
    adapter.error(job, "oh", 5)

    Inspection(adapter).retry([id_])

    assert find(adapter).id == id_
    assert not adapter.asked_to_end()


def test_only_a_wish_to_end_is_heard_as_one(adapter):
    id_ = schedule(adapter)
    find(adapter)
    bell = Bell(adapter.run_directory)

    schedule(adapter)
    assert END not in bell.drain()
    adapter.cancel(id_)
    assert END in bell.drain()

    bell.close()


# By hand


def test_several_are_cancelled_or_none(adapter):
    first, second = schedule(adapter), schedule(adapter)
    inspection = Inspection(adapter)

    with pytest.raises(JobNotFoundError, match="there is no job 99"):
        inspection.cancel([first, 99])
    assert row(adapter, first, "state") == (1,)

    assert inspection.cancel([first, second]) == {first: "cancelled", second: "cancelled"}
    with pytest.raises(JobStateError, match=f"job {first} is cancelled: there is nothing to"):
        inspection.cancel([first])


def test_all_that_wait_are_cancelled_but_not_those_that_run(adapter):
    find_me = schedule(adapter)
    find(adapter)
    schedule(adapter)
    schedule(adapter, wait=9)
    schedule(adapter, queue="email")
    for _ in range(3):
        schedule(adapter, queue="email", limit_key="k")
    inspection = Inspection(adapter)

    assert inspection.cancel_all("email") == 4
    assert inspection.cancel_all() == 2

    assert inspection.counts().queues == {
        "default": {"running": 1, "cancelled": 2}, "email": {"cancelled": 4},
    }  # fmt: skip
    assert row(adapter, find_me, "cancel_at") == (None,)


# On threads

here = {}


def looks():
    here["before"] = current_job().is_cancelled
    here["manager"].cancel(current_job().id)
    here["at once"] = current_job().is_cancelled
    here["monotonic"].advance(seconds=1)
    here["later"] = current_job().is_cancelled
    raise JobCancelled


def heeds_it_not():
    here["manager"].cancel(current_job().id)
    assert current_job().is_cancelled


@pytest.fixture
def threads(adapter, clock, monkeypatch):
    """A manager, whose workers run here; time stands still but for its clock *monotonic*."""
    here["monotonic"] = monotonic = ManualClock()
    monkeypatch.setattr(overdue.time, "monotonic", lambda: monotonic.now() / 1000)
    here["manager"] = JobManager({"sqlite": adapter}, clock=clock)
    yield here["manager"]
    here.clear()


def test_a_job_on_a_thread_sees_that_it_is_cancelled_and_ends(threads, adapter):
    later = threads.create_scheduler()
    id_ = later(threads.create_job(perform=looks)).id

    threads.create_worker(0, 0, workoff=True).run()

    assert [here[when] for when in ("before", "at once", "later")] == [False, False, True]
    state, text = row(adapter, id_, "state, last_error")
    assert state == CANCELLED
    assert text.startswith("JobCancelled: cancelled while it ran\n\nTraceback")


def test_a_job_on_a_thread_that_returns_has_succeeded(threads, adapter):
    later = threads.create_scheduler()
    later(threads.create_job(perform=heeds_it_not))

    threads.create_worker(0, 0, workoff=True).run()

    assert Inspection(adapter).counts().queues == {}


def raises_once_it_is_cancelled():
    here["manager"].cancel(current_job().id)
    raise ValueError("of its own")


@pytest.mark.parametrize(("deletes", "expected"), [(True, []), (False, [(CANCELLED,)])])
def test_a_job_on_a_thread_that_was_cancelled_and_goes_wrong_is_kept_as_its_limits_say(
    threads, adapter, caplog, deletes, expected
):
    later = threads.create_scheduler()
    later(threads.create_job(perform=raises_once_it_is_cancelled, delete_failed_jobs=deletes))

    threads.create_worker(0, 0, workoff=True).run()

    assert adapter.connection.execute("SELECT state FROM background_jobs") == expected
    assert "went wrong" not in caplog.text


@pytest.mark.parametrize("id_", [2**63 - 1, 2**63, 2**200])
def test_no_number_is_too_great_to_be_no_jobs(threads, adapter, id_):
    assert threads.cancel(id_) is False
    assert adapter.glimpse(id_) is None
    with pytest.raises(JobNotFoundError, match=f"there is no job {id_} in"):
        Inspection(adapter).cancel([id_])


def test_a_manager_tells_whether_there_was_anything_to_cancel(threads, adapter, monkeypatch):
    id_ = schedule(adapter)

    assert [threads.cancel(id_), threads.cancel(id_), threads.cancel(99)] == [True, False, False]
    with pytest.raises(ConfigurationError, match="id must be a whole number"):
        threads.cancel(str(id_))
    monkeypatch.setattr(type(adapter), "cancels", False)
    with pytest.raises(ConfigurationError, match="cannot cancel jobs"):
        threads.cancel(id_)


# In a performer: only the run that is named


@pytest.fixture
def performer(clock, tmp_path):
    """Runs jobs of the id 7 as a performer does; *cancel* is what the runner does then."""
    before = signal.getsignal(signal.SIGALRM)
    with (tmp_path / "slots").open("w+b") as file:
        performer = Performer(Slot(file.fileno(), 0), clock)
        yield performer
        performer.alarm.close()
    signal.signal(signal.SIGALRM, before)


class Performer:
    def __init__(self, slot, clock):
        self.slot = slot
        self.alarm = Alarm(Limits(), [].append, slot)
        self.execution = Execution(self, Limits(), clock, logging.getLogger("litejobs"))

    def load(self, _handler):
        return Call("job", self.function, [], {}, {})

    def cancel(self, id_, attempts):
        self.slot.note(id_, attempts)
        signal.raise_signal(signal.SIGALRM)

    def __call__(self, function, attempts=1):
        self.function = function
        return self.execution.run(StoredJob(7, "q", 50, 0, attempts, "me", "{}"), self.alarm)


def test_the_run_that_is_named_is_told(performer):
    outcome = performer(lambda: performer.cancel(7, 1))

    assert outcome.kind == "cancelled"
    assert performer.alarm.why_over() == "was cancelled"


@pytest.mark.parametrize("run", [(8, 1), (7, 2)], ids=["another job", "another attempt"])
def test_no_other_run_is_told(performer, run):
    assert performer(lambda: performer.cancel(*run)).kind == "success"
    assert performer.alarm.why_over() == ""


def test_a_run_that_was_named_before_it_began_is_told_as_it_begins(performer):
    ran = []
    performer.cancel(7, 1)

    assert performer(lambda: ran.append(1)).kind == "cancelled"

    assert ran == []


def test_a_later_run_with_the_same_numbers_is_not_told(performer):
    performer.cancel(7, 1)
    performer.slot.note(0, 0)

    assert performer(lambda: None).kind == "success"


def test_a_job_is_told_once(performer):
    def heedless():
        with suppress(JobCancelled):
            performer.cancel(7, 1)
        performer.cancel(7, 1)

    assert performer(heedless).kind == "success"


# At the runner's side


class Process:
    pid = 1
    interrupts = 0

    def send(self, _message):
        return True

    def interrupt(self):
        self.interrupts += 1


@pytest.fixture
def place(performer):
    group = Group("sqlite", ("*",), 1, Limits(), 5)
    start = Start(None, "", None, 0, 0, cancelled=performer.slot)
    place = JobPlace("worker", "me", group, start)
    place.process = Process()
    yield place
    place.tray.close()


def test_a_place_names_the_run_that_goes_on_until_it_has_ended(place, performer, monkeypatch):
    first, second, third = (StoredJob(n, "q", 50, 0, 1, "me", "{}") for n in (5, 6, 7))
    place.begin([first, second, third])
    for _ in "first", "second":
        Taker(place.tray.tokens.reader).take()

    assert place.cancel({(6, 1), (7, 1), (9, 1)}) == [(third, Outcome("released"))]
    assert place.cancel({(6, 1)}) == []
    place.begun(6, Limits())
    assert (performer.slot.read(), place.process.interrupts) == ((6, 1), 1)
    later = time.monotonic() + 2.1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert place.is_out_of_time()

    place.done(Done(6, Outcome("success")))

    assert performer.slot.read() == (0, 0)
    assert not place.is_out_of_time()


# In processes

SCRIPT = """
import asyncio, time
from pathlib import Path

from litejobs import JobCancelled

here = Path(__file__).parent

def note(word):
    with (here / "done.txt").open("a") as file:
        print(word, file=file, flush=True)

def goes_wrong():
    note("begun")
    try:
        time.sleep(60)
    finally:
        note("put away")
        raise ValueError("in its clean-up")

def gives_in():
    note("begun")
    try:
        time.sleep(60)
    except JobCancelled:
        note("done after all")

async def awaits():
    note("begun")
    await asyncio.sleep(60)

def heedless():
    note("begun")
    while True:
        try:
            time.sleep(60)
        except JobCancelled:
            note("so what")

def quick():
    note("quick")
"""


def test_a_running_job_ends_as_it_will_or_is_killed_and_the_next_one_runs(project):
    """One worker process, to which one job after the other is given and cancelled."""
    project.write("script.py", SCRIPT)
    jobs = Jobs(project)
    names = ("goes_wrong", "gives_in", "awaits", "heedless")
    stored = {name: jobs.store(name) for name in names}
    jobs.store("quick")
    adapter = SqliteAdapter(jobs.file)
    worker = project.start_litejobs("work", "db.sqlite")
    try:
        for number, id_ in enumerate(stored.values(), 1):
            wait_until(lambda number=number: project.read("done.txt").count("begun") == number)
            assert adapter.cancel(id_) == "asked"
        wait_until(lambda: "quick" in project.read("done.txt") and len(jobs.rows()) == 3)
    finally:
        adapter.close()
        worker.terminate()
        _, log = worker.communicate()

    ended = {id_: (state, error) for id_, state, error in jobs.rows("id, state, last_error")}
    what = "JobCancelled: cancelled while it ran"
    assert {id_: (state, error.split("\n")[0]) for id_, (state, error) in ended.items()} == {
        stored["goes_wrong"]: (CANCELLED, what),
        stored["awaits"]: (CANCELLED, what),
        stored["heedless"]: (CANCELLED, f"{what}, did not end within 2 s more and was killed"),
    }, log
    assert "ValueError: in its clean-up" in ended[stored["goes_wrong"]][1]
    assert project.read("done.txt").split("\n").count("so what") == 1
    assert {"put away", "done after all"} <= set(project.read("done.txt").split("\n"))
    assert f"job {stored['awaits']} awaits is cancelled: {what}" in log


def test_the_command_tells_what_came_of_it(project):
    jobs = Jobs(project)
    first, second = jobs.store("greet"), jobs.store("greet")
    adapter = SqliteAdapter(jobs.file)
    find(adapter)
    adapter.close()

    told = project.litejobs("cancel", "db.sqlite", first, second)
    refused = project.litejobs("cancel", "db.sqlite", second, code=1)

    assert told.out == "1 job is cancelled, 1 that runs is asked to end\n"
    assert refused.sentence.endswith(f"job {second} is cancelled: there is nothing to cancel")


def test_cancel_against_settle_has_one_outcome_and_its_caller_knows_which(adapter, database, clock):
    """The cancelling thread and the settling one begin together, again and again."""
    told, results = [], []
    for _ in range(20):
        id_ = schedule(adapter)
        job = find(adapter)
        together = threading.Barrier(2)

        def cancel(id_=id_, together=together):
            together.wait()
            told.append(adapter.cancel(id_))
            adapter.close()

        thread = threading.Thread(target=cancel)
        thread.start()
        together.wait()
        assert adapter.error(job, "oh", clock.now() + 1_000_000)
        thread.join()
        results.append(row(adapter, id_, "state")[0])

    assert results == [CANCELLED] * 20
    assert set(told) <= {"asked", "cancelled"}
