"""What goes in comes out, equal and of its type; what could not is refused where it is passed."""

import enum
import json
import uuid
from collections import OrderedDict, namedtuple
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address
from pathlib import Path, PurePosixPath, PureWindowsPath
from threading import Lock
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional, TypedDict, TypeVar, Union
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litejobs.arguments import Parameters, parameters_of
from litejobs.errors import SchedulingError, UnloadableError

BERLIN = ZoneInfo("Europe/Berlin")
NOTHING = object()  # no annotation at all


class MyInt(int):
    pass


class MyStr(str):
    __slots__ = ()


class MyDict(dict):
    pass


class MyList(list):
    pass


class Foreign:
    """A class that nothing but Python knows."""


class Model:
    def model_dump(self):
        return {}


class User: ...


class HTTPReply: ...


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no repr")


class Letter(enum.Enum):
    A = "a"
    B = "b"


class Number(enum.IntEnum):
    ONE = 1


class Bits(enum.Flag):
    ONE = 1
    TWO = 2


class Mixed(enum.Enum):
    ONE = 1
    WORD = "x"


class Pairs(enum.Enum):
    ONE = (1, 2)


class Member(NamedTuple):
    id: int
    name: str


class Options(TypedDict):
    size: int


@dataclass
class Order:
    id: int
    lines: list[str]
    due: date | None = None


@dataclass(eq=False)
class Incomparable:
    id: int


@dataclass
class Loose:
    value: Any


Point = namedtuple("Point", "x y")  # noqa: PYI024  # people use these too
UserId = NewType("UserId", int)
Moment = NewType("Moment", datetime)


def taking(annotation):
    """The parameters of a function whose only one, *value*, has that annotation."""

    def job(value): ...

    job.__annotations__ = {} if annotation is NOTHING else {"value": annotation}
    return Parameters(job)


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def dict_inside_itself():
    value = {}
    value["itself"] = value
    return value


def inside_itself():
    value = []
    value.append(value)
    return value


def dump(annotation, value):
    listed, named = taking(annotation).dump([value], {})
    assert named == "{}"
    return json.loads(listed)


def through(annotation, value):
    """What the job would be given for *value*."""
    [out], _ = taking(annotation).load(dump(annotation, value), {})
    return out


def same(value, out):
    """Whether they are equal with all they hold, types included."""
    if type(value) is not type(out):
        return False
    if isinstance(value, list):
        return len(value) == len(out) and all(map(same, value, out))
    if isinstance(value, dict):
        return list(value) == list(out) and all(same(value[key], out[key]) for key in value)
    return repr(value) == repr(out) if isinstance(value, float) else value == out


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab\0é\n"), inner),
    max_leaves=20,
)


@given(JSON)
def test_any_plain_value_comes_out_as_it_went_in(value):
    assert same(value, through(NOTHING, value))


@pytest.mark.parametrize("annotation", [Any, object, TypeVar("T"), [1]], ids=str)
def test_an_annotation_that_says_nothing_counts_as_none(annotation):
    assert through(annotation, {"a": [1, "x"]}) == {"a": [1, "x"]}
    with pytest.raises(SchedulingError, match="it is a tuple, which JSON alone"):
        dump(annotation, (1,))


