from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_fleet.asset.answer import (
    Answer,
    Begins,
    ContentRange,
    check_redirect,
    judge,
    judge_first_byte,
    parse_content_range,
    parse_retry_after,
)
from harmony_fleet.asset.errors import RedirectRefused
from harmony_fleet.asset.policy import Answered, Distrusted, Expected, Interrupted, RangeRefused

EXPECTED = Expected(100, "0" * 64)
DATES = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)).map(  # noqa: DTZ001 - made aware here
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)


@pytest.mark.parametrize("length", ["100", None, "many", "-5"])
def test_a_plain_answer_begins_at_the_first_byte_even_where_another_was_asked_for(
    length: str | None,
) -> None:
    total = 100 if length == "100" else None
    assert judge(Answer(200, content_length=length), 40, EXPECTED) == Begins(0, total)


def test_the_length_of_a_chunked_body_is_not_believed() -> None:
    answer = Answer(200, content_length="7", transfer_encoding="chunked")
    assert judge(answer, 0, EXPECTED) == Begins(0, None)


@pytest.mark.parametrize("length", ["99", "101"])
def test_another_size_is_refused_before_a_byte_is_read(length: str) -> None:
    meaning = judge(Answer(200, content_length=length), 0, EXPECTED)
    assert isinstance(meaning, Distrusted)
    assert not meaning.spoiled


@pytest.mark.parametrize(
    ("text", "total"), [("bytes 40-99/100", 100), ("bytes 40-99/*", None), ("Bytes 40-41/100", 100)]
)
def test_a_range_that_was_asked_for_begins_there(text: str, total: int | None) -> None:
    assert judge(Answer(206, content_range=text), 40, EXPECTED) == Begins(40, total)


@pytest.mark.parametrize("text", [None, "", "bytes 0-99/100", "bytes 41-99/100", "bytes */100"])
def test_a_range_from_elsewhere_is_not_put_behind_the_partial(text: str | None) -> None:
    assert isinstance(judge(Answer(206, content_range=text), 40, EXPECTED), RangeRefused)


def test_a_range_that_nobody_asked_for_is_refused() -> None:
    answer = Answer(206, content_range="bytes 0-99/100")
    assert isinstance(judge(answer, 0, EXPECTED), RangeRefused)


def test_a_file_that_changed_its_size_meanwhile_is_refused() -> None:
    answer = Answer(206, content_range="bytes 40-119/120")
    assert isinstance(judge(answer, 40, EXPECTED), Distrusted)


def test_a_refused_range_is_about_the_range_only_where_one_was_asked_for() -> None:
    assert isinstance(judge(Answer(416), 40, EXPECTED), RangeRefused)
    assert judge(Answer(416), 0, EXPECTED) == Answered(416)


@pytest.mark.parametrize("status", [200, 206])
def test_an_encoded_body_is_not_the_file(status: int) -> None:
    assert isinstance(judge(Answer(status, content_encoding="gzip"), 0, EXPECTED), Interrupted)


def test_identity_is_no_encoding() -> None:
    answer = Answer(200, content_encoding=" Identity ")
    assert judge(answer, 0, EXPECTED) == Begins(0, None)


def test_other_answers_carry_the_wait_that_they_ask_for() -> None:
    assert judge(Answer(429, retry_after="17"), 0, EXPECTED) == Answered(429, 17.0)


@given(st.integers(0, 10**15 - 1), st.integers(0, 10**14), st.none() | st.integers(1, 10**14))
def test_a_content_range_reads_as_it_was_written(first: int, more: int, beyond: int | None) -> None:
    last = min(first + more, 10**15 - 2)
    total = None if beyond is None else min(last + beyond, 10**15 - 1)
    parsed = parse_content_range(f"bytes {first}-{last}/{'*' if total is None else total}")
    inside = first <= last and (total is None or last < total)
    assert parsed == (ContentRange(first, last, total) if inside else None)


@given(st.text() | st.from_regex(r"bytes [0-9]{1,4}-[0-9]{1,4}/[0-9]{1,4}"))
def test_a_content_range_lies_within_its_total_or_is_none(text: str) -> None:
    parsed = parse_content_range(text)
    if parsed is not None and parsed.total is not None:
        assert 0 <= parsed.first <= parsed.last < parsed.total


