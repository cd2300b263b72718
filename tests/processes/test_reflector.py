"""A reflector before an API server that answers, and lets nobody watch: it does not run hot."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import pytest

from harmony_fleet.operator.kubernetes.mirror import Mirror, version_of
from harmony_fleet.operator.kubernetes.objects import Device
from harmony_fleet.operator.kubernetes.reflector import Collection, Reflector

WHILE_S = 3.0
LIMIT_S = 10.0
MOST = 15
"""Of its requests in that time."""
LIST = b'{"metadata":{"resourceVersion":"7"},"items":[]}'
GONE = b'{"type":"ERROR","object":{"code":410,"message":"too old"}}\n'


@dataclass(frozen=True)
class Answer:
    status: int = 200
    watch: bytes = b""
    """Of a request that watches; others get an empty list."""
    retry_after: str = ""
    listed: bytes = b""
    """Of a request that asks for a streamed list, where it is another one."""


@contextmanager
def answering(first: Answer, *later: Answer) -> Iterator[tuple[str, list[str]]]:
    """The next one after each request that watches on; the last one stays."""
    asked: list[str] = []
    answers = [first, *later]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            watches_on = "&resourceVersion=" in self.path
            answer = answers.pop(0) if watches_on and len(answers) > 1 else answers[0]
            self.send_response(answer.status)
            if answer.retry_after:
                self.send_header("Retry-After", answer.retry_after)
            self.end_headers()
            streamed = answer.listed if "sendInitialEvents" in self.path else b""
            self.wfile.write(streamed or (answer.watch if "watch=true" in self.path else LIST))

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        Answer(),
        Answer(watch=GONE),
        Answer(status=410),
        Answer(status=429, retry_after="0"),
        Answer(status=500),
        Answer(status=403),
        Answer(watch=b"not JSON\n"),
    ],
    ids=[
        "every watch ends at once",
        "every version is too old",
        "it has gone",
        "it may be asked again at once",
        "it fails",
        "it is forbidden",
        "nothing can be read",
    ],
)
def test_what_cannot_be_watched_is_asked_for_now_and_then(answer: Answer) -> None:
    async def run(url: str) -> None:
        async with httpx2.AsyncClient(base_url=url, trust_env=False) as http:
            collection = Collection("/apis/harmony-fleet.dev/v1alpha1/devices", Device)
            mirror: Mirror[Device] = Mirror()
            with suppress(TimeoutError):
                async with asyncio.timeout(WHILE_S):
                    await Reflector(http, collection, mirror).run()

    with answering(answer) as (url, asked):
        asyncio.run(run(url))
    assert 2 <= len(asked) <= MOST


def test_a_cluster_that_was_set_back_behind_what_a_watch_has_told_is_read_anew() -> None:
    """Restored from a backup: its versions are handed out again."""
    ends = event("BOOKMARK", 100, annotations={"k8s.io/initial-events-end": "true"})
    before = Answer(listed=event("ADDED", 90) + ends, watch=event("MODIFIED", 400) + GONE)
    ends = event("BOOKMARK", 300, annotations={"k8s.io/initial-events-end": "true"})
    after = Answer(listed=event("ADDED", 200) + ends)

    async def run(url: str) -> None:
        mirror: Mirror[Device] = Mirror()

        def version() -> int:
            found = mirror.get(("fleet", "pi-1"))
            return version_of(found) if found else 0

        async with httpx2.AsyncClient(base_url=url, trust_env=False) as http:
            collection = Collection("/apis/harmony-fleet.dev/v1alpha1/devices", Device)
            running = asyncio.create_task(Reflector(http, collection, mirror).run())
            async with asyncio.timeout(LIMIT_S):
                for wanted in (400, 200):
                    while version() != wanted:
                        await asyncio.sleep(0.01)
            running.cancel()
            await asyncio.wait({running})

    with answering(before, after) as (url, _):
        asyncio.run(run(url))


def event(kind: str, version: int, annotations: dict[str, str] | None = None) -> bytes:
    metadata = {"name": "pi-1", "namespace": "fleet", "resourceVersion": str(version)}
    told = {"metadata": {**metadata, "annotations": annotations or {}}}
    return json.dumps({"type": kind, "object": told}).encode() + b"\n"
