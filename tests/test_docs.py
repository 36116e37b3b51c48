"""README and docs say what is true: their snippets run, their commands exist."""

import re
from pathlib import Path

import pytest
from helpers import wait_until

from litejobs.cli import cli

HOME = Path(__file__).parent.parent
PAGES = [HOME / "README.md", *sorted((HOME / "docs").glob("*.md"))]


def snippets(page, language):
    text = (HOME / page).read_text("utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def named(page):
    """The python snippets of a page that begin with the name of their file, by that name."""
    return {
        match[1]: snippet
        for snippet in snippets(page, "python")
        if (match := re.match(r"# (\S+\.py)\n", snippet))
    }


def test_the_readme_script_runs_as_shown(project):
    project.write("script.py", named("README.md")["script.py"])
    project.run("script.py")

    result = project.litejobs("work", "--help")
    done = project.litejobs("workoff")

    assert "until stopped" in result.out
    assert "welcome, user 42!" in done.out
    assert "user 43" not in done.out


def test_the_readme_app_runs_as_shown(project):
    project.write("shop/jobs.py", named("README.md")["shop/jobs.py"])
    use = next(text for text in snippets("README.md", "python") if "from shop.jobs" in text)
    project.write("use.py", use)
    here = project.run("use.py")
    assert "welcome, user 42!" in here.out

    done = project.litejobs("workoff", "--app", "shop.jobs:jobs")

    assert "welcome, user 42!" in done.out
    assert "1 succeeded" in done.out


def test_the_tutorial_runs_as_told(project):
    project.write("report.py", named("docs/tutorial.md")["report.py"])
    project.run("report.py")
    listed = project.litejobs("list").out
    assert (listed.count(" ready "), listed.count(" scheduled ")) == (2, 1)

    worker = project.start_litejobs("work")
    try:
        wait_until(lambda: project.read("february.txt"), "the second report")
        wait_until(lambda: "no answer at attempt 2" in project.litejobs("show", 3).out, "a retry")
    finally:
        worker.terminate()
        worker.communicate()
    mended = project.read("report.py").replace("raise ConnectionError(", "return str(")
    project.write("report.py", mended)
    project.litejobs("retry", "3")
    project.litejobs("workoff")

    assert project.read("january.txt") == "all is well with january\n"
    assert "no jobs" in project.litejobs("status").out


def test_the_how_to_for_flask_runs_as_shown(project):
    project.write("jobs.py", named("docs/howto.md")["jobs.py"])
    project.run("-c", "from jobs import *; later(send_welcome_email, ['a@example.org'])")

    done = project.litejobs("workoff", "--app", "jobs:jobs")

    assert "mail to a@example.org" in done.out


def test_the_how_to_for_groups_runs_three_workers(project):
    text = next(t for t in snippets("docs/howto.md", "python") if "reports" in t)
    project.write("jobs.py", text)

    done = project.litejobs("workoff", "--app", "jobs:jobs")

    assert re.search(
        r"as litejobs-worker\S+0, litejobs-worker\S+1, litejobs-worker\.email\.0", done.err
    )


def test_the_how_to_for_arguments_runs_as_shown(project):
    text = next(t for t in snippets("docs/howto.md", "python") if "def export" in t)
    call = re.search(r"`(later\(export.*?\))` works", (HOME / "docs/howto.md").read_text())[1]
    project.write(
        "export.py",
        f"{text}\nif __name__ == '__main__':\n    from litejobs import later\n    {call}\n",
    )
    project.run("export.py")

    done = project.litejobs("workoff")

    assert "2026-01-01 out.csv ['a', 'b']" in done.out


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_every_command_is_in_the_readme_and_has_help_with_an_example(command, project):
    readme = (HOME / "README.md").read_text("utf-8")
    assert re.search(rf"`(litejobs )?{command}\b", readme)

    assert "Example" in project.litejobs(command, "--help").out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


def test_ci_runs_the_test_command_of_the_readme():
    lines = [
        line for line in (HOME / "README.md").read_text().splitlines() if line.endswith("-m pytest")
    ]

    assert len(lines) == 1
    assert "grep -m1 -- '-m pytest$' README.md" in (HOME / ".ci/run").read_text()
