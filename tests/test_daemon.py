"""``litejobs start|stop|restart|status``: real daemons, found by their pidfiles."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import DEADLINE, wait_until

from litejobs import defaults
from litejobs.errors import KilledError
from litejobs.processes import control
from litejobs.processes.log import Held, LogFile
from litejobs.processes.record import DaemonFiles

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
ROUNDS = 2  # of simultaneous starts; benchmarks/starts.py does as many as it is told
SCRIPT = """
import os, subprocess, sys, time
from pathlib import Path
from litejobs import configure, later

here = Path(__file__).parent

def note(word):
    with (here / "done.txt").open("a") as file:
        print(word, os.getpid(), os.getcwd(), file=file)

def hold(name):
    note("begun")
    while not (here / name).exists():
        time.sleep(0.005)
    note("ended")

def breed():
    child = subprocess.Popen(["sleep", "600"])
    (here / "child.txt").write_text(f"{child.pid} ")
    hold("never")

def flood():
    line = "x" * 99 + "\\n"
    for _ in range(100):
        sys.stdout.write(line * 10_486)
    note("flooded")

if __name__ == "__main__":
    configure(database=here / "db.sqlite")
    later(globals()[sys.argv[1]], sys.argv[2:])
"""
APP = """
import os
from pathlib import Path
from litejobs import JobManager, SqliteAdapter
import script

with (script.here / "imports.txt").open("a") as file:
    print("imported", file=file)
