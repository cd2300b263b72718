"""What keeps the mirror: whatever a server answers, nothing is missed, and nothing runs hot."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import httpx2
import pytest

from harmony_fleet.operator.kubernetes.mirror import Mirror, version_of
from harmony_fleet.operator.kubernetes.objects import Device
from harmony_fleet.operator.kubernetes.reflector import Collection, Reflector
from harmony_fleet.testing import fake_clock

PATH = "/apis/harmony-fleet.dev/v1alpha1/namespaces/fleet/devices"
MINUTE_S = 60.0
MOST = 40
"""Requests in a minute of which each is in vain."""

Query = dict[str, str]
Script = Callable[[Query], httpx2.Response]


def event(kind: str, name: str, version: int) -> str:
    metadata = {"name": name, "namespace": "fleet", "resourceVersion": str(version)}
    return json.dumps({"type": kind, "object": {"metadata": metadata}})


def listed_to_its_end(version: int) -> str:
    metadata = {
        "resourceVersion": str(version),
        "annotations": {"k8s.io/initial-events-end": "true"},
    }
    return json.dumps({"type": "BOOKMARK", "object": {"metadata": metadata}})


def said(*lines: str) -> httpx2.Response:
    """And that is all."""
    return httpx2.Response(200, text="\n".join(lines))


def goes_on(*lines: str) -> httpx2.Response:
    """It stays open."""

    async def told() -> AsyncIterator[bytes]:
        for line in lines:
            yield f"{line}\n".encode()
        await asyncio.Event().wait()

    return httpx2.Response(200, content=told())


def page(version: int, *names: str, next_one: str = "") -> httpx2.Response:
    items = [json.loads(event("ADDED", name, 1))["object"] for name in names]
    metadata = {"resourceVersion": str(version), "continue": next_one}
    return httpx2.Response(200, json={"metadata": metadata, "items": items})


TOO_OLD = '{"type": "ERROR", "object": {"code": 410, "message": "too old"}}'
GONE = httpx2.Response(410, json={"code": 410, "message": "too old"})


@dataclass
class Server:
    """Answers as the script says."""

    script: Script
    asked: list[Query] = field(default_factory=list)
    known: Mirror[Device] = field(default_factory=Mirror)

    async def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(dict(request.url.params))
        return self.script(self.asked[-1])

    @property
    def names(self) -> list[str]:
        return sorted(one.metadata.name for one in self.known)


def watched(script: Script, seconds: float = MINUTE_S) -> Server:
    server = Server(script)

    async def run() -> None:
        transport = httpx2.MockTransport(server.answer)
        async with httpx2.AsyncClient(transport=transport, base_url="https://it") as http:
            reflector = Reflector(http, Collection(PATH, Device), server.known)
            running = asyncio.create_task(reflector.run())
            await asyncio.sleep(seconds)
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    fake_clock.run(run())
    return server


def lists(query: Query) -> bool:
    return "sendInitialEvents" in query


def test_what_was_deleted_while_a_watch_was_too_old_is_found_by_the_next_list() -> None:
    too_old = json.dumps({"type": "ERROR", "object": {"code": 410, "message": "too old"}})
    answers = [
        said(event("ADDED", "a", 3), event("ADDED", "b", 4), listed_to_its_end(5), too_old),
        goes_on(event("ADDED", "b", 4), listed_to_its_end(9)),
    ]
    server = watched(lambda _query: answers.pop(0))
    assert server.names == ["b"]
    assert [lists(one) for one in server.asked] == [True, True]


def test_a_watch_goes_on_from_what_it_saw_last() -> None:
    answers = [
        said(event("ADDED", "a", 3), listed_to_its_end(5)),
        said(event("ADDED", "b", 6), event("DELETED", "a", 7)),
        goes_on(),
    ]
    server = watched(lambda _query: answers.pop(0))
    assert [one.get("resourceVersion") for one in server.asked] == [None, "5", "7"]
    assert server.names == ["b"]


def test_an_older_server_is_asked_for_pages() -> None:
    def script(query: Query) -> httpx2.Response:
        if lists(query):
            return httpx2.Response(422, json={"code": 422, "message": "sendInitialEvents"})
        if "limit" not in query:
            return goes_on()
        return page(5, "b") if "continue" in query else page(5, "a", next_one="more")

    assert watched(script).names == ["a", "b"]


def test_watches_that_end_as_they_begin_are_not_asked_for_without_a_pause() -> None:
    def script(query: Query) -> httpx2.Response:
        return said(listed_to_its_end(5)) if lists(query) else said()

    assert 3 < len(watched(script).asked) < MOST


def test_lists_that_break_off_are_not_asked_for_without_a_pause() -> None:
    server = watched(lambda _query: said(event("ADDED", "a", 1)))
    assert 3 < len(server.asked) < MOST
    assert server.names == ["a"]


def test_versions_that_are_too_old_each_time_are_not_asked_for_without_a_pause() -> None:
    def pages(query: Query) -> httpx2.Response:
        return httpx2.Response(400, json={"code": 400}) if lists(query) else GONE

    assert 3 < len(watched(pages).asked) < MOST
    assert 3 < len(watched(lambda _query: GONE).asked) < MOST


def test_a_server_that_says_when_to_come_again_is_obeyed_but_never_at_once() -> None:
    def busy(after_s: int) -> Script:
        headers = {"Retry-After": str(after_s)}
        return lambda _query: httpx2.Response(429, headers=headers, json={"code": 429})

    assert len(watched(busy(29)).asked) == 3
    assert len(watched(busy(0)).asked) <= 5 * MINUTE_S


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(500),
        httpx2.Response(403, json={"code": 403}),
        httpx2.Response(200, text="not JSON"),
        said(TOO_OLD),
    ],
    ids=["it fails", "it is forbidden", "nothing can be read", "it is too old, as a watch says it"],
)
def test_what_cannot_be_had_is_not_asked_for_without_a_pause(answer: httpx2.Response) -> None:
    def script(_query: Query) -> httpx2.Response:
        return httpx2.Response(answer.status_code, content=answer.content)

    assert 3 < len(watched(script).asked) < MOST


def test_a_cluster_that_was_set_back_behind_what_a_watch_has_told_is_read_anew() -> None:
    """Restored from a backup: its versions are handed out again."""
    told = {"resourceVersion": "100"}

    def script(query: Query) -> httpx2.Response:
        if not lists(query):
            told.update(query)
            return said(event("MODIFIED", "a", 400), TOO_OLD)
        if "watch" in told:
            return goes_on(event("ADDED", "a", 200), listed_to_its_end(300))
        return said(event("ADDED", "a", 90), listed_to_its_end(100))

    server = watched(script)
    assert told["resourceVersion"] == "100"
    assert [version_of(one) for one in server.known] == [200]
