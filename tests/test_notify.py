"""What systemd is told, and the unit that makes it listen; and life as process 1."""

import configparser
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import DEADLINE, wait_until

from litejobs import defaults
from litejobs.errors import ConfigurationError
from litejobs.processes.notify import Notifier
from litejobs.processes.record import Arguments
from litejobs.processes.unit import Unit

SCRIPT = """
import os, subprocess, sys
from litejobs import configure, later

def tell():
    print([key for key in os.environ if key.startswith(("NOTIFY", "WATCHDOG"))], flush=True)

def orphan():
    subprocess.run(["sh", "-c", "setsid sh -c 'echo orphan $$; exit 7' &"])

def die():
    os._exit(9)

if __name__ == "__main__":
    configure(database="db.sqlite")
    later(globals()[sys.argv[1]])
"""


class Systemd:
    """The end of the socket at which systemd listens."""

    def __init__(self, address):
        self.address = address.replace("\0", "@")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(DEADLINE)

    def hears(self):
        return self._socket.recv(4096).decode()

    def close(self):
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(request, tmp_path):
    if request.param == "abstract" and sys.platform != "linux":
        pytest.skip("only Linux has abstract addresses")
    name = f"\0litejobs-{os.urandom(8).hex()}"
    systemd = Systemd(name if request.param == "abstract" else str(tmp_path / "notify"))
    yield systemd
    systemd.close()


def environment(systemd, **extra):
    return {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "400000", **extra}


def test_work_says_when_it_is_up_that_it_lives_and_that_it_ends(project, systemd):
    process = project.start_litejobs("work", "db.sqlite", env=environment(systemd))

    said = [systemd.hears(), systemd.hears(), systemd.hears()]
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=DEADLINE)
    while (word := systemd.hears()) == "WATCHDOG=1":
        pass

    assert process.returncode == 0, err
    assert said == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]
    assert word == "STOPPING=1"


def test_work_is_not_up_while_its_app_does_not_load(project, systemd):
    project.write("app.py", "raise RuntimeError('no luck')")
    process = project.start_litejobs("work", "--app", "app", env=environment(systemd))
    assert "tried again until it works" in wait_until(
        lambda: next((line for line in process.stderr if "tried again" in line), None)
    )

    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=DEADLINE)

    systemd._socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        systemd.hears()


def test_jobs_hear_nothing_of_systemd(project, systemd):
    project.write("script.py", SCRIPT)
    project.run("script.py", "tell")

    out = project.litejobs("workoff", "db.sqlite", env=environment(systemd)).out

    assert out.splitlines()[0] == "[]"


def heard(notifier, systemd):
    """What it says in half a second of its loop."""
    notifier.ready()
    assert systemd.hears() == "READY=1"
    systemd._socket.setblocking(False)
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        notifier.work_once()
        try:
            return systemd.hears()
        except BlockingIOError:
            time.sleep(min(0.01, notifier.patience()))
    return None


@pytest.mark.parametrize(
    ("usec", "pid", "word"),
    [
        pytest.param("20000", None, "WATCHDOG=1", id="watched"),
        pytest.param("20000", str(os.getppid()), None, id="another is watched"),
        pytest.param("0", None, None, id="off"),
        pytest.param("soon", None, None, id="no number"),
        pytest.param("", None, None, id="not watched"),
    ],
)
def test_the_watchdog_is_fed_where_it_asks_for_this_process(systemd, monkeypatch, usec, pid, word):
    for key, value in environment(systemd, WATCHDOG_USEC=usec).items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("WATCHDOG_PID", pid or str(os.getpid()))

    notifier = Notifier.from_environment()

    assert "NOTIFY_SOCKET" not in os.environ
    assert heard(notifier, systemd) == word


def test_a_systemd_that_does_not_listen_any_more_disturbs_nobody(systemd):
    notifier = Notifier(systemd.address)
    systemd.close()

    notifier.ready()
    notifier.stopping()


