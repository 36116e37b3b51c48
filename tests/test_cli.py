"""The commands that look and change: real ``litejobs`` processes on real files."""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from helpers import DEADLINE

from litejobs.adapters.sqlite.adapter import SqliteAdapter

COMMANDS = [
    "work", "workoff", "worker", "start", "stop", "restart", "systemd", "status", "list", "show",
    "retry", "clear", "init", "generate", "completion",
]  # fmt: skip
LOOKING = [("status",), ("list",), ("show", 1), ("retry", 1), ("clear", "--yes")]
HANDLER = '{"name":"greet","path":"script.py","module":"__main__","args":["you"],"kwargs":{"n":1}}'
FUTURE = 9_000_000_000_000
STORED = """
INSERT INTO background_jobs
  (id, state, queue, run_at, attempts, locked_at, locked_by, last_error, failed_at, finished_at,
   handler)
VALUES
  (1, 0, 'default', :future, 0, NULL, NULL, NULL, NULL, NULL, :handler),
  (2, 1, 'email', 1, 0, NULL, NULL, NULL, NULL, NULL, :handler),
  (3, 2, 'default', 1, 1, 1, 'litejobs-worker.*.0/host', NULL, NULL, NULL, :handler),
  (4, 3, 'email', 1, 0, NULL, NULL, 'there is no file', NULL, NULL, :handler),
  (5, 4, 'default', NULL, 1, NULL, NULL, NULL, NULL, 1, :handler),
  (6, 5, 'email', NULL, 24, NULL, NULL, 'ValueError: no luck', 1, 1, :handler),
  (7, 0, 'default', :future, 2, NULL, NULL, 'ValueError: once more', NULL, NULL, :handler)
"""
APP = """
import os
from pathlib import Path

from litejobs import JobManager, SqliteAdapter

here = Path(__file__).parent
with (here / "imports.txt").open("a") as file:
    print(os.getpid(), os.getppid(), file=file)
jobs = JobManager(adapters={"sqlite": SqliteAdapter(here / "app.sqlite")})
"""


def ask(file, sql, values=()):
    """Run one statement by the library that this process uses for every file."""
    with closing(sqlite3.connect(file)) as connection, connection:
        return connection.execute(sql, values).fetchall()


def make_database(file, sql="", values=()):
    """A database of litejobs at *file*, with what *sql* puts into it."""
    adapter = SqliteAdapter(file)
    adapter.open()
    adapter.close()
    if sql:
        ask(file, sql, values)
    return file


def rows(file):
    return ask(file, "SELECT * FROM background_jobs ORDER BY id")


@pytest.fixture
def stored(project):
    """db.sqlite of the project, with a job in each state."""
    values = {"future": FUTURE, "handler": HANDLER}
    return make_database(project.directory / "db.sqlite", STORED, values)


@pytest.fixture
def empty(project):
    return make_database(project.directory / "db.sqlite")


# status


def test_status_counts_jobs_by_queue_and_state(project, stored):
    out = project.litejobs("status", "db.sqlite").out

    first, second, *table, nag = out.splitlines()
    assert first.startswith(f"database  {stored}  (")
    assert second == "daemon    not running"
    assert [line.split()[:5] for line in table[:2]] == [
        ["worker", "pid", "job", "for"],
        ["litejobs-worker.*.0/host", "?", "3", 'greet("you",', "n=1)"],
    ]
    assert [line.split() for line in table[2:]] == [
        ["queue", "scheduled", "ready", "running", "unloadable", "succeeded", "failed"],
        ["default", "2", "0", "1", "0", "1", "0"],
        ["email", "0", "1", "0", "1", "0", "1"],
    ]
    assert nag.startswith("2 failed or cannot be loaded")


def test_status_as_json_is_one_document(project, stored):
    out = project.litejobs("status", "db.sqlite", "--json").out

    document = json.loads(out)
    assert document["database"] == str(stored)
    assert document["bytes"] == stored.stat().st_size
    assert document["wal_bytes"] == 0
    assert document["daemons"] == [
        {"name": "default", "running": False, "pid": None, "started_at": None, "log": None}
    ]
    assert document["workers"] == [
        {
            "worker": "litejobs-worker.*.0/host",
            "pid": None,
            "job": 3,
            "call": 'greet("you", n=1)',
            "since": 1,
        }
    ]
    assert document["queues"] == {
        "default": {"scheduled": 2, "running": 1, "succeeded": 1},
        "email": {"ready": 1, "unloadable": 1, "failed": 1},
    }
    assert document["counted_up_to"] is None


def test_status_tells_of_a_write_ahead_log_that_grows_without_end(project, stored):
    log = stored.with_name("db.sqlite-wal")
    log.touch()
    os.truncate(log, 70_000_000)

    out = project.litejobs("status", "db.sqlite").out

    assert f"the write-ahead log {log} has grown to 70,000,000 bytes: a program keeps" in out


