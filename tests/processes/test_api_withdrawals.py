"""A release that somebody has withdrawn: what still names it, and what no longer does."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
from tests.processes.api_world import ApiWorld, artifact, device, error_of, order, run

from harmony_fleet.contracts.upgrade import AgentUpgradePhase

WHY = "it eats memory: “Größe 0”"
URL = "https://files.example/agent"


async def withdraw(world: ApiWorld, reason: object, version: str = "2.0.0") -> httpx.Response:
    return await world.client.patch(f"/api/v1/releases/{version}", json={"withdrawn": reason})


async def upgrade(world: ApiWorld, name: str, **more: bool) -> httpx.Response:
    body = {"devices": [name], "version": "2.0.0", **more}
    return await world.client.post("/api/v1/upgrades", json=body)


async def shown(world: ApiWorld) -> Any:
    """Why it is withdrawn, or None."""
    one = (await world.client.get("/api/v1/releases/2.0.0")).json()
    assert (await world.client.get("/api/v1/releases")).json() == {"releases": [one]}
    return one["withdrawn"]


def test_no_order_names_it_until_that_is_taken_back(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        added = (await world.add_release("2.0.0")).json()
        for reason in ("too early", WHY, WHY):
            answer = await withdraw(world, reason)
            assert (answer.status_code, answer.json()) == (200, {**added, "withdrawn": reason})
        assert await shown(world) == WHY
        for name, also in (("a", "retry"), ("busy", "replace")):
            status, kind, words = error_of(await upgrade(world, name, **{also: True}))
            assert (status, kind) == (409, "release_withdrawn")
            assert WHY in words
            assert "`fleet release withdraw 2.0.0 --undo`" in words
        answer = await world.client.post("/api/v1/rollbacks", json={"devices": ["back"]})
        assert error_of(answer)[:2] == (409, "release_withdrawn")
        for _ in range(2):
            assert (await withdraw(world, None)).json() == added
        assert await shown(world) is None
        assert (await upgrade(world, "a")).status_code == 202

    upgraded = replace(order("3.0.0", AgentUpgradePhase.SUCCEEDED), from_version="2.0.0")
    run(
        tmp_path,
        test,
        device("a"),
        device("busy", order=order("1.5.0")),
        device("back", "3.0.0", upgraded),
    )


def test_what_is_under_way_to_it_goes_on(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        await world.add_release("2.0.0")
        await upgrade(world, "a")
        before = await world.store.load("a")
        assert (await withdraw(world, WHY)).status_code == 200
        assert await world.store.load("a") == before
        assert before is not None
        assert before.record.order is not None
        assert before.record.order.open

    run(tmp_path, test, device("a"))


def test_neither_the_same_file_again_nor_another_place_of_it_brings_it_back(
    tmp_path: Path,
) -> None:
    async def test(world: ApiWorld) -> None:
        content = artifact(tmp_path / "file", "2.0.0").read_bytes()
        reference = {
            "url": URL,
            "size_bytes": len(content),
            "sha256": sha256(content).hexdigest(),
        }
        place = "/api/v1/releases/2.0.0/reference"
        assert (await world.client.put(place, json=reference)).status_code == 201
        await withdraw(world, WHY)
        for _ in range(2):
            here = await world.add_release("2.0.0")
            assert (here.json()["withdrawn"], here.json()["stored_here"]) == (WHY, True)
            away = await world.client.put(place, json=reference)
            assert (away.json()["withdrawn"], away.json()["url"]) == (WHY, URL)
            assert await shown(world) == WHY

    run(tmp_path, test)


def test_what_is_no_reason_changes_nothing(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        await world.add_release("2.0.0")
        for reason in ("", " \n", "x" * 1025, 7, False, ["why"]):
            assert error_of(await withdraw(world, reason))[:2] == (400, "bad_request"), reason
        empty = await world.client.patch("/api/v1/releases/2.0.0", json={})
        assert error_of(empty)[:2] == (400, "bad_request")
        assert await shown(world) is None
        assert error_of(await withdraw(world, WHY, "9.9.9"))[:2] == (404, "not_found")
        assert error_of(await withdraw(world, WHY, "nine"))[:2] == (400, "invalid_value")

    run(tmp_path, test)


def test_a_withdrawal_outlives_the_operator(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        await world.add_release("2.0.0")
        assert (await withdraw(world, WHY)).status_code == 200

    async def later(world: ApiWorld) -> None:
        assert await shown(world) == WHY
        assert error_of(await upgrade(world, "a"))[:2] == (409, "release_withdrawn")

    run(tmp_path, test, device("a"))
    run(tmp_path, later)
