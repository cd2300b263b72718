"""The agent's configuration: a TOML file, then the environment, then flags; the last one wins.

Every key is a field below; an unknown or mistyped one is an error that names it. The environment
spells `upgrade.probation_s` as `FLEET_AGENT_UPGRADE__PROBATION_S`, a flag as
`--set upgrade.probation_s=60`.
"""

import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from harmony_fleet.contracts.errors import FleetError, InvalidValue
from harmony_fleet.contracts.heartbeat import MAX_INTERVAL_MS
from harmony_fleet.contracts.identity import check_device_id, check_server

DEFAULT_PATH = Path("/etc/fleet-agent/config.toml")
ENVIRONMENT = "FLEET_AGENT_"
MOST = 10**8
"""Of any number."""
MAX_BYTES = 16 * 1024
"""Of the file; ten times what a configuration needs."""

T = TypeVar("T")


class ConfigError(FleetError):
    """The configuration cannot be used; the text names the key or the file."""

    kind = "config"


@dataclass(frozen=True, slots=True)
class PlaneConfig:
    servers: tuple[str, ...]
    """URLs of the NATS servers, such as `tls://fleet.example:4222`; `nats://` is without TLS."""
    credentials: Path
    """The device's own key and JWT, mode 0600."""
    ca: Path | None = None
    """The certificate of the authority that vouches for the servers, PEM; else the system's own."""
    reconnect_max_s: float = 30.0
    """The longest wait between two attempts to connect."""


@dataclass(frozen=True, slots=True)
class PathsConfig:
    supervisor: Path | None = None
    """The socket of the local supervisor, where that stands in for systemd."""
    versions: Path = Path("/usr/bin")
    """The folder of the versions' files, `fleet-agent-v<version>`."""
    link: Path = Path("/usr/local/bin/fleet-agent")
    """What the service unit starts."""
    previous: Path = Path("/usr/local/lib/fleet-agent/previous")
    """The link to the version that guards."""
    state: Path = Path("/var/lib/fleet-agent")
    """The folder of the journal."""
    boot_id: Path = Path("/proc/sys/kernel/random/boot_id")
    """A file with an id that is new with each start of the machine."""
    log: Path | None = None
    """The permanent unit's log file, where the local supervisor writes one: its end is evidence."""


@dataclass(frozen=True, slots=True)
class HeartbeatConfig:
    interval_s: float = 30.0
    """Between two heartbeats, as a rule; an hour is the most."""
    quick_interval_s: float = 1.0
    """For a candidate, an armed primary, a trial, and the beginning of probation."""
    quick_probation_s: float = 60.0
    """So long is a version in probation heard at the quick pace."""


@dataclass(frozen=True, slots=True)
class UpgradeConfig:
    self_test_limit_s: float = 60.0
    """For a self-test, of the new version and of the one to go back to."""
    ready_limit_s: float = 30.0
    """For a candidate to say READY."""
    stop_limit_s: float = 120.0
    """So long does an armed primary with a plane wait for the operator's stop."""
    overall_limit_s: float = 1800.0
    """The end of that wait even where the plane is unreachable."""
    probation_s: float = 600.0
    """So long must a committed version stay up before it has proven itself."""
    starts_allowed: int = 5
    """Starts of a new version in its probation, its first included."""
    versions_kept: int = 3
    """Old files beyond this number are removed, never one that is needed."""
    order_reread_s: float = 300.0
    """The marker is read again so often although nothing woke the device; jittered."""
    outage_s: float = 86400.0
    """So long does the dead-man timer put an outage of the plane down to the plane."""
    retry_s: float = 5.0
    """Before a step that the disk refused is tried again."""


@dataclass(frozen=True, slots=True)
class Config:
    device_id: str
    """1 to 63 of `a-z 0-9 _ -`, not `-` or `_` at an end; as in its credentials."""
    plane: PlaneConfig
    paths: PathsConfig = field(default_factory=PathsConfig)
    heartbeat: HeartbeatConfig = field(default_factory=HeartbeatConfig)
    upgrade: UpgradeConfig = field(default_factory=UpgradeConfig)
    log_level: str = "INFO"
    """DEBUG, INFO, WARNING or ERROR; the log goes to standard error."""


