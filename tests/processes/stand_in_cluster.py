"""An API server as far as `kubectl fleet` asks one: a Service, a Secret, and the proxy to a script.

As the real one does, it takes `Authorization` for itself and passes the other headers on, answers
in its own name by a `Status`, and says of a proxy what it cannot reach. `tests/kube` has the real
one; this one is quick, and refuses what a test wants.
"""

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from tests.processes.stand_in_api import TOKEN, Script

USER_TOKEN: Final = "of-a-user-of-the-cluster"
NAMESPACE: Final = "fleet"
BASE: Final = f"/api/v1/namespaces/{NAMESPACE}"
SERVICE: Final = f"{BASE}/services/harmony-fleet"
SECRET: Final = f"{BASE}/secrets/harmony-fleet-api"
TOKEN_SECRET: Final = "harmony-fleet.dev/token-secret"
PROXY: Final = f"{BASE}/services/https:harmony-fleet:api/proxy"

Json = dict[str, Any]


@dataclass
class StandInCluster:
    script: Script
    ports: list[Json] = field(default_factory=lambda: [{"name": "api", "appProtocol": "https"}])
    token: str = TOKEN
    """What the Secret holds."""
    annotations: Json = field(default_factory=dict)
    secret_type: str = "Opaque"
    users: set[str] = field(default_factory=lambda: {USER_TOKEN})
    statuses: dict[str, tuple[int, str]] = field(default_factory=dict)
    """By a path's beginning: what the API server says in its own name."""
    leaderless: int = 0
    """So many of the next requests find no replica that leads."""
    asked: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)
    """Method, path and headers, of all that the API server was asked."""

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes]:
        self.asked.append((method, target, headers))
        if headers.get("authorization", "") not in {f"Bearer {one}" for one in self.users}:
            return _status(401, "Unauthorized")
        for begin, (code, message) in self.statuses.items():
            if target.startswith(begin):
                return _status(code, message)
        if target == SERVICE:
            metadata = {"annotations": self.annotations} if self.annotations else {}
            service = {"metadata": metadata, "spec": {"ports": self.ports}}
            return 200, json.dumps(service).encode()
        if target == f"{BASE}/secrets/{self.annotations.get(TOKEN_SECRET, 'harmony-fleet-api')}":
            data = {"token": base64.b64encode(self.token.encode()).decode()}
            return 200, json.dumps({"type": self.secret_type, "data": data}).encode()
        if target.startswith(f"{PROXY}/"):
            return self._proxied(method, target.removeprefix(PROXY), headers, body)
        return _status(404, f'services "{target.split("/")[6]}" not found')

    def _proxied(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes]:
        if self.leaderless:
            self.leaderless -= 1
            return 503, b'{"error":{"kind":"not_leading","message":"no replica leads just now"}}'
        if headers.get("fleet-token") != TOKEN:
            return 401, b'{"error":{"kind":"unauthorized","message":"the token is wrong"}}'
        return self.script.answer(method, target, body)


def _status(code: int, message: str) -> tuple[int, bytes]:
    return code, json.dumps({"kind": "Status", "code": code, "message": message}).encode()


@contextmanager
def standing_cluster(cluster: StandInCluster) -> Iterator[str]:
    """Gives the API server's URL."""

    class Handler(BaseHTTPRequestHandler):
        def _take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, answer = cluster.answer(self.command, self.path, headers, body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_PATCH = _take  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def kubeconfig(
    path: Path, url: str, user: Json | None = None, name: str = "tests", **cluster: str
) -> Path:
    """One context, which is the current one."""
    document = {
        "clusters": [{"name": name, "cluster": {"server": url, **cluster}}],
        "users": [{"name": name, "user": {"token": USER_TOKEN} if user is None else user}],
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": name, "namespace": NAMESPACE}}
        ],
        "current-context": name,
    }
    path.write_text(json.dumps(document))
    return path
