"""The versions' contract, held by the files of a device, the fake executor, and the simulation."""

import os
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest

from harmony_fleet.agent.upgrade.layout import ATTEMPT_OPEN, Layout, Paths
from harmony_fleet.agent.upgrade.ports import FLEET_AGENT
from harmony_fleet.simulation.disk import ATTEMPT_OPEN as OPEN
from harmony_fleet.simulation.disk import LINK, TORN, Disk, file_of
from harmony_fleet.simulation.files import DiskVersions
from harmony_fleet.simulation.files import Program as Plain
from harmony_fleet.testing import versions_suite
from harmony_fleet.testing.fake_executor import FakeExecutor
from harmony_fleet.testing.fake_versions import FakeFile
from harmony_fleet.testing.programs import write_program
from harmony_fleet.testing.versions_suite import OLD, TOTAL_KEPT, Case, World


class LayoutWorld:
    def __init__(self, root: Path) -> None:
        versions, programs = root / "usr/lib/fleet-agent", root / "usr/bin"
        self.paths = Paths(
            versions, programs / "fleet-agent", versions / "previous", root / "var/lib/fleet-agent"
        )
        for folder in (versions, programs, self.paths.state):
            folder.mkdir(parents=True)
        self.serial = count()
        self.versions = Layout(FLEET_AGENT, self.paths, None, OLD, TOTAL_KEPT)
        self.install(OLD)
        self.versions.own_descriptor = os.open(self.versions.path_of(OLD), os.O_RDONLY)

    def close(self) -> None:
        assert self.versions.own_descriptor is not None
        os.close(self.versions.own_descriptor)

    def install(self, version: str) -> str:
        return self._write(self.versions.path_of(version))

    def install_plainly(self) -> str:
        return self._write(self.paths.link)

    def digest(self, version: str) -> str | None:
        return _digest(self.versions.path_of(version))

    def digest_behind_link(self) -> str | None:
        return _digest(self.paths.link)

    def damage(self, version: str) -> None:
        """In a new file: the device's other copies, and the open descriptor, are not hit."""
        path = self.versions.path_of(version)
        content = bytearray(path.read_bytes())
        content[len(content) // 3] ^= 0xFF
        path.unlink()
        path.write_bytes(content)
        path.chmod(0o755)

    def remove(self, version: str) -> None:
        self.versions.path_of(version).unlink()

    def attempt_is_open(self) -> bool:
        return (self.paths.state / ATTEMPT_OPEN).exists()

    def _write(self, path: Path) -> str:
        return write_program(path, f"print({next(self.serial)})\n" * 50)


class FakeWorld:
    def __init__(self) -> None:
        self.serial = count()
        self.versions = FakeExecutor(OLD, kept=TOTAL_KEPT)

    def install(self, version: str) -> str:
        self.versions.files[version] = file = self._program()
        return file.sha256

    def install_plainly(self) -> str:
        self.versions.place = file = self._program()
        return file.sha256

    def digest(self, version: str) -> str | None:
        file = self.versions.files.get(version)
        return file.sha256 if file else None

    def digest_behind_link(self) -> str | None:
        place = self.versions.place
        if isinstance(place, FakeFile):
            return place.sha256
        return self.digest(place) if place else None

    def damage(self, version: str) -> None:
        file = self.versions.files[version]
        self.versions.files[version] = replace(file, content=file.content[::-1], whole=False)

    def remove(self, version: str) -> None:
        del self.versions.files[version]

    def attempt_is_open(self) -> bool:
        return self.versions.attempt_open

    def _program(self) -> FakeFile:
        return FakeFile(f"program {next(self.serial)}".encode())


class SimulatedWorld:
    def __init__(self) -> None:
        self.serial = count()
        self.disk = Disk()
        self.versions = DiskVersions(self.disk, OLD, self.install(OLD), TOTAL_KEPT)

    def install(self, version: str) -> str:
        self.disk.put(file_of(version), digest := self._program())
        return digest

    def install_plainly(self) -> str:
        self.disk.put(LINK, Plain(digest := self._program()))
        return digest

    def digest(self, version: str) -> str | None:
        found = self.disk.seen(file_of(version))
        return found if isinstance(found, str) else None

    def digest_behind_link(self) -> str | None:
        place = self.disk.seen(LINK)
        if isinstance(place, Plain):
            return place.sha256
        return self.digest(place) if isinstance(place, str) else None

    def damage(self, version: str) -> None:
        self.disk.put(file_of(version), TORN)

    def remove(self, version: str) -> None:
        self.disk.remove(file_of(version))

    def attempt_is_open(self) -> bool:
        return self.disk.seen(OPEN) is not None

    def _program(self) -> str:
        return sha256(f"program {next(self.serial)}".encode()).hexdigest()


def _digest(path: Path) -> str | None:
    return sha256(path.read_bytes()).hexdigest() if path.exists() else None


@pytest.fixture(params=["layout", "fake", "simulated"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "fake":
        yield FakeWorld()
        return
    if request.param == "simulated":
        yield SimulatedWorld()
        return
    layout = LayoutWorld(tmp_path / "root")
    yield layout
    layout.close()


@pytest.mark.parametrize("case", versions_suite.CASES, ids=versions_suite.name)
def test_versions(case: Case, world: World) -> None:
    case(world)
