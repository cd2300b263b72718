"""Where no machine can be booted, one sentence says why."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.machines.hub import Hub
from tests.machines.why_not import PROGRAMS

pytestmark = pytest.mark.machines

_CHECKOUT = Path(__file__).parents[2]


def said(*before: str, of: str = "why_not", **environment: str) -> str:
    done = subprocess.run(
        [*before, sys.executable, "-m", f"tests.machines.{of}"],
        capture_output=True,
        text=True,
        cwd=_CHECKOUT,
        env={**os.environ, **environment},
    )
    assert done.returncode == 1, done
    return done.stderr


def test_it_says_that_it_needs_root(hub: Hub) -> None:
    assert "only root may boot machines" in said("setpriv", "--reuid=65534")


def test_it_says_what_is_not_installed(hub: Hub, tmp_path: Path) -> None:
    assert "apt-get install systemd-container" in said(PATH=str(tmp_path))


def test_it_says_what_virtual_machines_lack(hub: Hub, tmp_path: Path) -> None:
    for program in PROGRAMS:
        (tmp_path / program).symlink_to(shutil.which(program) or program)
    why = said(of="why_no_virtual_machine", PATH=str(tmp_path))
    assert "apt-get install qemu-system-x86" in why


def test_it_says_that_there_is_no_image_and_no_network(hub: Hub, tmp_path: Path) -> None:
    why = said("unshare", "--net", HARMONY_FLEET_CACHE=str(tmp_path))
    assert "no image of debian-12 could be built: E: Failed to fetch" in why


def test_it_says_what_the_kernel_refuses(hub: Hub) -> None:
    why = said("setpriv", "--bounding-set", "-sys_admin")
    assert "no namespaces of its own for the tests' machines" in why
