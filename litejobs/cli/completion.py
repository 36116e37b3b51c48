"""completion: the command that lets a shell complete the others."""

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from litejobs.errors import UsageError

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", required=False, type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str | None) -> None:
    """
    Print what makes a shell complete commands.

    Also options, states and files. It takes one line in the file that your shell reads at its
    start. Without a name the shell is the one that SHELL in the environment says.

    \b
    Examples:
      eval "$(litejobs completion bash)"       in ~/.bashrc
      eval "$(litejobs completion zsh)"        in ~/.zshrc, below compinit
      litejobs completion fish | source        in ~/.config/fish/config.fish
    """
    name = shell or Path(os.environ.get("SHELL", "")).name
    kind = get_completion_class(name) if name in _SHELLS else None
    if kind is None:
        raise UsageError(
            f"name the shell: {', '.join(_SHELLS)}; SHELL in the environment is {name!r}"
        )
    group = context.find_root().command
    click.echo(kind(group, {}, "litejobs", "_LITEJOBS_COMPLETE").source())