def test_status_of_an_empty_database_says_so_and_nags_nobody(project, empty):
    out = project.litejobs("status", "db.sqlite").out

    assert out.splitlines()[1:] == ["daemon    not running", "no jobs"]


@pytest.fixture
def many(project, empty):
    """More jobs than are counted at once of so many queues."""
    sql = """
        INSERT INTO background_jobs (state, queue, finished_at, handler)
        WITH RECURSIVE series (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM series WHERE i < 1600)
        SELECT 5, iif(i < 101, 'q' || i, 'q101'), 1, '{}' FROM series
    """
    ask(empty, sql)
    return empty


def test_status_counts_many_jobs_up_to_a_number(project, many):
    out = project.litejobs("status", "db.sqlite").out

    *table, note, nag = out.splitlines()
    assert ["q1", "1"] in map(str.split, table)
    assert ["q101", "1000+"] in map(str.split, table)
    assert note == "1000+ means so many or more: --exact counts all"
    assert nag.startswith("1100+ failed or cannot be loaded")


def test_status_as_json_says_up_to_which_number_was_counted(project, many):
    document = json.loads(project.litejobs("status", "db.sqlite", "--json").out)

    assert document["counted_up_to"] == 1000
    assert document["queues"]["q101"] == {"failed": 1000}


def test_status_counts_exactly_where_that_is_asked_for(project, many):
    said = project.litejobs("status", "db.sqlite", "--exact").out
    document = json.loads(project.litejobs("status", "db.sqlite", "--exact", "--json").out)

    assert ["q101", "1500"] in map(str.split, said.splitlines())
    assert said.splitlines()[-1].startswith("1600 failed or cannot be loaded")
    assert document["counted_up_to"] is None
    assert document["queues"]["q101"] == {"failed": 1500}


# list


def test_list_shows_the_newest_first(project, stored):
    out = project.litejobs("list", "db.sqlite").out

    head, *lines = out.splitlines()
    assert head.split()[:6] == ["id", "state", "queue", "priority", "attempts", "when"]
    assert [line.split()[:3] for line in lines] == [
        ["7", "scheduled", "default"],
        ["6", "failed", "email"],
        ["5", "succeeded", "default"],
        ["4", "unloadable", "email"],
        ["3", "running", "default"],
        ["2", "ready", "email"],
        ["1", "scheduled", "default"],
    ]


def test_list_shows_call_time_and_error(project, stored):
    out = project.litejobs("list", "db.sqlite").out

    assert 'greet("you", n=1)' in out.splitlines()[1]
    assert "ValueError: once more" in out.splitlines()[1]
    assert "days ago" in out.splitlines()[2]  # failed in 1970
    assert " in " in out.splitlines()[7]  # to run in 2255


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        pytest.param(["--state", "failed"], [6], id="state"),
        pytest.param(["--state", "scheduled"], [1, 7], id="first state"),
        pytest.param(["--queue", "email"], [2, 4, 6], id="queue"),
        pytest.param(["--queue", "email", "--state", "ready"], [2], id="both"),
        pytest.param(["--limit", "2"], [7, 6], id="limit"),
        pytest.param(["--state", "cancelled"], [], id="none"),
    ],
)
def test_list_filters(project, stored, words, ids):
    out = project.litejobs("list", "db.sqlite", *words, "--json").out

    assert [record["id"] for record in json.loads(out)] == ids


def test_list_as_json_holds_each_column(project, stored):
    out = project.litejobs("list", "db.sqlite", "--state", "failed", "--json").out

    [record] = json.loads(out)
    assert record["state"] == "failed"
    assert record["queue"] == "email"
    assert record["attempts"] == 24
    assert record["failed_at"] == record["finished_at"] == 1
    assert record["run_at"] is None
    assert record["last_error"] == "ValueError: no luck"
    assert record["handler"] == HANDLER


def test_list_of_nothing_says_so(project, empty):
    assert project.litejobs("list", "db.sqlite").out == "no jobs\n"


def test_list_cuts_what_is_long(project, empty):
    long = json.dumps({"name": "n" * 200, "path": "x.py"})
    ask(empty, "INSERT INTO background_jobs (run_at, handler) VALUES (?, ?)", (FUTURE, long))

    line = project.litejobs("list", "db.sqlite").out.splitlines()[1]

    assert "n" * 47 + "…" in line
    assert "n" * 48 not in line


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "now"), (1, "1 second ago"), (120, "2 minutes ago"), (3600, "1 hour ago"),
     (-3 * 86_400 - 60, "in 3 days")],
)  # fmt: skip
def test_list_says_how_long_ago(seconds, words):
    from litejobs.cli.words import relative

    assert relative(1_800_000_000_000, 1_800_000_000_000 + 1000 * seconds) == words


# show


