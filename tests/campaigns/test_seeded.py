"""The table of seeded bugs fits the source and the tests; a few of them, and what is none."""

import ast
import re

import pytest
import seeded

TESTS = seeded.ROOT / "tests"
QUICK = ["backoff without a cap", "second signal drains again"]


def functions(bug):
    return {
        node.name
        for node in ast.walk(ast.parse((TESTS / bug.test.partition("::")[0]).read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
    }


@pytest.mark.parametrize("bug", seeded.bugs(), ids=lambda bug: bug.name)
def test_a_bug_changes_one_place_and_names_a_test_that_is_there(bug):
    source = (seeded.ROOT / "litejobs" / bug.file).read_text("utf-8")

    assert source.count(bug.text) == 1
    assert bug.becomes != bug.text
    _, _, name = bug.test.partition("::")
    assert not name or re.sub(r"\[.*", "", name) in functions(bug)


def test_no_two_bugs_have_one_name():
    assert len({bug.name for bug in seeded.bugs()}) == len(seeded.bugs()) >= 25


def only(*names):
    return [word for name in names for word in ("--only", name)]


def test_quick_bugs_are_caught():
    report = seeded.main([*only(*QUICK), "--seed", "1"])

    assert seeded.is_kept(report), report
    assert report["caught"] == len(QUICK)


def test_a_change_that_breaks_nothing_survives():
    report = seeded.main([*only(QUICK[0]), "--seed", "1", "--break", "harmless"])

    assert not seeded.is_kept(report)
    assert report["survivors"] == QUICK[:1]


BUG = seeded.Bug("odd", "nothing", "stop.py", "import os\n", "import os  #\n", "test_stop.py")


@pytest.mark.parametrize(
    ("change", "says"),
    [({"text": "no such text"}, "stands 0 times"), ({"text": "self"}, "times in stop.py")],
    ids=["missing", "ambiguous"],
)
def test_a_bug_that_no_longer_fits_is_told(tmp_path, change, says):
    seeded.copy(seeded.ROOT, tmp_path)
    bug = seeded.Bug(**vars(BUG) | change)

    with pytest.raises(seeded.MisfitError, match=says):
        bug.seed(tmp_path)
