import pytest

from litejobs.defaults import AHEAD, CHUNK_BYTES, CHUNK_JOBS, CHUNK_TIME, SILENCE
from litejobs.rules.pace import Pace


def after(*runs):
    """A pace after chunks of so many jobs in so many seconds."""
    pace = Pace()
    for jobs, seconds in runs:
        pace.took(jobs, seconds)
    return pace


def test_at_first_one_job_at_a_time():
    assert Pace().chunk == 1


def test_quick_jobs_are_handed_out_in_ever_larger_chunks_up_to_a_limit():
    pace = Pace()
    chunks = []
    for _ in range(12):
        pace.took(pace.chunk, pace.chunk * 1e-6)
        chunks.append(pace.chunk)

    assert chunks[:3] == [1, 3, 7]
    assert chunks == sorted(chunks)
    assert chunks[-1] == CHUNK_JOBS


@pytest.mark.parametrize("milliseconds", [0.05, 0.1, 0.5, 1, 2])
def test_a_chunk_takes_no_longer_than_it_should(milliseconds):
    pace = after(*[(1, milliseconds / 1000)] * 40)

    assert 0.5 * CHUNK_TIME < pace.chunk * milliseconds / 1000 <= 1.01 * CHUNK_TIME


def test_jobs_that_take_no_time_at_all_are_no_error():
    assert after(*[(1, 0)] * 2000).chunk == CHUNK_JOBS


def test_after_a_long_job_they_come_one_by_one_but_not_for_long():
    pace = after(*[(100, 0.001)] * 10, (1, 3600.0))
    assert pace.chunk == 1

    chunks = 0
    while pace.chunk < 100:
        pace.took(pace.chunk, pace.chunk * 1e-5)
        chunks += 1
    assert chunks < 12


@pytest.mark.parametrize(("seconds", "is_light"), [(0.8 * AHEAD, True), (2 * AHEAD, False)])
def test_only_quick_jobs_wait_at_hand(seconds, is_light):
    assert after(*[(1, seconds)] * 20).is_light is is_light


def test_what_is_just_light_enough_waits_at_hand():
    pace = after((1, 2 * AHEAD - CHUNK_TIME))
    pace.weighed(1, 2 * CHUNK_BYTES)

    assert pace.is_light


@pytest.mark.parametrize(("size", "is_light"), [(CHUNK_BYTES // 2, True), (4 * CHUNK_BYTES, False)])
def test_large_jobs_do_not_wait_at_hand(size, is_light):
    pace = Pace()

    pace.weighed(1, size)

    assert pace.is_light is is_light


def test_the_longer_jobs_take_the_longer_they_may_be_silent():
    assert after(*[(1, 0)] * 50).silence == pytest.approx(SILENCE)
    assert after(*[(1, 0.005)] * 50).silence == pytest.approx(SILENCE + 0.01)


def test_a_job_of_an_hour_counts_as_one_of_twice_the_time_ahead():
    assert after(*[(1, 0)] * 50, (1, 3600.0)).silence == pytest.approx(SILENCE + 2 * AHEAD)


def test_large_jobs_are_handed_out_in_small_numbers():
    pace = after(*[(1, 0)] * 50)
    for _ in range(20):
        pace.weighed(10, 10 * CHUNK_BYTES // 4)
    assert pace.chunk == 4

    for _ in range(20):
        pace.weighed(1, 100 * CHUNK_BYTES)
    assert pace.chunk == 1
