"""The operator's HTTP API, one method for each thing that a command asks.

How it is reached is a `Reach`: by a data folder, or through a cluster's API server. Answers are the
bytes that came, of a status below 300; all else is a typed error with a sentence for a person.
Where no replica of the operator leads, nothing was done, and it is asked again for a few seconds.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self
from urllib.parse import quote

import httpx

from harmony_fleet.cli.errors import Refused, ServerBusy
from harmony_fleet.cli.folder_reach import folder_reach
from harmony_fleet.cli.reach import Reach
from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.contracts.identity import check_device_id, check_upgrade_id, check_version
from harmony_fleet.contracts.upgrade import Artifact
from harmony_fleet.labels import Changes

CONNECT_LIMIT_S: Final = 5.0
ANSWER_LIMIT_S: Final = 30.0
MANY_LIMIT_S: Final = 900.0
"""For orders to many devices: each is stored before the answer, in a cluster at a capped rate."""
LEADERLESS_LIMIT_S: Final = 10.0
"""Twice what another replica takes to lead once the one that led is gone."""
LEADERLESS_POLL_S: Final = 0.5

_INPUT_STATUSES: Final = frozenset({400, 404, 409, 413, 422})
_NOT_LEADING: Final = "not_leading"
"""As a replica names it that found nobody to pass a request on to."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The devices that an order is for: by name, by their labels, or all of them."""

    devices: tuple[str, ...] | None = None
    selector: str | None = None

    @property
    def many(self) -> bool:
        """It may be, for all that is known here."""
        return self.devices is None or len(self.devices) > 1

    def document(self) -> dict[str, Any]:
        if self.selector is not None:
            return {"devices": None, "selector": self.selector}
        names = self.devices
        return {"devices": None if names is None else [check_device_id(one) for one in names]}


