"""An exception as text that can be stored, whatever was raised."""

import traceback
from types import TracebackType

from litejobs.defaults import MAX_ERROR
from litejobs.rules.text import cut

_MAX_MESSAGE = MAX_ERROR // 4
_ENORMOUS = 64 * 1024  # characters; traceback handles messages line by line, 100 MB take it 16 s


def describe(error: BaseException, *, below: TracebackType | None = None, instead: str = "") -> str:
    """
    ``Type: message``, a blank line, the traceback: valid UTF-8, at most MAX_ERROR bytes.

    *below* is the frame of litejobs that called the job; only what lies deeper is shown. An
    exception whose ``__str__`` raises, or whose message is enormous, is described all the same.
    *instead* is another first line.
    """
    return cut(f"{instead or headline(error)}\n\n{_trace(error, below)}", MAX_ERROR)


def headline(error: BaseException) -> str:
    """``Type: message`` without a traceback, or ``Type`` alone where there is no message."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else _full_name(kind)
    try:
        message = str(error)
    except BaseException as second:  # noqa: BLE001  # the job's own class may raise anything here
        message = f"<its __str__ raised {type(second).__qualname__}>"
    return cut(f"{name}: {message}" if message else name, _MAX_MESSAGE)


def _full_name(kind: type[BaseException]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _trace(error: BaseException, below: TracebackType | None) -> str:
    own = error.__traceback__
    frames = own.tb_next if own is not None and own is below else own
    try:
        if any(map(_is_enormous, _related(error))):
            return "".join(["Traceback (most recent call last):\n", *traceback.format_tb(frames)])
        summary = traceback.TracebackException(type(error), error, frames, compact=True)
        return "".join(cut(line, _MAX_MESSAGE) for line in summary.format())
    except BaseException as second:  # noqa: BLE001  # it reads attributes of the job's objects
        return f"<its traceback could not be formatted: {type(second).__qualname__}>"


def _related(error: BaseException) -> list[BaseException]:
    """The error, its causes and contexts, and the members of groups, each once."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if not any(one is other for other in found):
            found.append(one)
            waiting += [other for other in (one.__cause__, one.__context__) if other is not None]
            waiting += one.exceptions if isinstance(one, BaseExceptionGroup) else ()
    return found


def _is_enormous(error: BaseException) -> bool:
    try:
        return len(str(error)) > _ENORMOUS
    except BaseException:  # noqa: BLE001  # traceback copes with that one
        return False
