"""Each attack that once worked: without its closure it still does, with it the server is unmoved.

Not here: flooding one's own status key, which the server's buffers bound and revocation ends; and
reading the last sequence of another's key, which is open and harmless, as sequences mean nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.processes.nats_arena import Arena, arena

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

OWN_REQUESTS = (
    direct_get(MARKER_BUCKET, "mallory"),
    direct_get(HEARTBEAT_BUCKET, "mallory.primary"),
    direct_get(HEARTBEAT_BUCKET, "mallory.candidate"),
    key(STATUS_BUCKET, "mallory"),
    key(HEARTBEAT_BUCKET, "mallory.primary"),
)
"""All that a device may ask and that is answered."""

LITERAL = "fleet.hello"


def attack(
    folder: Path, act: Callable[[Arena], Awaitable[None]], amend: Amend | None = None
) -> None:
    async def run() -> None:
        async with arena(folder, amend) as stand:
            await act(stand)

    asyncio.run(run())


async def aim_replies(stand: Arena, *targets: str) -> None:
    """Have every service that answers a device answer to each of these subjects."""
    for target in targets:
        for own in OWN_REQUESTS:
            await stand.mallory.publish(own, b"", reply=target)
    await stand.settle()


def without_mappings(_: str, claims: Claims) -> Claims:
    return {name: value for name, value in claims.items() if name != "mappings"}


def with_a_literal_import(name: str, claims: Claims) -> Claims:
    service = {"name": LITERAL, "subject": LITERAL, "type": "service"}
    if name == "ops":
        return claims | {"exports": [*claims["exports"], service]}
    if name == "devices":
        imported = service | {"account": claims["imports"][0]["account"]}
        return claims | {"imports": [*claims["imports"], imported]}
    return claims


def with_a_local_subject(name: str, claims: Claims) -> Claims:
    if name != "devices":
        return claims
    (status,) = (one for one in claims["imports"] if one["subject"] == key(STATUS_BUCKET, "*"))
    return claims | {"imports": [*claims["imports"], status | {"local_subject": "my.status.*"}]}


COMMANDS = ("device-cmd.victim", "fleet.order.victim")


def test_a_reply_subject_cannot_be_anothers_command_or_order(tmp_path: Path) -> None:
    async def act(stand: Arena) -> None:
        await aim_replies(stand, *COMMANDS)
        assert stand.subjects_heard("victim") == set()

    attack(tmp_path, act)


def test_without_the_mappings_a_reply_subject_is_anothers_command_or_order(
    tmp_path: Path,
) -> None:
    async def act(stand: Arena) -> None:
        await aim_replies(stand, *COMMANDS)
        assert stand.subjects_heard("victim") == set(COMMANDS)

    attack(tmp_path, act, without_mappings)


def test_a_reply_subject_reaches_no_handler_of_the_operator_and_no_other_key(
    tmp_path: Path,
) -> None:
    async def act(stand: Arena) -> None:
        before = await stand.contents()
        await aim_replies(
            stand,
            *("fleet.answer.victim.a.b", "fleet.answer.mallory.a.b", "fleet.renew.victim"),
            *("fleet.seen.status.victim", "fleet.seen.heartbeat.victim.primary"),
            *(key(MARKER_BUCKET, "victim"), key(STATUS_BUCKET, "victim")),
            *(key(STATUS_BUCKET, "*"), key(STATUS_BUCKET, "new"), key(STATUS_BUCKET, ">")),
            *(key(HEARTBEAT_BUCKET, "victim.primary"), key(HEARTBEAT_BUCKET, "*.candidate")),
            *(direct_get(MARKER_BUCKET, "victim"), direct_get(HEARTBEAT_BUCKET, "victim.primary")),
            *("$JS.API.STREAM.PURGE.KV_agent-upgrade", "fleet.dropped", LITERAL),
        )
        assert {subject.split(".")[3] for subject in stand.subjects_heard("operator")} == {
            "mallory"
        }
        assert stand.subjects_heard("operator") <= {
            "fleet.seen.status.mallory",
            "fleet.seen.heartbeat.mallory.primary",
        }
        assert stand.subjects_heard("victim") == set()
        assert (await stand.contents()).keys() == before.keys()

    attack(tmp_path, act)


def test_with_a_literal_import_a_reply_subject_reaches_the_operators_handler(
    tmp_path: Path,
) -> None:
    async def act(stand: Arena) -> None:
        await aim_replies(stand, LITERAL)
        assert LITERAL in stand.subjects_heard("operator")
        assert any(m.payload == b"order of mallory" for m in stand.heard["operator"])

    attack(tmp_path, act, with_a_literal_import)


def test_with_a_local_subject_a_reply_subject_makes_junk_keys(tmp_path: Path) -> None:
    async def act(stand: Arena) -> None:
        before = await stand.contents()
        for _ in range(3):
            await stand.mallory.publish(OWN_REQUESTS[0], b"", reply="my.status.victim")
        await stand.mallory.flush(2)
        junk: set[str] = set()
        async with asyncio.timeout(5):
            while len(junk) < 3:
                junk = (await stand.contents()).keys() - before.keys()
        assert all(subject.startswith(key(STATUS_BUCKET, "")) for subject in junk)

    attack(tmp_path, act, with_a_local_subject)


async def roll_up(stand: Arena) -> set[str]:
    """The keys of others that are gone afterwards."""
    await stand.settle()
    before = await stand.contents()
    for bucket, own in ((STATUS_BUCKET, "mallory"), (HEARTBEAT_BUCKET, "mallory.primary")):
        await stand.mallory.publish(key(bucket, own), b"rolled", {"Nats-Rollup": "all"})
        await stand.mallory.publish(key(bucket, own), b"rolled", {"Nats-Rollup": "sub"})
    await stand.mallory.flush(2)
    await keyvalue.put(stand.operator, STATUS_BUCKET, "fence", b"", 2)
    await keyvalue.put(stand.operator, HEARTBEAT_BUCKET, "fence.primary", b"", 2)
    after = await stand.contents()
    assert (b"rolled" in after.values()) == bool(before.keys() - after.keys())
    return set(before.keys() - after.keys())


def test_a_roll_up_of_ones_own_key_takes_no_other_key_away(tmp_path: Path) -> None:
    async def act(stand: Arena) -> None:
        assert await roll_up(stand) == set()

    attack(tmp_path, act)


def test_where_streams_allow_roll_ups_one_wipes_the_keys_of_all_devices(tmp_path: Path) -> None:
    async def act(stand: Arena) -> None:
        for bucket in (STATUS_BUCKET, HEARTBEAT_BUCKET):
            await stand.change_stream(bucket, allow_rollup_hdrs=True)
        assert await roll_up(stand) == {
            key(STATUS_BUCKET, "victim"),
            key(HEARTBEAT_BUCKET, "victim.candidate"),
        }

    attack(tmp_path, act)


async def swallowed(stand: Arena, for_s: float) -> bool:
    """Whether a message of the victim's is still swallowed for_s after mallory used its id."""
    taken = {"Nats-Msg-Id": "the victim's next"}
    await stand.mallory.request(key(STATUS_BUCKET, "mallory"), b"first", 2, taken)
    with_its_id = key(STATUS_BUCKET, "victim")
    deadline = asyncio.get_running_loop().time() + for_s
    while asyncio.get_running_loop().time() < deadline:
        await stand.victim.request(with_its_id, b"mine", 2, taken)
        if (await stand.contents())[with_its_id] == b"mine":
            return False
    return True


