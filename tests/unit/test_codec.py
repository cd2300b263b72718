"""Our small codec and msgspec are one codec, on every type that is read from a wire or a disk.

Deliberate differences, all of them on input that no side of ours writes:
1. In what is ignored anyway, fields that this version does not know, ours lets `NaN`, half
   surrogate pairs and duplicates pass that msgspec refuses, and refuses bytes that are no UTF-8 and
   numbers of more than 4,300 digits, which msgspec skips unread.
2. A field that stands twice: the last one counts for both, but msgspec checks the first one too.
3. A float below 1e-4 or from 1e16 on is written as `1e+16` by ours, as `1e16` by msgspec: the
   same number. Only the journal holds floats.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.wire_cases import ANY_MESSAGE, AT, DIGEST, GOLDEN, ID, MESSAGES

from harmony_fleet.agent.upgrade.boot_time import BootTime
from harmony_fleet.agent.upgrade.record import Journal
from harmony_fleet.contracts.codec import decode, encode
from harmony_fleet.contracts.commands import Answer, Command
from harmony_fleet.contracts.errors import MalformedMessage
from harmony_fleet.contracts.heartbeat import Heartbeat, Progress
from harmony_fleet.contracts.upgrade import (
    Artifact,
    Cause,
    Desired,
    Ended,
    Marker,
    Status,
)
from harmony_fleet.contracts.wire import MAX_MESSAGE_BYTES
from harmony_fleet.operator import decoding

ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # what may stand in one field by mistake, and in another by right
    | st.text()
    | st.sampled_from([ID, DIGEST, "1.0.0", "pi-1", "run", "Failed", "ok", "zork"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)


class Refused:
    """Equal to every other refusal: how each codec says so differs."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Refused)

    __hash__ = None  # type: ignore[assignment]


def by_ours(kind: type, data: bytes) -> Any:
    try:
        return decode(kind, data)
    except MalformedMessage:
        return Refused()


def by_msgspec(kind: type, data: bytes) -> Any:
    """As the operator reads."""
    try:
        return decoding.decode(kind, data)
    except MalformedMessage:
        return Refused()


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each value inside a JSON value, its own included."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def put_at(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    first, *rest = path
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[first] = put_at(value[first], tuple(rest), new)
    return copy


def compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@given(ANY_MESSAGE)
def test_a_message_is_read_back_as_it_was_written_by_both_codecs(message: Any) -> None:
    written = encode(message)
    assert by_ours(type(message), written) == message
    assert by_msgspec(type(message), written) == message


@given(ANY_MESSAGE)
def test_both_codecs_write_the_same_json(message: Any) -> None:
    ours, theirs = encode(message), msgspec.json.encode(message)
    assert json.loads(ours) == json.loads(theirs)
    if b'"seconds":' not in ours:
        assert ours == theirs


@given(ANY_MESSAGE, ANY_JSON, st.data())
def test_of_a_message_with_one_wrong_value_both_make_the_same_or_both_refuse_it(
    message: Any, wrong: Any, data: st.DataObject
) -> None:
    plain = json.loads(encode(message))
    path = data.draw(st.sampled_from(list(places(plain))))
    changed = compact(put_at(plain, path, wrong))
    assert by_ours(type(message), changed) == by_msgspec(type(message), changed)


@given(ANY_MESSAGE, st.data())
def test_of_a_message_without_some_field_both_make_the_same_or_both_refuse_it(
    message: Any, data: st.DataObject
) -> None:
    plain = json.loads(encode(message))
    dropped = data.draw(st.sets(st.sampled_from(sorted(plain))))
    left = compact({name: value for name, value in plain.items() if name not in dropped})
    assert by_ours(type(message), left) == by_msgspec(type(message), left)


@given(ANY_MESSAGE, st.dictionaries(st.text().map("newer {}".format), ANY_JSON, max_size=3))
def test_fields_that_are_not_known_are_ignored_by_both(message: Any, more: Any) -> None:
    newer = compact({**json.loads(encode(message)), **more})
    assert by_ours(type(message), newer) == message
    assert by_msgspec(type(message), newer) == message


MUTATIONS = st.lists(
    st.tuples(st.floats(0, 1), st.binary(max_size=3), st.integers(0, 3)), max_size=4
)


@settings(max_examples=400)
@given(st.sampled_from(list(GOLDEN.values())), MUTATIONS)
def test_damaged_bytes_are_a_message_or_malformed_and_nothing_else_is_raised(
    message: Any, mutations: list[tuple[float, bytes, int]]
) -> None:
    data = encode(message)
    for where, new, overwritten in mutations:
        at = round(where * len(data))
        data = data[:at] + new + data[at + overwritten :]
    ours, theirs = by_ours(type(message), data), by_msgspec(type(message), data)
    if ours != Refused() or data == data.decode(errors="ignore").encode():
        assert ours == theirs


@given(
    st.sampled_from(list(MESSAGES)),
    st.binary(max_size=200) | st.text(max_size=100).map(str.encode) | ANY_JSON.map(compact),
)
def test_any_bytes_are_a_message_or_malformed_and_nothing_else_is_raised(
    kind: type, data: bytes
) -> None:
    assert by_ours(kind, data) == by_msgspec(kind, data)


NUMBERS = ["0", "-0.0", "1.5", "1e5", "1e999", "-1e999", "1" + "0" * 400, "NaN", "Infinity"]


@pytest.mark.parametrize(
    "number", [*NUMBERS, "-Infinity", "true", "null", '"1"', "[1]", "01", "1."]
)
def test_a_number_of_seconds_is_finite_or_refused_by_both(number: str) -> None:
    data = f'{{"boot_id":"b","seconds":{number}}}'.encode()
    assert by_ours(BootTime, data) == by_msgspec(BootTime, data)


