"""Rows as somebody who means harm, or knows nothing, may write them; and how each has to end."""

import json
import random
from dataclasses import dataclass, field

#: Modules of the standard library that nothing imports by itself.
STRANGERS = ("antigravity", "this", "turtledemo", "idlelib", "lib2to3", "pydoc_data")

# What lies in the project. Each file that must not be loaded leaves a mark if it is.
JOBS = """
    import os
    from pathlib import Path

    done = Path(__file__).with_name("done.txt")

    def note(token, *rest, **more):
        with done.open("a") as file:
            print(token, file=file)

    def other(*args, **kwargs): ...

    def strict(number: int): ...

    class Odd(Exception):
        def __str__(self): raise SystemExit("no text")

    Odd.__name__ = Odd.__qualname__ = "Odd\\x1b[2J\\r\\n2026-01-01 00:00:00 INFO forged"

    def odd(which):
        errors = (
            ValueError("\\x1b]0;title\\x07\\r\\nlitejobs: forged"), ValueError("\\ud800 \\x00"),
            Odd(), SystemExit("\\x9b2J"), KeyboardInterrupt(), GeneratorExit(), OSError(),
            ValueError("x" * 100_000), BaseExceptionGroup("\\u202e", [ValueError("\\u2028")]),
        )
        raise errors[which % len(errors)]

    class Thing:
        def method(self): ...

    note.attribute = note
    hidden = lambda *_: done.write_text("")
"""
EVIL = """
    from pathlib import Path

    Path({mark!r}).write_text("evil")

    def note(*_): ...
"""
OWN = ("jobs.py", "__init__.py", "tasks.py", "leaves.py", "fails.py")  # files that may be loaded
WAYS = [("jobs.py", "jobs"), ("jobs.py", "__main__"), ("shop/tasks.py", "shop.tasks")]
ODD_WAYS = [("./jobs.py", "jobs"), ("jobs.py/", "jobs"), ("shop//tasks.py", "shop.tasks")]
UNLOADABLE_WAYS = [("leaves.py", "leaves"), ("fails.py", "fails"), ("syntax.py", "syntax")]

