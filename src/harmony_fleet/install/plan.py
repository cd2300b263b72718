"""What an install or an uninstall brings to which device, as the role's variables. Pure.

Names of hosts come from a person or from an Ansible inventory, device ids from the names of hosts.
Everything is checked here, before any device is touched.
"""

import ipaddress
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.contracts.identity import (
    DEVICE_ID,
    check_device_id,
    check_server,
    check_version,
)
from harmony_fleet.install.files import Delivery, Download, Local, check_place

HOST: Final = re.compile(r"[0-9A-Za-z]([0-9A-Za-z._-]{0,252})|[0-9A-Fa-f:]{2,39}")
UNIT: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z:_.@-]{0,200}\.service")
VERSIONS_FOLDER: Final = "/usr/bin"
LINK: Final = "/usr/local/bin/fleet-agent"
OWN_SETTINGS: Final = ("device_id", "paths", "plane.servers", "plane.credentials", "plane.ca")
"""What the install itself decides."""

Variables = Mapping[str, Any]


class NoName(InvalidValue):
    """No device id follows from what was named, or not one alone."""


@dataclass(frozen=True, slots=True)
class Target:
    """One machine."""

    host: str
    """As a person named it."""
    device_id: str | None
    """None: of no matter, as for an uninstall."""
    variables: Variables = field(default_factory=dict)
    """Of Ansible, from an inventory or from the options."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What `ansible-inventory` says: variables by host, hosts by group."""

    hosts: Mapping[str, Variables]
    groups: Mapping[str, Sequence[str]]

    def chosen(self, words: Sequence[str]) -> tuple[str, ...]:
        """Those that are named, by themselves or by a group; all where no word is.

        Raises InvalidValue: a word names none.
        """
        found: dict[str, None] = {}
        for word in words or ("all",):
            if word in self.hosts:
                found[word] = None
            elif word in self.groups:
                found |= dict.fromkeys(self.groups[word])
            else:
                raise InvalidValue(f"the inventory has no host and no group {word[:80]!r}")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Access:
    """How to log in; None leaves it to ssh's own configuration."""

    user: str | None = None
    port: int | None = None
    key: str | None = None
    become: bool = False

    def variables(self) -> dict[str, Any]:
        named = {
            "ansible_user": self.user,
            "ansible_port": self.port,
            "ansible_ssh_private_key_file": self.key,
            "ansible_become": self.become or None,
        }
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Program:
    """One version of the agent, and where its file comes from."""

    version: str
    source: Local | Download
    size_bytes: int

    def __post_init__(self) -> None:
        check_version(self.version)
        if self.source.sha256 is None:
            raise InvalidValue(f"the program of version {self.version} needs a digest")


@dataclass(frozen=True, slots=True)
class Install:
    """What is the same for all devices of one install."""

    program: Program
    servers: tuple[str, ...]
    """Of the message plane, as the devices reach them."""
    sign: tuple[str, ...]
    """The command that signs a device's public key: from stdin to stdout, the device's id last."""
    sign_again: bool = False
    """Also where the device has credentials for this very plane."""
    ca: str = ""
    """The authority that the devices have to trust, in PEM; empty without TLS."""
    files: tuple[Delivery, ...] = ()
    versions_folder: str = VERSIONS_FOLDER
    link: str = LINK
    settings: Variables = field(default_factory=dict)
    replaces: tuple[str, ...] = ()
    """Units that ran an agent before."""

    def __post_init__(self) -> None:
        check_place(self.versions_folder, "the versions' folder")
        check_place(self.link, "the link")
        for server in self.servers:
            check_server(server)
        for unit in self.replaces:
            if UNIT.fullmatch(unit) is None:
                raise InvalidValue(f"{unit[:80]!r} is no name of a unit, such as agent.service")


def install_variables(install: Install) -> dict[str, Any]:
    program = {**install.program.source.form(), "size_bytes": install.program.size_bytes}
    return {
        "fleet_agent_state": "present",
        "fleet_agent_version": install.program.version,
        "fleet_agent_program": program,
        "fleet_agent_servers": list(install.servers),
        "fleet_agent_ca": install.ca,
        "fleet_agent_sign": list(install.sign),
        "fleet_agent_sign_again": install.sign_again,
        "fleet_agent_files": [one.form() for one in install.files],
        "fleet_agent_versions_folder": install.versions_folder,
        "fleet_agent_link": install.link,
        "fleet_agent_settings": dict(install.settings),
        "fleet_agent_replaces": list(install.replaces),
    }


