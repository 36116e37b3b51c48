"""generate job: the job runs, its test passes, and what cannot be is refused untouched."""

import json
import py_compile

import pytest
from helpers import files, tree

from litejobs.errors import UsageError
from litejobs.generators.job import JobName

WORKOFF = ["workoff", "--log-level", "error"]
USERS_CONFIG = """
from litejobs import JobManager, SqliteAdapter

jobs = JobManager({"sqlite": SqliteAdapter("db.sqlite")}, queues=["email", "default"])


@jobs.job(queue="default")
def greet():
    print("hello")
"""


# The name of a job


@pytest.mark.parametrize(
    ("text", "packages", "name"),
    [
        ("send_welcome_email", (), "send_welcome_email"),
        ("SendWelcomeEmail", (), "send_welcome_email"),
        ("SendWelcomeEmailJob", (), "send_welcome_email"),
        ("send_welcome_email_job", (), "send_welcome_email"),
        ("send-welcome-email", (), "send_welcome_email"),
        ("sendWelcomeEmail", (), "send_welcome_email"),
        ("mailing/SendWelcome", ("mailing",), "send_welcome"),
        ("Mailing/out-going/SendWelcome", ("mailing", "out_going"), "send_welcome"),
        ("PingHTTPServer", (), "ping_http_server"),
        ("Resize2Images", (), "resize2_images"),
        ("match", (), "match"),
        ("ﬁle_it", (), "file_it"),
    ],
)
def test_a_job_may_be_spelt_as_one_likes(text, packages, name):
    assert JobName.of(text) == JobName(packages, name)


@pytest.mark.parametrize(
    "text",
    ["", "class", "Job", "_job", "__init__", "_private", "1st", "a b", "a.b", "a.py", "../a", "/a",
     "a//b", "a/", "a/../b", "class/a", "a\0b", "a\nb", "$(a)", "print", "Print", "test_mail"],
)  # fmt: skip
def test_what_no_job_can_be_called_is_refused(text):
    with pytest.raises(UsageError):
        JobName.of(text)


# A job and its test


def schedule(project, importing, name):
    project.run("-c", f"{importing}; later({name})", env={"PYTHONPATH": str(project.directory)})


