"""What arrives, against a server that lies about it. Time and detours have files of their own."""

import hashlib
import stat
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from tests.processes.asset_server import (
    CONTENT,
    AssetServer,
    Behaviour,
    Exchange,
    break_off,
    forget_proxies,
    never_end,
    say,
    say_chunked,
    serve,
    serve_without_ranges,
    serving,
)

from harmony_fleet.asset import DownloadableAsset, Limits
from harmony_fleet.asset.errors import (
    AttemptsExhausted,
    DigestMismatch,
    DiskFull,
    DownloadBusy,
    NotWritable,
    SizeMismatch,
)
from harmony_fleet.asset.landing import partial_path
from harmony_fleet.contracts.errors import InvalidValue

SOURCES = Path(__file__).parents[2] / "src"
BARE = {"PYTHONPATH": str(SOURCES)}
"""No site packages, so that nothing of theirs can be loaded unseen."""

SIZE = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = CONTENT[:-1] + b"!"
HASTY = Limits(attempts=3, backoff_s=0.001, backoff_max_s=0.002)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_proxies(monkeypatch)


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "agent-v1"


def asset(server: AssetServer) -> DownloadableAsset:
    return DownloadableAsset(server.url(), SIZE, SHA256)


def left_by_an_earlier_call(destination: Path, content: bytes) -> None:
    partial_path(destination, SHA256).write_bytes(content)


def has_nothing(destination: Path) -> bool:
    return not list(destination.parent.iterdir())


def test_one_url_in_one_verified_file_out(destination: Path) -> None:
    with serving(serve()) as server:
        asset(server).fetch(destination, mode=0o755)
    assert destination.read_bytes() == CONTENT
    assert stat.S_IMODE(destination.stat().st_mode) == 0o755
    assert list(destination.parent.iterdir()) == [destination]
    assert server.requests[0].headers["Accept-Encoding"] == "identity"


def test_a_file_that_is_there_is_used_without_a_request(destination: Path) -> None:
    destination.write_bytes(CONTENT)
    with serving(serve()) as server:
        asset(server).fetch(destination, mode=0o755)
    assert server.requests == []
    assert stat.S_IMODE(destination.stat().st_mode) == 0o755


def test_a_damaged_file_that_is_there_is_replaced(destination: Path) -> None:
    destination.write_bytes(OTHER)
    with serving(serve()) as server:
        asset(server).fetch(destination)
    assert destination.read_bytes() == CONTENT


def test_a_link_at_the_destination_is_replaced_and_not_followed(destination: Path) -> None:
    precious = destination.with_name("precious")
    precious.write_bytes(b"of someone else")
    destination.symlink_to(precious)
    with serving(serve()) as server:
        asset(server).fetch(destination)
    assert not destination.is_symlink()
    assert precious.read_bytes() == b"of someone else"


def test_a_broken_connection_is_resumed_where_it_broke(destination: Path) -> None:
    with serving(break_off(100_000), break_off(50_000), serve()) as server:
        asset(server).fetch(destination, limits=HASTY)
    assert destination.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-", "bytes=150000-"]


def test_a_later_call_goes_on_from_what_an_earlier_one_left(destination: Path) -> None:
    with serving(break_off(100_000), say(500)) as server, pytest.raises(AttemptsExhausted):
        asset(server).fetch(destination, limits=HASTY)
    assert not destination.exists()
    with serving(serve()) as server:
        asset(server).fetch(destination)
    assert server.ranges == ["bytes=100000-"]
    assert destination.read_bytes() == CONTENT


def test_a_whole_partial_lands_without_a_request(destination: Path) -> None:
    left_by_an_earlier_call(destination, CONTENT)
    with serving(serve()) as server:
        asset(server).fetch(destination)
    assert server.requests == []
    assert destination.read_bytes() == CONTENT


@pytest.mark.parametrize("left", [OTHER, OTHER[::-1][:1000], CONTENT + b"!"])
def test_a_bad_partial_is_thrown_away_and_all_is_downloaded_afresh(
    destination: Path, left: bytes
) -> None:
    left_by_an_earlier_call(destination, left)
    with serving(serve()) as server:
        asset(server).fetch(destination, limits=HASTY)
    assert destination.read_bytes() == CONTENT
    assert server.ranges[-1] is None


def test_a_server_without_ranges_starts_over_in_the_same_answer(destination: Path) -> None:
    left_by_an_earlier_call(destination, CONTENT[:1000])
    with serving(serve_without_ranges()) as server:
        asset(server).fetch(destination, limits=HASTY)
    assert destination.read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-"]


def test_a_server_without_ranges_that_breaks_at_one_place_is_given_up(destination: Path) -> None:
    with serving(serve_without_ranges(until=1000)) as server, pytest.raises(AttemptsExhausted):
        asset(server).fetch(destination, limits=HASTY)
    assert len(server.requests) == 1 + HASTY.attempts