def test_show_prints_all_of_a_waiting_job(project, stored):
    out = project.litejobs("show", "db.sqlite", 7).out

    facts, _, error = out.partition("\n\n")
    facts = dict(line.split(None, 1) for line in facts.splitlines())
    assert facts["job"] == '7  greet("you", n=1)'
    assert facts["state"] == "scheduled"
    assert facts["queue"] == "default"
    assert facts["priority"] == "50"
    assert facts["attempts"] == "2"
    assert facts["run_at"].startswith("2255-")
    assert facts["handler"] == HANDLER
    assert error == "ValueError: once more\n"
    assert "locked_by" not in facts
    assert "failed_at" not in facts


def test_show_says_who_runs_a_job(project, stored):
    out = project.litejobs("show", "db.sqlite", 3).out

    assert "locked_by   litejobs-worker.*.0/host\n" in out


def test_show_as_json_is_the_record(project, stored):
    out = project.litejobs("show", "db.sqlite", 3, "--json").out

    record = json.loads(out)
    assert record["id"] == 3
    assert record["state"] == "running"
    assert record["locked_by"] == "litejobs-worker.*.0/host"


def test_show_of_a_time_that_no_calendar_has_prints_the_number(project, empty):
    sql = "INSERT INTO background_jobs (run_at, handler) VALUES (9223372036854775807, '?')"
    ask(empty, sql)

    out = project.litejobs("show", "db.sqlite", 1).out

    assert "run_at      9223372036854775807  (in " in out


def test_show_of_an_unreadable_handler_prints_it_as_it_is(project, empty):
    sql = "INSERT INTO background_jobs (run_at, handler) VALUES (1, 'no JSON')"
    ask(empty, sql)

    out = project.litejobs("show", "db.sqlite", 1).out

    assert "job         1  no JSON\n" in out


# retry


@pytest.mark.parametrize("id_", [pytest.param(4, id="unloadable"), pytest.param(6, id="failed"),
                                 pytest.param(7, id="waiting out its backoff")])  # fmt: skip
def test_retry_makes_a_job_ready_with_all_its_attempts(project, stored, id_):
    out = project.litejobs("retry", "db.sqlite", id_).out

    assert out == "1 job is to be tried again\n"
    sql = "SELECT state, attempts, failed_at, run_at < ? FROM background_jobs WHERE id = ?"
    assert ask(stored, sql, (FUTURE, id_)) == [(1, 0, None, 1)]


def test_retry_takes_several_ids(project, stored):
    out = project.litejobs("retry", "db.sqlite", 4, 6).out

    assert out == "2 jobs are to be tried again\n"
    assert ask(stored, "SELECT id FROM background_jobs WHERE state = 1") == [(2,), (4,), (6,)]


def test_retry_as_json_is_one_document(project, stored):
    out = project.litejobs("retry", "db.sqlite", 4, 6, "--json").out

    assert json.loads(out) == {"retried": 2}


@pytest.mark.parametrize(
    ("id_", "state"), [(1, "scheduled"), (2, "ready"), (3, "running"), (5, "succeeded")]
)
def test_retry_of_one_that_did_not_go_wrong_changes_nothing_at_all(project, stored, id_, state):
    before = rows(stored)

    result = project.litejobs("retry", "db.sqlite", 6, id_, code=1)

    assert f"job {id_} is {state}" in result.sentence
    assert rows(stored) == before


def test_retry_of_an_unknown_id_changes_nothing_at_all(project, stored):
    before = rows(stored)

    result = project.litejobs("retry", "db.sqlite", 6, 99, code=1)

    assert "there is no job 99" in result.sentence
    assert rows(stored) == before


def test_retry_all_takes_what_failed_or_did_not_load(project, stored):
    out = project.litejobs("retry", "db.sqlite", "--all").out

    assert out == "2 jobs are to be tried again\n"
    assert ask(stored, "SELECT id FROM background_jobs WHERE state = 1") == [(2,), (4,), (6,)]


def test_retry_all_of_a_queue_leaves_the_others(project, stored):
    ask(stored, "UPDATE background_jobs SET queue = 'default' WHERE id = 4")

    out = project.litejobs("retry", "db.sqlite", "--all", "--queue", "email").out

    assert out == "1 job is to be tried again\n"
    assert ask(stored, "SELECT state FROM background_jobs WHERE id IN (4, 6)") == [(3,), (1,)]


@pytest.mark.parametrize("words", [("retry", "{}", 6), ("retry", "{}", "--all")])
def test_retry_rings_the_workers(project, stored, words):
    directory = stored.with_name("db.sqlite.run")
    directory.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.settimeout(DEADLINE)
        descriptor = os.open(directory, os.O_RDONLY)
        ear.bind(f"/proc/self/fd/{descriptor}/ear.bell")
        os.close(descriptor)

        project.litejobs(*(str(word).format(stored) for word in words))

        assert ear.recv(16)


# clear


