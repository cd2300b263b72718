"""What a device may not do, and that all of it would work where the template allowed everything."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.processes.nats_arena import Arena, arena
from tests.processes.nats_fixture import until

from harmony_fleet.contracts.subjects import (
    HEARTBEAT_BUCKET,
    MARKER_BUCKET,
    STATUS_BUCKET,
    direct_get,
    key,
)
from harmony_fleet.embedded.account_claims import Claims
from harmony_fleet.embedded.accounts import Amend
from harmony_fleet.messaging import keyvalue
from harmony_fleet.messaging.requests import RequestTimedOut

Act = Callable[[Arena], Awaitable[None]]

FOREIGN_KEYS = (
    key(STATUS_BUCKET, "victim"),
    key(HEARTBEAT_BUCKET, "victim.primary"),
    key(HEARTBEAT_BUCKET, "victim.candidate"),
)
STRANGE_KEYS = (
    key(MARKER_BUCKET, "mallory"),
    key(MARKER_BUCKET, "victim"),
    key(STATUS_BUCKET, "mallory.deeper"),
    key(STATUS_BUCKET, "*"),
    key(STATUS_BUCKET, ">"),
    key(HEARTBEAT_BUCKET, "mallory"),
    key(HEARTBEAT_BUCKET, "mallory.guard"),
    key(HEARTBEAT_BUCKET, "mallory.primary.deeper"),
    key(HEARTBEAT_BUCKET, "*.primary"),
    key(HEARTBEAT_BUCKET, "mallory.*"),
)
FOREIGN_SUBJECTS = (
    "device-cmd.victim",
    "device-cmd.mallory",
    "device-cmd.*",
    "fleet.order.victim",
    "fleet.answer.victim.a.b",
    "fleet.answer.mallory.a",
    "fleet.answer.mallory.a.b.c",
    "fleet.answer.*.a.b",
    "fleet.renew.victim",
    "fleet.renew.mallory.deeper",
    "fleet.seen.status.victim",
    "fleet.seen.heartbeat.victim.primary",
    "fleet.dropped",
    "_INBOX_victim.x",
    "_INBOX_operator.x",
    "_R_.x",
    "$JS.ACK.KV_agent-upgrade.x.1.1.1.1.1",
    "$SYS.REQ.USER.INFO",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.CLAIMS.UPDATE",
    "$JS.API.INFO",
    "$JS.API.STREAM.PURGE.KV_agent-upgrade-status",
    "$JS.API.STREAM.DELETE.KV_agent-upgrade-status",
    "$JS.API.STREAM.MSG.GET.KV_agent-upgrade",
    "$JS.API.CONSUMER.CREATE.KV_agent-upgrade",
    "$JS.API.DIRECT.GET.KV_agent-upgrade",
)


def refuse(folder: Path, act: Act, amend: Amend | None = None) -> None:
    async def run() -> None:
        async with arena(folder, amend) as stand:
            await act(stand)

    asyncio.run(run())


def allowing_everything(name: str, claims: Claims) -> Claims:
    if name != "devices":
        return claims
    (scope,) = claims["signing_keys"]
    template = scope["template"] | {"pub": {"allow": [">"]}, "sub": {"allow": [">"]}, "subs": -1}
    return claims | {"signing_keys": [scope | {"template": template}]}


async def publish_all(stand: Arena, subjects: tuple[str, ...]) -> None:
    for subject in subjects:
        await stand.mallory.publish(subject, b"by mallory", reply="_INBOX_mallory.x")
    await stand.mallory.flush(2)


def test_no_key_but_ones_own_can_be_written(tmp_path: Path) -> None:
    async def act(stand: Arena) -> None:
        before = await stand.contents()
        await publish_all(stand, (*FOREIGN_KEYS, *STRANGE_KEYS))
        await keyvalue.put(stand.mallory, STATUS_BUCKET, "mallory", b"own", 2)
        await keyvalue.put(stand.mallory, HEARTBEAT_BUCKET, "mallory.primary", b"own", 2)
        assert await stand.contents() == before | {
            key(STATUS_BUCKET, "mallory"): b"own",
            key(HEARTBEAT_BUCKET, "mallory.primary"): b"own",
        }

    refuse(tmp_path, act)


def test_a_template_that_allows_everything_would_let_one_write_anothers_keys(
    tmp_path: Path,
) -> None:
    async def act(stand: Arena) -> None:
        await publish_all(stand, FOREIGN_KEYS)
        await keyvalue.put(stand.mallory, STATUS_BUCKET, "mallory", b"own", 2)
        await keyvalue.put(stand.mallory, HEARTBEAT_BUCKET, "mallory.primary", b"own", 2)
        contents = await stand.contents()
        assert {contents[subject] for subject in FOREIGN_KEYS} == {b"by mallory"}

    refuse(tmp_path, act, allowing_everything)


def test_nothing_but_the_few_allowed_subjects_can_be_published_to(tmp_path: Path) -> None:
    async def act(stand: Arena) -> None:
        before = await stand.contents()
        await publish_all(stand, FOREIGN_SUBJECTS)
        await stand.settle()
        assert stand.subjects_heard("victim") == set()
        assert stand.subjects_heard("operator") == set()
        assert (await stand.contents()).keys() == before.keys()

    refuse(tmp_path, act)


def test_even_a_template_that_allows_everything_reaches_only_what_is_imported(
    tmp_path: Path,
) -> None:
    """The accounts hold where the permissions do not: no command, no order, nothing republished."""

    async def act(stand: Arena) -> None:
        await publish_all(stand, FOREIGN_SUBJECTS)
        await stand.settle()
        assert stand.subjects_heard("victim") == {"_INBOX_victim.x"}
        assert stand.subjects_heard("operator") == {
            "fleet.answer.victim.a.b",
            "fleet.answer.*.a.b",
            "fleet.renew.victim",
        }

    refuse(tmp_path, act, allowing_everything)


LISTENING = (
    *("device-cmd.victim", "device-cmd.*", "device-cmd.>", "fleet.order.victim", "fleet.order.*"),
    *("_INBOX_victim.>", "_INBOX_victim.*.*", "*.>", ">", "*.victim"),
    *("fleet.answer.>", "fleet.renew.*", "fleet.seen.>", "fleet.seen.status.mallory", "$KV.>"),
    *("fleet.dropped", "$JS.>", "$SYS.>", "_R_.>"),
)


async def listen_in(stand: Arena) -> set[str]:
    """What mallory hears of what the operator and the victim say to each other."""
    for subject in LISTENING:
        await stand.mallory.subscribe(subject, stand.ear("mallory"))
        await stand.mallory.flush(2)
    await stand.operator.publish("device-cmd.victim", b"{}", reply="fleet.answer.victim.a.1")
    await stand.victim.publish("fleet.answer.victim.a.1", b"{}")
    await keyvalue.put(stand.operator, MARKER_BUCKET, "victim", b"order", 2)
    await keyvalue.put(stand.victim, STATUS_BUCKET, "victim", b"status", 2)
    await stand.settle()
    return stand.subjects_heard("mallory")


def test_no_device_hears_what_is_meant_for_another_or_for_the_operator(tmp_path: Path) -> None:
    async def act(stand: Arena) -> None:
        assert await listen_in(stand) == set()
        assert {"device-cmd.victim", "fleet.order.victim"} <= stand.subjects_heard("victim")
        assert "fleet.seen.status.victim" in stand.subjects_heard("operator")

    refuse(tmp_path, act)


def test_a_template_that_allows_everything_would_let_one_hear_anothers_commands(
    tmp_path: Path,
) -> None:
    async def act(stand: Arena) -> None:
        heard = await listen_in(stand)
        assert {"device-cmd.victim", "fleet.order.victim"} <= heard
        assert not any(subject.startswith("fleet.seen") for subject in heard)

    refuse(tmp_path, act, allowing_everything)


def test_a_queue_group_takes_no_command_away_from_another_device(tmp_path: Path) -> None:
    async def act(stand: Arena) -> None:
        taken: list[Msg] = []

        async def take(message: Msg) -> None:
            taken.append(message)

        client = await raw_client(stand, "mallory")
        for subject in ("device-cmd.victim", "device-cmd.*", ">"):
            await client.subscribe(subject, queue="device-cmd", cb=take)
        await flushed(client)
        for _ in range(20):
            await stand.operator.publish("device-cmd.victim", b"{}")
        await stand.settle()
        commands = [m for m in stand.heard["victim"] if m.subject == "device-cmd.victim"]
        assert (len(commands), taken) == (20, [])
        await client.close()

    refuse(tmp_path, act)


async def raw_client(stand: Arena, name: str) -> Client:
    credentials = stand.nats.device_credentials(name)
    client = Client()

    async def ignore(_: Exception) -> None:
        pass

    await client.connect(
        stand.nats.server.url,
        error_cb=ignore,
        user_jwt_cb=credentials.jwt.encode,
        signature_cb=lambda nonce: base64.b64encode(credentials.sign(nonce.encode())),
        inbox_prefix=f"_INBOX_{name}",
    )
    return client


async def flushed(client: Client) -> None:
    """Of nats-py's own flush the ping overtakes what is not written yet."""
    await until(lambda: not client.pending_data_size)
    await client.flush()


