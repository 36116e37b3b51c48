"""``litejobs.later`` in programs of their own: the default manager is one for a whole process."""

import json
import sqlite3
from contextlib import closing

import pytest

from litejobs.default_manager import DefaultManager
from litejobs.errors import SchedulingError, UnloadableError

# Says at INFO, on stdout, which database was chosen and why; then what came of it.
START = """
import logging, sys
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stdout)
"""
JOB = "def job(*args): ...\n"
LATER = "from litejobs import later\n"
TRY = """
def attempt(action):
    try:
        action()
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
"""


def handlers(database):
    with sqlite3.connect(database) as connection:
        found = connection.execute("SELECT handler FROM background_jobs ORDER BY id").fetchall()
    connection.close()
    return [json.loads(text) for (text,) in found]


def default_databases(project):
    return list((project.home / "data" / "litejobs").glob("*/jobs.sqlite"))


def test_without_a_word_the_database_is_the_projects_own_in_the_users_data(project):
    project.write("script.py", START + LATER + JOB + "later(job, [1])\nlater(job, [2])\n")

    out = project.run("script.py").out

    [database] = default_databases(project)
    root = project.directory
    assert out == f"INFO jobs are stored in {database} (the default of the project at {root})\n"
    assert database.parent.name.startswith("project-")
    assert [each["args"] for each in handlers(database)] == [[1], [2]]


def test_pyproject_names_the_database_from_the_root(project):
    project.write("pyproject.toml", '[tool.litejobs]\ndatabase = "named.db"\n')
    script = project.write("deep/script.py", START + LATER + JOB + "later(job)\n")

    out = project.run(script, cwd=project.home).out

    named = project.directory / "named.db"
    why = f"[tool.litejobs] in {project.directory}/pyproject.toml names it"
    assert out == f"INFO jobs are stored in {named} ({why})\n"
    assert [each["path"] for each in handlers(named)] == ["deep/script.py"]


def test_the_environment_wins_over_pyproject(project):
    project.write("pyproject.toml", '[tool.litejobs]\ndatabase = "named.db"\n')
    project.write("script.py", START + LATER + JOB + "later(job)\n")

    out = project.run("script.py", env={"LITEJOBS_DATABASE": "environment.db"}).out

    named = project.directory / "environment.db"
    assert out == f"INFO jobs are stored in {named} (LITEJOBS_DATABASE names it)\n"
    assert len(handlers(named)) == 1
    assert not (project.directory / "named.db").exists()


def test_configure_wins_over_all_and_the_first_use_settles_it(project):
    project.write(
        "script.py",
        START + LATER + JOB + TRY + "import litejobs, os\n"
        "litejobs.configure(database='first.db')\n"
        "litejobs.configure(database='chosen.db')\n"
        "os.chdir('/')\n"
        "later(job)\n"
        "attempt(lambda: litejobs.configure(database='third.db'))\n"
        f"litejobs.configure(database={str(project.directory / 'chosen.db')!r})\n",
    )

    out = project.run("script.py", env={"LITEJOBS_DATABASE": "environment.db"}).out

    chosen = project.directory / "chosen.db"
    assert out == (
        f"INFO jobs are stored in {chosen} (litejobs.configure names it)\n"
        f"ConfigurationError: jobs are stored in {chosen} already; call litejobs.configure() "
        "before the first later()\n"
    )
    assert len(handlers(chosen)) == 1
    assert not (project.directory / "first.db").exists()


def test_a_file_of_another_project_is_refused(project):
    other = project.directory.parent / "other"
    other.mkdir()
    (other / "pyproject.toml").touch()
    (other / "elsewhere.py").write_text(JOB)
    project.write(
        "script.py",
        LATER + JOB + TRY + f"import sys\nsys.path.insert(0, {str(other)!r})\n"
        "import elsewhere\nlater(job)\nattempt(lambda: later(elsewhere.job))\n",
    )

    out = project.run("script.py").out

    assert out.startswith(f"SchedulingError: job is defined in {other}/elsewhere.py, but the jobs")
    assert f"the project at {project.directory}; configure another database" in out
    [database] = default_databases(project)
    assert len(handlers(database)) == 1