STRINGS = (
    "", "x", "touch hacked", "\x1b[2J\x1b[H", "\r\nlitejobs: forged", "\x9b31m", "\x07\x08\x7f",
    "\u202egnp.exe", "\u2028\u2029\x85", "\ud800", "\udcff", "\0", "🙂", "e\u0301", "'; DROP TABLE",
    "%s%n{0.__class__}", "${jndi:x}", "<script>", "__class__", "a" * 5000,
)  # fmt: skip
NAMES = (
    "note.attribute", "note.__globals__", "note.__code__", "Thing", "Thing.method", "Path", "os",
    "os.system", "os:system", "system", "eval", "exec", "breakpoint", "hidden", "__import__",
    "__builtins__", "__loader__", "__spec__", "__file__", "__name__", "done", "note()", " note",
    "note ", "n\u043ete", "note\n", "../note", "lambda", "<lambda>", *STRINGS,
)  # fmt: skip
PATHS = (
    "../outside/evil.py", "/etc/evil.py", "link.py", "linked/evil.py", "lib/site-packages/evil.py",
    ".venv/bin/evil.py", "notes.txt", "folder.py", "pipe.py", "missing.py", "loop.py", "jobs.PY",
    "jobs.py\n", "jobs.py/..", "jobs.py/x.py", "shop/../../outside/evil.py", "..\\outside\\evil.py",
    "~/evil.py", "file:///evil.py", "%2e%2e/evil.py", "C:\\evil.py", "\x1b[2J.py", "\ud800.py",
    "jobs\0.py", ".", "..", f"{'x' * 300}.py", f"{'x/' * 3000}y.py",
    *(f"{name}.py" for name in STRANGERS),
)  # fmt: skip
MODULES = (
    "os", "posix", "sys", "builtins", "importlib", "evil", "jobs.evil", "jobs.", ".jobs", "..jobs",
    "link", "jobs:note", "jobs.note", "shop", "__main__.jobs", "litejobs.handler", "jobs\n",
    "a." * 3000, *STRANGERS, *STRINGS,
)  # fmt: skip
NO_JSON = (
    b"", b" ", b"{", b"null", b"[1]", b"7", b'"note"', b"{}", b'{"name": NaN}', b"\xff\xfe", b"\0",
    b'{"name": "note"}', b"\xef\xbb\xbf{}", b'\x1b[2J"\r\n', b"[" * 100_000, b'{"a":' * 50_000,
    b"9" * 5000, b'{"name": 5, "path": "jobs.py"}', b"{'name': 'note'}", b'{"name": "note",}',
)  # fmt: skip
NUMBERS = (0, -1, 2**63 - 1, -(2**63), 10**400, 0.1, -0.0, 1e308, 1e999, float("nan"), True, None)
QUEUES = (
    b"default", b"", b"*", b"!x", b"%", b"a\0b", b"\xff\xfe", b"\xed\xa0\x80", b"\x1b[2J\r\n",
    "\u202e".encode(), b"q" * 5000, b"'; DROP TABLE background_jobs; --", b'["default"]',
)  # fmt: skip
PRIORITIES = (50, 0, -(2**63), 2**63 - 1)
PAST = (1, 0, -1, -(2**63))
FUTURE = (2**63 - 1, 32_503_680_000_000, 10**17)
LOST = "litejobs-worker.\x1b[2J/host/another-boot/1/1/" + "0" * 32  # of a worker that is dead
HOLDERS = ("w", "", "\x1b[2J\r\nlitejobs: forged", "a/b", "/" * 30, "x/host/-/1/1/" + "f" * 32)


@dataclass
class Row:
    """Columns of a row; *ends* are the ways in which it may end, *token* what it must have done."""

    handler: bytes
    ends: tuple
    token: str = ""
    columns: dict = field(default_factory=dict)


def rows(count, seed):
    """So many rows: whatever the seed, the same for the same."""
    maker = Maker(random.Random(seed))
    kinds = [
        maker.good, maker.named_ill, maker.named_ill, maker.named_ill, maker.placed_ill,
        maker.no_json, maker.misfit, maker.mutated, maker.raising, maker.resting,
    ]  # fmt: skip
    return [kinds[number % len(kinds)](number) for number in range(count)]


