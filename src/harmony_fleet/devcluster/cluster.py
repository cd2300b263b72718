"""A cluster for development, made, looked at and removed.

Rules
1. The kubeconfig is written last: a cluster that has one was made to its end.
2. What was begun and did not come to its end is removed again. Where that cannot be, it is said
   what is left, and how to remove it.
3. Nothing is said to be removed that was not seen to be gone.
4. One process at a time works on a cluster: nobody removes what another one makes.
"""

import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.devcluster.engine import Engine
from harmony_fleet.devcluster.errors import Busy, DevClusterError, HalfMade, K3dFailed
from harmony_fleet.devcluster.program import ClusterState, K3d

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?")


class Made(StrEnum):
    """What `up` had to do."""

    CREATED = "created"
    STARTED = "started"
    NOTHING = "runs already"


@dataclass(frozen=True, slots=True)
class DevCluster:
    name: str
    k3d: K3d
    engine: Engine
    kubeconfig: Path
    """Where it is written. It lets in whoever reads it."""

    def state(self) -> ClusterState | None:
        """None: there is no such cluster. Raises DevClusterError.

        Where the engine has nothing of it, k3d is not asked, which may have to be downloaded.
        """
        is_local = self.engine.socket is not None
        return None if is_local and not self.engine.parts(self.name) else self.k3d.find(self.name)

    def up(self, agents: int, limit_s: float) -> Made:
        """Raises DevClusterError, and KeyboardInterrupt: then nothing that it made is left."""
        with self._alone():
            made = self._made(self.state(), agents, limit_s)
            self._write_kubeconfig()
            return made

    def down(self) -> bool:
        """False: there was nothing of it. Raises DevClusterError."""
        with self._alone():
            was = self.state() is not None or bool(self.engine.parts(self.name))
            if was and (left := self._remove()):
                raise HalfMade(
                    f"of the cluster {self.name} there is still {left}: remove that by the "
                    "engine's own command line"
                )
            self.kubeconfig.unlink(missing_ok=True)
            return was

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Raises Busy."""
        self.kubeconfig.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.kubeconfig.with_name(f".k3d-{self.name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Busy(
                    f"another `fleet dev cluster` works on {self.name} just now: wait for it"
                ) from error
            yield

    def _made(self, found: ClusterState | None, agents: int, limit_s: float) -> Made:
        if found is None:
            self.engine.check_room()
            self._create(agents, limit_s)
            return Made.CREATED
        if found.running:
            return Made.NOTHING
        self.k3d.start(self.name, limit_s)
        return Made.STARTED

    def _create(self, agents: int, limit_s: float) -> None:
        try:
            self.k3d.create(self.name, agents, limit_s)
        except Busy:
            raise
        except (DevClusterError, KeyboardInterrupt) as error:
            why = str(error) or "it was interrupted"
            try:
                left = self._remove()
            except DevClusterError as later:
                left = f"what cannot be seen now ({later})"
            if left:
                raise HalfMade(
                    f"the cluster {self.name} was not made to its end: {why}; there is still "
                    f"{left}: remove it by `fleet dev cluster down --name {self.name}`"
                ) from error
            if isinstance(error, DevClusterError):
                raise type(error)(f"{error}; nothing of it is left") from error
            raise

    def _remove(self) -> str:
        """What is left, in words; empty: nothing. Raises DevClusterError."""
        with suppress(K3dFailed):  # what it leaves is removed below, or told
            self.k3d.delete(self.name)
        for part in self.engine.parts(self.name):
            self.engine.delete(part)
        left = [str(part) for part in self.engine.parts(self.name)]
        if not left and self.state() is not None:
            left = [f"what `k3d cluster list` shows as {self.name}"]
        return ", ".join(left)

    def _write_kubeconfig(self) -> None:
        """For its owner alone. Raises K3dFailed: what is there is no whole cluster."""
        try:
            text = self.k3d.kubeconfig(self.name)
        except K3dFailed as error:
            raise K3dFailed(
                f"the cluster {self.name} gives no kubeconfig ({error}): if it was not made to its "
                f"end, remove it by `fleet dev cluster down --name {self.name}`"
            ) from error
        number, new = tempfile.mkstemp(prefix=".fleet-", dir=self.kubeconfig.parent)
        try:
            with os.fdopen(number, "w") as file:
                file.write(text)
            Path(new).replace(self.kubeconfig)
        except BaseException:
            Path(new).unlink(missing_ok=True)
            raise


def check_name(name: str) -> str:
    """As k3d takes it. Raises InvalidValue."""
    if _NAME.fullmatch(name):
        return name
    raise InvalidValue(
        f"{name[:80]!r} is no name of a cluster: up to 32 small letters, digits and -, no - at "
        "either end"
    )
