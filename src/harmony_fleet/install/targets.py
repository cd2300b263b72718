"""Which machines are meant, how they are reached, and which device each is to be. Pure.

Names of hosts come from a person or from an Ansible inventory, device ids from the names of hosts.
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.contracts.identity import DEVICE_ID, check_device_id

HOST: Final = re.compile(r"[0-9A-Za-z]([0-9A-Za-z._-]{0,252})|[0-9A-Fa-f:]{2,39}")

GROUP: Final = "fleet_targets"
"""Of the devices in a play: the machine that plays it is a host there, too."""
GROUPS: Final = frozenset({"all", "ungrouped", GROUP})
"""In every play; a host of such a name is a loop to Ansible."""

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
        _check_single(given, hosts)
    found = [_target(host, given.get(host), hosts[host], access, named) for host in hosts]
    _check_unique(found)
    return tuple(found)


def device_id_of(host: str) -> str:
    """The first label of its name. Raises NoName."""
    if is_address(host):
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


def _check_single(given: Mapping[str, str | None], hosts: Mapping[str, Variables]) -> None:
    """What was chosen is right already: whatever is no host of the inventory is a group there."""
    for word, device_id in given.items():
        if device_id is not None and word not in hosts:
            raise InvalidValue(
                f"{word[:80]!r} is a group of the inventory, and ={device_id} would make its hosts "
                "one device: write HOST=DEVICE for one host of it"
            )


def _host(text: str) -> str:
    if HOST.fullmatch(text) is None or (":" in text and not is_address(text)):
        raise InvalidValue(f"{text[:80]!r} is no name or address of a host")
    return text


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _target(
    host: str, device_id: str | None, own: Variables, access: Access, named: bool
) -> Target:
    """What is said on the command line wins over an inventory."""
    if host in GROUPS:
        raise InvalidValue(
            f"a host cannot be called {host}, which is a group of Ansible's own, or of this play: "
            "name it by its address, or by another name, and its device by =DEVICE"
        )
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
