"""Jobs of dead workers come back, those of the living never: on both libraries, by real kills."""

import logging
import os
import re
import signal
import threading

import pytest
from helpers import DEADLINE, wait_until

from litejobs import defaults
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.adapters.sqlite.inspection import Inspection
from litejobs.errors import DatabaseBusyError, DiskError
from litejobs.job import Limits, NewJob
from litejobs.run_directory import identity
from litejobs.run_directory.lease import Lease, held_lease

DEFAULTS = Limits()
UUID = "0123456789abcdef0123456789abcdef"


def dead(uuid=UUID, boot=None):
    """What stands in locked_by after a worker of this machine that has ended."""
    name, host, here, _, _, _ = identity.locked_by("litejobs-worker.default.0", "l").rsplit("/", 5)
    return f"{name}/{host}/{boot or here}/1/1/{uuid}"


@pytest.fixture
def leave(adapter, clock):
    """Stores a job and lets a worker find it; gives it."""

    def leave(worker=None, queue="default", handler="{}"):
        adapter.schedule([NewJob(handler, queue, 50, clock.now())])
        [job] = adapter.find(worker=worker or dead(), queues=[queue], max_runtime=60)
        return job

    return leave


def any_limits(_job):
    return DEFAULTS


def rows(adapter):
    return [(record.id, record.state, record.attempts) for record in Inspection(adapter).records()]


def test_a_dead_workers_job_gets_an_error_and_waits_out_its_backoff(adapter, clock, leave):
    job = leave()

    [(recovered, outcome)] = adapter.recover(any_limits)

    assert (recovered, outcome.kind, outcome.crashed) == (job, "error", True)
    [record] = Inspection(adapter).records()
    assert (record.state, record.attempts, record.locked_by) == ("scheduled", 1, None)
    assert record.run_at == clock.now() + 1000
    assert record.last_error == (
        "WorkerDied: litejobs-worker.default.0 (pid 1) ended while it ran this job"
    )


def test_of_what_a_dead_worker_has_found_only_what_it_began_is_blamed(adapter, leave):
    lease = Lease(adapter.run_directory)
    worker = dead(lease.name)
    found = [leave(worker) for _ in range(3)]
    lease.new_slot().note(found[1].id, found[1].attempts)
    lease.forget()  # as the system does at the end of a process

    recovered = adapter.recover(any_limits)

    kinds = {job.id: outcome.kind for job, outcome in recovered}
    assert kinds == {1: "released", 2: "error", 3: "released"}
    assert sorted(rows(adapter)) == [(1, "ready", 0), (2, "scheduled", 1), (3, "ready", 0)]


def test_of_what_a_worker_holds_the_job_that_it_began_is_told(adapter, leave):
    with held_lease(adapter.run_directory) as lease:
        own = identity.locked_by("w", lease.name)
        found = [leave(own) for _ in range(3)]
        by_hand = [leave("by hand") for _ in range(2)]
        inspection = Inspection(adapter)
        assert {one.id for one in inspection.begun(limit=9)} == {1, *(job.id for job in by_hand)}

        lease.new_slot().note(found[1].id, found[1].attempts)

        assert [one.id for one in inspection.begun(limit=9) if one.locked_by == own] == [2]


def test_an_earlier_attempt_of_a_job_that_was_found_again_is_not_the_one_it_began(adapter, leave):
    lease = Lease(adapter.run_directory)
    job = leave(dead(lease.name))
    lease.new_slot().note(job.id, job.attempts - 1)
    lease.forget()

    [(_, outcome)] = adapter.recover(any_limits)

    assert outcome.kind == "released"


def test_what_others_have_to_recover_keeps_the_lease_that_tells_of_it(adapter, leave):
    lease = Lease(adapter.run_directory)
    mine = leave(dead(lease.name), queue="mine")
    theirs = leave(dead(lease.name), queue="theirs")
    lease.new_slot().note(mine.id, mine.attempts)
    lease.forget()

    adapter.recover(lambda job: DEFAULTS if job.queue == "mine" else None)
    [(job, outcome)] = adapter.recover(lambda job: DEFAULTS if job.queue == "theirs" else None)

    assert (job, outcome.kind) == (theirs, "released")


