from dataclasses import replace
from pathlib import Path

from tests.processes.api_world import ApiWorld, device, error_of, order, run

from harmony_fleet.contracts.upgrade import AgentUpgradePhase
from harmony_fleet.operator.records import DeviceRecord

P = AgentUpgradePhase
PATH = "/api/v1/rollbacks"


def upgraded(name: str, before: str = "1.0.0", now: str = "2.0.0") -> DeviceRecord:
    done = replace(order(now, P.SUCCEEDED), from_version=before)
    return device(name, now, done)


async def orders_given(world: ApiWorld) -> list[str]:
    stored = [one.record.order for one in await world.store.load_all()]
    return [one.version for one in stored if one and one.open]


def test_each_device_is_ordered_back_to_what_it_ran_itself(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        for version in ("1.0.0", "1.5.0"):
            await world.add_release(version)
        answer = await world.client.post(PATH, json={"devices": ["a", "b", "a"]})
        assert answer.status_code == 202
        results = answer.json()["results"]
        assert [(r["device_id"], r["to_version"]) for r in results] == [
            ("a", "1.0.0"),
            ("b", "1.5.0"),
        ]
        assert all(r["ordered"] and r["upgrade_id"] for r in results)
        stored = await world.store.load("b")
        assert stored is not None
        assert stored.record.order is not None
        assert (stored.record.order.version, stored.record.order.from_version) == ("1.5.0", "2.0.0")
        assert stored.record.order.upgrade_id == results[1]["upgrade_id"]

    run(tmp_path, test, upgraded("a"), upgraded("b", before="1.5.0"))


def test_where_one_cannot_be_ordered_back_none_is(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        await world.add_release("1.0.0")
        for other, status, kind, words in (
            ("new", 409, "order_refused", "what new ran before is not known"),
            ("busy", 409, "order_refused", "`fleet abort busy`"),
            ("gone", 404, "unknown_release", "gone ran 0.9.0 before"),
            ("nobody", 404, "unknown_device", "nobody"),
        ):
            answer = await world.client.post(PATH, json={"devices": ["a", other]})
            found = error_of(answer)
            assert found[:2] == (status, kind)
            assert words in found[2]
            assert await orders_given(world) == ["3.0.0"], "busy's own, and no other"

    seeded = (upgraded("a"), device("new"), device("busy", order=order("3.0.0")))
    run(tmp_path, test, *seeded, upgraded("gone", before="0.9.0"))


NO_ROLLBACKS: list[dict[str, object]] = [
    {"devices": []},
    {"devices": None},
    {},
    {"devices": ["a"], "version": "1.0.0"},
]


def test_a_rollback_of_no_device_is_a_bad_request(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        for body in NO_ROLLBACKS:
            assert error_of(await world.client.post(PATH, json=body))[0] == 400

    run(tmp_path, test, upgraded("a"))