def test_a_message_id_taken_by_another_swallows_nothing_for_longer_than_its_short_window(
    tmp_path: Path,
) -> None:
    async def act(stand: Arena) -> None:
        assert not await swallowed(stand, for_s=2.0)

    attack(tmp_path, act)


def test_with_the_usual_window_a_message_id_taken_by_another_swallows_on(tmp_path: Path) -> None:
    async def act(stand: Arena) -> None:
        await stand.change_stream(STATUS_BUCKET, duplicate_window=120_000_000_000)
        assert await swallowed(stand, for_s=0.5)

    attack(tmp_path, act)


def test_a_message_id_taken_by_another_does_not_touch_puts_which_never_send_one(
    tmp_path: Path,
) -> None:
    async def act(stand: Arena) -> None:
        taken = {"Nats-Msg-Id": ""}
        await stand.mallory.publish(key(STATUS_BUCKET, "mallory"), b"first", taken)
        await keyvalue.put(stand.victim, STATUS_BUCKET, "victim", b"mine", 2)
        assert (await stand.contents())[key(STATUS_BUCKET, "victim")] == b"mine"

    attack(tmp_path, act)


def test_an_answer_planted_in_anothers_inbox_is_not_taken_for_the_one_it_waits_for(
    tmp_path: Path,
) -> None:
    """A device can have answers sent into any inbox, so their names must be beyond guessing."""

    async def act(stand: Arena) -> None:
        async def never(_: object) -> None:
            pass

        await stand.operator.subscribe("fleet.renew.victim", never)
        await stand.operator.flush(2)
        asking = asyncio.create_task(stand.victim.request("fleet.renew.victim", b"", 0.3))
        await aim_replies(stand, "_INBOX_victim.x", "_INBOX_victim.*.*", "_INBOX_victim.>")
        with pytest.raises(RequestTimedOut):
            await asking
        assert "_INBOX_victim.x" in stand.subjects_heard("victim")

    attack(tmp_path, act)