def check_reachable(server: str) -> str:
    """Raises InvalidValue: no other machine could reach the message plane there."""
    host = urlsplit(check_server(server)).hostname or ""
    if host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback):
        raise InvalidValue(
            f"the message plane listens at {server}, for this machine alone: start the control "
            "plane with `fleet up --listen ADDRESS`"
        )
    return server


def uninstall_variables() -> dict[str, Any]:
    """A device says itself with which folders it was installed."""
    return {"fleet_agent_state": "absent"}


def targets(
    words: Sequence[str], access: Access, inventory: Inventory | None, *, named: bool
) -> tuple[Target, ...]:
    """One for each HOST or HOST=DEVICE, or for each host of the inventory that was chosen.

    `named`: each needs a device id. Raises InvalidValue, NoName among them.
    """
    given = dict(_split(word) for word in words)
    if len(given) < len(words):
        raise InvalidValue("one host was named twice: name each once")
    if inventory is None:
        if not given:
            raise InvalidValue("name at least one host, or an inventory of them")
        hosts: Mapping[str, Variables] = {_host(host): {"ansible_host": host} for host in given}
    else:
        hosts = {host: inventory.hosts[host] for host in inventory.chosen(tuple(given))}
    found = [_target(host, given.get(host), hosts[host], access, named) for host in hosts]
    _check_unique(found)
    return tuple(found)


def settings(pairs: Iterable[str]) -> dict[str, Any]:
    """Of `key=value` and `section.key=value`; a value is TOML, or else the text that it is.

    Raises InvalidValue. The agent checks them itself, on the device, before they take effect.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        parts = key.split(".")
        if not equals or not 1 <= len(parts) <= 2 or not all(map(_is_key, parts)):
            raise InvalidValue(f"{pair[:80]!r} is not key=value or section.key=value")
        if key in OWN_SETTINGS or parts[0] in OWN_SETTINGS:
            raise InvalidValue(f"{key} is not for you to set: the install decides it")
        tree = found
        for part in parts[:-1]:
            tree = tree.setdefault(part, {})
            if not isinstance(tree, dict):
                raise InvalidValue(f"{key}: {part} was set to a value already")
        tree[parts[-1]] = _value(text)
    return found


def device_id_of(host: str) -> str:
    """The first label of its name. Raises NoName."""
    if _is_address(host):
        raise NoName(f"{host} is an address, and names no device: write {host}=DEVICE")
    label = host.partition(".")[0].lower()
    if DEVICE_ID.fullmatch(label) is None:
        raise NoName(f"{host} does not begin with a device id: write {host}=DEVICE")
    return label


def _split(word: str) -> tuple[str, str | None]:
    host, equals, device_id = word.partition("=")
    if "@" in host:
        raise InvalidValue(f"{word[:80]!r}: name the user by --user, or in ssh's configuration")
    return host, check_device_id(device_id) if equals else None


def _host(text: str) -> str:
    if HOST.fullmatch(text) is None or (":" in text and not _is_address(text)):
        raise InvalidValue(f"{text[:80]!r} is no name or address of a host")
    return text


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _target(
    host: str, device_id: str | None, own: Variables, access: Access, named: bool
) -> Target:
    """What is said on the command line wins over an inventory."""
    variables = {**own, **access.variables()}
    if not named:
        return Target(host, None, variables)
    told = device_id or variables.get("fleet_agent_device_id")
    return Target(host, check_device_id(str(told)) if told else device_id_of(host), variables)


def _check_unique(found: Sequence[Target]) -> None:
    hosts: dict[str, str] = {}
    for one in found:
        if one.device_id is None:
            continue
        other = hosts.setdefault(one.device_id, one.host)
        if other != one.host:
            raise NoName(
                f"{other} and {one.host} would both be device {one.device_id}: "
                f"write {one.host}=DEVICE with another name"
            )


def _is_key(text: str) -> bool:
    return re.fullmatch(r"[a-z][a-z0-9_]{0,40}", text) is not None


def _value(text: str) -> Any:
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, KeyError, RecursionError):
        return text
    return value if isinstance(value, str | int | float | bool | list) else text
