"""The executor of processes from inside: its wire, its places, what it knows of an app."""

import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from types import SimpleNamespace

import msgspec
import pytest
from helpers import DEADLINE, NOW, living, wait_until
from hypothesis import given
from hypothesis import strategies as st

from litejobs import Keep, defaults
from litejobs.errors import ConfigurationError, DiskError, LitejobsError, UnusableAppError
from litejobs.handler import write
from litejobs.job import Find, Limits, Outcome, StoredJob
from litejobs.performers import job_place as job_place_module
from litejobs.performers import place as place_module
from litejobs.performers import process as process_module
from litejobs.performers import scout, wire
from litejobs.performers.manifest import DeclaredJob, Group, Home, Manifest, Storage
from litejobs.performers.parent import JobPlace, Performers
from litejobs.performers.process import PerformerProcess
from litejobs.performers.scout import fetch_manifest
from litejobs.performers.tokens import Taker, Tokens
from litejobs.performers.wire import (
    CLOSED,
    GARBLED,
    Begun,
    Broken,
    Channel,
    Cleared,
    Cut,
    Done,
    Failed,
    Idle,
    Leaves,
    Look,
    Mourned,
    Over,
    Perform,
    Ready,
    Says,
    Settled,
    Start,
)  # fmt: skip
from litejobs.row import job_name
from litejobs.stop import Stop
from litejobs.testing import ManualClock

HANDLER = write("greet", "script.py", "__main__", "[]", "{}")
JOB = StoredJob(7, "default", 50, 1, 1, "me", HANDLER)
START = Start(None, "/nowhere", "/nowhere/db.sqlite", 0, logging.INFO)
GROUP = Group("sqlite", ("default", "email"), 1, Limits(max_attempts=2), 5.0)
EMPTY = Manifest((), {}, ())


# The wire

texts = st.text(max_size=50)
OWN = {"max_attempts": 3, "backoff": (5, 60.5), "jitter": 0.5, "has_failure_hooks": True}
full = Manifest(
    (GROUP,), {"sqlite": Storage("/db", "t", "full", 384)}, (DeclaredJob("a", "b", OWN),)
)
messages = st.one_of(
    st.builds(Start, app=st.none() | texts, root=texts, database=texts, group=st.just(1),
              log_level=st.just(10), hint=texts),
    st.builds(Ready, manifest=st.sampled_from([EMPTY, full])),
    st.builds(Broken, reason=texts, detail=texts, kind=st.sampled_from(["DiskError", "Error"])),
    st.builds(lambda text: Perform((JOB, JOB._replace(handler=text))), texts),
    st.builds(Settled, outcomes=st.just((Outcome("failure", "no luck", delete=True),))),
    st.sampled_from([Idle(), Look(), Over(), Cut(), Leaves("enough"), Cleared(7)]),
    st.sampled_from([Mourned(7), Failed(JOB, "oh")]),
    st.builds(lambda text: Done(7, Outcome("error", text, run_at=1), leaves=text), texts),
    st.builds(Says, id=st.just(7), progress=texts),
    st.builds(Begun, id=st.just(7), limits=st.builds(Limits, max_runtime=st.floats(0.1, 9))),
)  # fmt: skip


@contextmanager
def pair():
    """A channel and the plain socket at its other end."""
    ours, theirs = socket.socketpair()
    with closing(Channel(ours)) as channel, theirs:
        yield channel, theirs


def as_bytes(sent):
    with pair() as (channel, other):
        for message in sent:
            channel.send(message)
        channel.shut()
        return b"".join(iter(lambda: other.recv(65536), b""))


@given(st.lists(messages, max_size=4), st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_messages_arrive_whole_and_in_order_in_whatever_pieces_they_come(sent, sizes):
    data = as_bytes(sent)
    arrived = []

    with pair() as (channel, other):
        position = turn = 0
        while position < len(data):
            size = sizes[turn % len(sizes)]
            other.sendall(data[position : position + size])
            position, turn = position + size, turn + 1
            some, end = channel.arrived()
            arrived += some
            assert end == ""
        other.close()

        assert channel.arrived() == ([], CLOSED)
    assert arrived == sent


@given(st.lists(messages, max_size=4))
def test_receive_takes_one_message_at_a_time_until_the_other_side_is_gone(sent):
    with pair() as (channel, other):
        other.sendall(as_bytes(sent))
        other.close()

        received = list(iter(channel.receive, None))

    assert received == sent


def test_a_message_longer_than_one_read_arrives_whole():
    message = Broken("x" * 150_000)
    with pair() as (channel, other):
        other.sendall(as_bytes([message]))

        assert channel.receive() == message


def test_a_message_cut_off_by_the_end_of_the_other_side_is_none():
    with pair() as (channel, other):
        other.sendall(as_bytes([START])[:-1])
        other.close()

        assert channel.receive() is None


def test_one_that_went_without_reading_what_it_was_sent_has_closed():
    with pair() as (channel, other):
        channel.send(START)
        other.close()  # with what it never read

        assert channel.arrived() == ([], CLOSED)


@pytest.mark.parametrize(
    "data", [b"\xff\xff\xff\xffhello", b"\0\0\0\x05hello"], ids=["length", "message"]
)
def test_what_is_no_message_ends_the_conversation(data):
    with pair() as (channel, other):
        other.sendall(as_bytes([START]) + data)

        assert channel.arrived() == ([START], GARBLED)


def test_nothing_is_waited_for_where_the_socket_does_not_block():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs, closing(Channel(ours)) as channel:
        assert channel.arrived() == ([], "")


def test_sending_waits_for_one_that_reads_slowly():
    message = Broken("x" * 1_000_000)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with closing(Channel(ours)) as channel, closing(Channel(theirs)) as other:
        reader = threading.Thread(target=lambda: read.append(other.receive()))
        read = []
        reader.start()

        channel.send(message)
        reader.join()

    assert read == [message]


def test_sending_to_one_that_does_not_read_gives_up(monkeypatch):
    monkeypatch.setattr(wire, "_SEND_PATIENCE", 0.01)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs, closing(Channel(ours)) as channel, pytest.raises(TimeoutError):
        channel.send(Broken("x" * 10_000_000))


def test_sending_to_one_that_is_gone_raises():
    with pair() as (channel, other):
        other.close()

        with pytest.raises(OSError, match="Broken pipe"):
            channel.send(START)


def test_a_channel_that_is_shut_still_hears():
    with pair() as (channel, other):
        channel.shut()

        assert other.recv(1) == b""
        other.sendall(as_bytes([START]))
        assert channel.receive() == START


def test_to_shut_a_channel_of_one_that_is_gone_is_no_error():
    ours, theirs = socket.socketpair()
    theirs.close()
    ours.close()

    Channel(ours).shut()


# The manifest


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        pytest.param(HANDLER, Limits(max_attempts=2, max_runtime=9), id="its own"),
        pytest.param(write("greet", "b.py", None, "[]", "{}"), GROUP.limits, id="another file"),
        pytest.param(
            write("other", "script.py", None, "[]", "{}"), GROUP.limits, id="another name"
        ),
        pytest.param("no JSON", GROUP.limits, id="unreadable"),
    ],
)
def test_a_job_has_its_own_limits_else_its_groups(handler, expected):
    manifest = Manifest((GROUP,), {}, (DeclaredJob("script.py", "greet", {"max_runtime": 9}),))

    assert manifest.limits_of(GROUP, handler) == expected


