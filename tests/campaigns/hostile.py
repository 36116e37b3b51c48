"""
Rows, arguments and files by somebody who means harm: nothing is loaded, hurt or forged by them.

    python tests/campaigns/hostile.py --rows 10000 --seed 20261124

Good rows and bad ones, made at random from a corpus, are worked off together. An audit hook in the
performers notes what is imported, executed or started. Then litejobs shows all that is left: what
it prints may hold no character that steers a terminal or forges a line. Hostile arguments are given
to ``later``; links, pipes, sockets and huge files lie where litejobs keeps its own.

``--break walk`` follows dotted names from any module, ``--break outside`` loads files outside of
the project, ``--break unescaped`` prints what rows hold as it is, ``--break blocking`` opens what
lies in the way as if it were a file.
"""

import argparse
import json
import random
import re
import sqlite3
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import hostile_places
import hostile_rows
from commands import Project

import litejobs

BROKEN = {
    "walk": """
        import importlib
        from functools import reduce
        from litejobs import handler

        load = handler.load

        def walk(row, root, app=""):
            if row.path.startswith(".") or row.name == "note" and row.module in ("jobs", None):
                return load(row, root, app)
            module = importlib.import_module(row.module or "jobs")
            return reduce(getattr, row.name.split("."), module)

        handler.load = walk
    """,
    "outside": """
        from litejobs import handler

        handler._resolve = lambda path, root: (root / path).resolve()
        handler._module = lambda name, path, file: handler._script(file)
        handler.Path.is_relative_to = lambda *_: True
        handler.Path.relative_to = lambda file, *_: file
    """,
    "unescaped": """
        from litejobs.rules import text

        text.printable = text.printable_lines = lambda text: text
    """,
    "blocking": """
        import os

        os.O_NONBLOCK = 0
    """,
}
# Notes what performers import, execute or start.
WATCH = """
    import os, sys

    if "litejobs.perform" in " ".join(sys.orig_argv):
        STARTS = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen")
        told = set()
        log = os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

        def watch(event, details):
            if event == "exec":
                what = "exec", getattr(details[0], "co_filename", "?")
            elif event == "import":
                what = "import", details[0]
            elif event in STARTS:
                what = "start", event
            else:
                return
            if what not in told:
                told.add(what)
                os.write(log, (ascii(what) + "\\n").encode())

        os.write(log, b"('performer', '')\\n")
        sys.addaudithook(watch)
"""
CALLS = """
    import functools, json, math, os, sys
    from datetime import UTC, datetime, timedelta
    from litejobs import configure, later
    from litejobs.errors import LitejobsError

    configure(database="calls.sqlite")

    def job(value): ...
    def typed(value: dict[str, int]): ...
    def generator(): yield

    class Evil:
        def __repr__(self): raise RuntimeError("\\x1b[2J")
        __str__ = __reduce__ = __iter__ = __len__ = __bool__ = __hash__ = __eq__ = __repr__

    class Text(str): __repr__ = Evil.__repr__
    class Whole(int): __repr__ = Evil.__repr__
    class Items(dict):
        def items(self): raise RuntimeError

    endless, deep, wide = [], [], {}
    endless.append(endless)
    for _ in range(100_000): deep = [deep]
    wide["x"] = wide
    texts = ("", "\\x1b[2J", "\\ud800", "a\\0b", "\\u202e", "x" * 2_000_000, "x" * 1000)
    values = [
        *texts, endless, deep, wide, math.nan, math.inf, -0.0, 10**400, 10**5000, 2**63, Evil(),
        Text("x"), Whole(5), Items(a=1), {1: 2}, {None: 1}, {"\\ud800": 1}, b"x", bytearray(), {1},
        (1, 2), 1j, object(), object, job, os.system, print, iter([]), range(3), memoryview(b""),
        [[1] * 100] * 100, True, None, 0.1, "é", {"a": [1, {"b": None}]}, [Evil()], {"a": Evil()},
        datetime.now(UTC), timedelta(1), Ellipsis, NotImplemented, sys, open(os.devnull),
    ]
    calls = [functools.partial(later, job, [value]) for value in values]
    calls += [functools.partial(later, typed, [value]) for value in values]
    calls += [functools.partial(later, what) for what in (
        *values, lambda: 1, eval, exec, os.system, Evil, Evil().__repr__, generator, "os.system",
        functools.partial(job, 1), type, json.dumps, os.path.join)]
    calls += [functools.partial(later, job, args) for args in (
        "x", b"x", {1: 2}, {1}, 5, Evil(), [1, 2], [], endless, iter([1]))]
    calls += [functools.partial(later, job, [], kwargs) for kwargs in (
        {"value": Evil()}, {1: 2}, "x", [1], {"x": 1}, {"\\x1b": 1}, Items(a=1), Evil(), {"": 1})]
    waits = (-1, math.nan, math.inf, -math.inf, 1e300, 10**400, True, "1", [], Evil(), 1e-300, 0,
             timedelta.max, timedelta.min, datetime.now(), b"", 1j, Whole(1), Text("x"))
    calls += [functools.partial(later, job, [1], wait=wait) for wait in waits]
    calls += [functools.partial(later, job, [1], wait_until=when) for when in (
        datetime.now(), datetime.max, datetime.min, datetime.max.replace(tzinfo=UTC),
        datetime.min.replace(tzinfo=UTC), "now", 5, Evil())]
    calls += [functools.partial(later, job, [1], queue=queue) for queue in (
        *texts, "*", "!", " ", 5, b"x", [], Evil(), Text("x"), ("a",))]
    calls += [functools.partial(later, job, [1], priority=priority) for priority in (
        2**63, -(2**63) - 1, 10**400, 1.5, "1", True, [], math.nan, Evil(), Whole(1))]
    calls += [functools.partial(later.many, job, lists) for lists in (
        "x", b"x", 5, [5], [[1], "x"], [[Evil()]], [[1], [math.nan]], {1: 2}, [[1, 2]])]

    refused = stored = 0
    wrong = []
    for number, call in enumerate(calls):
        try:
            call()
        except LitejobsError as error:
            refused += 1
            if "\\n" in str(error) or not str(error):
                wrong.append(f"{number}: {str(error)[:200]!a}")
        except BaseException as error:
            wrong.append(f"{number}: {type(error).__name__} {ascii(error.args)[:200]}")
        else:
            stored += 1
    print(json.dumps([refused, stored, wrong]))
"""


