"""The container engine that clusters run in: Docker, or Podman, which speaks the same language.

It is looked for as its own command line does: $DOCKER_HOST, the chosen context of
~/.docker/config.json, then the usual sockets. Asked are only what k3d does not tell: whether it
answers, where its disk is, and what is left of a cluster.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from harmony_fleet.devcluster.engine_socket import Answer, ask, why
from harmony_fleet.devcluster.errors import EngineGone, NoEngine, NoRoom

ROOM_BYTES: Final = 2 * 1024**3
"""What the images of a cluster take, once they are unpacked."""
_UNIX: Final = "unix://"
_PODMAN: Final = "Libpod"
"""How Podman calls itself, in the header Server."""


@dataclass(frozen=True, slots=True)
class Part:
    """Something of a cluster that the engine has: a container, a network, a volume."""

    kind: str
    name: str
    path: str
    """Of the engine's API, to delete it by."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Engine:
    host: str
    """As $DOCKER_HOST has it."""
    name: str = "Docker"
    root: Path | None = None
    """Where its images are, if it says so."""

    @property
    def socket(self) -> Path | None:
        """None: it is on another machine, and only k3d talks to it."""
        return Path(self.host.removeprefix(_UNIX)) if self.host.startswith(_UNIX) else None

    def environment(self) -> dict[str, str]:
        """For k3d."""
        mounted = {} if self.socket is None else {"DOCKER_SOCK": str(self.socket)}
        return {"DOCKER_HOST": self.host, **mounted}

    def check_room(self) -> None:
        """Raises NoRoom. A disk that is not this machine's is not looked at."""
        if self.socket is None or self.root is None or not self.root.is_dir():
            return
        free = shutil.disk_usage(self.root).free
        if free < ROOM_BYTES:
            raise NoRoom(
                f"{self.root} of {self.name} has {free // 1024**2} MiB left, and a cluster takes "
                f"{ROOM_BYTES // 1024**2}: free some, as by `{self.name.lower()} system prune`"
            )

    def parts(self, cluster: str) -> list[Part]:
        """What there is of it now, in the order in which it can be deleted.

        Raises EngineGone. Nothing is known of an engine on another machine.
        """
        try:
            return [] if self.socket is None else list(self._parts(cluster))
        except (LookupError, TypeError, AttributeError) as error:
            raise EngineGone(
                f"{self.name} at {self.host} does not answer as Docker does ({error!r})"
            ) from error

    def delete(self, part: Part) -> None:
        """As far as the engine lets it; `parts` says what is left. Raises EngineGone."""
        self._ask("DELETE", part.path)

    def _parts(self, cluster: str) -> Iterator[Part]:
        labelled = _filters(label=[f"k3d.cluster={cluster}"])
        for one in self._get(f"/containers/json?all=1&{labelled}") or ():
            yield Part("container", _first(one), f"/containers/{one['Id']}?force=1&v=1")
        for one in self._get(f"/networks?{_filters(label=['app=k3d'])}") or ():
            if one["Name"] == f"k3d-{cluster}":
                yield Part("network", one["Name"], f"/networks/{one['Id']}")
        for one in (self._get(f"/volumes?{labelled}") or {}).get("Volumes") or ():
            yield Part("volume", one["Name"], f"/volumes/{quote(one['Name'])}?force=1")

    def _get(self, path: str) -> Any:
        answer = self._ask("GET", path)
        if answer.status != HTTPStatus.OK:
            raise EngineGone(f"{self.name} at {self.host} cannot say it (HTTP {answer.status})")
        return answer.document

    def _ask(self, method: str, path: str) -> Answer:
        assert self.socket is not None  # noqa: S101 - nothing is asked of another machine's
        try:
            return ask(self.socket, method, path)
        except OSError as error:
            raise EngineGone(
                f"{self.name} at {self.host} does not answer ({why(error)})"
            ) from error


def _first(container: Mapping[str, Any]) -> str:
    return str(container["Names"][0]).lstrip("/")


def _filters(**of: list[str]) -> str:
    return f"filters={quote(json.dumps(of))}"


def find_engine(environment: Mapping[str, str]) -> Engine:
    """The first one that answers. Raises NoEngine."""
    tried = []
    for host in _hosts(environment):
        if not host.startswith(_UNIX):
            return Engine(host)
        socket_path = Path(host.removeprefix(_UNIX))
        try:
            answer = ask(socket_path, "GET", "/info")
        except OSError as error:
            tried.append(f"{socket_path}: {why(error)}")
            continue
        if answer.status != HTTPStatus.OK:
            tried.append(f"{socket_path}: HTTP {answer.status}")
            continue
        info = answer.document
        root = info.get("DockerRootDir") if isinstance(info, dict) else None
        name = "Podman" if answer.server.startswith(_PODMAN) else "Docker"
        return Engine(host, name, Path(root) if root else None)
    raise NoEngine(
        f"no container engine answers ({'; '.join(tried)}): start Docker, or Podman's socket "
        "(`systemctl --user start podman.socket`), as a user who may use it, or name it by "
        "DOCKER_HOST"
    )


def _hosts(environment: Mapping[str, str]) -> list[str]:
    if named := environment.get("DOCKER_HOST"):
        return [named]
    if host := _of_context(environment):
        return [host]
    sockets = ["/var/run/docker.sock", "/run/podman/podman.sock"]
    if own := environment.get("XDG_RUNTIME_DIR"):
        sockets[1:1] = [f"{own}/docker.sock", f"{own}/podman/podman.sock"]
    return [f"{_UNIX}{one}" for one in sockets]


def _of_context(environment: Mapping[str, str]) -> str | None:
    """Of the context that Docker's command line was told to use; None: it is the default."""
    home = environment.get("HOME") or str(Path.home())
    folder = Path(environment.get("DOCKER_CONFIG") or f"{home}/.docker")
    try:
        configured = json.loads((folder / "config.json").read_bytes()).get("currentContext")
    except (OSError, ValueError, AttributeError):
        configured = None
    name = environment.get("DOCKER_CONTEXT") or configured
    if not name or name == "default":
        return None
    meta = folder / "contexts/meta" / sha256(str(name).encode()).hexdigest() / "meta.json"
    try:
        return str(json.loads(meta.read_bytes())["Endpoints"]["docker"]["Host"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoEngine(
            f"Docker's context {name} cannot be read ({why(error)}): choose one by "
            "`docker context use`"
        ) from error
