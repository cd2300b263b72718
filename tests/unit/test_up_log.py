import logging

from hypothesis import given
from hypothesis import strategies as st

from harmony_fleet.embedded.up import _OneLine


def logged(words: str) -> str:
    record = logging.LogRecord("fleet", logging.INFO, "", 0, "pi-1: %s", (words,), None)
    return _OneLine("%(message)s").format(record)


@given(st.text())
def test_whatever_a_device_says_is_one_printable_line_of_the_log(words: str) -> None:
    assert logged(words).isprintable()


def test_several_lines_are_told_apart() -> None:
    assert logged("rolled back\n\x1b[2J\x1b[1;1HAll is well") == (
        "pi-1: rolled back | [2J [1;1HAll is well"
    )
