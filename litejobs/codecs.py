"""How the values of one parameter are written as JSON, and read back."""

import inspect
import json
import math
import types
import typing
from collections.abc import Callable, Iterable
from datetime import datetime, time
from enum import Enum
from functools import cache
from json.encoder import encode_basestring
from pathlib import PurePath
from typing import Any, NoReturn

from litejobs.errors import quoted

_SCALARS = frozenset({str, int, float, bool, types.NoneType})
_PLAIN = "None, bool, int, float, str, list and dict with str keys"
# Types of these modules come back when called with their own text; also complex and paths.
_MADE_OF_TEXT = frozenset({"ipaddress", "fractions", "zoneinfo"})
_AS_YOU = ("eu", "one", "uni", "us", "ut")  # said as they are: a User, a Unit
_TOO_MANY_DIGITS = "it holds a number of more digits than Python writes"
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class Refused(Exception):  # noqa: N818  # caught by those who know the parameter's name
    """
    Why a value cannot be stored as it is, or a stored one cannot be restored.

    *cure* says what to do about it, to who passes the value.
    """

    def __init__(self, reason: str, cure: Callable[["Passing"], str] | None = None) -> None:
        super().__init__(reason)
        self._cure = cure

    def told(self, passing: "Passing") -> str:
        """The reason and what to do."""
        return f"{self}; {self._cure(passing)}" if self._cure else str(self)


class Passing(typing.NamedTuple):
    """How a value comes to be stored, in words."""

    annotated: str
    pass_: str
    passed: str


ARGUMENT = Passing("the parameter", "pass", "passed")
RESULT = Passing("what the function returns", "return", "returned")


