"""
Arguments on their way into a row and out of it: what goes in comes out, equal and of its type.

A row holds JSON. Where JSON alone would lose the type, the parameter's annotation restores it;
what cannot be restored is refused when it is passed, never found out later.
"""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

from litejobs.codecs import ARGUMENT, RESULT, Codec, Passing, Refused, codec_for, to_json
from litejobs.defaults import MAX_ARGUMENTS
from litejobs.errors import SchedulingError, UnloadableError

_LONGEST_CHARACTER = 4  # bytes, in UTF-8


@lru_cache(maxsize=4096)
def parameters_of(function: Callable[..., Any]) -> "Parameters":
    """The parameters of *function*, compiled once."""
    return Parameters(function)


class Parameters:
    """What a job's function takes, and how each value is written to JSON and read back."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.name = getattr(function, "__name__", repr(function))
        self.signature = inspect.signature(function)
        self._globals = getattr(inspect.unwrap(function), "__globals__", {})
        self._codecs: dict[str, Codec] = {}
        parameters = list(self.signature.parameters.values())
        self._positional = [
            p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        self._rest = next((p for p in parameters if p.kind is p.VAR_POSITIONAL), None)
        self._extra = next((p for p in parameters if p.kind is p.VAR_KEYWORD), None)
        self._fitting = _fitting_numbers(parameters)
        self._codecs_in_order: list[Codec] = []

    def dump(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[str, str]:
        """
        The arguments as two JSON texts, a list and an object.

        Raises SchedulingError, naming the parameter, for what would not come out as it went in.
        """
        if misfit := self._misfit(args, kwargs):
            raise SchedulingError(f"the arguments do not fit {misfit}")
        codecs = self._codecs_of(args)
        texts: list[str] = []
        try:
            for value in args:
                texts.append(codecs[len(texts)].dump(value))
        except (Refused, RecursionError) as error:
            raise self._refusal(self._at(len(texts)), error) from None
        listed = f"[{','.join(texts)}]"
        named = self._dump_named(kwargs) if kwargs else "{}"
        if len(listed) + len(named) > MAX_ARGUMENTS // _LONGEST_CHARACTER:
            self._check_size(listed, named)
        return listed, named

    def _dump_named(self, kwargs: Mapping[str, Any]) -> str:
        texts = []
        for key, value in kwargs.items():
            parameter = self._named(key)
            try:
                texts.append(f"{to_json(key)}:{self._codec(parameter).dump(value)}")
            except (Refused, RecursionError) as error:
                raise self._refusal(parameter, error) from None
        return f"{{{','.join(texts)}}}"

    def load(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """
        Stored arguments, read from JSON already, as the values that were passed.

        Raises UnloadableError if the function no longer takes them.
        """
        if misfit := self._misfit(args, kwargs):
            raise UnloadableError(f"the stored arguments do not fit {misfit}")
        return (
            self._load_listed(args) if args else [],
            {k: self._load(self._named(k), value) for k, value in kwargs.items()} if kwargs else {},
        )

    def dump_result(self, value: Any) -> str:
        """
        What a call returned, as JSON.

        Raises ValueError for what would not come out as it went in, or is too long.
        """
        try:
            text = self._result_codec.dump(value)
        except (Refused, RecursionError) as error:
            raise ValueError(f"what {self.name} returned{_why(error, RESULT)}") from None
        if len(text.encode()) > MAX_ARGUMENTS:
            raise ValueError(f"what {self.name} returned is over {MAX_ARGUMENTS:,} bytes of JSON")
        return text

    def load_result(self, wire: Any) -> Any:
        """What a call returned; raises ValueError where this function never returns that."""
        try:
            return self._result_codec.load(wire)
        except Refused as error:
            raise ValueError(f"the stored result of {self.name} does not fit: {error}") from None

    @cached_property
    def _result_codec(self) -> Codec:
        return codec_for(_resolved(self.signature.return_annotation, self._globals))

    def _load_listed(self, args: Sequence[Any]) -> list[Any]:
        values: list[Any] = []
        try:
            for codec, wire in zip(self._codecs_of(args), args, strict=False):
                values.append(codec.load(wire))
        except Refused as error:
            raise self._unloadable(self._at(len(values)), error) from None
        return values

    def _at(self, index: int) -> inspect.Parameter:
        parameter = self._positional[index] if index < len(self._positional) else self._rest
        assert parameter is not None  # bind() saw that it fits
        return parameter

    def _named(self, key: str) -> inspect.Parameter:
        parameter = self.signature.parameters.get(key)
        if parameter is None or parameter.kind in (
            parameter.VAR_KEYWORD,
            parameter.VAR_POSITIONAL,
            parameter.POSITIONAL_ONLY,
        ):
            parameter = self._extra
        assert parameter is not None  # bind() saw that it fits
        return parameter

    def _codec(self, parameter: inspect.Parameter) -> Codec:
        codec = self._codecs.get(parameter.name)
        if codec is None:
            codec = codec_for(_resolved(parameter.annotation, self._globals))
            self._codecs[parameter.name] = codec
        return codec

    def _codecs_of(self, args: Sequence[Any]) -> list[Codec]:
        """The codecs by position, for as many as *args* at least."""
        codecs = self._codecs_in_order
        if len(codecs) < len(args):  # another thread may do the same
            codecs = [self._codec(self._at(index)) for index in range(len(args))]
            self._codecs_in_order = codecs
        return codecs

    def _misfit(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """What the function would take, and why not these; an empty text if it takes them."""
        if kwargs or len(args) not in self._fitting:
            try:
                self.signature.bind(*args, **kwargs)
            except TypeError as error:
                return f"{self.name}{self.signature}: {error}"
        return ""

    def _check_size(self, listed: str, named: str) -> None:
        """Each argument counts with the comma or bracket that follows it."""
        size = sum(len(text.encode()) - 1 for text in (listed, named) if text not in ("[]", "{}"))
        if size > MAX_ARGUMENTS:
            raise SchedulingError(
                f"the arguments of {self.name} are {size:,} bytes of JSON, {MAX_ARGUMENTS:,} are "
                "allowed: store the data elsewhere and pass its name or key"
            )

    def _refusal(self, parameter: inspect.Parameter, error: Exception) -> SchedulingError:
        return SchedulingError(f"argument {parameter.name!r} of {self.name}{_why(error, ARGUMENT)}")

    def _load(self, parameter: inspect.Parameter, wire: Any) -> Any:
        try:
            return self._codec(parameter).load(wire)
        except Refused as error:
            raise self._unloadable(parameter, error) from None

    def _unloadable(self, parameter: inspect.Parameter, error: Refused) -> UnloadableError:
        return UnloadableError(
            f"the stored argument {parameter.name!r} of {self.name} does not fit: {error}"
        )


def _why(error: Exception, passing: Passing) -> str:
    if isinstance(error, Refused):
        return f": {error.told(passing)}"
    return " contains itself or is nested too deep"


def _fitting_numbers(parameters: Sequence[inspect.Parameter]) -> range:
    """How many arguments fit where none is passed by name."""
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    least = sum(p.default is p.empty for p in positional)
    if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        return range(0)
    most = sys.maxsize if any(p.kind is p.VAR_POSITIONAL for p in parameters) else len(positional)
    return range(least, most + 1)


def _resolved(annotation: Any, names: dict[str, Any]) -> Any:
    """The annotation as an object; one that cannot be resolved, or hashed, counts as none."""
    if isinstance(annotation, str):
        try:
            annotation = eval(annotation, names)  # noqa: S307  # the function's own source
        except Exception:  # noqa: BLE001  # names known to the type checker only
            return inspect.Parameter.empty
    try:
        hash(annotation)
    except TypeError:
        return inspect.Parameter.empty
    return annotation