class FleetClient:
    """Raises from every method: a CommandFailed of `errors`, or Refused."""

    def __init__(self, reach: Reach, answer_limit_s: float = ANSWER_LIMIT_S) -> None:
        self.reach = reach
        self._limit_s = answer_limit_s
        self._connect_s = min(CONNECT_LIMIT_S, answer_limit_s)
        self._http = reach.client(httpx.Timeout(answer_limit_s, connect=self._connect_s))

    @classmethod
    def of(cls, data: Path, answer_limit_s: float = ANSWER_LIMIT_S) -> Self:
        """Of the operator that serves this folder. Raises what `folder_reach` does."""
        return cls(folder_reach(data), answer_limit_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def devices(self, selector: str | None = None) -> bytes:
        query = "" if selector is None else f"?selector={quote(selector)}"
        return self.get(f"/api/v1/devices{query}")

    def device(self, device_id: str) -> bytes:
        return self.get(f"/api/v1/devices/{check_device_id(device_id)}")

    def events(self, device_id: str, after: int, limit: int) -> bytes:
        path = f"/api/v1/devices/{check_device_id(device_id)}/events"
        return self.get(f"{path}?after={after}&limit={limit}")

    def upgrades_of(self, device_id: str) -> bytes:
        return self.get(f"/api/v1/devices/{check_device_id(device_id)}/upgrades")

    def upgrade_of(self, device_id: str, upgrade_id: str) -> bytes:
        path = f"/api/v1/devices/{check_device_id(device_id)}/upgrades"
        return self.get(f"{path}/{check_upgrade_id(upgrade_id)}")

    def label(self, device_id: str, changes: Changes) -> bytes:
        path = f"/api/v1/devices/{check_device_id(device_id)}/labels"
        put = {label.key: label.value for label in changes.put}
        labels = {**put, **dict.fromkeys(changes.removed)}
        return self._send("PATCH", path, json={"labels": labels}).content

    def why(self, device_id: str) -> bytes:
        return self.get(f"/api/v1/devices/{check_device_id(device_id)}/why")

    def enrol(self, device_id: str, public_key: str, valid_days: int | None = None) -> bytes:
        """None: as long as the operator gives them out for."""
        document: dict[str, Any] = {"device_id": check_device_id(device_id)}
        days = {} if valid_days is None else {"valid_days": valid_days}
        return self._post("/api/v1/devices", {**document, "public_key": public_key, **days})

    def plane(self) -> bytes:
        """Where devices reach the message plane."""
        return self.get("/api/v1/plane")

    def releases(self) -> bytes:
        return self.get("/api/v1/releases")

    def release(self, version: str) -> bytes:
        return self.get(f"/api/v1/releases/{check_version(version)}")

    def withdraw_release(self, version: str, reason: str | None) -> bytes:
        """None: take it back."""
        path = f"/api/v1/releases/{check_version(version)}"
        return self._send("PATCH", path, json={"withdrawn": reason}).content

    def add_release(self, version: str, artifact: BinaryIO) -> tuple[bytes, bool]:
        """Streams the file. False: the operator had these very bytes already."""
        path = f"/api/v1/releases/{check_version(version)}"
        answer = self._send("PUT", path, content=artifact)
        return answer.content, answer.status_code == httpx.codes.CREATED

    def refer_release(self, version: str, elsewhere: Artifact) -> tuple[bytes, bool]:
        """False: the operator knew these bytes already."""
        path = f"/api/v1/releases/{check_version(version)}/reference"
        document = {"url": elsewhere.url, "sha256": elsewhere.sha256}
        answer = self._send("PUT", path, json={**document, "size_bytes": elsewhere.size_bytes})
        return answer.content, answer.status_code == httpx.codes.CREATED

    def upgrade(self, chosen: Chosen, version: str, *, retry: bool, replace: bool) -> bytes:
        order = {**chosen.document(), "version": check_version(version)}
        order = {**order, "retry": retry, "replace": replace}
        return self._post("/api/v1/upgrades", order, many=chosen.many)

    def abort(self, chosen: Chosen) -> bytes:
        return self._post("/api/v1/aborts", chosen.document(), many=chosen.many)

    def rollback(self, chosen: Chosen) -> bytes:
        return self._post("/api/v1/rollbacks", chosen.document(), many=chosen.many)

    def pause(self, chosen: Chosen) -> bytes:
        return self._post("/api/v1/pauses", chosen.document(), many=chosen.many)

    def resume(self, chosen: Chosen) -> bytes:
        return self._post("/api/v1/resumes", chosen.document(), many=chosen.many)

    def preflight(self, chosen: Chosen, version: str) -> bytes:
        question = {**chosen.document(), "version": check_version(version)}
        return self._post("/api/v1/preflight", question)

    def get(self, path: str) -> bytes:
        return self._send("GET", path).content

    def _post(self, path: str, document: dict[str, Any], many: bool = False) -> bytes:
        limit_s = max(self._limit_s, MANY_LIMIT_S) if many else self._limit_s
        return self._send("POST", path, limit_s, json=document).content

    def _send(
        self, method: str, path: str, limit_s: float | None = None, **body: Any
    ) -> httpx.Response:
        give_up_s = time.monotonic() + min(LEADERLESS_LIMIT_S, self._limit_s)
        file = body.get("content")
        begin = file.tell() if file else 0
        while True:
            answer = self._ask(method, path, limit_s or self._limit_s, body)
            if answer.is_success:
                return answer
            kind, message = _said(answer)
            if kind != _NOT_LEADING or time.monotonic() > give_up_s:
                raise self._error(answer, kind, message)
            time.sleep(LEADERLESS_POLL_S)
            if file:
                file.seek(begin)

    def _ask(self, method: str, path: str, limit_s: float, body: dict[str, Any]) -> httpx.Response:
        faults = self.reach.faults
        timeout = httpx.Timeout(limit_s, connect=self._connect_s)
        try:
            return self._http.request(method, path, timeout=timeout, **body)
        except httpx.ConnectError as error:
            raise faults.unconnected(error) from error
        except httpx.TimeoutException as error:
            raise faults.silent(limit_s) from error
        except httpx.HTTPError as error:
            raise faults.broken(error) from error

    def _error(self, answer: httpx.Response, kind: str, message: str) -> FleetError:
        if (refusal := self.reach.faults.refused(answer)) is not None:
            return refusal
        if answer.status_code in _INPUT_STATUSES:
            return Refused(message, kind)
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            return ServerBusy(message)
        return self.reach.faults.failed(answer, message)


def _said(answer: httpx.Response) -> tuple[str, str]:
    """The error's kind and sentence, or the best that can be made of what came instead."""
    try:
        error = answer.json()["error"]
        return str(error["kind"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        return "http", f"HTTP {answer.status_code} {answer.reason_phrase}".strip()
