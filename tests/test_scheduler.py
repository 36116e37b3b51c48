"""``later``: what it refuses, what it stores, and that nothing is due before it should be."""

import json
import logging
import math
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType, SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litejobs import context
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.errors import LitejobsError, SchedulingError
from litejobs.hooks import NONE
from litejobs.scheduled import ScheduledJob
from litejobs.scheduler import Scheduler, Target, due

NOW = 1_800_000_000_000
END = datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)


def job(a=0, b=0): ...


@pytest.fixture
def adapter(database, clock):
    adapter = SqliteAdapter(database, clock=clock)
    yield adapter
    adapter.close()


@pytest.fixture
def make_later(adapter, clock):
    def make(queues=None):
        owner = SimpleNamespace(
            queues=queues,
            clock=clock,
            hooks=NONE,
            target=lambda function, _key: Target(
                function, "job", "jobs.py", "jobs", "default", 50, adapter
            ),
        )
        return Scheduler(owner, None, logging.getLogger("test.scheduler"))

    return make


@pytest.fixture
def later(make_later):
    return make_later()


def rows(adapter, *columns):
    names = ", ".join(columns)
    return adapter.connection.execute(f"SELECT {names} FROM background_jobs ORDER BY id")


def test_a_job_is_stored_with_its_arguments_and_defaults(later, adapter):
    later(job, [1], {"b": "x"})

    [(handler, queue, priority, run_at)] = rows(adapter, "handler", "queue", "priority", "run_at")
    assert json.loads(handler) == {
        "name": "job",
        "path": "jobs.py",
        "module": "jobs",
        "args": [1],
        "kwargs": {"b": "x"},
    }
    assert (queue, priority, run_at) == ("default", 50, NOW)


def test_what_was_stored_is_told_without_reading_it_again(later, adapter):
    scheduled = later(job, [1], {"b": 2}, wait=1.5, queue="email", priority=-3)
    adapter.connection.execute("DELETE FROM background_jobs")

    assert isinstance(scheduled, ScheduledJob)
    assert (scheduled.id, scheduled.name, scheduled.state) == (1, "job", "scheduled")
    assert (scheduled.args, scheduled.kwargs) == ((1,), {"b": 2})
    assert (scheduled.queue, scheduled.priority) == ("email", -3)
    assert scheduled.run_at == datetime.fromtimestamp(NOW / 1000 + 1.5, UTC)


def test_ids_rise_and_are_never_used_again(later, adapter):
    first = later(job).id
    adapter.connection.execute("DELETE FROM background_jobs")

    assert later(job).id == first + 1


def test_options_of_the_call_win_over_the_jobs_own(later, adapter):
    later(job, queue="email", priority=7, wait=timedelta(minutes=1))

    assert rows(adapter, "queue", "priority", "run_at") == [("email", 7, NOW + 60_000)]


def test_an_option_of_nought_is_not_taken_for_none(later, adapter):
    later(job, priority=0, wait=0)

    assert rows(adapter, "priority", "run_at") == [(0, NOW)]


@pytest.mark.parametrize(
    ("wait", "milliseconds"),
    [
        (None, 0),
        (0, 0),
        (-0.0, 0),
        (60, 60_000),
        (0.0001, 1),
        (1e-300, 1),
        (1.0005, 1001),
        (timedelta(microseconds=1), 1),
        (timedelta(days=1), 86_400_000),
    ],
    ids=str,
)
def test_a_wait_is_seconds_or_a_timedelta_rounded_up(wait, milliseconds):
    assert due(NOW, wait, None) == NOW + milliseconds


@pytest.mark.parametrize(
    ("moment", "milliseconds"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC), 1),
        (datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC), 1),
        (datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), 0),
        (datetime(1, 1, 1, tzinfo=UTC), -62_135_596_800_000),
        (END, 253_402_300_799_999),
    ],
    ids=str,
)
def test_a_date_is_its_instant_rounded_up(moment, milliseconds):
    assert due(NOW, None, moment) == milliseconds


ZONES = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
DATES = st.datetimes(datetime(1970, 1, 3), datetime(9999, 12, 29), timezones=ZONES)  # noqa: DTZ001


