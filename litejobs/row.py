"""
What a row says of its job.

For those who run jobs or show them. It needs msgspec, at once: a thread that imports it only for
its first job would hold its lock, perhaps just while a server forks, and the child could not.
"""

import json
from typing import Annotated, Any

import msgspec

from litejobs.config import MAX_SECONDS
from litejobs.errors import UnloadableError

_Seconds = Annotated[float, msgspec.Meta(gt=0, le=MAX_SECONDS)]


class Handler(msgspec.Struct, frozen=True):
    """What a row says of its function: *module* is ``__main__`` for a script, None with an app."""

    name: str
    path: str  # relative to the project root, with forward slashes
    module: str | None = None
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    keep_result: _Seconds | None = None  # seconds; None: what it returns is not kept


_decode = msgspec.json.Decoder(Handler).decode


def read(text: str) -> Handler:
    """
    The handler that a row holds.

    Raises UnloadableError, whatever somebody wrote there by hand.
    """
    try:
        return _decode(text)
    except Exception:  # noqa: BLE001  # json takes a little more, and says better what is wrong
        return _read_with_json(text)


def job_name(text: str) -> str:
    """The name in a row's handler, for a log line."""
    try:
        return read(text).name
    except UnloadableError:
        return "?"


def _read_with_json(text: str) -> Handler:
    try:
        data = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UnloadableError(f"its handler is not valid JSON: {error}") from None
    if not isinstance(data, dict):
        raise UnloadableError("its handler is not a JSON object")
    values = (
        data.get("name"),
        data.get("path"),
        data.get("module"),
        data.get("args", []),
        data.get("kwargs", {}),
        data.get("keep_result"),
    )
    match values:
        case (str(), str(), str() | None, list(), dict(), None):
            return Handler(*values)
        case (str(), str(), str() | None, list(), dict(), int() | float() as keep_result):
            if 0 < keep_result <= MAX_SECONDS:
                return Handler(*values)
            raise UnloadableError("its keep_result is no number of seconds")
    raise UnloadableError(
        "its handler must hold name and path as text, args as a list and kwargs as an object"
    )


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
