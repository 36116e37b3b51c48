"""Rows written by hand, well or ill: each is told in a sentence, none imports or stops."""

import json
import sqlite3
import sys
import sysconfig
from contextlib import closing
from pathlib import Path

import pytest
from helpers import wait_until

# Notes what is imported or executed, by the name of its file, in every Python that sees it first.
WATCH = """
import sys, os

def watch(event, args, log=os.environ["IMPORTS"]):
    if event in ("import", "exec"):
        what = args[0] if event == "import" else getattr(args[0], "co_filename", "?")
        with open(log, "a") as file:
            file.write(f"{event} {what}\\n")

if "perform" in " ".join(sys.orig_argv):
    sys.addaudithook(watch)
"""
JOBS = """
from pathlib import Path

def note(word):
    with (Path(__file__).parent / "done.txt").open("a") as file:
        print(word, file=file)

class Thing:
    def method(self): ...

note.attribute = note
"""
APP = """
from litejobs import JobManager, SqliteAdapter, WorkerGroup
from jobs import note

jobs = JobManager({"sqlite": SqliteAdapter("db.sqlite")}, workers=[WorkerGroup(queue="default")])
jobs.create_job(perform=note)
"""


def handler(name="note", path="jobs.py", module="jobs", args=(), **more):
    row = {"name": name, "path": path, "module": module, "args": list(args), "kwargs": {}} | more
    return json.dumps(row)


# handler: what ``list`` says of it
HOSTILE = {
    "not json": ("{", "its handler is not valid JSON: "),
    "empty": ("", "its handler is not valid JSON: "),
    "a list": ("[1]", "its handler is not a JSON object"),
    "null": ("null", "its handler is not a JSON object"),
    "not a number": ('{"name": NaN}', "its handler is not valid JSON: NaN is not JSON"),
    "too deep": ("[" * 100_000, "its handler is not valid JSON: "),
    "huge number": ("9" * 5000, "its handler is not valid JSON: "),
    "name of a number": (handler(name=5), "its handler must hold name and path as text"),
    "args as text": (handler(args="x") .replace('["x"]', '"x"'), "its handler must hold name"),
    "kwargs as list": (handler(kwargs=[]), "its handler must hold name and path as text"),
    "dots": (handler("note.attribute"), "jobs.py has no function or job named 'note.attribute'"),
    "method": (handler("Thing.method"), "jobs.py has no function or job named 'Thing.method'"),
    "class": (handler("Thing"), "jobs.py has no function or job named 'Thing'"),
    "dunder": (handler("__import__"), "jobs.py has no function or job named '__import__'"),
    "globals": (handler("__builtins__"), "jobs.py has no function or job named '__builtins__'"),
    "imported": (handler("Path"), "jobs.py has no function or job named 'Path'"),
    "os:system": (handler("os:system"), "jobs.py has no function or job named 'os:system'"),
    "module os": (handler("system", module="os"), "its module 'os' is not the name of jobs.py"),
    "antigravity": (handler("x", "antigravity.py", "antigravity"), "there is no file 'antigravi"),
    "out by dots": (handler(path="../evil.py"), "its path '../evil.py' is not that of a Python f"),
    "absolute": (handler(path="/etc/evil.py"), "its path '/etc/evil.py' is not that of a Python"),
    "a link out": (handler(path="link.py", module="link"), "its path 'link.py' leads out of the p"),
    "no python": (handler(path="notes.txt"), "its path 'notes.txt' is not that of a Python file"),
    "installed": (handler(path="lib/site-packages/victim.py"), "its path 'lib/site-packages/vict"),
    "nul": (handler(path="jobs\0.py"), "its path 'jobs\\x00.py' is not that of a Python file"),
    "too few": (handler(), "the stored arguments do not fit note(word)"),
    "terminal": ('"\x1b[2J\r\n"', "its handler is not valid JSON: "),
}  # fmt: skip
WELL = {
    "urgent": {"priority": -(2**63), "handler": handler(args=["urgent"])},
    "idle": {"priority": 2**63 - 1, "handler": handler(args=["idle"])},
    "odd queue": {"queue": "nobody's \x1b[2J", "handler": handler(args=["odd queue"])},
    "ancient": {"run_at": -(2**62), "handler": handler(args=["ancient"])},
}


@pytest.fixture
def watched(project):
    """A project with code that must not be loaded beside it; what was, by imports()."""
    for outside in ("evil.py", "victim.py"):
        (project.directory.parent / outside).write_text("raise SystemExit('evil')")
    project.write("jobs.py", JOBS)
    project.write("app.py", APP)
    project.write("notes.txt", JOBS)
    project.write("lib/site-packages/victim.py", JOBS)
    (project.directory / "link.py").symlink_to(project.directory.parent / "evil.py")
    watch = project.home / "watch"
    watch.mkdir()
    (watch / "sitecustomize.py").write_text(WATCH)
    log = project.home / "imports.txt"
    project.watch = {"PYTHONPATH": str(watch), "IMPORTS": str(log)}
    project.litejobs("workoff", "db.sqlite")
    return project


