"""A function as a row stores it; and that a row can choose no more than the project's functions."""

import asyncio
import functools
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from litejobs import context
from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.errors import SchedulingError, UnloadableError
from litejobs.handler import find_declared, load, locate, relative_path
from litejobs.job import Job
from litejobs.manager import JobManager
from litejobs.row import Handler

HERE = Path(__file__).resolve()


def plain(): ...


async def awaited(): ...


def generator():
    yield


async def async_generator():
    yield


def rebound(): ...


first_rebound = rebound


def rebound(): ...


shortcut = lambda: None  # noqa: E731


def make_closure():
    def closure(): ...

    return closure


class Klass:
    def method(self): ...

    def __call__(self): ...


@pytest.fixture(autouse=True)
def own_modules(monkeypatch, tmp_path):
    """What a test wrote and imported is forgotten afterwards."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    for name, module in list(sys.modules.items()):
        place = getattr(module, "__file__", None) or getattr(module, "__path__", None)
        if str(tmp_path) in str(place):
            del sys.modules[name]


@pytest.fixture
def root(tmp_path):
    directory = tmp_path / "project"
    directory.mkdir()
    return directory


@pytest.fixture
def put(root):
    def put(name, text="def job():\n    return __name__\n"):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        return file

    return put


def row(name="job", path="jobs.py", module="jobs"):
    return Handler(name, path, module, [], {})


# Located


@pytest.mark.parametrize("function", [plain, awaited, rebound], ids=lambda f: f.__name__)
def test_a_function_of_a_module_is_found_again_by_file_and_module(function):
    assert locate(function) == (HERE, "test_handler")


NO_JOBS = {
    "lambda": (shortcut, "a lambda cannot be a job"),
    "closure": (make_closure(), r"make_closure\.<locals>\.closure cannot be a job: .*top of its"),
    "function of a class": (Klass.method, r"Klass\.method cannot be a job: it is defined inside"),
    "method": (Klass().method, "a job is a function, defined with def in a file"),
    "class": (Klass, "a job is a function, defined with def in a file"),
    "callable object": (Klass(), "a job is a function, defined with def in a file"),
    "partial": (functools.partial(plain), "a job is a function, defined with def in a file"),
    "builtin": (len, "built-in function len> cannot be a job"),
    "coroutine function of a class": (asyncio.Runner.run, "cannot be a job"),
    "text": ("plain", "'plain' cannot be a job"),
    "none": (None, "None cannot be a job"),
    "generator": (
        generator,
        "generator cannot be a job: calling a generator function runs nothing",
    ),
    "async generator": (async_generator, "calling a generator function runs nothing"),
    "rebound": (first_rebound, "rebound cannot be a job: in test_handler that name is something"),
}


@pytest.mark.parametrize(("function", "reason"), NO_JOBS.values(), ids=NO_JOBS)
def test_what_no_worker_could_find_again_is_refused(function, reason):
    with pytest.raises(SchedulingError, match=reason):
        locate(function)


def test_a_function_without_a_module_is_refused():
    names = {"__name__": "nowhere"}
    exec("def job(): ...", names)

    with pytest.raises(SchedulingError, match="typed into the interpreter, a notebook or -c"):
        locate(names["job"])


def test_a_function_typed_into_a_module_is_refused(monkeypatch):
    exec("def typed(): ...", globals())

    with pytest.raises(SchedulingError, match="typed into the interpreter"):
        locate(globals()["typed"])


def test_a_job_may_stand_in_the_place_of_its_function(monkeypatch):
    job = Job(plain, owner=None)
    monkeypatch.setitem(globals(), "plain", job)

    assert locate(job.perform, job) == (HERE, "test_handler")
    with pytest.raises(SchedulingError, match="that name is something else"):
        locate(job.perform)


def as_main(monkeypatch, file, spec=None):
    module = ModuleType("__main__")
    module.__file__ = str(file)
    module.__spec__ = spec
    exec(compile(file.read_text(), str(file), "exec"), vars(module))
    monkeypatch.setitem(sys.modules, "__main__", module)
    return module


def test_a_function_of_a_script_is_found_in_its_main(monkeypatch, put):
    file = put("script.py")
    main = as_main(monkeypatch, file)

    assert locate(main.job) == (file, "__main__")


def test_a_function_of_a_program_run_by_its_module_name_is_found_by_that(monkeypatch, put):
    import importlib.util

    file = put("shop/jobs.py")
    spec = importlib.util.spec_from_file_location("shop.jobs", file)
    main = as_main(monkeypatch, file, spec)

    assert locate(main.job) == (file, "shop.jobs")


REPL = """
from litejobs import later
def job(): ...
try:
    later(job)
