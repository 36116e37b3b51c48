"""The worker and the inline executor on real files, with a clock that the tests move."""

import logging

import pytest

from litejobs.execution import Execution
from litejobs.handler import write
from litejobs.inline import Inline
from litejobs.job import Find, Limits, NewJob
from litejobs.loader import Loader
from litejobs.stop import Stop
from litejobs.worker import Worker

FIND = Find("tester", ("*",), 60)
calls = []


def note(word):
    calls.append(word)


def always_raises():
    raise ValueError("no luck")


@pytest.fixture(autouse=True)
def no_calls():
    calls.clear()


@pytest.fixture
def make_worker(adapter, clock, request):
    stops = []

    def make(limits=Limits(), **options):
        loader = Loader({}, request.path.parent)
        execution = Execution(loader, limits, clock, logging.getLogger("litejobs"))
        stop = Stop()
        stops.append(stop)
        return Worker(adapter, Inline(execution, FIND), stop=stop, clock=clock, **options)

    yield make
    for stop in stops:
        stop.close()


@pytest.fixture
def worker(make_worker):
    return make_worker()


def schedule(adapter, clock, function, *args, wait=0):
    import json

    handler = write(function.__name__, "test_worker.py", "test_worker", json.dumps(args), "{}")
    return adapter.schedule([NewJob(handler, "default", 50, clock.now() + 1000 * wait)])[0]


def states(adapter):
    rows = adapter.connection.execute("SELECT id, state FROM background_jobs ORDER BY id")
    return dict(rows)


def test_a_job_is_run_and_its_row_goes(worker, adapter, clock):
    schedule(adapter, clock, note, "hello")

    assert worker.work_once()
    worker.work_once()

    assert calls == ["hello"]
    assert states(adapter) == {}


def test_a_job_that_raised_waits_out_its_backoff(worker, adapter, clock):
    schedule(adapter, clock, always_raises)
    assert worker.work_once()
    worker.work_once()

    clock.advance(seconds=0.999)
    assert not worker.work_once()

    clock.advance(seconds=0.001)
    assert worker.work_once()


def test_attempts_used_up_are_a_failure(make_worker, adapter, clock):
    id_ = schedule(adapter, clock, always_raises)
    worker = make_worker(Limits(max_attempts=1))

    worker.work_once()
    worker.work_once()

    assert states(adapter) == {id_: 5}


def test_a_worker_asked_to_stop_begins_nothing(worker, adapter, clock):
    schedule(adapter, clock, note, "late")
    worker.stop.request()

    worker.work_once()

    assert worker.finished
    assert calls == []