def test_a_living_workers_job_is_left_alone_however_long_it_takes(adapter, clock, leave):
    own = Lease(adapter.run_directory)
    leave(identity.locked_by("w", own.name))
    clock.advance(366 * 24 * 3600)

    assert adapter.recover(any_limits) == []
    assert rows(adapter) == [(1, "running", 1)]

    own.close()
    assert adapter.recover(any_limits) == []  # this process lives: by its pid


def test_a_lock_written_by_hand_is_left_alone(adapter, leave):
    leave("somebody")

    assert adapter.recover(any_limits) == []


def test_a_job_whose_attempts_are_used_up_fails_without_running_again(adapter, leave):
    leave()

    [(_, outcome)] = adapter.recover(lambda _: Limits(max_attempts=1))

    assert outcome.kind == "failure"
    assert rows(adapter) == [(1, "failed", 1)]


def test_a_failed_job_goes_where_its_limits_say_so(adapter, leave):
    leave()

    adapter.recover(lambda _: Limits(max_attempts=1, delete_failed_jobs=True))

    assert rows(adapter) == []


def test_a_job_that_takes_three_processes_along_is_not_tried_again(adapter, clock, leave):
    leave()
    kinds = []
    for _ in range(3):
        [(_, outcome)] = adapter.recover(any_limits)
        kinds.append(outcome.kind)
        clock.advance(1000)
        adapter.find(worker=dead(), queues=["*"], max_runtime=60)

    assert kinds == ["error", "error", "failure"]


def test_a_machine_that_stopped_is_no_crash_of_the_job(adapter, clock, leave):
    leave(dead(boot="an-earlier-boot"))

    [(_, outcome)] = adapter.recover(any_limits)

    assert outcome.error.startswith("WorkerDied: the machine stopped while litejobs-worker.default")
    assert not outcome.crashed
    clock.advance(1)
    [job] = adapter.find(worker="w", queues=["*"], max_runtime=60)
    assert job.crashes == 0


def test_crashes_are_told_with_the_job_and_forgotten_by_a_retry(adapter, clock, leave):
    leave()
    adapter.recover(lambda _: Limits(max_attempts=1))
    Inspection(adapter).retry([1])

    [job] = adapter.find(worker=dead(), queues=["*"], max_runtime=60)
    assert job.crashes == 0

    adapter.recover(any_limits)
    clock.advance(1)
    [job] = adapter.find(worker="w", queues=["*"], max_runtime=60)
    assert job.crashes == 1


def test_jobs_of_others_queues_are_left_to_those_who_know_their_limits(adapter, leave):
    leave(queue="mine")
    leave(queue="theirs")

    recovered = adapter.recover(lambda job: DEFAULTS if job.queue == "mine" else None)

    assert [job.queue for job, _ in recovered] == ["mine"]
    assert [state for _, state, _ in rows(adapter)] == ["running", "scheduled"]


@pytest.mark.parametrize("boot", [None, "another"], ids=["crash", "machine"])
@pytest.mark.parametrize("crashes", [0, 2**63 - 1])
def test_a_row_with_odd_counts_is_recovered_as_others_are(adapter, leave, boot, crashes):
    worker = dead(boot=boot)
    leave(worker)
    leave(worker)
    adapter.connection.execute(
        f"UPDATE {adapter.table} SET attempts = 0, crashes = {crashes} WHERE id = 1"
    )

    adapter.recover(any_limits)

    fails = boot is None and crashes
    assert rows(adapter) == [(2, "scheduled", 1), (1, "failed" if fails else "scheduled", 0)]


def test_who_recovers_second_changes_nothing(adapter, database, driver, clock, leave, monkeypatch):
    leave()
    other = SqliteAdapter(database, clock=clock, driver=driver)
    holders = adapter.holders()
    other.recover(any_limits)
    monkeypatch.setattr(adapter, "holders", lambda: holders)  # it asked before

    assert adapter.recover(any_limits) == []

    assert rows(adapter) == [(1, "scheduled", 1)]
    other.close()


def test_many_dead_workers_are_recovered_together(adapter, leave):
    for number in range(20):
        leave(dead(f"{number:032x}"))

    assert len(adapter.recover(any_limits)) == 20
    assert {state for _, state, _ in rows(adapter)} == {"scheduled"}


