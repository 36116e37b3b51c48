import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

HOME = Path(__file__).parent.parent
WRONG = """
from benchmarks.contestants.own import Litejobs
from benchmarks.ledger import ledger

class Wrong(Litejobs):
    name = "wrong"

    def enqueue(self, job, args, wait=None):
        if args != [25]:
            super().enqueue(job, args, wait)

    def work(self, workers):
        ledger().marks[3] += 1
        super().work(workers)
"""
COMPARE = """
import sys
from benchmarks.__main__ import main
from benchmarks.contestants.own import Litejobs
from wrong import Wrong

sys.exit(main(["--quick", "--only", *sys.argv[2:], "--output", sys.argv[1]], [Litejobs, Wrong]))
"""


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    """The package that measures is no part of what is installed."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(HOME)])
    from benchmarks.ledger import Ledger

    return Ledger.create(tmp_path, 10)


def run(*words, code=0, **environment):
    done = subprocess.run(
        ["env", *(f"{key}={value}" for key, value in environment.items()), sys.executable, *words],
        cwd=HOME,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    return done


def rows(page):
    """The rows of the page's last table, by who and durability."""
    table = page.rpartition("### ")[2]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("|")
    ]
    return {(who, durability): rest for who, durability, *rest in cells[2:]}


def test_a_quick_run_writes_a_table_and_a_chart(tmp_path):
    run("-m", "benchmarks", "--quick", "--only", "enqueue", "--output", str(tmp_path))

    page = (tmp_path / "benchmarks.md").read_text("utf-8")
    assert "python -m benchmarks --quick --only enqueue\n" in page
    table = rows(page)
    for durability in ("full", "normal"):
        rate, of_the_bare, _ = table["litejobs", durability]
        bare = table["INSERT alone", durability][0]
        assert float(of_the_bare) == pytest.approx(
            int(rate.replace(",", "")) / int(bare.replace(",", "")), abs=0.02
        )
    assert re.search(r"\| litejobs [\d.]+ \| \*full\*", page)
    chart = ET.parse(tmp_path / "benchmarks" / "enqueue.svg")
    assert "litejobs full" in "".join(chart.getroot().itertext())


@pytest.mark.parametrize(
    ("workload", "said"),
    [
        ("enqueue", r"\d+ jobs were stored, the storage holds \d+"),
        ("drain-one-thread", r"of \d+ jobs 0 did not run, 1 ran more than once"),
    ],
    ids=["one is not stored", "one runs twice"],
)
def test_a_wrong_result_fails_the_run_and_is_no_figure(tmp_path, workload, said):
    (tmp_path / "wrong.py").write_text(WRONG)

    done = run("-c", COMPARE, str(tmp_path), workload, code=1, PYTHONPATH=tmp_path)

    assert re.search(rf"benchmarks: {workload}, wrong full: {said}", done.stderr)
    table = rows((tmp_path / "benchmarks.md").read_text("utf-8"))
    assert re.match(rf"wrong: {said}", table["wrong", "full"][0])
    assert table["litejobs", "full"][0].replace(",", "").isdigit()


@pytest.mark.parametrize(
    ("marks", "said"),
    [
        ([1, 1, 0, 1], "1 did not run, 0 ran more than once, and 0 ran that were not stored"),
        ([1, 2, 1, 1], "0 did not run, 1 ran more than once, and 0 ran that were not stored"),
        ([1, 1, 1, 1, 1], "0 did not run, 0 ran more than once, and 1 ran that were not stored"),
    ],
    ids=["lost", "twice", "stray"],
)
def test_jobs_that_did_not_run_exactly_once_are_a_wrong_result(ledger, marks, said):
    from benchmarks.ledger import WrongResult

    ledger.marks[: len(marks)] = bytes(marks)

    with pytest.raises(WrongResult, match=said):
        ledger.check(range(4))


def test_a_job_whose_storing_failed_may_have_run_or_not(ledger):
    ledger.marks[:4] = bytes([1, 0, 1, 1])

    ledger.check(range(4), unsure=frozenset({1, 2}))


def test_a_drain_is_over_when_each_job_has_run(ledger):
    ledger.marks[:4] = bytes([1, 0, 1, 1])
    assert not ledger.has_run(range(4))

    ledger.marks[1] = 1
    assert ledger.has_run(range(4))
