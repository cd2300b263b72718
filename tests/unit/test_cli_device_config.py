from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_fleet.agent.config import HeartbeatConfig, UpgradeConfig, load
from harmony_fleet.embedded.start_local import (
    PRODUCTION,
    QUICK,
    LocalDevices,
    NoSuchLocalDevice,
    device_config,
)


def test_the_production_timing_is_the_agents_own_default(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(device_config(tmp_path, "local-1", ["nats://127.0.0.1:4222"], PRODUCTION))
    config = load(file, {})
    assert (config.heartbeat, config.upgrade) == (HeartbeatConfig(), UpgradeConfig())


def test_the_quick_timing_is_for_people_who_look_on(tmp_path: Path) -> None:
    root = tmp_path / 'a "root" with a \\ in it'
    root.mkdir()
    file = root / "config.toml"
    file.write_text(device_config(root, "local-1", ["nats://a:1", "nats://b:2"], QUICK))
    config = load(file, {})
    assert config.plane.servers == ("nats://a:1", "nats://b:2")
    assert config.plane.credentials == root / "etc/fleet-agent/device.creds"
    assert config.paths.log == root / "var/log/fleet-agent/fleet-agent.log"
    assert config.paths.supervisor == root / "run/fleet-agent/supervisor.sock"
    assert (config.heartbeat.interval_s, config.upgrade.probation_s) == (1.0, 10.0)
    assert (config.upgrade.stop_limit_s, config.upgrade.self_test_limit_s) == (20.0, 20.0)


@given(st.sets(st.integers(1, 12)), st.integers(1, 5))
def test_new_names_are_the_lowest_that_nobody_has(taken: set[int], number: int) -> None:
    names = LocalDevices(Path("/nowhere")).free_names([f"local-{n}" for n in taken], number)
    numbers = [int(name.removeprefix("local-")) for name in names]
    assert len(numbers) == number
    assert numbers == sorted(set(range(1, 20)) - taken)[:number]


def test_devices_are_the_folders_with_a_devices_name_in_the_order_of_their_numbers(
    tmp_path: Path,
) -> None:
    for name in ("local-10", "local-2", "edge", ".programs", "local-x"):
        (tmp_path / name).mkdir()
    (tmp_path / "local-3").write_text("no folder")
    local = LocalDevices(tmp_path)
    assert local.names() == ["local-2", "local-10", "edge", "local-x"]
    for name in ("..", ".programs", "local-3", "local-9"):
        with pytest.raises(NoSuchLocalDevice):
            local.root(name)
