"""A small campaign of exactly_once.py, and that it sees what it should."""

import exactly_once

SMALL = ["--workers", "1", "--transfers", "40", "--rate", "20"]


def test_money_is_moved_once_under_fire():
    report = exactly_once.main([*SMALL, "--kills", "2", "--seed", "11"])

    assert exactly_once.is_kept(report), report
    assert report["done"] + report["given up after 3 crashes"] == report["transfers"] == 40
    assert report["kills"] >= 1  # of the second, there may be nothing left to kill


def test_the_campaign_sees_money_moved_twice_where_jobs_do_not_finish_themselves():
    words = [*SMALL, "--kills", "2", "--break"]

    reports = (exactly_once.main([*words, "--seed", seed]) for seed in ("11", "12", "13"))

    assert any(report["doubled"] > 0 for report in reports)  # the first, but for bad luck


BOOKS = {"transfers": 2, "done": 2, "doubled": 0, "sum ok": True}
JOBS = {"lost": 0, "given up after 3 crashes": 0, "unsettled": 0, "left": 0}


def test_what_is_kept():
    kept = BOOKS | JOBS

    assert exactly_once.is_kept(kept)
    assert not exactly_once.is_kept(kept | {"sum ok": False})
    for wrong in ("doubled", "lost", "unsettled", "left"):
        assert not exactly_once.is_kept(kept | {wrong: 1})
