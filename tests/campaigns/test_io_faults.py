"""A small campaign of io_faults.py, and that it sees what it should."""

import io_faults
import pytest

SEED = ["--seed", "11"]


def test_no_fault_of_the_disk_takes_a_job_or_leaves_an_adapter_useless():
    report = io_faults.main([*SEED, "--every", "263"])

    assert io_faults.is_kept(report), report
    assert report["faults"] > 50
    assert report["recovered"] > 0


def test_no_fault_of_the_disk_makes_a_worker_run_a_job_again():
    report = io_faults.main([*SEED, "--only", "work", "--every", "53"])

    assert io_faults.is_kept(report), report
    assert report["faults"] > 10


@pytest.mark.parametrize(
    ("guard", "operation", "every", "broken"),
    [
        ("halves", "success and find", 9, "neither before nor after"),
        ("swallow", "enqueue one", 9, "lost"),
        ("keyless", "enqueue once", 9, "not once"),
        ("raw", "find", 31, "raw"),
        ("forget", "work", 97, "run again"),
        ("strays", "work", 97, "never run"),
    ],
)
def test_the_campaign_sees_a_guard_that_is_gone(guard, operation, every, broken):
    words = ["--only", operation, "--every", str(every), "--break", guard]

    report = io_faults.main([*SEED, *words])

    assert not io_faults.is_kept(report), report
    assert report[broken] > 0
