"""The operator's HTTP API as a script: a real server on a real socket that says what a test wants.

Lists of devices are a script: each look takes the next one, the last one stays. Everything that
was asked is remembered. It checks the token, and nothing else.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest

from harmony_fleet.cli.main import main

TOKEN: Final = "the-token-of-this-test"
UPGRADE_ID: Final = "0123456789abcdef" * 2
OTHER_ID: Final = "fedcba9876543210" * 2
SINCE: Final = "2026-02-03T04:05:06.789012Z"

Json = dict[str, Any]


def device(device_id: str = "local-1", version: str | None = "1.0.0", **fields: Any) -> Json:
    view: Json = {
        "device_id": device_id,
        "current_version": version,
        "online": version is not None,
        "heartbeat_age_s": None if version is None else 0.4,
        "instance_id": None if version is None else f"instance-of-{device_id}",
        "boot_id": None if version is None else "boot",
        "conditions": [],
        "labels": {},
        "upgrade": None,
        "a_field_of_tomorrow": 1,
    }
    return view | fields


def upgrading(phase: str, device_id: str = "local-1", **fields: Any) -> Json:
    """A device on its way from 1.0.0 to 1.1.0."""
    final = phase in {"Succeeded", "Failed", "RolledBack", "Unresolved", "NeverStarted"}
    upgrade: Json = {
        "upgrade_id": UPGRADE_ID,
        "generation": 1,
        "from_version": "1.0.0",
        "to_version": "1.1.0",
        "phase": phase,
        "desired": "run",
        "attempt": 1,
        "since": SINCE,
        "final": final,
        "cause": None,
        "progress": None,
        "waits_for": None if final else "something to happen",
    }
    return device(device_id, upgrade=upgrade | fields)


def cause(kind: str = "self_test_failed", evidence: str = "no module named x\nexit 1") -> Json:
    return {"kind": kind, "sentence": "the self-test failed", "evidence": evidence}


def ordered(*device_ids: str) -> Json:
    return {
        "results": [
            {"device_id": one, "ordered": True, "upgrade_id": UPGRADE_ID, "reason": None}
            for one in device_ids
        ]
    }


def refused(device_id: str, reason: str) -> Json:
    return {"device_id": device_id, "ordered": False, "upgrade_id": None, "reason": reason}


def preflighted(device_id: str, *checks: tuple[str, str, str]) -> Json:
    """Each check: its name, its state, its sentence. The worst state is the verdict."""
    order = ("failed", "unknown", "warning", "ok")
    states = [state for _, state, _ in checks]
    verdict = next((state for state in order if state in states), "unknown")
    found = [{"name": name, "state": state, "detail": words} for name, state, words in checks]
    return {"device_id": device_id, "verdict": verdict, "checks": found}


def event(
    number: int, sentence: str, kind: str = "phase", upgrade_id: str | None = UPGRADE_ID
) -> Json:
    told: Json = {"number": number, "device_id": "local-1", "at": SINCE, "kind": kind}
    return told | {"sentence": sentence, "upgrade_id": upgrade_id, "side": "device"}


@dataclass
class Script:
    """What the server says."""

    looks: list[list[Json]] = field(default_factory=lambda: [[]])
    past: dict[str, Json] = field(default_factory=dict)
    """Upgrades that a newer one has replaced, by their id."""
    kept: list[Json] = field(default_factory=list)
    """The upgrades of any device, as its list of them."""
    events: list[Json] = field(default_factory=list)
    releases: list[Json] = field(default_factory=list)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    upgrades: Json = field(default_factory=lambda: {"results": []})
    aborts: Json = field(default_factory=lambda: {"results": []})
    rollbacks: Json = field(default_factory=lambda: {"results": []})
    pauses: Json = field(default_factory=lambda: {"results": []})
    """And the ends of them."""
    plane: str = "tls://fleet.example:4222"
    """Where devices are told that the message plane is."""
    preflight: Json = field(default_factory=lambda: {"version": "1.1.0", "results": []})
    registered: set[str] = field(default_factory=set)
    heard: bool = True
    """Whether a device that registers is heard."""
    errors: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    """By method and path: status, kind, message."""
    raw: dict[str, bytes] = field(default_factory=dict)
    """By method and path: an answer that is not what the API says."""
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    """Of each thing asked."""

    def documents(self, method: str, path: str) -> list[Any]:
        return [json.loads(body) for m, p, body in self.asked if (m, p) == (method, path)]

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, bytes]:
        path = urlsplit(target).path
        self.asked.append((method, path, body))
        self.queries.append(urlsplit(target).query)
        name = f"{method} {path}"
        if name in self.raw:
            return 200, self.raw[name]
        if name in self.errors:
            status, kind, message = self.errors[name]
            return status, json.dumps({"error": {"kind": kind, "message": message}}).encode()
        if path.startswith("/artifacts/"):
            return 200, self.artifacts[path.removeprefix("/artifacts/")]
        status, document = self._document(method, path, parse_qs(urlsplit(target).query), body)
        return status, json.dumps(document).encode()

    def _document(self, method: str, path: str, query: Json, body: bytes) -> tuple[int, Json]:
        match method, path.removeprefix("/api/v1/").split("/"):
            case "GET", ["devices"]:
                return 200, {"devices": self._look()}
            case "POST", ["devices"]:
                return 201, self._register(json.loads(body))
            case "GET", ["devices", name]:
                return self._one(self._look(), "device_id", name)
            case "PATCH", ["devices", name, "labels"]:
                return self._one(self._look(), "device_id", name)
            case "GET", ["devices", name, "why"]:
                return 200, {"device_id": name, "text": f"{name} runs 1.0.0."}
            case "GET", ["devices", _, "upgrades"]:
                return 200, {"upgrades": self.kept}
            case "GET", ["devices", _, "upgrades", upgrade_id]:
                return self._upgrade(upgrade_id)
            case "GET", ["devices", _, "events"]:
                return 200, {"events": self._events(query)}
            case "GET", ["plane"]:
                return 200, {"nats_url": self.plane, "ca": ""}
            case "GET", ["releases"]:
                return 200, {"releases": self.releases}
            case "GET", ["releases", version]:
                return self._one(self.releases, "version", version)
            case "PATCH", ["releases", version]:
                return self._one(self.releases, "version", version)
            case "PUT", ["releases", version]:
                return self._one(self.releases, "version", version, found=201)
            case "PUT", ["releases", version, "reference"]:
                return self._one(self.releases, "version", version, found=201)
            case "POST", ["upgrades" | "aborts" | "rollbacks" as orders]:
                return 202, getattr(self, orders)
            case "POST", ["pauses" | "resumes"]:
                return 200, self.pauses
            case "POST", ["preflight"]:
                return 200, self.preflight
            case _:
                return 404, {"error": {"kind": "not_found", "message": f"no {method} {path}"}}

    def _one(self, every: list[Json], key: str, name: str, found: int = 200) -> tuple[int, Json]:
        for one in every:
            if one[key] == name:
                return found, one
        return 404, {"error": {"kind": "unknown", "message": f"there is no {key} {name}"}}

    def _upgrade(self, upgrade_id: str) -> tuple[int, Json]:
        if upgrade_id in self.past:
            return 200, self.past[upgrade_id]
        return 404, {"error": {"kind": "unknown_upgrade", "message": f"no {upgrade_id}"}}

    def _look(self) -> list[Json]:
        now = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        new = [device(name) for name in sorted(self.registered)] if self.heard else []
        return now + new

    def _register(self, asked: Json) -> Json:
        self.registered.add(asked["device_id"])
        jwt = f"jwt-for-{asked['public_key']}"
        return {"device_id": asked["device_id"], "jwt": jwt, "nats_url": "nats://127.0.0.1:1"}

    def _events(self, query: Json) -> list[Json]:
        after, limit = int(query["after"][0]), int(query["limit"][0])
        return [one for one in self.events if one["number"] > after][:limit]


@contextmanager
def standing(data: Path, script: Script, port: int = 0) -> Iterator[str]:
    """The server, and the data folder as `fleet up` leaves it. Gives the URL."""

    class Handler(BaseHTTPRequestHandler):
        def _take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer = script.answer(self.command, self.path, body)
            is_api = self.path.startswith("/api/")
            if is_api and self.headers.get("Authorization") != f"Bearer {TOKEN}":
                status, answer = 401, b'{"error":{"kind":"unauthorized","message":"no"}}'
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_PATCH = _take  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    be_up(data, url)
    try:
        yield url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def be_up(data: Path, url: str, token: str = TOKEN) -> None:
    data.mkdir(parents=True, exist_ok=True)
    up = {"url": url, "pid": 1, "nats_url": "nats://127.0.0.1:1"}
    (data / "up.json").write_text(json.dumps(up))
    (data / "token").write_text(token + "\n")


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> Json:
        found: Json = json.loads(self.err)["error"]
        return found


@dataclass(frozen=True)
class Cli:
    """`fleet` in this process, as in a pipe, against one data folder."""

    data: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Ran:
        self.capture.readouterr()
        status = main([*arguments, "--data", str(self.data)])
        said = self.capture.readouterr()
        return Ran(status, said.out, said.err)
