"""Small campaigns of scarcity.py, and that they see what they should."""

import os
import sys

import pytest
import scarcity
from long_ones import long

SMALL = ["--small", "--rounds", "1", "--quiet", "30", "--seed", "3"]
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="limits of a process that runs")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system")


@on_linux
@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param("disk", marks=[as_root, long]),
        "file-size",
        pytest.param("directory", marks=long),
        pytest.param("descriptors", marks=long),
        pytest.param("reader", marks=long),
        pytest.param("lock", marks=long),
    ],
)
def test_nothing_is_lost_and_all_is_said_where_something_is_scarce(scenario):
    report = scarcity.main(["--only", scenario, "--limits", "9", "18", *SMALL])

    assert scarcity.is_kept(report), report
    assert report["scenarios"][scenario]["done"]


@on_linux
@pytest.mark.parametrize(
    ("guard", "scenario", "key"),
    [
        ("silent", "lock", "unsaid"),
        pytest.param("busy-timeout", "lock", "signal heard after ms", marks=long),
        pytest.param("deaf", "file-size", "lost", marks=long),
        pytest.param("dropped", "file-size", "doubled", marks=long),
    ],
)
def test_the_campaign_sees_a_broken_guard(guard, scenario, key):
    report = scarcity.main(["--only", scenario, "--break", guard, *SMALL, "--quiet", "2"])

    assert not scarcity.is_kept(report)
    assert report["scenarios"][scenario][key]