REFUSED_PLAIN = {
    "set": ({1}, "it is a set, which JSON alone does not give back; annotate the parameter"),
    "tuple": ((1,), "it is a tuple, which JSON alone"),
    "datetime": (datetime(2024, 1, 1, tzinfo=UTC), "it is a datetime"),
    "naive datetime": (datetime(2024, 1, 1), "it is a datetime"),  # noqa: DTZ001
    "bytes": (b"x", "it is a bytes"),
    "Path": (Path("a"), "Path, which JSON alone"),
    "own int": (MyInt(1), "it is a MyInt"),
    "own str": (MyStr("a"), "it is a MyStr"),
    "own dict": (MyDict(a=1), "it is a MyDict"),
    "own list": (MyList([1]), "it is a MyList"),
    "ordered dict": (OrderedDict(a=1), "it is an OrderedDict"),
    "enum": (Letter.A, "it is a Letter"),
    "object": (Foreign(), "it is a Foreign, which cannot be stored as JSON; pass its id or name"),
    "lock": ([Lock()], r"its item \[0\] is a lock, which cannot be stored as JSON; pass its id"),
    "model": (Model(), r"it is a Model, which .* pass its id, or plain .* as its model_dump\(\)"),
    "User": (User(), "it is a User, which"),
    "acronym": (HTTPReply(), "it is an HTTPReply, which"),
    "unprintable": (Unprintable(), "it is an Unprintable"),
    "deep inside": ({"a": [0, {1}]}, r"its item \['a'\]\[1\] is a set"),
    "int key": ({1: 2}, "a key of it is an int"),
    "None key": ({"a": {None: 1}}, r"a key of its item \['a'\] is a NoneType"),
    "bool key": ({True: 1}, "a key of it is a bool"),
    "own str key": ({MyStr("a"): 1}, "a key of it is a MyStr"),
    "long key": ({"k" * 100: {1}}, r"its item \['k{56}\.\.\.\] is a set"),
    "NaN": (float("nan"), "it is nan, which JSON does not have"),
    "infinity": ([1, float("-inf")], r"its item \[1\] is -inf, which JSON does not have"),
    "surrogate": ("\ud800", "it holds a lone surrogate, which is no valid text"),
    "surrogate inside": (["\ud800"], "it holds a lone surrogate"),
    "surrogate key": ({"\ud800": 1}, "it holds a lone surrogate"),
    "recursive": (inside_itself(), "contains itself or is"),
    "too deep": (nested(100_000), "contains itself or is"),
    "10,000 digits": (10**10_000, "it holds a number of more digits than Python writes"),
}


@pytest.mark.parametrize(("value", "reason"), REFUSED_PLAIN.values(), ids=REFUSED_PLAIN)
def test_without_an_annotation_only_what_json_has_is_taken(value, reason):
    with pytest.raises(SchedulingError, match=f"^argument 'value' of job:? .*{reason}"):
        dump(NOTHING, value)