@pytest.mark.parametrize(
    ("home", "expected"),
    [
        pytest.param(Home("app", "jobs", "app.py", None), Limits(max_attempts=2, max_runtime=9)),
        pytest.param(None, GROUP.limits, id="no app"),
    ],
)
def test_a_job_of_an_app_that_has_moved_to_another_file_has_its_limits(home, expected):
    declared = DeclaredJob("new.py", "greet", {"max_runtime": 9})
    manifest = Manifest((GROUP,), {}, (declared,), home)

    assert manifest.limits_of(GROUP, HANDLER) == expected


@pytest.mark.parametrize(("handler", "name"), [(HANDLER, "greet"), ("no JSON", "?")])
def test_the_name_of_a_job_for_a_log_line(handler, name):
    assert job_name(handler) == name


# Places: processes are played by stand-ins, which do what the test says


class StandIn:
    """A performer process that exists only as a socket; *says* is what arrives next."""

    def __init__(self, name="", start=START, lease=(), *, output=None):
        self.name, self.start, self.lease, self.printed = name, start, lease, output
        self.started = place_module.time.monotonic()
        self.pid = 4711
        self.sent, self.says, self.ends, self.takes = [], [], "", True
        self.is_over = self.killed = self.dismissed = False
        self._socket, self._other = socket.socketpair()

    def fileno(self):
        return self._socket.fileno()

    def send(self, message):
        self.sent.append(message)
        return self.takes

    def arrived(self):
        says, self.says = self.says, []
        return says, self.ends

    def has_ended(self):
        return self.is_over

    def ended_how(self):
        self.killed = True
        return "ended"

    def dismiss(self):
        self.dismissed = True

    def end(self, deadline):
        self.kill()

    def kill(self):
        self.killed = True

    def close(self):
        self.kill()
        self._socket.close()
        self._other.close()


@pytest.fixture
def passing(monkeypatch):
    """Time at places, in seconds; moves when the test moves it."""
    now = SimpleNamespace(seconds=1000.0)
    for module in (place_module, job_place_module):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


@pytest.fixture
def started(monkeypatch):
    """The stand-ins that were started."""
    started = []

    def start(name, start, lease, *, output):
        started.append(StandIn(name, start, lease))
        return started[-1]

    monkeypatch.setattr(job_place_module, "PerformerProcess", start)
    yield started
    for process in started:
        process.close()


@pytest.fixture
def place(passing, started):
    return JobPlace("worker.0", "worker.0/me", GROUP, START)


def test_a_place_starts_its_first_process_at_once(place, started):
    assert place.patience() == 0
    assert not place.is_free()

    place.launch()

    [process] = started
    assert process.name == "worker.0"
    assert process.start == msgspec.structs.replace(START, tokens=place.tray.tokens.reader)
    assert process.lease == [place.tray.tokens.reader]


def test_a_process_is_given_the_lease_of_its_runner(passing, started):
    place = JobPlace("worker.0", "worker.0/me", GROUP, START, [99])

    place.launch()

    [process] = started
    assert process.lease == [99, place.tray.tokens.reader]


def test_a_place_is_free_once_its_app_is_loaded_and_while_no_job_runs(place):
    place.launch()
    assert not place.is_free()

    place.loaded(EMPTY)
    assert place.is_free()
    assert place.patience() == float("inf")

    place.begin([JOB])
    assert not place.is_free()
    assert place.patience() == 1

    place.done(Done(JOB.id, Outcome("success")))
    assert place.is_free()


def test_the_pause_before_the_next_process_grows_up_to_its_limit(place, passing, started):
    pauses = []
    for _ in range(11):
        place.launch()
        place.vacate()
        pauses.append(place.patience())
        passing.seconds += place.patience()

    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30])
    assert len(started) == 11


def test_nothing_is_started_before_the_pause_is_over(place, passing, started):
    place.launch()
    place.vacate()

    passing.seconds += 0.099
    place.launch()
    assert len(started) == 1

    passing.seconds += 0.002
    place.launch()
    assert len(started) == 2


def test_an_app_that_loads_makes_the_next_pause_short_again(place):
    for _ in range(5):
        place.launch()
        place.vacate()
    place.loaded(EMPTY)

    place.vacate()

    assert place.patience() == pytest.approx(0.1)


# Performers


class Team:
    """Performers at two places, with stand-ins for processes."""

    def __init__(self, started, **options):
        self.started = started
        self.selector = selectors.DefaultSelector()
        self.places = [JobPlace(f"worker.{i}", f"worker.{i}/me", GROUP, START) for i in range(2)]
        self.clock = ManualClock(NOW)
        self.performers = Performers(self.places, self.selector, self.clock, EMPTY, **options)

    def begin(self, number, *jobs, begun=1):
        """Hand jobs out at a place, whose process begins so many of them."""
        self.performers.begin(self.places[number].wish(), jobs)
        self.take(number, begun)

    def take(self, number, count=1):
        """Let a process take tokens: it begins so many jobs more."""
        taker = Taker(self.places[number].tray.tokens.reader)
        assert all(taker.take() for _ in range(count))

    def hear(self, number, *says, ends=""):
        """Let a process say something, and its socket be readable."""
        process = self.started[number]
        process.says += says
        process.ends = ends
        process.is_over = process.is_over or ends == CLOSED
        self.selector.get_key(process).data()


@pytest.fixture
def make_team(passing, started):
    teams = []

    def make(**options):
        team = Team(started, **options)
        teams.append(team)
        team.performers.collect()  # which starts the processes
        return team

    yield make
    for team in teams:
        team.selector.close()


@pytest.fixture
def team(make_team):
    return make_team()


@pytest.fixture
def ready(team):
    team.hear(0, Ready(EMPTY))
    team.hear(1, Ready(EMPTY))
    return team


def test_jobs_are_wished_for_by_places_that_are_free(team):
    assert team.performers.wanted() == []

    team.hear(1, Ready(EMPTY))

    assert team.performers.wanted() == [Find("worker.1/me", ("default", "email"), 14_400, 1)]
    assert team.performers.queues == {"default", "email"}


def test_a_job_goes_to_the_place_that_wished_for_it(ready):
    first, second = ready.performers.wanted()

    ready.performers.begin(first, [JOB])

    assert ready.started[0].sent == [Perform((JOB,))]
    assert ready.started[1].sent == []
    assert ready.performers.wanted() == [second, first]  # the idle one before the one ahead
    assert ready.performers.busy


def test_a_job_has_its_token_before_it_is_told(ready, monkeypatch):
    place, process = ready.places[0], ready.started[0]
    tokens = []
    monkeypatch.setattr(process, "send", lambda _: tokens.append(place.tray.tokens.left()) or True)

    ready.performers.begin(place.wish(), [JOB])

    assert tokens == [1]


def test_an_outcome_is_collected_once(ready):
    ready.begin(0, JOB)
    ready.hear(0, Done(7, Outcome("success")))
    assert ready.performers.busy

    assert ready.performers.collect() == [(JOB, Outcome("success"))]

    assert ready.performers.collect() == []
    assert not ready.performers.busy
    assert len(ready.performers.wanted()) == 2


@pytest.mark.parametrize("job", [None, JOB._replace(id=8)], ids=["idle", "another job"])
def test_an_outcome_that_nobody_waits_for_is_ignored(ready, job):
    if job is not None:
        ready.begin(0, job)

    ready.hear(0, Done(7, Outcome("success")))

    assert ready.performers.collect() == []
    assert ready.performers.busy is (job is not None)


