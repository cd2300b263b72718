"""What is typed becomes targets and role variables, or a sentence, before any device is touched."""

from pathlib import Path

import pytest

from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.install.files import FileSource
from harmony_fleet.install.plan import (
    Install,
    Program,
    check_reachable,
    install_variables,
    settings,
    uninstall_variables,
)
from harmony_fleet.install.targets import (
    Access,
    Inventory,
    NoName,
    device_id_of,
    targets,
)

DIGEST = "a" * 64
PROGRAM = Program("1.2.0", FileSource.local(Path("/built/fleet-agent-1.2.0"), DIGEST), 500)
INVENTORY = Inventory(
    {"pi-1": {"ansible_host": "10.0.0.1"}, "pi-2": {"fleet_agent_device_id": "gateway"}, "x": {}},
    {"all": ("pi-1", "pi-2", "x"), "pis": ("pi-1", "pi-2")},
)


def install(**named: object) -> Install:
    asked = {"program": PROGRAM, "servers": ("tls://fleet.example:4222",), "sign": ("sign",)}
    return Install(**{**asked, **named})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("host", "device_id"),
    [("pi-1", "pi-1"), ("PI-1.example.org", "pi-1"), ("a", "a"), ("gw_3.lan", "gw_3")],
)
def test_a_device_is_named_by_the_first_part_of_its_host_s_name(host: str, device_id: str) -> None:
    assert device_id_of(host) == device_id


@pytest.mark.parametrize("host", ["10.0.0.1", "fe80::1", "-pi.example", "a" * 64])
def test_a_host_whose_name_gives_no_device_id_needs_one(host: str) -> None:
    with pytest.raises(NoName, match="=DEVICE"):
        device_id_of(host)


def test_a_host_is_reached_as_it_is_named_and_as_the_options_say() -> None:
    access = Access(user="admin", port=2222, key="/key", become=True)
    (one,) = targets(["10.0.0.7=gateway"], access, None, named=True)
    assert (one.host, one.device_id) == ("10.0.0.7", "gateway")
    assert one.variables == {
        "ansible_host": "10.0.0.7",
        "ansible_user": "admin",
        "ansible_port": 2222,
        "ansible_ssh_private_key_file": "/key",
        "ansible_become": True,
    }


def test_without_options_ssh_s_own_configuration_decides() -> None:
    (one,) = targets(["fe80::1=pi"], Access(), None, named=True)
    assert one.variables == {"ansible_host": "fe80::1"}


def test_an_uninstall_needs_no_device_id() -> None:
    (one,) = targets(["10.0.0.7"], Access(), None, named=False)
    assert one.device_id is None
    assert uninstall_variables() == {"fleet_agent_state": "absent"}


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["pi", "pi"],
        ["root@pi"],
        ["pi -o ProxyCommand=x"],
        ["-oProxyCommand=x"],
        ["a:b:c:zz"],
        ["aa:bb"],
        ["pi=Not An Id"],
        ["pi="],
        ["pi[1:9]"],
    ],
)
def test_what_is_no_host_is_refused(words: list[str]) -> None:
    with pytest.raises(InvalidValue):
        targets(words, Access(), None, named=True)


def test_two_hosts_cannot_be_one_device() -> None:
    with pytest.raises(NoName, match=r"b\.example=DEVICE|pi\.b=DEVICE"):
        targets(["pi.a", "pi.b"], Access(), None, named=True)


def test_an_inventory_s_hosts_are_all_installed_unless_some_are_named() -> None:
    every = targets([], Access(), INVENTORY, named=True)
    assert [one.device_id for one in every] == ["pi-1", "gateway", "x"]
    some = targets(["pis", "pi-1"], Access(user="admin"), INVENTORY, named=True)
    assert [one.host for one in some] == ["pi-1", "pi-2"]
    assert some[0].variables == {"ansible_host": "10.0.0.1", "ansible_user": "admin"}


def test_a_device_id_that_is_typed_wins_over_the_inventory_s() -> None:
    (one,) = targets(["pi-2=other"], Access(), INVENTORY, named=True)
    assert one.device_id == "other"


def test_a_group_is_no_single_device() -> None:
    with pytest.raises(InvalidValue, match=r"'pis' is a group of the inventory.*HOST=DEVICE"):
        targets(["pis=other"], Access(), INVENTORY, named=True)


@pytest.mark.parametrize("host", ["all", "ungrouped", "fleet_targets"])
def test_a_host_cannot_be_called_as_ansible_calls_its_own_groups(host: str) -> None:
    with pytest.raises(InvalidValue, match=f"{host}.* a group of Ansible's own"):
        targets([f"{host}=pi"], Access(), None, named=True)
    with pytest.raises(InvalidValue, match=f"{host}.* a group of Ansible's own"):
        targets([host], Access(), Inventory({host: {}}, {"all": (host,)}), named=False)