def test_clear_deletes_all(project, stored):
    ask(stored, "DELETE FROM background_jobs WHERE state = 2")

    out = project.litejobs("clear", "db.sqlite", "--yes").out

    assert out == "6 jobs deleted\n"
    assert rows(stored) == []


def test_clear_as_json_is_one_document(project, empty):
    out = project.litejobs("clear", "db.sqlite", "--yes", "--json").out

    assert json.loads(out) == {"deleted": 0}


def test_clear_asks_and_deletes_nothing_where_nobody_answers(project, stored):
    ask(stored, "DELETE FROM background_jobs WHERE state = 2")

    result = project.litejobs("clear", "db.sqlite", code=1)

    assert result.err == f"Delete every job in {stored}? [y/N]: aborted\n"
    assert len(rows(stored)) == 6


def test_clear_with_a_running_job_deletes_nothing(project, stored):
    result = project.litejobs("clear", "db.sqlite", "--yes", code=1)

    assert "nothing was deleted, for jobs are running: 1" in result.sentence
    assert len(rows(stored)) == 7


# Words that are wrong


@pytest.fixture
def say(monkeypatch, capsys):
    """Say words to ``litejobs`` in this process: only such as open no database."""

    def say(*words):
        from litejobs.cli import main

        monkeypatch.setattr(sys, "argv", ["litejobs", *words])
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code, capsys.readouterr()

    return say


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        pytest.param(["show", "db.sqlite", 99], 1, "there is no job 99", id="unknown id"),
        pytest.param(
            ["show", "db.sqlite", 10**19 - 1], 1, f"no job {10**19 - 1}", id="enormous id"
        ),
        pytest.param(
            ["retry", "db.sqlite", 10**19 - 1], 1, f"no job {10**19 - 1}", id="retry enormous id"
        ),
        pytest.param(["list", "db.sqlite", "-q", "no"], 1, "queue 'no'", id="unknown queue"),
        pytest.param(["list", "db.sqlite", "-q", "no"], 1, "default, email", id="known queues"),
        pytest.param(
            ["retry", "db.sqlite", "--all", "-q", "no"], 1, "queue 'no'", id="retry queue"
        ),
        pytest.param(["show", "db.sqlite", 99, "--json"], 1, "no job 99", id="as JSON"),
        pytest.param(["retry", "db.sqlite", 99, "--json"], 1, "no job 99", id="retry as JSON"),
        pytest.param(
            ["show", "db.sqlite"], 2, "one whole number; got 'db.sqlite'", id="show without id"
        ),
        pytest.param(["show", "db.sqlite", 1, 2], 2, "got 'db.sqlite 1 2'", id="show two"),
        pytest.param(["init", ""], 2, "MODULE must name a module", id="module of no text"),
        pytest.param(["retry", "one"], 2, "'one' is taken for the database", id="retry a word"),
        pytest.param(["show", "db.sqlite", "one"], 2, "digits, got 'one'", id="no number"),
        pytest.param(["retry", "db.sqlite", 1, "1.5"], 2, "digits, got '1.5'", id="half"),
        pytest.param(["retry", "db.sqlite"], 2, "the IDs of jobs, or --all", id="retry nothing"),
        pytest.param(["retry", "db.sqlite", 6, "--all"], 2, "or --all", id="retry both"),
        pytest.param(["retry", "db.sqlite", 6, "-q", "a"], 2, "--queue goes with --all", id="-q"),
        pytest.param(["status", ""], 2, "DATABASE must name a file", id="empty database"),
    ],
)
def test_wrong_words_are_refused_in_one_sentence(project, stored, words, code, says):
    before = rows(stored)

    result = project.litejobs(*words, code=code)

    assert says in result.sentence
    assert result.out == ""
    assert rows(stored) == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        pytest.param(["lsit"], "No such command 'lsit'", id="command"),
        pytest.param(["list", "--colour"], "No such option", id="option"),
        pytest.param(["list", "--state", "lost"], "'lost' is not one of", id="state"),
        pytest.param(["list", "--limit", "0"], "--limit", id="limit"),
        pytest.param(["list", "--limit", "many"], "--limit", id="limit in words"),
        pytest.param(["show"], "Missing argument", id="show without words"),
        pytest.param(["status", "a.sqlite", "b.sqlite"], "unexpected extra", id="two databases"),
        pytest.param(["status", "--root", "nowhere"], "does not exist", id="root"),
        pytest.param(["work", "--count", "0"], "--count", id="count"),
        pytest.param(["work", "--max-jobs", "0"], "--max-jobs", id="max jobs"),
        pytest.param(["workoff", "--max-memory", "0.5"], "--max-memory", id="max memory"),
        pytest.param(["work", "--stop-timeout", "0"], "--stop-timeout", id="stop timeout"),
        pytest.param(["work", "--log-level", "loud"], "--log-level", id="log level"),
        pytest.param(["worker", "--index", "0"], "'--id'", id="worker without id"),
        pytest.param(["worker", "--index", "-1", "--id", "0"], "--index", id="negative index"),
        pytest.param(["stop", "--timeout", "-1"], "--timeout", id="timeout"),
        pytest.param(["init", "shop.jobs", "shop.work"], "unexpected extra", id="two modules"),
        pytest.param(["generate", "test", "greet"], "No such command 'test'", id="generate what"),
        pytest.param(["generate", "job"], "Missing argument 'NAME'", id="job without a name"),
    ],
)
def test_what_no_command_knows_is_wrong_usage(say, words, says):
    code, result = say(*words)

    assert code == 2
    assert says in result.err
    assert "Usage: litejobs" in result.err