@pytest.mark.parametrize(
    "unhelpful",
    [
        say(416, ("Content-Length", 0)),
        say(206, ("Content-Range", f"bytes 0-{SIZE - 1}/{SIZE}"), body=CONTENT),
        say(206, ("Content-Range", f"bytes 999-{SIZE - 1}/{SIZE}"), body=CONTENT[999:]),
        say(206, ("Content-Range", "bytes 99-1/5"), body=CONTENT),
        say(206, body=CONTENT),
    ],
)
def test_a_server_that_does_not_go_on_is_asked_for_all(
    destination: Path, unhelpful: Behaviour
) -> None:
    left_by_an_earlier_call(destination, CONTENT[:1000])
    with serving(unhelpful, serve()) as server:
        asset(server).fetch(destination, limits=HASTY)
    assert destination.read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-", None]


def test_a_file_that_was_corrupted_once_is_downloaded_afresh(destination: Path) -> None:
    with serving(serve(OTHER), serve()) as server:
        asset(server).fetch(destination, limits=HASTY)
    assert destination.read_bytes() == CONTENT
    assert server.ranges == [None, None]


def test_a_wrong_file_is_refused_after_one_fresh_download(destination: Path) -> None:
    with serving(serve(OTHER)) as server, pytest.raises(DigestMismatch):
        asset(server).fetch(destination, limits=HASTY, mode=0o755)
    assert has_nothing(destination)
    assert server.ranges == [None, None]


def test_a_file_that_changed_between_two_parts_is_refused(destination: Path) -> None:
    changed = b"?" * SIZE
    with serving(break_off(1000), serve(changed)) as server, pytest.raises(DigestMismatch):
        asset(server).fetch(destination, limits=HASTY)
    assert has_nothing(destination)
    assert server.ranges == [None, "bytes=1000-", None]


def test_a_file_that_changed_its_size_between_two_parts_is_refused(destination: Path) -> None:
    changed = serve(CONTENT + b"!")
    with serving(break_off(1000), changed) as server, pytest.raises(SizeMismatch):
        asset(server).fetch(destination, limits=HASTY)
    assert not destination.exists()


@pytest.mark.parametrize("length", [SIZE - 1, SIZE + 1])
def test_another_length_is_refused_before_the_body_is_read(destination: Path, length: int) -> None:
    with (
        serving(say(200, ("Content-Length", length), body=CONTENT)) as server,
        pytest.raises(SizeMismatch),
    ):
        asset(server).fetch(destination, limits=HASTY)
    assert has_nothing(destination)
    assert len(server.requests) == 2


def test_a_login_page_in_between_does_not_cost_what_has_arrived(destination: Path) -> None:
    page = say(200, ("Content-Length", 5), body=b"login")
    with serving(break_off(1000), page, serve()) as server:
        asset(server).fetch(destination, limits=HASTY)
    assert server.ranges == [None, "bytes=1000-", "bytes=1000-"]


@pytest.mark.parametrize("endless", [never_end, say_chunked(CONTENT, b"!")])
def test_one_byte_too_many_is_refused_and_never_written(
    destination: Path, endless: Behaviour
) -> None:
    seen: list[int] = []
    with serving(endless) as server, pytest.raises(SizeMismatch):
        asset(server).fetch(destination, limits=HASTY, progress=seen.append)
    assert has_nothing(destination)
    assert max(seen) <= SIZE


def test_a_chunked_body_needs_no_length(destination: Path) -> None:
    with serving(say_chunked(CONTENT[:9], CONTENT[9:])) as server:
        asset(server).fetch(destination)
    assert destination.read_bytes() == CONTENT


@pytest.mark.parametrize("finish", [True, False])
def test_a_chunked_body_that_ends_early_is_resumed(destination: Path, finish: bool) -> None:
    with serving(say_chunked(CONTENT[:999], finish=finish), serve()) as server:
        asset(server).fetch(destination, limits=HASTY)
    assert server.ranges == [None, "bytes=999-"]


def test_a_server_that_keeps_a_whole_file_open_has_still_sent_it(destination: Path) -> None:
    """No length and no end: the digest knows that nothing is missing."""

    def keep_open(exchange: Exchange) -> None:
        say_chunked(CONTENT, finish=False)(exchange)
        exchange.server.closing.wait()

    with serving(keep_open) as server:
        asset(server).fetch(destination, limits=replace(HASTY, attempt_silence_s=1.0))
    assert len(server.requests) == 1


def test_an_encoded_body_is_not_taken_for_the_file(destination: Path) -> None:
    encoded = say(200, ("Content-Encoding", "gzip"), body=CONTENT)
    with serving(encoded) as server, pytest.raises(AttemptsExhausted, match="gzip"):
        asset(server).fetch(destination, limits=HASTY)
    assert has_nothing(destination)