def test_a_process_that_ends_is_blamed_on_the_job_that_it_ran(ready, caplog):
    ready.begin(0, JOB)
    process = ready.started[0]

    ready.hear(0, ends=CLOSED)

    what = "PerformerDied: worker.0 (pid 4711) ended while it ran this job"
    outcome = Outcome("error", what, run_at=ready.clock.now() + 1000, crashed=True)
    assert ready.performers.collect() == [(JOB, outcome)]
    assert process.killed
    assert ready.places[0].process is None
    assert "job 7 greet went wrong in attempt 1 of 2" in caplog.text


def test_a_process_that_hangs_up_is_not_waited_for(ready, passing):
    ready.begin(0, JOB)
    process = ready.started[0]
    process.ends = CLOSED
    ready.selector.get_key(process).data()

    assert ready.performers.collect() == []
    assert not process.killed
    assert ready.performers.patience() == defaults.SILENCE
    process.is_over = True
    [(job, outcome)] = ready.performers.collect()
    assert (job, outcome.kind) == (JOB, "error")


def test_a_process_that_hangs_up_but_stays_is_killed(ready, passing):
    ready.begin(0, JOB, JOB._replace(id=8))
    process = ready.started[0]
    process.ends = CLOSED
    ready.selector.get_key(process).data()
    assert ids(ready.performers.collect(), "released") == [8]
    assert ready.places[0].wish() is None
    passing.seconds += defaults.LAST_WORDS + 0.1

    [(job, _)] = ready.performers.collect()

    assert job == JOB
    assert process.killed


def test_a_death_in_the_last_attempt_is_a_failure(ready):
    last = JOB._replace(attempts=2, handler="no JSON")
    ready.begin(0, last)

    ready.hear(0, ends=CLOSED)

    [(_, outcome)] = ready.performers.collect()
    assert (outcome.kind, outcome.run_at) == ("failure", None)


def test_what_a_process_said_before_its_end_counts(ready):
    ready.begin(0, JOB)

    ready.hear(0, Done(7, Outcome("success")), ends=CLOSED)

    assert ready.performers.collect() == [(JOB, Outcome("success"))]


def test_a_job_that_its_process_never_began_goes_back_unspent(ready):
    ready.begin(0, JOB, begun=0)

    ready.hear(0, ends=CLOSED)

    assert ready.performers.collect() == [(JOB, Outcome("released"))]


def test_a_job_that_its_process_did_not_take_goes_back_unspent(ready):
    ready.started[0].takes = False

    ready.begin(0, JOB, begun=0)

    assert ready.performers.collect() == [(JOB, Outcome("released"))]
    assert ready.started[0].killed


def test_a_process_that_takes_no_more_is_blamed_with_its_own_end_on_the_job_that_it_ran(ready):
    ready.begin(0, JOB)
    process = ready.started[0]
    process.takes = False
    ready.begin(0, JOB._replace(id=8), begun=0)
    assert ids(ready.performers.collect(), "released") == [8]
    process.is_over = True

    [(job, outcome)] = ready.performers.collect()

    assert job == JOB
    assert outcome.error.endswith("(pid 4711) ended while it ran this job")


def test_what_a_process_said_before_it_took_no_more_counts(ready):
    ready.begin(0, JOB)
    process = ready.started[0]
    process.takes = False
    process.says = [Done(7, Outcome("success"))]
    ready.begin(0, JOB._replace(id=8), begun=0)
    process.is_over = True

    settlements = ready.performers.collect()

    assert ids(settlements, "success") == [7]
    assert ids(settlements, "released") == [8]


def test_a_job_that_writes_to_the_runner_itself_is_blamed(ready):
    ready.begin(0, JOB)

    ready.hear(0, ends=GARBLED)

    [(_, outcome)] = ready.performers.collect()
    assert "wrote something of its own to the runner while it ran this job" in outcome.error


def test_a_busy_process_that_is_gone_is_noticed_though_its_socket_is_silent(ready):
    ready.begin(0, JOB)
    process = ready.started[0]
    process.is_over = True

    [(job, outcome)] = ready.performers.collect()

    assert job == JOB
    assert outcome.error.endswith("ended while it ran this job")
    assert process.killed


OVER = GROUP.limits.max_runtime + defaults.TIMEOUT_GRACE  # seconds after which a job is killed
KILLED = "JobTimeout: ran longer than its max_runtime of {} s, did not end within 2 s more"


def test_a_job_that_goes_on_after_its_limit_and_grace_is_killed(ready, passing, caplog):
    ready.begin(0, JOB)
    passing.seconds += OVER - 0.1
    assert ready.performers.collect() == []
    assert ready.performers.patience() == pytest.approx(0.1)
    passing.seconds += 0.2

    [(job, outcome)] = ready.performers.collect()

    assert job == JOB
    assert outcome.error == f"{KILLED.format(14400)} and was killed"
    assert (outcome.kind, outcome.crashed) == ("error", False)
    assert outcome.run_at == ready.clock.now() + 1000
    assert ready.started[0].killed
    assert not ready.started[1].killed
    assert "job 7 greet went wrong in attempt 1 of 2" in caplog.text


def test_after_a_time_out_the_next_process_is_started_without_a_pause(ready, passing):
    ready.begin(0, JOB)
    passing.seconds += OVER

    ready.performers.collect()
    ready.performers.collect()

    assert len(ready.started) == 3


@pytest.mark.parametrize("max_runtime", [1, 100_000])
def test_the_limits_that_a_process_tells_of_its_job_hold(ready, passing, max_runtime):
    own = Limits(max_runtime=max_runtime, max_attempts=1)
    ready.begin(0, JOB)
    passing.seconds += 30  # for loading
    ready.hear(0, Begun(7, own))
    passing.seconds += max_runtime + 1.9
    assert ready.performers.collect() == []
    passing.seconds += 0.1

    [(_, outcome)] = ready.performers.collect()

    assert outcome.error.startswith(KILLED.format(max_runtime))
    assert outcome.kind == "failure"


def test_limits_told_of_one_job_are_not_those_of_the_next(ready, passing):
    ready.begin(0, JOB)
    ready.hear(0, Begun(7, Limits(max_runtime=1)), Done(7, Outcome("success")))
    ready.begin(0, JOB._replace(id=8))
    ready.hear(0, Begun(7, Limits(max_runtime=1)))
    ready.performers.collect()
    passing.seconds += OVER - 1

    assert ready.performers.collect() == []


def test_a_death_counts_against_the_limits_that_were_told(ready):
    ready.begin(0, JOB)

    ready.hear(0, Begun(7, Limits(max_attempts=1)), ends=CLOSED)

    [(_, outcome)] = ready.performers.collect()
    assert (outcome.kind, outcome.crashed) == ("failure", True)


def test_a_job_that_ended_just_before_the_kill_has_its_outcome(ready, passing):
    ready.begin(0, JOB)
    passing.seconds += OVER
    ready.started[0].says = [Done(7, Outcome("success"))]

    assert ready.performers.collect() == [(JOB, Outcome("success"))]
    assert ready.performers.collect() == []


