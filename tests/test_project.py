import logging
import sysconfig
from pathlib import Path

import platformdirs
import pytest

from litejobs import project
from litejobs.errors import ConfigurationError
from litejobs.project import (
    DatabasePlace,
    app_of,
    check_root,
    claim,
    database_of,
    is_installed,
    make_default_directory,
    move,
    names_database,
    root_of_directory,
    root_of_file,
    settings,
)


class Notes:
    """Storage that keeps facts and nothing else."""

    def __init__(self):
        self.facts = {}

    def get_meta(self, key):
        return self.facts.get(key)

    def set_meta(self, key, value):
        self.facts[key] = value

    def describe(self):
        return "the notes"


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """Neither the user's variables nor the user's files."""
    monkeypatch.delenv("LITEJOBS_DATABASE", raising=False)
    monkeypatch.delenv("LITEJOBS_APP", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def put(file, text=""):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    return file


@pytest.mark.parametrize("mark", ["pyproject.toml", ".git/HEAD", ".git"])
def test_the_root_is_the_nearest_marked_parent(tmp_path, mark):
    put(tmp_path / "pyproject.toml")
    put(tmp_path / "inner" / mark)
    file = put(tmp_path / "inner" / "shop" / "jobs.py")

    assert root_of_file(file) == tmp_path / "inner"
    assert root_of_directory(file.parent) == tmp_path / "inner"


def test_without_a_mark_the_root_of_a_file_lies_above_its_packages(tmp_path):
    put(tmp_path / "work" / "shop" / "__init__.py")
    put(tmp_path / "work" / "shop" / "mail" / "__init__.py")
    file = put(tmp_path / "work" / "shop" / "mail" / "jobs.py")

    assert root_of_file(file) == tmp_path / "work"
    assert root_of_file(put(tmp_path / "work" / "alone.py")) == tmp_path / "work"


def test_without_a_mark_the_root_of_a_directory_is_itself(tmp_path):
    assert root_of_directory(tmp_path) == tmp_path


def test_a_root_is_found_through_links(tmp_path):
    put(tmp_path / "real" / "pyproject.toml")
    put(tmp_path / "real" / "jobs.py")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "alone.py").symlink_to("real/jobs.py")

    assert root_of_directory(tmp_path / "link") == tmp_path / "real"
    assert root_of_file(tmp_path / "alone.py") == tmp_path / "real"


@pytest.mark.parametrize(
    "file",
    [
        Path("/app/venv/lib/python3.12/site-packages/shop/jobs.py"),
        Path("/usr/lib/python3/dist-packages/shop.py"),
        Path(sysconfig.get_paths()["stdlib"]).resolve() / "os.py",
    ],
    ids=str,
)
def test_files_of_python_and_of_installed_packages_are_told(file):
    assert is_installed(file)


def test_a_file_of_ones_own_is_not_installed(tmp_path):
    assert not is_installed(tmp_path / "site-packages-of-mine" / "jobs.py")


def test_a_project_without_a_file_has_no_settings(tmp_path):
    assert settings(tmp_path) == {}


@pytest.mark.parametrize("text", ["", "[tool.ruff]\nline-length = 100\n", "[tool.litejobs]\n"])
def test_a_file_without_our_table_has_no_settings(tmp_path, text):
    put(tmp_path / "pyproject.toml", text)

    assert settings(tmp_path) == {}


def test_settings_are_app_and_database(tmp_path):
    put(tmp_path / "pyproject.toml", '[tool.litejobs]\napp = "a:b"\ndatabase = "x/é.db"\n')

    assert settings(tmp_path) == {"app": "a:b", "database": "x/é.db"}
    assert app_of(tmp_path) == "a:b"
    assert names_database(tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[tool", "pyproject.toml cannot be read as TOML"),
        (b'a = "\xff"', "pyproject.toml cannot be read as TOML"),
        (b"[tool]\nlitejobs = 5", "tool.litejobs in .* must be a table, got 5"),
        (b"[tool.litejobs]\ndatabas = 'x'", "'databas' is not an option .*did you mean 'database'"),
        (b"[tool.litejobs]\ndatabase = 5", "database in .* must be text, got 5"),
        (b"[tool.litejobs]\napp = ''", "app in .* must be text, got ''"),
    ],
    ids=["no TOML", "no UTF-8", "no table", "unknown key", "number", "empty"],
)
def test_a_table_that_is_not_ours_to_read_is_refused(tmp_path, text, reason):
    (tmp_path / "pyproject.toml").write_bytes(text)

    with pytest.raises(ConfigurationError, match=reason):
        settings(tmp_path)


