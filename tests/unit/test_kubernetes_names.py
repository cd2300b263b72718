"""What an object is called: as its device or version, or, where it may not, by one name alone."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.kubernetes_cases import DEVICE_IDS, VERSIONS

from harmony_fleet.operator.kubernetes.names import object_name

RFC_1123 = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""A DNS subdomain, as the API server checks it."""
LONGEST = 253


@pytest.mark.parametrize("text", ["pi-1", "a", "1.0.0", "2.0.0-rc.1", "1.0.0-a--b"])
def test_what_may_be_a_name_is_the_name(text: str) -> None:
    assert object_name(text) == text


def test_what_may_not_is_said_in_plain_letters_with_the_first_digits_of_its_sha256() -> None:
    assert object_name("pi_1") == "pi-1.8acdbc77"  # printf pi_1 | sha256sum
    assert object_name("1.0.0-RC.1") == "1.0.0-rc.1.378f6448"


@given(DEVICE_IDS | VERSIONS)
@example("1.0.0-A.-.-.1")
@example("1.0.0--.-a")
@example("a" + "_" * 61 + "b")
def test_it_is_a_name_that_the_api_server_takes(text: str) -> None:
    name = object_name(text)
    assert RFC_1123.fullmatch(name)
    assert len(name) <= LONGEST
    assert object_name(text) == name


@given(st.lists(DEVICE_IDS, unique=True, max_size=20))
@example(["a-b", "a_b", "a_-b", "a__b"])
def test_no_two_devices_have_one_name(device_ids: list[str]) -> None:
    assert len({object_name(one) for one in device_ids}) == len(device_ids)


@given(st.lists(VERSIONS, unique=True, max_size=20))
@example(["1.0.0-rc", "1.0.0-RC", "1.0.0-Rc", "1.0.0-A.-.a", "1.0.0-A.a"])
def test_no_two_versions_have_one_name(versions: list[str]) -> None:
    assert len({object_name(one) for one in versions}) == len(versions)