def test_looking_for_the_dead_takes_no_write_lock(adapter, database, driver, clock):
    other = SqliteAdapter(database, clock=clock, driver=driver)
    adapter.open()

    with other.connection.transaction():
        assert adapter.recover(any_limits) == []
    other.close()


# By real processes

APP = """
import os, signal, sys, time
from pathlib import Path
from litejobs import JobManager, SqliteAdapter, WorkerGroup, current_job
from litejobs.run_directory.lease import begun_by

here = Path(__file__).parent
jobs = JobManager(
    {"sqlite": SqliteAdapter(here / "db.sqlite")},
    workers=[WorkerGroup(sleep_delay=3600)],
)
later = jobs.create_scheduler()

def note(*words):
    with (here / "done.txt").open("a") as file:
        print(*words, file=file, flush=True)

@jobs.job
def hang():
    note("begun", current_job().attempts, os.getppid(), os.getpid())
    while current_job().attempts == 1:
        time.sleep(0.01)
    note("done")

@jobs.job(max_attempts=1)
def once():
    note("begun", current_job().attempts, os.getppid(), os.getpid())
    time.sleep(100)

@jobs.job
def die():
    note("dying")
    os.kill(os.getpid(), signal.SIGKILL)

@jobs.job
def look():
    job, adapter = current_job(), SqliteAdapter(here / "db.sqlite")
    [worker] = adapter.holders()
    note("noted", (job.id, job.attempts) in begun_by(adapter.run_directory, worker))

if __name__ == "__main__":
    jobs.create_worker(0).run()
"""


@pytest.fixture
def app(project):
    project.write("app.py", APP)
    processes = []

    def start(*words):
        processes.append(project.start(*words))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def later(project, name):
    project.run("-c", f"from app import *; later({name})")


def begun(project):
    """The runner and the performer of the last run that began."""
    text = wait_until(
        lambda: re.findall(r"begun \d+ (\d+) (\d+)", project.read("done.txt")), "a run"
    )
    return map(int, text[-1])


WORK = ("-m", "litejobs", "work", "--app", "app")


@pytest.mark.parametrize("command", [WORK, ("app.py",)], ids=["runner", "thread"])
def test_what_a_killed_worker_ran_is_run_by_one_that_was_there_already(project, app, command):
    later(project, "hang")
    first = app(*command)
    begun(project)
    second = app(*WORK)
    wait_until(lambda: len(list(project.directory.glob("db.sqlite.run/*.bell"))) == 2, "both")

    os.kill(first.pid, signal.SIGKILL)
    first.wait(DEADLINE)

    wait_until(lambda: "done" in project.read("done.txt"), "the second run")
    second.terminate()
    _, err = second.communicate(timeout=DEADLINE)
    assert "ended while it ran this job" in err
    assert second.returncode == 0


def test_what_a_killed_runner_ran_is_run_when_the_next_one_starts(project, app):
    later(project, "hang")
    first = app(*WORK)
    begun(project)
    os.kill(first.pid, signal.SIGKILL)
    first.wait(DEADLINE)

    app(*WORK)

    wait_until(lambda: "done" in project.read("done.txt"), "the second run")


@pytest.mark.parametrize(
    "words",
    [
        ("-m", "litejobs", "workoff", "--app", "app"),
        ("-c", "from app import jobs; jobs.create_worker(0, workoff=True).run()"),
    ],
    ids=["performer", "thread"],
)
def test_a_job_is_noted_before_it_begins(project, words):
    project.write("app.py", APP)
    later(project, "look")

    project.run(*words)

    assert project.read("done.txt") == "noted True\n"


def test_a_job_with_one_attempt_is_not_run_again(project, app):
    later(project, "once")
    first = app(*WORK)
    begun(project)
    os.kill(first.pid, signal.SIGKILL)
    first.wait(DEADLINE)

    result = project.litejobs("workoff", "--app", "app", code=1)

    assert "1 failed for good" in result.out
    assert project.read("done.txt").count("begun") == 1
    assert "WorkerDied" in project.litejobs("show", "db.sqlite", 1).out


def test_a_stopped_worker_keeps_its_job(project, app):
    later(project, "hang")
    first = app(*WORK)
    runner, performer = begun(project)
    for pid in (runner, performer):
        os.kill(pid, signal.SIGSTOP)

    out = project.litejobs("workoff", "--app", "app").out

    assert "0 runs" in out
    assert project.read("done.txt").count("begun") == 1
    for pid in (runner, performer):
        os.kill(pid, signal.SIGCONT)
    assert first.poll() is None