except Exception as error:
    print(error)
"""


def test_a_function_given_by_c_is_refused(project):
    result = project.run("-c", REPL)

    assert "job cannot be a job: it was typed into the interpreter" in result.out


def test_a_path_is_relative_to_the_root_and_has_forward_slashes(root):
    assert relative_path(root / "shop" / "jobs.py", root, "job") == "shop/jobs.py"


def test_a_file_of_another_project_is_refused(root):
    with pytest.raises(SchedulingError, match=f"job is defined in /other/jobs.py, .* at {root}"):
        relative_path(Path("/other/jobs.py"), root, "job")


def test_a_function_of_an_installed_package_is_refused(root):
    file = root / "venv" / "site-packages" / "shop.py"

    with pytest.raises(SchedulingError, match="job is part of an installed package"):
        relative_path(file, root, "job")


# Loaded


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("jobs.py", "jobs"),
        ("shop/jobs.py", "shop.jobs"),
        ("src/shop/jobs.py", "shop.jobs"),
        ("src/jobs.py", "jobs"),
        ("shop/__init__.py", "shop"),
        ("shop/mail/__init__.py", "shop.mail"),
        ("größe.py", "größe"),
        ("with-dash.py", "with-dash"),
    ],
)
def test_a_module_is_imported_under_its_own_name(put, root, path, module):
    file = put(path)
    if "/" in path.removeprefix("src/"):
        file.with_name("__init__.py").touch()

    function = load(row(path=path, module=module), root)

    assert function() == module
    assert Path(function.__code__.co_filename) == file


def test_relative_imports_work(put, root):
    put("shop/__init__.py", "")
    put("shop/prices.py", "PRICE = 5\n")
    put("shop/jobs.py", "from .prices import PRICE\ndef job():\n    return PRICE\n")

    assert load(row(path="shop/jobs.py", module="shop.jobs"), root)() == 5


def test_the_guard_of_a_script_is_not_run(put, root):
    put(
        "script.py",
        "ran = []\ndef job():\n    return ran\nif __name__ == '__main__':\n    ran.append(1)\n",
    )

    assert load(row(path="script.py", module="__main__"), root)() == []


def test_a_script_can_import_what_lies_beside_it(put, root):
    put("tools/beside.py", "VALUE = 5\n")
    put("tools/script.py", "import beside\ndef job():\n    return beside.VALUE\n")

    assert load(row(path="tools/script.py", module="__main__"), root)() == 5


def test_a_script_is_loaded_once_and_known_to_pickle_and_dataclasses(put, root):
    put("script.py")

    first = load(row(path="script.py", module="__main__"), root)
    second = load(row(path="script.py", module="__main__"), root)

    assert first is second
    assert sys.modules[first.__module__].job is first


def test_a_job_declared_in_the_file_is_found(put, root):
    put("jobs.py", "from litejobs.job import Job\n@lambda f: Job(f, owner=None)\ndef job(): ...\n")

    assert isinstance(load(row(), root), Job)


@pytest.mark.parametrize("module", ["__main__", "shop"])
def test_a_worker_inside_the_program_uses_it_as_it_is(monkeypatch, put, root, module):
    import importlib.util

    file = put("shop.py")
    spec = importlib.util.spec_from_file_location("shop", file) if module == "shop" else None
    main = as_main(monkeypatch, file, spec)

    assert load(row(path="shop.py", module=module), root) is main.job


def test_a_script_is_not_taken_for_another_program_that_runs(monkeypatch, put, root):
    as_main(monkeypatch, put("shop.py"), spec=None)
    put("other.py")

    name = load(row(path="other.py", module="__main__"), root)()

    assert name != "__main__"
    assert "other" in name


@pytest.fixture
def outside(tmp_path):
    file = tmp_path / "evil.py"
    file.write_text("import sys\nsys.evil = True\ndef job(): ...\n")
    yield file
    assert not hasattr(sys, "evil")


REFUSED_PATHS = {
    "absolute": "/etc/jobs.py",
    "up": "../evil.py",
    "up in the middle": "shop/../jobs.py",
    "text file": "jobs.txt",
    "compiled": "jobs.pyc",
    "no suffix": "jobs",
    "empty": "",
    "root itself": ".",
    "NUL": "jobs.py\0.py",
    "link out": "link.py",
    "linked directory": "linked/evil.py",
    "circle": "circle.py",
    "site-packages": "venv/site-packages/evil.py",
    "dist-packages": "dist-packages/evil.py",
    "missing": "missing.py",
    "directory": "directory.py",
    "other case of a mark": "JOBS.PY",
}


@pytest.mark.parametrize("path", REFUSED_PATHS.values(), ids=REFUSED_PATHS)
@pytest.mark.parametrize("module", ["__main__", "evil", "jobs"])
def test_a_path_that_is_no_file_of_the_project_is_refused(put, root, outside, path, module):
    put("jobs.py")
    put("jobs.txt")
    put("venv/site-packages/evil.py", outside.read_text())
    put("dist-packages/evil.py", outside.read_text())
    (root / "directory.py").mkdir()
    (root / "link.py").symlink_to(outside)
    (root / "linked").symlink_to(outside.parent)
    (root / "circle.py").symlink_to("circle.py")

    with pytest.raises(UnloadableError, match=r"its path|there is no file"):
        load(row(path=path, module=module), root)


def test_an_absolute_path_is_refused_though_it_is_of_the_project(put, root):
    file = put("jobs.py")

    with pytest.raises(UnloadableError, match="is not that of a Python file of the project"):
        load(row(path=str(file)), root)


def test_a_link_within_the_project_may_be_followed(put, root):
    put("real.py")
    (root / "link.py").symlink_to("real.py")

    assert load(row(path="link.py", module="__main__"), root).__code__.co_filename.endswith(
        "real.py"
    )


def test_a_project_reached_by_a_link_is_the_same(put, root, tmp_path):
    put("jobs.py")
    (tmp_path / "alias").symlink_to(root)

    assert load(row(), tmp_path / "alias")() == "jobs"


NAMES = """
import os
from os.path import join
from os import path as job_path
from functools import partial
from beside import helper
def real(): ...
class Klass:
    def method(self): ...
