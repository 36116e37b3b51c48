"""What stands in a row: read as it was written, and whatever somebody wrote there by hand."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litejobs import row
from litejobs.errors import UnloadableError
from litejobs.handler import write
from litejobs.row import Handler, read


def test_what_is_written_is_read():
    text = write('a"b', "é/jobs.py", "é.jobs", '[1,{"a":null}]', '{"k":"v"}')

    assert read(text) == Handler('a"b', "é/jobs.py", "é.jobs", [1, {"a": None}], {"k": "v"})


def test_a_row_of_an_app_names_no_module():
    assert "module" not in json.loads(write("job", "jobs.py", None, "[]", "{}"))


def test_a_row_by_hand_needs_no_arguments():
    assert read('{"name": "job", "path": "jobs.py"}') == Handler("job", "jobs.py", None, [], {})


@pytest.mark.parametrize(
    ("args", "values"),
    [('["\\ud800"]', ["\ud800"]), ("[1e400]", [float("inf")]), ('5,"args":[1]', [1])],
    ids=["lone surrogate", "beyond a float", "another before"],
)
def test_what_json_takes_and_msgspec_does_not_is_read(args, values):
    assert read(f'{{"name":"j","path":"p","args":{args}}}').args == values


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("1" * 5_000, "not valid JSON"),
        ('{"name":"j","path":"p","args":[NaN]}', "not valid JSON: NaN is not JSON"),
        ('{"name":"j","path":"p","args":[-Infinity]}', "-Infinity is not JSON"),
        ("[]", "its handler is not a JSON object"),
        ("null", "its handler is not a JSON object"),
        ("{}", "its handler must hold name and path as text"),
        ('{"name":"j","path":5}', "its handler must hold name and path as text"),
        ('{"name":"j","path":"p","module":5}', "its handler must hold"),
        ('{"name":"j","path":"p","args":{}}', "its handler must hold"),
        ('{"name":"j","path":"p","args":null}', "its handler must hold"),
        ('{"name":"j","path":"p","kwargs":[]}', "its handler must hold"),
    ],
    ids=lambda value: value[:40],
)
def test_a_row_that_holds_no_handler_is_unloadable(text, reason):
    with pytest.raises(UnloadableError, match=reason):
        read(text)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
KEYS = st.fixed_dictionaries(
    {},
    optional={
        "name": ANYTHING | st.text(),
        "path": ANYTHING | st.text(),
        "module": ANYTHING,
        "args": ANYTHING | st.lists(ANYTHING),
        "kwargs": ANYTHING | st.dictionaries(st.text(), ANYTHING),
    },
)
ROWS = st.fixed_dictionaries(
    {"name": st.text(), "path": st.text()},
    optional={
        "module": st.none() | st.text(),
        "args": st.lists(ANYTHING),
        "kwargs": st.dictionaries(st.text(), ANYTHING),
        "more": ANYTHING,
    },
)
ONE = st.integers(0, 1)


@given(st.text() | ANYTHING.map(json.dumps) | KEYS.map(json.dumps))
def test_whatever_stands_in_a_row_is_a_handler_or_unloadable(text):
    try:
        handler = read(text)
    except UnloadableError:
        return

    assert isinstance(handler.name, str)
    assert isinstance(handler.path, str)
    assert handler.module is None or isinstance(handler.module, str)
    assert isinstance(handler.args, list)
    assert isinstance(handler.kwargs, dict)


@given(st.data())
def test_a_row_is_read_alike_in_both_ways(data):
    text = json.dumps(data.draw(ROWS), ensure_ascii=data.draw(st.booleans()))
    for _ in range(data.draw(st.integers(0, 2))):  # somebody's hand slips
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(st.text(max_size=2)) + text[at + data.draw(ONE) :]
    try:
        quickly = row._decode(text)
    except Exception:
        return  # it is left to json

    assert repr(quickly) == repr(row._read_with_json(text))
