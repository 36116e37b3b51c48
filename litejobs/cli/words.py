"""How the commands put jobs, times and tables into words."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

from litejobs.adapters.sqlite.inspection import Record
from litejobs.errors import UnloadableError
from litejobs.row import read
from litejobs.rules.text import printable

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def call(handler: str) -> str:
    """``name(arguments)``, or the handler as it is where it cannot be read."""
    try:
        row = read(handler)
    except UnloadableError:
        return printable(handler)
    arguments = [json.dumps(value, ensure_ascii=False) for value in row.args]
    arguments += [
        f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in row.kwargs.items()
    ]
    return printable(f"{row.name}({', '.join(arguments)})")


def progress(record: Record) -> str:
    """``3 of 10 (30 %), note``, or as it stands in the row where it cannot be read."""
    if record.progress is None:
        return ""
    try:
        said = json.loads(record.progress)
        done, total, note = (said[key] for key in ("done", "total", "note"))
        words = f"{done:,}" if total is None else f"{done:,} of {total:,}"
        share = f" ({done / total:.0%})" if total else ""
        return printable(f"{words}{share}{', ' if note else ''}{note}")
    except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError):
        return printable(record.progress)


def relative(moment: int, now: int) -> str:
    """How far *moment* lies from *now*, both milliseconds, in words."""
    if abs(moment - now) < 1000:  # noqa: PLR2004  # milliseconds of a second
        return "now"
    words = duration(moment, now)
    return f"in {words}" if moment > now else f"{words} ago"


def duration(moment: int, now: int) -> str:
    """Between two moments, in words."""
    seconds = abs(moment - now) // 1000
    for size, unit in _UNITS:
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "0 seconds"


def clock_time(moment: int, zone: tzinfo | None = None) -> str:
    """In a zone (None: the local one); a row written by hand may hold any number."""
    try:
        return f"{datetime.fromtimestamp(moment / 1000, UTC).astimezone(zone):%Y-%m-%d %H:%M:%S %z}"
    except (OverflowError, ValueError, OSError):
        return str(moment)


def shorten(text: str, width: int) -> str:
    """At most *width* characters of it."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lines in which the columns stand one below the other."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines: list[Any] = [heads, *rows]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