RESTORED = {
    "int": (int, 7),
    "int of 400 digits": (int, 10**400),
    "negative zero": (float, -0.0),
    "str": (str, "é\0\n\u2028"),
    "bool": (bool, True),
    "None": (None, None),
    "int | None": (int | None, None),
    "Optional": (Optional[datetime], None),  # noqa: UP045
    "Union": (Union[int, str], "5"),  # noqa: UP007
    "list": (list, [1, "a", None]),
    "dict": (dict, {"a": [1]}),
    "list[int]": (list[int], [1, 2**70]),
    "bare tuple": (tuple, (1, "a")),
    "tuple": (tuple[int, str], (1, "a")),
    "endless tuple": (tuple[str, ...], ("a", "b")),
    "set": (set, {1, "a"}),
    "set[int]": (set[int], {1, 2}),
    "frozenset": (frozenset[str], frozenset("ab")),
    "int keys": (dict[int, str], {1: "a"}),
    "date keys": (dict[date, int], {date(2024, 2, 29): 1}),
    "naive datetime": (datetime, datetime(2024, 1, 1, 1, 2, 3, 456)),  # noqa: DTZ001
    "aware datetime": (datetime, datetime(2024, 1, 1, tzinfo=UTC)),
    "date": (date, date(2024, 2, 29)),
    "time": (time, time(1, 2, 3, 4)),
    "aware time": (time, time(1, 2, tzinfo=UTC)),
    "timedelta": (timedelta, timedelta(days=-1, microseconds=1)),
    "bytes": (bytes, b"\0\xff"),
    "bytearray": (bytearray, bytearray(b"x")),
    "UUID": (uuid.UUID, uuid.UUID(int=5)),
    "Decimal": (Decimal, Decimal("1.10")),
    "Path": (Path, Path("/a/b")),
    "PurePosixPath": (PurePosixPath, PurePosixPath("a")),
    "PureWindowsPath": (PureWindowsPath, PureWindowsPath("a\\b")),
    "list of paths": (list[Path], [Path("a"), Path("b")]),
    "Path | None": (Path | None, Path("a")),
    "no Path": (Path | None, None),
    "str enum": (Letter, Letter.B),
    "int enum": (Number, Number.ONE),
    "flag": (Bits, Bits.ONE | Bits.TWO),
    "no flag": (Bits, Bits(0)),
    "mixed enum": (Mixed, Mixed.ONE),
    "enum of pairs": (Pairs, Pairs.ONE),
    "dataclass": (Order, Order(1, ["a"], date(2024, 1, 1))),
    "NamedTuple": (Member, Member(1, "a")),
    "namedtuple": (Point, Point(1, 2)),
    "TypedDict": (Options, {"size": 1}),
    "complex": (complex, 1 + 2j),
    "Fraction": (Fraction, Fraction(1, 3)),
    "IPv4Address": (IPv4Address, IPv4Address("1.2.3.4")),
    "ZoneInfo": (ZoneInfo, BERLIN),
    "Literal": (Literal["a", "b"], "a"),
    "Annotated": (Annotated[date, "x"], date(2024, 1, 1)),
    "NewType": (UserId, 3),
    "NewType of a datetime": (Moment, datetime(2024, 1, 1, tzinfo=UTC)),
    "Sequence": (Sequence[int], [1]),
    "dict[str, Any]": (dict[str, Any], {"a": "x", "b": 2**70}),
    "Any in a dataclass": (Loose, Loose([1, {"a": None}])),
    "name in text": ("Order", Order(1, [])),
    "type in text": ("list[int] | None", [1]),
    "plain at a class": (Foreign, 5),  # as with a wrong annotation that nobody checks
}


@pytest.mark.parametrize(("annotation", "value"), RESTORED.values(), ids=RESTORED)
def test_an_annotation_restores_what_json_would_change(annotation, value):
    assert same(value, through(annotation, value))


def test_a_class_without_comparison_is_compared_by_what_it_holds():
    assert through(Incomparable, Incomparable(5)).id == 5


DRAWN = {
    "int": (int, st.integers()),
    "float": (float, st.floats(allow_nan=False, allow_infinity=False)),
    "str | None": (str | None, st.none() | st.text(st.characters(exclude_categories=["Cs"]))),
    "datetime": (datetime, st.datetimes()),
    "UTC": (datetime, st.datetimes(timezones=st.just(UTC))),
    "date": (date, st.dates()),
    "time": (time, st.times()),
    "timedelta": (timedelta, st.timedeltas()),
    "bytes": (bytes, st.binary()),
    "UUID": (uuid.UUID, st.uuids()),
    "Decimal": (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    "set[int]": (set[int], st.sets(st.integers())),
    "tuple": (tuple[int, ...], st.lists(st.integers()).map(tuple)),
    "int keys": (dict[int, bytes], st.dictionaries(st.integers(-(2**63), 2**63), st.binary())),
    "flag": (Bits, st.sampled_from([Bits(number) for number in range(4)])),
    "mixed enum": (Mixed, st.sampled_from(Mixed)),
    "dataclass": (Order, st.builds(Order, st.integers(), st.just(["a"]), st.none() | st.dates())),
    "Fraction": (Fraction, st.fractions()),
}


@given(st.sampled_from(sorted(DRAWN)), st.data())
def test_any_value_of_its_annotation_comes_out_equal_and_of_its_type(name, data):
    annotation, values = DRAWN[name]
    value = data.draw(values)

    assert same(value, through(annotation, value))


@pytest.mark.parametrize("fold", [0, 1])
def test_a_zone_comes_out_as_the_offset_it_had_then(fold):
    twice = datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=fold)

    out = through(datetime, twice)

    assert out.utcoffset() == twice.utcoffset() == timedelta(hours=2 - fold)
    assert out.isoformat() == twice.isoformat()