def test_a_process_that_takes_leave_gets_no_job_and_is_replaced_without_a_pause(ready, caplog):
    _, second = ready.performers.wanted()
    ready.begin(0, JOB)
    ready.hear(0, Done(7, Outcome("success"), leaves="has had enough"))
    assert ready.performers.collect() == [(JOB, Outcome("success"))]
    assert ready.performers.wanted() == [second]
    assert not ready.performers.busy

    ready.hear(0, ends=CLOSED)
    ready.performers.collect()

    assert len(ready.started) == 3
    assert caplog.text == ""


def test_a_process_that_takes_leave_but_stays_is_killed(ready, passing):
    ready.begin(0, JOB)
    ready.hear(0, Done(7, Outcome("success"), leaves="has had enough"))
    ready.performers.collect()
    assert not ready.started[0].killed
    passing.seconds += defaults.FAREWELL + 0.1

    ready.performers.collect()

    assert ready.started[0].killed


def test_an_idle_process_that_ends_is_said_and_replaced(ready, caplog, passing):
    ready.hear(0, ends=CLOSED)
    passing.seconds += 1

    ready.performers.collect()

    assert "worker.0 (pid 4711) ended; another is started" in caplog.text
    assert len(ready.started) == 3


def test_a_process_that_takes_too_long_to_load_is_ended(team, caplog, passing):
    team.hear(1, Ready(EMPTY))
    passing.seconds += defaults.READINESS + 1

    team.performers.collect()

    assert team.started[0].killed
    assert not team.started[1].killed
    assert "worker.0 (pid 4711) did not load its app within 60 s while it loaded" in caplog.text


def test_the_same_reason_is_said_once_for_all_places(team, caplog):
    team.hear(0, Broken("the app is broken"), ends=CLOSED)
    team.hear(1, Broken("the app is broken"), ends=CLOSED)

    assert caplog.text.count("the app is broken; tried again until it works") == 1


def test_a_reason_is_said_again_after_the_app_worked_in_between(team, caplog, passing, started):
    team.hear(0, Broken("the app is broken"), ends=CLOSED)
    passing.seconds += 1
    team.performers.collect()
    team.hear(2, Ready(EMPTY))

    team.hear(1, Broken("the app is broken"), ends=CLOSED)

    assert caplog.text.count("the app is broken; tried again until it works") == 2