@given(DATES)
def test_no_date_comes_early_and_none_a_millisecond_late(moment):
    milliseconds = due(NOW, None, moment)

    late = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds) - moment
    assert timedelta(0) <= late < timedelta(milliseconds=1)


@given(st.floats(0, 1e9))
def test_no_wait_is_shortened(seconds):
    milliseconds = due(NOW, seconds, None) - NOW

    assert seconds * 1000 <= milliseconds < math.floor(seconds * 1000) + 2


class Unshowable:
    def __repr__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize("value", [Unshowable(), "x" * 1_000_000], ids=["unshowable", "long"])
@pytest.mark.parametrize("option", ["wait", "wait_until", "queue", "priority"])
def test_a_value_of_any_kind_is_refused_in_a_short_sentence(make_later, option, value):
    if (option, type(value)) == ("queue", str):
        value += "\0"

    with pytest.raises(SchedulingError) as caught:
        make_later()(job, **{option: value})

    assert len(str(caught.value)) < 200


REFUSED = {
    "both": (1, END, "give wait or wait_until, not both"),
    "both, one nought": (0, END, "give wait or wait_until, not both"),
    "negative": (-1, None, "wait must not be negative, got -1"),
    "negative timedelta": (timedelta(seconds=-1), None, "wait must not be negative, got -1.0"),
    "NaN": (float("nan"), None, "wait must be seconds or a timedelta, got nan"),
    "infinite": (float("inf"), None, "wait must be seconds or a timedelta, got inf"),
    "bool": (True, None, "wait must be seconds or a timedelta, got True"),
    "text": ("5", None, "wait must be seconds or a timedelta, got '5'"),
    "datetime as wait": (END, None, "wait is a number of seconds; for a date use wait_until="),
    "past the end": (1e300, None, r"wait ends after the year 9999"),
    "one day past": (timedelta(days=3_000_000), None, "ends after the year 9999"),
    "naive": (None, datetime(2024, 1, 1), "2024-01-01 00:00:00 has no time zone; for UTC"),  # noqa: DTZ001
    "number as date": (None, 5, "wait_until must be a datetime, got 5"),
    "date without time": (None, END.date(), "wait_until must be a datetime, got datetime.date"),
}


@pytest.mark.parametrize(("wait", "wait_until", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_time_that_is_none_or_one_too_many_is_refused(later, adapter, wait, wait_until, reason):
    with pytest.raises(SchedulingError, match=reason):
        later(job, wait=wait, wait_until=wait_until)
    with pytest.raises(SchedulingError, match=reason):
        later.many(job, [[1]], wait=wait, wait_until=wait_until)

    assert rows(adapter, "id") == []


def test_the_last_moment_of_the_calendar_can_be_stored(later, adapter):
    later(job, wait_until=END)

    assert rows(adapter, "run_at") == [(253_402_300_799_999,)]


@pytest.mark.parametrize(
    ("args", "kind"),
    [("abc", "str"), ({"a": 1}, "dict"), ((n for n in [1]), "generator"), (5, "int"), ({1}, "set")],
    ids=["str", "dict", "generator", "int", "set"],
)
def test_args_that_are_no_list_are_refused_with_the_cure(later, args, kind):
    with pytest.raises(
        SchedulingError, match=rf"args of job must be a list, got {kind}: later\(job, \[\.\.\.\]\)"
    ):
        later(job, args)


@pytest.mark.parametrize("kwargs", [[1], {1: 2}, "a", 5, False, [("a", 1)]], ids=str)
def test_kwargs_that_are_no_dict_of_names_are_refused(later, kwargs):
    with pytest.raises(SchedulingError, match="kwargs of job must be a dict with names as keys"):
        later(job, [], kwargs)


def test_any_mapping_of_names_will_do_for_kwargs(later, adapter):
    scheduled = later(job, (), MappingProxyType({"a": 1}))

    assert scheduled.kwargs == {"a": 1}
    assert '"kwargs":{"a":1}' in rows(adapter, "handler")[0][0]


def test_arguments_that_do_not_fit_are_refused_at_the_call(later, adapter):
    with pytest.raises(SchedulingError, match="do not fit job"):
        later(job, [1, 2, 3])

    assert rows(adapter, "id") == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"queue": "emial"}, "queue 'emial' is not one of the declared queues: default, email"),
        ({"queue": ""}, "'' cannot name a queue"),
        ({"queue": "*"}, r"'\*' cannot name a queue"),
        ({"queue": 5}, "a queue is named by a string, got 5"),
        ({"priority": "high"}, "priority must be a whole number, got 'high'"),
        ({"priority": True}, "priority must be a whole number, got True"),
        ({"priority": 2**63}, "priority must be at most"),
    ],
    ids=str,
)
def test_a_queue_or_priority_that_is_none_is_refused(make_later, adapter, options, reason):
    later = make_later(queues=("default", "email"))

    with pytest.raises(SchedulingError, match=reason):
        later(job, **options)

    assert rows(adapter, "id") == []


