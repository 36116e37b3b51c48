"""Naming the app in a pyproject.toml, every other byte of which stays as it is."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from litejobs.errors import ConfigurationError

_HEADER = re.compile(
    r"^[ \t]*\[[ \t]*tool[ \t]*\.[ \t]*litejobs[ \t]*\][ \t]*(?:#[^\r\n]*)?(?P<end>\r?\n|\Z)",
    re.MULTILINE,
)


def name_app(file: Path, app: str) -> bytes:
    """
    What *file*, a valid one that names no app yet, is to hold to name *app*.

    Raises ConfigurationError if its way of writing the table leaves no place for that.
    """
    text = file.read_bytes().decode()
    wanted = tomllib.loads(text)
    wanted.setdefault("tool", {}).setdefault("litejobs", {})["app"] = app
    for candidate in _candidates(text, app):
        if _parsed(candidate) == wanted:
            return candidate.encode()
    raise ConfigurationError(
        f'app = "{app}" cannot be added to tool.litejobs in {file}, which is no table of its own; '
        "write it as [tool.litejobs]"
    )


def _candidates(text: str, app: str) -> Iterator[str]:
    """Below the header, which may also stand in a text; else in a new table at the end."""
    line = f'app = "{app}"'
    for match in _HEADER.finditer(text):
        end = match["end"] or "\n"
        yield text[: match.start("end")] + end + line + match["end"] + text[match.end() :]
    end = "\r\n" if "\r\n" in text else "\n"
    space = "" if not text else end if text.endswith("\n") else end * 2
    yield f"{text}{space}[tool.litejobs]{end}{line}{end}"


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
