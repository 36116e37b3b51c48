"""The table of seeded bugs fits the source and the tests; a few of them, and what is none."""

import ast
import shutil
from dataclasses import replace
from functools import cache

import pytest
import seeded

TESTS = seeded.ROOT / "tests"


@cache
def functions(file):
    tree = ast.parse((TESTS / file).read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("bug", seeded.bugs(), ids=lambda bug: bug.name)
def test_a_bug_changes_one_place_and_names_a_test_that_is_there(bug):
    source = (seeded.ROOT / "litejobs" / bug.file).read_text("utf-8")

    assert source.count(bug.text) == 1
    assert bug.becomes != bug.text
    file, _, name = bug.test.partition("::")
    assert not name or name.partition("[")[0] in functions(file)


def test_no_two_bugs_have_one_name():
    assert len({bug.name for bug in seeded.bugs()}) == len(seeded.bugs()) >= 25


def test_a_bug_is_caught_and_a_change_that_breaks_nothing_survives(monkeypatch):
    [bug] = [bug for bug in seeded.bugs() if bug.name == "second signal drains again"]
    none = replace(seeded.harmless(bug), name="none")
    monkeypatch.setattr(seeded, "bugs", lambda: [bug, none])

    report = seeded.main(["--seed", "1"])

    assert not seeded.is_kept(report)
    assert (report["seeded"], report["caught"]) == (2, 1)
    assert (report["survivors"], report["misfits"]) == (["none"], [])


@pytest.mark.parametrize(
    ("text", "says"),
    [("no such text", "stands 0 times"), ("self", r"stands \d+ times in stop.py")],
    ids=["missing", "ambiguous"],
)
def test_a_bug_that_no_longer_fits_is_told(tmp_path, text, says):
    (tmp_path / "litejobs").mkdir()
    shutil.copy(seeded.ROOT / "litejobs" / "stop.py", tmp_path / "litejobs")
    bug = seeded.Bug("odd", "nothing", "stop.py", text, "", "test_stop.py")

    with pytest.raises(seeded.MisfitError, match=says):
        bug.seed(tmp_path)
