"""The systemd executor keeps the executor's contract on real systemd, old and new."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.machines import executor_inside
from tests.machines.conftest import require
from tests.machines.hub import Hub
from tests.machines.image import RECIPES
from tests.machines.machine import Kind, Machine, machine

import harmony_fleet

PACKAGE = Path(harmony_fleet.__file__).parent
PARTS = ("__init__.py", "contracts", "asset", "agent", "testing")
PLACE = "/opt/under-test"

pytestmark = pytest.mark.machines


@pytest.fixture(scope="module", params=RECIPES, ids=lambda recipe: recipe.name)
def systemd(request: pytest.FixtureRequest, hub: Hub) -> Iterator[Machine]:
    require(request.param)
    with machine(hub, "pi-1", Kind(request.param)) as one:
        for file in files_of(PARTS):
            one.write(f"{PLACE}/harmony_fleet/{file.relative_to(PACKAGE)}", file.read_bytes())
        one.write(f"{PLACE}/executor_inside.py", Path(executor_inside.__file__).read_bytes())
        yield one


def files_of(parts: tuple[str, ...]) -> Iterator[Path]:
    for part in parts:
        path = PACKAGE / part
        yield from [path] if path.is_file() else path.rglob("*.py")


@pytest.mark.parametrize("case", executor_inside.CASES)
def test_the_systemd_executor(case: str, systemd: Machine) -> None:
    script = f"{PLACE}/executor_inside.py"
    systemd.run("env", f"PYTHONPATH={PLACE}", "python3", "-W", "error", script, case)
    assert systemd.systemctl("is-system-running").strip() == "running"
