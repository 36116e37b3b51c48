"""init: the config works at once, tells every option, and leaves all else as it was."""

import ast
import inspect
import json
import re
import tomllib

import pytest
from helpers import files, tree

from litejobs import JobManager, SqliteAdapter, WorkerGroup
from litejobs.app import load_app
from litejobs.generators.pyproject import name_app

WORKOFF = ["workoff", "--log-level", "error"]


# The config module


def test_init_writes_a_config_that_works_at_once(project):
    project.litejobs("init")

    done = project.litejobs(*WORKOFF)

    assert "0 runs" in done.out
    assert project.read("pyproject.toml") == '[tool.litejobs]\napp = "jobs:jobs"\n'


def test_without_a_pyproject_init_says_how_to_name_the_app(project):
    (project.directory / "pyproject.toml").unlink()

    result = project.litejobs("init")

    assert "name it to commands: --app jobs:jobs" in result.out
    assert files(project.directory) == {"jobs.py"}
    project.litejobs(*WORKOFF, "--app", "jobs:jobs")


def test_the_database_is_in_the_project_wherever_a_command_is_called(project, tmp_path):
    project.write("shop/__init__.py", "")
    project.litejobs("init")

    project.litejobs(*WORKOFF, "--root", project.directory, cwd=tmp_path)

    assert (project.directory / "jobs.sqlite").exists()


def test_a_database_that_pyproject_names_is_the_one_in_the_config(project):
    project.write("pyproject.toml", '[tool.litejobs]\ndatabase = "it\'s.sqlite"\n')
    project.litejobs("init")

    project.litejobs(*WORKOFF)  # which refuses another

    assert (project.directory / "it's.sqlite").exists()


@pytest.mark.parametrize(
    ("there", "words", "module", "new"),
    [
        pytest.param([], [], "jobs", ["jobs.py"], id="no package"),
        pytest.param(["shop/__init__.py"], [], "shop.jobs", ["shop/jobs.py"], id="one package"),
        pytest.param(
            ["shop/__init__.py", "tests/__init__.py", "docs/__init__.py"], [],
            "shop.jobs", ["shop/jobs.py"], id="tests and docs aside",
        ),
        pytest.param(
            ["shop/__init__.py", "mall/__init__.py"], [], "jobs", ["jobs.py"], id="two packages"
        ),
        pytest.param(
            ["src/shop/__init__.py"], [], "shop.jobs", ["src/shop/jobs.py"], id="under src"
        ),
        pytest.param(["shop/view.py"], [], "jobs", ["jobs.py"], id="a directory is no package"),
        pytest.param(
            ["shop/__init__.py"], ["shop.work.queue"], "shop.work.queue",
            ["shop/work/__init__.py", "shop/work/queue.py"], id="missing in a package",
        ),
        pytest.param(
            [], ["shop.jobs"], "shop.jobs", ["shop/__init__.py", "shop/jobs.py"], id="at the top"
        ),
        pytest.param(
            ["shop/view.py"], ["shop.work.queue"], "shop.work.queue", ["shop/work/queue.py"],
            id="missing in a plain directory",
        ),
        pytest.param(
            ["src/shop/__init__.py"], ["shop.work"], "shop.work", ["src/shop/work.py"],
            id="named, under src",
        ),
        pytest.param(
            ["src/shop/__init__.py", "shop/__init__.py"], ["shop.work"], "shop.work",
            ["shop/work.py"], id="named, under both",
        ),
        pytest.param(
            ["src/shop/__init__.py"], ["mall.jobs"], "mall.jobs",
            ["mall/__init__.py", "mall/jobs.py"], id="named, not under src",
        ),
    ],
)  # fmt: skip
def test_init_puts_the_config_where_the_project_would(project, there, words, module, new):
    for name in there:
        project.write(name, "")

    result = project.litejobs("init", *words, "--json")

    assert json.loads(result.out) == {
        "app": f"{module}:jobs",
        "module": module,
        "root": str(project.directory),
        "new": new,
        "changed": ["pyproject.toml"],
    }
    assert files(project.directory) == {*there, *new, "pyproject.toml"}
    env = {"PYTHONPATH": str(project.directory / "src")}  # as when the project is installed
    assert "0 runs" in project.litejobs(*WORKOFF, env=env).out


def test_init_says_that_src_is_found_only_if_it_is_installed(project):
    project.write("src/shop/__init__.py", "")

    result = project.litejobs("init")

    assert "pip install -e ." in result.out


@pytest.mark.parametrize(
    ("there", "words", "code", "says"),
    [
        pytest.param(["jobs.py"], [], 1, "jobs.py is there already", id="the file"),
        pytest.param(["shop.py"], ["shop.jobs"], 1, "shop.py is there already", id="no package"),
        pytest.param(["jobs/__init__.py"], ["jobs"], 1, "jobs is there already", id="a package"),
        pytest.param([], ["shop/jobs.py"], 2, "named as in shop.jobs", id="a path"),
        pytest.param([], ["shop..jobs"], 2, "named as in shop.jobs", id="an empty part"),
        pytest.param([], ["class.jobs"], 2, "named as in shop.jobs", id="a keyword"),
        pytest.param([], ["logging"], 2, "would hide the module 'logging'", id="Python's own"),
        pytest.param([], ["litejobs.x"], 2, "would hide the module 'litejobs'", id="litejobs"),
    ],
)
def test_init_that_is_refused_changes_nothing(project, there, words, code, says):
    for name in there:
        project.write(name, "")
    before = tree(project.directory)

    result = project.litejobs("init", *words, code=code)

    assert says in result.sentence
    assert result.out == ""
    assert tree(project.directory) == before