def test_a_performer_that_outlives_its_runner_keeps_the_job(project, app):
    """As where the system cannot end it with its runner."""
    keep = "import ctypes\nctypes.CDLL(None).prctl(1, 0)\n"
    project.write("app.py", APP.replace("here =", f"{keep}\nhere =", 1))
    later(project, "hang")
    first = app(*WORK)
    _, performer = begun(project)

    os.kill(first.pid, signal.SIGKILL)
    first.wait(DEADLINE)

    assert "0 runs" in project.litejobs("workoff", "--app", "app").out
    os.kill(performer, signal.SIGKILL)
    wait_until(
        lambda: "1 to be retried" in project.litejobs("workoff", "--app", "app").out, "recovery"
    )


def test_a_job_that_kills_its_performer_is_given_up_after_three(project, app):
    later(project, "die")
    for seconds in range(3):
        project.litejobs("workoff", "--app", "app", code=int(seconds == 2))
        project.run(
            "-c",
            "from app import *; jobs.adapter(None).connection.execute("
            "'UPDATE background_jobs SET run_at = 0 WHERE state = 0')",
        )

    assert project.read("done.txt").count("dying") == 3
    shown = project.litejobs("show", "db.sqlite", 1).out
    assert "failed" in shown
    assert "was killed by SIGKILL while it ran this job" in shown


# In the worker's loop


class Recovering:
    """An adapter that can be told how recovery goes."""

    def __init__(self, adapter):
        self.adapter = adapter
        self.calls = 0
        self.error = None

    def __getattr__(self, name):
        return getattr(self.adapter, name)

    def recover(self, limits_of):
        self.calls += 1
        if self.error:
            raise self.error
        return []


@pytest.fixture
def loop(adapter, clock, monkeypatch):
    from litejobs import worker as module
    from litejobs.stop import Stop

    class Idle:
        queues, busy = frozenset({"*"}), False

        def wanted(self):
            return []

        def collect(self):
            return []

        abandon = recall = collect

        def patience(self):
            return 100

        def limits_of(self, job):
            return DEFAULTS

    now = type("Now", (), {"seconds": 1000.0})()
    monkeypatch.setattr(module.time, "monotonic", lambda: now.seconds)
    stop = Stop()
    worker = module.Worker(Recovering(adapter), Idle(), stop=stop, clock=clock)
    worker.now = now
    yield worker
    stop.close()


def test_a_worker_looks_for_the_dead_when_it_starts_and_every_second(loop):
    loop.work_once()
    loop.work_once()
    assert loop.adapter.calls == 1

    loop.now.seconds += defaults.RECOVERY_PAUSE
    loop.work_once()

    assert loop.adapter.calls == 2


def test_a_worker_that_drains_looks_for_nobody(loop):
    loop.stop.request()
    loop.work_once()

    assert loop.adapter.calls == 0


@pytest.mark.parametrize("error", [DiskError("full"), DatabaseBusyError("locked")], ids=str)
def test_a_look_that_fails_is_trouble_that_passes(loop, error, caplog):
    loop.adapter.error = error
    with caplog.at_level(logging.WARNING):
        loop.work_once()
    assert str(error) in caplog.text
    loop.adapter.error = None
    loop.now.seconds += 10

    loop.work_once()

    assert loop.adapter.calls == 2


def test_threads_of_one_process_are_alive_to_each_other(project):
    project.write(
        "threads.py",
        """
        import time
        from app import *

        jobs.workers = (WorkerGroup(count=4, sleep_delay=0.05),)

        @jobs.job
        def slow(number):
            time.sleep(1.5)
            note(number)

        if __name__ == "__main__":
            later.many(slow, [[n] for n in range(4)])
            worker = jobs.start_background_worker()
            end = time.monotonic() + 50
            while (here / "done.txt").exists() is False or (
                len((here / "done.txt").read_text().split()) < 4
            ):
                assert time.monotonic() < end
                time.sleep(0.01)
            worker.stop(10)
        """,
    )
    project.write("app.py", APP)

    project.run("threads.py")

    assert sorted(project.read("done.txt").split()) == ["0", "1", "2", "3"]
    assert threading.active_count() >= 1