@pytest.mark.parametrize(
    ("annotation", "value", "out"),
    [
        (float, 1, 1.0),
        (float | None, 3, 3.0),
        (list[float], [1], [1.0]),
        (tuple[float, ...], (1,), (1.0,)),
        (dict[str, float], {"a": 1}, {"a": 1.0}),
    ],
    ids=str,
)
def test_an_int_for_a_float_becomes_a_float(annotation, value, out):
    assert repr(through(annotation, value)) == repr(out)


REFUSED_TYPED = {
    "bool for int": (int, True, r"it is annotated int, not bool \(True\)"),
    "float for int": (int, 1.0, r"it is annotated int, not float \(1\.0\)"),
    "int for str": (str, 1, "it is annotated str, not int"),
    "int for bool": (bool, 1, "it is annotated bool, not int"),
    "str for int | None": (int | None, "a", r"it is annotated NoneType \| int, not str"),
    "own int": (int, MyInt(1), "it is annotated int, not MyInt"),
    "own str": (str, MyStr("a"), "it is annotated str, not MyStr"),
    "own dict": (dict, MyDict(a=1), "it is annotated dict, not MyDict"),
    "own int inside": (list[int], [MyInt(1)], "a list cannot be stored as JSON"),
    "unprintable": (int, Unprintable(), r"it is annotated int, not Unprintable \(<Unprintable>\)"),
    "int too fine for float": (float, 2**53 + 1, "it is annotated float, not int"),
    "int too large for float": (float, 10**400, "it is annotated float, not int"),
    "too fine inside": (list[float], [2**53 + 1], "would come out as .*9007199254740992.0"),
    "10,000 digits": (int, 10**10_000, "more digits than Python writes"),
    "NaN": (float, float("nan"), "it is nan, which JSON does not have"),
    "NaN inside": (list[float], [float("nan")], "it holds NaN or an infinity"),
    "NaN Decimal": (Decimal, Decimal("NaN"), "would come out as Decimal"),
    "surrogate": (str, "\ud800", "lone surrogate"),
    "surrogate inside": (list[str], ["\ud800"], "lone surrogate"),
    "int key": (dict, {1: 2}, "a key of it is an int"),
    "set in a list": (list, [{1}], r"its item \[0\] is a set"),
    "tuple at list": (list, (1,), "it is annotated list, not tuple"),
    "list at tuple": (
        tuple[int, ...],
        [1],
        "a list would come out as a tuple, for it is annotated",
    ),
    "tuple in Any": (list[Any], [(1,)], "would come out as .*; annotate the type that is passed"),
    "tuple in a tuple": (tuple, (1, (2,)), r"a tuple would come out as \(1, \[2\]\)"),
    "int key in Any": (list[Any], [{1: 2}], r"would come out as \[\{'1': 2\}\]"),
    "datetime in Any": (dict[str, Any], {"a": datetime(2024, 1, 1)}, "would come out"),  # noqa: DTZ001
    "item of another type": (list[int], [1, "a"], r"Expected `int`, got `str` - at `\$\[1\]`"),
    "key of two numbers": (dict[tuple[int, int], int], {(1, 2): 1}, "cannot be stored as JSON"),
    "text at datetime": (datetime, "2024-01-01T00:00:00Z", "a str would come out as a datetime"),
    "date at datetime": (datetime, date(2024, 1, 1), "it is annotated datetime, not date"),
    "datetime at date": (date, datetime(2024, 1, 1), "it is annotated date, not datetime"),  # noqa: DTZ001
    "half a minute of offset": (
        datetime,
        datetime(2024, 1, 1, tzinfo=timezone(timedelta(seconds=30))),
        "a datetime would come out as",
    ),
    "text at Path": (Path, "a", "a str would come out as a PosixPath"),
    "surrogate in a path": (Path, Path("\ud800"), "lone surrogate"),
    "text at a str enum": (Letter, "a", "a str would come out as a Letter"),
    "int at an int enum": (Number, 1, "an int would come out as a Number"),
    "name at a mixed enum": (Mixed, "ONE", "it is annotated Mixed, not str"),
    "mixed enum in a list": (list[Mixed], [Mixed.ONE], "cannot be restored from JSON: Enums"),
    "wrong field": (Order, Order("x", []), r"it is annotated Order, not Order .*\$\.id"),
    "dict at a dataclass": (Order, {"id": 1, "lines": []}, "a dict would come out as an Order"),
    "tuple in a dataclass": (Loose, Loose((1,)), "a Loose would come out as"),
    "tuple at NamedTuple": (Member, (1, "a"), "a tuple would come out as a Member"),
    "object": (Foreign, Foreign(), "a Foreign cannot be stored as JSON; pass its id or name, or"),
    "lock inside": (
        Loose,
        Loose(Lock()),
        "a Loose cannot be stored as JSON, for it holds a lock; pass its id or name, or plain",
    ),
    "model": (Model, Model(), r"a Model cannot be stored as JSON; pass its id, or .*model_dump"),
    "set at a class": (Foreign, {1}, "it is a set, which JSON alone"),
    "other literal": (Literal["a"], "c", "Invalid enum value 'c'"),
    "no type": (5, 1, "its annotation 5 cannot be restored from JSON"),
    "text or date": (datetime | str, "a", "cannot be restored from JSON: Type unions"),
    "text or path": (str | Path, "a", "cannot be restored from JSON: Type unions"),
    "set or list": (set[int] | list[int], {1}, "cannot be restored from JSON: Type unions"),
    "recursive list": (list[Any], inside_itself(), "contains itself or is"),
    "recursive dict": (dict, dict_inside_itself(), "contains itself"),
    "too deep": (list[Any], nested(100_000), "contains itself or is"),
}


