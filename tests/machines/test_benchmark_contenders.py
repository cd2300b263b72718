"""What harmony-fleet is compared with by `make bench-device` does its work well, and undoes it."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from benchmarks.device.ansible import Ansible
from benchmarks.device.mender import Mender
from benchmarks.device.releases import Program, program
from benchmarks.device.shell import Shell
from benchmarks.device.site import Site, grounds
from benchmarks.device.turn import Contender, Failed
from benchmarks.device.watcher import PERMANENT
from tests.machines.conftest import require
from tests.machines.hub import Hub, hub_at
from tests.machines.image import WITH_MENDER

pytestmark = pytest.mark.machines

BAD = "1.2.0"
KINDS = (Ansible, Shell, Mender)


@pytest.fixture(scope="module")
def site(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """On a hub of its own: the other one has the control plane of the other tests."""
    require(WITH_MENDER)
    folder = tmp_path_factory.mktemp("grounds")
    with (
        hub_at(folder) as own,
        grounds(own, folder, WITH_MENDER) as place,
        place.site(1) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def bad(site: Site) -> Program:
    return program(BAD, site.plane.program(BAD, "crashes_as_primary"))


@pytest.fixture
def contender(request: pytest.FixtureRequest) -> Iterator[Contender]:
    made: Contender = request.param()
    yield made
    made.close()


def upgrade(contender: Contender, site: Site, new: Program) -> None:
    one = replace(site, new=new)
    one.reset(guarded=False)
    contender.prepare(one)
    contender.upgrade(one)


@pytest.mark.parametrize("contender", KINDS, indirect=True)
def test_a_good_version_is_installed(contender: Contender, site: Site) -> None:
    upgrade(contender, site, site.new)
    site.check()


@pytest.mark.parametrize("contender", KINDS, indirect=True)
def test_a_version_that_does_not_start_is_undone(
    contender: Contender, site: Site, bad: Program
) -> None:
    with pytest.raises(Failed):
        upgrade(contender, site, bad)
    site.devices[0].settled(site.old.version)


@pytest.mark.parametrize("contender", [Ansible, Shell], indirect=True)
def test_a_file_of_another_hash_is_never_started(contender: Contender, site: Site) -> None:
    """Mender packs the hash with the file: there is nothing to mistake."""
    site.reset(guarded=False)
    pid = site.devices[0].machine.show(PERMANENT, "MainPID")
    contender.prepare(site)
    with pytest.raises(Failed):
        contender.upgrade(replace(site, new=replace(site.new, sha256="0" * 64)))
    site.devices[0].settled(site.old.version)
    assert site.devices[0].machine.show(PERMANENT, "MainPID") == pid