def test_the_environment_names_database_and_app_before_the_project_does(tmp_path, monkeypatch):
    put(tmp_path / "pyproject.toml", '[tool.litejobs]\napp = "a:b"\ndatabase = "x.db"\n')
    monkeypatch.setenv("LITEJOBS_DATABASE", "here.db")
    monkeypatch.setenv("LITEJOBS_APP", "c:d")
    monkeypatch.chdir(tmp_path)

    place = database_of(tmp_path / "elsewhere")

    assert place == DatabasePlace(tmp_path / "here.db", "LITEJOBS_DATABASE names it")
    assert names_database(tmp_path / "elsewhere")
    assert app_of(tmp_path) == "c:d"


def test_a_path_in_pyproject_is_relative_to_the_root(tmp_path, monkeypatch):
    file = put(tmp_path / "pyproject.toml", '[tool.litejobs]\ndatabase = "var/x.db"\n')
    monkeypatch.chdir("/")

    place = database_of(tmp_path)

    assert place == DatabasePlace(tmp_path / "var/x.db", f"[tool.litejobs] in {file} names it")


def test_the_default_lies_in_the_users_data_by_name_and_place_of_the_root(tmp_path):
    first, second = tmp_path / "one" / "my shop", tmp_path / "two" / "my shop"

    place, other = database_of(first), database_of(second)

    assert place.why == f"the default of the project at {first}"
    assert place.path.name == "jobs.sqlite"
    assert place.path.parent.parent == platformdirs.user_data_path("litejobs")
    assert place.path.parent.name.startswith("my_shop-")
    assert len(place.path.parent.name) == len("my_shop-") + 8
    assert other.path != place.path
    assert database_of(first) == place
    assert not names_database(first)
    assert app_of(first) is None


def test_the_root_of_the_file_system_has_a_default_too():
    assert database_of(Path("/")).path.parent.name.startswith("root-")


def test_the_default_directory_is_made_for_its_owner_only(tmp_path):
    place = database_of(tmp_path)

    make_default_directory(place, tmp_path)
    make_default_directory(place, tmp_path)

    assert place.path.parent.stat().st_mode & 0o777 == 0o700


def test_the_directory_of_a_named_database_is_not_made(tmp_path):
    make_default_directory(DatabasePlace(tmp_path / "no" / "x.db", "named"), tmp_path)

    assert not (tmp_path / "no").exists()


def test_a_like_named_neighbour_of_a_new_default_is_told(tmp_path, caplog):
    old, new = tmp_path / "one" / "shop", tmp_path / "two" / "shop"
    make_default_directory(database_of(old), old)
    neighbour = put(database_of(old).path)
    assert caplog.text == ""

    with caplog.at_level(logging.WARNING, "litejobs"):
        make_default_directory(database_of(new), new)

    assert f"another project named shop has its jobs in {neighbour}" in caplog.text


def test_a_database_serves_the_project_that_claims_it_first(tmp_path):
    notes = Notes()

    claim(notes, tmp_path / "one")
    claim(notes, tmp_path / "one")

    with pytest.raises(ConfigurationError, match=rf"the notes .*{tmp_path}/one, this one is at"):
        claim(notes, tmp_path / "two")
    assert notes.facts == {"root": str(tmp_path / "one")}


def test_a_project_that_moved_says_so(tmp_path):
    notes = Notes()
    claim(notes, tmp_path / "one")

    move(notes, tmp_path / "two")

    check_root(notes, tmp_path / "two")
    with pytest.raises(ConfigurationError, match=f"litejobs work --root {tmp_path}/one the notes"):
        check_root(notes, tmp_path / "one")


def test_checking_claims_nothing(tmp_path):
    notes = Notes()

    check_root(notes, tmp_path)

    assert notes.facts == {}


def test_settings_are_read_once(tmp_path):
    file = put(tmp_path / "pyproject.toml", '[tool.litejobs]\ndatabase = "x.db"\n')
    first = project.settings(tmp_path)
    file.unlink()

    assert project.settings(tmp_path) is first


def test_a_tool_that_is_no_table_is_refused(tmp_path):
    (tmp_path / "pyproject.toml").write_text('tool = "x"')

    with pytest.raises(ConfigurationError, match="must be a table"):
        settings(tmp_path)


def test_a_default_directory_that_cannot_be_made_is_refused_with_a_way_out(tmp_path):
    file = tmp_path / "file"
    file.touch()
    place = DatabasePlace(file / "project" / "jobs.sqlite", "default", is_default=True)

    with pytest.raises(ConfigurationError, match="LITEJOBS_DATABASE"):
        make_default_directory(place, tmp_path)
