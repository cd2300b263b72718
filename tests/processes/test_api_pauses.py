from pathlib import Path
from typing import Any

import pytest
from tests.processes.api_world import ApiWorld, device, error_of, order, run
from tests.processes.test_api_labels import labelled

FLEET = (
    labelled("a", ring="canary"),
    labelled("b", order("2.0.0"), ring="canary"),
    labelled("c", ring="main"),
)


async def ask(world: ApiWorld, what: str, devices: list[str] | None, **more: str) -> Any:
    body = {"devices": devices, **more}
    return await world.client.post(f"/api/v1/{what}", json=body)


async def paused(world: ApiWorld) -> list[str]:
    devices = (await world.client.get("/api/v1/devices")).json()["devices"]
    shown = [one["device_id"] for one in devices if one["paused"]]
    stored = [one.record for one in await world.store.load_all()]
    assert shown == [one.device_id for one in stored if one.paused]
    return shown


def test_a_paused_device_takes_no_order_until_it_is_resumed(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        await world.add_release("3.0.0")
        for _ in range(2):
            answer = await ask(world, "pauses", ["a"])
            assert answer.status_code == 200
            assert [(r["device_id"], r["reason"]) for r in answer.json()["results"]] == [
                ("a", None)
            ]
            assert await paused(world) == ["a"]
        status, kind, words = error_of(await ask(world, "upgrades", ["a"], version="3.0.0"))
        assert (status, kind) == (409, "order_refused")
        assert "`fleet device resume a`" in words
        why = (await world.client.get("/api/v1/devices/a/why")).json()["text"]
        assert "It is paused: nothing new is ordered of it" in why
        assert (await ask(world, "resumes", ["a"])).status_code == 200
        assert await paused(world) == []
        assert (await ask(world, "upgrades", ["a"], version="3.0.0")).status_code == 202
        events = (await world.client.get("/api/v1/devices/a/events")).json()["events"]
        assert [one["kind"] for one in events] == ["seeded", "paused", "resumed", "ordered"]

    run(tmp_path, test, *FLEET)


def test_what_is_under_way_is_named_and_goes_on(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        (result,) = (await ask(world, "pauses", ["b"])).json()["results"]
        assert (result["upgrade_id"], result["to_version"]) == (order("2.0.0").upgrade_id, "2.0.0")
        stored = await world.store.load("b")
        assert stored is not None
        assert stored.record.order is not None
        assert stored.record.order.open
        assert str(stored.record.order.desired) == "run"

    run(tmp_path, test, *FLEET)


@pytest.mark.parametrize(
    ("devices", "more", "wanted"),
    [
        (None, {}, ["a", "b", "c"]),
        (None, {"selector": "ring=canary"}, ["a", "b"]),
        (["c", "a", "c"], {}, ["a", "c"]),
    ],
    ids=["all", "selected", "named"],
)
def test_devices_are_paused_and_resumed_by_name_by_labels_and_all_of_them(
    tmp_path: Path, devices: list[str] | None, more: dict[str, str], wanted: list[str]
) -> None:
    async def test(world: ApiWorld) -> None:
        assert (await ask(world, "pauses", devices, **more)).status_code == 200
        assert await paused(world) == wanted
        assert (await ask(world, "resumes", devices, **more)).status_code == 200
        assert await paused(world) == []

    run(tmp_path, test, *FLEET)


@pytest.mark.parametrize("what", ["pauses", "resumes"])
def test_where_devices_are_not_clearly_chosen_none_is_touched(tmp_path: Path, what: str) -> None:
    async def test(world: ApiWorld) -> None:
        for body, status, kind in (
            ({"devices": ["a", "nobody"]}, 404, "unknown_device"),
            ({"devices": None, "selector": "ring=nobody"}, 404, "nothing_selected"),
            ({"devices": ["a"], "selector": "ring"}, 400, "bad_request"),
            ({"devices": []}, 400, "bad_request"),
            ({"selector": "ring"}, 400, "bad_request"),
            ({}, 400, "bad_request"),
        ):
            answer = await world.client.post(f"/api/v1/{what}", json=body)
            assert error_of(answer)[:2] == (status, kind), body
        assert [one.record for one in await world.store.load_all()] == list(FLEET)

    run(tmp_path, test, *FLEET)


def test_a_pause_outlives_the_operator(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        assert (await ask(world, "pauses", ["a"])).status_code == 200

    run(tmp_path, test, device("a"))
    run(tmp_path, _is_paused_still)


async def _is_paused_still(world: ApiWorld) -> None:
    assert (await world.client.get("/api/v1/devices/a")).json()["paused"] is True
    await world.add_release("3.0.0")
    assert error_of(await ask(world, "upgrades", ["a"], version="3.0.0"))[0] == 409