def test_without_systemd_there_is_nobody_to_notify(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert Notifier.from_environment() is None

    monkeypatch.setenv("NOTIFY_SOCKET", "vsock:2:1")
    assert Notifier.from_environment() is None


# The unit


def read(text):
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str
    parser.read_string(text)
    return parser


def verify(file):
    """What systemd itself says to it, where it is installed."""
    if shutil.which("systemd-analyze"):
        result = subprocess.run(
            ["systemd-analyze", "verify", file], capture_output=True, text=True, check=False
        )
        assert (result.returncode, result.stderr) == (0, "")


def test_the_unit_says_all_that_systemd_must_know(project, tmp_path):
    options = ["--count", "3", "--max-jobs", "500", "--max-memory", "200", "--stop-timeout", "60"]
    text = project.litejobs("systemd", "db.sqlite", *options).out

    unit = read(text)
    service = unit["Service"]
    words = shlex.split(service["ExecStart"])
    assert words[:5] == [sys.executable, "-P", "-m", "litejobs", "work"]
    assert words[5:] == [
        str(project.directory / "db.sqlite"), *options, "--log-level", "info",
    ]  # fmt: skip
    assert service["Type"] == "notify"
    assert service["KillMode"] == "mixed"
    assert service["Restart"] == "on-failure"
    assert service["WorkingDirectory"] == str(project.directory)
    assert float(service["TimeoutStopSec"]) > 60
    # Half of it for a round, of two databases that are locked, each waited for twice.
    assert float(service["WatchdogSec"]) / 2 > 2 * 2 * defaults.LOCK_PATIENCE
    assert service["User"]
    assert unit["Install"]["WantedBy"] == "multi-user.target"
    (tmp_path / "jobs.service").write_text(text)
    verify(tmp_path / "jobs.service")


def test_the_unit_of_an_app_names_its_project_and_asks_for_no_user_where_that_is_clear(project):
    text = project.litejobs("systemd", "--user", "--app", "shop.jobs:jobs").out

    unit = read(text)
    words = shlex.split(unit["Service"]["ExecStart"])
    assert words[5:9] == ["--app", "shop.jobs:jobs", "--root", str(project.directory)]
    assert "User" not in unit["Service"]
    assert unit["Install"]["WantedBy"] == "default.target"


def test_the_command_of_the_unit_is_one_that_runs(project, systemd):
    text = project.litejobs("systemd", "db.sqlite", "--queue", "email", "--count", "2").out
    words = shlex.split(read(text)["Service"]["ExecStart"])

    process = project.start(*words[1:], env=environment(systemd))

    assert systemd.hears() == "READY=1"
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    assert "litejobs-worker.email.1" in err


def arguments(**changed):
    told = {"directory": "/srv/shop", "root": "/srv/shop", "app": None, "database": "/db",
            "name": "", "log": None, "log_level": 20, "stop_timeout": 8.0}  # fmt: skip
    return Arguments(**{**told, **changed})


def test_what_systemd_would_read_otherwise_is_escaped(tmp_path):
    unit = Unit(arguments(database='/a "b" $HOME/100%\\x', directory="/a b/%h"), "info", False)

    text = unit.text()

    assert r'"/a \"b\" $$HOME/100%%\\x"' in text
    assert "\nWorkingDirectory=/a b/%%h\n" in text
    (tmp_path / "jobs.service").write_text(text.replace("/a b/%%h", "/"))
    verify(tmp_path / "jobs.service")


def test_a_directory_that_no_unit_can_name_is_refused():
    with pytest.raises(ConfigurationError, match="a unit cannot name"):
        Unit(arguments(directory="/a\nExecStartPre=/bin/evil"), "info", False).text()


# Process 1


def can_unshare():
    command = ["unshare", "--pid", "--fork", "--mount-proc", "true"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not can_unshare(), reason="needs the right to make a pid namespace")
def test_as_process_1_it_buries_orphans_heeds_signals_and_keeps_its_performers_ends(project):
    project.write("script.py", SCRIPT)
    for name in ("orphan", "die", "tell"):
        project.run("script.py", name)
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child",
               sys.executable, "-m", "litejobs", "work", "db.sqlite"]  # fmt: skip
    with (project.directory / "out.log").open("wb") as log:
        outer = subprocess.Popen(
            command, cwd=project.directory, env=project.environment(), stdout=log, stderr=log
        )
    try:
        wait_until(lambda: "orphan " in project.read("out.log"), "the orphan")
        wait_until(lambda: "[]" in project.read("out.log"), "the last job")
        runner = wait_until(lambda: children(outer.pid), "process 1")[0]
        wait_until(lambda: not zombies(runner), "the orphan's burial")
        os.kill(runner, signal.SIGTERM)
        assert outer.wait(DEADLINE) == 0
    finally:
        outer.kill()
        outer.wait()
    assert "ended with exit code 9 while it ran this job" in project.read("out.log")


def children(pid, states=None):
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if parent == str(pid) and (states is None or state in states):
            found.append(int(stat.parent.name))
    return found


def zombies(pid):
    return children(pid, "Z")
