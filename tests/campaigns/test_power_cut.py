"""A small campaign of power_cut.py, and that it sees what it should."""

import random
import sqlite3
from contextlib import closing

import power_cut
import pytest
import strace
from disk import Disk

FEW = ["--cuts", "40", "--steps", "12", "--share", "0.2", "--seed", "11"]
TRACED = pytest.param(
    "sqlite3", marks=pytest.mark.skipif(not strace.is_there(), reason="strace cannot trace here")
)


@pytest.mark.parametrize("driver", ["apsw", TRACED])
def test_a_power_cut_takes_nothing_that_was_acknowledged(driver):
    report = power_cut.main([*FEW, "--driver", driver])

    assert power_cut.is_kept(report), report
    assert report["cuts"] == 40
    assert report["acknowledged"] > 40


def test_with_less_durability_a_power_cut_takes_the_last_jobs_and_no_more():
    report = power_cut.main([*FEW, "--durability", "normal"])

    assert power_cut.is_kept(report), report
    assert report["lost"] > 0


def test_the_campaign_sees_that_nothing_is_synced():
    report = power_cut.main([*FEW, "--break", "off"])

    assert not power_cut.is_kept(report), report
    assert report["corrupt"] > 0


@pytest.mark.parametrize("guard", ["normal", "transactions"])
def test_the_campaign_sees_that_less_is_synced_than_was_promised(guard):
    report = power_cut.main([*FEW, "--break", guard])

    assert not power_cut.is_kept(report), report
    assert report["lost"] > 0
    assert report["corrupt"] == report["non-prefix"] == 0


def test_a_text_that_is_torn_counts_as_corrupt(tmp_path):
    with closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as database:
        database.execute("CREATE TABLE orders (text TEXT)")
        database.execute("INSERT INTO orders VALUES (CAST(x'ff' AS TEXT))")
        database.commit()

    assert power_cut.look(tmp_path / "jobs.sqlite") is None


# The disk


@pytest.fixture
def disk(tmp_path):
    (tmp_path / "file").write_bytes(b"old " * 256)  # two sectors
    return Disk(tmp_path)


def left(disk, tries=300):
    """All that a power cut may leave."""
    chance = random.Random(5)
    return [disk.after_cut(chance) for _ in range(tries)]


def test_what_was_synced_stays(disk):
    disk.open("file").write(0, b"new ")
    disk.open("file").sync()

    assert {bytes(files["file"][:8]) for files in left(disk)} == {b"new old "}


def test_of_what_was_not_synced_any_sector_may_be_there(disk):
    disk.open("file").write(0, b"new " * 256)

    seen = {bytes(files["file"][:4] + files["file"][512:516]) for files in left(disk)}

    assert seen == {b"old old ", b"old new ", b"new old ", b"new new "}


def test_what_the_system_could_not_write_no_later_sync_brings_back(disk):
    disk.open("file").write(0, b"new " * 256)
    disk.open("file").fail_sync(random.Random(1))
    disk.open("file").sync()

    assert len({bytes(files["file"]) for files in left(disk)}) == 1


def test_a_file_may_be_longer_or_shorter_than_it_was(disk):
    disk.open("file").truncate(0)
    disk.open("file").write(600, b"new")

    assert {len(files["file"]) for files in left(disk)} == {0, 603, 1024}


def test_names_come_and_go_in_order_once_the_directory_is_synced(disk):
    disk.open("made")
    disk.delete("file")
    disk.open("late")
    seen = {tuple(sorted(files)) for files in left(disk)}
    assert seen == {("file",), ("file", "made"), ("made",), ("late", "made")}

    disk.sync_directory()

    assert {tuple(sorted(files)) for files in left(disk)} == {("late", "made")}
