"""The first byte of a file, asked for the way a download would ask."""

import socket

import pytest
from tests.processes.asset_server import (
    CONTENT,
    Behaviour,
    forget_proxies,
    redirect,
    say,
    serve,
    serve_without_ranges,
    serving,
    stall_before_headers,
)

from harmony_fleet.asset import Limits
from harmony_fleet.asset.answer import Begins, Meaning
from harmony_fleet.asset.errors import ConnectionLost, RedirectRefused
from harmony_fleet.asset.policy import Answered, Distrusted, Expected, Interrupted
from harmony_fleet.asset.probe import probe

EXPECTED = Expected(len(CONTENT), "0" * 64)
HASTY = Limits(attempt_silence_s=0.2, connect_s=2.0)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_proxies(monkeypatch)


def probed(*behaviours: Behaviour, expected: Expected = EXPECTED) -> Meaning:
    with serving(*behaviours) as server:
        return probe(server.url(), expected, HASTY)


def test_one_byte_is_asked_for_and_the_size_of_the_whole_is_learnt() -> None:
    with serving(serve()) as server:
        assert probe(server.url(), EXPECTED, HASTY) == Begins(0, len(CONTENT))
    assert server.ranges == ["bytes=0-0"]


def test_a_server_that_knows_no_ranges_is_left_after_the_first_byte() -> None:
    assert probed(serve_without_ranges()) == Begins(0, len(CONTENT))


def test_a_redirect_is_followed_with_the_same_question() -> None:
    with serving(serve()) as far, serving(redirect(far.url())) as near:
        assert probe(near.url(), EXPECTED, HASTY) == Begins(0, len(CONTENT))
    assert near.ranges == far.ranges == ["bytes=0-0"]


def test_a_redirect_that_a_download_refuses_is_refused() -> None:
    with pytest.raises(RedirectRefused):
        probed(redirect("file:///etc/passwd"))


def test_what_cannot_be_the_file_is_known_by_its_size() -> None:
    assert isinstance(probed(serve(CONTENT[1:])), Distrusted)


def test_a_refusal_is_given_with_its_status() -> None:
    assert probed(say(404)) == Answered(404)


def test_a_head_without_a_body_is_no_first_byte() -> None:
    head = ("Content-Range", f"bytes 0-0/{len(CONTENT)}")
    assert isinstance(probed(say(206, head, ("Content-Length", 0))), Interrupted)


def test_a_server_that_says_nothing_is_left_in_time() -> None:
    with pytest.raises(ConnectionLost, match="silent"):
        probed(stall_before_headers)


def test_where_nobody_listens_the_connection_is_lost() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(ConnectionLost):
            probe(f"http://127.0.0.1:{port}/asset", EXPECTED, HASTY)