@given(st.text(), st.none() | st.text())
def test_no_text_makes_retry_after_fail_or_negative(text: str, date: str | None) -> None:
    seconds = parse_retry_after(text, date)
    assert seconds is None or seconds >= 0


@given(DATES, st.integers(-1000, 10**6))
def test_a_date_to_come_again_counts_from_the_answers_own_date(now: datetime, later: int) -> None:
    until = format_datetime(now + timedelta(seconds=later), usegmt=True)
    assert parse_retry_after(until, format_datetime(now, usegmt=True)) == max(0, later)


@pytest.mark.parametrize("text", [None, "", "soon", "-5", "²", "9" * 400])
def test_what_is_no_wait_is_none(text: str | None) -> None:
    assert parse_retry_after(text, None) is None


def test_a_date_without_the_answers_own_is_none() -> None:
    """This device's clock may be years off; the policy's own backoff is not."""
    assert parse_retry_after("Wed, 21 Oct 2065 07:28:00 GMT", None) is None


def test_dates_with_and_without_a_zone_cannot_be_compared() -> None:
    with_zone, without = "Wed, 21 Oct 2065 07:28:00 GMT", "Wed, 21 Oct 2065 07:28:00 -0000"
    assert parse_retry_after(with_zone, without) is None


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/other", "https://a.example/other"),
        ("//b.example/x", "https://b.example/x"),
        ("https://b.example/with space", "https://b.example/with%20space"),
        ("https://b.example/caf\xe9?q=%20", "https://b.example/caf%E9?q=%20"),
    ],
)
def test_redirects_within_https_are_followed(location: str, target: str) -> None:
    assert check_redirect("https://a.example/file", location) == target


def test_a_redirect_may_lead_from_http_to_https() -> None:
    target = check_redirect("http://a.example/", "https://a.example/")
    assert target == "https://a.example/"


@pytest.mark.parametrize(
    "location",
    [
        "http://a.example/file",
        "//user:secret@b.example/",
        "ftp://b.example/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://[b.example/",
        "https://b.example:port/",
        "https://b.example/" + "x" * 3000,
    ],
)
def test_redirects_to_where_we_do_not_go_are_refused(location: str) -> None:
    with pytest.raises(RedirectRefused):
        check_redirect("https://a.example/file", location)


@given(st.text())
def test_a_redirect_from_https_stays_protected_or_is_refused(location: str) -> None:
    try:
        target = check_redirect("https://a.example/file", location)
    except RedirectRefused:
        return
    assert target.startswith("https://")
    assert target.isascii()


def test_the_first_byte_comes_with_the_size_of_the_file() -> None:
    for text, total in (("bytes 0-0/100", 100), ("bytes 0-0/*", None), ("bytes 0-99/100", 100)):
        assert judge_first_byte(Answer(206, content_range=text), EXPECTED) == Begins(0, total)


def test_a_server_without_ranges_begins_with_the_first_byte_as_well() -> None:
    assert judge_first_byte(Answer(200, content_length="100"), EXPECTED) == Begins(0, 100)
    chunked = Answer(200, content_length="1", transfer_encoding="chunked")
    assert judge_first_byte(chunked, EXPECTED) == Begins(0, None)


@pytest.mark.parametrize(
    "answer",
    [Answer(206, content_range="bytes 0-0/99"), Answer(200, content_length="101")],
    ids=["by its range", "by its length"],
)
def test_by_its_first_byte_a_file_of_another_size_is_known(answer: Answer) -> None:
    assert isinstance(judge_first_byte(answer, EXPECTED), Distrusted)


@pytest.mark.parametrize("text", [None, "", "bytes 1-1/100", "bytes */100"])
def test_another_range_than_the_first_byte_is_no_answer_to_it(text: str | None) -> None:
    assert isinstance(judge_first_byte(Answer(206, content_range=text), EXPECTED), RangeRefused)


@pytest.mark.parametrize("status", [200, 206])
def test_an_encoded_first_byte_is_not_the_files(status: int) -> None:
    answer = Answer(status, content_range="bytes 0-0/100", content_encoding="gzip")
    assert isinstance(judge_first_byte(answer, EXPECTED), Interrupted)


@pytest.mark.parametrize("status", [404, 416, 503])
def test_a_refusal_of_the_first_byte_keeps_its_status(status: int) -> None:
    assert judge_first_byte(Answer(status), EXPECTED) == Answered(status)
