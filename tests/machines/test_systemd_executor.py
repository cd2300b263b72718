"""The systemd executor keeps the executor's contract on real systemd, old and new."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.machines import executor_inside
from tests.machines.hub import hub_at
from tests.machines.image import DEBIAN_12, DEBIAN_13
from tests.machines.machine import Kind, Machine, machine

import harmony_fleet

PACKAGE = Path(harmony_fleet.__file__).parent
PARTS = ("__init__.py", "contracts", "asset", "agent", "testing")
PLACE = "/opt/under-test"

pytestmark = pytest.mark.machines


@pytest.fixture(scope="module", params=[DEBIAN_12, DEBIAN_13], ids=lambda recipe: recipe.name)
def systemd(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    with (
        hub_at(tmp_path_factory.mktemp("hub")) as hub,
        machine(hub, "pi-1", Kind(request.param)) as one,
    ):
        for file in files_of(PARTS):
            one.put(file, f"{PLACE}/harmony_fleet/{file.relative_to(PACKAGE)}", 0o644)
        one.put(Path(executor_inside.__file__), f"{PLACE}/executor_inside.py", 0o644)
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
