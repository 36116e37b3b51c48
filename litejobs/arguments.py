"""
Arguments on their way into a row and out of it: what goes in comes out, equal and of its type.

A row holds JSON. Where JSON alone would lose the type, the parameter's annotation restores it;
what cannot be restored is refused when it is passed, never found out later.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from litejobs.codecs import Codec, Refused, codec_for, to_json
from litejobs.defaults import MAX_ARGUMENTS
from litejobs.errors import SchedulingError, UnloadableError


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
        least = sum(p.default is p.empty for p in self._positional)
        by_name = any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters)
        # How many arguments surely fit where none is passed by name.
        self._counts = range(0) if by_name else range(least, len(self._positional) + 1)

    def dump(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[str, str]:
        """
        The arguments as two JSON texts, a list and an object.

        Raises SchedulingError, naming the parameter, for what would not come out as it went in.
        """
        try:
            self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise SchedulingError(
                f"the arguments do not fit {self.name}{self.signature}: {error}"
            ) from None
        listed = [self._dump(self._at(i), value) for i, value in enumerate(args)]
        named = [
            f"{to_json(key)}:{self._dump(self._named(key), value)}" for key, value in kwargs.items()
        ]
        size = sum(len(text.encode()) + 1 for text in (*listed, *named))
        if size > MAX_ARGUMENTS:
            raise SchedulingError(
                f"the arguments of {self.name} are {size:,} bytes of JSON, {MAX_ARGUMENTS:,} are "
                "allowed: store the data elsewhere and pass its name or key"
            )
        return f"[{','.join(listed)}]", f"{{{','.join(named)}}}"

    def load(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """
        Stored arguments, read from JSON already, as the values that were passed.

        Raises UnloadableError if the function no longer takes them.
        """
        if kwargs or len(args) not in self._counts:
            try:
                self.signature.bind(*args, **kwargs)
            except TypeError as error:
                raise UnloadableError(
                    f"the stored arguments do not fit {self.name}{self.signature}: {error}"
                ) from None
        return (
            [self._load(self._at(i), value) for i, value in enumerate(args)] if args else [],
            {k: self._load(self._named(k), value) for k, value in kwargs.items()} if kwargs else {},
        )

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

    def _dump(self, parameter: inspect.Parameter, value: Any) -> str:
        try:
            text = to_json(self._codec(parameter).dump(value))
        except Refused as error:
            raise SchedulingError(f"argument {parameter.name!r} of {self.name}: {error}") from None
        except RecursionError:
            raise SchedulingError(
                f"argument {parameter.name!r} of {self.name} contains itself or is nested too deep"
            ) from None
        return text

    def _load(self, parameter: inspect.Parameter, wire: Any) -> Any:
        try:
            return self._codec(parameter).load(wire)
        except Refused as error:
            raise UnloadableError(
                f"the stored argument {parameter.name!r} of {self.name} does not fit: {error}"
            ) from None


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