jobs = JobManager({"sqlite": SqliteAdapter("db.sqlite")}, workers=[{"count": 2}])
note = jobs.create_job(perform=script.note)
hold = jobs.create_job(perform=script.hold)
later = jobs.create_scheduler()
"""
BROKEN = "raise RuntimeError('no luck')\n"


class Daemons:
    """A project, and the daemons that are started in it and end with the test."""

    def __init__(self, project):
        self.project = project
        self.directory = project.directory / "db.sqlite.run"

    def __call__(self, *words, **options):
        return self.project.litejobs(*words, **options)

    def pid(self, name="default"):
        """What stands in the pidfile."""
        return int((self.directory / f"{name}.pid").read_text().split()[0])

    @property
    def log(self):
        return self.project.read("db.sqlite.run/default.log")

    @property
    def notes(self):
        lines = self.project.read("done.txt").splitlines(keepends=True)
        return [line.split() for line in lines if line.endswith("\n")]

    @property
    def words(self):
        return [word for word, *_ in self.notes]

    def store(self, name, *args):
        self.project.run("script.py", name, *args)

    def until_noted(self, *words):
        wait_until(lambda: self.words == list(words), f"{words} noted")

    def until_logged(self, text):
        wait_until(lambda: text in self.log, f"{text!r} in the log")

    def touch(self, name):
        (self.project.directory / name).touch()

    def shown(self):
        return json.loads(self("list", "db.sqlite", "--json").out)

    def left(self):
        """What is still running of all that the project started."""
        home = f"HOME={self.project.home}".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if home in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def end(self):
        for pid in self.left():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        wait_until(lambda: not self.left(), "the end of all that was started")


@pytest.fixture
def daemon(project):
    project.write("script.py", SCRIPT)
    daemon = Daemons(project)
    yield daemon
    daemon.end()


def start_hold(daemon, *words):
    """A daemon in the middle of a job that waits for the file ``released``."""
    daemon.store("hold", "released")
    daemon("start", "db.sqlite", *words)
    daemon.until_noted("begun")
    return daemon.pid()


# start, stop


def test_a_daemon_runs_jobs_where_it_was_started_until_it_is_stopped(daemon, tmp_path):
    result = daemon("start", daemon.project.directory / "db.sqlite", "--root",
                    daemon.project.directory, cwd=tmp_path)  # fmt: skip
    pid = daemon.pid()
    assert f"(pid {pid})" in result.out
    assert result.err == ""
    daemon.store("note", "hello")
    daemon.until_noted("hello")

    stopped = daemon("stop", "db.sqlite")

    assert daemon.notes[0][2] == str(tmp_path)
    assert stopped.out == f"stopped (pid {pid})\n"
    assert daemon.left() == []
    assert "Traceback" not in daemon.log


def test_a_daemon_leads_a_session_of_its_own_and_holds_nothing_of_its_starter(daemon):
    result = subprocess.run(
        f"umask 0; {sys.executable} -m litejobs start db.sqlite | cat", shell=True,
        cwd=daemon.project.directory, env=daemon.project.environment(),
        capture_output=True, timeout=DEADLINE, check=True, text=True,
    )  # fmt: skip

    pid = daemon.pid()
    assert f"pid {pid}" in result.stdout
    assert os.getsid(pid) == pid
    opened = {fd.name: str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()}
    log = str(daemon.directory / "default.log")
    assert [opened[number] for number in "012"] == [os.devnull, log, log]
    assert {target for target in opened.values() if target.startswith("/")} <= {
        os.devnull, log, str(daemon.directory / "default.pid"),
        *map(str, daemon.directory.glob("*.lease")),
        *(f"{daemon.directory.with_suffix('')}{suffix}" for suffix in ("", "-wal", "-shm")),
    }  # fmt: skip
    for name in ("default.log", "default.pid", "default.json"):
        assert (daemon.directory / name).stat().st_mode & 0o777 == 0o600
    command = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    assert command[-1] == b"litejobs-daemon.default"


def test_a_second_start_is_refused_with_the_pid_and_another_name_is_another_daemon(daemon):
    daemon("start", "db.sqlite")

    refused = daemon("start", "db.sqlite", code=1)
    daemon("start", "db.sqlite", "--name", "other")

    assert f"it is running already, as pid {daemon.pid()}" in refused.sentence
    assert daemon.pid("other") != daemon.pid()
    assert "pid" in daemon("status", "db.sqlite", "--name", "other").out
    daemon("stop", "db.sqlite", "--name", "other")
    assert daemon("stop", "db.sqlite").out


def test_of_twelve_that_start_at_once_one_runs(daemon):
    for _ in range(ROUNDS):
        starts = [daemon.project.start_litejobs("start", "db.sqlite") for _ in range(12)]
        ends = [(*start.communicate(timeout=DEADLINE), start.returncode) for start in starts]

        assert sorted(code for *_, code in ends) == [0, *[1] * 11], ends
        pid = daemon.pid()
        assert all(f"pid {pid}" in out + err for out, err, _ in ends)
        daemon("stop", "db.sqlite")
        assert daemon.left() == []


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        pytest.param(["--app", "nowhere"], 78, "there is no module 'nowhere'", id="no app"),
        pytest.param(["--app", "broken"], 78, "does not load: RuntimeError: no luck", id="app"),
        pytest.param(["--app", "half"], 78, "does not load: RuntimeError: half", id="performer"),
        pytest.param(["--app", "dies"], 78, "ended with exit code 3", id="performer dies"),
        pytest.param(["script.py"], 65, "is not an SQLite database", id="no database"),
        pytest.param(["no/db.sqlite"], 65, "does not exist", id="no directory"),
        pytest.param(["db.sqlite", "--log", "no/x.log"], 78, "cannot be written", id="no log"),
        pytest.param(["db.sqlite", "--log", "link"], 78, "cannot be written", id="log is a link"),
        pytest.param(["db.sqlite", "--name", "../x"], 2, "--name must be", id="name"),
        pytest.param(["--app", "half", "--count", "2"], 2, "do not go with an app", id="count"),
    ],
)
def test_start_says_in_one_sentence_why_not(daemon, words, code, says):
    once = "from pathlib import Path\nonce = Path('once').exists()\nPath('once').touch()\n"
    daemon.project.write("broken.py", BROKEN)
    daemon.project.write("half.py", f"{APP}{once}if once: raise RuntimeError('half')\n")
    daemon.project.write("dies.py", f"{APP}{once}if once: os._exit(3)\n")
    (daemon.project.directory / "link").symlink_to("precious")

    result = daemon("start", *words, code=code)

    assert says in result.sentence
    assert len(result.err.splitlines()) == 1
    assert result.out == ""
    assert daemon.left() == []
    assert not (daemon.project.directory / "precious").exists()


def test_under_systemd_start_is_refused_with_the_cure(daemon):
    result = daemon("start", "db.sqlite", code=2, env={"NOTIFY_SOCKET": "/run/notify"})

    assert "litejobs systemd prints one" in result.sentence
    assert daemon.left() == []


def test_a_start_that_is_interrupted_leaves_nothing(daemon):
    daemon.project.write("app.py", "import script, time\nscript.note('loading')\ntime.sleep(600)")
    process = daemon.project.start_litejobs("start", "--app", "app")
    daemon.until_noted("loading")

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=DEADLINE)

    assert process.returncode in (1, 130)
    assert "Traceback" not in err
    wait_until(lambda: daemon.left() == [], "the end of the daemon")


def test_a_daemon_that_is_killed_while_it_starts_is_told(daemon):
    daemon.project.write("app.py", "import script, time\nscript.note('loading')\ntime.sleep(600)")
    process = daemon.project.start_litejobs("start", "--app", "app")
    daemon.until_noted("loading")

    for pid in daemon.left():
        if b"litejobs-daemon.default" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
    _, err = process.communicate(timeout=DEADLINE)

    assert process.returncode == 1
    assert err == "litejobs: the daemon ended before its workers were up, killed by signal 9\n"


FOREIGN = """
from litejobs import JobManager, SqliteAdapter

