"""LiteJobs in Flask apps: in this process, under its commands, its debug server and gunicorn."""

import gc
import os
import re
import signal
import socket
import urllib.request
from pathlib import Path

import flask
import pytest
from helpers import DEADLINE, wait_until

from litejobs import SqliteAdapter, WorkerGroup, testing
from litejobs.errors import ConfigurationError
from litejobs.integrations.flask import LiteJobs

seen = []


@pytest.fixture(autouse=True)
def nothing_seen():
    seen.clear()


@pytest.fixture
def make_app(tmp_path):
    def make(name="app", **config):
        app = flask.Flask("shop", instance_path=str(tmp_path / name))
        app.config.update(config, NAME=name)
        return app

    return make


def note(word):
    seen.append((word, flask.current_app.config["NAME"], "user" in flask.g))


def raises():
    raise ValueError("no luck")


@pytest.fixture
def jobs():
    jobs = LiteJobs(queues=["default", "email"])
    for function in (note, raises):
        jobs.create_job(perform=function)
    yield jobs
    for adapter in jobs._files.values():
        adapter.close()
    gc.collect()


@pytest.fixture
def noted(jobs):
    return next(job for job in jobs.declared.values() if job.name == "note")


@pytest.fixture
def broken(jobs):
    return next(job for job in jobs.declared.values() if job.name == "raises")


def run_jobs(jobs):
    jobs.create_worker(0, workoff=True).run()


# Where jobs are


def test_jobs_are_stored_in_the_instance_folder(jobs, noted, make_app, tmp_path):
    jobs.init_app(make_app())

    jobs.later(noted, ["a"])

    assert (tmp_path / "app" / "jobs.sqlite").is_file()


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["text", "path"])
def test_the_configuration_names_the_file(jobs, noted, make_app, tmp_path, kind):
    jobs.init_app(make_app(LITEJOBS_DATABASE=kind(tmp_path / "elsewhere.db")))

    jobs.later(noted, ["a"])

    assert (tmp_path / "elsewhere.db").is_file()


def test_a_relative_name_is_one_of_the_instance_folder(jobs, noted, make_app, tmp_path):
    jobs.init_app(make_app(LITEJOBS_DATABASE="deep/jobs.db"))

    jobs.later(noted, ["a"])

    assert (tmp_path / "app" / "deep" / "jobs.db").is_file()


def test_an_adapter_may_be_given_with_options_of_its_own(jobs, noted, make_app, tmp_path):
    adapter = SqliteAdapter(tmp_path / "app.db", table="chores", durability="normal")
    jobs.init_app(make_app(LITEJOBS_DATABASE=adapter))

    jobs.later(noted, ["a"])

    assert adapter.connection.execute("SELECT count(*) FROM chores") == [(1,)]


@pytest.mark.parametrize("value", [None, 5, "", b"x"], ids=repr)
def test_a_database_that_is_none_is_refused(jobs, noted, make_app, value):
    jobs.init_app(make_app(LITEJOBS_DATABASE=value))

    with pytest.raises(ConfigurationError, match="LITEJOBS_DATABASE must be a path or an Sqlite"):
        jobs.later(noted, ["a"])


def test_a_worker_that_is_none_is_refused(jobs, make_app):
    with pytest.raises(ConfigurationError, match="must be 'thread', 'process' or None, got 'yes'"):
        jobs.init_app(make_app(LITEJOBS_WORKER="yes"))


def test_without_an_app_nothing_is_stored_and_the_cure_is_told(jobs, noted):
    with pytest.raises(ConfigurationError, match=r"no Flask app yet: call init_app\(app\)"):
        jobs.later(noted, ["a"])
    with pytest.raises(ConfigurationError, match="no Flask app yet"):
        run_jobs(jobs)


def test_an_app_may_be_given_at_once(make_app, tmp_path):
    app = make_app()
    jobs = LiteJobs(app, workers=[WorkerGroup(queue="email")])

    assert app.extensions["litejobs"] is jobs
    assert jobs.adapter(None).path == str(tmp_path / "app" / "jobs.sqlite")


def test_each_of_several_apps_has_its_own_jobs(jobs, noted, make_app):
    first, second = make_app("first"), make_app("second")
    jobs.init_app(first)
    jobs.init_app(second)

    with first.app_context():
        jobs.later(noted, ["of the first"])
        run_jobs(jobs)
    jobs.later(noted, ["of the last"])
    run_jobs(jobs)

    assert seen == [("of the first", "first", False), ("of the last", "second", False)]


# What a job runs in


def test_each_job_has_an_app_context_of_its_own(jobs, noted, make_app):
    app = make_app()
    jobs.init_app(app)
    ended = []
    app.teardown_appcontext(ended.append)
    jobs.later(noted, ["a"])
    jobs.later(noted, ["b"])

    run_jobs(jobs)

    assert seen == [("a", "app", False), ("b", "app", False)]
    assert ended == [None, None]


