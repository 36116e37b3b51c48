"""A small soak of soak.py, and that it sees what leaks."""

import soak

SMALL = ["--workers", "1", "--every", "0.1", "--seed", "11"]


def test_nothing_grows_while_performers_are_killed_and_recycled():
    report = soak.main(["--minutes", "0.02", "--kills-a-minute", "200", "--max-jobs", "50", *SMALL])

    assert soak.is_kept(report), report
    assert report["done"] == 240
    assert report["kills"] >= 1
    assert len(report["runner MiB"]) == 3


def test_the_soak_sees_descriptors_and_memory_that_are_lost():
    words = ["--minutes", "0.04", "--kills-a-minute", "0", *SMALL]

    report = soak.main([*words, "--break", "descriptors", "--break", "memory"])

    assert not soak.is_kept(report), report
    assert report["leaks"] == ["runner descriptors", "performer MiB"]


def test_a_level_that_differs_from_process_to_process_is_no_slope():
    assert soak.trend([[(t, 100) for t in range(9)], [(t, 1) for t in range(9, 19)]]) == (0, 0)


def test_a_slope_is_seen_in_processes_that_do_not_live_long():
    series = [[(start + t, 7 + 2 * t) for t in range(5)] for start in range(0, 50, 5)]

    slope, error = soak.trend(series)

    assert (round(slope, 9), round(error, 9)) == (2, 0)


def test_too_few_samples_say_nothing():
    assert soak.trend([[(0, 1), (1, 100)], []]) == (0, 0)
