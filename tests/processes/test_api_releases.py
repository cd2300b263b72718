import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from tests.processes.api_world import ApiWorld, artifact, error_of, run, until

from harmony_fleet.operator.releases import INCOMING, sweep_incoming
from harmony_fleet.release.manifest import MAX_ARTIFACT_BYTES


def test_an_artifact_becomes_a_release_and_is_served_as_it_came(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        body = artifact(tmp_path / "file", "1.2.3").read_bytes()
        answer = await world.client.put("/api/v1/releases/1.2.3", content=body)
        assert answer.status_code == 201
        release = answer.json()
        assert (release["version"], release["size_bytes"]) == ("1.2.3", len(body))
        assert release["python"] == ">=3.11"
        assert release["url"].endswith(f"/artifacts/{release['artifact_name']}")
        assert (await world.client.get(release["url"])).content == body
        assert (await world.client.get("/api/v1/releases/1.2.3")).json() == release
        assert (await world.client.get("/api/v1/releases")).json() == {"releases": [release]}
        assert not leftovers(world)

    run(tmp_path, test)


def test_the_same_bytes_again_change_nothing(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        first = await world.add_release("1.2.3")
        again = await world.add_release("1.2.3")
        assert (first.status_code, again.status_code) == (201, 200)
        assert again.json() == first.json()
        assert len(list(world.artifacts.iterdir())) == 1

    run(tmp_path, test)


def test_the_same_bytes_again_mend_a_file_that_was_damaged_or_lost(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        release = (await world.add_release("1.2.3")).json()
        path = world.artifacts / release["artifact_name"]
        whole = path.read_bytes()
        path.write_bytes(b"\0" * len(whole))
        await world.add_release("1.2.3")
        assert path.read_bytes() == whole
        path.unlink()
        await world.add_release("1.2.3")
        assert path.read_bytes() == whole

    run(tmp_path, test)


def test_other_bytes_under_a_known_version_are_refused_and_change_nothing(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        first = (await world.add_release("1.2.3")).json()
        status, kind, message = error_of(await world.add_release("1.2.3", salt="other"))
        assert (status, kind) == (409, "release_exists")
        assert "1.2.3" in message
        assert (await world.client.get("/api/v1/releases/1.2.3")).json() == first
        assert [path.name for path in world.artifacts.iterdir()] == [first["artifact_name"]]

    run(tmp_path, test)


def test_of_two_who_add_one_version_at_once_one_wins_and_its_bytes_are_served(
    tmp_path: Path,
) -> None:
    async def test(world: ApiWorld) -> None:
        adds = [world.add_release("1.2.3", salt=str(n)) for n in range(4)]
        answers = await asyncio.gather(*adds)
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
        (release,) = (answer.json() for answer in answers if answer.status_code == 201)
        assert len((await world.client.get(release["url"])).content) == release["size_bytes"]
        assert [path.name for path in world.artifacts.iterdir()] == [release["artifact_name"]]

    run(tmp_path, test)


def test_the_path_must_name_the_version_that_the_artifact_is(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        body = artifact(tmp_path / "file", "1.2.3").read_bytes()
        answer = await world.client.put("/api/v1/releases/1.2.4", content=body)
        status, kind, message = error_of(answer)
        assert (status, kind) == (400, "version_mismatch")
        assert "1.2.3" in message
        assert "1.2.4" in message
        await nothing_added(world)

    run(tmp_path, test)


def test_what_is_no_agent_is_refused_without_a_word_about_our_folders(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        for body in (b"", b"#!/bin/sh\ntouch /tmp/ran\n", b"PK\x03\x04" * 99):
            status, kind, message = error_of(
                await world.client.put("/api/v1/releases/1.2.3", content=body)
            )
            assert (status, kind) == (400, "bad_request")
            assert "not an agent's artifact" in message
            assert str(tmp_path) not in message
        await nothing_added(world)

    run(tmp_path, test)


def test_a_file_that_is_too_large_is_refused_whatever_was_announced(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        async def endless() -> AsyncIterator[bytes]:
            for _ in range(MAX_ARTIFACT_BYTES // 65536 + 2):
                yield bytes(65536)

        for body in (bytes(MAX_ARTIFACT_BYTES + 1), endless()):
            answer = await world.client.put("/api/v1/releases/1.2.3", content=body)
            assert error_of(answer)[:2] == (413, "too_large")
        await nothing_added(world)

    run(tmp_path, test)


def test_a_client_that_goes_away_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        authorization = world.client.headers["authorization"]
        writer.write(
            b"PUT /api/v1/releases/1.2.3 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
            + f"Authorization: {authorization}\r\n\r\n".encode()
            + bytes(10)
        )
        await writer.drain()
        await until(lambda: bool(leftovers(world)))
        writer.transport.abort()
        await until(lambda: not leftovers(world))
        await nothing_added(world)
        assert reader.at_eof() or not await reader.read()

    run(tmp_path, test)


def test_an_unknown_release_is_not_found_and_no_version_is_a_path(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        get = world.client.get
        assert error_of(await get("/api/v1/releases/9.9.9"))[:2] == (404, "not_found")
        assert error_of(await get("/api/v1/releases/..%2f..%2fetc"))[0] == 404
        assert error_of(await get("/api/v1/releases/.."))[0] == 404
        assert error_of(await get("/api/v1/releases/1.0"))[0] == 400

    run(tmp_path, test)


def test_an_artifacts_folder_that_is_gone_is_an_error_that_says_so(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        world.artifacts.rmdir()
        status, kind, message = error_of(await world.add_release("1.2.3"))
        assert (status, kind) == (503, "artifacts_unwritable")
        assert str(world.artifacts) in message

    run(tmp_path, test)


def test_a_killed_uploads_file_is_swept(tmp_path: Path) -> None:
    (tmp_path / f"{INCOMING}abc").touch()
    (tmp_path / "fleet-agent-v1.0.0").touch()
    sweep_incoming(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["fleet-agent-v1.0.0"]


# Artifacts

CONTENT = bytes(range(256)) * 40


async def ranged(world: ApiWorld, value: str, **headers: str) -> httpx.Response:
    (world.artifacts / "file-1").write_bytes(CONTENT)
    bare = {"Range": value, "Authorization": "", **headers}
    return await world.client.get("/artifacts/file-1", headers=bare)


@pytest.mark.parametrize(
    ("value", "start", "stop"),
    [("bytes=0-99", 0, 100), ("bytes=10000-", 10000, 10240), ("bytes=-40", 10200, 10240)],
)
def test_a_range_is_served_without_a_token(
    tmp_path: Path, value: str, start: int, stop: int
) -> None:
    async def test(world: ApiWorld) -> None:
        answer = await ranged(world, value)
        assert answer.status_code == 206
        assert answer.content == CONTENT[start:stop]
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(CONTENT)}"

    run(tmp_path, test)


def test_a_range_beyond_the_end_is_answered_with_the_length(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        answer = await ranged(world, f"bytes={len(CONTENT)}-")
        assert answer.status_code == 416
        assert answer.headers["content-range"] == f"bytes */{len(CONTENT)}"

    run(tmp_path, test)


def test_the_entity_tag_tells_whether_a_download_can_go_on(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        first = await ranged(world, "bytes=0-9")
        tag = first.headers["etag"]
        assert tag.startswith('"')
        path = world.artifacts / "file-1"
        bare = {"Range": "bytes=10-", "If-Range": tag}
        same = await world.client.get("/artifacts/file-1", headers=bare)
        assert (same.status_code, same.content) == (206, CONTENT[10:])
        path.unlink()
        path.write_bytes(CONTENT[::-1] + b"longer")
        other = await world.client.get("/artifacts/file-1", headers=bare)
        assert (other.status_code, other.content) == (200, CONTENT[::-1] + b"longer")

    run(tmp_path, test)


def test_nothing_but_plain_files_of_the_folder_is_served(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        secret = tmp_path / "secret"
        secret.write_text("secret")
        (world.artifacts / "link").symlink_to(secret)
        (world.artifacts / "folder").mkdir()
        (world.artifacts / ".hidden").write_text("secret")
        for name in ("link", "folder", ".hidden", "missing", "..%2fsecret", "%2e%2e/secret", ""):
            answer = await world.client.get(f"/artifacts/{name}")
            assert error_of(answer)[0] == 404, name

    run(tmp_path, test)


def leftovers(world: ApiWorld) -> list[Path]:
    return list(world.artifacts.glob(f"{INCOMING}*"))


async def nothing_added(world: ApiWorld) -> None:
    assert list(await world.store.releases()) == []
    assert list(world.artifacts.iterdir()) == []
