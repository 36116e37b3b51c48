"""A small campaign of same_file.py, by the libraries that are installed, and that it can fail."""

import same_file


def test_the_apps_own_connections_and_ours_lose_nothing():
    report = same_file.main(["--runs", "1", "--rows", "100", "--seed", "3"])

    assert same_file.is_kept(report), report
    assert report["rows"] == 100 * len(report["libraries"])
    assert report["jobs"] == 101


def test_two_sqlite_libraries_in_one_process_do_not_go_together():
    report = same_file.main(["--runs", "1", "--rows", "300", "--seed", "3", "--break", "apsw"])

    assert not same_file.is_kept(report)