@pytest.mark.parametrize("command", [*COMMANDS, "generate job"])
def test_help_shows_an_example(say, command):
    code, result = say(*command.split(), "--help")

    help_ = result.out
    assert code == 0
    assert "Example" in help_
    assert help_.count(f"litejobs {command} ") >= 2  # the usage and the example


def test_help_lists_every_command_and_the_exit_codes(say):
    _, result = say("--help")

    help_ = result.out

    assert [name for name in COMMANDS if f"\n  {name} " not in help_] == []
    assert "Exit codes: 0 done" in help_


def test_version(project):
    from importlib.metadata import version

    assert version("litejobs") in project.litejobs("--version").out


# Which database


@pytest.mark.parametrize("words", LOOKING, ids=lambda words: words[0])
def test_a_missing_database_is_refused_and_not_made(project, words):
    command, *rest = words

    result = project.litejobs(command, "db.sqlite", *rest, code=65)

    assert "does not exist: no job has been stored there yet" in result.sentence
    assert not list(project.directory.glob("db.sqlite*"))


def test_the_default_database_is_not_made_by_looking(project):
    result = project.litejobs("status", code=65)

    assert str(project.home / "data") in result.sentence
    assert not (project.home / "data").exists()


def test_a_database_on_the_command_line_wins_and_needs_no_reason(project, empty):
    project.write("pyproject.toml", '[tool.litejobs]\ndatabase = "b.sqlite"')

    result = project.litejobs("status", "db.sqlite", env={"LITEJOBS_DATABASE": "a.sqlite"})

    assert str(empty) in result.out
    assert result.err == ""


def test_the_environment_names_the_database_before_the_project_does(project, empty):
    project.write("pyproject.toml", '[tool.litejobs]\ndatabase = "b.sqlite"')

    result = project.litejobs("status", env={"LITEJOBS_DATABASE": "db.sqlite"})

    assert result.err == f"jobs in {empty} (LITEJOBS_DATABASE names it)\n"


def test_the_project_names_the_database_relative_to_itself(project, empty):
    settings = project.write("pyproject.toml", '[tool.litejobs]\ndatabase = "db.sqlite"')
    below = project.directory / "below"
    below.mkdir()

    result = project.litejobs("status", cwd=below)

    assert result.err == f"jobs in {empty} ([tool.litejobs] in {settings} names it)\n"


def test_without_a_name_the_project_has_a_database_of_its_own(project):
    project.litejobs("workoff")

    result = project.litejobs("status")

    assert result.err.startswith(f"jobs in {project.home / 'data' / 'litejobs' / 'project-'}")
    assert result.err.endswith(f"(the default of the project at {project.directory})\n")


@pytest.mark.parametrize("words", [("show", 6), ("retry", 4, 6)], ids=["show", "retry"])
def test_ids_alone_are_of_the_database_that_is_named_elsewhere(project, stored, words):
    result = project.litejobs(*words, env={"LITEJOBS_DATABASE": "db.sqlite"})

    assert result.err == f"jobs in {stored} (LITEJOBS_DATABASE names it)\n"


def test_root_says_whose_default_it_is(project, tmp_path):
    project.litejobs("workoff")

    result = project.litejobs("status", "--root", project.directory, cwd=tmp_path)

    assert f"the default of the project at {project.directory}" in result.err


def test_a_project_file_with_an_unknown_key_is_bad_configuration(project):
    project.write("pyproject.toml", '[tool.litejobs]\ndatabse = "db.sqlite"')

    result = project.litejobs("status", code=78)

    assert "did you mean 'database'?" in result.sentence


# The app


@pytest.fixture
def app(project):
    project.write("app.py", APP)
    return make_database(project.directory / "app.sqlite")


def test_an_app_is_asked_in_a_child_process(project, app):
    process = project.start_litejobs("status", "--app", "app:jobs")

    out, err = process.communicate(timeout=DEADLINE)

    assert process.returncode == 0
    assert out.startswith(f"database  {app}  (")
    assert err == f"jobs in {app} (app:jobs says so)\n"
    [(pid, parent)] = [line.split() for line in project.read("imports.txt").splitlines()]
    assert int(pid) != process.pid
    assert int(parent) == process.pid


