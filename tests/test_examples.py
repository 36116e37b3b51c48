"""The examples, run as a person would."""

import shutil
import signal
import socket
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers import wait_until

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_the_script_stores_jobs_that_a_worker_runs(project):
    shutil.copy(EXAMPLES / "script.py", project.directory)
    project.run("script.py")

    project.litejobs("workoff")

    assert "welcome, user 335! (attempt 1)" in project.read("outbox.txt")
    assert "336" not in project.read("outbox.txt")


def test_the_standard_library_is_indexed_by_workers_and_searched(project):
    environment = {"XDG_CACHE_HOME": str(project.home)}
    words = [EXAMPLES / "search_stdlib.py", "weak", "reference"]

    first = project.run(*words, env=environment)
    second = project.run(*words, env=environment)

    jobs = int(first.out.split()[0])
    assert jobs > 300
    assert f"{jobs} succeeded, 0 to be retried, 0 failed for good" in first.out
    assert f"best of {jobs} files" in first.out
    assert "weakref.py" in first.out
    assert "stored" not in second.out
    assert "weakref.py" in second.out


def test_the_memory_adapter_runs_beside_sqlite(project):
    shutil.copytree(EXAMPLES / "memory_adapter", project.directory, dirs_exist_ok=True)
    project.litejobs("clear", "--yes")  # memory may hold jobs of an earlier run
    project.run("jobs.py")

    result = project.litejobs("workoff")

    assert sorted(result.out.splitlines()[:2]) == ["hello, SQLite!", "hello, memory!"]
    assert "2 succeeded" in result.out


def test_the_bank_moves_its_money_once(project):
    shutil.copytree(EXAMPLES / "exactly_once", project.directory, dirs_exist_ok=True)
    ordered = project.run("bank.py", 20)
    assert "transfers 20, done 0, doubled 0, sum ok True" in ordered.out

    project.litejobs("workoff")

    assert "transfers 20, done 20, doubled 0, sum ok True" in project.run("bank.py").out


@contextmanager
def running(process):
    """A server or worker, ended afterwards; it must take SIGINT well."""
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert "Traceback" not in out + err, out + err


@pytest.fixture
def flask_app(project):
    """Starts the app on a free port, as its docstring says; gives its address."""
    shutil.copytree(EXAMPLES / "flask_app", project.directory, dirs_exist_ok=True)

    def start(*words, **environment):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        process = project.start("-m", "flask", "run", "--port", port, *words, env=environment)
        address = f"http://127.0.0.1:{port}/"
        wait_until(lambda: answers(address), "the server's answer")
        return process, address

    return start


def answers(address):
    try:
        return page(address)
    except OSError:
        return None


def page(url, **form):
    data = urllib.parse.urlencode(form).encode() if form else None
    with urllib.request.urlopen(url, data, timeout=10) as response:
        return response.read().decode()


LETTER = "instance/outbox/ada_example.org.txt"


@pytest.mark.parametrize("worker", ["thread", "process"])
def test_the_flask_app_writes_the_mail_itself(project, flask_app, worker):
    server, address = flask_app(FLASK_LITEJOBS_WORKER=worker)
    with running(server):
        page(address, name="Ada", address="ada@example.org")

        wait_until(lambda: "ada_example.org" in page(address), "the mail")

    assert "Welcome, Ada!" in project.read(LETTER)


@pytest.mark.parametrize("command", [("-m", "flask", "jobs", "work"), ("-m", "litejobs", "work")])
def test_the_flask_app_leaves_the_mail_to_a_worker_when_asked(project, flask_app, command):
    server, address = flask_app(FLASK_LITEJOBS_WORKER="null")
    with running(server):
        page(address, name="Ada", address="ada@example.org")
        assert "ready" in project.litejobs("list").out

        with running(project.start(*command)):
            wait_until(lambda: "ada_example.org" in page(address), "the mail")


def test_the_flask_app_passes_its_own_tests(project):
    shutil.copytree(EXAMPLES / "flask_app", project.directory, dirs_exist_ok=True)

    assert "2 passed" in project.run("-m", "pytest", "-q").out
    assert not (project.directory / "instance").exists()


def test_the_examples_need_no_more_than_the_package_and_flask():
    names = {path.name for path in EXAMPLES.iterdir() if path.name != "__pycache__"}

    assert names == {
        "exactly_once",
        "flask_app",
        "memory_adapter",
        "script.py",
        "search_stdlib.py",
    }
