from pathlib import Path

import pytest

from harmony_fleet.agent.config import Config, ConfigError, default_path, load

GOOD = """
device_id = "shop-1"
[plane]
servers = ["nats://127.0.0.1:4222"]
credentials = "/etc/fleet-agent/device.creds"
"""
"""`paths.supervisor` comes by a flag, so that a test may add a section to this text."""
SUPERVISOR = "paths.supervisor=/run/fleet-agent/supervisor.sock"


def loaded(folder: Path, text: str = GOOD, *flags: str, **environment: str) -> Config:
    file = folder / "config.toml"
    file.write_bytes(text.encode(errors="surrogateescape"))
    return load(file, environment, (SUPERVISOR, *flags))


def test_a_short_file_is_enough_and_the_rest_has_the_defaults_of_the_design(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    assert config.device_id == "shop-1"
    assert (config.heartbeat.interval_s, config.heartbeat.quick_interval_s) == (30.0, 1.0)
    upgrade = config.upgrade
    assert (upgrade.self_test_limit_s, upgrade.ready_limit_s) == (60.0, 30.0)
    assert (upgrade.stop_limit_s, upgrade.overall_limit_s) == (120.0, 1800.0)
    assert (upgrade.probation_s, upgrade.starts_allowed) == (600.0, 5)
    assert upgrade.outage_s == 24 * 3600


def test_the_environment_overrides_the_file_and_a_flag_overrides_both(tmp_path: Path) -> None:
    text = GOOD + "[upgrade]\nprobation_s = 1\nstarts_allowed = 2\n"
    environment = {"FLEET_AGENT_UPGRADE__PROBATION_S": "2", "FLEET_AGENT_LOG_LEVEL": "DEBUG"}
    config = loaded(tmp_path, text, "upgrade.probation_s=3", **environment)
    assert config.upgrade.probation_s == 3.0
    assert config.upgrade.starts_allowed == 2
    assert config.log_level == "DEBUG"


def test_a_list_in_the_environment_is_separated_by_commas(tmp_path: Path) -> None:
    config = loaded(tmp_path, FLEET_AGENT_PLANE__SERVERS="nats://a:1, nats://b:2")
    assert config.plane.servers == ("nats://a:1", "nats://b:2")


def test_the_path_of_the_file_may_come_from_the_environment() -> None:
    assert default_path({"FLEET_AGENT_CONFIG": "/x/y.toml"}) == Path("/x/y.toml")
    assert default_path({}) == Path("/etc/fleet-agent/config.toml")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("device_idd = 1\n" + GOOD, "device_idd"),
        (GOOD + "[upgrade]\nprobation = 3\n", "upgrade.probation"),
        (GOOD + "[upgrade]\nprobation_s = 'long'\n", "upgrade.probation_s"),
        (GOOD + "[upgrade]\nstarts_allowed = 1.5\n", "upgrade.starts_allowed"),
        (GOOD + "[upgrade]\nstarts_allowed = true\n", "upgrade.starts_allowed"),
        (GOOD + "[upgrade]\nprobation_s = -1\n", "probation_s"),
        (GOOD + "[heartbeat]\ninterval_s = 0\n", "interval_s"),
        (GOOD + "[heartbeat]\ninterval_s = 3601.0\n", "3600"),
        (GOOD + "[paths]\nstate = 'relative'\n", "paths.state"),
        (GOOD + "[extra]\nx = 1\n", "extra"),
        ("upgrade = 3\n" + GOOD, "upgrade"),
        (GOOD.replace("servers = [", "servers = [1, "), "plane.servers"),
        (GOOD.replace("nats://127.0.0.1", "http://127.0.0.1"), "plane.servers"),
        (GOOD.replace(":4222", ":99999"), "plane.servers"),
        (GOOD.replace("nats://127", "nats://me:secret@127"), "plane.servers"),
        (GOOD + "ca = '/etc/ca.pem'\n", "plane.servers.*without TLS"),
        (GOOD.replace("nats:", "tls:") + "ca = 'ca.pem'\n", "plane.ca"),
        (GOOD.replace("shop-1", "shop 1"), "device_id"),
        (GOOD.replace('device_id = "shop-1"', ""), "device_id"),
        (GOOD.replace('credentials = "/etc', '#"/etc'), "plane.credentials"),
        ("log_level = 'LOUD'\n" + GOOD, "log_level"),
        ("this is not TOML", "not TOML"),
        (GOOD + f"[heartbeat]\ninterval_s = {'9' * 400}\n", "interval_s"),
        (GOOD + f"[upgrade]\nstarts_allowed = {'9' * 400}\n", "starts_allowed"),
        (GOOD + "[paths]\nstate = '/a\\u0000b'\n".replace("'", '"'), "paths.state"),
        (f"x = {'[' * 10_000}", "config.toml"),
        (GOOD + "#" * 20_000, "16384 bytes"),
        ("device_id = '\udcff'", "config.toml"),
    ],
)
def test_what_cannot_be_meant_is_an_error_that_names_the_key(
    text: str, named: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=named):
        loaded(tmp_path, text)


def test_where_no_local_supervisor_is_named_the_service_manager_is_systemd(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(GOOD)
    assert load(file, {}).paths.supervisor is None


@pytest.mark.parametrize(
    ("flag", "named"),
    [
        ("upgrade.probation=3", "upgrade.probation"),
        ("probation_s", "key=value"),
        ("upgrade.probation_s=soon", "soon"),
        ("device_id.x=1", "device_id.x"),
    ],
)
def test_a_flag_that_means_nothing_is_an_error(flag: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=named):
        loaded(tmp_path, GOOD, flag)


def test_an_unknown_variable_of_the_agents_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="FLEET_AGENT_UPGRADE__NONSENSE"):
        loaded(tmp_path, FLEET_AGENT_UPGRADE__NONSENSE="1")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=str(tmp_path / "none")):
        load(tmp_path / "none", {})


def test_an_authority_is_named_and_not_looked_at_before_it_is_needed(tmp_path: Path) -> None:
    config = loaded(tmp_path, GOOD.replace("nats:", "tls:") + "ca = '/none/ca.pem'\n")
    assert config.plane.ca == Path("/none/ca.pem")
    assert loaded(tmp_path, GOOD.replace("nats:", "tls:")).plane.ca is None
