"""A small campaign of clock_jumps.py, and that it sees what it should."""

import clock_jumps

SMALL = ["--workers", "1", "--longest", "0.3", "--rate", "60", "--quiet", "5"]


def test_no_job_is_early_twice_or_stuck_whatever_the_clock_does():
    words = ["--jobs", "50", "--jumps", "6", "--suspends", "2", "--seed", "11"]

    report = clock_jumps.main([*words, *SMALL])

    assert clock_jumps.is_kept(report), report
    assert report["stored"] == 50
    assert report["runs"] > 50
    assert (report["jumps"], report["suspends"]) == (6, 2)


def test_the_campaign_sees_that_guards_are_gone():
    words = ["--jobs", "40", "--jumps", "3", "--suspends", "0", "--long", "0.2", *SMALL]
    words += [f"--break={guard}" for guard in clock_jumps.BROKEN]
    # By the stale clock, the lease and durations: the first run, but for bad luck.
    unseen = {"early", "twice", "cut short"}

    for seed in ("2", "71", "3", "5", "1", "6", "2", "71"):
        report = clock_jumps.main([*words, "--quiet", "1", "--seed", seed])
        assert not clock_jumps.is_kept(report), report
        unseen -= {word for word in unseen if report[word] > 0}
        if not unseen:
            break

    assert not unseen


RUNS = {
    "stored": [("attempt", 1, 1, 10.0), ("stored", 1, 1, 10.1)],
    "raised": [("start", 1, 1, 11.0), ("end", 1, 1, 11.1)],
    "done": [("start", 1, 2, 20.0), ("end", 1, 2, 20.1)],
    "cut": [("start", 1, 2, 20.0)],
    "again": [("start", 1, 2, 21.0), ("end", 1, 2, 21.1)],
}


def checked(tmp_path, *names, plan=(), jumps=()):
    wall = clock_jumps.Wall(tmp_path / "offset")
    wall._ahead = 0
    wall.spans = [[0, 15, 0], [15, float("inf"), sum(jumps)]]
    lines = [[str(word) for word in line] for name in names for line in RUNS[name]]
    return clock_jumps.check(lines, plan, wall)


def test_the_checker_counts_what_ran_twice_or_not(tmp_path):
    both = ("stored", "raised", "done")
    assert clock_jumps.is_kept(checked(tmp_path, *both) | {"left": 0})
    assert checked(tmp_path, *both, "again")["twice"] == 1
    assert checked(tmp_path, "stored", "raised")["lost"] == 1
    assert checked(tmp_path, "stored", "raised", "cut")["cut short"] == 1


def test_the_checker_knows_what_the_clock_showed_before_a_run(tmp_path):
    def early(run_at, *jumps, attempts=1):
        plan = [(1, attempts, run_at)]
        return checked(tmp_path, "stored", "raised", "done", plan=plan, jumps=jumps)["early"]

    assert early(20_000) == 0
    assert early(20_003) == 1
    assert early(25_000, 5_000) == 0
    assert early(15_000, -5_000) == 0  # it was reached before the clock went back
    assert early(15_003, -5_000) == 1
    assert early(11_000, attempts=0) == 0
    assert early(11_003, attempts=0) == 1