def test_a_place_without_descriptors_for_a_pipe_closes_no_descriptor_twice(place, monkeypatch):
    def no_more():
        raise OSError("too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(job_place_module, "Tray", no_more)
        for _ in range(2):
            with pytest.raises(OSError, match="too many open files"):
                place.new_process()

    os.fstat(place.tray.tokens.reader)  # raises if it is closed


def test_a_process_that_cannot_be_started_is_said_once_and_tried_again(
    team, caplog, passing, started, monkeypatch
):
    def no_more(name, start, lease, *, output):
        raise OSError("too many processes")

    monkeypatch.setattr(job_place_module, "PerformerProcess", no_more)
    team.hear(0, ends=CLOSED)
    for _ in range(3):
        passing.seconds += 31
        team.performers.collect()

    assert caplog.text.count("worker.0 cannot be started: too many processes") == 1
    assert team.places[0].patience() > 0


def test_a_process_that_cannot_be_started_leaves_running_jobs_alone(ready, passing, monkeypatch):
    def no_more(name, start, lease, *, output):
        raise OSError("too many processes")

    monkeypatch.setattr(job_place_module, "PerformerProcess", no_more)
    ready.begin(0, JOB)
    ready.hear(1, ends=CLOSED)
    passing.seconds += 31
    assert ready.performers.collect() == []

    ready.hear(0, Done(7, Outcome("success")))

    assert ready.performers.collect() == [(JOB, Outcome("success"))]
    assert not ready.started[0].killed


def test_with_patience_a_broken_app_is_no_error(team):
    team.hear(0, Broken("the app is broken"), ends=CLOSED)

    assert team.performers.collect() == []


def test_without_patience_a_broken_app_is_an_error(make_team):
    team = make_team(give_up=True)
    team.hear(0, Broken("the app is broken"), ends=CLOSED)

    with pytest.raises(ConfigurationError, match=r"^the app is broken$"):
        team.performers.collect()


def test_without_patience_a_process_may_die_twice_while_it_loads(make_team, passing):
    team = make_team(give_up=True)
    for number in (0, 2):
        team.hear(number, ends=CLOSED)
        passing.seconds += 31
        team.performers.collect()

    team.hear(3, ends=CLOSED)

    with pytest.raises(ConfigurationError, match="ended while it loaded"):
        team.performers.collect()


def test_without_patience_running_jobs_are_waited_for_and_no_more_begun(make_team):
    team = make_team(give_up=True)
    team.hear(1, Ready(EMPTY))
    team.begin(1, JOB)
    team.hear(0, Broken("the app is broken"), ends=CLOSED)
    assert team.performers.collect() == []

    team.hear(1, Done(7, Outcome("success")))

    assert team.performers.collect() == [(JOB, Outcome("success"))]
    assert team.performers.wanted() == []


def test_to_abandon_gives_running_jobs_back_and_keeps_what_is_done(ready):
    other = JOB._replace(id=8)
    ready.begin(0, JOB)
    ready.begin(1, other)
    ready.hear(0, Done(7, Outcome("success")))

    settlements = ready.performers.abandon()

    assert settlements == [(JOB, Outcome("success")), (other, Outcome("released"))]
    assert all(process.killed for process in ready.started)
    assert not ready.performers.busy
    assert ready.performers.abandon() == []


def test_to_abandon_heeds_what_was_said_before_the_kill(ready):
    ready.begin(0, JOB)
    ready.started[0].says = [Done(7, Outcome("success"))]

    assert ready.performers.abandon() == [(JOB, Outcome("success"))]


SETTLED = (JOB, Outcome("success", settled=True))


@pytest.fixture
def finished(make_team):
    """A job that runs at the first place, and has settled itself."""
    team = make_team(is_held=lambda job: job != JOB)
    team.hear(0, Ready(EMPTY))
    team.hear(1, Ready(EMPTY))
    team.begin(0, JOB)
    return team


def test_a_process_that_dies_after_its_job_had_finished_is_no_error_of_the_job(finished, caplog):
    finished.hear(0, ends=CLOSED)

    assert finished.performers.collect() == [SETTLED]
    assert "(pid 4711) ended after job 7 had finished" in caplog.text
    assert "went wrong" not in caplog.text


def test_nor_is_one_that_is_killed_for_time(finished, passing, caplog):
    passing.seconds += OVER

    assert finished.performers.collect() == [SETTLED]
    assert "did not end in time after job 7 had finished" in caplog.text
    assert "went wrong" not in caplog.text


def test_nor_is_it_given_back_when_all_is_abandoned(finished):
    other = JOB._replace(id=8)
    finished.begin(1, other)

    assert finished.performers.abandon() == [SETTLED, (other, Outcome("released"))]


def test_where_it_cannot_be_asked_who_settled_a_job_its_death_is_recorded(make_team):
    def broken(_job):
        raise DiskError("no")

    team = make_team(is_held=broken)
    team.hear(0, Ready(EMPTY))
    team.begin(0, JOB)

    team.hear(0, ends=CLOSED)

    assert [outcome.kind for _, outcome in team.performers.collect()] == ["error"]


def test_to_close_dismisses_every_process_before_it_ends_them(ready):
    ready.begin(0, JOB)

    ready.performers.close()

    assert all(process.dismissed and process.killed for process in ready.started)
    assert not ready.selector.get_map()


def test_the_most_urgent_place_decides_how_long_to_sleep(ready, passing):
    assert ready.performers.patience() == float("inf")

    ready.begin(0, JOB)
    assert ready.performers.patience() == 1

    ready.hear(1, ends=CLOSED)
    assert ready.performers.patience() == pytest.approx(0.1)


# Failures by death, of jobs that have after_failure hooks


MOURNED = Group("sqlite", ("default",), 1, Limits(max_attempts=1, has_failure_hooks=True), 5.0)


@pytest.fixture
def mourning(ready, passing):
    """The first of two processes has died with the job that it ran, for good."""
    for place in ready.places:
        place.group = MOURNED
    ready.begin(0, JOB)
    ready.hear(0, ends=CLOSED)
    return ready


def test_a_failure_waits_for_its_hooks_which_an_idle_process_runs(mourning):
    assert mourning.performers.busy
    assert mourning.performers.in_hand() == [7]
    assert mourning.performers.collect() == []

    [said] = mourning.started[1].sent
    assert said.job == JOB
    assert said.error.startswith("PerformerDied: worker.0 ")
    assert mourning.performers.in_hand() == [7]
    assert mourning.performers.limits_of(JOB) is None  # nobody is to judge it meanwhile
    assert mourning.performers.wanted() == []

    mourning.hear(1, Mourned(7))
    [(job, outcome)] = mourning.performers.collect()
    assert (job, outcome.kind, outcome.crashed) == (JOB, "failure", True)
    assert not mourning.performers.busy
    assert [find.worker for find in mourning.performers.wanted()] == ["worker.1/me"]
    assert mourning.performers.limits_of(JOB) is not None


def test_without_hooks_a_failure_waits_for_nothing(ready):
    ready.begin(0, JOB._replace(attempts=2))
    ready.hear(0, ends=CLOSED)

    [(_, outcome)] = ready.performers.collect()

    assert outcome.kind == "failure"


def test_an_error_by_death_waits_for_nothing(ready):
    ready.places[0].group = msgspec.structs.replace(MOURNED, limits=Limits(has_failure_hooks=True))
    ready.begin(0, JOB)
    ready.hear(0, ends=CLOSED)

    [(_, outcome)] = ready.performers.collect()

    assert outcome.kind == "error"


def test_a_failure_waits_for_a_fresh_process_where_others_are_busy(mourning, passing):
    mourning.places[1].begin([JOB._replace(id=8)])
    assert mourning.performers.collect() == []
    passing.seconds += 1

    mourning.performers.collect()  # which starts the next process
    mourning.hear(2, Ready(EMPTY))

    assert mourning.performers.collect() == []
    assert [type(said) for said in mourning.started[2].sent] == [Failed]


def test_a_job_that_was_killed_for_time_has_its_hooks_too(ready, passing):
    for place in ready.places:
        place.group = MOURNED
    ready.begin(0, JOB)
    passing.seconds += 14_402

    ready.performers.collect()

    [said] = ready.started[1].sent
    assert said.error.startswith("JobTimeout: ")


@pytest.mark.parametrize("way", ["dies", "goes on"])
def test_hooks_that_do_not_come_to_an_end_are_told_of_and_the_failure_recorded(
    mourning, passing, caplog, way
):
    mourning.performers.collect()
    if way == "dies":
        mourning.hear(1, ends=CLOSED)
    else:
        passing.seconds += 14_402

    [(job, outcome)] = mourning.performers.collect()

    assert (job.id, outcome.kind) == (7, "failure")
    assert "after_failure hooks of job 7 have not run to their end: their process" in caplog.text
    assert mourning.started[1].killed
    assert not mourning.performers.busy


def test_where_no_process_loads_the_hooks_are_told_of_and_the_failure_recorded(
    mourning, passing, caplog
):
    mourning.hear(1, ends=CLOSED)
    assert mourning.performers.collect() == []
    passing.seconds += 1
    mourning.performers.collect()
    for number in (2, 3):
        mourning.hear(number, Broken("a typo"), ends=CLOSED)

    [(job, outcome)] = mourning.performers.collect()

    assert (job.id, outcome.kind) == (7, "failure")
    assert "have not run to their end: no process can load them" in caplog.text


@pytest.mark.parametrize("is_handed_out", [True, False])
def test_to_abandon_records_failures_without_their_hooks(mourning, caplog, is_handed_out):
    if is_handed_out:
        mourning.performers.collect()

    [(job, outcome)] = mourning.performers.abandon()

    assert (job.id, outcome.kind) == (7, "failure")
    assert "after_failure hooks of job 7 have not run to their end" in caplog.text


def test_a_process_with_changed_code_ends_when_it_has_run_hooks(mourning):
    mourning.performers.collect()
    mourning.performers.renew()
    assert not mourning.started[1].dismissed

    mourning.hear(1, Mourned(7))

    assert mourning.started[1].dismissed


def test_the_failure_of_another_workers_job_has_its_hooks_run_too(ready):
    ready.performers.run_failure_hooks(JOB, Outcome("failure", "WorkerDied: oh"))

    ready.performers.collect()

    assert ready.started[0].sent == [Failed(JOB, "WorkerDied: oh")]


# Chunks: several jobs handed out together


def chunk(*ids):
    return [JOB._replace(id=id_) for id_ in ids]


def ids(settlements, kind):
    return [job.id for job, outcome in settlements if outcome.kind == kind]


@pytest.fixture
def quick(ready):
    """Jobs at the first place have taken no time so far."""
    for _ in range(50):
        ready.places[0]._pace.took(1, 0)
    return ready


def test_jobs_of_which_nothing_is_said_have_ended_as_usual(quick):
    quick.begin(0, *chunk(1, 2, 3), begun=3)

    quick.hear(0, Done(3, Outcome("error", "oh", run_at=1)))

    usual = Outcome("success", delete=True)
    assert [outcome for _, outcome in quick.performers.collect()] == [
        usual,
        usual,
        Outcome("error", "oh", run_at=1),
    ]
    assert not quick.performers.busy


def test_what_a_process_says_of_its_progress_is_recorded_while_the_job_runs(quick):
    first, second, third = chunk(1, 2, 3)
    quick.begin(0, first, second, third, begun=2)

    quick.hear(0, Says(second.id, "so far"), Says(99, "whose?"))

    assert quick.performers.collect() == [
        (first, Outcome("success", delete=True)),
        (second, Outcome("progress", progress="so far")),
    ]
    assert quick.performers.in_hand() == [second.id, third.id]


def test_the_usual_end_is_that_of_the_group(passing, started):
    group = Group("sqlite", ("default",), 1, Limits(delete_successful_jobs=False), 5.0)
    place = JobPlace("worker.0", "worker.0/me", group, START)
    place.launch()
    place.loaded(EMPTY)
    place.begin(chunk(1, 2))

    [(_, outcome), _] = place.done(Done(2, Outcome("success")))

    assert outcome == Outcome("success", delete=False)
    place.tray.close()


def test_one_chunk_waits_at_hand_behind_quick_jobs_and_no_more(quick):
    wish = quick.places[0].wish()
    assert wish.limit == defaults.CHUNK_JOBS

    quick.begin(0, *chunk(1, 2))
    assert quick.places[0].wish() == wish
    quick.begin(0, *chunk(3, 4), begun=0)
    assert quick.places[0].wish() is None

    quick.take(0)
    quick.hear(0, Done(2, Outcome("success")))
    assert quick.places[0].wish() is not None


def test_how_long_jobs_take_is_what_their_process_says(ready, passing):
    for _ in range(20):
        ready.begin(0, JOB)
        passing.seconds += 1  # the runner was busy with something else
        ready.hear(0, Done(7, Outcome("success"), jobs=10, seconds=0.001))
        ready.performers.collect()

    assert ready.places[0].wish().limit == pytest.approx(defaults.CHUNK_TIME / 0.0001, abs=1)


def test_nothing_waits_behind_jobs_that_take_long(ready):
    for _ in range(20):
        ready.places[0]._pace.took(1, 3 * defaults.AHEAD)

    ready.begin(0, JOB)

    assert ready.places[0].wish() is None


def test_what_has_ended_in_a_chunk_is_recorded_while_it_goes_on(quick, passing):
    quick.begin(0, *chunk(1, 2, 3, 4), begun=3)
    assert quick.performers.patience() == defaults.SILENCE
    passing.seconds += 0.9 * defaults.SILENCE
    assert quick.performers.collect() == []
    passing.seconds += 0.2 * defaults.SILENCE

    assert ids(quick.performers.collect(), "success") == [1, 2]


def test_jobs_behind_one_that_takes_long_go_back(quick, passing):
    quick.begin(0, *chunk(1, 2, 3), begun=1)
    passing.seconds += 2 * defaults.SILENCE
    assert ids(quick.performers.collect(), "released") == [2, 3]
    assert quick.performers.busy
    assert quick.performers.patience() == 1

    quick.hear(0, Done(1, Outcome("success")), Cut())

    assert ids(quick.performers.collect(), "success") == [1]


def test_a_chunk_that_goes_on_is_left_alone(quick, passing):
    quick.begin(0, *chunk(1, 2, 3, 4), begun=1)
    for _ in range(2):
        passing.seconds += 1.1 * defaults.SILENCE
        quick.take(0)
        assert ids(quick.performers.collect(), "released") == []
    passing.seconds += 5 * defaults.SILENCE  # more than these took
    assert ids(quick.performers.collect(), "released") == [4]


def test_a_place_gets_nothing_before_it_has_dropped_what_was_taken_back(quick, passing):
    quick.begin(0, *chunk(1, 2))
    passing.seconds += 2 * defaults.SILENCE
    quick.performers.collect()
    quick.hear(0, Done(1, Outcome("success")))
    assert quick.places[0].is_free()
    assert quick.places[0].wish() is None

    quick.hear(0, Cut())

    assert quick.places[0].wish() is not None


def test_jobs_are_in_hand_until_their_outcomes_are_collected(quick):
    quick.begin(0, *chunk(1, 2, 3))
    quick.begin(1, JOB)
    quick.hear(0, Done(1, Outcome("error", "oh", run_at=1)))
    assert sorted(quick.performers.in_hand()) == [1, 2, 3, 7]

    quick.performers.collect()

    assert sorted(quick.performers.in_hand()) == [2, 3, 7]


def test_to_recall_takes_back_what_has_not_begun(quick):
    quick.begin(0, *chunk(1, 2, 3), begun=2)

    quick.performers.recall()

    settlements = quick.performers.collect()
    assert ids(settlements, "released") == [3]
    assert ids(settlements, "success") == []
    assert quick.performers.busy


def test_of_a_process_that_dies_only_the_job_that_ran_is_blamed(quick):
    quick.begin(0, *chunk(1, 2, 3, 4), begun=3)

    quick.hear(0, ends=CLOSED)

    settlements = quick.performers.collect()
    assert ids(settlements, "success") == [1, 2]
    assert ids(settlements, "error") == [3]
    assert ids(settlements, "released") == [4]
    assert not quick.performers.busy


def test_a_process_that_began_another_job_while_it_was_heard_is_blamed_for_that(quick):
    quick.begin(0, *chunk(1, 2, 3))
    process = quick.started[0]
    arrived = process.arrived

    def go_on():
        process.arrived = arrived
        quick.take(0)
        return arrived()

    process.arrived = go_on

    quick.hear(0, ends=CLOSED)

    settlements = quick.performers.collect()
    assert ids(settlements, "success") == [1]
    assert ids(settlements, "error") == [2]
    assert ids(settlements, "released") == [3]
    assert not quick.performers.busy


def test_of_a_process_that_is_killed_for_time_only_the_job_that_ran_is_blamed(quick, passing):
    quick.begin(0, *chunk(1, 2, 3), begun=2)
    passing.seconds += OVER

    assert ids(quick.performers.collect(), "success") == [1]  # and the next has all its time
    passing.seconds += OVER

    (back, _), (job, outcome) = quick.performers.collect()

    assert back.id == 3
    assert (job.id, outcome.kind) == (2, "error")
    assert "JobTimeout" in outcome.error


def test_each_job_of_a_chunk_has_all_its_time(quick, passing):
    quick.begin(0, *chunk(1, 2), begun=1)
    quick.performers.recall()
    passing.seconds += OVER - 1
    assert ids(quick.performers.collect(), "error") == []
    quick.hear(0, Begun(1, Limits(max_runtime=2 * OVER)))
    passing.seconds += 2

    assert quick.performers.collect() == []


def test_to_abandon_gives_a_chunk_back_with_the_job_that_ran(quick):
    quick.begin(0, *chunk(1, 2, 3), begun=2)

    settlements = quick.performers.abandon()

    assert ids(settlements, "success") == [1]
    assert sorted(ids(settlements, "released")) == [2, 3]


def test_a_process_that_takes_leave_leaves_the_rest_of_its_chunk(quick):
    quick.begin(0, *chunk(1, 2, 3), begun=2)

    quick.hear(0, Done(2, Outcome("success"), leaves="has had enough"))

    settlements = quick.performers.collect()
    assert ids(settlements, "success") == [1, 2]
    assert ids(settlements, "released") == [3]


def test_to_renew_takes_back_what_has_not_begun(quick):
    quick.begin(0, *chunk(1, 2))

    quick.performers.renew()
    assert ids(quick.performers.collect(), "released") == [2]
    assert not quick.started[0].dismissed

    quick.hear(0, Done(1, Outcome("success")), Cut())
    assert quick.started[0].dismissed


def test_what_is_too_large_to_be_handed_out_at_once_goes_back(quick):
    large = [job._replace(handler="x" * defaults.CHUNK_BYTES) for job in chunk(1, 2, 3, 4)]

    quick.begin(0, *large)
    assert ids(quick.performers.collect(), "released") == [3, 4]

    quick.begin(0, *[job._replace(handler=3 * job.handler) for job in large[2:]], begun=0)
    assert ids(quick.performers.collect(), "released") == [3, 4]
    assert [len(message.jobs) for message in quick.started[0].sent] == [2]
    assert quick.places[0].wish() is None  # such a one is not found again and again


def test_the_size_of_a_job_is_that_of_its_bytes(quick):
    large = [job._replace(handler="\N{GRINNING FACE}" * 10_000) for job in chunk(1, 2, 3)]

    quick.begin(0, *large)

    assert ids(quick.performers.collect(), "released") == [2, 3]


def test_a_single_job_is_handed_out_however_large_it_is(quick):
    quick.begin(0, JOB._replace(handler="x" * 1_000_000))

    assert len(quick.started[0].sent) == 1
    assert quick.performers.collect() == []


# Real processes


@pytest.fixture
def begin(project):
    """Start a performer of the project; a fixture, so that it ends with the test."""
    processes = []

    def begin(app=None, group=0):
        database = None if app else str(project.directory / "db.sqlite")
        start = Start(app, str(project.directory), database, group, logging.INFO)
        processes.append(PerformerProcess("litejobs-worker.test.0", start))
        return processes[-1]

    yield begin
    for process in processes:
        process.close()


def next_of(process):
    """What the process says next."""
    with selectors.DefaultSelector() as selector:
        selector.register(process, selectors.EVENT_READ)
        assert selector.select(DEADLINE), "the performer says nothing"
    return process.arrived()


def test_a_process_that_is_dismissed_ends_by_itself(begin):
    process = begin()
    assert next_of(process) == ([Ready(EMPTY)], "")

    process.dismiss()
    wait_until(process.has_ended, "the performer's end")

    assert process.ended_how() == "ended with exit code 0"
    assert process.has_ended()


def test_a_process_that_is_killed_twice_is_killed_once(begin, monkeypatch):
    process = begin()
    process.kill()
    monkeypatch.setattr(os, "killpg", lambda *_: pytest.fail("that may be a stranger by now"))

    process.kill()


def test_to_send_to_a_process_that_is_gone_is_no_error(begin):
    process = begin()
    os.kill(process.pid, signal.SIGKILL)
    wait_until(process.has_ended, "the performer's end")

    assert not process.send(Perform((JOB,)))

    assert process.ended_how() == "was killed by SIGKILL"


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (3, 3, "was killed by SIGKILL"),
        (3, 4, "was killed by SIGKILL, as the system killed for want of memory"),
        (None, None, "was killed by SIGKILL (out of memory, or by somebody)"),
    ],
    ids=["not", "it did", "unknown"],
)
def test_a_process_that_was_killed_says_whether_for_want_of_memory(
    begin, monkeypatch, before, after, says
):
    monkeypatch.setattr(process_module, "kills", lambda: before)
    process = begin()
    monkeypatch.setattr(process_module, "kills", lambda: after)

    os.kill(process.pid, signal.SIGKILL)

    assert process.ended_how(DEADLINE) == says


