"""Releases whose file is on somebody else's server: the operator keeps where, and nothing else."""

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.processes.api_world import ApiWorld, artifact, device, error_of, run

from harmony_fleet.operator.sqlite_store import SqliteStore
from harmony_fleet.operator.system import SystemClock
from harmony_fleet.release.manifest import MAX_ARTIFACT_BYTES

URL = "https://files.example:8443/agents/fleet-agent?v=1"
DIGEST = "c" * 64


def reference(**changed: Any) -> dict[str, Any]:
    return {"url": URL, "size_bytes": 1000, "sha256": DIGEST} | changed


async def refer(world: ApiWorld, version: str = "1.2.3", **changed: Any) -> httpx.Response:
    path = f"/api/v1/releases/{version}/reference"
    return await world.client.put(path, json=reference(**changed))


def test_a_reference_is_a_release_that_says_where_its_file_is(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        answer = await refer(world)
        assert answer.status_code == 201
        release = answer.json()
        assert {**release, "added_at": ""} == {
            "version": "1.2.3",
            "artifact_name": "",
            "size_bytes": 1000,
            "sha256": DIGEST,
            "python": "",
            "added_at": "",
            "url": URL,
            "stored_here": False,
            "withdrawn": None,
        }
        assert (await world.client.get("/api/v1/releases/1.2.3")).json() == release
        assert list(world.artifacts.iterdir()) == []
        body = {"devices": ["pi-1"], "version": "1.2.3"}
        assert (await world.client.post("/api/v1/upgrades", json=body)).status_code == 202
        stored = await world.store.load("pi-1")
        assert stored is not None
        assert stored.record.order is not None
        ordered = stored.record.order.artifact
        assert (ordered.url, ordered.size_bytes, ordered.sha256) == (URL, 1000, DIGEST)

    run(tmp_path, test, device("pi-1"))


def test_the_same_bytes_lie_where_it_was_said_last(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        first = (await refer(world, url="http://a.example/x", size_bytes=999)).json()
        again = await refer(world)
        assert again.status_code == 200
        assert again.json() == {**first, "url": URL, "size_bytes": 1000}
        async with SqliteStore(tmp_path / "fleet.db", SystemClock()) as store:
            kept = await store.release("1.2.3")
            assert kept is not None
            assert kept.url == URL

    run(tmp_path, test)


def test_other_bytes_under_a_known_version_are_refused(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        first = (await refer(world)).json()
        answer = await refer(world, sha256="d" * 64)
        assert error_of(answer)[:2] == (409, "release_exists")
        assert error_of(await world.add_release("1.2.3"))[:2] == (409, "release_exists")
        assert (await world.client.get("/api/v1/releases")).json() == {"releases": [first]}
        assert list(world.artifacts.iterdir()) == []

    run(tmp_path, test)


def test_a_file_that_was_elsewhere_is_served_from_here_once_it_is_added(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        content = artifact(tmp_path / "file", "1.2.3").read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        first = (await refer(world, sha256=digest, size_bytes=len(content))).json()
        answer = await world.add_release("1.2.3")
        assert answer.status_code == 200
        here = answer.json()
        assert (here["stored_here"], here["python"]) == (True, ">=3.11")
        assert here["added_at"] == first["added_at"]
        assert (await world.client.get(here["url"])).content == content
        assert (await world.client.get("/api/v1/releases")).json() == {"releases": [here]}

        away = (await refer(world, sha256=digest, size_bytes=len(content))).json()
        assert away == {**here, "url": URL, "stored_here": False}
        assert (await world.client.get(here["url"])).content == content, "open orders still name it"
        answer = await refer(world, sha256=digest, size_bytes=7)
        assert error_of(answer)[:2] == (400, "invalid_value")

    run(tmp_path, test)


NO_REFERENCES: list[tuple[dict[str, Any], int, str]] = [
    ({"url": "https://user:secret@files.example/a"}, 400, "credentials"),
    ({"url": "ftp://files.example/a"}, 400, "not http"),
    ({"url": "/artifacts/a"}, 400, "not http"),
    ({"url": "https://files.example/" + "a" * 2048}, 400, "too long"),
    ({"sha256": "c" * 63}, 400, "SHA-256"),
    ({"size_bytes": 0}, 400, "size_bytes"),
    ({"size_bytes": "1000"}, 400, "size_bytes"),
    ({"python": ">=3.11"}, 400, "python"),
    ({"size_bytes": MAX_ARTIFACT_BYTES + 1}, 413, "larger"),
]


@pytest.mark.parametrize(("changed", "status", "words"), NO_REFERENCES)
def test_what_is_no_reference_is_refused_and_a_password_is_not_repeated(
    tmp_path: Path, changed: dict[str, Any], status: int, words: str
) -> None:
    async def test(world: ApiWorld) -> None:
        found = error_of(await refer(world, **changed))
        assert (found[0], words in found[2]) == (status, True), found
        assert "secret" not in found[2]
        assert list(await world.store.releases()) == []

    run(tmp_path, test)
