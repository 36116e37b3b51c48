"""Text that is safe to store and to show."""

import tracemalloc
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litejobs.rules.text import cut, printable, printable_lines

any_text = st.text(st.characters())  # surrogates and NUL too


def is_control(character):
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        ("as it is\n", "as it is\n"),
        ("x" * 64, "x" * 64),
        ("ä" * 32, "ä" * 32),
        ("a\0b", "a\\x00b"),
        ("\udc80", "\\udc80"),
    ],
    ids=["empty", "short", "at the limit", "at the limit in bytes", "NUL", "surrogate"],
)
def test_text_that_fits_is_kept_and_what_cannot_be_stored_is_escaped(text, kept):
    assert cut(text, 64) == kept


def test_of_longer_text_the_head_and_the_tail_stay():
    result = cut("<" + "h" * 500 + "t" * 508 + ">", 100)

    assert result == "<" + "h" * 29 + "\n[... cut: 1010 characters in all ...]\n" + "t" * 30 + ">"
    assert len(result) == 100


def test_enormous_text_is_cut_without_a_copy_of_it():
    text = "x" * 10_000_000

    tracemalloc.start()
    try:
        cut(text, 1000)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most < 100_000


def test_text_that_only_its_bytes_make_too_long_is_cut():
    result = cut("ä" * 60, 100)

    assert "60 characters in all" in result
    assert len(result.encode()) <= 100


@given(any_text, st.integers(1, 50), st.integers(64, 300))
def test_what_is_cut_is_valid_utf8_within_the_limit(text, times, limit):
    result = cut(text * times, limit)

    assert len(result.encode("utf-8")) <= limit
    assert "\0" not in result


@given(any_text)
def test_printable_text_is_one_line_without_control_characters(text):
    result = printable(text)

    assert result.isprintable()
    assert not any(map(is_control, result))


@given(any_text)
def test_printable_lines_keep_newlines_and_tabs_and_no_other_control_character(text):
    result = printable_lines(text)

    assert not any(is_control(c) for c in result if c not in "\n\t")
    assert [result.count(c) for c in "\n\t"] == [text.count(c) for c in "\n\t"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größe 5 €", "größe 5 €"),
        ("a\nb", "a\\nb"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\u202egnp", "\\u202egnp"),
    ],
    ids=["plain", "newline", "terminal escape", "right to left"],
)
def test_printable_escapes_what_could_forge_a_line(text, shown):
    assert printable(text) == shown


def test_printable_lines_escape_what_steers_a_terminal():
    assert printable_lines("a\n\t\x1b[2J\r") == "a\n\t\\x1b[2J\\r"


@pytest.mark.parametrize("limit", [0, 1, 10, 39])
def test_cut_keeps_a_limit_below_its_own_mark(limit):
    assert len(cut("x" * 1000, limit).encode()) <= limit