@pytest.mark.parametrize(
    ("annotation", "value", "reason"), REFUSED_TYPED.values(), ids=REFUSED_TYPED
)
def test_what_its_annotation_would_not_give_back_is_refused(annotation, value, reason):
    with pytest.raises(SchedulingError, match=f"^argument 'value' of job:? .*{reason}"):
        dump(annotation, value)


@pytest.mark.parametrize("annotation", ["Unknown", "1 / 0", "not python"])
def test_an_annotation_that_cannot_be_resolved_counts_as_none(annotation):
    assert through(annotation, [1, "a"]) == [1, "a"]
    with pytest.raises(SchedulingError, match="it is a set, which JSON alone"):
        dump(annotation, {1})


def test_each_annotation_is_resolved_alone():
    def job(known: "date", unknown: "Nowhere"): ...  # noqa: F821

    listed, _ = Parameters(job).dump([date(2024, 1, 1), "a"], {})

    assert Parameters(job).load(json.loads(listed), {})[0] == [date(2024, 1, 1), "a"]


def test_every_kind_of_parameter_has_its_own_annotation():
    def job(first: date, /, second: set, *rest: Path, named: Decimal, **extra: bytes): ...

    args = [date(2024, 1, 1), {1}, Path("a"), Path("b")]
    kwargs = {"named": Decimal("1.0"), "more": b"x", "first": b"y", "extra": b""}
    listed, named = Parameters(job).dump(args, kwargs)

    out = Parameters(job).load(json.loads(listed), json.loads(named))

    assert out == (args, kwargs)


