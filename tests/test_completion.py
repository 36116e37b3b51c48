"""completion: what the shell is given, and what it is told when it asks."""

import shutil
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["stat"], ["plain,status"]),
        (["work"], ["plain,work", "plain,worker", "plain,workoff"]),
        (["list", "--sta"], ["plain,--state"]),
        (["list", "--state", "f"], ["plain,failed"]),
        (["generate", ""], ["plain,job"]),
        (["completion", "z"], ["plain,zsh"]),
        (["status", "db"], ["file,db"]),
        (["retry", "db"], ["file,db"]),
        (["show", "db"], ["file,db"]),
    ],
    ids=" ".join,
)
def test_bash_is_told_what_fits(project, words, offered):
    env = {
        "_LITEJOBS_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["litejobs", *words]),
        "COMP_CWORD": str(len(words)),
    }

    assert project.litejobs(env=env).out.splitlines() == offered


@pytest.mark.skipif(shutil.which("bash") is None, reason="asks bash itself")
def test_bash_completes_once_the_script_is_read(project):
    project.write(
        "ask.sh",
        """
        eval "$(litejobs completion)"
        complete -p litejobs
        COMP_WORDS=(litejobs list --state f) COMP_CWORD=3
        _litejobs_completion litejobs
        echo "${COMPREPLY[@]}"
        """,
    )
    env = {"PATH": f"{BIN}:/usr/bin:/bin", "SHELL": "/bin/bash"}

    out = project.run("-c", "import os; os.execlp('bash', 'bash', 'ask.sh')", env=env).out

    assert out == "complete -o nosort -F _litejobs_completion litejobs\nfailed\n"


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_script_of_their_own(project, shell):
    out = project.litejobs("completion", env={"SHELL": f"/usr/bin/{shell}"}).out

    assert out == project.litejobs("completion", shell, env={"SHELL": "/bin/sh"}).out
    assert f"_LITEJOBS_COMPLETE={shell}_complete" in out


def test_a_shell_that_is_not_known_is_refused_in_one_sentence(project):
    result = project.litejobs("completion", code=2, env={"SHELL": "/bin/tcsh"})

    assert "name the shell: bash, zsh, fish; SHELL in the environment is 'tcsh'" in result.sentence
