"""Machines for tests: one hub for each test process; each test has machines of its own.

Where this machine cannot boot them the tests are skipped, in a sentence that says why.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from tests.machines.control_plane import ControlPlane, control_plane
from tests.machines.device import OLD, Device, Workshop
from tests.machines.hub import Hub, hub_at
from tests.machines.image import NoImage, Recipe, image
from tests.machines.installs import NEXT, SILENT
from tests.machines.machine import Kind, Machine, machine
from tests.machines.why_not import why_not

Boot = Callable[[str, Kind], Machine]
Install = Callable[..., Device]


def require(recipe: Recipe) -> None:
    try:
        image(recipe)
    except NoImage as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    if why := why_not():
        pytest.skip(why)
    with hub_at(tmp_path_factory.mktemp("hub")) as made:
        yield made


@pytest.fixture(scope="session")
def plane(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane that the machines reach, with releases to upgrade to."""
    with control_plane(hub, tmp_path_factory.mktemp("plane")) as made:
        made.add_release(NEXT)
        made.add_release(SILENT, "never_heartbeats")
        yield made


@pytest.fixture
def boot(hub: Hub) -> Iterator[Boot]:
    """`boot("pi-1", Kind())`: a machine that is up, and gone after the test."""
    with ExitStack() as machines:

        def booted(name: str, kind: Kind) -> Machine:
            require(kind.recipe)
            return machines.enter_context(machine(hub, name, kind))

        yield booted


@pytest.fixture(scope="session")
def workshop(
    plane: ControlPlane, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Workshop:
    plane.add_release(OLD)
    mine = tmp_path_factory.getbasetemp()
    beside_others = hasattr(request.config, "workerinput")  # as xdist says it
    return Workshop(plane, shelf=mine.parent if beside_others else mine)


@pytest.fixture
def install(workshop: Workshop) -> Iterator[Install]:
    """`install(Kind())`: a device that runs the agent and was heard, and is gone after the test."""
    with ExitStack() as devices:

        def installed(kind: Kind, version: str = OLD) -> Device:
            require(kind.recipe)
            return devices.enter_context(workshop.device(kind, version))

        yield installed
