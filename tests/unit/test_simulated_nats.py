"""The simulated NATS server: what it stores, answers, republishes, and forgets."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from harmony_fleet.contracts.subjects import direct_get, key, stream
from harmony_fleet.messaging.requests import Message
from harmony_fleet.operator.streams import StreamLimits, stream_configurations
from harmony_fleet.simulation.nats_server import NatsServer
from harmony_fleet.simulation.nats_subjects import matches, transformed

MARKERS, STATUSES, BEATS = "agent-upgrade", "agent-upgrade-status", "device-heartbeat"
EXPECTED = "Nats-Expected-Last-Subject-Sequence"


@dataclass
class Client:
    """One connection, which keeps what it receives."""

    server: NatsServer
    received: list[Message] = field(default_factory=list)
    gone: int = 0

    def __post_init__(self) -> None:
        session = self.server.connect(self._gone)
        assert session is not None
        self.session = session

    def _gone(self) -> None:
        self.gone += 1

    def listen(self, subject: str) -> None:
        self.session.subscribe(subject, self.received.append)

    def ask(
        self, subject: str, payload: bytes = b"", headers: dict[str, str] | None = None
    ) -> list[Message]:
        answers: list[Message] = []
        self.session.expect("_INBOX.1", answers.append)
        self.session.publish(subject, payload, headers, "_INBOX.1")
        self.session.forget("_INBOX.1")
        return answers

    def put(self, bucket: str, name: str, value: bytes, revision: int | None = None) -> Any:
        headers = {} if revision is None else {EXPECTED: str(revision)}
        (answer,) = self.ask(key(bucket, name), value, headers)
        return json.loads(answer.payload)

    def get(self, bucket: str, name: str) -> Message:
        (answer,) = self.ask(direct_get(bucket, name))
        return answer


@dataclass
class World:
    now_s: float = 0.0

    def __post_init__(self) -> None:
        self.server = NatsServer(lambda: self.now_s)
        self.client = Client(self.server)
        self.make_streams()

    def make_streams(self) -> None:
        for wanted in stream_configurations(StreamLimits(heartbeat_max_age_s=90.0)):
            self.client.ask(f"$JS.API.STREAM.CREATE.{wanted['name']}", json.dumps(wanted).encode())

    def info(self, bucket: str) -> Any:
        (answer,) = self.client.ask(f"$JS.API.STREAM.INFO.{stream(bucket)}")
        return json.loads(answer.payload)


@pytest.fixture
def world() -> World:
    return World()


def test_what_was_put_is_read_with_its_sequence(world: World) -> None:
    assert world.client.put(STATUSES, "pi-1", b"one") == {"stream": stream(STATUSES), "seq": 1}
    assert world.client.put(STATUSES, "pi-1", b"two")["seq"] == 2
    found = world.client.get(STATUSES, "pi-1")
    assert found.payload == b"two"
    assert found.headers["Nats-Sequence"] == "2"
    assert found.headers["Nats-Subject"] == key(STATUSES, "pi-1")
    assert found.status is None


def test_a_key_without_a_value_is_a_404_and_a_direct_get_with_a_payload_a_408(
    world: World,
) -> None:
    assert world.client.get(STATUSES, "pi-9").status == "404"
    (refused,) = world.client.ask(direct_get(STATUSES, "pi-9"), b"x")
    assert refused.status == "408"


def test_a_comparison_that_fails_is_refused_and_nothing_is_stored(world: World) -> None:
    assert world.client.put(MARKERS, "pi-1", b"one", revision=0)["seq"] == 1
    refused = world.client.put(MARKERS, "pi-1", b"two", revision=0)
    assert refused["error"]["err_code"] == 10071
    assert world.client.get(MARKERS, "pi-1").payload == b"one"
    assert world.client.put(MARKERS, "pi-1", b"two", revision=1)["seq"] == 2


def test_what_is_too_long_is_refused(world: World) -> None:
    assert world.client.put(MARKERS, "pi-1", b"x" * 16385)["error"]["err_code"] == 10054


def test_only_what_was_stored_is_republished_and_a_plain_subscription_sees_the_rest_too(
    world: World,
) -> None:
    device, spy = Client(world.server), Client(world.server)
    device.listen("fleet.order.pi-1")
    spy.listen("$KV.agent-upgrade.*")
    world.client.put(MARKERS, "pi-1", b"one", revision=0)
    world.client.put(MARKERS, "pi-1", b"two", revision=0)
    (woken,) = device.received
    assert woken.payload == b""
    assert woken.headers["Nats-Sequence"] == "1"
    assert [message.payload for message in spy.received] == [b"one", b"two"]


def test_a_heartbeat_is_republished_whole_with_its_sequence(world: World) -> None:
    operator = Client(world.server)
    operator.listen("fleet.seen.heartbeat.*.*")
    world.client.session.publish(key(BEATS, "pi-1.candidate"), b"beat")
    (seen,) = operator.received
    assert (seen.subject, seen.payload) == ("fleet.seen.heartbeat.pi-1.candidate", b"beat")
    assert seen.headers["Nats-Sequence"] == "1"


def test_heartbeats_expire_and_statuses_do_not(world: World) -> None:
    world.client.put(BEATS, "pi-1.primary", b"beat")
    world.client.put(STATUSES, "pi-1", b"status")
    world.now_s = 89.0
    assert world.client.get(BEATS, "pi-1.primary").status is None
    world.now_s = 90.0
    assert world.client.get(BEATS, "pi-1.primary").status == "404"
    assert world.client.get(STATUSES, "pi-1").status is None
    assert world.info(BEATS)["state"]["last_seq"] == 1


def test_a_bucket_is_listed_in_the_order_of_its_sequences_page_by_page(world: World) -> None:
    for name in ("a", "b", "c", "a"):
        world.client.put(STATUSES, name, name.encode())
    asked = {"seq": 1, "batch": 2, "next_by_subj": key(STATUSES, ">")}
    subject = f"$JS.API.DIRECT.GET.{stream(STATUSES)}"
    *page, end = world.client.ask(subject, json.dumps(asked).encode())
    assert [one.payload for one in page] == [b"b", b"c"]
    assert end.headers["Status"] == "204"
    assert end.headers["Nats-Num-Pending"] == "1"
    assert end.headers["Nats-Last-Sequence"] == "3"
    rest = world.client.ask(subject, json.dumps(asked | {"seq": 4}).encode())
    assert [one.payload for one in rest] == [b"a", b""]
    (none,) = world.client.ask(subject, json.dumps(asked | {"seq": 5}).encode())
    assert none.status == "404"


def test_a_request_that_nobody_answers_is_told_so_to_whoever_asked_and_to_nobody_else(
    world: World,
) -> None:
    other = Client(world.server)
    world.client.listen("fleet.answer.*.n.*")
    other.listen("fleet.answer.*.n.*")
    world.client.session.publish("device-cmd.pi-1", b"?", reply="fleet.answer.pi-1.n.1")
    (told,) = world.client.received
    assert told.headers["Status"] == "503"
    assert other.received == []
    (refused,) = world.client.ask("$JS.API.DIRECT.GET.KV_nothing.x")
    assert refused.status == "503"


def test_a_command_reaches_its_device_and_the_answer_whoever_asked(world: World) -> None:
    device = Client(world.server)
    device.listen("device-cmd.pi-1")
    world.client.listen("fleet.answer.*.n.*")
    world.client.session.publish("device-cmd.pi-1", b"?", reply="fleet.answer.pi-1.n.1")
    device.session.publish(device.received[0].reply, b"!")
    assert [answer.payload for answer in world.client.received] == [b"!"]


def test_killed_it_cuts_its_clients_and_loses_its_last_writes_and_all_memory(
    world: World,
) -> None:
    for value in (b"one", b"two", b"three"):
        world.client.put(STATUSES, "pi-1", value)
    world.client.put(BEATS, "pi-1.primary", b"beat")
    created = world.info(STATUSES)["created"]
    world.server.stop(losing=2)
    assert world.client.gone == 1
    assert world.server.connect(lambda: None) is None
    world.server.start()
    world.client = Client(world.server)
    assert world.client.get(STATUSES, "pi-1").payload == b"one"
    assert world.client.put(STATUSES, "pi-1", b"other")["seq"] == 2
    assert world.info(STATUSES)["created"] == created
    assert world.info(BEATS)["error"]["err_code"] == 10059


def test_what_was_synced_survives_and_an_empty_disk_has_nothing(world: World) -> None:
    world.client.put(STATUSES, "pi-1", b"one")
    world.server.jetstream.sync()
    world.server.stop(losing=5)
    world.server.start()
    world.client = Client(world.server)
    assert world.client.get(STATUSES, "pi-1").payload == b"one"
    world.server.stop(empty=True)
    world.server.start()
    world.client = Client(world.server)
    assert world.info(STATUSES)["error"]["code"] == 404


def test_a_stream_that_is_made_anew_counts_from_1_and_has_another_time_of_creation(
    world: World,
) -> None:
    world.client.put(BEATS, "pi-1.primary", b"beat")
    created = world.info(BEATS)["created"]
    world.server.stop()
    world.server.start()
    world.client = Client(world.server)
    world.now_s = 1.0
    world.make_streams()
    assert world.info(BEATS)["created"] != created
    assert world.client.put(BEATS, "pi-1.primary", b"beat")["seq"] == 1


def test_a_setting_can_be_changed_but_not_the_storage(world: World) -> None:
    (_, _, heartbeats) = stream_configurations(StreamLimits(heartbeat_max_age_s=30.0))
    name = heartbeats["name"]
    (changed,) = world.client.ask(f"$JS.API.STREAM.UPDATE.{name}", json.dumps(heartbeats).encode())
    assert json.loads(changed.payload)["config"]["max_age"] == 30_000_000_000
    (refused,) = world.client.ask(
        f"$JS.API.STREAM.UPDATE.{name}", json.dumps(heartbeats | {"storage": "file"}).encode()
    )
    assert "error" in json.loads(refused.payload)


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        ("*.b", "a.c", False),
    ],
)
def test_subjects_match_as_nats_matches_them(pattern: str, subject: str, expected: bool) -> None:
    assert matches(pattern, subject) is expected


def test_a_subject_is_transformed_by_its_wildcards() -> None:
    assert transformed("$KV.x.*.*", "seen.{{wildcard(1)}}.{{wildcard(2)}}", "$KV.x.a.b") == (
        "seen.a.b"
    )
    assert transformed("$KV.x.*", "seen.{{wildcard(1)}}", "$KV.y.a") is None