def test_a_name_that_is_not_in_the_inventory_is_refused() -> None:
    with pytest.raises(InvalidValue, match="'pi-9'"):
        targets(["pi-9"], Access(), INVENTORY, named=True)


def test_settings_are_toml_or_the_text_that_they_are() -> None:
    assert settings(
        ["upgrade.probation_s=60", "log_level=DEBUG", 'plane.x=["a", "b"]', "upgrade.n=1.5", "y="]
    ) == {
        "upgrade": {"probation_s": 60, "n": 1.5},
        "log_level": "DEBUG",
        "plane": {"x": ["a", "b"]},
        "y": "",
    }


def test_a_setting_that_toml_takes_for_a_table_stays_text() -> None:
    assert settings(["b={x=1}"]) == {"b": "{x=1}"}


@pytest.mark.parametrize(
    "text",
    ["1979-05-27", "07:32:00", "[1979-05-27T07:32:00Z]", "[1, [07:32:00]]", "[{x=1979-05-27}]"],
)
def test_a_date_or_a_time_is_refused_wherever_it_stands_in_a_setting(text: str) -> None:
    with pytest.raises(InvalidValue, match=r"section\.a: .* is a date or a time.*quotes"):
        settings([f"section.a={text}"])


def test_a_date_in_quotes_is_text() -> None:
    assert settings(['a=["1979-05-27"]']) == {"a": ["1979-05-27"]}


@pytest.mark.parametrize(
    "pair",
    [
        "upgrade",
        "=1",
        "a.b.c=1",
        "A=1",
        "a b=1",
        "device_id=x",
        "plane.servers=[]",
        "plane.ca=/x",
        "paths.link=/x",
    ],
)
def test_what_is_no_setting_or_the_install_s_own_is_refused(pair: str) -> None:
    with pytest.raises(InvalidValue):
        settings([pair])


def test_one_setting_cannot_be_a_value_and_a_section() -> None:
    with pytest.raises(InvalidValue, match="log_level"):
        settings(["log_level=DEBUG", "log_level.x=1"])


def test_the_role_gets_the_program_with_its_digest_and_its_size() -> None:
    variables = install_variables(install(ca="PEM", settings={"log_level": "DEBUG"}))
    assert variables["fleet_agent_state"] == "present"
    assert variables["fleet_agent_version"] == "1.2.0"
    assert variables["fleet_agent_program"] == {
        "local": "/built/fleet-agent-1.2.0",
        "sha256": DIGEST,
        "size_bytes": 500,
    }
    assert variables["fleet_agent_servers"] == ["tls://fleet.example:4222"]
    assert variables["fleet_agent_ca"] == "PEM"
    assert variables["fleet_agent_settings"] == {"log_level": "DEBUG"}


def test_a_program_without_a_digest_is_refused() -> None:
    with pytest.raises(InvalidValue, match="digest"):
        Program("1.2.0", FileSource.local(Path("/x")), 1)


@pytest.mark.parametrize(
    "named",
    [
        {"versions_folder": "relative"},
        {"versions_folder": "/with a space"},
        {"versions_folder": "/with%specifier"},
        {"versions_folder": "/up/../there"},
        {"versions_folder": "/"},
        {"link": "//"},
        {"servers": ("http://fleet.example",)},
        {"replaces": ("agent",)},
        {"replaces": ("a b.service",)},
        {"replaces": ("fleet-agent.service",)},
        {"replaces": ("fleet-agent-deadman.service",)},
        {"previous": "/opt/previous"},
    ],
)
def test_what_would_make_no_sound_unit_is_refused(named: dict[str, object]) -> None:
    with pytest.raises(InvalidValue):
        install(**named)


@pytest.mark.parametrize("typed", ["/usr/bin/", "/usr/bin//", "//usr//./bin/."])
def test_a_place_is_taken_as_the_path_that_it_means(typed: str) -> None:
    variables = install_variables(install(versions_folder=typed, link=f"{typed}/fleet-agent/"))
    assert variables["fleet_agent_versions_folder"] == "/usr/bin"
    assert variables["fleet_agent_link"] == "/usr/bin/fleet-agent"


def test_a_unit_that_is_replaced_is_named_in_full() -> None:
    variables = install_variables(install(replaces=("agent@1.service",)))
    assert variables["fleet_agent_replaces"] == ["agent@1.service"]


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_a_plane_that_only_this_machine_reaches_is_refused(host: str) -> None:
    with pytest.raises(InvalidValue, match="--listen"):
        check_reachable(f"nats://{host}:4222")


@pytest.mark.parametrize("host", ["10.0.0.1", "fleet.example"])
def test_a_plane_that_devices_reach_is_taken(host: str) -> None:
    assert check_reachable(f"tls://{host}:4222") == f"tls://{host}:4222"
