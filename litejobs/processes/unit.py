"""The unit that lets systemd keep ``litejobs work`` running: systemd.service(5)."""

import os
import pwd
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from litejobs import defaults
from litejobs.errors import ConfigurationError
from litejobs.processes.record import Arguments

_SLACK = 15  # seconds beyond --stop-timeout, and beyond the readiness of scout and performers
# Seconds, of which a round of the loop may take half: see Notifier. In each database the first step
# that finds it locked waits LOCK_PATIENCE, which ends the upkeep of that round, and the exchange
# then as long. Only where the lock is let go and taken again between them may others wait too.
_WATCHDOG = 60
_PLAIN = re.compile(r"[\w@%+=:,./$*-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit for the workers that *arguments* ask for."""

    arguments: Arguments
    log_level: str
    is_of_user: bool

    def text(self) -> str:
        """The file; raises ConfigurationError for a path that no unit can name."""
        told = self.arguments
        user = [] if self.is_of_user else [f"User={pwd.getpwuid(os.geteuid()).pw_name}"]
        lines = [
            "[Unit]",
            f"Description=Background jobs of {_escaped(Path(told.root).name or told.root)}",
            "",
            "[Service]",
            "Type=notify",
            *user,
            f"WorkingDirectory={_escaped(told.directory)}",
            f"ExecStart={' '.join(map(_word, self._command()))}",
            "# Only the runner is told to stop, and lets jobs finish; what is left then is killed.",
            "KillMode=mixed",
            f"TimeoutStopSec={told.stop_timeout + _SLACK:g}",
            f"TimeoutStartSec={2 * defaults.READINESS + _SLACK:g}",
            f"WatchdogSec={_WATCHDOG}",
            "Restart=on-failure",
            "RestartSec=1",
            "# 143: jobs took longer than --stop-timeout and went back. 2, 65, 78: to be repaired.",
            "SuccessExitStatus=143",
            "RestartPreventExitStatus=2 65 78",
            "",
            "[Install]",
            f"WantedBy={'default.target' if self.is_of_user else 'multi-user.target'}",
        ]
        return "".join(f"{line}\n" for line in lines)

    def _command(self) -> list[str]:
        told = self.arguments
        words = [sys.executable, "-P", "-m", "litejobs", "work"]
        words += [] if told.database is None else [told.database]
        words += [] if told.app is None else ["--app", told.app]
        words += ["--root", told.root] if told.app is not None or told.moved else []
        for queue in told.queues:
            words += [] if queue == defaults.WORK_QUEUE else ["--queue", queue]
        words += [] if told.count == defaults.COUNT else ["--count", str(told.count)]
        words += [] if told.max_jobs is None else ["--max-jobs", str(told.max_jobs)]
        words += [] if told.max_memory is None else ["--max-memory", str(told.max_memory)]
        return [*words, "--stop-timeout", f"{told.stop_timeout:g}", "--log-level", self.log_level]


def _escaped(text: str) -> str:
    """Without specifiers; a unit has no way to name what does not print."""
    if not text.isprintable():
        raise ConfigurationError(f"a unit cannot name {text!r}")
    return text.replace("%", "%%")


def _word(text: str) -> str:
    """One word of a command: systemd takes $ for a variable, and quotes as a shell does."""
    word = _escaped(text).replace("$", "$$")
    if _PLAIN.fullmatch(word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
