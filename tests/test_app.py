"""``--app MODULE[:NAME]``: which manager that is, or why it is none."""

import re
import sys

import pytest

from litejobs.app import load_app
from litejobs.errors import UnusableAppError
from litejobs.perform import load
from litejobs.performers.wire import Start

MODULES = {
    "shop.py": "manager = make()\nnot_one = 3\n",
    "nothing.py": "",
    "several.py": "one = make()\ntwo = make()\n",
    "twice.py": "one = make()\nagain = one\n",
    "package/__init__.py": "",
    "package/jobs.py": "manager = make()\n",
    "needy.py": "import that_is_missing\n",
    "broken.py": "raise ZeroDivisionError\n",
    "web.py": "class App: ...\napp = App()\napp.extensions = {'litejobs': make()}\n",
    "factory.py": "import web\ndef create_app(): return web.app\n",
    "site_jobs.py": "jobs = make()\n",
    "site_app.py": "import site_jobs\nclass App: extensions = {'litejobs': site_jobs.jobs}\n"
    "def create_app(): return App()\n",
    "plain.py": "class App: extensions = {}\napp = App()\ndef create_app(): return app\n",
}
MAKE = """
from litejobs import JobManager, SqliteAdapter

def make():
    return JobManager({"sqlite": SqliteAdapter("jobs.sqlite")})

"""


@pytest.fixture(autouse=True)
def modules(tmp_path, monkeypatch):
    (tmp_path / "package").mkdir()
    for name, text in MODULES.items():
        (tmp_path / name).write_text(MAKE + text)
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in {"package", *(name.partition(".")[0] for name in MODULES)}:
            del sys.modules[name]


@pytest.mark.parametrize(
    ("text", "attribute"),
    [
        pytest.param("shop:manager", "manager", id="module and name"),
        pytest.param("shop", "manager", id="module with one manager"),
        pytest.param("package.jobs:manager", "manager", id="module of a package"),
        pytest.param("twice", "one", id="one manager under two names"),
        pytest.param("several:two", "two", id="one of several"),
    ],
)
def test_the_manager_that_is_named(text, attribute):
    manager = load_app(text)

    assert manager is getattr(sys.modules[text.partition(":")[0]], attribute)


@pytest.mark.parametrize("text", ["web", "web:app", "factory", "factory:create_app"])
def test_the_manager_of_a_web_app_or_of_one_that_is_made(text):
    manager = load_app(text)

    assert manager is sys.modules["web"].app.extensions["litejobs"]


@pytest.mark.parametrize(
    ("app", "module", "name"),
    [
        ("shop", "shop", "manager"),
        ("shop:manager", "shop", "manager"),
        ("twice:again", "twice", "again"),
        ("site_app", "site_jobs", "jobs"),
        ("site_app:create_app", "site_jobs", "jobs"),
        ("factory:create_app", "web", ""),
    ],
)
def test_it_is_told_where_the_manager_is(tmp_path, monkeypatch, app, module, name):
    monkeypatch.setattr(sys, "path", [*sys.path])

    monkeypatch.setattr("litejobs.perform.configure", lambda *_: None)

    manifest, _ = load(Start(app, str(tmp_path), None, 0, 10))

    assert (manifest.home.module, manifest.home.name) == (module, name)
    assert manifest.home.file == str(tmp_path / f"{module}.py")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("plain:app", "app is of type App, not a JobManager; name that: --app MODULE:NAME"),
        (
            "plain:create_app",
            "create_app is of type function, not a JobManager; name that: --app MODULE:NAME",
        ),
        ("plain", "the module has no JobManager; name it: --app plain:NAME"),
        ("shop:managr", "shop has no attribute 'managr'"),
        ("shop:manager.later", "shop has no attribute 'manager.later'"),
        ("shop:not_one", "not_one is of type int, not a JobManager; name that: --app shop:manager"),
        ("nothing", "the module has no JobManager; name it: --app nothing:NAME"),
        ("several", "the module has several JobManagers: one, two; name it: --app several:NAME"),
        ("nowhere", "there is no module 'nowhere' (looked in {place})"),
        ("package.nope", "there is no module 'package.nope' (looked in {place})"),
        ("nope.jobs:manager", "there is no module 'nope' (looked in {place})"),
        ("shop.py", "there is no module 'shop.py' (looked in {place})"),
        ("my shop", "'my shop' is no module name; expected MODULE[:NAME]"),
        ("shop/jobs", "'shop/jobs' is no module name; expected MODULE[:NAME]"),
        (".shop", "'.shop' is no module name; expected MODULE[:NAME]"),
        (":manager", "'' is no module name; expected MODULE[:NAME]"),
    ],
)
def test_what_names_no_manager_is_refused_in_words(text, says, modules):
    with pytest.raises(UnusableAppError) as refused:
        load_app(text)

    assert str(refused.value) == f"--app {text}: {says.format(place=modules)}"


def test_an_app_that_settings_name_is_refused_naming_them(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "pyproject.toml").write_text('[tool.litejobs]\napp = "nope"\n')
    by = f"--app nope, named by [tool.litejobs] in {tmp_path}/pyproject.toml: there is no module"

    with pytest.raises(UnusableAppError, match=re.escape(by)):
        load(Start("nope", str(tmp_path), None, 0, 10))
    with pytest.raises(UnusableAppError, match=r"^--app typed: there is no module 'typed'"):
        load_app("typed", tmp_path)

    monkeypatch.setenv("LITEJOBS_APP", "other")
    with pytest.raises(UnusableAppError, match=r"^--app other, named by LITEJOBS_APP: there is no"):
        load_app("other", tmp_path)
    with pytest.raises(UnusableAppError, match=r"^--app nope: there is no"):
        load_app("nope", tmp_path)


def test_a_module_that_an_app_is_missing_is_not_the_app():
    with pytest.raises(ModuleNotFoundError, match="that_is_missing") as raised:
        load_app("needy")

    assert not isinstance(raised.value, UnusableAppError)


def test_what_an_app_raises_passes_through():
    with pytest.raises(ZeroDivisionError):
        load_app("broken")


def test_a_group_that_the_app_has_no_longer_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [*sys.path])

    with pytest.raises(UnusableAppError, match="there is no worker group 5: shop has 1"):
        load(Start("shop", str(tmp_path), None, 5, 10))