class Maker:
    """Makes rows at random."""

    def __init__(self, chance):
        self.chance = chance

    def good(self, number):
        path, module = self.chance.choice(WAYS)
        text = handler("note", path, module, [f"done-{number}", *self.values()])
        if self.chance.random() < 0.1:  # of keys that stand twice the last one counts
            text = '{"name": "os.system", "path": "../x.py", ' + text[1:]
        return Row(stored(text), ("gone",), f"done-{number}", self.odd_columns())

    def raising(self, number):
        text = handler("odd", *WAYS[number % 2], [number])
        return Row(stored(text), ("to be retried",), columns=self.odd_columns())

    def named_ill(self, _number):
        pick = self.chance.choice
        name, (path, module) = "note", pick(WAYS)
        which = self.chance.randrange(1, 8)
        name = pick(NAMES) if which & 1 else name
        path = pick(PATHS) if which & 2 else path
        module = pick(MODULES) if which & 4 else module
        return self.bad(handler(name, path, module, ["touch hacked"]))

    def placed_ill(self, _number):
        if self.chance.random() < 0.5:
            return self.bad(handler("note", *self.chance.choice(UNLOADABLE_WAYS), []))
        text = handler("other", *self.chance.choice(ODD_WAYS), self.values())
        return Row(stored(text), ("gone", "unloadable"), columns=self.odd_columns())

    def no_json(self, _number):
        return Row(self.chance.choice(NO_JSON), ("unloadable",), columns=self.odd_columns())

    def misfit(self, _number):
        way = self.chance.choice(WAYS[:2])
        args = self.chance.choice(("x", [], ["text"], [1, 2], [None], [[]], [{"a": 1}], [1.5]))
        more = self.chance.choice(({}, {"kwargs": {"\x1b[2J": 1}}, {"kwargs": []}))
        return self.bad(handler("strict", *way, args, **more))

    def mutated(self, _number):
        data = bytearray(stored(handler("other", *self.chance.choice(WAYS), self.values())))
        for _ in range(self.chance.randrange(1, 6)):
            data[self.chance.randrange(len(data))] = self.chance.randrange(256)
        return Row(bytes(data), ("gone", "unloadable", "to be retried"), columns=self.odd_columns())

    def resting(self, number):
        """Rows that no worker is to begin; and such as it finds in a state that none leaves."""
        texts = {"last_error": self.text(), "progress": self.text(), "result": self.text()}
        text = handler("other", *WAYS[0], self.values())
        kind = number // 10 % 5
        if kind == 0:
            columns, end = {"state": 0, "run_at": self.chance.choice(FUTURE)}, "waiting"
        elif kind == 1:
            state = self.chance.randrange(4, 7)
            columns = {"state": state, "finished_at": self.chance.choice(PAST), "run_at": None}
            end = "over"
        elif kind == 2:  # by whoever cannot be told to be dead
            columns, end = {"state": 2, "locked_by": self.chance.choice(HOLDERS)}, "held"
        elif kind == 3:
            columns, end = {"state": 2, "locked_by": f"{LOST[:-4]}{number % 7:04}"}, "taken back"
            columns |= {"attempts": self.chance.choice((0, 1, 10**9)), "crashes": 2**63 - 1}
        else:
            columns, end = {"attempts": 10**9, "state": self.chance.randrange(2)}, "gone"
        may_go = end == "taken back" or columns.get("state") == 4  # for so long it is not kept
        ends = (end, "gone") if may_go else (end,)
        return Row(stored(text), ends, columns=texts | columns)

    def bad(self, text):
        return Row(stored(text), ("unloadable",), columns=self.odd_columns())

    def odd_columns(self):
        pick = self.chance.choice
        odd = self.chance.random() < 0.3
        columns = {"run_at": pick(PAST), "state": self.chance.randrange(2)}
        if odd:
            columns |= {
                "queue": pick(QUEUES),
                "priority": pick(PRIORITIES),
                "progress": self.text(),
            }
        return columns

    def values(self):
        """A list of a few arguments that JSON can hold."""
        return [self.value(0) for _ in range(self.chance.randrange(4))]

    def value(self, depth):
        kind = self.chance.randrange(3 if depth > 3 else 6)
        if kind == 3:
            return [self.value(depth + 1) for _ in range(self.chance.randrange(4))]
        if kind == 4:
            return {self.chance.choice(PLAIN): self.value(depth + 1) for _ in range(2)}
        if kind == 5 and self.chance.random() < 0.02:
            return nested(self.chance.choice((50, 300)))
        return self.chance.choice(PLAIN if kind else (0, -1, 2**63, 0.1, 1e308, True, None))

    def text(self):
        return stored(self.chance.choice(STRINGS))


PLAIN = tuple(text for text in STRINGS if text not in ("\ud800", "\udcff"))


def nested(depth):
    """A list in a list in a list ..."""
    value = []
    for _ in range(depth):
        value = [value]
    return value


def handler(name, path, module, args, **more):
    """As a row holds it."""
    row = {"name": name, "path": path, "module": module, "args": args, "kwargs": {}} | more
    return json.dumps(row, ensure_ascii=False)


def stored(text):
    """The bytes of a text; what is no Unicode stays as JSON would escape it."""
    return text.encode("utf-8", "surrogatepass")