def test_a_process_that_hangs_while_it_loads_is_killed_with_all_it_started(
    project, monkeypatch, caplog
):
    project.write(
        "slow.py",
        """
        import os, subprocess, time
        from pathlib import Path

        subprocess.Popen(["sleep", "3600"])
        (Path(__file__).parent / "sessions.txt").open("a").write(f"{os.getpid()}\\n")
        time.sleep(3600)
        """,
    )
    monkeypatch.setattr(defaults, "READINESS", 1.5)
    start = Start("slow", str(project.directory), None, 0, logging.INFO)
    place = JobPlace("worker.0", "worker.0/me", GROUP, start)
    with selectors.DefaultSelector() as selector:
        performers = Performers([place], selector, ManualClock(NOW), EMPTY)

        def tend():
            performers.collect()
            return "did not load its app within 1.5 s" in caplog.text

        wait_until(tend, "the end of its patience")
        [first, *_] = project.read("sessions.txt").split()
        wait_until(lambda: len(started_in(project, performers)) == 2, "another try")
        performers.close()

    assert living(int(first)) == []
    assert caplog.text.count("did not load its app") == 1


def started_in(project, performers):
    performers.collect()
    return project.read("sessions.txt").split()


def test_to_send_to_a_process_that_does_not_read_gives_up(begin, monkeypatch):
    monkeypatch.setattr(wire, "_SEND_PATIENCE", 0.01)
    process = begin()
    assert next_of(process) == ([Ready(EMPTY)], "")
    os.kill(process.pid, signal.SIGSTOP)

    assert not process.send(Perform((JOB._replace(handler="x" * 900_000),)))


