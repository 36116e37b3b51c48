"""A small campaign of hostile.py, and that it sees what it should."""

import hostile
import hostile_rows


def test_hostile_rows_load_nothing_and_forge_nothing_and_the_good_ones_are_run():
    report = hostile.main(["--rows", "120", "--parts", "rows", "--seed", "11"])

    assert hostile.is_kept(report), report
    assert report["good"] == 12
    assert report["ends"]["unloadable"] > 60
    assert report["shown characters"] > 100_000


def test_the_campaign_sees_that_guards_are_gone():
    guards = [f"--break={guard}" for guard in ("walk", "outside", "unescaped")]

    report = hostile.main(["--rows", "100", "--parts", "rows", "--seed", "12", *guards])

    assert not hostile.is_kept(report), report
    assert set(report["foreign code"]) & set(hostile_rows.STRANGERS)  # by a walk
    assert report["marks left by it"]  # from outside
    assert report["forging characters"] > 0


def test_the_same_seed_makes_the_same_rows():
    assert hostile_rows.rows(50, 3) == hostile_rows.rows(50, 3)
    assert hostile_rows.rows(50, 3) != hostile_rows.rows(50, 4)
