"""What performers print, on its way into a daemon's log."""

import logging
import os
import selectors

import pytest

from litejobs import defaults
from litejobs.performers import output as module
from litejobs.performers.output import Output, Printed


class Clock:
    """``time`` as far as the module needs it, moved by the test."""

    now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def time(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def lines(monkeypatch):
    """All that was logged."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    monkeypatch.setattr(module.log, "handlers", [handler])
    monkeypatch.setattr(module.log, "propagate", False)
    monkeypatch.setattr(module.log, "level", logging.DEBUG)
    return lines


@pytest.fixture
def output(lines, time):
    return Output("worker.0")


@pytest.mark.parametrize(
    ("printed", "logged"),
    [
        pytest.param([b"a\nb\n"], ["worker.0: a", "worker.0: b"], id="two lines"),
        pytest.param([b"a", b"b\nc"], ["worker.0: ab", "worker.0: c"], id="in pieces"),
        pytest.param([b"\n"], ["worker.0: "], id="empty"),
        pytest.param([b"a\r\n"], ["worker.0: a"], id="carriage return"),
        pytest.param([b"\x1b[31mred\tx\n"], ["worker.0: \\x1b[31mred\tx"], id="control"),
        pytest.param([b"\xff\n"], ["worker.0: \\xff"], id="no text"),
        pytest.param(["gr\xfc\xdfe\n".encode()], ["worker.0: gr\xfc\xdfe"], id="umlauts"),
        pytest.param(
            [b"2026-01-01 10:00:00,123 DEBUG   worker.0: job 1 started\n"],
            ["2026-01-01 10:00:00,123 DEBUG   worker.0: job 1 started"],
            id="log of its own",
        ),
        pytest.param(
            [b"2026-01-01 10:00:00,123 DEBUG   worker.1: forged\n"],
            ["worker.0: 2026-01-01 10:00:00,123 DEBUG   worker.1: forged"],
            id="log of another",
        ),
    ],
)
def test_each_line_has_the_name_of_its_worker(output, lines, printed, logged):
    for piece in printed:
        output.take(piece)
    output.end()

    assert lines == logged


def test_a_line_that_does_not_end_becomes_several(output, lines, monkeypatch):
    monkeypatch.setattr(defaults, "PRINTED_LINE", 10)

    output.take(b"x" * 25)

    assert lines == ["worker.0: " + "x" * 10] * 2


def test_what_is_too_much_for_a_second_is_dropped_and_counted(output, lines, time, monkeypatch):
    monkeypatch.setattr(defaults, "PRINTED_RATE", 300)

    for piece in (b"1234567\n" * 5, b"1234567\n" * 5, b"123", b"4567\n12", b"34567\n"):
        output.take(piece)
    printed = list(lines)
    assert 0 < output.patience() <= 1
    time.now += 1.5
    output.tend()
    output.take(b"again\n")

    assert printed == ["worker.0: 1234567"] * 4
    assert lines[4:] == [
        "worker.0: printed too much: 8 lines (64 bytes) were dropped", "worker.0: again"
    ]  # fmt: skip
    assert output.patience() == float("inf")


def test_the_end_of_a_line_whose_beginning_was_dropped_is_no_line(output, lines, time, monkeypatch):
    monkeypatch.setattr(defaults, "PRINTED_RATE", 100)
    output.take(b"1234567\n1234567\n")
    output.take(b"begin")

    time.now += 1.5
    output.take(b"n" * 5)
    output.take(b"end\nwhole\n")
    time.now += 1.5
    output.tend()

    assert [line for line in lines if "dropped" not in line] == [
        "worker.0: 1234567", "worker.0: whole"
    ]  # fmt: skip
    assert "1 lines" in lines[-1]


def test_a_pipe_is_drained_until_its_end_and_then_watched_no_more(output, lines):
    printed = Printed(output)
    with selectors.DefaultSelector() as selector:
        printed.watch(selector)
        os.write(printed.writer, b"one\ntwo")
        printed.drain()
        os.close(printed.writer)
        [(key, _)] = selector.select(0)
        key.data()

        assert selector.select(0) == []
        printed.close()
        printed.drain()  # as a selector may that saw it before

    assert lines == ["worker.0: one", "worker.0: two"]
