"""
Twelve ``litejobs start`` at the same moment, again and again: one wins, the others name it.

    python -m benchmarks.starts [ROUNDS]
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

TOGETHER = 12
LITEJOBS = [sys.executable, "-m", "litejobs"]


def main(rounds: int = 100) -> int:
    """Print how many rounds had another outcome than one winner, and return that."""
    wrong = 0
    with tempfile.TemporaryDirectory() as directory:
        where = {"cwd": directory, "env": os.environ | {"XDG_DATA_HOME": directory}}
        Path(directory, "pyproject.toml").touch()
        for number in range(1, rounds + 1):
            starts = [
                subprocess.Popen(
                    [*LITEJOBS, "start", "jobs.sqlite"],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    **where,
                )
                for _ in range(TOGETHER)
            ]
            winners = [start for start in starts if (start.communicate(), start.returncode)[1] == 0]
            stopped = subprocess.run([*LITEJOBS, "stop", "jobs.sqlite"], check=False, **where)
            wrong += len(winners) != 1 or stopped.returncode != 0
            if wrong or number % 10 == 0:
                print(f"{number} rounds, {wrong} with another number of winners than one")
    return wrong


if __name__ == "__main__":
    sys.exit(min(1, main(*map(int, sys.argv[1:]))))
