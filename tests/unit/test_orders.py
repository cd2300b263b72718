"""What a marker's bytes mean to one device."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_fleet.agent.upgrade.events import (
    OrderRead,
    OrderUnusable,
)
from harmony_fleet.agent.upgrade.plane import order_of
from harmony_fleet.contracts.codec import encode
from harmony_fleet.contracts.upgrade import Desired
from harmony_fleet.testing.upgrade_samples import GENERATION, ID, marker


def written(**changes: Any) -> bytes:
    return json.dumps(json.loads(encode(marker())) | changes).encode()


@pytest.mark.parametrize("desired", Desired)
def test_an_order_for_this_device_is_read(desired: Desired) -> None:
    order = marker(desired=desired)
    assert order_of(encode(order), "pi-1") == OrderRead(order)


def test_fields_of_the_future_are_ignored_and_values_of_the_future_survived() -> None:
    event = order_of(written(colour="green", desired="pause"), "pi-1")
    assert event == OrderRead(marker(desired=Desired.UNKNOWN))


@pytest.mark.parametrize(
    "changes",
    [
        {"version": "../../etc/passwd"},
        {"version": "1.0.0+build"},
        {"artifact": {"url": "file:///etc/passwd", "size_bytes": 1, "sha256": "0" * 64}},
        {"artifact": None},
        {"artifact": {"url": "http://h/", "size_bytes": 0, "sha256": "0" * 64}},
        {"retry": "yes"},
        {"desired": 7},
    ],
)
def test_an_order_whose_head_can_be_read_and_whose_rest_cannot_is_named_and_unusable(
    changes: dict[str, Any],
) -> None:
    event = order_of(written(**changes), "pi-1")
    assert isinstance(event, OrderUnusable)
    assert (event.upgrade_id, event.generation) == (ID, GENERATION)
    assert next(iter(changes)) in event.reason


def test_an_order_whose_fields_may_mean_something_else_is_not_obeyed() -> None:
    event = order_of(written(schema=2), "pi-1")
    assert isinstance(event, OrderUnusable)
    assert "schema 2" in event.reason


def test_a_reason_is_short_enough_for_a_cause() -> None:
    event = order_of(written(version="1" * 60 + "." * 3), "pi-1")
    assert isinstance(event, OrderUnusable)
    assert len(event.reason) <= 200


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"{}",
        written(upgrade_id="short"),
        written(generation=0),
        written(generation=10**400),
        written(generation=1.5),
        b"x" * 20_000,
        b"[" * 5_000,
    ],
)
def test_bytes_without_a_readable_head_mean_nothing(value: bytes) -> None:
    assert order_of(value, "pi-1") is None


@pytest.mark.parametrize("changes", [{}, {"version": "bad"}])
def test_an_order_for_another_device_means_nothing(changes: dict[str, Any]) -> None:
    assert order_of(written(**changes), "pi-2") is None


@given(st.binary(max_size=300))
def test_any_bytes_at_all_are_survived(value: bytes) -> None:
    assert order_of(value, "pi-1") is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)
FIELDS = st.sampled_from(list(json.loads(encode(marker()))))


@settings(max_examples=60)
@given(st.dictionaries(FIELDS, JSON, min_size=1))
def test_any_json_in_any_field_is_an_order_or_unusable_or_nothing(changed: dict[str, Any]) -> None:
    event = order_of(written(**changed), "pi-1")
    assert event is None or isinstance(event, OrderRead | OrderUnusable)