class Campaign:
    """Runs all of it below *home*; what went wrong is counted in the report."""

    def __init__(self, home, options):
        self.home = Path(home)
        self.options = options
        self.rows = hostile_rows.rows(options.rows, options.seed)

    def run(self):
        """All parts; the report."""
        parts = {"rows": self.work_off, "calls": self.call, "places": self.plant}
        report = {}
        for name in self.options.parts.split(","):
            report |= parts[name]()
        return report

    # Rows

    def work_off(self):
        project = self._project("rows")
        self._lay_out(project)
        project.make_database()
        self._insert(project)
        project.run_first(WATCH.format(log=str(project.directory / "watched.txt")))
        ended = project.litejobs(
            "workoff", "db.sqlite", "--count", 2, "--log-level", "debug",
            patience=60 + len(self.rows) / 50,
        )  # fmt: skip
        report = {"rows": len(self.rows)} | self._ends(project) | self._watched(project)
        report["exit code"] = ended.code
        if self.options.verbose:
            print(ended.err[-2000:], file=sys.stderr)
        shown, forged = self._shown(project, ended)
        return report | {"shown characters": shown, "forging characters": forged}

    def _lay_out(self, project):
        """What rows may name, and what they must not reach."""
        evil = hostile_rows.EVIL.format(mark=str(self.home / "hacked"))
        for name in ("lib/site-packages/evil.py", ".venv/bin/evil.py", "notes.txt"):
            project.write(name, evil)
        (project.outside / "evil.py").write_text(evil.replace("\n    ", "\n"))
        project.write("jobs.py", hostile_rows.JOBS)
        project.write("shop/__init__.py", "")
        tasks = hostile_rows.JOBS.replace('with_name("', 'parent.with_name("')
        project.write("shop/tasks.py", tasks)
        project.write("leaves.py", "raise SystemExit('\\x1b[2J\\r\\nlitejobs: forged')")
        project.write("fails.py", "raise BaseException('\\ud800 \\u2028')")
        project.write("syntax.py", "def (")
        project.write(".venv/pyvenv.cfg", "")
        (project.directory / "folder.py").mkdir()
        (project.directory / "link.py").symlink_to("../outside/evil.py")
        (project.directory / "linked").symlink_to("../outside")
        (project.directory / "loop.py").symlink_to("loop.py")
        hostile_places.pipe(project.directory / "pipe.py", None)

    def _insert(self, project):
        with closing(sqlite3.connect(project.database)) as database, database:
            for id_, row in enumerate(self.rows, 1):
                columns = {"id": id_, "run_at": 1, "handler": row.handler} | row.columns
                values = list(columns.values())
                marks = ["CAST(? AS TEXT)" if isinstance(v, bytes) else "?" for v in values]
                names = f"({', '.join(columns)}) VALUES ({', '.join(marks)})"
                database.execute(f"INSERT INTO background_jobs {names}", values)

    def _ends(self, project):
        """How the rows ended: those that were to be done, and those that ended in no stated way."""
        with closing(sqlite3.connect(project.database)) as database:
            database.text_factory = bytes
            left = {
                id_: rest
                for id_, *rest in database.execute(
                    "SELECT id, state, attempts, last_error, crashes FROM background_jobs"
                )
            }
        told = project.read("done.txt").split()
        done = Counter(told)
        ends = [end_of(left.get(id_)) for id_ in range(1, len(self.rows) + 1)]
        tokens = [row.token for row in self.rows if row.token]
        strays = [
            f"{id_} {row.ends} {end} {left.get(id_)} {row.handler[:150]}"
            for id_, (row, end) in enumerate(zip(self.rows, ends, strict=True), 1)
            if end not in row.ends
        ]
        if self.options.verbose:
            print(*strays, sep="\n", file=sys.stderr)
        return {
            "good": len(tokens),
            "good not run once": sum(done[token] != 1 for token in tokens),
            "runs of nobody": len(set(told) - set(tokens)),
            "ends": dict(Counter(ends)),
            "in no stated end": len(strays),
        }

    def _watched(self, project):
        """What performers loaded beyond the project's own files, or started; and their deaths."""
        known = [sysconfig.get_paths()[key] for key in ("stdlib", "purelib", "platlib")]
        known += [str(Path(litejobs.__file__).parent), str(self.home / "rows" / "first"), "<"]
        found = [
            tuple(re.findall(r"'((?:[^'\\]|\\.)*)'", line))
            for line in project.read("watched.txt").splitlines()
        ]
        own = str(self.home / "rows" / "project")
        foreign = set()
        for event, what in found:
            names = {*Path(what).parts, Path(what).stem}
            is_own = what.startswith(own) and Path(what).name in hostile_rows.OWN
            foreign |= names & {*hostile_rows.STRANGERS, "evil"}
            if event == "start":
                foreign.add(what)
            elif event == "exec" and not (is_own or what.startswith(tuple(known))):
                foreign.add(Path(what).stem)
        performers = sum(event == "performer" for event, _ in found)
        return {
            "foreign code": sorted(foreign),
            "marks left by it": (self.home / "hacked").exists(),
            "performers died": max(0, performers - 2),
        }

    def _shown(self, project, ended):
        """How many characters litejobs prints of all that, and how many of them may do harm."""
        chance = random.Random(self.options.seed)
        ids = [id_ for id_ in range(1, len(self.rows) + 1) if chance.random() < self.options.shown]
        show = project.write("show.py", SHOW)
        outputs = [ended.out, ended.err]
        shown = project.run(show, json.dumps([*COMMANDS, *(["show", str(id_)] for id_ in ids)]))
        outputs += [shown.out, shown.err]
        if shown.code or "Traceback" in shown.err:
            outputs.append("\x1b a command went wrong")
        harm = [c for text in outputs for c in text if not c.isprintable() and c not in "\n\t"]
        if self.options.verbose:
            print(Counter(harm), file=sys.stderr)
        return sum(map(len, outputs)), len(harm)

    # Calls

    def call(self):
        project = self._project("calls")
        project.write("calls.py", CALLS)
        ended = project.run("calls.py")
        refused, stored, wrong = json.loads(ended.out)
        if self.options.verbose:
            print(*wrong, sep="\n", file=sys.stderr)
        result = project.litejobs("workoff", "calls.sqlite", "--json")
        runs = json.loads(result.out)["outcomes"]
        return {
            "calls refused": refused,
            "calls stored": stored,
            "calls wrong": len(wrong),
            "stored calls not run": runs["error"] + runs["failure"] + runs["unloadable"],
        }

    # Places

    def plant(self):
        plants = hostile_places.all_plants()
        names = self.options.plants.split(",") if self.options.plants else list(plants)
        wrong = {}
        for number, name in enumerate(names):
            project = self._project(f"place-{number}")
            hostile_places.set_up(project)
            found = hostile_places.try_plant(project, plants[name])
            if found:
                wrong[name] = found
        if self.options.verbose:
            for name, found in wrong.items():
                print(name, *found, sep="\n  ", file=sys.stderr)
        report = {"places": len(names), "places that did harm": len(wrong)}
        if not self.options.plants:
            report["open to others"] = hostile_places.open_to_others(self._project("umask"))
        return report

    def _project(self, name):
        home = self.home / name
        home.mkdir()
        project = Project(home)
        for broken in self.options.breaks:
            project.run_first(BROKEN[broken])
        return project