def test_the_end_of_the_context_sees_what_the_job_raised(jobs, broken, make_app):
    app = make_app()
    jobs.init_app(app)
    ended = []
    app.teardown_appcontext(lambda error: ended.append(repr(error)))
    jobs.later(broken)

    run_jobs(jobs)

    assert ended == ["ValueError('no luck')"]


# Tests of apps


def test_a_testing_app_runs_jobs_before_later_returns(jobs, noted, make_app, tmp_path):
    app = make_app(TESTING=True)
    jobs.init_app(app)

    @app.post("/")
    def view():
        flask.g.user = "Ada"
        jobs.later(noted, ["a"])
        return str(len(seen))

    assert app.test_client().post("/").text == "1"

    assert seen == [("a", "app", False)]
    assert not (tmp_path / "app").exists()


def test_testing_may_be_said_after_the_app_is_made(jobs, noted, make_app, tmp_path):
    app = make_app()
    jobs.init_app(app)
    app.testing = True

    jobs.later(noted, ["a"])

    assert len(seen) == 1
    assert not (tmp_path / "app").exists()


def test_what_a_job_raises_reaches_the_test(jobs, broken, make_app):
    jobs.init_app(make_app(TESTING=True))

    with pytest.raises(ValueError, match="no luck"):
        jobs.later(broken)


def test_a_testing_app_may_store_its_jobs_all_the_same(jobs, noted, make_app, tmp_path):
    jobs.init_app(make_app(TESTING=True, LITEJOBS_RUN_NOW=False))

    jobs.later(noted, ["a"])

    assert seen == []
    assert (tmp_path / "app" / "jobs.sqlite").is_file()


def test_an_app_may_run_jobs_at_once_without_being_tested(jobs, noted, make_app):
    jobs.init_app(make_app(LITEJOBS_RUN_NOW=True))

    jobs.later(noted, ["a"])

    assert len(seen) == 1


def test_the_test_modes_come_before_the_configuration(jobs, noted, make_app):
    jobs.init_app(make_app(TESTING=True))

    with testing.manual(jobs) as stored:
        jobs.later(noted, ["a"])
        assert seen == []
        assert stored.drain() == {"success": 1}

    assert seen == [("a", "app", False)]


def test_a_testing_app_starts_no_worker(jobs, make_app):
    jobs.init_app(make_app(TESTING=True, LITEJOBS_WORKER="thread"))

    assert jobs._background.worker is None


def test_the_files_of_a_tested_app_go_with_it(jobs, noted, make_app):
    app = make_app(TESTING=True)
    jobs.init_app(app)
    jobs.later(noted, ["a"])
    [storage] = jobs._at_once.values()
    file = Path(storage.adapters["sqlite"].path)
    assert file.exists()
    del storage

    jobs._app = app = None
    gc.collect()

    assert not file.exists()


# Processes

