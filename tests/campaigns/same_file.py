"""
One file, one process: the app's own connections beside those of litejobs.

    python tests/campaigns/same_file.py --runs 20 --seed 1

Each run is a fresh process. In it threads write to tables of their own by the standard library's
sqlite3, by SQLAlchemy and by Django (those that are there: ``pip install '.[test]'``), open
and close connections meanwhile, and store jobs by ``later``, which a worker on a thread settles.
Another process, started when that one has ended, looks whether every row and job is there whose
commit returned, and whether the file is sound. Anything else breaks the promise: exit code 1.

``--break apsw`` shows why the driver where user code lives is the standard library's: with apsw,
litejobs and the app use two SQLite libraries on one file, and rows are lost, the file is corrupt or
the process dies.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

LIBRARIES = ["sqlite3", *(name for name in ("sqlalchemy", "django") if find_spec(name))]
STUCK = 180  # seconds after which a process counts as dead
BROKEN = {"apsw": "apsw"}  # the driver
APP = """
import json, random, sqlite3, sys, threading, time
from contextlib import closing
from litejobs import JobManager, SqliteAdapter

file, driver, rows, seed, *libraries = sys.argv[1:]
rows = int(rows)
jobs = JobManager({"sqlite": SqliteAdapter(file, driver=driver)})
later = jobs.create_scheduler()
done, errors = [], []

@jobs.job
def run(number):
    done.append(number)

def by_sqlite3():
    with closing(sqlite3.connect(file, timeout=30, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE of_sqlite3 (number INTEGER)")
        yield
        while True:
            connection.execute("INSERT INTO of_sqlite3 VALUES (?)", ((yield),))

def by_sqlalchemy():
    from sqlalchemy import create_engine, text
    engine = create_engine(f"sqlite:///{file}", connect_args={"timeout": 30})
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE of_sqlalchemy (number INTEGER)"))
    yield
    while True:
        number = yield
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO of_sqlalchemy VALUES (:n)"), {"n": number})

def by_django():
    import django
    from django.conf import settings
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": file, "OPTIONS": {"timeout": 30}}
    settings.configure(DATABASES={"default": database})
    django.setup()
    from django.db import connection, transaction
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE of_django (number INTEGER)")
    yield
    while True:
        number = yield
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("INSERT INTO of_django VALUES (%s)", [number])
        if number % 50 == 0:
            connection.close()  # as at the end of a request

def by_later():
    yield
    while True:
        later(run, [(yield)])

stored = {}

def write(name):
    writer = globals()[f"by_{name}"]()
    chance = random.Random(f"{seed} {name}")
    numbers = stored[name] = []
    try:
        next(writer)
        opened.wait()
        next(writer)
        for number in range(rows):
            writer.send(number)
            numbers.append(number)
            if chance.random() < 0.02:  # somebody looks in
                with closing(sqlite3.connect(file, timeout=30)) as connection:
                    connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    except Exception as error:
        errors.append(f"{name}: {type(error).__name__}")
        opened.abort()
    finally:
        writer.close()

later(run, [-1])
worker = jobs.start_background_worker()
opened = threading.Barrier(len(libraries) + 1)
threads = [threading.Thread(target=write, args=[name]) for name in ("later", *libraries)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
until = time.monotonic() + 5
while len(done) <= len(stored["later"]) and time.monotonic() < until:
    time.sleep(0.01)
stored["later"].append(-1)
worker.stop(5)
print(json.dumps({"stored": stored, "done": done, "errors": errors}), flush=True)
"""
LOOK = """
import json, sqlite3, sys
file, *libraries = sys.argv[1:]
connection = sqlite3.connect(file, timeout=30)

def numbers(sql):
    try:
        return [number for (number,) in connection.execute(sql)]
    except sqlite3.OperationalError as error:  # the process ended before there was one
        if "no such table" not in str(error):
            raise
        return []

try:
    [(verdict,)] = connection.execute("PRAGMA integrity_check(1)").fetchall()
    found = {name: numbers(f"SELECT number FROM of_{name}") for name in libraries}
    found["later"] = numbers("SELECT json_extract(handler, '$.args[0]') FROM background_jobs")
except sqlite3.DatabaseError as error:
    verdict, found = str(error), {}
print(json.dumps({"found": found, "verdict": verdict}))
"""


def run(directory, options, seed):
    """One fresh process, and what another one finds: the figures of one run."""
    file = Path(directory, "db.sqlite")
    driver = BROKEN.get(options.breaks, "sqlite3")
    app = python(directory, "app", APP, file, driver, options.rows, seed, *LIBRARIES)
    seen = json.loads(python(directory, "look", LOOK, file, *LIBRARIES).stdout)
    corrupt = int(seen["verdict"] != "ok")
    if app.returncode:
        return {"died": 1, "corrupt": corrupt}
    told = json.loads(app.stdout)
    lost = {
        name: len(set(numbers) - set(seen["found"].get(name, ())) - done_of(told, name))
        for name, numbers in told["stored"].items()
    }
    return {
        "rows": sum(len(told["stored"][name]) for name in LIBRARIES),
        "jobs": len(told["stored"]["later"]),
        "lost": sum(lost.values()),
        "doubled": len(told["done"]) - len(set(told["done"])),
        "left": len(seen["found"].get("later", ())),
        "corrupt": corrupt,
        "errors": told["errors"],
    }


def done_of(told, name):
    """What need not be found any more: jobs that are done."""
    return set(told["done"]) if name == "later" else set()


def python(directory, name, code, *words):
    """Run that code to its end in a process of its own."""
    file = Path(directory, f"{name}.py")
    file.write_text(code)
    command = [sys.executable, str(file), *map(str, words)]
    try:
        return subprocess.run(
            command, cwd=directory, capture_output=True, text=True, timeout=STUCK, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, -signal.SIGKILL)


def is_kept(report):
    """Whether every promise was kept."""
    bad = ("died", "lost", "doubled", "left", "corrupt", "errors")
    return report["bad runs"] == 0 and not any(report[key] for key in bad)


def parse(words=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--rows", type=int, default=2000, help="of each library, and jobs")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--break", dest="breaks", choices=sorted(BROKEN))
    return parser.parse_args(words)


def main(words=None):
    """Make all runs and print what came of them together."""
    options = parse(words)
    chance = random.Random(options.seed)
    keys = ("rows", "jobs", "died", "lost", "doubled", "left", "corrupt", "errors")
    report = {"runs": options.runs, "libraries": LIBRARIES, "bad runs": 0}
    report |= dict.fromkeys(keys, 0) | {"errors": []}
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory(prefix="campaign-") as directory:
            figures = run(directory, options, chance.random())
        report["bad runs"] += any(figures.get(key) for key in keys[2:])
        for key, value in figures.items():
            report[key] += value
    report["errors"] = Counter(report["errors"])
    report["seed"] = options.seed
    print(json.dumps(report))
    return report


if __name__ == "__main__":
    sys.exit(0 if is_kept(main()) else 1)
