"""README and docs say what is true: their snippets run, their commands exist, their links lead."""

import dataclasses
import inspect
import re

import pytest
from helpers import Project
from pages import DONE, HOME, PAGES, SHOWN_ONLY, Story, blocks

import litejobs
from litejobs import SqliteAdapter, WorkerGroup
from litejobs.adapters.sqlite.rows import STATES
from litejobs.base_manager import _JOB_OPTIONS
from litejobs.cli import cli

REFERENCE = HOME / "docs/reference"
STORIES = [page for page in PAGES if {language for language, _ in blocks(page)} & {*DONE}]


def name_of(page):
    return page.relative_to(HOME).as_posix()


@pytest.fixture
def story(tmp_path):
    """An empty directory `first` in somebody's home; a project of its own, whatever is above."""
    (tmp_path / "first/.git").mkdir(parents=True)
    return Story(Project(tmp_path / "first", home=tmp_path))


@pytest.mark.parametrize("page", STORIES, ids=name_of)
def test_a_page_comes_true_when_its_blocks_are_run_in_order(page, story):
    story.tell(page.read_text("utf-8"))


@pytest.mark.parametrize(
    "page",
    [
        "```sh\npython -c 'print(1)'\n```\n```text\n2\n```",
        "```sh\npython -c 'print(1)'\n```\n```text\n1\n2\n```",
        "```sh\npython -c 'print(1)'\n```\n<!-- shows: 2 -->",
        "```sh\npython -c 'exit(1)'\n```",
        "<!-- exits with 1 -->\n```sh\npython -c 'exit(0)'\n```",
        "```python\nraise OSError\n```",
        "```sh\nlitejobs work --app nowhere\n```",
        "```sql\n-- jobs.sqlite\nSELECT 1\n```\n```text\n2\n```",
        "```perl\nprint 1\n```",
    ],
)
def test_a_page_that_does_not_come_true_is_an_error(page, story):
    with pytest.raises(AssertionError):
        story.tell(page)


def test_what_varies_from_run_to_run_may_differ_from_the_page(story):
    story.tell(
        "```python\n# now.py\nimport os, time\n"
        "print(time.strftime('%F %T'), os.getpid(), 'is it')\n```\n"
        "```sh\npython now.py  # says when\n```\n"
        "```text\n2000-01-01 00:00:00 ... is it\n```\n"
    )


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_block_of_a_page_is_left_out(page):
    text = page.read_text("utf-8")
    languages = {language for language, _ in blocks(page)}

    assert languages <= {*DONE, *SHOWN_ONLY}
    assert 2 * len(blocks(page)) == len(re.findall(r"^ *```", text, re.MULTILINE))


def test_every_public_name_is_in_the_reference():
    text = "".join(page.read_text("utf-8") for page in REFERENCE.glob("*.md"))
    documented = set(re.findall(r"^\.\. (?:auto|py:)\w+:: litejobs\.([\w.]+)", text, re.MULTILINE))

    assert set(litejobs.__all__) <= documented
    assert {"job.Find", "job.Outcome", "inline.InlineWorker"} <= documented


def section_below(heading):
    """What stands below a heading of the page on configuration."""
    text = (REFERENCE / "configuration.md").read_text("utf-8")
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def rows_below(heading):
    """The first two columns of the table there."""
    section = section_below(heading)
    return dict(re.findall(r"^\| `(\w+)` \| `?([^|`]*)`? \|", section, re.MULTILINE))


def test_the_options_of_a_worker_group_are_in_the_reference_with_their_defaults():
    options = {field.name: repr(field.default) for field in dataclasses.fields(WorkerGroup)}

    assert {
        key: default.replace('"', "'") for key, default in rows_below("WorkerGroup").items()
    } == options


def test_the_options_of_a_job_are_in_the_reference():
    first = re.findall(r"^\| (`.*?`) \|", section_below("A job"), re.MULTILINE)

    assert sorted(re.findall(r"`(\w+)`", " ".join(first))) == sorted(_JOB_OPTIONS)


def test_the_options_of_the_adapter_are_in_the_reference():
    options = list(inspect.signature(SqliteAdapter.__init__).parameters)

    assert [*rows_below("SqliteAdapter"), "clock"] == options[1:]


def test_the_states_are_in_the_reference_with_their_numbers():
    text = (REFERENCE / "states.md").read_text("utf-8")

    assert re.findall(r"^\| (\w+) \| (-?\d) \|", text, re.MULTILINE) == [
        (state, str(number)) for number, state in [(-1, STATES[-1]), *enumerate(STATES[:-1])]
    ]


@pytest.mark.parametrize("command", cli.list_commands(None))
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