def test_a_declared_queue_is_taken(make_later, adapter):
    make_later(queues=("default", "email"))(job, queue="email")

    assert rows(adapter, "queue") == [("email",)]


def test_many_are_stored_in_their_order_with_one_set_of_options(later, adapter):
    stored = later.many(job, ([n] for n in range(3)), wait=1, queue="bulk", priority=9)

    assert [(each.id, each.args) for each in stored] == [(1, (0,)), (2, (1,)), (3, (2,))]
    assert rows(adapter, "id", "queue", "priority", "run_at") == [
        (id_, "bulk", 9, NOW + 1000) for id_ in (1, 2, 3)
    ]


def test_many_stores_all_or_none(later, adapter):
    with pytest.raises(SchedulingError, match="it is a set"):
        later.many(job, [[1], [{2}], [3]])

    assert rows(adapter, "id") == []


def test_many_of_nothing_writes_nothing(later, database):
    assert later.many(job, []) == []
    assert not database.exists()


def test_many_asks_for_a_list_each(later):
    with pytest.raises(SchedulingError, match="args of job must be a list, got int"):
        later.many(job, [1, 2])


def test_nothing_is_scheduled_while_a_worker_loads_the_code(later, adapter):
    with (
        context.loading("script.py"),
        pytest.raises(
            SchedulingError, match=r"later\(job\) was called while .*script\.py.*__main__"
        ),
    ):
        later(job)
    assert rows(adapter, "id") == []

    later(job)

    assert rows(adapter, "id") == [(1,)]


def test_a_refusal_is_of_our_tree_and_a_value_error():
    with pytest.raises(LitejobsError):
        due(NOW, -1, None)
    with pytest.raises(ValueError, match="negative"):
        due(NOW, -1, None)


def test_each_call_is_a_debug_line(later, caplog):
    with caplog.at_level(logging.DEBUG, "test.scheduler"):
        later(job, queue="email")

    assert "scheduled job: 1 in queue email" in caplog.text


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(datetime.max.replace(tzinfo=UTC), id="the last microsecond"),
        pytest.param(
            END.replace(tzinfo=timezone(timedelta(hours=-12))), id="the year 10000 in UTC"
        ),
        pytest.param(
            datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=12))), id="before the year 1"
        ),
    ],
)
def test_a_moment_outside_of_the_calendar_is_refused_and_not_stored(later, adapter, moment):
    with pytest.raises(SchedulingError, match="outside of the years 1 to 9999"):
        later(job, wait_until=moment)

    assert rows(adapter, "id") == []


def test_the_moment_told_is_the_one_stored_to_the_millisecond(later):
    assert later(job, wait_until=END).run_at == END


@pytest.mark.parametrize("wait", [10**400, 1.7e308], ids=["an endless int", "an endless float"])
def test_a_wait_that_no_number_of_seconds_holds_is_refused(later, wait):
    with pytest.raises(SchedulingError, match="ends after the year 9999"):
        later(job, wait=wait)


@pytest.mark.parametrize("args_list", [3, "abc"])
def test_many_takes_a_list_of_lists(later, adapter, args_list):
    with pytest.raises(SchedulingError, match="many takes a list of argument lists"):
        later.many(job, args_list)

    assert rows(adapter, "id") == []