shortcut = lambda: None
alias = real
bound = Klass().method
made = partial(real)
text = "real"
"""


@pytest.mark.parametrize(
    "name",
    [
        "missing",
        "",
        "os",
        "os.system",
        "os:system",
        "join",
        "helper",
        "Klass",
        "Klass.method",
        "shortcut",
        "alias",
        "bound",
        "made",
        "text",
        "__builtins__",
        "__dict__",
        "__loader__",
        "__class__",
        "real.__globals__",
        "real\0",
        "<lambda>",
    ],
)
@pytest.mark.parametrize("module", ["jobs", "__main__"])
def test_a_name_that_is_no_function_of_that_very_file_is_refused(put, root, name, module):
    put("jobs.py", NAMES)
    put("beside.py", "def helper(): ...\n")
    assert load(row(name="real", module=module), root).__name__ == "real"

    with pytest.raises(UnloadableError, match=r"jobs\.py has no function or job named"):
        load(row(name=name, module=module), root)


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_job_below_the_guard_of_a_script_is_told_where_it_must_stand(put, root, kind):
    put("jobs.py", f'if __name__ == "__main__":\n    {kind} inner(): ...\n    inner2 = 1\n')

    with pytest.raises(
        UnloadableError, match=r"named 'inner' at its top: .* outside of if __name__"
    ):
        load(row(name="inner", module="__main__"), root)
    with pytest.raises(UnloadableError, match=r"named 'inner2'$"):
        load(row(name="inner2", module="__main__"), root)


def test_a_job_of_another_file_is_not_taken_for_one_of_this(put, root):
    put(
        "shared.py", "from litejobs.job import Job\n@lambda f: Job(f, owner=None)\ndef job(): ...\n"
    )
    put("jobs.py", "from shared import job\n")

    with pytest.raises(UnloadableError, match="has no function or job named 'job'"):
        load(row(), root)


@pytest.mark.parametrize(
    "module",
    [
        "os",
        "json",
        "evil",
        "shop",
        "jobs.shop",
        "shop.jobs.x",
        "x.shop.jobs",
        "",
        ".",
        "shop.",
        ".jobs",
    ],
)
def test_a_module_that_is_not_the_name_of_the_path_is_refused(put, root, outside, module):
    put("shop/jobs.py")
    sys.path.insert(0, str(outside.parent))

    with pytest.raises(UnloadableError, match=r"is not the name of shop/jobs\.py"):
        load(row(path="shop/jobs.py", module=module), root)


def test_an_init_file_at_the_root_has_no_module_name(put, root):
    put("__init__.py")

    with pytest.raises(UnloadableError, match=r"is not the name of __init__\.py"):
        load(row(path="__init__.py", module="__init__"), root)


@pytest.mark.parametrize("name", ["json", "sys", "litejobs"])
def test_a_file_named_like_a_module_that_is_there_is_hidden_by_it(put, root, monkeypatch, name):
    put(f"{name}.py")
    monkeypatch.chdir("/")

    with pytest.raises(UnloadableError, match=f"'{name}' names another module here"):
        load(row(path=f"{name}.py", module=name), root)


def test_a_builtin_module_is_not_taken_for_a_file_of_the_current_directory(put, root, monkeypatch):
    put("sys.py")
    monkeypatch.chdir(root)

    with pytest.raises(UnloadableError):
        load(row(path="sys.py", module="sys"), root)


def test_a_module_hidden_by_one_earlier_on_the_path_is_refused_unimported(put, root, outside):
    put("evil.py")
    sys.path[:0] = [str(outside.parent), str(root)]

    with pytest.raises(UnloadableError, match="'evil' names another module here"):
        load(row(path="evil.py", module="evil"), root)

    assert "evil" not in sys.modules


@pytest.mark.parametrize("there", [None, ModuleType("jobs")], ids=["blocked", "without a spec"])
def test_a_name_that_cannot_be_looked_up_is_hidden(put, root, monkeypatch, there):
    put("jobs.py")
    monkeypatch.setitem(sys.modules, "jobs", there)

    with pytest.raises(UnloadableError, match="'jobs' names another module here"):
        load(row(), root)


def test_a_file_hidden_by_a_package_of_its_name_is_refused(put, root):
    put("shop/__init__.py")
    put("shop/jobs.py")
    put("shop/jobs/__init__.py")

    with pytest.raises(UnloadableError, match=r"importing 'shop\.jobs' gave another file"):
        load(row(path="shop/jobs.py", module="shop.jobs"), root)


def test_a_row_of_an_app_says_which_app_it_needs(root):
    with pytest.raises(UnloadableError, match="declared by an app; the worker needs --app MODULE"):
        load(row(module=None), root)
    with pytest.raises(UnloadableError, match="the worker needs --app shop:jobs"):
        load(row(module=None), root, app="shop:jobs")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise SystemExit(3)", "loading jobs.py raised SystemExit: 3"),
        ("raise KeyboardInterrupt", "loading jobs.py raised KeyboardInterrupt"),
        ("import no_such_module", "raised ModuleNotFoundError: No module named 'no_such_module'"),
        ("def (", "loading jobs.py raised SyntaxError"),
        ("1 / 0", "loading jobs.py raised ZeroDivisionError"),
        (
            "from litejobs import later\ndef job(): ...\nlater(job)",
            r"raised SchedulingError: later\(job\) was called while a worker loaded jobs.py",
        ),
    ],
    ids=["SystemExit", "KeyboardInterrupt", "import", "syntax", "error", "no guard"],
)
@pytest.mark.parametrize("module", ["jobs", "__main__"])
def test_what_a_file_raises_while_it_loads_is_the_reason(put, root, text, reason, module):
    put("jobs.py", text)

    with pytest.raises(UnloadableError, match=reason) as caught:
        load(row(module=module), root)

    assert caught.value.__cause__ is not None
    assert context.loading_now() == ""


@pytest.mark.parametrize("module", ["jobs", "__main__"])
def test_a_file_that_was_mended_loads(put, root, module, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    put("jobs.py", "1 / 0")
    with pytest.raises(UnloadableError):
        load(row(module=module), root)

    put("jobs.py")

    assert load(row(module=module), root).__name__ == "job"


# Declared


@pytest.fixture
def manager(database):
    return JobManager(adapters={"sqlite": SqliteAdapter(database)})


def test_a_declared_job_is_found_by_path_and_name():
    here, there = Job(plain, owner=None), Job(plain, owner=None)
    declared = {("here.py", "plain"): here, ("there.py", "plain"): there}

    assert find_declared(row("plain", "there.py", None), declared) is there


def test_a_job_that_moved_to_another_file_is_found_by_its_name():
    moved = Job(plain, owner=None)

    assert find_declared(row("plain", "old.py", None), {("new.py", "plain"): moved}) is moved


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("plain", "2 jobs are named plain, and none of them in old.py"),
        ("gone", "the app declares no job named 'gone'"),
    ],
)
def test_a_row_that_names_no_one_job_of_the_app_is_unloadable(name, reason):
    declared = {(path, "plain"): Job(plain, owner=None) for path in ("a.py", "b.py")}

    with pytest.raises(UnloadableError, match=reason):
        find_declared(row(name, "old.py", None), declared)


HOSTILE = """
import json, os, sys
from pathlib import Path
from litejobs.handler import load
from litejobs.row import read
from litejobs.errors import UnloadableError
from litejobs.project import is_installed