def insert(project, **values):
    values = {"run_at": 1} | values
    names, marks = ", ".join(values), ", ".join("?" for _ in values)
    with closing(sqlite3.connect(project.directory / "db.sqlite")) as connection, connection:
        connection.execute(
            f"INSERT INTO background_jobs ({names}) VALUES ({marks})", list(values.values())
        )


def loaded_code(project):
    """The files whose code performers ran that belong neither to Python, litejobs nor packages."""
    text = (project.home / "imports.txt").read_text()
    files = {line.removeprefix("exec ") for line in text.splitlines() if line.startswith("exec /")}
    known = [sysconfig.get_paths()[key] for key in ("stdlib", "purelib", "platlib")]
    known += [str(Path(sys.modules["litejobs"].__file__).parent), str(project.home)]
    return {Path(file).name for file in files if not file.startswith(tuple(known))}


@pytest.mark.parametrize("words", [("db.sqlite",), ("--app", "app")], ids=["alone", "app"])
def test_each_is_told_in_a_sentence_and_nothing_else_is_loaded(watched, words):
    for text, _ in HOSTILE.values():
        insert(watched, handler=text)
    insert(watched, handler=handler(args=["well"]))

    result = watched.litejobs("workoff", *words, code=1, env=watched.watch)

    assert f"1 succeeded, 0 to be retried, 0 failed for good, {len(HOSTILE)} could" in result.out
    assert watched.read("done.txt") == "well\n"
    listed = json.loads(watched.litejobs("list", "db.sqlite", "--json").out)
    errors = {job["id"]: job["last_error"] for job in listed}
    assert {job["state"] for job in listed} == {"unloadable"}
    assert {job["attempts"] for job in listed} == {0}
    if words == ("db.sqlite",):
        for id_, (name, (_, reason)) in enumerate(HOSTILE.items(), 1):
            assert errors[id_].startswith(reason), name
            assert "\n" not in errors[id_], name
    else:
        assert all(errors.values())
    assert loaded_code(watched) - {"app.py"} == {"jobs.py"}
    assert "antigravity" not in (watched.home / "imports.txt").read_text()
    shown = watched.litejobs("list", "db.sqlite").out
    assert len(shown.splitlines()) == 1 + len(HOSTILE)
    assert "\x1b" not in shown


def test_odd_rows_that_name_a_job_are_run_in_their_order(watched):
    for values in WELL.values():
        insert(watched, **values)

    watched.litejobs("workoff", "db.sqlite")

    assert watched.read("done.txt").split("\n")[:-1] == ["urgent", "ancient", "odd queue", "idle"]


def test_a_row_of_the_year_3000_waits_and_says_so(watched):
    insert(watched, handler=handler(args=["later"]), run_at=32_503_680_000_000)
    insert(watched, handler=handler(args=["much later"]), run_at=2**63 - 1)

    assert "0 runs" in watched.litejobs("workoff", "db.sqlite").out

    listed = watched.litejobs("list", "db.sqlite").out
    assert listed.count("scheduled") == 2
    assert "days" in listed
    assert "3000-01-01" in watched.litejobs("show", "db.sqlite", 1).out
    assert str(2**63 - 1) in watched.litejobs("show", "db.sqlite", 2).out


def test_a_queue_that_no_group_serves_waits_and_can_be_seen(watched):
    insert(watched, queue="nobody's", handler=handler(args=["x"]))

    assert "0 runs" in watched.litejobs("workoff", "--app", "app").out

    assert "nobody's" in watched.litejobs("status", "db.sqlite").out
    assert "ready" in watched.litejobs("list", "db.sqlite", "--queue", "nobody's").out


@pytest.mark.parametrize(
    "values",
    [
        {"handler": 5}, {"handler": None}, {"handler": "{}", "run_at": "soon"},
        {"handler": "{}", "priority": "high"}, {"handler": "{}", "state": 9},
        {"handler": "{}", "attempts": -1}, {"handler": "{}", "state": 2},
        {"handler": "{}", "run_at": None}, {"handler": "{}", "queue": None},
    ],
    ids=str,
)  # fmt: skip
def test_what_the_table_itself_can_refuse_it_does(watched, values):
    if values == {"handler": 5}:
        insert(watched, **values)  # a number for text becomes text, as SQLite has it
        return

    with pytest.raises(sqlite3.IntegrityError):
        insert(watched, **values)


def test_a_worker_that_runs_takes_them_as_they_come(watched):
    worker = watched.start_litejobs("work", "db.sqlite", env=watched.watch)
    try:
        for text, _ in HOSTILE.values():
            insert(watched, handler=text)
        insert(watched, handler=handler(args=["well"]))

        wait_until(lambda: watched.read("done.txt"), "the job among them")
        assert worker.poll() is None
    finally:
        worker.terminate()
        _, err = worker.communicate()

    assert worker.returncode == 0
    assert "Traceback" not in err
    assert "\x1b" not in err
