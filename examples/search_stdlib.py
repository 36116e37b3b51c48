"""
A full-text search over the source of Python's standard library, indexed by background jobs.

    python examples/search_stdlib.py WORDS

One job for each source file reads it and writes it to an index; worker processes do them while a
progress bar runs; then the index answers. Interrupt it: the next run does what is left. A later run
finds the index there and only searches; --rebuild makes it anew.
"""

import argparse
import json
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
import time
from contextlib import closing
from pathlib import Path

import platformdirs

import litejobs
from litejobs import later

HOME = platformdirs.user_cache_path("search-stdlib") / f"python3.{sys.version_info.minor}"
JOBS, INDEX = HOME / "jobs.sqlite", HOME / "index.sqlite"
LIBRARY = Path(sysconfig.get_paths()["stdlib"])
LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}


def index_file(name: str) -> None:
    """The job: read one source file and put it into the index. Safe to run twice."""
    text = (LIBRARY / name).read_text("utf-8", errors="replace")
    with closing(open_index()) as index, index:
        index.execute("DELETE FROM sources WHERE name = ?", [name])
        index.execute("INSERT INTO sources (name, text) VALUES (?, ?)", [name, text])


def make_index() -> None:
    with closing(open_index()) as index:
        index.execute("PRAGMA journal_mode = WAL")
        index.execute("CREATE VIRTUAL TABLE sources USING fts5(name, text)")


def open_index() -> sqlite3.Connection:
    index = sqlite3.connect(INDEX, timeout=30)
    index.execute("PRAGMA synchronous = OFF")  # it can be made anew
    return index


def sources() -> list[str]:
    """The library's source files, relative to it."""
    files = (path.relative_to(LIBRARY) for path in LIBRARY.rglob("*.py"))
    return sorted(str(file) for file in files if not LEFT_OUT & set(file.parts))


def store_jobs() -> None:
    """Store a job for each file, all of them or none."""
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    make_index()
    litejobs.configure(database=JOBS)
    calls = [[name] for name in sources()]
    started = time.perf_counter()
    jobs = later.many(index_file, calls)
    print(f"{len(jobs)} jobs stored in {time.perf_counter() - started:.2f} s: {JOBS}")


def work(workers: int) -> int:
    """Have worker processes do what is due; their exit code."""
    command = [sys.executable, "-m", "litejobs", "workoff", str(JOBS), "--count", str(workers)]
    project = Path(__file__).resolve().parent
    return subprocess.run(command, cwd=project, check=False).returncode


def left() -> dict[str, int]:
    """How many jobs are still stored, by state."""
    command = [sys.executable, "-m", "litejobs", "status", str(JOBS), "--json"]
    document = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return document["queues"].get("default", {})


def search(words: str) -> None:
    quoted = " ".join('"' + word.replace('"', '""') + '"' for word in words.split())
    with closing(open_index()) as index:
        rows = index.execute(
            "SELECT name, snippet(sources, 1, '[', ']', ' ... ', 12) FROM sources"
            " WHERE sources MATCH ? ORDER BY rank LIMIT 10",
            [quoted],
        ).fetchall()
        [(total,)] = index.execute("SELECT count(*) FROM sources")
    print(f"{len(rows)} best of {total} files for {words!r}:")
    for name, snippet in rows:
        print(f"  {name:<32} {' '.join(snippet.split())}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Search Python's standard library.")
    parser.add_argument("words", nargs="+")
    parser.add_argument("--workers", type=int, default=2, help="worker processes (default 2)")
    parser.add_argument("--rebuild", action="store_true", help="index everything again")
    options = parser.parse_args()
    code = 0
    if options.rebuild or not JOBS.exists():
        store_jobs()
    if left():
        code = work(options.workers)
        states = left()
        print(f"retries waiting: {states.get('scheduled', 0)}, failures: {states.get('failed', 0)}")
    search(" ".join(options.words))
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted: run it again, and it goes on where it was")
