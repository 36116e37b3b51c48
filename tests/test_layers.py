"""The house as its source shows it: arrows only down, one room for each kind of work."""

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import litejobs

PACKAGE = Path(litejobs.__file__).parent
# Lowest first; within a floor imports are free as long as there is no cycle.
FLOORS = [
    {"errors", "defaults", "clock", "stop", "trouble", "watchdog"},
    {"job", "config", "control", "limit", "logs", "retention", "keys"},
    {"codecs", "program", "project", "rules"},
    {"context", "coroutines", "hooks", "progress", "recurrence", "run_directory", "schedule"},
    {"adapters"},
    {"arguments", "handler", "row"},
    {"loader", "finishing"},
    {"execution"},
    {
        "recurring",
        "scheduler",
        "scheduled",
        "worker",
        "overdue",
        "batch",
        "inline",
        "performers",
        "soon",
    },
    {"generators", "processes"},
    {"background", "job_options", "launch", "reloader"},
    {"base_manager"},
    {"manager"},
    {"default_manager"},
    {"app", "attached", "daemon", "perform"},
    {"cli", "testing"},
    {"integrations", "pytest_plugin"},
    {"__init__", "__main__"},
]
STATEMENT = re.compile(
    r"\b(SELECT\s.+\sFROM|INSERT\s+(OR\s+\w+\s+)?INTO|UPDATE\s+\S+\s+SET|DELETE\s+FROM"
    r"|CREATE\s+(TABLE|INDEX|VIEW)|PRAGMA\s|BEGIN\s+IMMEDIATE)\b",
    re.DOTALL,
)
CLOCKS = {
    "time": {"time", "time_ns", "localtime", "gmtime"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}
PROCESS_MODULES = {"signal", "subprocess", "multiprocessing", "pty"}
PROCESS_CALLS = {
    "fork", "forkpty", "kill", "killpg", "waitpid", "waitid", "wait", "wait3", "wait4", "_exit",
    "posix_spawn", "system", "popen", "execv", "execve", "execvp", "setsid",
}  # fmt: skip


def name_of(file):
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


MODULES = {name_of(file): file for file in sorted(PACKAGE.rglob("*.py"))}


@cache
def code(module):
    """All that can run in a module: its nodes, without blocks for type checkers only."""
    found = []

    def visit(node):
        found.append(node)
        for child in ast.iter_child_nodes(node):
            if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
                visit(child)

    visit(ast.parse(MODULES[module].read_text("utf-8")))
    return found


def imports(module):
    """What a module imports of litejobs, wherever in its code."""
    for node in code(module):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [n if n.removeprefix("litejobs.") in MODULES else node.module for n in inner]
        else:
            continue
        for name in names:
            if name == "litejobs" or name.startswith("litejobs."):
                yield name.removeprefix("litejobs").removeprefix(".") or "__init__"


def floor(module):
    room = module.partition(".")[0]
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def is_in(module, *rooms):
    return module.partition(".")[0] in rooms


def test_every_room_has_a_floor():
    rooms = {module.partition(".")[0] for module in MODULES}

    assert rooms == set().union(*FLOORS)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_its_floor_and_below(module):
    upwards = [other for other in imports(module) if floor(other) > floor(module)]

    assert upwards == []


def test_no_module_imports_itself_by_way_of_others():
    graph = {module: set(imports(module)) for module in MODULES}

    order = list(TopologicalSorter(graph).static_order())  # raises CycleError

    assert set(order) == set(MODULES)


@pytest.mark.parametrize("module", [m for m in MODULES if m != "clock"])
def test_only_the_clock_reads_the_wall_clock(module):
    readers = [
        ast.unparse(node)
        for node in code(module)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name | ast.Attribute)
        and node.attr in CLOCKS.get(ast.unparse(node.value).rpartition(".")[2], ())
    ]
    taken = [
        alias.name
        for node in code(module)
        if isinstance(node, ast.ImportFrom) and node.module == "time"
        for alias in node.names
        if alias.name in CLOCKS["time"]
    ]

    assert readers + taken == []


@pytest.mark.parametrize("module", [m for m in MODULES if not is_in(m, "adapters")])
def test_only_adapters_speak_sql(module):
    statements = [
        node.value
        for node in code(module)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and STATEMENT.search(node.value)
    ]

    assert statements == []


@pytest.mark.parametrize(
    "module", [m for m in MODULES if not is_in(m, "processes", "performers", "run_directory")]
)
def test_signals_and_process_calls_have_their_rooms(module):
    found = []
    for node in code(module):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name in PROCESS_MODULES]
        elif isinstance(node, ast.ImportFrom):
            found += [node.module] if node.module in PROCESS_MODULES else []
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "os":
            found += [node.attr] if node.attr in PROCESS_CALLS else []

    assert found == []


def test_the_rules_of_this_file_find_what_they_look_for():
    assert [m for m in MODULES if "apsw" in MODULES[m].read_text("utf-8")] != []
    assert "performers.parent" in set(imports("processes.runner"))
    assert "default_manager" in set(imports("perform"))  # inside a function
    assert "default_manager" in set(imports("__init__"))
    assert "manager" not in set(imports("__init__"))  # for type checkers only
    assert STATEMENT.search("SELECT a,\n b FROM c")
    assert not STATEMENT.search("Select the jobs FROM there")


def loaded_by(code, directory):
    """The modules that are loaded by some code, and not before it by Python itself."""
    code = f"import sys; before = set(sys.modules)\n{code}\nprint(*set(sys.modules) - before)"
    file = directory / "script.py"
    file.write_text(code)
    command = [sys.executable, file]
    return set(subprocess.check_output(command, cwd=directory, text=True).split())


def test_importing_the_package_loads_neither_click_nor_msgspec_nor_an_sqlite(tmp_path):
    loaded = loaded_by("import litejobs", tmp_path)

    heavy = {"apsw", "asyncio", "click", "msgspec", "platformdirs", "sqlite3", "subprocess"}
    assert "litejobs" in loaded
    assert loaded & heavy == set()


def test_scheduling_loads_neither_click_nor_msgspec_nor_apsw(tmp_path):
    code = """
import litejobs
def job(): ...
litejobs.configure(database="jobs.sqlite")
litejobs.later(job)
"""

    loaded = loaded_by(code, tmp_path)

    assert "litejobs.adapters.sqlite.connection" in loaded
    heavy = {"apsw", "click", "litejobs.cli", "msgspec", "platformdirs", "subprocess"}
    assert loaded & heavy == set()
