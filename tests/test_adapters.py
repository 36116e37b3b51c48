"""The shared suite on every adapter that there is, and that it sees what an adapter does wrong."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from litejobs.adapters.sqlite.adapter import SqliteAdapter
from litejobs.testing.adapter_suite import AdapterSuite

EXAMPLE = Path(__file__).parent.parent / "examples" / "memory_adapter" / "memory_adapter.py"


class TestSqliteByTheStandardLibrary(AdapterSuite):
    def make(self, place, clock):
        return SqliteAdapter(place / "jobs.sqlite", clock=clock, driver="sqlite3")


class TestSqliteByApsw(AdapterSuite):
    def make(self, place, clock):
        return SqliteAdapter(place / "jobs.sqlite", clock=clock, driver="apsw")


class TestSqliteInATableOfTheAppsOwn(AdapterSuite):
    def make(self, place, clock):
        return SqliteAdapter(place / "app.sqlite", clock=clock, table="chores")


@pytest.fixture(scope="module")
def memory_adapter():
    """The example's module."""
    spec = importlib.util.spec_from_file_location("memory_adapter", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestMemory(AdapterSuite):
    @pytest.fixture(autouse=True)
    def own_memory(self, memory_adapter, tmp_path, monkeypatch):
        monkeypatch.setattr(memory_adapter, "SHARED_MEMORY", tmp_path)
        self.adapter_class = memory_adapter.MemoryAdapter

    def make(self, place, clock):
        return self.adapter_class(place.name, clock=clock)


FAULTS = {
    "finds early": 'and row["run_at"] <= now -> and row["run_at"] <= now + 1',
    "finds late": 'and row["run_at"] <= now -> and row["run_at"] < now',
    "knows no queues": 'self.takes(queues, row["queue"]) -> True',
    "knows no '*'": 'self.takes(queues, row["queue"]) -> row["queue"] in queues',
    "knows no exceptions": 'self.takes(queues, row["queue"]) -> {"*", row["queue"]} & {*queues}',
    "knows no priority": '(row["priority"], row["run_at"], row -> (row["run_at"], row',
    "forgets run_at": '(row["priority"], row["run_at"], row -> (row["priority"], row',
    "reverses ids": 'row["run_at"], row["id"]) -> row["run_at"], -row["id"])',
    "knows no limit": "[:limit] -> ",
    "does not lock": '"state": "running", "locked_by" -> "locked_by"',
    "counts no attempts": 'row["attempts"] += 1 -> row["attempts"] += 0',
    "takes running jobs from the living": "+ 1000 * max_runtime <= now -> <= now",
    "uses ids again": "memory.next_id += len(jobs) -> memory.next_id += 0",
    "settles for any worker": '"locked_by": job.locked_by, -> ',
    "settles any attempt": '"attempts": job.attempts} -> }',
    "settles what is not running": '"state": "running", "locked_by": job -> "locked_by": job',
    "never deletes": '"deleted" if delete else "succeeded" -> "succeeded"',
    "deletes all": '"deleted" if delete else "failed" -> "deleted"',
    "tries again at once": ", last_error=error, run_at=run_at) -> , last_error=error)",
    "spends attempts on jobs that do not load": ", attempts=job.attempts - 1) -> )",
    "says it held what it did not": "return bool(found) -> return True",
    "does not count what it clears": "return count -> return 0",
    "clears nothing": "memory.rows.clear() -> pass",
    "locks nothing": "fcntl.flock(lock, fcntl.LOCK_EX) -> pass",
    "reloads nothing": 'row["state"] == "unloadable"] -> False]',
}
# No other plugins: they take longer to load than the tests to run.
LEAN = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "litejobs.pytest_plugin"}
SUITE = """
from litejobs.testing.adapter_suite import AdapterSuite
from memory_adapter import MemoryAdapter

class TestIt(AdapterSuite):
    def make(self, place, clock):
        return MemoryAdapter(place.name, clock=clock)
"""


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_the_suite_sees_an_adapter_that(fault, tmp_path):
    right, _, wrong = fault.partition(" -> ")
    text = EXAMPLE.read_text("utf-8")
    assert right in text
    faulty = text.replace(right, wrong).replace('"/dev/shm"', repr(str(tmp_path)))
    (tmp_path / "memory_adapter.py").write_text(faulty)
    (tmp_path / "test_it.py").write_text(SUITE)

    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "test_it.py"],
        cwd=tmp_path, env=os.environ | LEAN, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert run.returncode == 1, run.stdout
    assert "1 failed" in run.stdout
