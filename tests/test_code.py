"""Code that changed is noticed by its files, within the project alone."""

import os

import pytest

from litejobs.processes import code
from litejobs.processes.code import SourceWatch, newest_source


@pytest.fixture
def put(tmp_path):
    def put(name, second):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        os.utime(file, (second, second))
        return file

    return put


def test_the_newest_python_file_counts(tmp_path, put):
    put("a.py", 5)
    put("deep/er/b.py", 9)
    put("c.txt", 99)

    assert newest_source(tmp_path) == (9_000_000_000, 2)


@pytest.mark.parametrize(
    "name",
    ["venv/lib/x.py", ".hidden/x.py", "node_modules/x.py", "lib/site-packages/x.py", "x.pyc"],
)
def test_what_is_no_code_of_the_project_does_not_count(tmp_path, put, name):
    put("a.py", 5)
    put(name, 9)
    put("venv/pyvenv.cfg", 1)

    assert newest_source(tmp_path) == (5_000_000_000, 1)


def test_a_change_is_told_once(tmp_path, put):
    put("a.py", 5)
    watch = SourceWatch(tmp_path)
    assert not watch.has_changed()

    put("a.py", 6)

    assert watch.has_changed()
    assert not watch.has_changed()


def test_an_older_file_that_comes_or_goes_is_a_change(tmp_path, put):
    put("a.py", 5)
    watch = SourceWatch(tmp_path)
    older = put("b.py", 1)
    assert watch.has_changed()

    older.unlink()

    assert watch.has_changed()


def test_a_file_that_leads_nowhere_is_no_error(tmp_path):
    (tmp_path / "broken.py").symlink_to("nowhere")

    assert newest_source(tmp_path) == (0, 1)


def test_an_enormous_project_is_not_watched(tmp_path, put, monkeypatch):
    monkeypatch.setattr(code, "_MOST", 1)
    put("a.py", 1)
    put("b.py", 1)

    assert newest_source(tmp_path) == (0, 0)