def test_init_refuses_a_project_that_names_an_app(project):
    project.write("pyproject.toml", '[tool.litejobs]\napp = "shop.work:jobs"\n')
    before = tree(project.directory)

    result = project.litejobs("init", code=1)

    assert "names an app already: shop.work:jobs" in result.sentence
    assert tree(project.directory) == before


def test_init_refuses_a_pyproject_that_is_no_toml(project):
    project.write("pyproject.toml", "[tool\n")
    before = tree(project.directory)

    result = project.litejobs("init", code=78)

    assert "cannot be read as TOML" in result.sentence
    assert tree(project.directory) == before


# Every option, at its default


@pytest.fixture
def config(project, monkeypatch):
    """The source of a new config, and its manager."""
    project.litejobs("init", "fresh_config")
    monkeypatch.syspath_prepend(project.directory)
    return project.read("fresh_config.py"), load_app("fresh_config:jobs")


def options(callable_):
    """The options and their defaults, except the clock, which only tests bring along."""
    parameters = dict(inspect.signature(callable_).parameters)
    parameters.pop("clock", None)
    return {
        name: parameter.default
        for name, parameter in parameters.items()
        if parameter.default is not parameter.empty
    }


def calls(source, name):
    """The keywords of the one call of *name*: line and text of their values."""
    [call] = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name
    ]
    return {
        keyword.arg: (keyword.value.lineno, ast.unparse(keyword.value)) for keyword in call.keywords
    }


def comment_above(source, number):
    """The comment that ends on the line before line *number*, counted from 1."""
    words = []
    for line in reversed(source.splitlines()[: number - 1]):
        if not line.lstrip().startswith("#"):
            break
        words.insert(0, line.strip().removeprefix("#").strip())
    return " ".join(words)


@pytest.mark.parametrize(
    ("name", "callable_"),
    [
        ("JobManager", JobManager),
        ("SqliteAdapter", SqliteAdapter),
        ("WorkerGroup", WorkerGroup),
        ("jobs.create_scheduler", JobManager({"a": SqliteAdapter("a")}).create_scheduler),
    ],
)
def test_the_config_has_every_option_and_tells_its_default(config, name, callable_):
    source, _ = config
    written = calls(source, name)
    written.pop("adapters", None)  # has no default

    told = {
        option: ast.literal_eval(re.search(r" Default: (\S+)\.$", comment_above(source, line))[1])
        for option, (line, _) in written.items()
    }

    assert told == options(callable_)


def test_the_config_sets_every_option_to_its_default(config):
    _, manager = config
    adapter = manager.adapter(None)
    plain = SqliteAdapter(adapter.path)

    assert manager.workers == JobManager({"sqlite": plain}).workers
    assert (manager.queues, manager.logger) == (None, JobManager({"sqlite": plain}).logger)
    assert adapter == plain
    for option in ("durability", "driver", "mode", "logger"):
        assert getattr(adapter, option) == getattr(plain, option)


# pyproject.toml


@pytest.mark.parametrize(
    ("text", "edited"),
    [
        pytest.param("", '[tool.litejobs]\napp = "a:b"\n', id="empty"),
        pytest.param("x = 1\n", 'x = 1\n\n[tool.litejobs]\napp = "a:b"\n', id="a table at the end"),
        pytest.param("x = 1", 'x = 1\n\n[tool.litejobs]\napp = "a:b"\n', id="an open last line"),
        pytest.param(
            "x = 1\r\n", 'x = 1\r\n\r\n[tool.litejobs]\r\napp = "a:b"\r\n', id="lines of Windows"
        ),
        pytest.param(
            '[tool.litejobs]\ndatabase = "d"\n[x]',
            '[tool.litejobs]\napp = "a:b"\ndatabase = "d"\n[x]',
            id="below the header",
        ),
        pytest.param(
            ' [ tool . litejobs ] # ours\r\ndatabase="d"\n',
            ' [ tool . litejobs ] # ours\r\napp = "a:b"\r\ndatabase="d"\n',
            id="an unusual header",
        ),
        pytest.param("[tool.litejobs]", '[tool.litejobs]\napp = "a:b"', id="only a header"),
        pytest.param(
            "t = '''\n[tool.litejobs]\n'''\n[tool.litejobs]\n",
            "t = '''\n[tool.litejobs]\n'''\n[tool.litejobs]\napp = \"a:b\"\n",
            id="a header in a text",
        ),
        pytest.param(
            "t = '''\n[tool.litejobs]\n'''\n",
            "t = '''\n[tool.litejobs]\n'''\n\n[tool.litejobs]\napp = \"a:b\"\n",
            id="only in a text",
        ),
        pytest.param(
            "# é [tool.litejobs]\n", '# é [tool.litejobs]\n\n[tool.litejobs]\napp = "a:b"\n',
            id="in a comment",
        ),
    ],
)  # fmt: skip
def test_the_app_is_named_and_every_other_byte_stays(tmp_path, text, edited):
    file = tmp_path / "pyproject.toml"
    file.write_bytes(text.encode())

    assert name_app(file, "a:b").decode() == edited
    assert tomllib.loads(edited)["tool"]["litejobs"]["app"] == "a:b"


@pytest.mark.parametrize(
    "text",
    [
        'tool.litejobs.database = "d"\n',
        '[tool]\nlitejobs.database = "d"\n',
        'tool = {litejobs = {database = "d"}}\n',
        '["tool".litejobs]\ndatabase = "d"\n',
        "tool = {}\n",
    ],
)
def test_a_pyproject_without_a_place_for_the_app_is_refused(project, text):
    project.write("pyproject.toml", text)
    before = tree(project.directory)

    result = project.litejobs("init", code=78)

    assert 'app = "jobs:jobs" cannot be added to tool.litejobs' in result.sentence
    assert tree(project.directory) == before