def test_a_database_of_another_project_is_refused(project):
    other = project.directory.parent / "other"
    other.mkdir()
    for place in (project.directory, other):
        (place / "pyproject.toml").write_text('[tool.litejobs]\ndatabase = "../shared.db"\n')
        (place / "script.py").write_text(LATER + JOB + TRY + "attempt(lambda: later(job))\n")
    assert project.run("script.py").out == ""

    out = project.run(other / "script.py").out

    assert out.startswith("ConfigurationError: ")
    assert f"holds the jobs of the project at {project.directory}, this one is at {other}" in out
    assert len(handlers(project.directory.parent / "shared.db")) == 1


@pytest.mark.parametrize("place", ["venv/lib/site-packages", "dist-packages"])
def test_a_function_of_an_installed_package_is_refused_at_every_call(project, place):
    project.write(f"{place}/vendor.py", JOB)
    project.write(
        "script.py",
        LATER + JOB + TRY + f"import sys\nsys.path.insert(0, {place!r})\nimport vendor\n"
        "later(job)\nattempt(lambda: later(vendor.job))\nattempt(lambda: later(vendor.job))\n",
    )

    out = project.run("script.py").out

    assert out.count("SchedulingError: job is part of an installed package") == 2


SHOP = {
    "shop/__init__.py": "",
    "shop/jobs.py": LATER + JOB + "if __name__ == '__main__':\n    later(job)\n",
    "shop/__main__.py": LATER + JOB + "later(job)\n",
    "use.py": LATER + "from shop.jobs import job\nlater(job)\n",
    "script.py": LATER + JOB + "later(job)\n",
}


@pytest.mark.parametrize(
    ("words", "path", "module"),
    [
        (["script.py"], "script.py", "__main__"),
        (["use.py"], "shop/jobs.py", "shop.jobs"),
        (["-m", "shop"], "shop/__main__.py", "shop.__main__"),
        (["-m", "shop.jobs"], "shop/jobs.py", "shop.jobs"),
    ],
    ids=["script", "module", "package by -m", "module by -m"],
)
def test_a_row_says_where_a_worker_finds_the_function(project, words, path, module):
    for name, text in SHOP.items():
        project.write(name, text)

    project.run(*words)

    [database] = default_databases(project)
    [handler] = handlers(database)
    assert (handler["name"], handler["path"], handler["module"]) == ("job", path, module)


def test_a_new_default_tells_of_a_like_named_neighbour(project):
    project.write("script.py", START + LATER + JOB + "later(job)\n")
    moved = project.directory.parent / "elsewhere" / "project"
    moved.parent.mkdir()
    project.run("script.py")
    [old] = default_databases(project)
    project.directory.rename(moved)

    out = project.run(moved / "script.py", cwd=moved).out

    assert f"WARNING a new database for the project at {moved}" in out
    assert f"another project named project has its jobs in {old}" in out
    assert len(default_databases(project)) == 2


def test_a_job_declared_with_litejobs_jobs_is_stored_with_its_options(project):
    project.write("pyproject.toml", '[tool.litejobs]\ndatabase = "x.db"\n')
    project.write(
        "script.py",
        LATER + "from litejobs import jobs\n"
        "@jobs.job(queue='email', priority=3)\ndef job(): ...\n"
        "stored = later(job)\nprint(stored.queue, stored.priority, stored.run_at.tzinfo)\n",
    )

    assert project.run("script.py").out == "email 3 UTC\n"
    [handler] = handlers(project.directory / "x.db")
    assert (handler["name"], handler["module"]) == ("job", "__main__")


def test_a_job_of_an_app_is_refused_naming_it(project):
    project.write(
        "shop.py",
        "from litejobs import JobManager, SqliteAdapter\n"
        "jobs = JobManager({'sqlite': SqliteAdapter('app.db')})\n"
        "@jobs.job\ndef job(): ...\n",
    )
    project.write("script.py", LATER + TRY + "import shop\nattempt(lambda: later(shop.job))\n")

    out = project.run("script.py").out

    assert out.startswith("SchedulingError: job is a job of shop:jobs, not of litejobs")
    assert default_databases(project) == []


def test_the_default_manager_has_one_adapter(project):
    project.write(
        "script.py",
        TRY + "from litejobs import jobs\nattempt(lambda: jobs.adapter('redis'))\n"
        "print(jobs.adapter('sqlite') is jobs.adapter(None))\n",
    )

    assert project.run("script.py").out == (
        "ConfigurationError: there is no adapter 'redis'; the adapter is 'sqlite'\nTrue\n"
    )


