from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from tests.processes.api_world import ApiWorld, device, error_of, order, run

from harmony_fleet.contracts.upgrade import AgentUpgradePhase
from harmony_fleet.labels import Label
from harmony_fleet.operator.records import DeviceRecord, Order

P = AgentUpgradePhase


def labelled(name: str, newest: Order | None = None, **labels: str) -> DeviceRecord:
    version = newest.version if newest and newest.phase is P.SUCCEEDED else "1.0.0"
    record = device(name, version, newest)
    return replace(record, labels=tuple(Label(k, v) for k, v in sorted(labels.items())))


FLEET = (
    labelled("a", ring="canary", site="north"),
    labelled("b", ring="canary"),
    labelled("c", ring="main"),
    labelled("d"),
)


async def patch(world: ApiWorld, name: str, labels: object) -> httpx.Response:
    return await world.client.patch(f"/api/v1/devices/{name}/labels", json={"labels": labels})


async def listed(world: ApiWorld, selector: str) -> list[str]:
    answer = await world.client.get("/api/v1/devices", params={"selector": selector})
    assert answer.status_code == 200
    return [one["device_id"] for one in answer.json()["devices"]]


def test_labels_are_put_removed_stored_and_shown(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        answer = await patch(world, "a", {"site": None, "example.com/row": "7", "note": ""})
        assert answer.status_code == 200
        wanted = {"ring": "canary", "example.com/row": "7", "note": ""}
        assert answer.json()["labels"] == wanted
        assert (await world.client.get("/api/v1/devices/a")).json()["labels"] == wanted
        stored = await world.store.load("a")
        assert stored is not None
        assert {one.key: one.value for one in stored.record.labels} == wanted
        events = (await world.client.get("/api/v1/devices/a/events")).json()["events"]
        assert events[-1]["kind"] == "labels"

    run(tmp_path, test, *FLEET)


NO_LABELS: list[object] = [{}, {"a b": "x"}, {"a": "x y"}, {"a": "-"}, {"a": 7}, ["a"], None]


def test_labels_that_are_none_change_nothing(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        for labels in NO_LABELS:
            assert error_of(await patch(world, "a", labels))[0] == 400, labels
        too_many = {f"k{n}": "" for n in range(65)}
        assert error_of(await patch(world, "a", too_many))[:2] == (409, "order_refused")
        assert error_of(await patch(world, "nobody", {"a": ""}))[:2] == (404, "unknown_device")
        stored = await world.store.load("a")
        assert stored is not None
        assert stored.record == FLEET[0]

    run(tmp_path, test, *FLEET)


def test_a_selector_lists_those_whose_labels_it_selects(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        assert await listed(world, "ring=canary") == ["a", "b"]
        assert await listed(world, "ring!=canary") == ["c", "d"]
        assert await listed(world, "ring,!site") == ["b", "c"]
        assert await listed(world, "ring=nobody") == []
        answer = await world.client.get("/api/v1/devices", params={"selector": "a in (b)"})
        assert error_of(answer)[:2] == (400, "invalid_value")

    run(tmp_path, test, *FLEET)


def test_labels_that_another_operator_stored_are_the_ones_that_select(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        await world.store.save(labelled("d", ring="late"), 1)
        await world.store.save(labelled("e", ring="late"), 0)
        answer = await world.client.get("/api/v1/devices", params={"selector": "ring=late"})
        found = {one["device_id"]: one["labels"] for one in answer.json()["devices"]}
        assert found == {"d": {"ring": "late"}, "e": {"ring": "late"}}

    run(tmp_path, test, *FLEET)


def test_an_upgrade_goes_to_those_selected_and_the_others_say_why_not(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        await world.add_release("2.0.0")
        body = {"devices": None, "selector": "ring=canary", "version": "2.0.0"}
        answer = await world.client.post("/api/v1/upgrades", json=body)
        assert answer.status_code == 202
        assert [one["device_id"] for one in answer.json()["results"]] == ["a", "b"]
        body = {"devices": None, "selector": "ring", "version": "2.0.0"}
        results = (await world.client.post("/api/v1/upgrades", json=body)).json()["results"]
        assert [one["ordered"] for one in results] == [False, False, True]
        assert "a is already being upgraded" in results[0]["reason"]

    run(tmp_path, test, *FLEET)


def test_an_abort_goes_to_whatever_is_under_way_of_those_selected(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        post = world.client.post
        answer = await post("/api/v1/aborts", json={"selector": "ring=canary"})
        assert [one["device_id"] for one in answer.json()["results"]] == ["a"]
        answer = await post("/api/v1/aborts", json={"selector": "ring=main"})
        status, kind, message = error_of(answer)
        assert (status, kind) == (409, "order_refused")
        assert "'ring=main'" in message

    busy = labelled("a", order("2.0.0"), ring="canary")
    run(tmp_path, test, busy, *FLEET[1:])


def test_a_rollback_goes_to_all_of_those_selected_or_to_none(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        await world.add_release("1.0.0")
        answer = await world.client.post("/api/v1/rollbacks", json={"selector": "ring"})
        assert error_of(answer)[:2] == (409, "order_refused")
        answer = await world.client.post("/api/v1/rollbacks", json={"selector": "ring=canary"})
        (result,) = answer.json()["results"]
        assert (result["device_id"], result["to_version"]) == ("a", "1.0.0")

    done = replace(order("2.0.0", P.SUCCEEDED), from_version="1.0.0")
    run(tmp_path, test, labelled("a", done, ring="canary"), labelled("c", ring="main"))


@pytest.mark.parametrize("path", ["upgrades", "aborts", "rollbacks"])
def test_an_order_whose_selector_selects_nothing_is_refused(tmp_path: Path, path: str) -> None:
    async def test(world: ApiWorld) -> None:
        await world.add_release("2.0.0")
        version = {"version": "2.0.0"} if path == "upgrades" else {}
        url = f"/api/v1/{path}"
        for body, status, kind in (
            ({"devices": None, "selector": "ring=nobody"}, 404, "nothing_selected"),
            ({"devices": None, "selector": ""}, 400, "invalid_value"),
            ({"devices": ["a"], "selector": "ring"}, 400, "bad_request"),
        ):
            answer = await world.client.post(url, json={**body, **version})
            assert error_of(answer)[:2] == (status, kind), body
        assert [one.record for one in await world.store.load_all()] == list(FLEET)

    run(tmp_path, test, *FLEET)
