"""Who is let in, how errors look, and that the OpenAPI document tells the truth."""

import asyncio
import logging
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from tests.processes.api_world import (
    ID,
    PUBLIC_KEY,
    TOKEN,
    ApiWorld,
    artifact,
    device,
    error_of,
    order,
    run,
)

from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.labels import Changes, Selector
from harmony_fleet.operator.api import PREFIX, ROUTES, application
from harmony_fleet.operator.api_route import Services
from harmony_fleet.operator.openapi import document
from harmony_fleet.operator.ports import StoreError
from harmony_fleet.operator.preflight_rules import PreflightResult
from harmony_fleet.operator.results import OrderResult, Wanted
from harmony_fleet.operator.system import SystemClock
from harmony_fleet.operator.views import Sight
from harmony_fleet.testing.fake_store import FakeStore


def test_without_the_very_token_nothing_below_the_api_is_told_or_done(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        for given in ("", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", TOKEN, "Bearer ü"):
            headers = httpx.Headers({"Authorization": given}, encoding="utf-8")
            for route in ROUTES:
                path = PREFIX + route.path.format(device_id="pi-1", version="1.0.0", upgrade_id=ID)
                answer = await world.client.request(route.method, path, headers=headers)
                status, kind, message = error_of(answer)
                assert (status, kind) == (401, "unauthorized"), (given, path)
                assert "token" in message
                assert answer.headers["www-authenticate"] == "Bearer"
        assert list(await world.store.load_all()) == []

    run(tmp_path, test)


def test_the_token_is_taken_from_a_header_of_its_own_as_well(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        del world.client.headers["Authorization"]
        for given, status in (
            (TOKEN, 200),
            (f"{TOKEN}x", 401),
            (f"Bearer {TOKEN}", 401),
            ("", 401),
        ):
            answer = await world.client.get("/api/v1/devices", headers={"Fleet-Token": given})
            assert answer.status_code == status, given
        both = {"Fleet-Token": TOKEN, "Authorization": "Bearer of-somebody-else"}
        assert (await world.client.get("/api/v1/devices", headers=both)).status_code == 200

    run(tmp_path, test)


def test_an_empty_token_lets_nobody_in(tmp_path: Path) -> None:
    async def ask(**headers: str) -> int:
        over = httpx.ASGITransport(broken(ZeroDivisionError(), tmp_path, set(), token=""))
        async with httpx.AsyncClient(transport=over, base_url="http://127.0.0.1") as client:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            return (await client.get("/api/v1/devices", headers=sent)).status_code

    assert asyncio.run(ask()) == 401
    assert asyncio.run(ask(fleet_token="")) == 401


def test_who_sends_everything_before_reading_still_hears_the_refusal(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        body = bytes(7_000_000)
        writer.write(
            b"PUT /api/v1/releases/1.0.0 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            + f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        assert b" 401 " in await reader.readline()
        writer.close()

    run(tmp_path, test)


def test_health_needs_no_token_and_says_whether_the_plane_is_reached(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        answer = await world.client.get("/healthz", headers={"Authorization": ""})
        assert answer.json() == {"status": "ok", "plane_connected": False, "plane_stores": True}

    run(tmp_path, test)


def test_only_loopback_names_are_answered(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        for path in ("/healthz", "/api/v1/devices", "/artifacts/x"):
            for host in ("evil.example", "10.0.0.1:80", "localhost.evil.example", "", "[::1", "0"):
                answer = await world.client.get(path, headers={"Host": host})
                assert error_of(answer)[:2] == (400, "bad_host"), host
        for host in ("127.0.0.1", "localhost:7700", f"[::1]:{world.port}", "127.9.9.9"):
            answer = await world.client.get("/healthz", headers={"Host": host})
            assert answer.status_code == 200, host

    run(tmp_path, test)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("fleet.example", 200),
        ("Fleet.Example:7700", 200),
        ("[2001:db8::7]:7700", 200),
        ("127.0.0.1", 200),
        ("example", 400),
        ("evil.fleet.example", 400),
        ("[2001:db8::8]", 400),
        ("", 400),
    ],
)
def test_a_name_that_it_was_given_is_answered_and_no_other(
    tmp_path: Path, host: str, status: int
) -> None:
    async def ask() -> httpx.Response:
        names = {"fleet.example", "2001:db8::7"}
        app = broken(ZeroDivisionError(), tmp_path, names)
        over = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=over, base_url="http://h") as client:
            return await client.get("/healthz", headers={"Host": host})

    assert asyncio.run(ask()).status_code == status


def test_what_came_through_a_clusters_api_server_needs_no_known_name(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        del world.client.headers["Authorization"]
        host = {"Host": "api.cluster.example:6443"}
        for path, token, status in (
            ("/api/v1/devices", TOKEN, 200),
            ("/api/v1/devices", "wrong", 401),
            ("/artifacts/x", TOKEN, 400),
            ("/healthz", TOKEN, 400),
            ("/api/v1", TOKEN, 400),
        ):
            answer = await world.client.get(path, headers=host | {"Fleet-Token": token})
            assert answer.status_code == status, path

    run(tmp_path, test)


def test_a_second_host_or_none_is_not_answered(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        for hosts in (b"", b"Host: localhost\r\nHost: evil.example\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
            writer.write(b"GET /healthz HTTP/1.0\r\n" + hosts + b"\r\n")
            assert b" 400 " in await reader.readline()
            writer.close()

    run(tmp_path, test)


def test_what_is_no_route_is_an_error_of_the_same_form(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        get = world.client.get
        assert error_of(await get("/"))[:2] == (404, "not_found")
        assert error_of(await get("/api/v1/nothing"))[:2] == (404, "not_found")
        assert error_of(await get("/api/v1/devices/"))[0] == 404
        wrong = await world.client.delete("/api/v1/devices")
        assert error_of(wrong)[:2] == (405, "method_not_allowed")
        assert "GET" in wrong.headers["allow"]

    run(tmp_path, test)


class BrokenFleet:
    """One in which everything fails in the same way."""

    plane_connected = True

    def __init__(self, error: Exception) -> None:
        self.error = error

    def sights(self) -> Sequence[Sight]:
        raise self.error

    async def look_up(self, device_id: str) -> Sight:
        raise self.error

    async def register(self, device_id: str) -> None:
        raise self.error

    async def upgrade(
        self, wanted: Wanted | None, version: str, retry: bool, replace: bool
    ) -> Sequence[OrderResult]:
        raise self.error

    async def label(self, device_id: str, changes: Changes) -> Sight:
        raise self.error

    async def selected(self, selector: Selector) -> Sequence[Sight]:
        raise self.error

    async def abort(self, wanted: Wanted) -> Sequence[OrderResult]:
        raise self.error

    async def rollback(self, wanted: Wanted) -> Sequence[OrderResult]:
        raise self.error

    async def pause(self, wanted: Wanted | None, paused: bool) -> Sequence[OrderResult]:
        raise self.error

    async def preflight(self, wanted: Wanted | None, version: str) -> Sequence[PreflightResult]:
        raise self.error


def broken(
    error: Exception, folder: Path, names: Set[str] = frozenset(), token: str = TOKEN
) -> Starlette:
    clock = SystemClock()
    store = FakeStore(clock)
    fleet = BrokenFleet(error)
    services = Services(
        fleet, store, clock, folder, "http://h", lambda _, key, _end: key, "nats://h"
    )
    return application(services, token, names)


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (ZeroDivisionError("secret detail"), 500, "internal"),
        (StoreError("fleet.db: the disk is full"), 503, "store"),
        (FleetError("a sentence"), 500, "fleet"),
    ],
)
def test_a_failure_is_one_sentence_and_in_the_log(
    error: Exception,
    status: int,
    kind: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(broken(error, tmp_path))
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get("/api/v1/devices", headers=headers)

    with caplog.at_level(logging.WARNING, "harmony_fleet.operator.api"):
        answer = asyncio.run(ask())
    assert error_of(answer)[:2] == (status, kind)
    assert "secret detail" not in answer.text
    assert "Traceback" not in answer.text
    assert len(caplog.records) == 1


def test_every_route_that_is_served_is_in_the_document_and_the_reverse(tmp_path: Path) -> None:
    served = set()
    for mount in broken(StoreError(""), tmp_path).routes:
        if isinstance(mount, Mount):
            for route in mount.routes:
                assert isinstance(route, Route)
                methods = (route.methods or set()) - {"HEAD"}
                served |= {(mount.path + route.path, method.lower()) for method in methods}
    assert served
    paths = document(ROUTES, PREFIX, "0.0.0")["paths"]
    assert served == {(path, m) for path, item in paths.items() for m in item}
    for path, item in paths.items():
        for operation in item.values():
            named = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
            assert all(f"{{{name}}}" in path for name in named)


UPGRADE = "/devices/{device_id}/upgrades/{upgrade_id}"


def test_what_is_answered_is_what_the_document_says(tmp_path: Path) -> None:
    async def test(world: ApiWorld) -> None:
        told = (await world.client.get("/api/v1/openapi.json")).json()
        put = artifact(tmp_path / "file", "3.0.0").read_bytes()
        upgrade = {"devices": None, "version": "3.0.0"}
        asked: list[tuple[str, str, str, Any]] = [
            ("PUT", "/releases/{version}", "/releases/3.0.0", put),
            ("GET", "/releases", "/releases", None),
            ("GET", "/releases/{version}", "/releases/3.0.0", None),
            ("GET", "/releases/{version}", "/releases/4.0.0", None),
            ("POST", "/devices", "/devices", {"device_id": "pi-9", "public_key": PUBLIC_KEY}),
            ("POST", "/devices", "/devices", {}),
            ("GET", "/devices", "/devices", None),
            ("GET", "/devices/{device_id}", "/devices/pi-2", None),
            ("GET", "/devices/{device_id}/why", "/devices/pi-2/why", None),
            ("GET", "/devices/{device_id}/events", "/devices/pi-2/events", None),
            ("GET", UPGRADE, f"/devices/pi-2/upgrades/{ID}", None),
            ("GET", UPGRADE, f"/devices/pi-1/upgrades/{ID}", None),
            ("GET", "/events", "/events", None),
            ("POST", "/upgrades", "/upgrades", upgrade),
            ("POST", "/aborts", "/aborts", {"devices": ["pi-2"]}),
            ("POST", "/aborts", "/aborts", {"devices": ["pi-8"]}),
        ]
        for method, template, path, body in asked:
            sent = {"content": body} if isinstance(body, bytes) else {"json": body}
            answer = await world.client.request(method, PREFIX + path, **(sent if body else {}))
            operation = told["paths"][PREFIX + template][method.lower()]
            response = operation["responses"][str(answer.status_code)]
            schema = response["content"]["application/json"]["schema"]
            check(answer.json(), schema, told, f"{method} {path}")

    run(tmp_path, test, device("pi-1"), device("pi-2", order=order("2.0.0")))


KINDS: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def check(value: Any, schema: dict[str, Any], told: dict[str, Any], at: str) -> None:
    """As much of JSON Schema as the document uses."""
    if "$ref" in schema:
        schema = told["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    if "anyOf" in schema:
        assert any(fits(value, one, told) for one in schema["anyOf"]), f"{at}: {value!r}"
        return
    if "enum" in schema:
        assert value in schema["enum"], at
    if "type" in schema:
        assert isinstance(value, KINDS[schema["type"]]), f"{at}: {value!r}"
    for name in schema.get("required", ()):
        assert name in value, f"{at}.{name} is missing"
    if "properties" in schema:
        assert set(value) <= set(schema["properties"]), at
        for name, item in value.items():
            check(item, schema["properties"][name], told, f"{at}.{name}")
    if "items" in schema:
        for item in value:
            check(item, schema["items"], told, f"{at}[]")


def fits(value: Any, schema: dict[str, Any], told: dict[str, Any]) -> bool:
    try:
        check(value, schema, told, "")
    except AssertionError:
        return False
    return True
