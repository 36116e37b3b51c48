"""
The process that power_cut.py traces: an adapter at work, which prints what its History is told.

    python tests/campaigns/traced.py DIRECTORY [the options of power_cut.py]
"""

import json
import os
import sys
from pathlib import Path

import power_cut
from history import History


def tell(*event):
    """Print what a History was told."""
    os.write(1, json.dumps(event).encode() + b"\n")


if __name__ == "__main__":
    directory, *words = sys.argv[1:]
    options = power_cut.parse(words)
    power_cut.work(Path(directory), options, options.seed, History(listener=tell))
