from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.processes.api_world import ID, PUBLIC_KEY, ApiWorld, device, error_of, order, run

from harmony_fleet.contracts.upgrade import AgentUpgradePhase
from harmony_fleet.operator.records import DeviceRecord


def test_devices_are_listed_by_id_with_all_that_is_known(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        answer = await world.client.get("/api/v1/devices")
        assert answer.status_code == 200
        first, second = answer.json()["devices"]
        assert first == {
            "device_id": "pi-1",
            "current_version": "1.0.0",
            "online": False,
            "heartbeat_age_s": None,
            "instance_id": None,
            "boot_id": None,
            "conditions": [],
            "labels": {},
            "paused": False,
            "upgrade": None,
        }
        assert second["device_id"] == "pi-2"
        assert second["upgrade"]["phase"] == "Staging"
        assert second["upgrade"]["to_version"] == "2.0.0"
        assert second["upgrade"]["waits_for"] == "a first heartbeat of the device"

    run(tmp_path, test, device("pi-2", order=order("2.0.0")), device("pi-1"))


def test_one_device_is_the_same_as_in_the_list(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        listed = (await world.client.get("/api/v1/devices")).json()["devices"]
        assert (await world.client.get("/api/v1/devices/pi-1")).json() == listed[0]

    run(tmp_path, test, device("pi-1"))


def test_an_unknown_device_is_not_found_by_name(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        for path in ("pi-9", "pi-9/events", "pi-9/upgrades", "pi-9/why"):
            status, kind, message = error_of(await world.client.get(f"/api/v1/devices/{path}"))
            assert (status, kind) == (404, "unknown_device"), path
            assert "pi-9" in message

    run(tmp_path, test, device("pi-1"))


def test_what_is_no_device_id_is_a_bad_request(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        status, _, message = error_of(await world.client.get("/api/v1/devices/PI*1"))
        assert status == 400
        assert "device id" in message

    run(tmp_path, test)


def test_why_is_a_paragraph(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        answer = (await world.client.get("/api/v1/devices/pi-1/why")).json()
        assert answer["device_id"] == "pi-1"
        assert answer["text"].endswith("No upgrade has been ordered.")

    run(tmp_path, test, device("pi-1"))


def test_events_are_read_on_from_a_number(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        get = world.client.get
        both = (await get("/api/v1/events")).json()["events"]
        assert [event["device_id"] for event in both] == ["a", "b"]
        later = await get("/api/v1/events", params={"after": both[0]["number"], "limit": 5})
        assert later.json()["events"] == both[1:]
        assert both[0]["side"] == "operator"
        own = await get("/api/v1/devices/a/events", params={"limit": 1})
        assert own.json()["events"] == both[:1]

    run(tmp_path, test, device("a"), device("b"))


NONSENSE = ["after=-1", "after=x", "limit=0", "limit=1001", "until=3", f"after={2**70}"]


def test_a_query_that_means_nothing_is_refused_by_name(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        for query in NONSENSE:
            status, kind, message = error_of(await world.client.get(f"/api/v1/events?{query}"))
            assert (status, kind) == (400, "bad_request")
            assert query.split("=", maxsplit=1)[0] in message

    run(tmp_path, test)


def test_a_device_is_registered_with_a_credential_of_its_own_and_again(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        wanted = {"device_id": "pi-1", "public_key": PUBLIC_KEY}
        for _ in range(2):
            answer = await world.client.post("/api/v1/devices", json=wanted)
            assert answer.status_code == 201
            assert answer.json() == {
                "device_id": "pi-1",
                "jwt": "jwt-of-pi-1",
                "nats_url": "nats://127.0.0.1:4222",
                "ca": "",
            }
        stored = await world.store.load("pi-1")
        assert stored is not None
        assert (await world.client.get("/api/v1/devices/pi-1")).status_code == 200

    run(tmp_path, test)


def test_a_credential_ends_after_ten_years_or_when_it_was_asked_to(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        wanted = {"device_id": "pi-1", "public_key": PUBLIC_KEY}
        for asked in ({}, {"valid_days": 1}):
            answer = await world.client.post("/api/v1/devices", json=wanted | asked)
            assert answer.status_code == 201
        today = datetime.now(UTC)
        left = [datetime.fromtimestamp(end, UTC) - today for end in world.ends]
        assert [round(one / timedelta(days=1)) for one in left] == [3650, 1]

    run(tmp_path, test)


NO_REGISTRATIONS: list[object] = [
    {"device_id": "*", "public_key": PUBLIC_KEY},
    {"device_id": "pi-1", "public_key": "A" + PUBLIC_KEY[1:]},
    {"device_id": "pi-1"},
    {"device_id": "pi-1", "public_key": PUBLIC_KEY, "admin": True},
    {"device_id": "pi-1", "public_key": PUBLIC_KEY, "valid_days": 0},
    {"device_id": "pi-1", "public_key": PUBLIC_KEY, "valid_days": 36501},
    {"device_id": 7, "public_key": PUBLIC_KEY},
    [],
]


def test_a_registration_that_is_not_one_leaves_nothing_behind(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        for wanted in NO_REGISTRATIONS:
            answer = await world.client.post("/api/v1/devices", json=wanted)
            assert error_of(answer)[0] == 400, wanted
            assert list(await world.store.load_all()) == []

    run(tmp_path, test)


def test_named_devices_are_ordered_once_each(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        await world.add_release("2.0.0")
        wanted = {"devices": ["pi-1", "pi-2", "pi-1"], "version": "2.0.0"}
        answer = await world.client.post("/api/v1/upgrades", json=wanted)
        assert answer.status_code == 202
        first, second = answer.json()["results"]
        assert (first["device_id"], second["device_id"]) == ("pi-1", "pi-2")
        assert first["ordered"]
        assert first["reason"] is None
        stored = await world.store.load("pi-1")
        assert stored is not None
        assert stored.record.order is not None
        assert stored.record.order.upgrade_id == first["upgrade_id"]
        release = (await world.client.get("/api/v1/releases/2.0.0")).json()
        assert stored.record.order.artifact.url == release["url"]

    run(tmp_path, test, device("pi-1"), device("pi-2"))


def test_where_one_named_device_is_unknown_none_is_ordered(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        await world.add_release("2.0.0")
        wanted = {"devices": ["pi-1", "pi-9"], "version": "2.0.0"}
        answer = await world.client.post("/api/v1/upgrades", json=wanted)
        assert error_of(answer)[:2] == (404, "unknown_device")
        await nothing_ordered(world)

    run(tmp_path, test, device("pi-1"))


def test_where_one_named_device_refuses_none_is_ordered(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        await world.add_release("2.0.0")
        wanted = {"devices": ["pi-1", "pi-2"], "version": "2.0.0"}
        status, kind, message = error_of(await world.client.post("/api/v1/upgrades", json=wanted))
        assert (status, kind) == (409, "order_refused")
        assert "pi-2 already runs 2.0.0" in message
        await nothing_ordered(world)

    run(tmp_path, test, device("pi-1"), device("pi-2", version="2.0.0"))


def test_of_all_devices_those_that_refuse_say_why_and_the_others_are_ordered(
    tmp_path: Path,
) -> None:
    async def test(world: ApiWorld) -> None:
        await world.add_release("2.0.0")
        wanted = {"devices": None, "version": "2.0.0"}
        answer = await world.client.post("/api/v1/upgrades", json=wanted)
        assert answer.status_code == 202
        first, second = answer.json()["results"]
        assert (first["ordered"], second["ordered"]) == (True, False)
        assert second["upgrade_id"] is None
        assert "already being upgraded" in second["reason"]

    run(tmp_path, test, device("pi-1"), device("pi-2", order=order("1.9.0")))


NO_ORDERS: list[tuple[object, int]] = [
    ({"devices": ["pi-1"], "version": "9.9.9"}, 404),
    ({"devices": ["pi-1"], "version": "../etc"}, 400),
    ({"devices": [], "version": "2.0.0"}, 400),
    ({"version": "2.0.0"}, 400),
    ({"devices": ["pi-1"], "version": "2.0.0", "force": True}, 400),
    ({"devices": "pi-1", "version": "2.0.0"}, 400),
    ({"devices": ["pi-1"], "version": "2.0.0", "retry": "yes"}, 400),
    ({"devices": ["pi 1"], "version": "2.0.0"}, 400),
]


def test_an_order_that_is_not_one_orders_nothing(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        await world.add_release("2.0.0")
        for wanted, status in NO_ORDERS:
            answer = await world.client.post("/api/v1/upgrades", json=wanted)
            assert error_of(answer)[0] == status, wanted
            await nothing_ordered(world)

    run(tmp_path, test, device("pi-1"))


def test_a_body_that_is_no_json_is_a_bad_request(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        for body in [b"", b"{", b"\xff\xfe", b"null", b'{"devices":' + b"[" * 9999]:
            answer = await world.client.post("/api/v1/upgrades", content=body)
            assert error_of(answer)[0] == 400, body

    run(tmp_path, test)


def test_a_body_without_end_is_refused(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        answer = await world.client.post("/api/v1/aborts", content=b" " * 1_100_000)
        assert error_of(answer)[:2] == (413, "too_large")

    run(tmp_path, test)


def test_one_upgrade_of_a_device_is_shown_by_its_id_also_after_a_newer_order(
    tmp_path: Path,
) -> None:
    async def test(world: ApiWorld) -> None:
        await world.add_release("3.0.0")
        get, path = world.client.get, f"/api/v1/devices/pi-1/upgrades/{ID}"
        assert (await get(path)).json() == (await get("/api/v1/devices/pi-1")).json()["upgrade"]
        wanted = {"devices": ["pi-1"], "version": "3.0.0", "replace": True}
        assert (await world.client.post("/api/v1/upgrades", json=wanted)).status_code == 202
        older = (await get(path)).json()
        assert (older["upgrade_id"], older["to_version"]) == (ID, "2.0.0")
        every = (await get("/api/v1/devices/pi-1/upgrades")).json()["upgrades"]
        newest = (await get("/api/v1/devices/pi-1")).json()["upgrade"]
        assert every == [older, newest]
        assert older["phase"] == "Staging"
        assert older["waits_for"] == "the device to end this older order"

    run(tmp_path, test, device("pi-1", order=order("2.0.0")))


def test_an_upgrade_that_is_not_one_of_this_device_is_not_found(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        devices = "/api/v1/devices"
        answer = await world.client.get(f"{devices}/pi-2/upgrades/{ID}")
        assert error_of(answer)[:2] == (404, "unknown_upgrade")
        answer = await world.client.get(f"{devices}/pi-9/upgrades/{ID}")
        assert error_of(answer)[:2] == (404, "unknown_device")
        assert (await world.client.get(f"{devices}/pi-1/upgrades/latest")).status_code == 400

    run(tmp_path, test, device("pi-1", order=order("2.0.0")), device("pi-2"))


def test_what_another_operator_stored_is_shown_by_one_that_has_not_heard_of_it(
    tmp_path: Path,
) -> None:
    async def test(world: ApiWorld) -> None:
        get, path = world.client.get, "/api/v1/devices"
        await world.store.save(device("pi-2", order=order("2.0.0")), 0)
        shown = (await get(f"{path}/pi-2/upgrades/{ID}")).json()
        assert (shown["upgrade_id"], shown["to_version"]) == (ID, "2.0.0")
        await world.store.save(device("pi-1", order=order("3.0.0")), 1)
        assert (await get(f"{path}/pi-1")).json()["upgrade"]["to_version"] == "3.0.0"
        assert (await get(f"{path}/pi-1/upgrades/{ID}")).status_code == 200

    run(tmp_path, test, device("pi-1"))


def test_an_abort_names_the_upgrade_that_it_ends(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        answer = await world.client.post("/api/v1/aborts", json={"devices": ["pi-1"]})
        assert answer.status_code == 202
        (result,) = answer.json()["results"]
        assert result["ordered"]
        shown = (await world.client.get("/api/v1/devices/pi-1")).json()["upgrade"]
        assert (shown["desired"], shown["upgrade_id"]) == ("abort", result["upgrade_id"])

    run(tmp_path, test, device("pi-1", order=order("2.0.0")))


@pytest.mark.parametrize(
    ("seeded", "words"),
    [
        (device("pi-1"), "nothing to abort"),
        (device("pi-1", order=order("2.0.0", AgentUpgradePhase.COMMITTED)), "has committed 2.0.0"),
    ],
    ids=["nothing under way", "committed"],
)
def test_an_abort_that_comes_too_late_says_so(
    tmp_path: Path, seeded: DeviceRecord, words: str
) -> None:
    async def test(world: ApiWorld) -> None:
        answer = await world.client.post("/api/v1/aborts", json={"devices": ["pi-1"]})
        status, _, message = error_of(answer)
        assert status == 409
        assert words in message

    run(tmp_path, test, seeded)


async def nothing_ordered(world: ApiWorld) -> None:
    assert all(one.record.order is None for one in await world.store.load_all())


def test_an_installer_is_told_where_devices_reach_the_message_plane(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        answer = await world.client.get("/api/v1/plane")
        assert answer.status_code == 200
        assert answer.json() == {"nats_url": "nats://127.0.0.1:4222", "ca": ""}

    run(tmp_path, test)
