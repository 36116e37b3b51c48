"""
What importing costs over a bare interpreter, in milliseconds.

    python -m benchmarks.imports [--rounds 15]

"first later" schedules one job into an existing file, its import included.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LATER = """
import litejobs
litejobs.configure(database={database!r})
from litejobs import later
from benchmarks.jobs import nothing
later(nothing)
"""


def seconds(code: str, directory: Path) -> float:
    """How long a fresh interpreter takes for *code*."""
    # With compiled modules, as an installed package has them.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, cwd=directory, env=environment)
    return time.perf_counter() - started


def main() -> None:
    """Print the medians over bare Python, of interleaved rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as directory:
        codes = {
            "bare Python": "pass",
            "import litejobs": "import litejobs",
            "from litejobs import later": "from litejobs import later",
            "first later, on an existing file": LATER.format(database=f"{directory}/jobs.sqlite"),
        }
        home = Path(__file__).resolve().parent.parent
        samples: dict[str, list[float]] = {name: [] for name in codes}
        for name, code in codes.items():
            seconds(code, home)  # compiles, makes the file
            samples[name].clear()
        for _ in range(rounds):
            for name, code in codes.items():
                samples[name].append(seconds(code, home))
    medians = {name: sorted(values)[rounds // 2] * 1000 for name, values in samples.items()}
    bare = medians.pop("bare Python")
    print(f"bare Python {bare:.1f} ms, medians of {rounds} rounds")
    for name, median in medians.items():
        print(f"{name:<34}+{median - bare:>5.1f} ms")


if __name__ == "__main__":
    main()