COMMANDS = [
    ["list", "--limit", "1000000"], ["status"], ["list", "--state", "ready"],
    ["list", "--queue", "\x1b[2J\r\n"], ["list", "--queue", "\x1b]0;x\x07"], ["show", "1000000000"],
]  # fmt: skip
# So many commands as litejobs itself would run them, in one process.
SHOW = """
    import json, sys
    from litejobs.cli import main

    for command, *words in json.loads(sys.argv[1]):
        for more in ([], ["--json"]):
            sys.argv = ["litejobs", command, "db.sqlite", *words, *more]
            try:
                main()
            except SystemExit as end:
                if end.code not in (0, 1):
                    raise
"""


def end_of(row):
    """How a row ended: one of the words of ``hostile_rows``."""
    if row is None:
        return "gone"
    state, attempts, error, crashes = row
    if state in (0, 5) and crashes:
        return "taken back"
    if state in (0, 3) and error and (attempts > 0) == (state == 0):
        return "unloadable" if state else "to be retried"
    ends = {0: "waiting", 2: "held", 4: "over", 5: "over", 6: "over"}
    return ends.get(state, "nothing stated")


HARM = (
    "good not run once", "runs of nobody", "in no stated end", "foreign code", "marks left by it",
    "performers died", "forging characters", "calls wrong", "stored calls not run",
    "places that did harm", "open to others",
)  # fmt: skip


def is_kept(report):
    """Whether every promise was kept."""
    return report.get("exit code", 1) == 1 and not any(report.get(key) for key in HARM)


def parse(words=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--shown", type=float, default=0.1, help="share of the jobs to show")
    parser.add_argument("--parts", default="rows,calls,places")
    parser.add_argument("--plants", default="", help="only these places, by name; all by default")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument(
        "--break", dest="breaks", choices=sorted(BROKEN), action="append", default=[]
    )
    parser.add_argument("--verbose", action="store_true", help="tell on stderr what went wrong")
    return parser.parse_args(words)


def main(words=None):
    """Run the campaign and print its report."""
    options = parse(words)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hostile-") as home:
        report = Campaign(home, options).run()
    report |= {"seconds": round(time.monotonic() - began), "seed": options.seed}
    print(json.dumps(report))
    return report


if __name__ == "__main__":
    sys.exit(0 if is_kept(main()) else 1)
