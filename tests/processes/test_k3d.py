import hashlib
import platform
import stat
import subprocess
from pathlib import Path

import pytest
from tests.processes.asset_server import AssetServer, forget_proxies, serve, serving

from harmony_fleet.asset import DownloadableAsset, Limits
from harmony_fleet.asset.errors import DigestMismatch
from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.devcluster.k3d import (
    PINNED,
    K3dRelease,
    UnsupportedPlatform,
    ensure_k3d,
    pinned_release,
)

PROGRAM = b"#!/bin/sh\necho k3d version v0.1.0\n"
HASTY = Limits(attempts=2, backoff_s=0.001)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_proxies(monkeypatch)


def release(server: AssetServer) -> K3dRelease:
    sha256 = hashlib.sha256(PROGRAM).hexdigest()
    return K3dRelease("0.1.0", DownloadableAsset(server.url(), 10_000, sha256, size_is_limit=True))


def test_the_program_is_provided_in_a_new_folder_and_runs(tmp_path: Path) -> None:
    with serving(serve(PROGRAM)) as server:
        path = ensure_k3d(tmp_path / "tools" / "bin", release(server))
    said = subprocess.run([path], check=True, capture_output=True, text=True).stdout
    assert said == "k3d version v0.1.0\n"
    assert path.name == "k3d-v0.1.0"


def test_a_program_that_is_there_is_used_without_a_request(tmp_path: Path) -> None:
    with serving(serve(PROGRAM)) as server:
        first = ensure_k3d(tmp_path, release(server))
        assert ensure_k3d(tmp_path, release(server)) == first
    assert len(server.requests) == 1


def test_another_program_than_the_pinned_one_is_never_executable(tmp_path: Path) -> None:
    wrong = PROGRAM.replace(b"echo", b"rm  ")
    with serving(serve(wrong)) as server, pytest.raises(DigestMismatch):
        ensure_k3d(tmp_path, release(server), limits=HASTY)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_program_is_replaced(tmp_path: Path) -> None:
    with serving(serve(PROGRAM)) as server:
        path = ensure_k3d(tmp_path, release(server))
        path.write_bytes(PROGRAM[::-1])
        ensure_k3d(tmp_path, release(server))
    assert path.read_bytes() == PROGRAM
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


@pytest.mark.parametrize(
    ("machine", "architecture"),
    [("x86_64", "amd64"), ("amd64", "amd64"), ("aarch64", "arm64"), ("arm64", "arm64")],
)
def test_each_machine_gets_the_program_for_it(machine: str, architecture: str) -> None:
    chosen = pinned_release("Linux", machine)
    assert chosen.program.url.endswith(f"/v{chosen.version}/k3d-linux-{architecture}")


@pytest.mark.parametrize(("system", "machine"), [("Linux", "riscv64"), ("Darwin", "arm64")])
def test_a_machine_without_a_pin_is_told_so(system: str, machine: str) -> None:
    with pytest.raises(UnsupportedPlatform, match=machine):
        pinned_release(system, machine)


@pytest.mark.skipif(
    (platform.system(), platform.machine()) not in PINNED, reason="no pin for this machine"
)
def test_without_a_word_it_is_this_machines_program() -> None:
    assert pinned_release() == PINNED[platform.system(), platform.machine()]


def test_no_two_architectures_share_a_digest() -> None:
    programs = {pin.program for pin in PINNED.values()}
    assert len({program.sha256 for program in programs}) == len(programs) == 2


def test_a_version_that_could_leave_the_folder_is_refused() -> None:
    program = pinned_release("Linux", "amd64").program
    with pytest.raises(InvalidValue):
        K3dRelease("../../bin/sh", program)