class _Unwritable(Exception):  # noqa: N818  # as above
    """The value of which there is no way to write it."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


class Codec(typing.Protocol):
    """How the values of one parameter are written as JSON and read back."""

    def dump(self, value: Any) -> str:
        """The JSON of *value*; raises Refused."""
        ...

    def load(self, wire: Any) -> Any:
        """What was passed; raises Refused."""
        ...


class Plain:
    """Without an annotation that says more: values that JSON itself gives back."""

    def dump(self, value: Any) -> str:
        write = _WRITERS.get(type(value))
        return _checked_to_json(value) if write is None else write(value)

    def load(self, wire: Any) -> Any:
        return wire


class Only:
    """Annotated with builtin types that JSON has: just those; an int may become a float."""

    def __init__(self, kinds: frozenset[type]) -> None:
        self._kinds = kinds
        self._writers = {kind: _WRITERS[kind] for kind in kinds & _WRITERS.keys()}

    def dump(self, value: Any) -> str:
        write = self._writers.get(type(value))
        if write is not None:
            return write(value)
        self.load(value)
        return _checked_to_json(value)

    def load(self, wire: Any) -> Any:
        kind = type(wire)
        if kind in self._kinds:
            return wire
        if kind is int and float in self._kinds:
            with_point = _as_float(wire)
            if with_point == wire:
                return with_point
        wanted = " | ".join(sorted(_name(kind) for kind in self._kinds))
        raise Refused(f"it is annotated {wanted}, not {_name(kind)} ({quoted(wire)})")


class Named:
    """A member of an Enum whose values JSON does not tell apart: stored by its name."""

    def __init__(self, enumeration: type[Enum], *, optional: bool) -> None:
        self._enumeration = enumeration
        self._optional = optional

    def dump(self, value: Any) -> str:
        if value is None and self._optional:
            return to_json(None)
        if type(value) is not self._enumeration:
            raise Refused(f"it is annotated {_name(self._enumeration)}, not {_name(type(value))}")
        return to_json(value.name)

    def load(self, wire: Any) -> Any:
        if wire is None and self._optional:
            return None
        try:
            return self._enumeration[wire]
        except (KeyError, TypeError):
            raise Refused(f"{_name(self._enumeration)} has no member {quoted(wire)}") from None


class Typed:
    """Annotated with anything else: msgspec writes it and restores it."""

    def __init__(self, annotation: Any) -> None:
        import msgspec  # noqa: PLC0415  # 30 ms that most jobs never need

        self._annotation = annotation
        self._msgspec = msgspec
        try:
            msgspec.json.Decoder(annotation, dec_hook=_restore)
        except TypeError as error:
            self._reason = (
                f"its annotation {_name(annotation)} cannot be restored from JSON: {error}"
            )
        else:
            self._reason = ""

    def dump(self, value: Any) -> str:
        try:
            return self.dump_typed(value)
        except NotImplementedError:
            return Plain().dump(value)

    def dump_typed(self, value: Any) -> str:
        """As ``dump``; raises NotImplementedError where msgspec restores no such type."""
        if self._reason:
            raise Refused(self._reason)
        try:
            wire = self._msgspec.to_builtins(value, str_keys=True, enc_hook=_as_text)
        except _Unwritable as error:
            _refuse_unwritable(value, error.value)
        except (TypeError, ValueError) as error:
            raise Refused(f"{_article(value)} cannot be stored as JSON ({error})") from None
        text = to_json(wire)
        try:
            back = self._convert(json.loads(text))
        except Refused as error:
            raise Refused(
                f"it is annotated {_name(self._annotation)}, not {_name(type(value))} "
                f"({quoted(value)}): {error}"
            ) from None
        if not _same(value, back):
            other = type(back) is not type(value)
            raise Refused(
                f"{_article(value)} would come out as {_article(back) if other else quoted(back)}, "
                f"for it is annotated {_name(self._annotation)}",
                lambda passing: f"annotate the type that is {passing.passed}",
            )
        return text

    def load(self, wire: Any) -> Any:
        if self._reason:
            raise Refused(self._reason)
        try:
            return self._convert(wire)
        except NotImplementedError:
            return wire

    def _convert(self, wire: Any) -> Any:
        """Raises NotImplementedError where the annotation holds a type unknown to msgspec."""
        try:
            return self._msgspec.convert(wire, self._annotation, str_keys=True, dec_hook=_restore)
        except (NotImplementedError, RecursionError):
            raise
        except Exception as error:  # noqa: BLE001  # the types have code of their own
            raise Refused(str(error) or type(error).__name__) from None


@cache
def codec_for(annotation: Any) -> Codec:
    """The codec for a resolved annotation; ``inspect.Parameter.empty`` is none."""
    if annotation in (inspect.Parameter.empty, Any, object) or isinstance(
        annotation, typing.TypeVar
    ):
        return Plain()
    if annotation in (list, dict):
        return Only(frozenset({annotation}))
    members = _members(annotation)
    if members <= _SCALARS:
        return Only(frozenset(members))
    others = members - {types.NoneType}
    if len(others) == 1 and _is_mixed_enum(enumeration := others.pop()):
        return Named(enumeration, optional=types.NoneType in members)
    return Typed(annotation)


def _members(annotation: Any) -> set[Any]:
    """The types of a union, or the one type itself; None counts as its type."""
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    members = typing.get_args(annotation) if union else (annotation,)
    return {types.NoneType if member is None else member for member in members}


def _is_mixed_enum(annotation: Any) -> bool:
    """Whether it is an Enum that msgspec does not take: its values are not all str, or all int."""
    if not isinstance(annotation, type) or not issubclass(annotation, Enum):
        return False
    return {type(member.value) for member in annotation} not in ({str}, {int})


def to_json(wire: Any) -> str:
    """JSON's own types as valid UTF-8 text, compact; raises Refused."""
    try:
        text = _encode(wire)
    except ValueError as error:
        if "digits" in str(error):
            raise Refused(_TOO_MANY_DIGITS) from None
        raise Refused("it holds NaN or an infinity, which JSON does not have") from None
    if not text.isascii():
        _check_utf8(text)
    return text


def _checked_to_json(value: Any) -> str:
    _check_plain(value)
    return to_json(value)


def _text_to_json(value: str) -> str:
    text = encode_basestring(value)
    if not text.isascii():
        _check_utf8(text)
    return text


def _int_to_json(value: int) -> str:
    try:
        return int.__repr__(value)
    except ValueError:
        raise Refused(_TOO_MANY_DIGITS) from None