def load(path: Path, environment: Mapping[str, str], flags: Sequence[str] = ()) -> Config:
    """Raises ConfigError: unreadable, unknown or mistyped key, or a value out of range."""
    tree = _file(path)
    for name, text in environment.items():
        if name.startswith(ENVIRONMENT) and name != f"{ENVIRONMENT}CONFIG":
            key = name.removeprefix(ENVIRONMENT).lower().replace("__", ".")
            _put(tree, key, text, where=f"environment variable {name}")
    for flag in flags:
        key, equals, text = flag.partition("=")
        if not equals:
            raise ConfigError(f"--set {flag}: write it as key=value")
        _put(tree, key, text, where=f"--set {key}")
    return _checked(_build(Config, tree, "", str(path)))


def default_path(environment: Mapping[str, str] = os.environ) -> Path:
    return Path(environment.get(f"{ENVIRONMENT}CONFIG", DEFAULT_PATH))


def _file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ConfigError(f"{path} has more than {MAX_BYTES} bytes: that is no configuration")
        return tomllib.loads(data.decode())
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except RecursionError as error:
        raise ConfigError(f"{path} is nested too deeply") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not TOML: {str(error)[:200]}") from error


def _put(tree: dict[str, Any], key: str, text: str, where: str) -> None:
    kind = _kind_of(key, where)
    *sections, name = key.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{where}: {section} is no section in the configuration file")
    tree[name] = _from_text(kind, text, where)


def _kind_of(key: str, where: str) -> Any:
    kind: Any = Config
    for part in key.split("."):
        hints = get_type_hints(kind) if is_dataclass(kind) else {}
        if part not in hints:
            raise ConfigError(f"{where}: there is no key {key!r}")
        kind = hints[part]
    return kind


def _from_text(kind: Any, text: str, where: str) -> Any:
    try:
        if kind is float or kind is int:
            return kind(text)
    except ValueError as error:
        raise ConfigError(f"{where}: {text!r} is not a number") from error
    if kind == tuple[str, ...]:
        return [part.strip() for part in text.split(",")]
    return text


def _build(kind: type[T], tree: object, prefix: str, source: str) -> T:
    if not isinstance(tree, dict):
        raise ConfigError(f"{source}: {prefix.rstrip('.')} must be a section")
    hints = get_type_hints(kind)
    unknown = sorted(set(tree) - set(hints))
    if unknown:
        raise ConfigError(f"{source}: unknown key {prefix}{unknown[0]}")
    found = {}
    for one in fields(kind):  # type: ignore[arg-type]
        key = prefix + one.name
        if is_dataclass(hints[one.name]):
            found[one.name] = _build(hints[one.name], tree.get(one.name, {}), key + ".", source)
        elif one.name in tree:
            found[one.name] = _value(hints[one.name], tree[one.name], f"{source}: {key}")
        elif one.default is MISSING:
            raise ConfigError(f"{source}: {key} is missing")
    return kind(**found)


def _value(kind: Any, value: object, where: str) -> Any:
    if kind is float and type(value) is int and abs(value) < MOST:
        return float(value)
    if kind is Path or kind == Path | None:
        if isinstance(value, str) and value.startswith("/") and "\0" not in value:
            return Path(value)
        raise ConfigError(f"{where} must be an absolute path, not {_shown(value)}")
    if kind == tuple[str, ...]:
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise ConfigError(f"{where} must be a list of strings, not {_shown(value)}")
    if type(value) is not kind:
        raise ConfigError(f"{where} must be of type {kind.__name__}, not {_shown(value)}")
    return value


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # more digits than Python writes down
        text = f"a huge {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:80]}…"


def _checked(config: Config) -> Config:
    _check("device_id", check_device_id, config.device_id)
    for server in config.plane.servers:
        _check("plane.servers", check_server, server)
        if config.plane.ca is not None and not server.startswith("tls://"):
            raise ConfigError(f"plane.servers: {server} is without TLS, and plane.ca asks for it")
    for section in (config.heartbeat, config.upgrade, config.plane):
        for one in fields(section):
            value = getattr(section, one.name)
            if isinstance(value, int | float) and not 0 < value < MOST:
                raise ConfigError(f"{one.name} = {_shown(value)} must be above 0 and below 10^8")
    for name in ("interval_s", "quick_interval_s"):
        if getattr(config.heartbeat, name) * 1000 > MAX_INTERVAL_MS:
            raise ConfigError(f"heartbeat.{name} must be an hour, 3600, at most")
    if config.log_level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise ConfigError(f"log_level {config.log_level!r} is none of DEBUG INFO WARNING ERROR")
    return config


def _check(key: str, check: Callable[[str], str], text: str) -> None:
    try:
        check(text)
    except InvalidValue as error:
        raise ConfigError(f"{key}: {error}") from error
