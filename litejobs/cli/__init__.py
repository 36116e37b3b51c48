"""The command line: read options, call one function, turn a LitejobsError into an exit code."""

import sys
from importlib import import_module
from typing import Any

import click

from litejobs.errors import LitejobsError
from litejobs.rules.text import printable

_MODULES = {
    "work": ("work", "workoff", "worker"),
    "daemon": ("start", "stop", "restart", "systemd"),
    "status": ("status",),
    "look": ("list", "show"),
    "change": ("retry", "cancel", "clear", "vacuum"),
    "queues": ("pause", "resume"),
    "recurring": ("recurring",),
    "generate": ("init", "generate"),
    "completion": ("completion",),
}
_PLACES = {command: module for module, commands in _MODULES.items() for command in commands}


class Commands(click.Group):
    """Loads a command when it is asked for, so that a runner has not all others in its memory."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(_PLACES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _PLACES:
            return None
        module = import_module(f"{__name__}.{_PLACES[cmd_name]}")
        commands = (one for one in vars(module).values() if isinstance(one, click.Command))
        return next(one for one in commands if one.name == cmd_name)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done; 1 a job failed, there is no such job, or it is there already; 2 "
    "wrong usage; 3 not running; 4 had to kill; 65 the database file; 74 disk or lock; 78 "
    "configuration; 128+n stopped at once by signal n.",
)
@click.version_option(package_name="litejobs")
def cli() -> None:
    """
    Background jobs in one SQLite file.

    DATABASE is the file. Without it: LITEJOBS_DATABASE, then [tool.litejobs] database in the
    project's pyproject.toml, then a file of the project's own in the user's data directory. The
    project is the nearest parent directory with a pyproject.toml or .git.
    """


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        code: Any = cli.main(prog_name="litejobs", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except click.Abort:
        click.echo("aborted", err=True)
        code = 1
    except LitejobsError as error:
        click.echo(f"litejobs: {printable(str(error))}", err=True)
        code = error.exit_code
    except OSError as error:
        click.echo(f"litejobs: {printable(str(error))}", err=True)
        code = 74
    sys.exit(code or 0)