root = Path(__file__).parent
is_installed(root)  # imports a table of Python's own, once
sys.path.insert(0, {outside!r})
imported, run = [], []

def watch(event, details):
    if event == "import":  # of the import statement and of extensions
        imported.append(details[0])
    elif event == "exec":  # of every module written in Python
        run.append(details[0].co_filename)

paths = ["jobs.py", "evil.py", "link.py", "../outside/evil.py", {outside!r} + "/evil.py",
         "this.py", "antigravity.py", "os.py", os.path.relpath(os.__file__), "pkg/evil.py"]
modules = ["evil", "this", "antigravity", "os", "jobs.evil", "link", "pkg.evil.x", "..evil"]
names = ["job", "os.system", "os:system", "system", "__import__", "eval", "evil.job"]
before = set(sys.modules)
sys.addaudithook(watch)
refused = 0
for path in paths:
    for module in modules:
        for name in names:
            row = {{"name": name, "path": path, "module": module, "args": ["touch hacked"]}}
            try:
                load(read(json.dumps(row)), root)
            except UnloadableError:
                refused += 1
for name in names[1:]:
    try:
        load(read(json.dumps({{"name": name, "path": "jobs.py", "module": "jobs"}})), root)
    except UnloadableError:
        refused += 1
print(json.dumps([refused, imported, run, sorted(set(sys.modules) - before)]))
"""


def test_hostile_rows_import_nothing_but_the_projects_own_file(project):
    outside = project.directory.parent / "outside"
    outside.mkdir()
    (outside / "evil.py").write_text("def job(): ...\n")
    project.write("evil.py", "def job(): ...\n")
    project.write("jobs.py", "def job(): ...\n")
    (project.directory / "link.py").symlink_to(outside / "evil.py")
    file = project.write("check.py", HOSTILE.format(outside=str(outside)))

    refused, imported, run, modules = json.loads(project.run(file).out)

    assert refused == 10 * 8 * 7 + 6
    assert imported == []
    assert modules == ["jobs"]
    assert run == [str(project.directory / "jobs.py")]
    assert not (project.directory / "hacked").exists()


@pytest.mark.parametrize("path", ["\ud800.py", f"{'x' * 300}.py"], ids=["surrogate", "too long"])
def test_a_path_that_no_file_can_have_is_unloadable(root, path):
    with pytest.raises(UnloadableError, match="cannot be followed"):
        load(row(path=path), root)


def test_a_function_whose_name_is_gone_is_refused(monkeypatch):
    module = ModuleType("gone")
    module.__file__ = __file__
    monkeypatch.setitem(sys.modules, "gone", module)

    def job(): ...

    job.__qualname__, job.__module__ = "job", "gone"

    with pytest.raises(SchedulingError, match="that name is something else"):
        locate(job)


def test_a_link_inside_the_project_leads_to_no_code_outside_of_it(put, root):
    put("c.py", "def job(): ...")
    (root / "a").mkdir()
    (root / "a" / "b.py").symlink_to("../c.py")
    outside = root.parent / "a"
    outside.mkdir()
    (outside / "b.py").write_text(f"open({str(root / 'ran')!r}, 'w')")

    with pytest.raises(UnloadableError):
        load(row(path="a/b.py", module="a.b"), root)

    assert not (root / "ran").exists()
    assert str(root.parent) not in sys.path


def test_a_virtual_environment_in_the_project_is_no_part_of_it(put, root):
    put(".venv/pyvenv.cfg", "")
    put(".venv/bin/tool.py")

    with pytest.raises(UnloadableError, match="installed package"):
        load(row(path=".venv/bin/tool.py", module="__main__"), root)