def test_a_generated_job_runs_and_its_test_passes(project):
    project.write("shop/__init__.py", "")
    project.litejobs("init")

    result = project.litejobs("generate", "job", "SendWelcomeEmail")

    assert "from shop import send_welcome_email_job" in result.out
    tested = project.run("-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "1 passed" in tested.out
    schedule(
        project,
        "from shop.jobs import later; from shop.send_welcome_email_job import send_welcome_email",
        "send_welcome_email",
    )
    done = project.litejobs(*WORKOFF)
    assert "send_welcome_email runs" in done.out
    assert "1 succeeded" in done.out


def test_jobs_are_added_one_after_the_other(project):
    project.litejobs("init")

    for name in ("first", "mailing/second", "third"):
        project.litejobs("generate", "job", name)

    assert project.read("jobs.py").endswith(
        "adds its line.\n"
        "import first_job  # noqa\n"
        "from mailing import second_job  # noqa\n"
        "import third_job  # noqa\n"
    )
    assert "3 passed" in project.run("-m", "pytest", "-q", "-p", "no:cacheprovider").out
    schedule(project, "from jobs import later; from mailing.second_job import second", "second")
    assert "second runs" in project.litejobs(*WORKOFF).out


def test_a_job_of_an_app_that_a_person_wrote_is_added_below_its_code(project):
    project.write("work/jobs.py", USERS_CONFIG)

    result = project.litejobs("generate", "job", "ping", "--app", "work.jobs", "--json")

    assert json.loads(result.out) == {
        "job": "ping",
        "module": "work.ping_job",
        "root": str(project.directory),
        "new": ["work/ping_job.py", "tests/test_ping_job.py"],
        "changed": ["work/jobs.py"],
    }
    assert project.read("work/jobs.py") == (
        f"{USERS_CONFIG.lstrip()}\n\nfrom work import ping_job  # noqa\n"
    )
    assert '@jobs.job(queue="email")' in project.read("work/ping_job.py")  # the first
    assert "1 passed" in project.run("-m", "pytest", "-q", "-p", "no:cacheprovider").out
    project.litejobs(*WORKOFF, "--app", "work.jobs")


def test_an_app_that_is_a_package_has_its_jobs_inside(project):
    project.write("shop/jobs/__init__.py", USERS_CONFIG)

    project.litejobs("generate", "job", "ping", "--app", "shop.jobs:jobs", "--queue", "default")

    assert '@jobs.job(queue="default")' in project.read("shop/jobs/ping_job.py")
    assert project.read("shop/jobs/__init__.py").endswith(
        "from shop.jobs import ping_job  # noqa\n"
    )
    project.litejobs(*WORKOFF, "--app", "shop.jobs:jobs")


def test_an_apps_line_ends_are_those_of_the_new_line(project):
    file = project.directory / "jobs.py"
    file.write_bytes(USERS_CONFIG.strip().replace("\n", "\r\n").encode())

    project.litejobs("generate", "job", "ping", "--app", "jobs")

    assert file.read_bytes().endswith(b'("hello")\r\n\r\n\r\nimport ping_job  # noqa\r\n')


def test_without_an_app_a_job_belongs_to_the_default_manager(project):
    result = project.litejobs("generate", "job", "ping", "--queue", "email")

    assert project.read("ping_job.py").startswith("from litejobs import jobs\n")
    assert "the app" not in result.out
    assert "1 passed" in project.run("-m", "pytest", "-q", "-p", "no:cacheprovider").out
    env = {"LITEJOBS_DATABASE": "db.sqlite"}
    project.run("-c", "from litejobs import later; from ping_job import ping; later(ping)", env=env)
    assert '"email"' in project.litejobs("status", "--json", env=env).out
    assert "ping runs" in project.litejobs(*WORKOFF, env=env).out


def test_without_an_app_a_job_lies_in_the_only_package(project):
    project.write("src/shop/__init__.py", "")

    result = project.litejobs("generate", "job", "mail/ping")

    assert "pip install -e ." in result.out
    assert files(project.directory / "src") == {
        "shop/__init__.py", "shop/mail/__init__.py", "shop/mail/ping_job.py",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("there", "test"),
    [
        pytest.param([], "tests/test_ping_job.py", id="no tests yet"),
        pytest.param(["tests/test_a.py"], "tests/test_ping_job.py", id="tests"),
        pytest.param(["test/test_a.py"], "test/test_ping_job.py", id="test"),
        pytest.param(["shop/test_a.py"], "shop/test_ping_job.py", id="beside"),
        pytest.param(
            ["shop/test_a.py", "tests/b.py"], "shop/test_ping_job.py", id="beside before tests"
        ),
        pytest.param(["shop/tests/a.py"], "shop/tests/test_ping_job.py", id="in the package"),
    ],
)
def test_the_test_goes_where_the_tests_are(project, there, test):
    for name in ("shop/__init__.py", *there):
        project.write(name, "")

    project.litejobs("generate", "job", "ping")

    assert test in files(project.directory)
    tested = project.run("-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "1 passed" in tested.out


@pytest.mark.parametrize(
    ("there", "words", "code", "says"),
    [
        pytest.param(["ping_job.py"], ["ping"], 1, "ping_job.py is there already", id="job"),
        pytest.param(
            ["tests/test_ping_job.py"], ["ping"], 1, "test_ping_job.py is there", id="test"
        ),
        pytest.param(["ping_job/a.py"], ["ping"], 1, "ping_job is there already", id="package"),
        pytest.param(["mail.py"], ["mail/ping"], 1, "mail.py is there already", id="module"),
        pytest.param([], ["greet"], 1, "jobs has a job greet already", id="a job of that name"),
        pytest.param([], ["hello"], 1, "speaks of hello_job already", id="a name in the app"),
        pytest.param([], ["jobs"], 2, "would hide the manager", id="the manager's name"),
        pytest.param([], ["email/ping"], 2, "hide the module 'email'", id="Python's own module"),
        pytest.param([], ["ping", "-q", "no"], 2, "declared queues: email, default", id="queue"),
        pytest.param([], ["ping", "-q", ""], 2, "cannot name a queue", id="no queue"),
        pytest.param([], ["../ping"], 2, "a job is named as in", id="path"),
        pytest.param([], ["ping", "--app", "no:jobs"], 78, "no module 'no'", id="no app"),
        pytest.param([], ["ping", "--app", "jobs:no"], 78, "no attribute 'no'", id="no manager"),
        pytest.param([], ["ping", "--app", "broken"], 78, "no luck", id="a broken app"),
        pytest.param([], ["ping", "--app", "apart"], 78, "no file of the project", id="installed"),
        pytest.param([], ["ping", "--app", "bare"], 78, "no file of the project", id="no source"),
        pytest.param([], ["ping", "--app", "away"], 78, "no file of the project", id="elsewhere"),
    ],
)  # fmt: skip
def test_a_job_that_is_refused_changes_nothing(project, tmp_path, there, words, code, says):
    project.write("jobs.py", f"{USERS_CONFIG}\nhello_job = 1\n")
    project.write("broken.py", "raise RuntimeError('no luck')\n")
    (tmp_path / "away.py").write_text(USERS_CONFIG)
    project.write("venv/pyvenv.cfg", "")
    project.write("venv/apart.py", USERS_CONFIG)
    py_compile.compile(project.write("bare.py", USERS_CONFIG), project.directory / "bare.pyc")
    (project.directory / "bare.py").unlink()
    for name in there:
        project.write(name, "")
    before = tree(project.directory)

    result = project.litejobs(
        "generate", "job", *words, code=code,
        env={"LITEJOBS_APP": "jobs:jobs", "PYTHONPATH": f"{tmp_path}:{project.directory / 'venv'}"},
    )  # fmt: skip

    assert says in result.sentence
    assert result.out == ""
    assert tree(project.directory) == before


def test_the_app_is_not_run_by_the_command_itself(project):
    project.write("app.py", f"{USERS_CONFIG}\nimport os\nprint(os.getpid())\n")

    process = project.start_litejobs("generate", "job", "ping", "--app", "app:jobs")

    out, err = process.communicate()
    assert process.returncode == 0, err
    pid, first, *_ = out.splitlines()
    assert first == "new      ping_job.py"
    assert int(pid) != process.pid
