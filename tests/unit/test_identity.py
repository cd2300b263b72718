"""What becomes a key, a subject, a path, a label or a URL, and what never does."""

import re
from collections.abc import Callable
from pathlib import PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.contracts.identity import (
    MAX_COUNT,
    MAX_URL_LENGTH,
    MAX_VERSION_LENGTH,
    check_count,
    check_device_id,
    check_sha256,
    check_text,
    check_token,
    check_upgrade_id,
    check_url,
    check_version,
)

LABEL = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
"""A Kubernetes label's value, at most 63 characters."""
ILLEGAL_ANYWHERE = set("/\\\0*> \t\r\n+:;'\"$%~`(){}[]<|&!?#@^,=")

NEAR_VERSIONS = st.text("0123456789.-+/\\aAzZ \n\0*>_~é٣", max_size=70)
"""Texts of a version's own characters, and of those that would do harm."""
NEAR_DEVICE_IDS = st.text("abz09-_.*>/ AZ\n\0é", max_size=66)


def accepted(check: Callable[[str], str], text: str) -> bool:
    try:
        return check(text) == text
    except InvalidValue:
        return False


def spelled(numbers: tuple[int, int, int], identifiers: list[str]) -> str:
    release = ".".join(str(number) for number in numbers)
    return f"{release}-{'.'.join(identifiers)}" if identifiers else release


versions = st.builds(
    spelled,
    st.tuples(*[st.integers(0, 999_999_999)] * 3),
    st.lists(st.text("019aZ-", min_size=1, max_size=9), max_size=4),
).filter(lambda text: accepted(check_version, text))


@given(NEAR_VERSIONS | st.text() | versions)
@example("1.0.0\n")
@example("1.0.0/../..")
@example("1.0.0-..")
@example("1.0.0+build")
@example("1\u0661.0.0")
@example("1.0.0-1\u0661")
def test_a_version_that_is_accepted_is_harmless_in_paths_keys_and_labels(text: str) -> None:
    if not accepted(check_version, text):
        return
    assert not ILLEGAL_ANYWHERE & set(text)
    assert text.isascii()
    assert text.isprintable()
    assert 5 <= len(text) <= MAX_VERSION_LENGTH
    assert ".." not in text
    assert LABEL.fullmatch(text)


@given(versions)
def test_a_version_becomes_one_file_name_and_is_read_back_from_it(version: str) -> None:
    folder = PurePosixPath("/usr/local/lib/fleet-agent")
    path = folder / f"fleet-agent-v{version}"
    assert path.parent == folder
    assert path.name.removeprefix("fleet-agent-v") == version
    assert not path.name.startswith(".")


@pytest.mark.parametrize(
    "text", ["0.0.0", "1.10.0", "999999999.0.1", "2.0.0-rc.1", "1.0.0-alpha-1.0a", "1.0.0-0"]
)
def test_versions_of_semver_without_build_metadata_are_accepted(text: str) -> None:
    assert check_version(text) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("1", "one number"),
        ("1.0", "two numbers"),
        ("1.0.0.0", "four numbers"),
        ("v1.0.0", "a prefix"),
        ("01.0.0", "a leading zero"),
        ("1.0.0-01", "a leading zero in the pre-release"),
        ("1.0.0-", "an empty pre-release"),
        ("1.0.0-a..b", "an empty identifier"),
        ("1.0.0-a.", "an empty identifier at the end"),
        ("1.0.0+b", "build metadata"),
        ("1.0.0-a+b", "build metadata after a pre-release"),
        ("1.0.0-a-", "a hyphen at the end, which no label may have"),
        ("1.0.0-a_b", "an underscore"),
        ("1.0.0 ", "a space"),
        ("1.0.0\n", "a newline"),
        ("1.0.0\0", "a NUL"),
        ("../1.0.0", "a way out"),
        ("1.0.0/../../etc", "a way out"),
        ("1.0.٣", "a digit that is not ASCII"),
        ("1234567890.0.0", "a number of ten digits"),
        ("1.0.0-" + "a" * 58, "64 characters"),
    ],
)
def test_a_version_that_is_none_is_refused_with_its_text(text: str, why: str) -> None:
    with pytest.raises(InvalidValue, match="version"):
        check_version(text)


def test_a_version_may_have_63_characters_as_a_label_may() -> None:
    assert check_version("1.0.0-" + "a" * 57)


