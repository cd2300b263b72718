"""What is made of answers that no healthy API server gives: of a proxy before it, or throttled."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from lightkube import KubeConfig
from lightkube.config.models import Cluster as Server
from lightkube.config.models import User

from harmony_fleet.operator.kubernetes.cluster import ANSWER_LIMIT_S, IN_FLIGHT, Cluster
from harmony_fleet.operator.kubernetes.objects import Device
from harmony_fleet.operator.ports import Conflict, StoreError
from harmony_fleet.operator.system import SystemClock

JSON = {"Content-Type": "application/json"}
DEVICE = json.dumps({"metadata": {"name": "pi-1", "namespace": "fleet"}}).encode()


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: bytes = DEVICE
    headers: dict[str, str] = field(default_factory=lambda: JSON)
    after_s: float = 0.0


class CrowdedServer(ThreadingHTTPServer):
    request_queue_size = 500


@contextmanager
def answering(*answers: Answer) -> Iterator[tuple[str, list[str]]]:
    """In turn; the last one stays."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers[min(len(asked), len(answers) - 1)]
            asked.append(self.path)
            time.sleep(answer.after_s)
            self.send_response(answer.status)
            for header in answer.headers.items():
                self.send_header(*header)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            pass

    with CrowdedServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Cluster]:
    found = KubeConfig.from_one(cluster=Server(server=url), user=User(), namespace="fleet").get()
    assert found is not None
    cluster = Cluster(found, SystemClock())
    try:
        yield cluster
    finally:
        await cluster.close()


def looked_up(url: str) -> Device | None:
    async def run() -> Device | None:
        async with connected(url) as cluster:
            return await cluster.get(Device, "fleet", "pi-1")

    return asyncio.run(run())


@pytest.mark.parametrize(
    "answer",
    [
        Answer(502, b"", {}),
        Answer(301, b"", {"Location": "http://127.0.0.1:1/"}),
        Answer(500, b"{"),
        Answer(200, b"<html>", {"Content-Type": "text/html"}),
        Answer(200, b'{"kind":"\xff"}'),
    ],
    ids=["no type", "elsewhere", "broken JSON", "a page", "no UTF-8"],
)
def test_what_nobody_can_read_is_an_error_of_the_store(answer: Answer) -> None:
    with answering(answer) as (url, _), pytest.raises(StoreError):
        looked_up(url)


@pytest.mark.parametrize("status", [404, 409])
def test_only_the_api_server_itself_may_say_that_an_object_is_not_there_or_another(
    status: int,
) -> None:
    text = {"Content-Type": "text/plain"}
    with answering(Answer(status, b"page not found\n\nat all\n", text)) as (url, _):
        with pytest.raises(StoreError, match=rf"\({status}\): page not found at all$") as caught:
            looked_up(url)
        assert not isinstance(caught.value, Conflict)


def test_who_is_put_off_in_plain_text_asks_again_as_late_as_the_server_says() -> None:
    """As the API server does where too many requests are under way."""
    put_off = Answer(429, b"Too many requests", {"Content-Type": "text/plain", "Retry-After": "1"})
    with answering(put_off, Answer()) as (url, asked):
        began_s = time.monotonic()
        found = looked_up(url)
        assert time.monotonic() - began_s >= 1
    assert found is not None
    assert found.metadata.name == "pi-1"
    assert len(asked) == 2


def test_who_may_ask_again_at_once_waits_a_little() -> None:
    put_off = Answer(429, b"{}", {**JSON, "Retry-After": "0"})
    with answering(put_off, put_off, put_off, Answer()) as (url, asked):
        began_s = time.monotonic()
        assert looked_up(url) is not None
        assert time.monotonic() - began_s >= 0.5
    assert len(asked) == 4


ANSWERED_S = 2.0


def test_in_a_crowd_each_waits_for_its_turn_however_far_that_is() -> None:
    """More requests than connections, and more than are answered within one answer's limit."""

    async def run(url: str) -> None:
        async with connected(url) as cluster:
            crowd = round(1.2 * ANSWER_LIMIT_S / ANSWERED_S) * IN_FLIGHT
            asked = (cluster.get(Device, "fleet", "pi-1") for _ in range(crowd))
            assert None not in await asyncio.gather(*asked)

    with answering(Answer(after_s=ANSWERED_S)) as (url, _):
        asyncio.run(run(url))
