"""What an install or an uninstall brings to every device, as the role's variables. Pure.

Everything is checked here, before any device is touched.
"""

import datetime as dt
import ipaddress
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit

from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.contracts.identity import (
    check_server,
    check_version,
)
from harmony_fleet.install.files import Delivery, Download, Local, check_place
from harmony_fleet.install.targets import Variables, is_address

OWN_UNIT: Final = re.compile(r"fleet-agent(-.*)?\.service")
UNIT: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z:_.@-]{0,200}\.service")
VERSIONS_FOLDER: Final = "/usr/bin"
LINK: Final = "/usr/local/bin/fleet-agent"
PREVIOUS: Final = "/usr/local/lib/fleet-agent/previous"
OWN_SETTINGS: Final = ("device_id", "paths", "plane.servers", "plane.credentials", "plane.ca")
"""What the install itself decides."""
_PLACES: Final = {
    "versions_folder": "the versions' folder",
    "link": "the link",
    "previous": "the guard's link",
}
_TIMES: Final = (dt.date, dt.time)
"""Of TOML's types; a date with a time is a date, too."""


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
    previous: str = PREVIOUS
    """The guard's link."""
    settings: Variables = field(default_factory=dict)
    replaces: tuple[str, ...] = ()
    """Units that ran an agent before."""

    def __post_init__(self) -> None:
        for name, words in _PLACES.items():
            object.__setattr__(self, name, check_place(getattr(self, name), words))
        if PurePosixPath(self.previous).parent.name != "fleet-agent":
            raise InvalidValue(
                f"the guard's link {self.previous!r} must lie in a folder named fleet-agent, which "
                "an uninstall removes whole"
            )
        for server in self.servers:
            check_server(server)
        for unit in self.replaces:
            if UNIT.fullmatch(unit) is None:
                raise InvalidValue(f"{unit[:80]!r} is no name of a unit, such as agent.service")
            if OWN_UNIT.fullmatch(unit) is not None:
                raise InvalidValue(
                    f"{unit} is the agent's own unit, which an install goes on with: name none"
                )


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
        "fleet_agent_previous": install.previous,
        "fleet_agent_settings": dict(install.settings),
        "fleet_agent_replaces": list(install.replaces),
    }


def check_reachable(server: str) -> str:
    """Raises InvalidValue: no other machine could reach the message plane there."""
    host = urlsplit(check_server(server)).hostname or ""
    if host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback):
        raise InvalidValue(
            f"the message plane listens at {server}, for this machine alone: start the control "
            "plane with `fleet up --listen ADDRESS`"
        )
    return server


def uninstall_variables() -> dict[str, Any]:
    """A device says itself with which folders it was installed."""
    return {"fleet_agent_state": "absent"}


def settings(pairs: Iterable[str]) -> dict[str, Any]:
    """Of `key=value` and `section.key=value`; a value is TOML, or else the text that it is.

    A date or a time is neither: no setting takes one, and it may well be meant as text.

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
        tree[parts[-1]] = _value(key, text)
    return found


def _is_key(text: str) -> bool:
    return re.fullmatch(r"[a-z][a-z0-9_]{0,40}", text) is not None


def _value(key: str, text: str) -> Any:
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, KeyError, RecursionError):
        return text
    if _holds_time(value):
        raise InvalidValue(
            f"{key}: TOML reads {text[:80]!r} as what is a date or a time, or holds one, and no "
            "setting takes that: put it in quotes where it is a text"
        )
    return value if isinstance(value, str | int | float | bool | list) else text


def _holds_time(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_time, value.values()))
    return any(map(_holds_time, value)) if isinstance(value, list) else isinstance(value, _TIMES)
