"""A small campaign of kill.py, and that it sees what it should."""

import kill

SMALL = ["--workers", "2", "--rate", "60", "--seed", "11"]


def test_no_promise_is_broken_under_fire():
    report = kill.main(["--jobs", "400", "--kills", "16", "--stops", "6", *SMALL])

    assert kill.is_kept(report), report
    assert report["acknowledged"] >= 390
    assert report["done"] + report["given up after 3 crashes"] >= report["acknowledged"]
    assert report["kills"] >= 16


CHUNKS = ["--burst", "100", "--short", "0", "--workers", "2", "--seed", "11"]


def test_no_promise_is_broken_where_many_jobs_are_handed_out_together():
    words = ["--jobs", "1600", "--kills", "12", "--stops", "4", "--rate", "400", *CHUNKS]

    report = kill.main(words)

    assert kill.is_kept(report), report
    assert report["acknowledged"] >= 1300
    assert report["done"] + report["given up after 3 crashes"] >= report["acknowledged"]


def test_the_campaign_sees_jobs_handed_out_before_others_were_dropped():
    words = ["--jobs", "700", "--kills", "0", "--stops", "0", "--rate", "700", "--long", "0.03"]

    report = kill.main([*words, *CHUNKS, "--quiet", "5", "--break", "early-tokens"])

    assert not kill.is_kept(report), report
    assert report["left"] + report["unexplained"] > 0


def test_the_campaign_sees_what_a_lease_by_time_does():
    words = ["--jobs", "80", "--kills", "0", "--stops", "2", "--long", "0.4", *SMALL]

    report = kill.main([*words, "--quiet", "5", "--break", "time-lease"])

    assert not kill.is_kept(report), report
    assert report["unexplained"] + report["overlaps"] > 0


RUNS = {
    "done": [("start", 1, 7, 5, 1, 10.0), ("done", 1, 7, 5, 11.0)],
    "again": [("start", 1, 8, 6, 1, 12.0), ("done", 1, 8, 6, 13.0)],
    "at once": [("start", 1, 8, 6, 1, 10.5), ("done", 1, 8, 6, 13.0)],
    "cut": [("start", 1, 7, 5, 1, 10.0)],
    "of nobody": [("start", 2, 9, 5, 1, 10.0), ("done", 2, 9, 5, 11.0)],
}
STORED = [("attempt", 1, 1.0), ("stored", 1, 1.1)]


def checked(*names, kills=(), rows=()):
    lines = [*STORED, *(line for name in names for line in RUNS[name])]
    fire = kill.Fire(kills=dict(kills))
    return kill.check([[str(word) for word in line] for line in lines], rows, fire)


def test_the_checker_counts_what_is_done_and_lost():
    assert checked("done")["done"] == 1
    assert checked("done")["lost"] == 0
    assert checked()["lost"] == 1
    assert checked("cut")["lost"] == 1
    assert checked("cut", rows=[(1, 5, 3)])["lost"] == 0
    assert checked("cut", rows=[(1, 5, 1)])["lost"] == 1
    assert checked("cut", rows=[(1, 0, 1)])["left"] == 1


def test_the_checker_counts_runs_that_nobody_asked_for():
    assert checked("done", "of nobody")["unexpected"] == 1


def test_the_checker_wants_every_second_run_explained():
    assert checked("done", "again")["unexplained"] == 1
    assert checked("done", "again", kills={7: 11.01})["unexplained"] == 0
    assert checked("done", "again", kills={5: 11.01})["unexplained"] == 0
    assert checked("done", "again", kills={7: 15.0})["unexplained"] == 1
    assert checked("done", "again", kills={5: 10.99})["unexplained"] == 0
    assert checked("done", "again", kills={5: 9.999})["unexplained"] == 0
    assert checked("done", "again", kills={8: 11.01})["unexplained"] == 1


def test_the_checker_sees_runs_that_overlap():
    assert checked("done", "at once")["overlaps"] == 1
    assert checked("cut", "again")["overlaps"] == 1
    assert checked("cut", "again", kills={7: 11.0})["overlaps"] == 0
    assert checked("cut", "again", kills={7: 12.5})["overlaps"] == 1