@pytest.mark.parametrize("first", ["", "later(job, ['before'])\n"], ids=["unused", "used"])
def test_a_background_worker_serves_the_project_of_its_caller(project, first):
    script = project.write(
        "script.py",
        LATER + "import threading\nfrom litejobs import jobs\ndone = threading.Event()\n"
        "def job(word):\n    print(word, flush=True)\n    word == 'after' and done.set()\n"
        f"{first}"
        "if __name__ == '__main__':\n"
        "    worker = jobs.start_background_worker()\n"
        "    later(job, ['after'])\n"
        "    done.wait(30)\n    worker.stop()\n",
    )

    out = project.run(script, cwd=project.home).out

    assert out.split() == (["before"] if first else []) + ["after"]
    assert default_databases(project)[0].parent.name.startswith("project-")


def test_nothing_of_litejobs_is_loaded_before_it_is_asked_for(project):
    project.write(
        "script.py",
        "import sys, litejobs\nprint(sorted(m for m in sys.modules if m.startswith('litejobs.')))\n"
        "print(all(hasattr(litejobs, name) for name in litejobs.__all__))\n"
        "print(hasattr(litejobs, 'latr'))\n",
    )

    assert project.run("script.py").out == "[]\nTrue\nFalse\n"


def test_a_worker_knows_its_root_and_the_app_that_other_rows_need(tmp_path):
    (tmp_path / "jobs.py").write_text(JOB)
    manager = DefaultManager()
    manager.configure(database=tmp_path / "x.db")
    manager.use_root(tmp_path, hint="shop:jobs")

    adapter, loader = manager.adapter(None), manager.loader()

    assert adapter.get_meta("root") == str(tmp_path)
    adapter.close()
    assert loader.load('{"name":"job","path":"jobs.py","module":"__main__"}').name == "job"
    with pytest.raises(UnloadableError, match="the worker needs --app shop:jobs"):
        loader.load('{"name":"job","path":"jobs.py"}')


def job_of_these_tests(): ...


def test_a_worker_of_one_project_stores_no_job_of_another(tmp_path):
    manager = DefaultManager()
    manager.configure(database=tmp_path / "x.db")
    manager.use_root(tmp_path)

    with pytest.raises(SchedulingError, match=f"the jobs here belong to the project at {tmp_path}"):
        manager.later(job_of_these_tests)

    manager.adapter(None).close()


def test_what_is_no_function_is_refused_in_words(project):
    result = project.run("-c", "import litejobs; litejobs.later([1])", code=1)

    assert "SchedulingError: [1] cannot be a job" in result.err


def test_a_script_that_configures_a_file_does_not_move_its_worker(project):
    project.write(
        "script.py",
        """
        import litejobs
        litejobs.configure(database="jobs.sqlite")
        def parent():
            litejobs.later(child)
        def child():
            open("done.txt", "a").write("child ")
        if __name__ == "__main__":
            litejobs.later(parent)
        """,
    )
    project.run("script.py")
    elsewhere = project.directory / "elsewhere"
    elsewhere.mkdir()

    project.litejobs("workoff", "../jobs.sqlite", "--root", project.directory, cwd=elsewhere)

    assert project.read("elsewhere/done.txt") == "child "
    assert not (elsewhere / "jobs.sqlite").exists()


def test_a_refused_function_spoils_no_later_call(project):
    project.write(
        "script.py",
        """
        import json
        from litejobs import LitejobsError, later
        def job(): ...
        if __name__ == "__main__":
            try:
                later(json.dumps, [1])
            except LitejobsError as error:
                print(error)
            print(later(job).id)
        """,
    )

    result = project.run("script.py")

    assert "installed package" in result.out
    assert result.out.splitlines()[-1] == "1"


def test_another_programs_file_is_not_adopted_because_settings_name_it(project):
    with closing(sqlite3.connect(project.directory / "app.db")) as connection:
        connection.execute("CREATE TABLE customers (name)")
    project.write("job.py", "def f(): ...")
    words = ["-c", "from litejobs import later; from job import f; later(f)"]

    result = project.run(*words, code=1, env={"LITEJOBS_DATABASE": "app.db"})

    assert "is a database of another program" in result.err
    words[1] = "import litejobs; litejobs.configure(database='app.db'); " + words[1]
    project.run(*words)


def test_beside_an_app_it_is_said_that_its_workers_look_elsewhere(project):
    project.write("pyproject.toml", '[tool.litejobs]\napp = "shop:jobs"\n')
    project.write("script.py", LATER + JOB + "later(job)\n")

    err = project.run("script.py").err

    assert "where the workers of the app shop:jobs do not look" in err