SHOP = """
import os
from pathlib import Path

import flask
from litejobs.integrations.flask import LiteJobs

here = Path(__file__).parent
jobs = LiteJobs()

@jobs.job
def tell(word):
    with (here / "done.txt").open("a") as file:
        print(word, os.getpid(), flask.current_app.config["GREETING"], file=file, flush=True)

def create_app():
    app = flask.Flask(__name__, instance_path=str(here / "instance"))
    app.config["GREETING"] = "hello"
    app.config.from_prefixed_env()
    jobs.init_app(app)

    @app.get("/")
    def view():
        return str(os.getpid())

    @app.post("/<word>")
    def later(word):
        jobs.later(tell, [word])
        return str(os.getpid())

    return app
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def ask(url, data=None):
    try:
        with urllib.request.urlopen(url, data, timeout=10) as response:
            return response.read().decode()
    except OSError:
        return None


@pytest.fixture
def serve(project):
    """Starts a server by its command, with the port in place of PORT; gives it and its address."""
    project.write("shop.py", SHOP)
    servers = []

    def start(*words, **environment):
        port = free_port()
        words = [str(word).replace("PORT", str(port)) for word in words]
        servers.append(project.start(*words, env=environment, start_new_session=True))
        address = f"http://127.0.0.1:{port}/"
        wait_until(lambda: ask(address), "the server's answer")
        return servers[-1], address

    yield start
    for server in servers:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
        _, err = server.communicate(timeout=DEADLINE)
        assert "Traceback" not in err, err


def done(project):
    """Of each job its word, the process that ran it, and what it saw of the app."""
    return [line.split() for line in project.read("done.txt").splitlines()]


@pytest.mark.parametrize("app", ["shop", "shop:create_app", "shop.py"])
def test_flask_jobs_are_the_commands_of_litejobs_for_this_app(project, app):
    project.write("shop.py", SHOP)
    store = "from shop import *; app = create_app(); jobs.later(tell, ['x'])"
    project.run("-c", store)
    flask_jobs = ("-m", "flask", "--app", app, "jobs")

    listed = project.run(*flask_jobs, "list").out
    worked = project.run(*flask_jobs, "workoff")

    assert 'tell("x")' in listed
    assert "1 succeeded" in worked.out
    assert [(word, greeting) for word, _, greeting in done(project)] == [("x", "hello")]
    assert "no jobs" in project.run(*flask_jobs, "status").out


def test_flask_finds_the_app_for_its_jobs_as_it_does_for_all(project):
    project.write("wsgi.py", "from shop import create_app")
    project.write("shop.py", SHOP)

    assert "workoff" in project.run("-m", "flask", "jobs", "--help").out
    assert "0 runs" in project.run("-m", "flask", "jobs", "workoff").out


def test_what_flask_jobs_refuses_has_the_exit_code_of_litejobs(project):
    project.write("shop.py", SHOP)
    flask_jobs = ("-m", "flask", "--app", "shop", "jobs")
    project.run(*flask_jobs, "workoff")

    assert "there is no job 7" in project.run(*flask_jobs, "show", 7, code=1).err
    assert "No such command" in project.run(*flask_jobs, "wrok", code=2).err


def test_litejobs_takes_the_app_or_its_factory(project):
    project.write("shop.py", SHOP)

    assert "0 runs" in project.litejobs("workoff", "--app", "shop:create_app").out
    refused = project.litejobs("workoff", "--app", "shop:jobs", code=78)

    assert "these jobs have no Flask app yet" in refused.sentence


@pytest.mark.parametrize("command", [("routes",), ("jobs", "status"), ("jobs", "workoff")])
def test_a_command_of_flasks_starts_no_worker(project, command):
    project.write("shop.py", SHOP)
    project.run("-c", "from shop import *; app = create_app(); jobs.later(tell, ['x'])")
    environment = {"FLASK_LITEJOBS_WORKER": "thread"}

    project.run("-m", "flask", "--app", "shop", *command, env=environment)

    assert len(done(project)) == (1 if "workoff" in command else 0)


@pytest.mark.parametrize("worker", ["thread", "process"])
def test_flask_run_runs_jobs_too(project, serve, worker):
    server, address = serve(
        "-m", "flask", "--app", "shop", "run", "--port", "PORT", FLASK_LITEJOBS_WORKER=worker
    )

    ask(address + "x", b"")

    [[word, pid, greeting]] = wait_until(lambda: done(project), "the job")
    assert (word, greeting) == ("x", "hello")
    assert (int(pid) == server.pid) == (worker == "thread")


RUN = """
from shop import create_app

app = create_app()
if __name__ == "__main__":
    import sys
    app.run(port=int(sys.argv[1]), debug=True)
"""


@pytest.mark.parametrize(
    "words",
    [("-m", "flask", "--app", "shop", "run", "--debug", "--port", "PORT"), ("run.py", "PORT")],
    ids=["flask run", "app.run"],
)
def test_under_the_debug_server_only_the_serving_process_has_a_worker(project, serve, words):
    project.write("run.py", RUN)
    server, address = serve(*words, FLASK_LITEJOBS_WORKER="thread")
    serving = ask(address)
    assert int(serving) != server.pid
    bells = project.directory / "instance" / "jobs.sqlite.run"
    wait_until(lambda: len(list(bells.glob("*.bell"))) == 1, "one worker")

    for number in range(20):
        ask(f"{address}{number}", b"")

    wait_until(lambda: len(done(project)) == 20, "the jobs")
    assert {pid for _, pid, _ in done(project)} == {serving}


def test_under_the_debug_server_jobs_go_on_after_a_reload(project, serve):
    _, address = serve(
        "-m", "flask", "--app", "shop", "run", "--debug", "--port", "PORT",
        FLASK_LITEJOBS_WORKER="thread",
    )  # fmt: skip
    first = ask(address)

    project.write("shop.py", SHOP.replace('"hello"', '"good day"'))
    wait_until(lambda: ask(address) not in (None, first), "the reload")
    ask(address + "x", b"")

    [[_, pid, *greeting]] = wait_until(lambda: done(project), "the job")
    assert pid == ask(address)
    assert greeting == ["good", "day"]


@pytest.mark.parametrize(
    ("worker", "options"),
    [("thread", []), ("process", []), ("thread", ["--preload"])],
    ids=["threads", "processes", "threads after preload"],
)
def test_under_gunicorn_with_four_workers_each_job_runs_once(project, serve, worker, options):
    server, address = serve(
        "-m", "gunicorn", "-w", "4", *options, "-b", "127.0.0.1:PORT", "shop:create_app()",
        FLASK_LITEJOBS_WORKER=worker,
    )  # fmt: skip
    stored_by = {ask(f"{address}{number}", b"") for number in range(60)}

    wait_until(lambda: len(done(project)) >= 60, "the jobs")
    server.terminate()
    _, err = server.communicate(timeout=DEADLINE)

    assert sorted(int(word) for word, _, _ in done(project)) == list(range(60))
    assert str(server.pid) not in stored_by
    if not options:
        assert str(server.pid) not in {pid for _, pid, _ in done(project)}
    assert server.returncode == 0
    assert re.search(r"Shutting down: Master", err)