def test_a_parameter_can_be_passed_by_position_or_by_name():
    def job(when: date): ...

    listed, named = Parameters(job).dump([], {"when": date(2024, 1, 1)})

    assert (listed, named) == ("[]", '{"when":"2024-01-01"}')
    assert Parameters(job).load([], json.loads(named)) == ([], {"when": date(2024, 1, 1)})


@pytest.mark.parametrize(
    ("args", "kwargs", "reason"),
    [
        ([], {}, "missing a required argument: 'a'"),
        ([1, 2, 3], {}, "too many positional arguments"),
        ([1], {"c": 1}, "unexpected keyword argument 'c'"),
        ([1], {"a": 1}, "multiple values for argument 'a'"),
    ],
    ids=["too few", "too many", "unknown name", "twice"],
)
def test_arguments_that_do_not_fit_the_signature_are_refused(args, kwargs, reason):
    def job(a, b=0): ...

    with pytest.raises(SchedulingError, match=rf"do not fit job\(a, b=0\): .*{reason}"):
        Parameters(job).dump(args, kwargs)
    with pytest.raises(UnloadableError, match=rf"do not fit job\(a, b=0\): .*{reason}"):
        Parameters(job).load(args, kwargs)


COUNTS = {
    "none": lambda: 0,
    "one": lambda a: 0,
    "default": lambda a, b=0: 0,
    "by place alone": lambda a, /, b=0: 0,
    "rest": lambda a, *rest: 0,
    "by name alone": lambda a, *, b: 0,
    "by name with default": lambda a, *, b=0: 0,
    "extras": lambda a, **extra: 0,
}


@pytest.mark.parametrize("job", COUNTS.values(), ids=COUNTS)
@pytest.mark.parametrize("count", range(4))
def test_stored_arguments_are_refused_just_where_a_call_would_be(job, count):
    args = list(range(count))
    try:
        job(*args)
    except TypeError:
        with pytest.raises(UnloadableError, match="do not fit"):
            Parameters(job).load(args, {})
    else:
        assert Parameters(job).load(args, {}) == (args, {})


def by_name_only(a, *, b): ...
def by_name_with_default(a, *, b=0): ...
def any_number(a, *rest): ...
def any_name(a=0, **extra): ...
def by_place_only(a, b=0, /): ...
def nothing(): ...


@pytest.mark.parametrize(
    "job",
    [by_name_only, by_name_with_default, any_number, any_name, by_place_only, nothing],
    ids=lambda job: job.__name__,
)
@pytest.mark.parametrize("args", [[], [1], [1, 2], [1, 2, 3]], ids=len)
def test_as_many_arguments_fit_as_python_itself_would_take(job, args):
    try:
        job(*args)
    except TypeError:
        with pytest.raises(SchedulingError, match="the arguments do not fit"):
            Parameters(job).dump(args, {})
    else:
        assert Parameters(job).dump(args, {}) == (json.dumps(args, separators=(",", ":")), "{}")


def test_a_name_that_is_no_text_is_refused():
    def job(**extra): ...

    with pytest.raises(SchedulingError, match=r"argument 'extra' of job: it holds a lone surr"):
        Parameters(job).dump([], {"\ud800": 1})


def test_the_argument_at_fault_is_named_whichever_it_is():
    def job(a, b, *rest): ...

    for place, name in enumerate(["a", "b", "rest", "rest"]):
        args = [0, 0, 0, 0]
        args[place] = {1}
        with pytest.raises(SchedulingError, match=f"argument '{name}' of job: it is a set"):
            Parameters(job).dump(args, {})


def test_a_positional_only_parameter_is_not_passed_by_name():
    def job(a, /): ...

    with pytest.raises(SchedulingError, match="do not fit"):
        Parameters(job).dump([], {"a": 1})


def test_one_mebibyte_of_json_is_taken_and_a_byte_more_is_not():
    def job(a, b): ...

    room = 1024 * 1024 - len('"",') - len("1,")
    Parameters(job).dump(["x" * room, 1], {})

    with pytest.raises(
        SchedulingError, match="of job are 1,048,577 bytes of JSON, 1,048,576 are allowed"
    ):
        Parameters(job).dump(["x" * room, 12], {})