def test_what_a_killed_process_said_can_still_be_read(begin):
    process = begin()
    with selectors.DefaultSelector() as selector:
        selector.register(process, selectors.EVENT_READ)
        assert selector.select(DEADLINE)

    process.kill()

    assert process.arrived() == ([Ready(EMPTY)], "")
    assert process.arrived() == ([], CLOSED)


def test_a_process_that_the_system_does_not_start_leaves_no_file_open(monkeypatch):
    def no_more(*_, **__):
        raise OSError("no more")

    pair = socket.socketpair()
    monkeypatch.setattr(socket, "socketpair", lambda: pair)
    monkeypatch.setattr(subprocess, "Popen", no_more)

    with pytest.raises(OSError, match="no more"):
        PerformerProcess("worker.0", START)

    assert [end.fileno() for end in pair] == [-1, -1]


def test_a_process_that_does_not_end_in_time_is_killed(project, begin):
    project.write("slow.py", "import time\nprint('loading', flush=True)\ntime.sleep(3600)")
    process = begin("slow")

    process.dismiss()
    process.end(deadline=0)

    assert process.has_ended()


def test_a_runner_that_stops_does_not_wait_for_its_app(project):
    project.write("slow.py", "import time\ntime.sleep(3600)")
    stop = Stop()
    stop.request()

    with closing(stop):
        start = Start("slow", str(project.directory), None, 0, logging.INFO)
        assert fetch_manifest(start, stop) is None


def test_an_app_that_takes_too_long_to_load_is_refused(project, monkeypatch):
    project.write("slow.py", "import time\ntime.sleep(3600)")
    monkeypatch.setattr(defaults, "READINESS", 0.05)
    start = Start("slow", str(project.directory), None, 0, logging.INFO)

    with (
        closing(Stop()) as stop,
        pytest.raises(ConfigurationError, match=r"^the app slow did not load within 0\.05 s$"),
    ):
        fetch_manifest(start, stop)


def test_an_adapter_of_the_apps_own_takes_its_time_to_clear(project, monkeypatch):
    project.write(
        "app.py",
        """
        import time
        from pathlib import Path
        from litejobs import JobManager
        from litejobs.adapters.base import BaseAdapter

        class Slow(BaseAdapter):
            schedule = find = success = error = failure = None

            def clear(self):
                while not Path(__file__).with_name("go").exists():
                    time.sleep(0.01)
                return 7

        jobs = JobManager({"slow": Slow()})
        """,
    )
    passing = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(scout, "time", SimpleNamespace(monotonic=lambda: passing.seconds))

    def arrived(process, real=PerformerProcess.arrived):
        told = real(process)
        if any(isinstance(message, Ready) for message in told[0]):
            passing.seconds += defaults.READINESS + 1
            project.write("go", "")
        return told

    monkeypatch.setattr(PerformerProcess, "arrived", arrived)
    start = Start("app", str(project.directory), None, 0, logging.INFO, task="clear")

    with closing(Stop()) as stop:
        assert scout.clear(start, stop) == 7
    assert passing.seconds > defaults.READINESS


def test_the_manifest_of_a_large_app_arrives_whole(project):
    project.write(
        "app.py",
        "from litejobs import JobManager, SqliteAdapter\n"
        "jobs = JobManager({'sqlite': SqliteAdapter('db.sqlite')})\n"
        "for n in range(3000):\n"
        "    exec(f'def a_job_with_a_long_name_{n}(): ...')\n"
        "    jobs.create_job(perform=globals()[f'a_job_with_a_long_name_{n}'])\n",
    )
    start = Start("app", str(project.directory), None, 0, logging.INFO)

    with closing(Stop()) as stop:
        manifest = fetch_manifest(start, stop)

    assert [job.name for job in manifest.jobs] == [
        f"a_job_with_a_long_name_{n}" for n in range(3000)
    ]


