import inspect
import logging

import pytest

from litejobs import JobManager, SqliteAdapter
from litejobs.config import WorkerGroup, check_priority, check_queue
from litejobs.errors import ConfigurationError
from litejobs.job import Limits


def test_a_group_without_options_has_the_defaults_of_the_specification():
    group = WorkerGroup()

    assert group.queues == ("*",)
    assert (group.count, group.sleep_delay) == (1, 5)
    assert (group.max_jobs, group.max_memory) == (None, None)
    assert group.limits == Limits(24, 14_400, True, False)
    assert (group.adapter, group.logger) == (None, None)


def test_a_dict_makes_the_same_group_as_keywords():
    options = {
        "adapter": "sqlite",
        "logger": logging.getLogger("x"),
        "queue": ["a", "b"],
        "count": 2,
        "max_attempts": 3,
        "max_runtime": 0.5,
        "delete_failed_jobs": True,
        "delete_successful_jobs": False,
        "sleep_delay": 0.1,
        "max_jobs": 1,
        "max_memory": 100,
    }

    group = WorkerGroup.of(options)

    assert group == WorkerGroup(**options)
    assert group.queues == ("a", "b")
    assert group.limits == Limits(3, 0.5, False, True)


def test_a_group_stands_for_itself():
    group = WorkerGroup()

    assert WorkerGroup.of(group) is group


@pytest.mark.parametrize("queue", ["email", ("email",), ["email"]])
def test_one_queue_may_be_named_alone_or_in_a_list(queue):
    assert WorkerGroup(queue=queue).queues == ("email",)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"max_atempts": 3}, "'max_atempts' is not an option .*did you mean 'max_attempts'"),
        ({"xyz": 1}, "'xyz' is not an option of WorkerGroup; the options are adapter, logger"),
        ({5: 1}, "5 is not an option of WorkerGroup"),
        ("email", "a worker group is a WorkerGroup or a dict, got 'email'"),
        (None, "a worker group is a WorkerGroup or a dict, got None"),
    ],
    ids=str,
)
def test_what_is_no_group_is_refused_with_the_nearest_right_word(options, reason):
    with pytest.raises(ConfigurationError, match=reason):
        WorkerGroup.of(options)


def test_a_keyword_that_a_group_does_not_take_is_refused_with_the_nearest_one():
    with pytest.raises(ConfigurationError, match=r"'max_atempts' is not .*mean 'max_attempts'"):
        WorkerGroup(max_atempts=3)


def test_a_class_that_checks_its_options_still_shows_which_they_are():
    assert list(inspect.signature(WorkerGroup).parameters)[:3] == ["adapter", "logger", "queue"]
    assert next(iter(inspect.signature(JobManager).parameters)) == "adapters"
    assert inspect.signature(SqliteAdapter).parameters["table"].default == "background_jobs"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"adapter": 5}, "adapter of a worker group must be one of the manager's keys, got 5"),
        ({"logger": "shop"}, r"logger must be a logging\.Logger, got 'shop'"),
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"count": 257}, "count must be at most 256, got 257"),
        ({"count": True}, "count must be a whole number, got True"),
        ({"count": 1.0}, r"count must be a whole number, got 1\.0"),
        ({"max_attempts": 0}, "max_attempts must be at least 1, got 0"),
        ({"max_attempts": "3"}, "max_attempts must be a whole number, got '3'"),
        ({"max_runtime": 0}, "max_runtime must be more than 0 seconds, got 0"),
        ({"max_runtime": -1.5}, r"max_runtime must be more than 0 seconds, got -1\.5"),
        ({"max_runtime": float("nan")}, "max_runtime must be a number of seconds, got nan"),
        ({"max_runtime": float("inf")}, "max_runtime must be a number of seconds, got inf"),
        ({"max_runtime": True}, "max_runtime must be a number of seconds, got True"),
        ({"max_runtime": "1"}, "max_runtime must be a number of seconds, got '1'"),
        ({"sleep_delay": 0}, "sleep_delay must be more than 0 seconds, got 0"),
        ({"max_jobs": 0}, "max_jobs must be at least 1, got 0"),
        ({"max_memory": 1.5}, r"max_memory must be a whole number, got 1\.5"),
        ({"max_memory": 2**40}, "max_memory must be at most 1000000000, got 1099511627776"),
        ({"delete_failed_jobs": 0}, "delete_failed_jobs must be more than 0 seconds, got 0"),
        ({"delete_successful_jobs": None}, "delete_successful_jobs must be True, False or a time"),
        ({"queue": []}, "queue of a worker group must be a name or a list of names, got"),
        ({"queue": ""}, "queue of a worker group must be a name or a list of names, got ''"),
        ({"queue": ["a", 5]}, "a queue is named by a string, got 5"),
        ({"queue": "!*"}, r"'!\*' excludes every queue; name those that are to be taken"),
        ({"queue": ["*", "!*"]}, r"'!\*' excludes every queue"),
        ({"queue": "!"}, "'' cannot name a queue"),
        ({"queue": ["a", "!b"]}, r"'!b' goes with '\*', .*; beside 'a' it has no meaning"),
        ({"queue": ["*", "a", "!a"]}, r"'!a' goes with '\*', .*; beside '\*', 'a' it has no"),
    ],
    ids=str,
)
def test_an_option_that_is_not_of_its_kind_is_refused(options, reason):
    with pytest.raises(ConfigurationError, match=reason):
        WorkerGroup(**options)


@pytest.mark.parametrize("name", ["default", "E-Mail 2", "größe", "a*", "a!"])
def test_a_queue_is_named_by_printable_text(name):
    assert check_queue(name) == name


@pytest.mark.parametrize("name", ["", "*", "!a", "a\n", "\x1b[31m", "a\0"])
def test_what_could_not_be_told_apart_or_shown_names_no_queue(name):
    with pytest.raises(ConfigurationError, match="cannot name a queue"):
        check_queue(name)


@pytest.mark.parametrize("number", [-(2**63), 0, 2**63 - 1])
def test_a_priority_is_any_number_that_the_database_holds(number):
    assert check_priority(number) == number


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (2**63, "priority must be at most"),
        (-(2**63) - 1, "priority must be at least"),
        (1.5, "priority must be a whole number, got 1.5"),
        (True, "priority must be a whole number, got True"),
        ("high", "priority must be a whole number, got 'high'"),
    ],
)
def test_a_priority_that_the_database_cannot_hold_is_refused(number, reason):
    with pytest.raises(ConfigurationError, match=reason):
        check_priority(number)


def test_a_duration_has_an_end():
    with pytest.raises(ConfigurationError, match="max_runtime must be at most 3162240000 seconds"):
        WorkerGroup(max_runtime=1e12)