@pytest.mark.parametrize("way", ["environment", "pyproject"])
def test_environment_and_project_name_the_app(project, app, way):
    env = {"LITEJOBS_APP": "app"} if way == "environment" else {}
    project.write("pyproject.toml", "" if env else '[tool.litejobs]\napp = "app"')

    result = project.litejobs("status", env=env)

    assert result.err == f"jobs in {app} (app says so)\n"


@pytest.mark.parametrize("way", ["argument", "environment"])
def test_where_the_database_is_named_no_app_is_asked(project, app, way):
    words = ["app.sqlite"] if way == "argument" else []
    env = {} if words else {"LITEJOBS_DATABASE": "app.sqlite"}

    project.litejobs("status", *words, "--app", "app", env=env)

    assert project.read("imports.txt") == ""


@pytest.mark.parametrize(
    ("app_name", "says"),
    [
        pytest.param("nowhere:jobs", "there is no module 'nowhere'", id="module"),
        pytest.param("raises", "the app raises does not load: RuntimeError: no luck", id="raises"),
        pytest.param("dies", "its process was killed by SIGKILL", id="dies"),
        pytest.param("exits", "its process ended with exit code 3", id="exits"),
        pytest.param("breeds", "was called while a worker loaded breeds", id="later when imported"),
    ],
)
def test_an_app_that_cannot_be_asked_is_bad_configuration(project, app, app_name, says):
    project.write("raises.py", "raise RuntimeError('no luck')")
    project.write("dies.py", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    project.write("exits.py", "import os\nos._exit(3)")
    project.write("breeds.py", "from litejobs import later\ndef f(): ...\nlater(f)")

    result = project.litejobs("status", "--app", app_name, code=78)

    [line] = result.err.splitlines()
    assert line.startswith("litejobs: ")
    assert says in line


def test_a_broken_app_can_be_looked_at_by_its_database(project, app):
    project.write("app.py", "raise RuntimeError('no luck')")

    result = project.litejobs("list", "app.sqlite", "--app", "app")

    assert result.out == "no jobs\n"


@pytest.mark.parametrize("words", [("--queue", "email"), ("--count", "2")])
@pytest.mark.parametrize("command", ["work", "workoff"])
def test_queue_and_count_do_not_go_with_an_app(project, command, words):
    result = project.litejobs(command, "--app", "app", *words, code=2)

    assert "--queue and --count do not go with an app" in result.sentence


@pytest.mark.parametrize("words", [("--max-jobs", "5"), ("--max-memory", "500")])
def test_what_replaces_processes_is_said_by_the_groups_of_an_app(project, words):
    result = project.litejobs("workoff", "--app", "app", *words, code=2)

    assert "--max-jobs and --max-memory do not go with an app" in result.sentence


def test_a_database_beside_an_app_of_another_file_is_refused(project, app):
    result = project.litejobs("workoff", "db.sqlite", "--app", "app", code=78)

    assert result.sentence.endswith(
        f"app keeps its jobs in {app}, not in {project.directory / 'db.sqlite'}; "
        "leave the database out"
    )
    assert not (project.directory / "db.sqlite").exists()


def test_a_database_beside_the_app_that_uses_it_is_fine(project, app):
    result = project.litejobs("workoff", "app.sqlite", "--app", "app")

    assert "0 runs" in result.out


def test_two_managers_under_one_name_each_are_one_if_they_are_the_same(project, app):
    project.write("app.py", APP + "again = jobs\n")

    result = project.litejobs("status", "--app", "app")

    assert str(app) in result.out


# Another project's file


@pytest.fixture
def moved(project):
    """A project with a stored job, that then moved to another directory."""
    project.write(
        "script.py",
        """
        from litejobs import configure, later

        def greet():
            print("hello", flush=True)

        if __name__ == "__main__":
            configure(database="db.sqlite")
            later(greet)
        """,
    )
    project.run("script.py")
    old = project.directory
    project.directory = old.with_name("moved")
    shutil.move(old, project.directory)
    return old


@pytest.mark.parametrize("command", ["work", "workoff"])
def test_another_projects_file_is_refused_with_both_named(project, moved, command):
    result = project.litejobs(command, "db.sqlite", code=78)

    assert f"holds the jobs of the project at {moved}" in result.sentence
    assert f"this one is at {project.directory}" in result.sentence
    assert "--root" in result.sentence


def test_root_adopts_a_project_that_has_moved(project, moved):
    result = project.litejobs("workoff", "db.sqlite", "--root", ".")

    assert "hello" in result.out
    project.litejobs("workoff", "db.sqlite")  # from now on


def test_another_projects_file_can_be_looked_at(project, moved):
    assert "greet()" in project.litejobs("list", "db.sqlite").out


# Files that are no database of ours


def directory(file):
    file.mkdir()


def text(file):
    file.write_text("these are words, not pages\n" * 100)


def foreign_id(file):
    ask(file, "CREATE TABLE notes (text)")
    ask(file, "PRAGMA application_id = 77")


def foreign_tables(file):
    ask(file, "CREATE TABLE notes (text)")


def foreign_table_of_our_name(file):
    ask(file, "CREATE TABLE background_jobs (id)")


def newer(file):
    make_database(file, "UPDATE background_jobs_meta SET value = 9 WHERE key = 'schema_version'")


def link(file):
    make_database(file.with_name("real.sqlite"))
    file.symlink_to("real.sqlite")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (directory, "is a directory, not a database"),
        (text, "is not an SQLite database"),
        (foreign_id, "belongs to another program"),
        (foreign_tables, "no"),
        (foreign_table_of_our_name, "that litejobs did not make"),
        (newer, "was written by a newer litejobs (schema 9"),
        (link, "is a link to"),
    ],
)
@pytest.mark.parametrize("command", ["status", "workoff"])
def test_what_is_no_database_of_ours_is_refused_untouched(project, make, says, command):
    file = project.directory / "db.sqlite"
    make(file)
    before = None if file.is_dir() else file.read_bytes()

    result = project.litejobs(command, "db.sqlite", code=65)

    assert str(file) in result.sentence
    assert says in result.sentence
    assert before is None or file.read_bytes() == before


