"""The connection's keeper ends when it is told to, whatever is lost underneath."""

import asyncio

import pytest

from harmony_fleet.messaging import supervision
from harmony_fleet.messaging.credentials import Credentials
from harmony_fleet.messaging.endpoint import Endpoint, Timing


async def _nobody(_client: object) -> None:
    return


def test_a_cancellation_that_a_failing_client_swallows_is_heeded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As `wait_for` does before Python 3.12, where the connection fails at that very instant."""
    trying = asyncio.Event()

    async def connect(*_words: object) -> None:
        swallows = not trying.is_set()
        trying.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as cancelled:
            if swallows:
                raise OSError("refused") from cancelled
            raise

    async def story() -> None:
        endpoint = Endpoint(("nats://127.0.0.1:1",), Credentials("", b""), "one", "_INBOX_one")
        kept = asyncio.create_task(
            supervision.keep_connected(endpoint, Timing(), _nobody, lambda: None)
        )
        await trying.wait()
        kept.cancel()
        done, _ = await asyncio.wait([kept], timeout=5)
        assert done == {kept}
        assert kept.cancelled()

    monkeypatch.setattr(supervision, "_connect", connect)
    asyncio.run(story())


@pytest.mark.parametrize(("server", "offers_tls"), [("nats://a:1", False), ("tls://a:1", True)])
def test_a_server_that_speaks_as_it_is_named_is_talked_to(server: str, offers_tls: bool) -> None:
    supervision.refuse_mismatch(server, offers_tls=offers_tls)


@pytest.mark.parametrize(
    ("server", "offers_tls", "words"),
    [
        ("nats://a:1", True, "takes TLS only: name it tls://"),
        ("tls://a:1", False, "speaks no TLS, or somebody"),
    ],
)
def test_a_server_that_speaks_otherwise_is_not(server: str, offers_tls: bool, words: str) -> None:
    with pytest.raises(supervision.TlsMismatch, match=f"{server} {words}"):
        supervision.refuse_mismatch(server, offers_tls=offers_tls)