@pytest.mark.parametrize("number", ["1.0", "1e2", "true", '"1"', "null", "9007199254740993", "-1"])
def test_a_count_is_written_as_a_count_or_refused_by_both(number: str) -> None:
    data = f'{{"done_bytes":{number},"total_bytes":2}}'.encode()
    assert by_ours(Progress, data) == by_msgspec(Progress, data) == Refused()


@pytest.mark.parametrize(
    "text", [rb'"\ud800"', rb'"\udc00\ud800"', b'"\xed\xa0\x80"', b'"\xff"', b'"\x01"', b'"\\x"']
)
def test_a_text_that_nobody_could_write_down_again_is_refused_by_both(text: bytes) -> None:
    data = b'{"kind":"crash_loop","sentence":' + text + b"}"
    assert by_ours(Cause, data) == by_msgspec(Cause, data) == Refused()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_only_utf_8_is_json_to_both(encoding: str) -> None:
    data = encode(GOLDEN["info"]).decode().encode(encoding)
    assert by_ours(type(GOLDEN["info"]), data) == Refused()
    assert by_msgspec(type(GOLDEN["info"]), data) == Refused()


@pytest.mark.parametrize("ignored", ["NaN", "Infinity", '"\\ud800"', '{"a":1,"a":2}'])
def test_ours_does_not_look_into_what_it_ignores(ignored: str) -> None:
    data = encode(GOLDEN["info"])[:-1] + f',"newer":{ignored}}}'.encode()
    assert by_ours(type(GOLDEN["info"]), data) == GOLDEN["info"]


@pytest.mark.parametrize("opened", [b"[", b'{"a":', b'[{"a":'])
def test_what_is_nested_too_deeply_is_refused(opened: bytes) -> None:
    deep = b'{"x":' + opened * (16_000 // len(opened))
    with pytest.raises(MalformedMessage, match="Status"):
        decode(Status, deep)


def test_of_a_field_that_stands_twice_the_last_one_counts() -> None:
    data = b'{"done_bytes":1,"total_bytes":2,"done_bytes":2}'
    assert by_ours(Progress, data) == by_msgspec(Progress, data) == Progress(2, 2)


def test_a_message_may_be_as_long_as_the_limit_and_no_longer() -> None:
    data = encode(GOLDEN["status"])
    padded = data + b" " * (MAX_MESSAGE_BYTES - len(data))
    assert decode(Status, padded) == GOLDEN["status"]
    with pytest.raises(MalformedMessage, match=f"{MAX_MESSAGE_BYTES + 1} bytes"):
        decode(Status, padded + b" ")


def test_a_caller_may_set_another_limit() -> None:
    data = encode(GOLDEN["journal"])
    assert decode(Journal, data, len(data)) == GOLDEN["journal"]
    with pytest.raises(MalformedMessage):
        decode(Journal, data, len(data) - 1)


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        (Marker, b"", "not a Marker"),
        (Marker, b"null", "expected an object, found NoneType"),
        (Marker, b"[]", "expected an object, found list"),
        (Marker, b'{"device_id":7}', "device_id: expected str, found int"),
        (Marker, b'{"device_id":"*"}', "upgrade_id is missing"),
        (Marker, b'{"artifact":{"url":"x","size_bytes":1,"sha256":"x"}}', "missing"),
        (Status, b'{"device_id":"a","journal_id":"j","seq":0,"generation":0,"ended":{}}', "list"),
        (Artifact, b'{"url":"ftp://h","size_bytes":1,"sha256":"x"}', "not http"),
        (
            Ended,
            f'{{"upgrade_id":"{ID}","generation":1,"phase":"Staging"}}'.encode(),
            "not the end",
        ),
        (Heartbeat, b'{"device_id":"a","agent_version":"1"}', "role is missing"),
        (Command, b'{"device_id":"a","verb":{}}', "verb: expected Verb, found dict"),
        (Answer, b'{"device_id":"a","outcome":"ok","ended":[]}', "ended: expected an object"),
        (Journal, b'{"journal_id":"j","attempt":1}', "attempt: expected an object"),
    ],
)
def test_what_is_malformed_is_named_in_a_sentence(kind: type, data: bytes, words: str) -> None:
    with pytest.raises(MalformedMessage, match=words):
        decode(kind, data)


def test_nothing_is_left_out_and_the_fields_keep_their_order() -> None:
    written = json.loads(encode(GOLDEN["heartbeat_idle"]))
    assert list(written) == list(Heartbeat.__dataclass_fields__)
    assert written["progress"] is None


def test_text_is_written_as_utf_8_and_not_as_escapes() -> None:
    assert "“Größe”".encode() in encode(GOLDEN["status"])
    assert AT.encode() in encode(GOLDEN["status"])


def test_an_enum_value_of_a_newer_side_is_read_as_unknown() -> None:
    data = encode(GOLDEN["marker"]).replace(b'"run"', b'"pause"')
    assert decode(Marker, data).desired is Desired.UNKNOWN


@dataclass(frozen=True, slots=True)
class Labelled:
    """No message has a mapping; the answers that `fleet` reads have."""

    labels: dict[str, str]


@given(st.dictionaries(st.text(), st.text(), max_size=4))
def test_a_mapping_is_read_as_it_was_written(labels: dict[str, str]) -> None:
    written = encode(Labelled(labels))
    assert by_ours(Labelled, written) == by_msgspec(Labelled, written) == Labelled(labels)


@pytest.mark.parametrize("value", ["[]", "null", '{"a":1}', '{"a":null}', '"a"', "7"])
def test_what_is_no_mapping_of_texts_is_refused(value: str) -> None:
    data = f'{{"labels":{value}}}'.encode()
    assert by_ours(Labelled, data) == by_msgspec(Labelled, data) == Refused()