@pytest.mark.parametrize("command", ["status", "workoff"])
def test_a_database_in_no_directory_is_refused(project, command):
    result = project.litejobs(command, "no/db.sqlite", code=65)

    assert f"the directory {project.directory / 'no'} does not exist" in result.sentence


# What reaches the screen


def test_control_characters_of_hand_written_rows_are_escaped(project, empty):
    evil = "\x1b[31m\nforged\x07"
    handler = json.dumps({"name": evil, "path": "x.py", "args": [evil]}, ensure_ascii=False)
    ask(
        empty,
        "INSERT INTO background_jobs (state, queue, run_at, locked_by, last_error, handler) "
        "VALUES (2, ?, 1, ?, ?, ?)",
        (evil, evil, f"\x1b[31m{evil}", handler),
    )

    listed = project.litejobs("list", "db.sqlite").out
    shown = project.litejobs("show", "db.sqlite", 1).out
    refused = project.litejobs("list", "db.sqlite", "--queue", f"{evil}!", code=1).err

    for printed in (listed, shown, refused):
        assert "\\x1b[31m" in printed
        assert all(character.isprintable() or character == "\n" for character in printed)
    assert len(listed.splitlines()) == 2
    assert len(refused.splitlines()) == 1
    assert [line for line in shown.splitlines() if line.startswith("forged")] == ["forged\\x07"]


def test_a_reader_that_has_seen_enough_ends_the_list_without_a_word(project, stored):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "litejobs", "list", "db.sqlite"]

    result = subprocess.run(
        command, cwd=project.directory, env=project.environment(), stdout=writer,
        stderr=subprocess.PIPE, timeout=DEADLINE, check=False,
    )  # fmt: skip
    os.close(writer)

    assert result.stderr == b""
    assert result.returncode == 1


MODULE_LEVEL_WORKER = """
from litejobs import JobManager, SqliteAdapter

jobs = JobManager(adapters={"sqlite": SqliteAdapter("db.sqlite")})
later = jobs.create_scheduler()

@jobs.job
def note():
    open("ran.txt", "a").write("ran ")

if __name__ == "__main__":
    later(note)
else:
    jobs.start_background_worker()
"""


def test_an_app_that_starts_its_own_workers_starts_none_for_a_command(project):
    project.write("shop.py", MODULE_LEVEL_WORKER)
    project.run("shop.py")

    looked = project.litejobs("status", "--app", "shop:jobs")
    ran_by_status = project.read("ran.txt")
    project.litejobs("workoff", "--app", "shop:jobs")

    assert "ready" in looked.out
    assert ran_by_status == ""
    assert project.read("ran.txt") == "ran "


def test_a_file_named_by_the_environment_beside_an_app_of_another_is_refused(project):
    project.write("shop.py", MODULE_LEVEL_WORKER)

    for command in ("work", "workoff"):
        result = project.litejobs(
            command, "--app", "shop:jobs", code=78, env={"LITEJOBS_DATABASE": "other.sqlite"}
        )

        assert "keeps its jobs in" in result.sentence


def test_an_app_that_does_not_load_is_one_sentence(project):
    project.write("shop.py", "raise RuntimeError('no \\x1b[31mluck')")

    result = project.litejobs("workoff", "--app", "shop:jobs", code=78)

    assert result.sentence.endswith(r"does not load: RuntimeError: no \x1b[31mluck")