@pytest.mark.parametrize("subscriptions", [16, 17])
def test_a_device_may_have_sixteen_subscriptions_and_is_thrown_out_with_one_more(
    tmp_path: Path, subscriptions: int
) -> None:
    async def act(stand: Arena) -> None:
        heard: list[Msg] = []

        async def hear(message: Msg) -> None:
            heard.append(message)

        client = await raw_client(stand, "mallory")
        for _ in range(subscriptions):
            await client.subscribe("device-cmd.mallory", cb=hear)
        if subscriptions <= 16:
            await flushed(client)
        else:
            await until(lambda: client.is_closed)
        await stand.operator.publish("device-cmd.mallory", b"{}")
        await stand.settle()
        await until(lambda: len(heard) == (16 if subscriptions <= 16 else 0))
        await client.close()

    refuse(tmp_path, act)


HEADERS = (
    {"Nats-TTL": "1s"},
    {"Nats-Schedule": "@every 1s", "Nats-Schedule-Target": key(STATUS_BUCKET, "victim")},
    {"Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1", "Nats-Batch-Commit": "1"},
    {"Nats-Incr": "1"},
    {"Nats-Expected-Stream": "another"},
    {"Nats-Expected-Last-Sequence": "999"},
)


@pytest.mark.parametrize("headers", HEADERS, ids=lambda headers: next(iter(headers)))
def test_a_header_that_asks_for_more_than_a_put_stores_nothing(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    async def act(stand: Arena) -> None:
        before = await stand.contents()
        await stand.mallory.request(key(STATUS_BUCKET, "mallory"), b"more", 2, headers)
        await stand.settle()
        assert await stand.contents() == before

    refuse(tmp_path, act)


def test_a_trace_is_sent_nowhere(tmp_path: Path) -> None:
    async def act(stand: Arena) -> None:
        destinations = ("device-cmd.victim", "fleet.order.victim", "fleet.seen.status.victim")
        for destination in (*destinations, "_INBOX_victim.x", "fleet.renew.victim"):
            for own in (key(STATUS_BUCKET, "mallory"), direct_get(MARKER_BUCKET, "mallory")):
                trace = {"Nats-Trace-Dest": destination, "Nats-Trace-Only": "false"}
                await stand.mallory.publish(own, b"", trace)
        await stand.settle()
        assert stand.subjects_heard("victim") == set()
        assert stand.subjects_heard("operator") <= {"fleet.seen.status.mallory"}

    refuse(tmp_path, act)


@pytest.mark.parametrize("size_bytes", [16_385, 65_537, 900_000])
def test_an_oversized_value_is_not_stored(tmp_path: Path, size_bytes: int) -> None:
    async def act(stand: Arena) -> None:
        before = await stand.contents()
        await stand.mallory.publish(key(STATUS_BUCKET, "mallory"), bytes(size_bytes))
        await stand.settle()
        assert await stand.contents() == before

    refuse(tmp_path, act)


def test_a_read_with_a_payload_reads_no_other_key(tmp_path: Path) -> None:
    async def act(stand: Arena) -> None:
        await keyvalue.put(stand.operator, MARKER_BUCKET, "victim", b"secret", 2)
        asked: tuple[dict[str, Any], ...] = (
            {"last_by_subj": key(MARKER_BUCKET, "victim")},
            {"next_by_subj": key(MARKER_BUCKET, ">"), "seq": 1},
            {"multi_last": [key(MARKER_BUCKET, ">")]},
            {"batch": 10, "seq": 1},
            {"seq": 2},
        )
        for own in (direct_get(MARKER_BUCKET, "mallory"),):
            for body in asked:
                answer = await stand.mallory.request(own, json.dumps(body).encode(), 2)
                assert (answer.status, answer.payload) == ("408", b"")

    refuse(tmp_path, act)


def test_a_device_reads_its_own_heartbeats_in_both_roles(tmp_path: Path) -> None:
    async def act(stand: Arena) -> None:
        await keyvalue.put(stand.mallory, HEARTBEAT_BUCKET, "mallory.candidate", b"new", 2)
        own = [
            await keyvalue.get(stand.mallory, HEARTBEAT_BUCKET, f"mallory.{role}", 2)
            for role in ("primary", "candidate")
        ]
        assert [entry and entry.value for entry in own] == [b"beat", b"new"]

    refuse(tmp_path, act)


FOREIGN_HEARTBEATS = ("victim.primary", "victim.candidate")
STRANGE_HEARTBEATS = (
    *("*.primary", "*.candidate", "mallory.*", "*.*", ">", "mallory.>", "mallory", "victim.*"),
    *("mallory.guard", "mallory.primary.deeper", "victim.primary.deeper"),
)


def test_no_other_heartbeat_is_read_and_no_wildcard_or_deeper_key(tmp_path: Path) -> None:
    async def act(stand: Arena) -> None:
        await keyvalue.put(stand.victim, HEARTBEAT_BUCKET, "victim.primary", b"theirs", 2)
        for name in (*FOREIGN_HEARTBEATS, *STRANGE_HEARTBEATS):
            with pytest.raises(RequestTimedOut):
                await stand.mallory.request(direct_get(HEARTBEAT_BUCKET, name), b"", 0.03)
        for body in ({"last_by_subj": key(HEARTBEAT_BUCKET, "victim.primary")}, {"seq": 1}):
            own = direct_get(HEARTBEAT_BUCKET, "mallory.primary")
            answer = await stand.mallory.request(own, json.dumps(body).encode(), 2)
            assert (answer.status, answer.payload) == ("408", b"")

    refuse(tmp_path, act)


def test_a_template_that_allows_everything_would_let_one_read_anothers_heartbeat(
    tmp_path: Path,
) -> None:
    async def act(stand: Arena) -> None:
        await keyvalue.put(stand.victim, HEARTBEAT_BUCKET, "victim.primary", b"theirs", 2)
        for name in ("victim.primary", "*.primary"):
            answer = await stand.mallory.request(direct_get(HEARTBEAT_BUCKET, name), b"", 2)
            assert answer.payload == b"theirs"

    refuse(tmp_path, act, allowing_everything)