def _check_utf8(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refused("it holds a lone surrogate, which is no valid text") from None


# What JSON always gives back, by the shortest way: for an int the encoder takes ten times as long.
_WRITERS: dict[type, Callable[[Any], str]] = {
    str: _text_to_json,
    int: _int_to_json,
    bool: lambda value: "true" if value else "false",
    types.NoneType: lambda _: "null",
}


def _check_plain(value: Any, place: str = "") -> None:
    """Refuse what JSON would change or drop: other types, keys that are not text."""
    kind = type(value)
    if kind is float and not math.isfinite(value):
        raise Refused(f"{_item(place)} is {value}, which JSON does not have")
    if kind in _SCALARS:
        return
    if kind is list:
        for index, item in enumerate(value):
            _check_plain(item, f"{place}[{index}]")
    elif kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                _refuse_foreign(key, f"a key of {_item(place)}")
            _check_plain(item, f"{place}[{quoted(key)}]")
    else:
        _refuse_foreign(value, _item(place))


def _item(place: str) -> str:
    return f"its item {place}" if place else "it"


def _refuse_foreign(value: Any, where: str) -> NoReturn:
    if not _comes_back(value):
        raise Refused(
            f"{where} is {_article(value)}, which cannot be stored as JSON",
            lambda passing: _in_its_stead(value, passing),
        )
    raise Refused(
        f"{where} is {_article(value)}, which JSON alone does not give back",
        lambda passing: (
            f"annotate {passing.annotated} with its type, or {passing.pass_} plain values "
            f"({_PLAIN})"
        ),
    )


def _comes_back(value: Any) -> bool:
    """Whether an annotation with its type would do."""
    kind: Any = type(value)
    try:
        codec = codec_for(kind)
        codec.dump_typed(value) if isinstance(codec, Typed) else codec.dump(value)
    except Exception:  # noqa: BLE001  # the types have code of their own
        return False
    return True


def _refuse_unwritable(value: Any, culprit: Any) -> NoReturn:
    inside = "" if culprit is value else f", for it holds {_article(culprit)}"
    raise Refused(
        f"{_article(value)} cannot be stored as JSON{inside}",
        lambda passing: _in_its_stead(culprit, passing),
    ) from None


def _in_its_stead(value: Any, passing: Passing) -> str:
    if callable(getattr(type(value), "model_dump", None)):  # as those of pydantic have
        return f"{passing.pass_} its id, or plain values such as its model_dump()"
    return f"{passing.pass_} its id or name, or plain values ({_PLAIN})"


def _same(value: Any, back: Any) -> bool:
    """Whether what comes out is what went in, types included; an int may become a float."""
    kind = type(value)
    if value is back or kind is not type(back):
        return value is back or bool(kind is int and type(back) is float and value == back)
    if isinstance(value, list | tuple):
        return len(value) == len(back) and all(map(_same, value, back))
    if isinstance(value, dict | set | frozenset):
        items = value if isinstance(value, dict) else {}
        return _typed(value) == _typed(back) and all(_same(items[key], back[key]) for key in items)
    if isinstance(value, datetime | time):
        # Instant and offset; a zone's name is lost.
        return bool(value.isoformat() == back.isoformat())
    fields = _fields(value)
    return _same(fields, _fields(back)) if fields else bool(value == back)


def _typed(values: Iterable[Any]) -> set[tuple[type, Any]]:
    return {(type(value), value) for value in values}


def _fields(value: Any) -> dict[str, Any]:
    """What an object of a class of the app's holds, by name; empty for values of other kinds."""
    kind = type(value)
    names: Iterable[str] = getattr(kind, "__dataclass_fields__", ())
    names = names or getattr(kind, "__struct_fields__", ())
    return {name: getattr(value, name) for name in names} or dict(getattr(value, "__dict__", {}))


def _as_text(value: Any) -> str:
    if isinstance(value, PurePath | complex) or type(value).__module__ in _MADE_OF_TEXT:
        return str(value)
    raise _Unwritable(value)


def _restore(kind: type, wire: Any) -> Any:
    if isinstance(kind, type) and (
        issubclass(kind, PurePath | complex) or kind.__module__ in _MADE_OF_TEXT
    ):
        return kind(wire)
    raise NotImplementedError(kind)


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _name(annotation: Any) -> str:
    return annotation.__qualname__ if isinstance(annotation, type) else str(annotation)


def _article(value: Any) -> str:
    name = _name(type(value))
    if name[:2].isupper():  # spelt: an HTTPError, a URL
        is_an = name[0] in "AEFHILMNORSX"
    else:
        is_an = name[:1].lower() in set("aeiou") and not name.lower().startswith(_AS_YOU)
    return f"an {name}" if is_an else f"a {name}"
