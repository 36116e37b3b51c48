"""The daemon from outside: start it, stop it, look whether it is there."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from litejobs import defaults
from litejobs.errors import (
    ConfigurationError,
    KilledError,
    LitejobsError,
    NotRunningError,
    UsageError,
)
from litejobs.performers.wire import Broken
from litejobs.processes.daemon import Up, source_of
from litejobs.processes.record import Arguments, DaemonFiles, Record
from litejobs.processes.signals import DRAIN
from litejobs.run_directory.pidfile import Holder
from litejobs.stop import Stop


@dataclass(frozen=True, slots=True)
class DaemonState:
    """A daemon as it can be seen from outside."""

    name: str
    is_running: bool
    pid: int | None  # while it is running, where that can be seen from here
    record: Record | None  # how it was started, if that is known


def look(files: DaemonFiles) -> DaemonState:
    """Whether it is running, and since when."""
    record = files.read()
    try:
        holder = Holder.of(files.pidfile)
    except LitejobsError:
        return DaemonState(files.name, is_running=True, pid=None, record=record)
    if holder is None:
        return DaemonState(files.name, is_running=False, pid=None, record=record)
    with closing(holder):
        if record is not None and record.pid != holder.pid:
            record = None  # of an earlier one: this one has just begun
        return DaemonState(files.name, is_running=True, pid=holder.pid, record=record)


def start(arguments: Arguments) -> Up:
    """
    Start a daemon, and wait until its workers are up.

    Raises what keeps it from that; AlreadyRunningError if there is one of that name.
    """
    if os.environ.get("NOTIFY_SOCKET"):
        raise UsageError(
            "systemd waits for this very process, so that a daemon would be lost to it; let the "
            "unit start litejobs work: litejobs systemd prints one"
        )
    process = subprocess.Popen(  # noqa: S603  # our own module
        [sys.executable, "-P", "-m", "litejobs.daemon", f"litejobs-daemon.{arguments.name}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        cwd=arguments.directory,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError), process.stdin:
            process.stdin.write(msgspec.json.encode(arguments))
        with process.stdout:
            said = process.stdout.read()
    except BaseException:  # a Ctrl-C above all
        _give_up(process)
        raise
    if not said:
        code = process.wait()
        raise LitejobsError(f"the daemon ended before its workers were up, {_how(code)}")
    answer: Up | Broken = msgspec.json.decode(said, type=Up | Broken)
    if isinstance(answer, Broken):
        process.wait()
        raise answer.error()
    process.returncode = 0  # it outlives us: nobody is to wait for it, or to warn that it is there
    return answer


def stop(files: DaemonFiles, timeout: float, running: Callable[[int], Sequence[str]]) -> int:
    """
    Let the daemon finish its running jobs, at most *timeout* seconds; return which pid it had.

    Raises NotRunningError; or KilledError, when it is gone, if it took longer. *running* names the
    jobs of a pid.
    """
    holder = Holder.of(files.pidfile)
    if holder is None:
        raise NotRunningError(f"no daemon {files.name!r} is running on {files.database}")
    with closing(holder):
        holder.send(DRAIN)
        if holder.ends_within(timeout):
            return holder.pid
        jobs = running(holder.pid)
        said = f"the daemon (pid {holder.pid}) did not end within {timeout:g} s and was killed"
        is_orderly = _kill(holder)
    if jobs:
        then = "go back, no attempt is spent" if is_orderly else "ended with it"
        said = f"{said}; its running jobs {then}: {', '.join(jobs)}"
    raise KilledError(said)


def restart(files: DaemonFiles, timeout: float, running: Callable[[int], Sequence[str]]) -> Up:
    """
    Stop the daemon, if it is running, and start it as it was started last.

    An app that does not load any more is found before anything is stopped. Raises as ``start``
    does, NotRunningError if it was never started, and KilledError, when the new one is up, as
    ``stop`` does.
    """
    record = files.read()
    if record is None:
        raise NotRunningError(
            f"no daemon {files.name!r} was ever started on {files.database}: use litejobs start"
        )
    _check(record.arguments)
    killed = None
    try:
        stop(files, timeout, running)
    except NotRunningError:
        pass
    except KilledError as error:
        killed = error
    up = start(record.arguments)
    if killed is not None:
        raise KilledError(f"{killed}; another is running as pid {up.pid}")
    return up


def _check(arguments: Arguments) -> None:
    """Raise ConfigurationError if a daemon would not find its directory, or not load its app."""
    try:
        os.chdir(arguments.directory)  # where the app will be loaded
    except OSError as error:
        raise ConfigurationError(
            f"{arguments.directory}, in which it was started, cannot be entered: {error.strerror}"
        ) from error
    with closing(Stop()) as nobody:
        source_of(arguments).manifest(nobody)


def _kill(holder: Holder) -> bool:
    """End it with all its children; whether it could still give the jobs back."""
    holder.send(signal.SIGQUIT)
    if holder.ends_within(defaults.EXIT_PATIENCE):
        return True
    holder.send(signal.SIGSTOP)  # so that it does not reap: the pids of its children stay theirs
    for pid in _children(holder.pid):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)  # each leads a session of its own
    holder.send(signal.SIGKILL)
    holder.ends_within(defaults.EXIT_PATIENCE)
    return False


def _children(pid: int) -> list[int]:
    """Its child processes, where /proc tells; elsewhere they end when their socket closes."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, IndexError):
            if stat.read_text("ascii", "replace").rpartition(")")[2].split()[1] == str(pid):
                found.append(int(stat.parent.name))
    return found


def _give_up(process: "subprocess.Popen[bytes]") -> None:
    """Nobody waits for it any more."""
    process.terminate()
    try:
        process.wait(defaults.EXIT_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()


def _how(code: int) -> str:
    return f"with exit code {code}" if code >= 0 else f"killed by signal {-code}"