@pytest.mark.parametrize("junk", [b"\0\xff not HTTP at all\r\n\r\n", b"HTTP/1.1 two hundred\r\n"])
def test_what_is_not_http_is_tried_again_and_given_up(destination: Path, junk: bytes) -> None:
    with (
        serving(lambda exchange: exchange.send(junk)) as server,
        pytest.raises(AttemptsExhausted) as caught,
    ):
        asset(server).fetch(destination, limits=HASTY)
    assert caught.value.__cause__ is not None
    assert len(server.requests) == HASTY.attempts


def test_where_only_a_bound_is_known_the_digest_decides(destination: Path) -> None:
    with serving(break_off(1000), serve()) as server:
        DownloadableAsset(server.url(), SIZE * 2, SHA256, size_is_limit=True).fetch(
            destination, limits=HASTY
        )
    assert destination.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000-"]


def test_where_only_a_bound_is_known_a_whole_partial_needs_no_request(destination: Path) -> None:
    left_by_an_earlier_call(destination, CONTENT)
    with serving(serve()) as server:
        DownloadableAsset(server.url(), SIZE * 2, SHA256, size_is_limit=True).fetch(destination)
    assert server.requests == []


@pytest.mark.parametrize("greedy", [never_end, serve()])
def test_where_only_a_bound_is_known_it_is_kept(destination: Path, greedy: Behaviour) -> None:
    with serving(greedy) as server, pytest.raises(SizeMismatch):
        DownloadableAsset(server.url(), SIZE - 1, SHA256, size_is_limit=True).fetch(
            destination, limits=HASTY
        )
    assert has_nothing(destination)


def test_a_file_that_does_not_fit_the_disk_is_not_asked_for(destination: Path) -> None:
    with serving(serve()) as server, pytest.raises(DiskFull):
        DownloadableAsset(server.url(), 2**53, SHA256).fetch(destination)
    assert server.requests == []
    assert has_nothing(destination)


def test_a_folder_that_is_missing_is_told_before_a_request(destination: Path) -> None:
    with serving(serve()) as server, pytest.raises(NotWritable):
        asset(server).fetch(destination / "below")
    assert server.requests == []


def test_progress_is_told_once_for_each_buffer_and_only_grows(destination: Path) -> None:
    seen: list[int] = []
    with serving(break_off(1000), serve()) as server:
        asset(server).fetch(destination, limits=HASTY, progress=seen.append)
    assert seen == sorted(set(seen))
    assert seen[-1] == SIZE


def test_the_partial_is_never_executable_while_it_fills(destination: Path) -> None:
    modes: set[int] = set()

    def look(_held_bytes: int) -> None:
        status = partial_path(destination, SHA256).stat()
        modes.add(stat.S_IMODE(status.st_mode))

    with serving(serve()) as server:
        asset(server).fetch(destination, progress=look, mode=0o755)
    assert modes == {0o600}


def test_memory_does_not_grow_with_the_file(destination: Path) -> None:
    content = bytes(32 * 1024 * 1024)
    with serving(serve(content)) as server:
        large = DownloadableAsset(server.url(), len(content), hashlib.sha256(content).hexdigest())
        tracemalloc.start()
        try:
            large.fetch(destination)
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak_bytes < 8 * 1024 * 1024


def test_two_fetches_never_write_into_one_partial(destination: Path) -> None:
    refused: list[DownloadBusy] = []

    def second(_held_bytes: int) -> None:
        with pytest.raises(DownloadBusy) as caught:
            asset(server).fetch(destination)
        refused.append(caught.value)

    with serving(serve()) as server:
        asset(server).fetch(destination, progress=second)
    assert refused[0].retryable
    assert destination.read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_a_device_loads_nothing_but_the_standard_library_for_it_and_no_event_loop() -> None:
    code = "import sys, harmony_fleet.asset; print(*{name.split('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-Sc", code], env=BARE, capture_output=True, text=True)
    loaded = set(run.stdout.split())
    assert loaded <= sys.stdlib_module_names | {"harmony_fleet", "__main__"}
    assert "harmony_fleet" in loaded
    assert "asyncio" not in loaded


@pytest.mark.parametrize(
    ("url", "size_bytes", "sha256"),
    [
        ("ftp://a.example/x", 1, SHA256),
        ("http://user:secret@a.example/x", 1, SHA256),
        ("http://a.example/x", 0, SHA256),
        ("http://a.example/x", 1, SHA256.upper()),
        ("http://a.example/x", 1, SHA256[:-1]),
    ],
)
def test_an_asset_that_cannot_be_is_refused_on_construction(
    url: str, size_bytes: int, sha256: str
) -> None:
    with pytest.raises(InvalidValue):
        DownloadableAsset(url, size_bytes, sha256)
