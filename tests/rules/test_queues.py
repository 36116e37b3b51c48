"""Which queues a worker group takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litejobs.rules.queues import shared, takes, union

NAMES = ("a", "b", "c")
SELECTIONS = st.lists(st.sampled_from(NAMES), max_size=3).map(tuple) | st.lists(
    st.sampled_from([f"!{name}" for name in NAMES]), max_size=3
).map(lambda names: ("*", *names))


@pytest.mark.parametrize(
    ("selection", "taken"),
    [((), ""), (("a", "b"), "ab"), (("*",), "abc"), (("*", "!a"), "bc"), (("*", "!a", "a"), "abc")],
    ids=str,
)
def test_a_selection_takes_what_it_names_or_all_but_its_exceptions(selection, taken):
    assert [queue for queue in NAMES if takes(selection, queue)] == list(taken)


@pytest.mark.parametrize(
    ("selections", "expected"),
    [
        ([("*", "!a", "!b"), ("a",)], {"*", "!b", "a"}),
        ([("*", "!a", "!b"), ("*", "!b", "!c")], {"*", "!b"}),
        ([("*",), ("*", "!b")], {"*"}),
        ([("a", "b"), ("b", "c")], {"a", "b", "c"}),
        ([], set()),
    ],
)
def test_a_union_has_no_exception_that_one_of_them_takes(selections, expected):
    assert union(*selections) == expected


@given(st.lists(SELECTIONS, max_size=3), st.sampled_from(NAMES))
def test_a_union_takes_what_one_of_them_takes(selections, queue):
    assert takes(union(*selections), queue) == any(takes(one, queue) for one in selections)


@pytest.mark.parametrize(
    ("first", "second", "declared", "expected"),
    [
        (("a",), ("b",), None, ""),
        (("*",), ("b", "c"), None, "b"),
        (("b", "c"), ("*",), None, "b"),
        (("a", "b"), ("c", "b"), None, "b"),
        (("*", "!a"), ("a",), None, ""),
        (("*", "!a"), ("*", "!b"), None, "*"),
        (("!a", "*"), ("*",), None, "*"),
        (("*", "!a"), ("*", "!b"), ("a", "b"), ""),
        (("*", "!a"), ("*", "!b"), ("a", "b", "c"), "c"),
    ],
)
def test_a_queue_that_two_groups_share_is_named(first, second, declared, expected):
    assert shared(first, second, declared) == expected
