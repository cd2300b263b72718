"""How long a download waits, and how it ends: silence, drips, refusals, cancelling."""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest
from tests.processes.asset_server import (
    CONTENT,
    AssetServer,
    Behaviour,
    Exchange,
    drip,
    drip_body,
    forget_proxies,
    say,
    serve,
    serving,
    stall,
    stall_before_headers,
)

from harmony_fleet.asset import DownloadableAsset, Limits
from harmony_fleet.asset.errors import (
    AssetMissing,
    AttemptsExhausted,
    DeadlinePassed,
    DownloadCancelled,
    DownloadStalled,
    RequestRefused,
)
from harmony_fleet.asset.landing import partial_path

SIZE = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HASTY = Limits(attempts=3, backoff_s=0.001, backoff_max_s=0.002)
IMPATIENT = replace(HASTY, silence_s=1.0, attempt_silence_s=0.5)
SOON_S = 5.0
"""Far below every limit that the test in question did not shorten, far above what it needs."""


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_proxies(monkeypatch)


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "agent-v1"


def asset(server: AssetServer) -> DownloadableAsset:
    return DownloadableAsset(server.url(), SIZE, SHA256)


def seconds_of(action: Callable[[], None]) -> float:
    began = monotonic()
    action()
    return monotonic() - began


def test_a_silent_connection_is_left_for_a_new_one_that_goes_on(destination: Path) -> None:
    with serving(stall(1000), serve()) as server:
        asset(server).fetch(destination, limits=IMPATIENT)
    assert server.ranges == [None, "bytes=1000-"]
    assert destination.read_bytes() == CONTENT


@pytest.mark.parametrize("silent", [stall(0), stall_before_headers])
def test_a_server_that_stays_silent_is_given_up(destination: Path, silent: Behaviour) -> None:
    limits = replace(IMPATIENT, attempts=100)
    with serving(silent) as server, pytest.raises(DownloadStalled):
        asset(server).fetch(destination, limits=limits)
    assert not destination.exists()


@pytest.mark.parametrize("dripping", [drip_body, drip(b"HTTP/1.1 200 OK\r\n"), drip(b"H")])
def test_a_server_that_drips_is_given_up_after_the_time_for_all(
    destination: Path, dripping: Behaviour
) -> None:
    limits = replace(HASTY, overall_s=0.4)

    def fetch() -> None:
        with pytest.raises(DeadlinePassed):
            asset(server).fetch(destination, limits=limits)

    with serving(dripping) as server:
        assert seconds_of(fetch) < SOON_S
    assert not destination.exists()


def test_what_dripped_is_kept_for_the_next_call(destination: Path) -> None:
    with serving(drip_body) as server, pytest.raises(DeadlinePassed):
        asset(server).fetch(destination, limits=replace(HASTY, overall_s=1.0))
    dripped_bytes = partial_path(destination, SHA256).stat().st_size
    with serving(serve()) as server:
        asset(server).fetch(destination)
    assert server.ranges == [f"bytes={dripped_bytes}-"]


def test_nobody_at_the_address_is_tried_again_and_given_up(destination: Path) -> None:
    with serving(serve()) as server:
        gone = asset(server)
    with pytest.raises(AttemptsExhausted) as caught:
        gone.fetch(destination, limits=HASTY)
    assert caught.value.retryable
    assert not list(destination.parent.iterdir())


@pytest.mark.parametrize("status", [404, 410])
def test_a_missing_file_is_given_up_at_once(destination: Path, status: int) -> None:
    with serving(say(status)) as server, pytest.raises(AssetMissing):
        asset(server).fetch(destination)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refusal_is_given_up_at_once(destination: Path, status: int) -> None:
    with serving(say(status)) as server, pytest.raises(RequestRefused):
        asset(server).fetch(destination)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_what_may_pass_is_tried_again(destination: Path, status: int) -> None:
    with serving(say(status), serve()) as server:
        asset(server).fetch(destination, limits=HASTY)
    assert destination.read_bytes() == CONTENT


@pytest.mark.parametrize("status", [429, 500])
def test_what_does_not_pass_is_given_up(destination: Path, status: int) -> None:
    with serving(say(status)) as server, pytest.raises(AttemptsExhausted, match=str(status)):
        asset(server).fetch(destination, limits=HASTY)
    assert len(server.requests) == HASTY.attempts


@pytest.mark.parametrize(
    "headers",
    [
        [("Retry-After", 1000)],
        [
            ("Retry-After", "Wed, 21 Oct 2065 07:28:00 GMT"),
            ("Date", "Wed, 21 Oct 2065 07:00:00 GMT"),
        ],
    ],
)
def test_the_server_may_ask_for_patience_up_to_a_cap(
    destination: Path, headers: list[tuple[str, object]]
) -> None:
    cap_s = 0.3
    limits = replace(HASTY, retry_after_max_s=cap_s)

    def busy(exchange: Exchange) -> None:
        exchange.send_response_only(429)
        for name, value in headers:
            exchange.send_header(name, str(value))
        exchange.end_headers()

    with serving(busy, serve()) as server:
        waited_s = seconds_of(lambda: asset(server).fetch(destination, limits=limits))
    assert cap_s <= waited_s < SOON_S


def test_no_patience_is_had_beyond_the_time_for_all(destination: Path) -> None:
    limits = Limits(overall_s=200.0)

    def fetch() -> None:
        with pytest.raises(DeadlinePassed):
            asset(server).fetch(destination, limits=limits)

    with serving(say(503, ("Retry-After", 250))) as server:
        assert seconds_of(fetch) < SOON_S


def test_cancelling_ends_a_wait_for_a_silent_server_and_leaves_what_arrived(
    destination: Path,
) -> None:
    cancelled = threading.Event()

    def fetch() -> None:
        with pytest.raises(DownloadCancelled):
            asset(server).fetch(
                destination, progress=lambda _held: cancelled.set(), cancelled=cancelled
            )

    with serving(stall(1000)) as server:
        assert seconds_of(fetch) < SOON_S
    assert partial_path(destination, SHA256).read_bytes() == CONTENT[:1000]
    with serving(serve()) as server:
        asset(server).fetch(destination)
    assert server.ranges == ["bytes=1000-"]


def test_cancelling_ends_a_wait_between_two_attempts(destination: Path) -> None:
    cancelled = threading.Event()

    def busy(exchange: Exchange) -> None:
        say(503, ("Retry-After", 250))(exchange)
        cancelled.set()

    def fetch() -> None:
        with pytest.raises(DownloadCancelled):
            asset(server).fetch(destination, cancelled=cancelled)

    with serving(busy) as server:
        assert seconds_of(fetch) < SOON_S


def test_cancelling_ends_a_wait_for_the_headers(destination: Path) -> None:
    cancelled = threading.Event()

    def silent(exchange: Exchange) -> None:
        cancelled.set()
        exchange.server.closing.wait()

    def fetch() -> None:
        with pytest.raises(DownloadCancelled):
            asset(server).fetch(destination, cancelled=cancelled)

    with serving(silent) as server:
        assert seconds_of(fetch) < SOON_S


def test_what_was_cancelled_before_it_began_asks_nobody(destination: Path) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with serving(serve()) as server, pytest.raises(DownloadCancelled):
        asset(server).fetch(destination, cancelled=cancelled)
    assert server.requests == []
