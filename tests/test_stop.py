"""A wish to stop is seen by loops, wakes selectors, and touches nothing else."""

import os
import selectors
import threading

from litejobs.stop import Stop


def is_readable(stop):
    with selectors.DefaultSelector() as selector:
        selector.register(stop, selectors.EVENT_READ)
        return bool(selector.select(0))


def test_the_first_request_drains_and_the_second_stops_at_once():
    stop = Stop()
    seen = [(stop.requested, stop.at_once)]

    for _ in range(2):
        stop.request()
        seen.append((stop.requested, stop.at_once))

    assert seen == [(False, False), (True, False), (True, True)]
    stop.close()


def test_a_request_wakes_whoever_waits_until_it_is_drained():
    stop = Stop()
    assert not is_readable(stop)

    stop.request()

    assert is_readable(stop)
    stop.drain()
    assert not is_readable(stop)
    stop.drain()
    stop.close()


def test_more_requests_than_the_pipe_holds_are_no_error():
    stop = Stop()

    for _ in range(70_000):
        stop.request()

    assert stop.at_once
    stop.close()


def test_a_signal_that_comes_during_a_request_is_one_more_request(monkeypatch):
    stop = Stop()

    def write(descriptor, data, real=os.write):
        if stop.count == 1:
            stop.request()  # as a handler does that is called just then
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    thread = threading.Thread(target=stop.request, daemon=True)
    thread.start()
    thread.join(5)

    assert not thread.is_alive()
    assert stop.at_once
    stop.close()


def test_a_request_after_the_end_writes_into_nobodys_file(tmp_path):
    stop = Stop()
    stop.close()
    files = [os.open(tmp_path / str(n), os.O_CREAT | os.O_RDWR) for n in range(4)]

    stop.request()

    assert stop.requested
    assert [os.fstat(file).st_size for file in files] == [0, 0, 0, 0]
    for file in files:
        os.close(file)
