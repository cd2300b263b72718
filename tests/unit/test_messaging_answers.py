import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_fleet.messaging.keyvalue import read_entry
from harmony_fleet.messaging.requests import (
    Message,
    MessagingError,
    NoResponders,
    PlaneBusy,
    PlaneUnreachable,
    RequestRefused,
    RequestTimedOut,
    read_answer,
)

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("error"), inner),
    max_leaves=5,
)


def answer(payload: bytes = b"", headers: dict[str, str] | None = None) -> Message:
    return Message("_INBOX.x", payload, headers or {}, "")


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_as_an_answer_is_an_object_or_a_refusal(payload: bytes) -> None:
    with suppress(RequestRefused):
        assert isinstance(read_answer(answer(payload), "asking"), dict)


def test_nesting_without_end_is_a_refusal() -> None:
    with pytest.raises(RequestRefused):
        read_answer(answer(b"[" * 200_000), "asking")


def test_the_servers_code_and_words_are_passed_on() -> None:
    error = {"error": {"code": 400, "err_code": 10071, "description": "wrong last sequence: 7"}}
    with pytest.raises(RequestRefused, match="wrong last sequence: 7") as refused:
        read_answer(answer(json.dumps(error).encode()), "writing")
    assert (refused.value.code, refused.value.retryable) == (10071, False)


@pytest.mark.parametrize("code", [429, 503])
def test_a_server_that_is_busy_may_be_asked_again(code: int) -> None:
    error = {"error": {"code": code, "err_code": 10167, "description": "too many requests"}}
    with pytest.raises(PlaneBusy) as busy:
        read_answer(answer(json.dumps(error).encode()), "writing")
    assert busy.value.retryable


def test_a_status_line_is_a_refusal() -> None:
    with pytest.raises(RequestRefused, match="408 Bad Request"):
        read_answer(answer(headers={"Status": "408", "Description": "Bad Request"}), "reading")


def test_a_status_header_that_a_device_stored_is_no_status_line() -> None:
    assert answer(headers={"Status": "204", "Nats-Sequence": "7"}).status is None


@pytest.mark.parametrize("mark", [{"KV-Operation": "DEL"}, {"Nats-Marker-Reason": "MaxAge"}])
def test_a_mark_that_a_key_is_gone_is_no_entry(mark: dict[str, str]) -> None:
    assert read_entry(answer(headers={"Nats-Sequence": "3", **mark})) is None


@pytest.mark.parametrize("sequence", [None, "", "-1", "1e3", "²", "x"])
def test_a_value_without_the_servers_revision_is_refused(sequence: str | None) -> None:
    headers = {} if sequence is None else {"Nats-Sequence": sequence}
    with pytest.raises(RequestRefused):
        read_entry(answer(b"value", headers))


def test_each_error_of_the_way_may_be_retried_and_has_a_kind_of_its_own() -> None:
    kinds: set[type[MessagingError]] = {PlaneUnreachable, NoResponders, RequestTimedOut}
    assert all(kind.retryable for kind in kinds)
    assert len({kind.kind for kind in kinds}) == len(kinds)