def test_a_group_that_an_app_no_longer_has_is_refused_for_good(project):
    project.write(
        "app.py",
        "from litejobs import JobManager, SqliteAdapter\n"
        "jobs = JobManager({'sqlite': SqliteAdapter('db.sqlite')})\n",
    )
    start = Start("app", str(project.directory), None, 3, logging.INFO)

    with (
        closing(Stop()) as stop,
        pytest.raises(UnusableAppError, match=r"^there is no worker group 3: app has 1$"),
    ):
        fetch_manifest(start, stop)


@pytest.fixture
def tokens():
    tokens = Tokens()
    yield tokens
    tokens.close()


@pytest.fixture
def alone(project, tokens):
    """A performer whose runner is this test, and the channel to it."""
    ours, theirs = socket.socketpair()
    with theirs:
        descriptors = [theirs.fileno(), tokens.reader]
        process = subprocess.Popen(
            [sys.executable, "-m", "litejobs.perform", ",".join(map(str, descriptors)), "alone"],
            pass_fds=descriptors,
            cwd=project.directory,
            stderr=subprocess.PIPE,
            text=True,
        )
    channel = Channel(ours)
    yield process, channel
    channel.close()
    process.kill()
    process.communicate()


def test_a_performer_that_never_hears_from_a_runner_ends_without_a_word(alone):
    process, channel = alone

    channel.close()

    assert process.communicate(timeout=DEADLINE)[1] == ""
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("app", "reason", "kind"),
    [
        ("nowhere", "--app nowhere: there is no module 'nowhere'", "UnusableAppError"),
        ("few", "there is no worker group 3: few has 1", "UnusableAppError"),
        ("leaves", "the app leaves does not load: SystemExit: 3", "ConfigurationError"),
        ("refused", "jobs need a file on disk, got ''", "ConfigurationError"),
    ],
)
def test_a_performer_says_why_its_app_does_not_load_and_ends(project, alone, app, reason, kind):
    process, channel = alone
    few = "from litejobs import *\njobs = JobManager({'sqlite': SqliteAdapter('db.sqlite')})"
    project.write("few.py", few)
    project.write("leaves.py", "raise SystemExit(3)")
    project.write("refused.py", few.replace("db.sqlite", ""))

    channel.send(Start(app, str(project.directory), None, 3, logging.INFO))

    answer = channel.receive()
    assert answer.reason.startswith(reason)
    assert answer.kind == kind
    assert channel.receive() is None
    assert process.wait(DEADLINE) == 0


@pytest.mark.parametrize("kind", ["Typo", "LitejobsError", "annotations", "__name__", "click"])
def test_what_a_performer_says_went_wrong_is_an_error_of_ours_whatever_it_says(kind):
    error = Broken("no luck", kind=kind).error()

    assert type(error) is LitejobsError
    assert str(error) == "no luck"


def test_an_error_keeps_its_kind_on_its_way_to_the_runner():
    error = Broken("no luck", kind="DiskError").error()

    assert type(error) is DiskError


def test_a_performer_tells_what_its_app_is(project, alone):
    process, channel = alone
    project.write(
        "app.py",
        """
        from litejobs import BaseAdapter, JobManager, Keep, SqliteAdapter, WorkerGroup

        class Plain(BaseAdapter):
            schedule = find = success = error = failure = clear = None

        jobs = JobManager(
            {
                "plain": Plain(),
                "sqlite": SqliteAdapter(
                    "db.sqlite", durability="normal", retention={"failed": Keep(age=60, count=9)}
                ),
            },
            queues=["a", "b"],
            workers=[WorkerGroup(adapter="sqlite", queue=["a", "b"], count=3, sleep_delay=2)],
        )

        @jobs.job(queue="a", max_attempts=1)
        def greet(): ...
        """,
    )

    channel.send(Start("app", str(project.directory), None, 0, logging.INFO))

    file = str(project.directory / "db.sqlite")
    retention = {"succeeded": Keep(age=7 * 24 * 3600), "failed": Keep(age=60, count=9)}
    assert channel.receive().manifest == Manifest(
        (Group("sqlite", ("a", "b"), 3, Limits(), 2),),
        {"plain": "Plain", "sqlite": Storage(file, "background_jobs", "normal", 0o600, retention)},
        (DeclaredJob("app.py", "greet", {"max_attempts": 1}),),
        Home("app", "jobs", str(project.directory / "app.py"), ("a", "b")),
        owner="app:jobs",
    )
    channel.shut()
    assert process.wait(DEADLINE) == 0


def test_a_performer_whose_runner_is_gone_ends_after_its_job_without_a_word(project, alone, tokens):
    process, channel = alone
    project.write(
        "script.py",
        """
        import time
        from pathlib import Path

        here = Path(__file__).parent

        def greet():
            (here / "begun").touch()
            while not (here / "released").exists():
                time.sleep(0.005)
        """,
    )
    database = str(project.directory / "db.sqlite")
    start = Start(None, str(project.directory), database, 0, logging.ERROR, tokens=tokens.reader)
    channel.send(start)
    assert channel.receive() == Ready(EMPTY)
    tokens.lay(1)
    channel.send(Perform((JOB,)))
    wait_until((project.directory / "begun").exists, "the job to begin")

    channel.close()
    (project.directory / "released").touch()

    assert process.communicate(timeout=DEADLINE)[1] == ""
    assert process.returncode == 0


def test_a_process_that_somebody_else_has_reaped_has_ended(monkeypatch):
    process = object.__new__(PerformerProcess)
    process.pid = 1  # no child of ours
    process._process = SimpleNamespace(returncode=None)

    assert process.has_ended()


def test_an_app_that_no_process_can_be_started_for_is_refused(monkeypatch):
    def fail(*_, **__):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("litejobs.performers.scout.PerformerProcess", fail)
    stop = Stop()

    with pytest.raises(ConfigurationError, match=r"shop cannot be loaded: .*temporarily"):
        fetch_manifest(Start("shop", "/", None, 0, 10), stop)

    stop.close()


def test_to_renew_replaces_idle_processes_at_once_and_busy_ones_after_their_job(ready):
    ready.begin(0, JOB)

    ready.performers.renew()

    busy, idle = ready.started
    assert (busy.dismissed, idle.dismissed) == (False, True)
    assert ready.performers.wanted() == []

    ready.hear(0, Done(JOB.id, Outcome("success")))

    assert busy.dismissed
    assert ready.performers.wanted() == []
    assert ready.performers.collect() == [(JOB, Outcome("success"))]


def test_a_performer_whose_runner_is_gone_while_it_loads_ends_without_a_word(project, alone):
    process, channel = alone
    project.write(
        "slow.py",
        """
        import time
        from pathlib import Path
        from litejobs import JobManager, SqliteAdapter

        here = Path(__file__).parent
        (here / "loading").touch()
        while not (here / "go").exists():
            time.sleep(0.01)
        jobs = JobManager({"sqlite": SqliteAdapter("db.sqlite")})
        """,
    )
    channel.send(Start("slow", str(project.directory), None, 0, logging.INFO))
    wait_until((project.directory / "loading").exists, "the app")

    channel.close()
    project.write("go", "")

    assert process.wait(DEADLINE) == 0
    assert process.stderr.read() == ""
