"""The looks that follow a ring for a job that cannot be seen yet."""

import math
from types import SimpleNamespace

import pytest

from litejobs import soon as soon_module
from litejobs.run_directory.bell import SOON, Bell, ring
from litejobs.soon import Soon


@pytest.fixture
def directory(tmp_path):
    return str(tmp_path / "jobs.sqlite.run")


@pytest.fixture
def bell(directory):
    bell = Bell(directory)
    yield bell
    bell.close()


@pytest.fixture
def timer(monkeypatch):
    timer = SimpleNamespace(now=100.0, monotonic=lambda: timer.now)
    monkeypatch.setattr(soon_module, "time", timer)
    return timer


@pytest.fixture
def soon(bell, timer):
    return Soon(bell, sleep_delay=0.05)


def pauses(soon, timer):
    """How long the loop sleeps before each of its looks, as far as this has a say in it."""
    found = []
    while (pause := soon.patience()) < math.inf:
        found.append(round(1000 * pause, 6))
        timer.now += pause
        assert not soon.work_once()
    return found


def test_nothing_is_looked_for_while_nobody_rings(soon):
    assert soon.patience() == math.inf
    assert soon.finished


def test_a_ring_soon_is_followed_by_looks_ever_farther_apart(soon, directory, timer):
    ring(directory, word=SOON)
    soon.hear()

    assert pauses(soon, timer) == [1, 2, 4, 8, 16, 32]


def test_a_ring_for_a_job_that_is_there_needs_no_more_looks(soon, directory):
    ring(directory)
    soon.hear()

    assert soon.patience() == math.inf


def test_rings_of_both_kinds_may_come_together(soon, directory, timer):
    ring(directory, word=SOON)
    ring(directory)
    soon.hear()

    assert soon.patience() == pytest.approx(0.001)


def test_a_later_ring_begins_the_looks_anew(soon, directory, timer):
    ring(directory, word=SOON)
    soon.hear()
    for _ in range(4):
        timer.now += soon.patience()
        soon.work_once()
    assert soon.patience() == pytest.approx(0.016)

    ring(directory, word=SOON)
    soon.hear()

    assert soon.patience() == pytest.approx(0.001)


def test_a_round_before_the_time_changes_nothing(soon, directory, timer):
    ring(directory, word=SOON)
    soon.hear()
    timer.now += 0.0004

    soon.work_once()

    assert soon.patience() == pytest.approx(0.0006)
