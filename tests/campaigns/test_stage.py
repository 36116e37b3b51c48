"""What the figures of a campaign count."""

import pytest
import stage

STORED = [["attempt", 1.0, 1], ["stored", 1.1, 1, 0.1]]
RUN = [["start", 2.0, 1], ["done", 2.1, 1]]


def test_a_job_that_is_done_once_is_neither_lost_nor_doubled():
    report = stage.tally([*STORED, *RUN], [])

    assert report["acknowledged"] == report["done"] == 1
    assert stage.is_whole(report)


@pytest.mark.parametrize(
    ("lines", "rows", "key"),
    [
        pytest.param(STORED, [], "lost", id="never run"),
        pytest.param([*STORED, RUN[0]], [], "lost", id="begun only"),
        pytest.param([*STORED, *RUN, *RUN], [], "doubled", id="done twice"),
        pytest.param(RUN, [], "unexpected", id="of nobody"),
        pytest.param([*STORED, *RUN], [(1, 2)], "left", id="still running"),
    ],
)
def test_what_breaks_a_promise_is_counted(lines, rows, key):
    report = stage.tally(lines, rows)

    assert report[key] == 1
    assert not stage.is_whole(report)


def test_what_was_stored_though_nobody_heard_so_is_recovered():
    report = stage.tally([STORED[0], ["refused", 1.1, 1, "DiskError", "full"], *RUN], [(1, 4)])

    assert report["recovered"] == 1
    assert report["refused"] == {"DiskError": 1}
    assert stage.is_whole(report)