def test_bytes_are_counted_and_not_characters():
    with pytest.raises(SchedulingError, match="bytes of JSON"):
        dump(NOTHING, "é" * 600_000)


def test_ten_megabytes_are_refused_with_the_cure():
    with pytest.raises(SchedulingError, match=r"10,000,003 bytes .*store the data elsewhere"):
        dump(NOTHING, "x" * 10_000_000)


UNREADABLE = {
    "text at int": (int, "x", "it is annotated int, not str"),
    "large at float": (float, 10**400, "it is annotated float, not int"),
    "list item": (list[int], ["a"], "Expected `int`, got `str`"),
    "no date": (datetime, "soon", "Invalid RFC3339"),
    "gone member": (Mixed, "TWO", "Mixed has no member 'TWO'"),
    "missing field": (Order, {"id": 1}, "missing required field `lines`"),
    "no address": (IPv4Address, "x", "Expected 4 octets"),
    "path of a number": (Path, 5, "os.PathLike"),
    "annotation became ambiguous": (datetime | str, "a", "cannot be restored from JSON"),
}


@pytest.mark.parametrize(("annotation", "stored", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_stored_arguments_that_later_code_cannot_read_make_the_row_unloadable(
    annotation, stored, reason
):
    with pytest.raises(
        UnloadableError, match=f"^the stored argument 'value' of job does not fit: .*{reason}"
    ):
        taking(annotation).load([stored], {})


def test_the_parameters_of_a_function_are_compiled_once():
    def job(a): ...

    assert parameters_of(job) is parameters_of(job)
    assert parameters_of(job).name == "job"


@dataclass
class Even:
    number: int

    def __post_init__(self):
        if self.number % 2:
            raise RuntimeError("odd")


@dataclass
class Meeting:
    at: datetime


@pytest.mark.parametrize(
    ("annotation", "wire", "reason"),
    [
        pytest.param(Even, {"number": 1}, "odd", id="its constructor raises"),
        pytest.param(ZoneInfo, "Nope/Nowhere", "Nope/Nowhere", id="a zone that is none"),
        pytest.param(Fraction, "1/0", "Fraction", id="a fraction of nothing"),
        pytest.param(Mixed, ["A"], "has no member", id="a list for an enum"),
    ],
)
def test_whatever_a_type_raises_when_restored_makes_the_row_unloadable(annotation, wire, reason):
    with pytest.raises(UnloadableError, match=reason):
        taking(annotation).load([wire], {})


def test_an_enum_of_mixed_values_may_be_none():
    member = next(iter(Mixed))

    assert through(Mixed | None, member) is member
    assert through(Mixed | None, None) is None
    with pytest.raises(SchedulingError, match="annotated Mixed"):
        dump(Mixed | None, 5)


def test_a_moment_that_comes_twice_is_taken_inside_a_dataclass():
    twice = Meeting(datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Rome")))

    out = through(Meeting, twice)

    assert out.at.isoformat() == twice.at.isoformat()


def test_a_keyword_named_like_the_rest_has_the_annotation_of_the_extras():
    def job(*rest: int, **extra: str): ...

    assert Parameters(job).dump([1], {"rest": "a"}) == ("[1]", '{"rest":"a"}')


class Colour(enum.StrEnum):
    RED = "red"


@dataclass
class Painted:
    colour: str


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        pytest.param(set[str], {Colour.RED}, id="in a set"),
        pytest.param(dict[str, int], {Colour.RED: 1}, id="as a key"),
        pytest.param(Painted, Painted(Colour.RED), id="in a field"),
    ],
)
def test_a_type_that_would_be_lost_inside_is_refused(annotation, value):
    with pytest.raises(SchedulingError, match="would come out as"):
        dump(annotation, value)