@given(NEAR_DEVICE_IDS | st.text() | st.text("a0-_", max_size=64))
@example("pi-1\n")
@example("*")
@example(">")
def test_a_device_id_that_is_accepted_is_one_token_of_a_subject_and_one_label(text: str) -> None:
    if not accepted(check_device_id, text):
        return
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_")
    assert 1 <= len(text) <= 63
    assert LABEL.fullmatch(text)


@pytest.mark.parametrize(
    "text", ["a", "0", "pi-1", "pi_1", "a" * 63, "a--b", "1.0.0".replace(".", "-")]
)
def test_device_ids_are_accepted(text: str) -> None:
    assert check_device_id(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-a",
        "a-",
        "_a",
        "a_",
        "A",
        "a.b",
        "a b",
        "a*",
        "*",
        ">",
        "a>",
        "a/b",
        "..",
        "a\n",
        "a\x00",
        "ä",
        "a" * 64,
        "{{name()}}",
        "$sys",
    ],
)
def test_a_device_id_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="device id"):
        check_device_id(text)


@given(st.text("0123456789abcdefABCDEF \n", min_size=30, max_size=66))
def test_upgrade_ids_and_digests_are_lower_case_hexadecimal_of_one_length(text: str) -> None:
    hexadecimal = set(text) <= set("0123456789abcdef")
    assert accepted(check_upgrade_id, text) == (hexadecimal and len(text) == 32)
    assert accepted(check_sha256, text) == (hexadecimal and len(text) == 64)


@given(st.text("09AZaz_-", min_size=1, max_size=64))
def test_a_token_is_accepted(text: str) -> None:
    assert check_token(text) == text


@pytest.mark.parametrize("text", ["", "a" * 65, "a.b", "a b", "a\n", "é", "a/b", "*"])
def test_a_token_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="identifier"):
        check_token(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:7700/artifacts/a",
        "https://fleet.example/a?b=c#d",
        "http://[::1]:80/",
        "HTTPS://FLEET.EXAMPLE/A",
        "http://h/%C3%BC",
        "http://h/" + "a" * (MAX_URL_LENGTH - 9),
    ],
)
def test_urls_with_a_host_are_accepted(text: str) -> None:
    assert check_url(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/artifacts/a",
        "artifacts",
        "file:///etc/passwd",
        "ftp://host/a",
        "http:///a",
        "http:a",
        "http://:80/a",
        "//host/a",
        "http://host:99999/a",
        "http://host:port/a",
        "http://[::1/a",
        "http://user@host/a",
        "http://user:word@host/a",
        "http://:word@host/a",
        "http://@host/a",
        "http://host/a b",
        "http://host/a\n",
        "http://ho\tst/a",
        "http://host/\0",
        "http://host/\u202e",
        "http://höst/a",
        "http://host/ü",
        "http://host/\ud800",
        "http://h/" + "a" * (MAX_URL_LENGTH - 8),
    ],
)
def test_what_is_no_url_of_a_server_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="URL"):
        check_url(text)


@pytest.mark.parametrize(
    "text", ["http://u:hunter2@host/a", "http://u:hunter2@host:x/a", "ftp://u:hunter2@host/a"]
)
def test_a_password_in_a_url_is_not_repeated_in_the_error(text: str) -> None:
    with pytest.raises(InvalidValue) as raised:
        check_url(text)
    assert "hunter2" not in str(raised.value)


@given(st.text() | st.text("htps:/@[]?#%.\\ab 1é\n").map(lambda text: f"http://{text}"))
def test_any_text_is_a_url_or_is_refused_and_nothing_else_is_raised(text: str) -> None:
    if accepted(check_url, text):
        assert text.isascii()
        assert text.isprintable()
        assert " " not in text


@given(st.integers(), st.integers(0, 2))
def test_a_count_lies_between_its_minimum_and_what_json_can_hold(number: int, minimum: int) -> None:
    if minimum <= number <= MAX_COUNT:
        assert check_count(number, "beat", minimum) == number
    else:
        with pytest.raises(InvalidValue, match="beat"):
            check_count(number, "beat", minimum)


@pytest.mark.parametrize("number", [-1, MAX_COUNT + 1])
def test_a_count_just_outside_is_refused(number: int) -> None:
    with pytest.raises(InvalidValue):
        check_count(number, "seq")
    assert check_count(0, "seq") == 0
    assert check_count(MAX_COUNT, "seq") == MAX_COUNT


def test_a_text_may_be_as_long_as_its_limit() -> None:
    assert check_text("a" * 9, "reason", 9)
    with pytest.raises(InvalidValue, match="reason has 10"):
        check_text("a" * 10, "reason", 9)