def test_an_id_of_too_many_digits_is_refused(project):
    result = project.litejobs("show", "9" * 5000, code=2)

    assert "a whole number of at most 19 digits" in result.sentence


def test_a_queue_written_by_hand_cannot_forge_a_line_of_status(project):
    project.write(
        "job.py", "def f(): ...\nif __name__ == '__main__':\n    __import__('litejobs').later(f)"
    )
    project.run("job.py", env={"LITEJOBS_DATABASE": "db.sqlite"})
    with closing(sqlite3.connect(project.directory / "db.sqlite")) as connection, connection:
        connection.execute("UPDATE background_jobs SET queue = 'a' || char(10) || char(27) || 'b'")

    assert r"a\n\x1bb" in project.litejobs("status", "db.sqlite").out


ORPHAN = """
UPDATE background_jobs
SET state = 2, attempts = 1, locked_by = (SELECT :name || '/' || :host || '/boot/1/1/lease')
"""


@pytest.fixture
def orphan(project):
    """A job that is locked by a worker which was killed before the machine was started anew."""
    project.write("job.py", "from litejobs import later\ndef f():\n    print('done')\n")
    project.run("-c", "from job import *; later(f)", env={"LITEJOBS_DATABASE": "db.sqlite"})
    with closing(sqlite3.connect(project.directory / "db.sqlite")) as connection, connection:
        connection.execute(ORPHAN, {"name": "worker", "host": socket.gethostname()})


def test_a_job_whose_worker_was_killed_is_told_and_tried_again(project, orphan):
    assert "of the running, 1 lost their worker" in project.litejobs("status", "db.sqlite").out

    project.litejobs("retry", "db.sqlite", "1")

    assert "done" in project.litejobs("workoff", "db.sqlite").out


def test_all_jobs_whose_worker_was_killed_are_tried_again_by_all(project, orphan):
    assert "1 job is" in project.litejobs("retry", "db.sqlite", "--all").out

    assert "done" in project.litejobs("workoff", "db.sqlite").out


def test_a_job_whose_worker_was_killed_does_not_hold_clear_up(project, orphan):
    assert "1 job deleted" in project.litejobs("clear", "db.sqlite", "--yes").out


def test_settings_that_name_the_file_of_another_app_are_refused_before_anything_is_done(project):
    project.write("shop.py", MODULE_LEVEL_WORKER)
    project.run("shop.py")

    result = project.litejobs(
        "clear", "--yes", "--app", "other:jobs", code=78, env={"LITEJOBS_DATABASE": "db.sqlite"}
    )

    assert "holds the jobs of the app shop:jobs, not of other:jobs" in result.sentence
    assert "1 job deleted" in project.litejobs("clear", "db.sqlite", "--yes").out


def test_settings_that_name_the_file_of_another_project_are_refused(project, orphan, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    result = project.litejobs(
        "clear",
        "--yes",
        code=78,
        cwd=elsewhere,
        env={"LITEJOBS_DATABASE": str(project.directory / "db.sqlite")},
    )

    assert "use another database" in result.sentence


def test_a_project_without_jobs_is_told_so(project):
    result = project.litejobs("status", code=65)

    assert "no job has been stored yet for the project" in result.sentence
    assert "--app" in result.sentence


@pytest.mark.parametrize("words", [["--app", ""], ["--app", "shop:"]])
def test_an_app_without_a_name_is_refused(project, words):
    project.write("shop.py", "")

    code = 2 if words[1] == "" else 78

    assert project.litejobs("workoff", *words, code=code).sentence


def test_a_full_device_is_one_sentence(project, orphan):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        process = subprocess.run(
            [sys.executable, "-m", "litejobs", "status", "db.sqlite"],
            check=False,
            cwd=project.directory,
            env=project.environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )

    assert process.returncode != 0
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize("queue", ["", "a\nb", "!", "!!email"])
def test_a_queue_that_none_can_be_named_is_refused(project, queue):
    result = project.litejobs("workoff", "db.sqlite", "--queue", queue, code=2)

    assert "cannot name a queue" in result.sentence


def test_all_but_one_queue_are_no_queue_that_could_be_paused(project):
    result = project.litejobs("pause", "db.sqlite", "!email", code=2)

    assert "'!email' cannot name a queue" in result.sentence


def test_a_limit_that_no_list_reaches_is_refused(project, orphan):
    result = project.litejobs("list", "db.sqlite", "--limit", 10**20, code=2)

    assert "Traceback" not in result.err


def test_the_example_in_help_stands_on_a_line_of_its_own(project):
    assert "\n    litejobs status db.sqlite\n" in project.litejobs("status", "--help").out


def test_an_interrupt_while_the_command_line_is_imported_is_no_traceback(project):
    result = project.run(
        "-c",
        "import os, runpy, signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'litejobs.cli':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "runpy.run_module('litejobs', run_name='__main__')",
        code=130,
    )

    assert "Traceback" not in result.err