class Foreign(SqliteAdapter):
    pass

adapters = {"first": Foreign("foreign.sqlite"), "second": SqliteAdapter("db.sqlite")}
"""


def test_the_pidfile_is_beside_the_first_sqlite_file_that_groups_work_on(daemon):
    workers = "[{'adapter': 'first'}, {'adapter': 'second'}]"
    daemon.project.write("app.py", f"{FOREIGN}jobs = JobManager(adapters, workers={workers})")

    result = daemon("start", "--app", "app")

    assert f"(pid {daemon.pid()})" in result.out
    assert result.out.count("litejobs-worker.*.0") == 2


def test_an_app_without_such_a_file_is_refused_with_the_cure(daemon):
    daemon.project.write("app.py", f"{FOREIGN}jobs = JobManager(adapters)")

    result = daemon("start", "--app", "app", code=78)

    assert "start it as litejobs work" in result.sentence
    assert daemon.left() == []


def test_a_data_directory_that_cannot_be_made_keeps_no_daemon_from_running(daemon):
    daemon.project.write("app.py", APP)
    daemon.project.write("file", "")

    daemon("start", "--app", "app", env={"XDG_DATA_HOME": str(daemon.project.directory / "file")})

    assert "commands will have to ask the app where its jobs are" in daemon.log


def test_after_a_kill_the_next_start_works_and_status_knows(daemon):
    daemon("start", "db.sqlite")
    first = daemon.pid()

    os.kill(first, signal.SIGKILL)
    wait_until(lambda: daemon.left() == [], "its end")
    gone = daemon("status", "db.sqlite", "--name", "default", code=3)
    daemon("stop", "db.sqlite", code=3)
    daemon("start", "db.sqlite")

    assert "daemon    not running, log " in gone.out
    assert daemon.pid() != first
    daemon.store("note", "again")
    daemon.until_noted("again")


def test_what_is_not_running_cannot_be_stopped_and_a_stranger_is_not(daemon):
    daemon.directory.mkdir(mode=0o700)
    stranger = subprocess.Popen(["sleep", "600"])
    (daemon.directory / "default.pid").write_text(f"{stranger.pid}\n")

    result = daemon("stop", "db.sqlite", "--timeout", "0", code=3)

    assert "no daemon 'default' is running" in result.sentence
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_stop_waits_for_the_running_job_however_many_ask(daemon):
    start_hold(daemon, "--stop-timeout", "0.001")
    daemon.store("note", "next")

    stops = [daemon.project.start_litejobs("stop", "db.sqlite") for _ in range(2)]
    daemon.until_logged("finishing the running jobs")
    with pytest.raises(subprocess.TimeoutExpired):
        stops[0].wait(0.5)
    daemon.touch("released")
    codes = [stop.wait(DEADLINE) for stop in stops]
    for stop in stops:
        stop.communicate()

    assert daemon.words == ["begun", "ended"]
    assert set(codes) <= {0, 3}  # 3: the other had stopped it before this one looked
    assert daemon.left() == []


def test_a_job_that_takes_too_long_is_killed_and_named_and_goes_back(daemon):
    daemon.store("breed")
    daemon("start", "db.sqlite")
    wait_until(lambda: daemon.project.read("child.txt").endswith(" "), "the job's child")

    result = daemon("stop", "db.sqlite", "--timeout", "0.1", code=4)

    assert "did not end within 0.1 s and was killed" in result.sentence
    assert "1 breed() of litejobs-worker.*.0" in result.sentence
    assert daemon.left() == []
    assert [(job["state"], job["attempts"]) for job in daemon.shown()] == [("ready", 0)]


def test_a_daemon_that_does_not_react_is_killed_with_all_its_children(daemon, monkeypatch):
    monkeypatch.setattr(defaults, "EXIT_PATIENCE", 0.2)
    daemon.store("breed")
    daemon("start", "db.sqlite")
    wait_until(lambda: daemon.project.read("child.txt").endswith(" "), "the job's child")
    os.kill(daemon.pid(), signal.SIGSTOP)

    with pytest.raises(KilledError, match="ended with it: one job"):
        control.stop(DaemonFiles(str(daemon.directory), "default"), 0.1, lambda _: ["one job"])

    wait_until(lambda: daemon.left() == [], "the end of all")


def test_sigterm_drains_for_the_stop_timeout_whatever_its_starter_ignored(daemon):
    daemon.store("hold", "released")
    line = f"trap '' TERM QUIT; {sys.executable} -m litejobs start db.sqlite --stop-timeout 0.2"
    subprocess.run(
        ["sh", "-c", line], cwd=daemon.project.directory, env=daemon.project.environment(),
        check=True, capture_output=True, timeout=DEADLINE,
    )  # fmt: skip
    daemon.until_noted("begun")

    os.kill(daemon.pid(), signal.SIGTERM)

    wait_until(lambda: daemon.left() == [], "its end")
    assert [(job["state"], job["attempts"]) for job in daemon.shown()] == [("ready", 0)]


# A broken app


@pytest.fixture
def app(daemon):
    daemon.project.write("app.py", APP)
    return daemon


def test_a_broken_app_can_be_looked_at_and_stopped_by_its_name_alone(app):
    app("start", "--app", "app")
    app.project.write("app.py", BROKEN)
    imports = app.project.read("imports.txt")

    status = app("status", "--app", "app")
    listed = app("list", "--app", "app")
    app("stop", "--app", "app")
    app("stop", "--app", "app", code=3)

    assert "running for" in status.out
    assert f"jobs in {app.project.directory / 'db.sqlite'} (" in status.err
    assert listed.out == "no jobs\n"
    assert app.project.read("imports.txt") == imports


def test_an_app_that_breaks_while_its_daemon_runs_is_waited_for(app):
    app("start", "--app", "app")
    app.project.run("-c", "from app import *; later(note, ['before'])")
    app.until_noted("before")
    app.project.write("app.py", BROKEN)

    os.kill(int(app.notes[0][1]), signal.SIGKILL)
    app.until_logged("does not load: RuntimeError: no luck; tried again until it works")
    app.project.write("app.py", APP)
    imports = app.project.read("imports.txt")
    wait_until(lambda: app.project.read("imports.txt") != imports, "the next try")

    assert app.pid() in app.left()


def test_an_app_that_was_never_started_is_asked(app):
    result = app("stop", "--app", "app", code=3)

    assert str(app.project.directory / "db.sqlite") in result.sentence
    assert app.project.read("imports.txt") == "imported\n"


def test_what_start_noted_of_a_database_that_is_gone_is_not_believed(app):
    app("start", "--app", "app")
    app("stop", "--app", "app")
    for file in app.project.directory.glob("db.sqlite*"):
        if file.is_file():
            file.unlink()
    app.project.write("app.py", APP.replace("db.sqlite", "new.sqlite"))

    result = app("stop", "--app", "app", code=3)

    assert "new.sqlite" in result.sentence


# restart


def test_restart_keeps_the_arguments_takes_up_new_code_and_finishes_the_job(app, tmp_path):
    app("start", "--app", "app", "--log", "own.log", "--log-level", "debug")
    first = app.pid()
    app.project.run("-c", "from app import *; later(hold, ['released'])")
    app.until_noted("begun")
    app.project.write("script.py", SCRIPT.replace("print(word", "print('new-' + word"))

    process = app.project.start_litejobs(
        "restart", "--app", "app", "--root", app.project.directory, cwd=tmp_path
    )
    wait_until(lambda: "finishing" in app.project.read("own.log"), "the stop")
    app.touch("released")
    out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, err
    app.project.run("-c", "from app import *; later(note, ['after'])")

    app.until_noted("begun", "ended", "new-after")
    assert app.pid() != first
    assert f"pid {app.pid()}" in out
    assert "litejobs-worker.*.1" in out
    assert app.notes[2][2] == str(app.project.directory)
    assert "job 2 note succeeded" in wait_until(
        lambda: (log := app.project.read("own.log")).count("succeeded") > 1 and log
    )
    assert app("list", "db.sqlite").out == "no jobs\n"


def test_restart_with_an_app_that_does_not_load_stops_nothing(app):
    app("start", "--app", "app")
    pid = app.pid()
    app.project.write("app.py", BROKEN)

    result = app("restart", "--app", "app", code=78)

    assert "the app app does not load: RuntimeError: no luck" in result.sentence
    assert app.pid() == pid
    assert pid in app.left()


def test_restart_starts_what_is_not_running_as_it_was_started(daemon):
    refused = daemon("restart", "db.sqlite", code=3)
    daemon("start", "db.sqlite", "--count", "2", "--queue", "email")
    daemon("stop", "db.sqlite")

    result = daemon("restart", "db.sqlite")

    assert "was ever started" in refused.sentence
    assert "litejobs-worker.email.1" in result.out


def test_restart_that_had_to_kill_says_so_when_the_next_one_is_up(daemon):
    start_hold(daemon)

    result = daemon("restart", "db.sqlite", "--timeout", "0.1", code=4)

    assert f"another is running as pid {daemon.pid()}" in result.sentence
    daemon.until_noted("begun", "begun")
    daemon.touch("released")
    daemon.until_noted("begun", "begun", "ended")


def test_restart_into_a_directory_that_is_gone_stops_nothing(daemon, tmp_path):
    away = tmp_path / "away"
    away.mkdir()
    daemon("start", daemon.project.directory / "db.sqlite", "--root", daemon.project.directory,
           cwd=away)  # fmt: skip
    away.rmdir()

    result = daemon("restart", "db.sqlite", code=78)

    assert f"{away}, in which it was started, cannot be entered" in result.sentence
    assert daemon.pid() in daemon.left()


# status


def test_status_says_what_is_running_and_for_how_long(daemon):
    pid = start_hold(daemon, "--count", "2")

    lines = daemon("status", "db.sqlite").out.splitlines()

    log = daemon.directory / "default.log"
    assert re.fullmatch(rf"daemon    running for .+, pid {pid}, log {log}", lines[1])
    assert lines[2].split() == ["worker", "pid", "job", "for"]
    table = [line.split() for line in lines[3:5]]
    assert sorted(row[2] for row in table) == ["-", "1"]
    [busy] = [row for row in table if row[2] == "1"]
    assert busy[1] == str(pid)
    assert busy[3] == 'hold("released")'


def test_status_as_json_tells_the_same(daemon):
    pid = start_hold(daemon, "--count", "2")

    document = json.loads(daemon("status", "db.sqlite", "--json").out)

    [told] = document["daemons"]
    assert told.pop("started_at") > 1_700_000_000_000
    log = str(daemon.directory / "default.log")
    assert told == {"name": "default", "running": True, "pid": pid, "log": log}
    workers = {worker["job"]: worker for worker in document["workers"]}
    assert workers[1]["call"] == 'hold("released")'
    assert workers[1]["pid"] == workers[None]["pid"] == pid
    assert {worker["worker"] for worker in document["workers"]} == {
        "litejobs-worker.*.0", "litejobs-worker.*.1"
    }  # fmt: skip


def test_status_shows_the_jobs_of_workers_that_are_no_daemons(daemon):
    daemon.store("hold", "released")
    process = daemon.project.start_litejobs("work", "db.sqlite")
    daemon.until_noted("begun")

    out = daemon("status", "db.sqlite").out
    daemon.touch("released")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=DEADLINE)

    assert "daemon    not running\n" in out
    assert re.search(rf"litejobs-worker\.\*\.0  {process.pid} +1 hold", out)


def test_status_of_a_damaged_record_says_what_it_knows(daemon):
    daemon("start", "db.sqlite")
    (daemon.directory / "default.json").write_text("{")

    assert f"starting, pid {daemon.pid()}" in daemon("status", "db.sqlite").out
    assert "was ever started" in daemon("restart", "db.sqlite", code=3).sentence


def test_status_knows_a_daemon_that_it_cannot_see_and_stop_does_nothing_to_it(daemon):
    daemon("start", "db.sqlite")
    pid = daemon.pid()
    (daemon.directory / "default.pid").write_text("1\n0\n")  # as a container of its own counts

    status = daemon("status", "db.sqlite", "--name", "default").out
    stopped = daemon("stop", "db.sqlite", code=1)

    assert "daemon    running in another container, log " in status
    assert "cannot be seen from here" in stopped.sentence
    assert pid in daemon.left()


# The log


def test_a_hangup_opens_the_log_anew_and_stops_nothing(daemon):
    started = subprocess.run(  # as nohup does
        ["sh", "-c", f"trap '' HUP; {sys.executable} -m litejobs start db.sqlite"],
        cwd=daemon.project.directory, env=daemon.project.environment(), check=True,
        capture_output=True, timeout=DEADLINE,
    )  # fmt: skip
    assert started.stdout
    log = daemon.directory / "default.log"
    old = log.rename(log.with_name("rotated"))

    os.kill(daemon.pid(), signal.SIGHUP)
    daemon.until_logged("the log was opened anew")
    length = old.stat().st_size
    os.kill(daemon.pid(), signal.SIGHUP)
    wait_until(lambda: daemon.log.count("opened anew") == 2, "the second time")

    assert log.stat().st_mode & 0o777 == 0o600
    assert old.stat().st_size == length
    assert Path(f"/proc/{daemon.pid()}/fd/2").readlink() == log
    daemon.store("note", "on")
    daemon.until_noted("on")


def test_a_job_that_prints_100_mb_neither_blocks_nor_fills_the_disk(daemon):
    daemon("start", "db.sqlite")
    daemon.store("flood")
    daemon.store("note", "next")

    daemon.until_noted("flooded", "next")
    daemon.until_logged("were dropped")
    daemon("stop", "db.sqlite")

    counts = re.findall(r"litejobs-worker\.\*\.0: printed too much: ([\d,]+) lines", daemon.log)
    dropped = sum(int(count.replace(",", "")) for count in counts)
    printed = daemon.log.count("litejobs-worker.*.0: " + "x" * 99 + "\n")
    assert printed > 100
    assert dropped + printed == 1_048_600
    assert sum(file.stat().st_size for file in daemon.directory.iterdir()) < 20_000_000


def test_the_log_tells_who_printed_what(daemon):
    daemon.project.write(
        "script.py",
        SCRIPT.replace("def note(word):", "def note(word):\n    print('words\\x1b[31m', word)"),
    )
    daemon.store("note", "hello")

    daemon("start", "db.sqlite", "--log-level", "debug")
    daemon.until_noted("hello")
    daemon("stop", "db.sqlite")

    lines = daemon.log.splitlines()
    assert r"litejobs-worker.*.0: words\x1b[31m hello" in lines
    own = [line for line in lines if "job 1 note started" in line]
    assert [re.match(r"\d{4}-\d\d-\d\d \S+ DEBUG +litejobs-worker", line) is None
            for line in own] == [False]  # fmt: skip


@pytest.fixture
def log_file(tmp_path, monkeypatch):
    """Opens log files; stdout and stderr of the tests stay their own."""
    monkeypatch.setattr(os, "dup2", lambda *_: None)
    files = []

    def open_(path=tmp_path / "x.log"):
        files.append(LogFile(path))
        return files[-1]

    yield open_
    for file in files:
        file.close()


def emit(file, text):
    file.emit(logging.LogRecord("x", logging.INFO, "", 0, text, None, None))


def test_of_what_is_logged_before_there_is_a_file_the_last_ten_thousand_stay():
    held, place, told = Held(), logging.Handler(), []
    place.emit = lambda record: told.append(record.msg)
    for number in range(12_000):
        held.handle(logging.makeLogRecord({"msg": number}))

    held.hand_over(place)

    assert told == [*range(2_000, 12_000)]


def test_a_log_that_has_grown_is_rotated_and_stays_private(log_file, tmp_path, monkeypatch):
    monkeypatch.setattr(defaults, "LOG_SIZE", 100)
    monkeypatch.setattr(defaults, "LOG_COUNT", 2)
    before = os.umask(0)
    try:
        file = log_file()
        for number in range(10):
            emit(file, f"{number}" * 60)
    finally:
        os.umask(before)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.log", "x.log.1", "x.log.2"]
    assert (tmp_path / "x.log").read_text() == "9" * 60 + "\n"
    assert (tmp_path / "x.log.2").read_text() == "7" * 60 + "\n"
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_log_that_cannot_be_rotated_goes_on(log_file, tmp_path, monkeypatch):
    monkeypatch.setattr(defaults, "LOG_SIZE", 100)
    file = log_file()

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "rename", refuse)
    for number in range(3):
        emit(file, f"{number}" * 60)

    assert (tmp_path / "x.log").read_text().split() == ["0" * 60, "1" * 60, "2" * 60]


def test_a_log_whose_directory_has_gone_stays_the_file_that_it_was(log_file, tmp_path):
    (tmp_path / "away").mkdir()
    file = log_file(tmp_path / "away/x.log")
    (tmp_path / "away").rename(tmp_path / "old")

    file.reopen()
    emit(file, "still there")

    assert (tmp_path / "old/x.log").read_text() == "still there\n"


def test_a_log_is_no_pipe_that_nobody_reads(log_file, tmp_path):
    os.mkfifo(tmp_path / "x.log")

    with pytest.raises(OSError, match="No such device"):
        log_file()


def test_a_run_directory_of_another_kind_is_refused(daemon):
    daemon.directory.write_text("in the way")

    assert "it is not a directory" in daemon("start", "db.sqlite", code=78).sentence
