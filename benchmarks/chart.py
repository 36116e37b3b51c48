"""Bars in a small SVG, written by hand: no library, no binary, readable in a diff."""

from collections.abc import Sequence
from html import escape

WIDTH, LABELS, BAR, GAP = 720, 210, 16, 6  # pixels
LONGEST = WIDTH - LABELS - 90
FONT = 'font-family="sans-serif" font-size="12" fill="#667"'
COLOURS = {"own": "#2a6f97", "peer": "#a9b4bd", "baseline": "#e0a458"}


def bars(title: str, rows: Sequence[tuple[str, float, str, str]]) -> str:
    """Rows are a label, its value, the value as text, and a kind of COLOURS."""
    most = max((value for _, value, _, _ in rows), default=0) or 1
    height = 34 + len(rows) * (BAR + GAP)
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {FONT}>',
        f'<text x="0" y="16" font-size="14">{escape(title)}</text>',
    ]
    for number, (label, value, text, kind) in enumerate(rows):
        top = 28 + number * (BAR + GAP)
        length = max(1, LONGEST * max(0, value) / most)
        place = f'x="{LABELS}" y="{top}" width="{length:.1f}" height="{BAR}"'
        lines += [
            f'<text x="{LABELS - 8}" y="{top + 12}" text-anchor="end">{escape(label)}</text>',
            f'<rect {place} fill="{COLOURS[kind]}"/>',
            f'<text x="{LABELS + length + 6:.1f}" y="{top + 12}">{escape(text)}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
