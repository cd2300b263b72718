"""A container engine and a k3d for tests, below the boundary of processes and sockets.

No container is ever started. The engine is an HTTP server on a Unix socket, with as much of
Docker's API as is asked of it; `k3d` is a program that anybody can run. What either makes is a file
in one folder, which both keep their state in. They do as k3d 5.8.3 does also where that surprises:
`cluster delete` ends with 0 where the engine does not answer, and leaves a network and a volume
that no container is in.
"""

import json
import os
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

KINDS = ("containers", "networks", "volumes")


@dataclass(frozen=True)
class State:
    """What there is, as files: kind/name, each a JSON document."""

    folder: Path

    def made(self) -> "State":
        for kind in KINDS:
            (self.folder / kind).mkdir(parents=True)
        (self.folder / "asked").touch()
        return self

    def names(self, kind: str) -> list[str]:
        return sorted(one.name for one in (self.folder / kind).iterdir())

    def everything(self) -> list[str]:
        return [f"{kind}/{name}" for kind in KINDS for name in self.names(kind)]

    def documents(self, kind: str) -> list[dict[str, Any]]:
        return [json.loads((self.folder / kind / name).read_text()) for name in self.names(kind)]

    def put(self, kind: str, name: str, **more: Any) -> None:
        new = self.folder / f"new-{os.getpid()}"
        new.write_text(json.dumps({"Name": name, "Id": name} | more))
        new.rename(self.folder / kind / name)

    def asked(self) -> list[list[str]]:
        """The words of each call of k3d."""
        lines = (self.folder / "asked").read_text().splitlines()
        return [json.loads(line) for line in lines]

    # What a test wants

    def hold(self, step: str) -> None:
        """Whoever makes a cluster waits before this step: network, volume, server, ready."""
        (self.folder / "hold").write_text(step)

    def held(self) -> bool:
        return (self.folder / "held").exists()

    def go_on(self) -> None:
        (self.folder / "hold").unlink(missing_ok=True)

    def fail(self, step: str, words: str) -> None:
        (self.folder / "fail").write_text(f"{step}\n{words}")

    def keep(self, path: str) -> None:
        """The engine refuses to delete this one."""
        (self.folder / "kept").write_text(path)


# The engine


