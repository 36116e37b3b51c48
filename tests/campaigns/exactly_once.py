"""
The bank of ``examples/exactly_once`` under fire, as the jobs of kill.py are.

    python tests/campaigns/exactly_once.py --transfers 5000 --kills 200

Performers, runners and the process that orders are killed at random moments, but each right after
some money was moved: there an outcome that is still to be recorded is lost. In the end each order
must have been done once, and each account have what its orders say: exit code 1 if not.

``--break`` shows that the campaign can fail: there ``finish`` does nothing, and each job is settled
after its run as any other.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import kill

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "exactly_once"
ORDERS = """
import random, sys, time
from bank import order_some

last, rate, seed = map(float, sys.argv[1:])
random.seed(seed)
for _ in range(int(last)):
    order_some(1)
    time.sleep(1 / rate)
"""
BROKEN = {
    "finish": """
        from litejobs.context import CurrentJob

        CurrentJob.finish = lambda self, connection: None
    """,
}


class Campaign(kill.Campaign):
    """Runs it in a copy of the example."""

    app = "bank:jobs"
    file = "bank.sqlite"
    broken = BROKEN
    weights = (6, 12, 1)

    def prepare(self):
        shutil.copytree(EXAMPLE, self.directory, dirs_exist_ok=True)
        (self.directory / "orders.py").write_text(ORDERS)

    def warm_up(self):
        assert self.start("bank.py").wait() == 0  # which makes the accounts
        super().warm_up()

    def start_producer(self, first, last):
        words = ["orders.py", last - first, self.options.rate, self.chance.random()]
        self.producers.append((self.start(*words), last))

    def reached(self, _last):
        """An order is there or not: none is half stored."""
        return self.count("orders")

    def progress(self):
        return self.count("moves")

    def kill(self):
        with closing(self.database()) as connection:
            before = count("moves", connection)
            while count("moves", connection) == before:
                self.tend()
                if not (self.producers or count("background_jobs WHERE state < 4", connection)):
                    return  # there is nothing left to move
        super().kill()

    def count(self, table):
        with closing(self.database()) as connection:
            return count(table, connection)

    def report(self):
        """What the books say, and which orders have neither been done nor a job."""
        with closing(self.database()) as connection:
            jobs = connection.execute(
                "SELECT json_extract(handler, '$.args[0]'), state FROM background_jobs"
            ).fetchall()
            undone = connection.execute(
                "SELECT number FROM orders WHERE number NOT IN (SELECT number FROM moves)"
            ).fetchall()
        undone = {number for (number,) in undone}
        return self.books() | {
            "lost": len(undone - {number for number, _ in jobs}),
            "given up after 3 crashes": sum(
                state == 5 for number, state in jobs if number in undone
            ),
            "unsettled": sum(number not in undone for number, _ in jobs),
            "left": sum(state < 4 for _, state in jobs),
        }

    def books(self):
        """As the bank itself sees them."""
        code = "import bank, json; print(json.dumps(bank.check()))"
        command = [sys.executable, "-c", code]
        return json.loads(subprocess.check_output(command, cwd=self.directory))


def count(table, connection):
    [(number,)] = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
    return number


def is_kept(report):
    """Whether every order was done once, or given up, and the money is there."""
    wrong = ("doubled", "lost", "unsettled", "left")
    return report["sum ok"] and not any(report[key] for key in wrong)


def parse(words=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--transfers", dest="jobs", type=int, default=5_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2, help="runners, of two performers each")
    parser.add_argument("--rate", type=float, default=60.0, help="transfers ordered in a second")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--break", dest="breaks", action="store_const", const="finish")
    parser.add_argument(
        "--quiet", type=float, default=60,
        help="seconds without any progress after which what is left counts as lost",
    )  # fmt: skip
    parser.add_argument("--keep", metavar="DIRECTORY", help="keep the bank there")
    parser.set_defaults(stops=0, producers=1)
    return parser.parse_args(words)


def main(words=None):
    """Run a campaign, print its report and return it."""
    return kill.conduct(Campaign, parse(words))


if __name__ == "__main__":
    sys.exit(0 if is_kept(main()) else 1)
