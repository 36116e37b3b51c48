"""Writing into a project: all of it or nothing, and never over a file."""

import tempfile
from pathlib import Path

import pytest
from helpers import tree, without_root

from litejobs.errors import AlreadyThereError, ConfigurationError
from litejobs.generators.changes import Changes


@pytest.fixture
def shared_directory():
    """A directory that an ordinary user can reach."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o777)
        yield directory
        directory.chmod(0o777)


def test_a_file_keeps_its_permissions_and_a_link_leads_where_it_led(tmp_path):
    file = tmp_path / "real.toml"
    file.write_text("old")
    file.chmod(0o640)
    link = tmp_path / "pyproject.toml"
    link.symlink_to(file)

    Changes({}, (link, b"new")).make()

    assert link.is_symlink()
    assert file.read_text() == "new"
    assert file.stat().st_mode & 0o777 == 0o640
    assert set(tree(tmp_path)) == {"pyproject.toml", "real.toml"}


@pytest.mark.parametrize("in_the_way", ["file", "link to nowhere"])
def test_a_file_in_the_way_undoes_what_was_made_before_it(tmp_path, in_the_way):
    second = tmp_path / "second.py"
    if in_the_way == "file":
        second.write_text("mine")
    else:
        second.symlink_to("nowhere")
    (tmp_path / "edited").write_text("old")
    changes = Changes({tmp_path / "a/b/first.py": "1", second: "2"}, (tmp_path / "edited", b"new"))

    with pytest.raises(AlreadyThereError, match=r"second\.py is there already"):
        changes.make()

    assert {path.name for path in tmp_path.iterdir()} == {"edited", "second.py"}
    assert (tmp_path / "edited").read_text() == "old"


def test_a_file_that_may_not_be_written_undoes_what_was_made_before_it(shared_directory):
    edited = shared_directory / "pyproject.toml"
    edited.write_text("old")
    edited.chmod(0o444)

    with without_root(), pytest.raises(ConfigurationError, match="cannot be written"):
        Changes({shared_directory / "a/jobs.py": "1"}, (edited, b"new")).make()

    assert set(tree(shared_directory)) == {"pyproject.toml"}
    assert edited.read_text() == "old"


def test_in_a_directory_that_may_not_be_written_nothing_is_left(shared_directory):
    closed = shared_directory / "closed"
    closed.mkdir(mode=0o755)
    (closed / "pyproject.toml").touch()
    (closed / "pyproject.toml").chmod(0o666)

    with without_root(), pytest.raises(ConfigurationError, match="cannot be written"):
        Changes({shared_directory / "a.py": ""}, (closed / "pyproject.toml", b"new")).make()

    assert set(tree(shared_directory)) == {"closed/", "closed/pyproject.toml"}


def test_a_file_that_cannot_be_replaced_leaves_no_other_beside_it(tmp_path, monkeypatch):
    file = tmp_path / "pyproject.toml"
    file.write_text("old")

    def fail(*_):
        raise PermissionError

    monkeypatch.setattr(Path, "replace", fail)

    with pytest.raises(ConfigurationError, match="cannot be written"):
        Changes({}, (file, b"new")).make()

    assert tree(tmp_path) == {"pyproject.toml": b"old"}