@contextmanager
def engine(folder: Path, state: State, server: str = "Docker/28.2.2 (linux)") -> Iterator[Path]:
    """Gives its socket. It is gone with the block."""
    import socketserver  # not for k3d, which is started often
    from http.server import BaseHTTPRequestHandler

    path = folder / "engine.sock"

    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = server, ""

        def address_string(self) -> str:
            return "a client"

        def do_GET(self) -> None:
            self._answer(200, _listed(state, self.path))

        def do_DELETE(self) -> None:
            kind, name = unquote(urlsplit(self.path).path).strip("/").split("/")
            kept = state.folder / "kept"
            if kept.exists() and kept.read_text() == f"{kind}/{name}":
                self._answer(409, {"message": f"{name} is in use"})
                return
            (state.folder / kind / name).unlink(missing_ok=True)
            self._answer(204, None)

        def _answer(self, status: int, document: Any) -> None:
            body = b"" if document is None else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if body:  # who asked may have left after the headers
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    listener = socketserver.ThreadingUnixStreamServer(str(path), Handler)
    thread = threading.Thread(target=listener.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield path
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()
        path.unlink()


def _listed(state: State, target: str) -> Any:
    url = urlsplit(target)
    if url.path == "/info":
        return {"DockerRootDir": str(state.folder), "ServerVersion": "28.2.2"}
    filters = json.loads(parse_qs(url.query)["filters"][0])
    labels = dict(one.split("=") for one in filters["label"])
    kind = url.path.strip("/").split("/")[0]
    found = [
        one
        for one in state.documents(kind)
        if all(one["Labels"].get(name) == value for name, value in labels.items())
    ]
    if kind == "volumes":
        return {"Volumes": found or None}
    return [one | {"Names": [f"/{one['Name']}"]} for one in found]


# k3d


def program(path: Path, state: State) -> Path:
    """Makes it."""
    root = Path(__file__).resolve().parents[2]
    path.write_text(
        f"#!{sys.executable} -IS\nimport sys\nsys.path.insert(0, {str(root)!r})\n"
        "from tests.processes.stand_in_engine import k3d\n"
        f"sys.exit(k3d({str(state.folder)!r}, sys.argv[1:]))\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def k3d(folder: str, words: list[str]) -> int:
    """Its exit status."""
    state = State(Path(folder))
    with (state.folder / "asked").open("a") as asked:
        asked.write(json.dumps(words) + "\n")
    names = [one for one in words[2:] if not one.startswith("--")]
    match words[:2]:
        case ["cluster", "list"]:
            return _list(state)
        case ["cluster", "create"]:
            return _create(state, names[0], _agents(words))
        case ["cluster", "start"]:
            return _start(state, names[0])
        case ["cluster", "delete"]:
            return _delete(state, names[0])
        case ["kubeconfig", "get"]:
            return _kubeconfig(state, names[0])
        case _:
            return _fatal(f'unknown command "{words[0]}" for "k3d"')


def _agents(words: list[str]) -> int:
    return next(int(one.partition("=")[2]) for one in words if one.startswith("--agents="))


def _fatal(words: str) -> int:
    sys.stderr.write(f"FATA[0000] {words}\n")
    return 1


def _gone() -> str | None:
    """What k3d is told by an engine that does not answer."""
    import socket

    host = os.environ["DOCKER_HOST"]
    with socket.socket(socket.AF_UNIX) as tried:
        try:
            tried.connect(host.removeprefix("unix://"))
        except OSError:
            return f"Cannot connect to the Docker daemon at {host}. Is the docker daemon running?"
    return None


def _nodes(state: State, name: str) -> list[dict[str, Any]]:
    every = state.documents("containers")
    return [one for one in every if one["Labels"].get("k3d.cluster") == name]


def _list(state: State) -> int:
    if gone := _gone():
        return _fatal(f"runtime failed to list nodes: docker failed to get containers: {gone}")
    found = []
    for name in sorted({one["Labels"]["k3d.cluster"] for one in state.documents("containers")}):
        counts = {"name": name}
        for role in ("server", "agent"):
            nodes = [one for one in _nodes(state, name) if one["Labels"]["k3d.role"] == role]
            running = [one for one in nodes if one["Running"]]
            counts |= {f"{role}sCount": len(nodes), f"{role}sRunning": len(running)}
        found.append(counts)
    print(json.dumps(found))  # noqa: T201 - a program
    return 0


def _create(state: State, name: str, agents: int) -> int:
    if _nodes(state, name):
        return _fatal(
            f"Failed to create cluster '{name}' because a cluster with that name already exists"
        )
    labels = {"app": "k3d", "k3d.cluster": name}
    servers = [("server", f"k3d-{name}-server-0")]
    nodes = servers + [("agent", f"k3d-{name}-agent-{one}") for one in range(agents)]
    try:
        _step(state, "network")
        state.put("networks", f"k3d-{name}", Labels={"app": "k3d"})
        _step(state, "volume")
        state.put("volumes", f"k3d-{name}-images", Labels=labels)
        _step(state, "server")
        for role, node in nodes:
            state.put("containers", node, Labels=labels | {"k3d.role": role}, Running=False)
        _run(state, name)
        _step(state, "ready")
        return 0
    except Failed as error:
        sys.stderr.write(f"ERRO[0001] Failed Cluster Start: {error}\n")
        sys.stderr.write("ERRO[0001] Failed to create cluster >>> Rolling Back\n")
        _delete(state, name)
        return _fatal("Cluster creation FAILED, all changes have been rolled back!")


class Failed(Exception):
    pass


def _step(state: State, name: str) -> None:
    import time

    hold = state.folder / "hold"
    while hold.exists() and hold.read_text() == name:
        (state.folder / "held").touch()
        time.sleep(0.01)
    fail = state.folder / "fail"
    if fail.exists() and fail.read_text().split("\n")[0] == name:
        raise Failed(fail.read_text().split("\n")[1])
    if gone := _gone():
        raise Failed(gone)


def _run(state: State, name: str) -> None:
    for one in _nodes(state, name):
        document = {key: value for key, value in one.items() if key not in {"Name", "Id"}}
        state.put("containers", one["Name"], **document | {"Running": True})


def _start(state: State, name: str) -> int:
    if not _nodes(state, name):
        return _fatal("No nodes found for given cluster")
    try:
        _step(state, "ready")
    except Failed as error:
        return _fatal(f"Failed to start cluster: {error}")
    _run(state, name)
    return 0


def _delete(state: State, name: str) -> int:
    if gone := _gone():
        sys.stderr.write(f"ERRO[0000] Failed to get nodes for cluster '{name}': {gone}\n")
        return 0
    nodes = _nodes(state, name)
    for one in nodes:
        (state.folder / "containers" / one["Name"]).unlink()
    if nodes:
        (state.folder / "networks" / f"k3d-{name}").unlink(missing_ok=True)
        (state.folder / "volumes" / f"k3d-{name}-images").unlink(missing_ok=True)
    return 0


def _kubeconfig(state: State, name: str) -> int:
    nodes = _nodes(state, name)
    if not nodes:
        return _fatal("No nodes found for given cluster")
    if not nodes[0]["Running"]:
        return _fatal("failed to copy path '/output/kubeconfig.yaml' from container")
    print(f"---\napiVersion: v1\nkind: Config\ncurrent-context: k3d-{name}")  # noqa: T201
    return 0
