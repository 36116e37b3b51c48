"""The page that a run writes: Markdown tables, and a chart for each workload."""

from collections.abc import Mapping, Sequence
from inspect import cleandoc
from pathlib import Path

from benchmarks import chart
from benchmarks.aims import AIMS, OWN, Results
from benchmarks.contestants.base import Contestant
from benchmarks.workloads.base import Row, Workload, printed

HEAD = """
# Benchmarks

litejobs, its peers and the bare work, measured one after the other in the same run, so that ratios
mean something though absolute figures drift from machine to machine and from hour to hour.

A figure counts only if the run is right: each job ran exactly once and nothing is left. For that
every job adds one to a byte of its own, in memory that all processes share: a tenth of a
microsecond, the same for all, so that the run that is timed is the run that is checked.

{rounds}

```none
{command}
```

Peers are installed by the extra `benchmarks`; those on Redis also need `redis-server` on the PATH,
and get one of their own for each run, on a socket.
"""
MEDIANS = "Of {} rounds the median is told."
SMALL = "**This was one round with small counts: it shows that all works, not how fast it is.**"
HEADINGS = """
*of the bare* is the ratio to the statements or loops alone at the same durability. *litejobs is*
says how many times better litejobs is at the same durability, where it has that, else at full. Both
are by the first figure of a row.
"""


def write(
    directory: Path,
    results: Results,
    workloads: Mapping[str, Workload],
    who: Sequence[type[Contestant]],
    absent: Mapping[str, str],
    conditions: Mapping[str, str],
    *,
    command: str,
    rounds: int,
) -> None:
    """``benchmarks.md`` and ``benchmarks/*.svg`` in *directory*."""
    charts = directory / "benchmarks"
    charts.mkdir(parents=True, exist_ok=True)
    for old in charts.glob("*.svg"):
        old.unlink()
    parts = [
        HEAD.format(rounds=SMALL if rounds == 1 else MEDIANS.format(rounds), command=command),
        "## Conditions",
        table(["", ""], [[name, value] for name, value in conditions.items()]),
        contestants(who, absent),
        "## Aims",
        aims(results),
        "## Figures",
        HEADINGS,
    ]
    for name, rows in results.items():
        (charts / f"{name}.svg").write_text(drawn(workloads[name], rows), "utf-8")
        parts += [section(workloads[name], rows)]
    text = "\n\n".join(part.strip() for part in parts)
    (directory / "benchmarks.md").write_text(f"{text}\n", "utf-8")


def contestants(who: Sequence[type[Contestant]], absent: Mapping[str, str]) -> str:
    """Who took part, in which version and setting, and who did not."""
    rows = [
        [f"{one.name} {one.version()}",
         "; ".join(f"*{word}*: {text}" for word, text in one.durabilities.items()), one.setting]
        for one in who
    ]  # fmt: skip
    parts = [table(["", "durability of what is stored", "setting"], rows)]
    if absent:
        parts += ["Not measured: " + "; ".join(f"{n} ({why})" for n, why in absent.items()) + "."]
    return "\n\n".join(parts)


def aims(results: Results) -> str:
    """Each aim, what was measured, and whether that is enough."""
    rows = []
    for aim in AIMS:
        try:
            figure = aim.measured(results[aim.workload])
        except (LookupError, ValueError):
            continue
        bound = f"{'at least' if aim.at_least else 'at most'} {aim.bound:g}"
        met = "yes" if aim.met(figure) else "**no**"
        rows.append([aim.workload, aim.text, bound, f"{figure:,.2f}", met])
    return table(["workload", "figure", "aim", "measured", "met"], rows)


def section(workload: Workload, rows: Sequence[Row]) -> str:
    """One workload: what it is, its figures, its chart."""
    has_bare = any(row.is_baseline for row in rows)
    headings = ["", "durability", *(column.key for column in workload.columns)]
    headings += ["of the bare"] * has_bare + ["litejobs is"]
    lines = []
    for row in rows:
        if row.wrong:
            why = one_line(row.wrong.partition("; workers said: ")[0])
            lines.append([row.who, row.durability, f"wrong: {why}"])
            continue
        bare = [times(row, baseline(rows, row), workload)] * has_bare
        mine = "" if row.who == OWN else times(counterpart(rows, row), row, workload)
        lines.append(
            [row.who, row.durability, *printed(workload, row), *bare, mine and f"{mine} x"]
        )
    return "\n\n".join(
        [
            f"### {workload.title}",
            cleandoc(workload.text).replace("``", "`"),
            table(headings, lines),
            f"![{workload.title}](benchmarks/{workload.name}.svg)",
        ]
    )


def baseline(rows: Sequence[Row], row: Row) -> Row | None:
    """The bare work that a row is compared with."""
    if row.is_baseline:
        return None
    return next((r for r in rows if r.is_baseline and r.durability in (row.durability, "")), None)


def counterpart(rows: Sequence[Row], row: Row) -> Row | None:
    """The row of litejobs that a row is compared with."""
    own = {r.durability: r for r in rows if r.who == OWN and r.values}
    return own.get(row.durability) or own.get("full")


def times(one: Row | None, other: Row | None, workload: Workload) -> str:
    """How many times better the one is, by the workload's first column."""
    if one is None or other is None or not one.values or not other.values:
        return ""
    key = workload.columns[0].key
    better, worse = (one, other) if workload.more_is_better else (other, one)
    divisor = worse.values[key]
    return f"{better.values[key] / divisor:,.2f}" if divisor > 0 else ""


def drawn(workload: Workload, rows: Sequence[Row]) -> str:
    """A bar for each row by the workload's first column."""
    column = workload.columns[0]
    return chart.bars(
        f"{workload.title}: {column.key}",
        [
            (f"{row.who} {row.durability}".strip(), row.values[column.key],
             printed(workload, row)[0],
             "baseline" if row.is_baseline else "own" if row.who == OWN else "peer")
            for row in rows if row.values
        ],
    )  # fmt: skip


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; rows may be short."""
    filled = [[*row, *[""] * (len(headings) - len(row))] for row in rows]
    lines = [headings, ["---"] * len(headings), *filled]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def one_line(text: str) -> str:
    """Text that a cell can hold."""
    return " ".join(text.replace("|", "/").split())[:300]
