"""
Many at one file: producers and workers, by both SQLite libraries, each with all it has.

    python tests/campaigns/contention.py --jobs 40000 --seed 1

Eight producers store jobs one after the other, four workers run them; every second process uses
the other library: of the workers two are runners (apsw), two are programs with a worker on a thread
(sqlite3). Once with durability "full", once with "normal". Any error that ``later`` raises or a
worker tells of and any job that is lost or done twice breaks the promise: exit code 1. Reported
is also how long the calls of ``later`` took, but for each producer's first, which opens the file.

``--break no-patience`` shows that it can fail: there nobody waits for the write lock. With
``--break swallowed`` a lock that was not free counts as had, with ``--break no-lease`` every other
worker as dead.
"""

import argparse
import json
import math
import random
import sys
import tempfile
import time

from stage import Stage, is_whole, rounded

DURABILITIES = ("full", "normal")
LIBRARIES = ("sqlite3", "apsw")
BROKEN = {
    "no-lease": """
        from litejobs.adapters.sqlite.adapter import SqliteAdapter

        SqliteAdapter.is_dead = lambda self, worker: True
    """,
    "no-patience": """
        from litejobs.adapters.sqlite import connection

        connection.LOCK_PATIENCE = 0
    """,
    "swallowed": """
        from litejobs.adapters.sqlite.connection import Connection

        Connection._try_again = lambda self, operation: 0
    """,
}


def run(directory, options, durability):
    """One run in *directory*, to the end of the last job; its figures."""
    broken = [BROKEN[options.breaks]] if options.breaks else []
    with Stage(directory, *broken, durability=durability) as stage:
        began = time.monotonic()
        chance = random.Random(options.seed)
        share = -(-options.jobs // options.producers)
        starts = [
            stage.runner if number % 2 else stage.threads for number in range(options.workers)
        ]
        starts += [
            lambda n=number: stage.producer(
                n * share,
                min(options.jobs, (n + 1) * share),
                seconds=options.short,
                driver=LIBRARIES[n % 2],
            )
            for number in range(options.producers)
        ]
        # Whoever comes first makes the file.
        order = chance.sample(range(len(starts)), len(starts))
        processes = {number: starts[number]() for number in order}
        workers = [processes[number] for number in range(options.workers)]
        for number in range(options.workers, len(starts)):
            processes[number].wait()
        stage.wait_until_done(options.quiet)
        said = [text for worker in workers for _, text in stage.said(worker)]
        waited = [text for text in said if "has been locked by another connection for" in text]
        return stage.tally() | {
            "errors of workers": sorted(set(said) - set(waited)),
            "workers' waits above 1 s": len(waited),
            **waits([line for line in stage.lines() if line[0] == "stored" and line[2] % share]),
            "seconds": round(time.monotonic() - began),
        }


def waits(stored):
    """How long the calls took that these lines of the log tell of."""
    took = sorted(seconds for _, _, _, seconds in stored) or [math.inf]
    return {
        "later() p50 ms": rounded(took[len(took) // 2]),
        "later() p99.9 ms": rounded(took[math.ceil(0.999 * len(took)) - 1]),
        "later() longest ms": rounded(took[-1]),
    }


def is_kept(reports):
    """Whether every promise was kept."""
    return all(
        is_whole(one) and not one["refused"] and not one["errors of workers"]
        for one in reports["runs"].values()
    )


def parse(words=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--jobs", type=int, default=40_000, help="for each durability")
    parser.add_argument("--producers", type=int, default=8)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--durability", action="append", choices=DURABILITIES, help="only this")
    parser.add_argument("--short", type=float, default=0.0, help="seconds that a job takes")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--break", dest="breaks", choices=sorted(BROKEN))
    parser.add_argument(
        "--quiet", type=float, default=30,
        help="seconds without any progress after which what is left counts as lost",
    )  # fmt: skip
    return parser.parse_args(words)


def main(words=None):
    """Run it with each durability, and print the reports."""
    options = parse(words)
    reports = {"runs": {}, "seed": options.seed}
    for durability in options.durability or DURABILITIES:
        with tempfile.TemporaryDirectory(prefix="campaign-") as directory:
            reports["runs"][durability] = run(directory, options, durability)
    print(json.dumps(reports))
    return reports


if __name__ == "__main__":
    sys.exit(0 if is_kept(main()) else 1)
