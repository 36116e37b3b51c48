"""
litejobs beside its peers and bare SQL; writes docs/benchmarks.md and its charts.

    python -m benchmarks [--quick] [--only WORKLOAD ...] [--output DIRECTORY]

Peers are those of the extra ``benchmarks`` that are installed; the ones on Redis need redis-server
on the PATH. --quick takes small counts and one round and shows that everything works. It, and
a choice of workloads, write nothing unless told where. Exits with 1 if a result was wrong.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.aims import Results
from benchmarks.bench import HOME
from benchmarks.conditions import conditions
from benchmarks.contestants import CONTESTANTS
from benchmarks.contestants.base import Contestant
from benchmarks.workloads import WORKLOADS
from benchmarks.workloads.base import FULL, QUICK, Row, Workload, printed, run


def main(arguments: Sequence[str], contestants: Sequence[type[Contestant]] = CONTESTANTS) -> int:
    """Measure, print, write; returns the exit code."""
    options = _options(arguments)
    absent = {one.name: why for one in contestants if (why := one.missing())}
    who = [one for one in contestants if one.name not in absent]
    for name, why in absent.items():
        print(f"without {name}: {why}")
    scale = QUICK if options.quick else FULL
    at_the_start = conditions()
    is_whole = not (options.quick or options.only)
    output = options.output or (HOME / "docs" if is_whole else None)
    command = " ".join(["python -m benchmarks", *_without_output(options)])
    results: dict[str, list[Row]] = {}
    for name in options.only or WORKLOADS:
        started = time.monotonic()
        results[name] = run(WORKLOADS[name], scale, who)
        _print(WORKLOADS[name], results[name], time.monotonic() - started)
        if output is not None:  # now: a long run that is broken off keeps what it has
            report.write(output, results, WORKLOADS, who, absent, at_the_start,
                         command=command, rounds=scale.rounds)  # fmt: skip
    return int(_tell_what_is_wrong(results))


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="small counts, one round")
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, metavar="WORKLOAD",
                        help=f"of: {', '.join(WORKLOADS)}")  # fmt: skip
    parser.add_argument(
        "--output", type=Path, help="where to write; by default docs, for a whole run"
    )
    return parser.parse_args(arguments)


def _without_output(options: argparse.Namespace) -> list[str]:
    return ["--quick"] * options.quick + (["--only", *options.only] if options.only else [])


def _print(workload: Workload, rows: Sequence[Row], seconds: float) -> None:
    print(f"\n{workload.title} ({workload.name}, {seconds:.0f} s)")
    for row in rows:
        figures = "  ".join(
            f"{figure} {column.key}"
            for column, figure in zip(workload.columns, printed(workload, row), strict=True)
            if figure
        )
        print(f"  {row.who:<18} {row.durability:<9} {figures}{row.wrong and 'WRONG: '}{row.wrong}")
    sys.stdout.flush()


def _tell_what_is_wrong(results: Results) -> bool:
    wrong = [(name, row) for name, rows in results.items() for row in rows if row.wrong]
    for name, row in wrong:
        print(f"benchmarks: {name}, {row.who} {row.durability}: {row.wrong}", file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
