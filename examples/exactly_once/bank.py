"""
A bank whose transfers are jobs: each moves its money exactly once, whatever is killed meanwhile.

    python bank.py 100
    litejobs workoff
    python bank.py

The first line orders so many transfers, the last one checks the books. Accounts, orders and jobs
are in one file. An order and its job are stored in one transaction; the transfer and the settlement
of its job are another.
"""

import random
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from litejobs import JobManager, SqliteAdapter, WorkerGroup, current_job

FILE = Path(__file__).with_name("bank.sqlite")
ACCOUNTS = 10
DEPOSIT = 1_000

jobs = JobManager(adapters={"sqlite": SqliteAdapter(FILE)}, workers=[WorkerGroup(count=2)])
later = jobs.create_scheduler()


@contextmanager
def transaction() -> Iterator[sqlite3.Connection]:
    """All that is executed inside, or nothing of it; the lock is taken at once."""
    bank = sqlite3.connect(FILE, timeout=30, isolation_level=None)
    try:
        bank.execute("BEGIN IMMEDIATE")
        with bank:
            yield bank
    finally:
        bank.close()


def open_bank() -> None:
    """Make the table of jobs, before any transaction needs it, and the accounts."""
    jobs.adapter("sqlite").open()
    with transaction() as bank:
        bank.execute(
            "CREATE TABLE IF NOT EXISTS accounts (number INTEGER PRIMARY KEY, balance INTEGER)"
        )
        bank.execute(
            "CREATE TABLE IF NOT EXISTS orders"
            " (number INTEGER PRIMARY KEY, source INTEGER, target INTEGER, amount INTEGER)"
        )
        bank.execute("CREATE TABLE IF NOT EXISTS moves (number INTEGER)")  # twice would show
        bank.executemany(
            "INSERT OR IGNORE INTO accounts VALUES (?, ?)",
            [(number, DEPOSIT) for number in range(ACCOUNTS)],
        )


def order(source: int, target: int, amount: int) -> int:
    """Order a transfer: the order exists if and only if its job does."""
    with transaction() as bank:
        number = bank.execute(
            "INSERT INTO orders (source, target, amount) VALUES (?, ?, ?)",
            [source, target, amount],
        ).lastrowid
        assert number is not None
        later(transfer, [number], connection=bank)
    return number


@jobs.job
def transfer(number: int) -> None:
    """The job: the money is moved if and only if the job is settled."""
    with transaction() as bank:
        source, target, amount = bank.execute(
            "SELECT source, target, amount FROM orders WHERE number = ?", [number]
        ).fetchone()
        change = "UPDATE accounts SET balance = balance + ? WHERE number = ?"
        bank.execute(change, [-amount, source])
        bank.execute(change, [amount, target])
        bank.execute("INSERT INTO moves VALUES (?)", [number])
        if job := current_job():
            job.finish(bank)


def order_some(count: int) -> None:
    for _ in range(count):
        source, target = random.sample(range(ACCOUNTS), 2)
        order(source, target, random.randint(1, 100))


def check() -> dict[str, int | bool]:
    """What the books say: orders that were done, and done twice; whether the sums are right."""
    with transaction() as bank:
        orders = {number: rest for number, *rest in bank.execute("SELECT * FROM orders")}
        moves = [number for (number,) in bank.execute("SELECT number FROM moves")]
        balances = dict(bank.execute("SELECT number, balance FROM accounts"))
    expected = dict.fromkeys(range(ACCOUNTS), DEPOSIT)
    for number in set(moves):
        source, target, amount = orders[number]
        expected[source] -= amount
        expected[target] += amount
    return {
        "transfers": len(orders),
        "done": len(set(moves)),
        "doubled": len(moves) - len(set(moves)),
        "sum ok": sum(balances.values()) == ACCOUNTS * DEPOSIT and balances == expected,
    }


def main() -> None:
    open_bank()
    if len(sys.argv) > 1:
        order_some(int(sys.argv[1]))
    print(*(f"{what} {value}" for what, value in check().items()), sep=", ")


if __name__ == "__main__":
    main()
