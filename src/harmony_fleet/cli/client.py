"""The operator's HTTP API, one method for each thing that a command asks.

Where the operator listens, which token it takes and which authority vouches for it stand in the
data folder. Answers are the bytes that came, of a status below 300; all else is a typed error with
a sentence for a person.
No proxy of the environment is used: the operator is on this machine, or named by its URL.
"""

import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self
from urllib.parse import quote

import httpx

from harmony_fleet.cli.errors import (
    NotTrusted,
    NotUp,
    Refused,
    ServerBusy,
    ServerFailed,
    Unreachable,
    WrongToken,
)
from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.contracts.identity import (
    check_device_id,
    check_upgrade_id,
    check_url,
    check_version,
)
from harmony_fleet.contracts.upgrade import Artifact
from harmony_fleet.labels import Changes
from harmony_fleet.messaging.trust import plane_context

CA: Final = "tls/ca.pem"
"""In the data folder."""
CONNECT_LIMIT_S: Final = 5.0
ANSWER_LIMIT_S: Final = 30.0

_INPUT_STATUSES: Final = frozenset({400, 404, 409, 413, 422})


@dataclass(frozen=True, slots=True)
class Chosen:
    """The devices that an order is for: by name, by their labels, or all of them."""

    devices: tuple[str, ...] | None = None
    selector: str | None = None

    def document(self) -> dict[str, Any]:
        if self.selector is not None:
            return {"devices": None, "selector": self.selector}
        names = self.devices
        return {"devices": None if names is None else [check_device_id(one) for one in names]}


class FleetClient:
    """Raises from every method: a CommandFailed of `errors`, or Refused."""

    def __init__(
        self, data: Path, answer_limit_s: float = ANSWER_LIMIT_S, ca: Path | None = None
    ) -> None:
        """`ca`: the authority to trust, where it is not the data folder's own."""
        self.data = data
        self.url, self.nats_url = _where(data)
        self.ca = (ca or data / CA) if self.url.startswith("https://") else None
        self._limit_s = answer_limit_s
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {_token(data)}"},
            timeout=httpx.Timeout(answer_limit_s, connect=min(CONNECT_LIMIT_S, answer_limit_s)),
            trust_env=False,
            # Without TLS it trusts nobody. Loading the authorities of the world would take longer
            # than most requests.
            verify=plane_context(self.ca) if self.ca else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        )

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
        return self._post("/api/v1/upgrades", {**order, "retry": retry, "replace": replace})

    def abort(self, chosen: Chosen) -> bytes:
        return self._post("/api/v1/aborts", chosen.document())

    def rollback(self, chosen: Chosen) -> bytes:
        return self._post("/api/v1/rollbacks", chosen.document())

    def preflight(self, chosen: Chosen, version: str) -> bytes:
        question = {**chosen.document(), "version": check_version(version)}
        return self._post("/api/v1/preflight", question)

    def get(self, path: str) -> bytes:
        return self._send("GET", path).content

    def _post(self, path: str, document: dict[str, Any]) -> bytes:
        return self._send("POST", path, json=document).content

    def _send(self, method: str, path: str, **body: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **body)
        except httpx.ConnectError as error:
            if (reason := _distrust(error)) is not None:
                raise NotTrusted(self.url, self.ca, reason) from error
            raise NotUp(self.data) from error
        except httpx.TimeoutException as error:
            raise Unreachable(
                f"the operator at {self.url} did not answer within {self._limit_s:g} s: "
                "look at what `fleet up` says"
            ) from error
        except httpx.HTTPError as error:
            raise Unreachable(
                f"the connection to the operator at {self.url} broke off "
                f"({type(error).__name__}): look at what `fleet up` says"
            ) from error
        if answer.is_success:
            return answer
        raise self._error(answer)

    def _error(self, answer: httpx.Response) -> FleetError:
        kind, message = _said(answer)
        if answer.status_code in {401, 403}:
            return WrongToken(
                f"the operator at {self.url} does not take the token in {self.data / 'token'}: "
                "run as the user who ran `fleet up`, with the same --data"
            )
        if answer.status_code in _INPUT_STATUSES:
            return Refused(message, kind)
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            return ServerBusy(message)
        return ServerFailed(
            f"the operator at {self.url} failed with HTTP {answer.status_code} ({message}): "
            "look at what `fleet up` says"
        )


def _where(data: Path) -> tuple[str, str]:
    """The operator's URL, and the message plane's."""
    try:
        up = json.loads((data / "up.json").read_bytes())
        return check_url(up["url"]), str(up.get("nats_url", ""))
    except FileNotFoundError as error:
        raise NotUp(data) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ServerFailed(
            f"{data / 'up.json'} does not say where the operator is ({error}): restart `fleet up`"
        ) from error


def _distrust(error: BaseException) -> str | None:
    """Why the certificate was not believed, where that is what lies below an error."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, ssl.SSLCertVerificationError):
            return below.verify_message
        below = below.__cause__ or below.__context__
    return None


def _token(data: Path) -> str:
    path = data / "token"
    try:
        token = path.read_text(encoding="ascii").strip()
    except FileNotFoundError as error:
        raise NotUp(data) from error
    except ValueError as error:
        raise WrongToken(f"{path} holds no token: restart `fleet up`") from error
    if not token.isprintable() or " " in token:
        raise WrongToken(f"{path} holds no token: restart `fleet up`")
    return token


def _said(answer: httpx.Response) -> tuple[str, str]:
    """The error's kind and sentence, or the best that can be made of what came instead."""
    try:
        error = answer.json()["error"]
        return str(error["kind"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        return "http", f"HTTP {answer.status_code} {answer.reason_phrase}".strip()
