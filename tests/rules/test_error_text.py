"""An exception as text that can be stored, whatever was raised."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litejobs.errors import DiskError
from litejobs.rules.error_text import describe, headline

LIMIT = 8 * 1024  # bytes


class UnspeakableError(Exception):
    def __str__(self):
        raise SystemExit("no words")


class UnformattableError(Exception):
    @property
    def __cause__(self):
        raise KeyError("cause")


def raised(error):
    """The error as one meets it: with a traceback."""
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def is_storable(text):
    return len(text.encode("utf-8")) <= LIMIT and "\0" not in text


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("no luck"), "ValueError: no luck"),
        (ValueError(), "ValueError"),
        (DiskError("full"), "litejobs.errors.DiskError: full"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (UnspeakableError(), f"{__name__}.UnspeakableError: <its __str__ raised SystemExit>"),
    ],
    ids=["message", "no message", "with its module", "no Exception", "str raises"],
)
def test_the_headline_names_the_type_and_the_message(error, words):
    assert headline(error) == words


def test_a_long_headline_leaves_room_for_the_traceback():
    assert len(headline(ValueError("x" * 100_000))) == LIMIT // 4


def test_the_description_is_the_headline_a_blank_line_and_the_traceback():
    text = describe(raised(ValueError("no luck")))

    first, blank, *trace = text.splitlines()
    assert (first, blank) == ("ValueError: no luck", "")
    assert trace[0] == "Traceback (most recent call last):"
    assert "raise error" in text
    assert trace[-1] == "ValueError: no luck"


def test_frames_above_the_job_are_not_shown():
    error = raised(ValueError("no luck"))

    text = describe(error, below=error.__traceback__)

    assert "raise error" not in text


def test_another_errors_frame_hides_nothing():
    error = raised(ValueError("no luck"))

    text = describe(error, below=raised(KeyError()).__traceback__)

    assert "raise error" in text


def test_an_error_whose_str_raises_is_described_all_the_same():
    text = describe(raised(UnspeakableError()))

    assert "its __str__ raised SystemExit" in text
    assert "raise error" in text
    assert "str() failed" in text  # as traceback says it


def test_an_error_that_cannot_be_formatted_still_has_its_headline():
    text = describe(raised(UnformattableError("oh")))

    assert text.startswith(f"{__name__}.UnformattableError: oh\n")
    assert text.endswith("\n\n<its traceback could not be formatted: KeyError>")


def test_an_enormous_message_is_cut_and_the_traceback_kept():
    text = describe(raised(ValueError("x" * 100_000_000)))

    assert is_storable(text)
    assert text.startswith("ValueError: xxx")
    assert "Traceback (most recent call last):" in text
    assert "raise error" in text
    assert "characters in all" in text


def test_a_message_with_surrogates_and_nul_becomes_valid_text():
    text = describe(raised(ValueError("a\udc80b\0c")))

    assert is_storable(text)
    assert text.startswith("ValueError: a\\udc80b\\x00c\n")


def test_a_type_with_an_unspeakable_name_becomes_valid_text():
    kind = type("x" * 100_000, (Exception,), {"__module__": "odd\udc80"})

    assert is_storable(describe(raised(kind("oh"))))


def test_the_causes_of_an_error_are_shown():
    try:
        try:
            raise KeyError("first")  # noqa: TRY301
        except KeyError as error:
            raise ValueError("second") from error
    except ValueError as error:
        text = describe(error)

    assert text.startswith("ValueError: second\n")
    assert "KeyError: 'first'" in text
    assert "direct cause" in text


def test_the_members_of_an_exception_group_are_shown():
    group = ExceptionGroup("several", [raised(KeyError("one")), raised(OSError("two"))])

    text = describe(raised(group))

    assert text.startswith("ExceptionGroup: several (2 sub-exceptions)\n")
    assert "KeyError: 'one'" in text
    assert "OSError: two" in text


def test_a_recursion_without_end_is_described():
    def again():
        again()

    try:
        again()
    except RecursionError as error:
        text = describe(error)

    assert is_storable(text)
    assert text.startswith("RecursionError: maximum recursion depth")


def test_a_long_chain_keeps_its_head_and_its_last_error():
    error = ValueError("number 0")
    for number in range(1, 1000):
        following = ValueError(f"number {number}")
        following.__context__ = error
        error = following

    text = describe(error)

    assert is_storable(text)
    assert text.startswith("ValueError: number 999\n")
    assert text.endswith("ValueError: number 999\n")


def test_an_exit_is_described_like_any_error():
    text = describe(raised(SystemExit("bye")))

    assert text.startswith("SystemExit: bye\n")


@given(st.text(st.characters()), st.integers(0, 2000))
def test_any_message_is_storable(message, times):
    assert is_storable(describe(ValueError(message * times)))


def test_an_enormous_message_of_many_lines_is_cut_without_reading_each():
    text = describe(raised(ValueError("line\n" * 20_000_000)))

    assert is_storable(text)
    assert text.startswith("ValueError: line")
    assert "raise error" in text


def chained(error, cause):
    error.__cause__ = cause
    return raised(error)


@pytest.mark.parametrize(("length", "is_shown"), [(64 * 1024, True), (64 * 1024 + 1, False)])
def test_the_causes_of_an_enormous_message_are_not_read(length, is_shown):
    text = describe(chained(ValueError("x" * length), KeyError("first")))

    assert is_storable(text)
    assert ("KeyError: 'first'" in text) is is_shown
    assert "\n\nTraceback (most recent call last):\n  File " in text
    assert "raise error" in text


ENORMOUS = KeyError("x" * 10_000_000)


@pytest.mark.parametrize(
    "cause",
    [ENORMOUS, chained(OSError("second"), ENORMOUS), ExceptionGroup("many", [ENORMOUS])],
    ids=["cause", "cause of the cause", "member of a group"],
)
def test_an_enormous_message_in_the_chain_is_not_read(cause):
    text = describe(chained(ValueError("short"), cause))

    assert is_storable(text)
    assert text.startswith("ValueError: short\n\nTraceback (most recent call last):\n  File ")
    assert "KeyError" not in text


def test_a_chain_in_a_circle_is_described():
    error, cause = ValueError("one"), KeyError("other")
    cause.__context__ = error

    text = describe(chained(error, cause))

    assert text.startswith("ValueError: one\n")
    assert "KeyError: 'other'" in text


def test_notes_that_leave_by_exit_are_described():
    class LeavingError(ValueError):
        @property
        def __notes__(self):
            raise SystemExit(3)

    text = describe(raised(LeavingError("told")))

    assert is_storable(text)
    assert "told" in text
