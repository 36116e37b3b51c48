"""Which of a chunk's jobs a performer has: whatever both sides do when, one takes the token."""

import os

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from litejobs.job import StoredJob
from litejobs.performers.tokens import Taker, Tokens
from litejobs.performers.tray import Tray


def jobs(*ids):
    return [StoredJob(id_, "default", 50, 1, 1, "me", "{}") for id_ in ids]


def ids(taken):
    return [job.id for job in taken]


@pytest.fixture
def tokens():
    tokens = Tokens()
    yield tokens
    tokens.close()


@pytest.fixture
def tray():
    tray = Tray()
    yield tray
    tray.close()


def test_each_token_is_taken_once(tokens):
    taker = Taker(tokens.reader)
    tokens.lay(3)

    assert taker.take()
    assert tokens.left() == 2
    assert tokens.take_back() == 2
    assert not taker.take()
    assert tokens.left() == tokens.take_back() == 0


def test_a_forked_child_takes_none(tokens):
    taker = Taker(tokens.reader)
    tokens.lay(1)

    taker.forget()

    with pytest.raises(OSError, match="Bad file descriptor"):
        taker.take()
    assert tokens.left() == 1


def test_what_was_begun_before_another_has_ended(tray):
    taker = Taker(tray.tokens.reader)
    tray.lay(jobs(1, 2, 3, 4))
    for _ in range(3):
        taker.take()

    assert ids(tray.ended(tray.count_unbegun())) == [1, 2]
    assert ids(tray.jobs) == [3, 4]


def test_what_is_heard_in_between_takes_nothing_away_too_much(tray):
    taker = Taker(tray.tokens.reader)
    tray.lay(jobs(1, 2, 3))
    unbegun = tray.count_unbegun()
    for _ in range(3):
        taker.take()
    assert ids(tray.before(3)) == [1, 2]
    assert tray.pop(3).id == 3

    assert tray.ended(unbegun) == []
    assert tray.chunks == 0


def test_a_job_that_is_not_here_takes_nothing_away(tray):
    tray.lay(jobs(1, 2))

    assert tray.before(7) == []
    assert tray.pop(2) is None
    assert ids(tray.jobs) == [1, 2]


def test_what_was_not_begun_can_be_taken_back_and_nothing_more_is_laid_out_till_that_is_heard(tray):
    taker = Taker(tray.tokens.reader)
    tray.lay(jobs(1, 2, 3))
    tray.lay(jobs(4, 5))
    taker.take()

    assert ids(tray.take_back()) == [2, 3, 4, 5]
    assert ids(tray.jobs) == [1]
    assert not tray.takes_more

    tray.dropped()
    assert not tray.takes_more
    tray.dropped()
    assert tray.takes_more


def test_a_chunk_that_was_wholly_begun_is_not_cut(tray):
    taker = Taker(tray.tokens.reader)
    tray.lay(jobs(1, 2))
    taker.take()
    taker.take()

    assert tray.take_back() == []
    assert tray.takes_more


class Performing(RuleBasedStateMachine):
    """
    A tray and a performer that does as child.py does, one step at a time in any order.

    Each job must be begun or taken back, never both, and the runner must know which.
    """

    def __init__(self):
        super().__init__()
        self.tray = Tray()
        self.taker = Taker(self.tray.tokens.reader)
        self.next_id = 1
        self.told = []  # chunks that the performer has not read
        self.said = []  # what the runner has not heard
        self.here = []  # the rest of the chunk that the performer is at
        self.runs = None  # the job that it runs
        self.unsaid = []  # the job before, if it has not said that this ended
        self.begun, self.ended, self.back, self.settled = [], [], [], []

    @rule(count=st.integers(1, 5))
    def hand_out(self, count):
        if self.tray.takes_more and self.tray.chunks < 2:
            chunk = jobs(*range(self.next_id, self.next_id + count))
            self.next_id += count
            self.tray.lay(chunk)
            self.told.append(ids(chunk))

    @rule()
    def begin(self):
        if self.runs is not None:
            return
        if not self.here and self.told:
            self.here = self.told.pop(0)
        if not self.here:
            return
        if self.taker.take():
            self.runs = self.here.pop(0)
            self.begun.append(self.runs)
        else:
            self.here = []
            self.said += [*self.unsaid, "cut"]
            self.unsaid = []

    @rule(speaks=st.booleans())
    def end(self, speaks):
        if self.runs is not None:
            self.ended.append(self.runs)
            self.unsaid = [self.runs]
            if speaks or not self.here:
                self.said += self.unsaid
                self.unsaid = []
            self.runs = None

    @rule()
    def hear(self):
        unbegun = self.tray.count_unbegun()
        said, self.said = self.said, []
        for word in said:
            if word == "cut":
                self.tray.dropped()
            else:
                self.settled += ids(self.tray.before(word))
                self.settled += ids([self.tray.pop(word)])
        self.settled += ids(self.tray.ended(unbegun))

    @rule()
    def take_back(self):
        self.back += ids(self.tray.take_back())

    @invariant()
    def nothing_is_had_twice_or_settled_before_its_end(self):
        assert not set(self.begun) & set(self.back)
        assert len(self.begun) == len(set(self.begun))
        assert set(self.settled) <= set(self.ended)
        assert len(self.settled) == len(set(self.settled))

    def teardown(self):
        while self.here or self.told or self.runs is not None:
            self.end(speaks=False)
            self.begin()
        self.hear()
        assert sorted(self.settled + self.back) == list(range(1, self.next_id))
        assert self.settled == self.begun
        assert not self.tray.jobs
        assert self.tray.chunks == 0
        assert self.tray.takes_more
        self.tray.close()


TestPerforming = Performing.TestCase
TestPerforming.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_a_tray_that_is_closed_leaves_no_pipe():
    tray = Tray()
    tray.close()

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(tray.tokens.reader)
    with pytest.raises(OSError, match="Bad file descriptor"):
        tray.lay(jobs(1))
