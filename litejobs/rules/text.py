"""Text that is safe to store and to show."""

_KEPT = {"\n", "\t"}


def cut(text: str, limit: int) -> str:
    """
    *text* as valid UTF-8 of at most *limit* bytes: where it is longer, its head and its tail.

    >>> len(cut("x" * 10_000, 200))
    200
    """
    size = len(text)
    if size > 2 * limit:  # slice before encoding: a message of 100 MB is not copied whole
        text = text[:limit] + text[-limit:]
    data = text.replace("\0", "\\x00").encode("utf-8", "backslashreplace")
    if len(data) <= limit:
        return data.decode()
    mark = b"\n[... cut: %d characters in all ...]\n" % size
    room = max(0, limit - len(mark))
    head, tail = data[: room // 2], data[len(data) - (room - room // 2) :]
    return (head + mark + tail)[:limit].decode("utf-8", "ignore")


def printable(text: str) -> str:
    r"""
    *text* on one line: control characters, which could forge a line or steer a terminal, escaped.

    >>> printable("a\n\x1b[31mb")
    'a\\n\\x1b[31mb'
    """
    return text if text.isprintable() else "".join(map(_escaped, text))


def printable_lines(text: str) -> str:
    """As ``printable``, but newlines and tabs stay: for tracebacks."""
    return "".join(c if c in _KEPT else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")
