"""What `fleet-operator` is told: one TOML file, and in a pod a few words of the environment.

Keys and tokens are named as files, which a Secret is mounted as. An unknown or mistyped key is an
error: what is misspelt would be left out in silence.
"""

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec

from harmony_fleet.contracts.errors import FleetError, InvalidValue
from harmony_fleet.contracts.identity import check_server, check_url
from harmony_fleet.messaging.credentials import decode_public

DEFAULT_FILE: Final = Path("/etc/fleet-operator/config.toml")

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class ConfigUnusable(FleetError):
    """The operator's configuration cannot be used. Nothing was started."""

    kind = "config_unusable"


class PlaneConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    servers: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    """`nats://host:port`, or `tls://`."""
    credentials: Path
    """The operator's `.creds` file."""
    signing_key: Path
    """The seed that lets devices in."""
    devices_account: str
    """The public key of the devices' account."""
    device_url: str
    """The message plane, as devices reach it."""
    ca: Path | None = None
    """The authority of the `tls://` servers, which devices are told as well."""
    replicas: Annotated[int, msgspec.Meta(ge=1, le=5)] = 3
    """Of its streams: as many as it has servers, up to 3 as a rule."""


class ApiConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    url: str
    """The API and its artifacts, as devices reach them."""
    token: Path
    """What a request has to bear."""
    certificate: Path | None = None
    """For HTTPS, and for `name`; none: HTTP. It is read again when its file changes."""
    key: Path | None = None
    """The certificate's; none: it is in the same file."""
    ca: Path | None = None
    """The authority that signed it: replicas ask each other."""
    name: str = "harmony-fleet"
    """What the certificate is for, whichever replica is asked."""
    address: str = "0.0.0.0"  # noqa: S104 - in a pod
    port: Port = 7700
    artifacts: Path = Path("/var/lib/fleet-operator")
    """The folder of releases that are sent to this API: shared among the replicas."""


class DevicesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    all_namespaces: bool = False
    """Devices may be in any namespace; those that appear by themselves, and all releases, are in
    the operator's."""
    declared_only: bool = False
    """A device that nobody has declared is not taken in."""


class ElectionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    lease: str = "harmony-fleet"
    duration_s: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 4.0
    renew_limit_s: Annotated[float, msgspec.Meta(gt=0)] = 2.5
    retry_s: Annotated[float, msgspec.Meta(gt=0)] = 0.5


class OperatorConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    plane: PlaneConfig
    api: ApiConfig
    devices: DevicesConfig = DevicesConfig()
    election: ElectionConfig = ElectionConfig()


@dataclass(frozen=True, slots=True)
class Pod:
    """Which replica this is."""

    name: str
    address: str


def read_config(path: Path) -> OperatorConfig:
    """Raises ConfigUnusable."""
    try:
        config = msgspec.toml.decode(path.read_bytes(), type=OperatorConfig, dec_hook=_path)
        for server in (*config.plane.servers, config.plane.device_url):
            check_server(server)
        decode_public("A", config.plane.devices_account)
        check_url(config.api.url)
        if config.api.key and not config.api.certificate:
            raise InvalidValue("api: there is a key and no certificate: name both, or neither")
        _check_election(config.election)
    except OSError as error:
        raise ConfigUnusable(
            f"{path} cannot be read ({error.strerror}): name the operator's configuration by "
            "--config"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigUnusable(f"{path} is no text in UTF-8, as TOML is: {error}") from error
    except (msgspec.DecodeError, InvalidValue) as error:
        raise ConfigUnusable(f"{path}: {error}") from error
    return config


def _path(kind: type, value: object) -> Path:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"{value!r} is not the name of a file")


def pod() -> Pod:
    """By what the pod's environment says; outside of one, as on a machine alone."""
    name = os.environ.get("POD_NAME") or socket.gethostname()
    return Pod(name, os.environ.get("POD_IP") or "127.0.0.1")


def text_of(path: Path) -> str:
    """Of a mounted file. Raises ConfigUnusable."""
    try:
        text = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigUnusable(f"{path} cannot be read ({error}): mount the Secret there") from error
    if not text:
        raise ConfigUnusable(f"{path} is empty: put into the Secret what belongs there")
    return text


def _check_election(election: ElectionConfig) -> None:
    if not election.retry_s < election.renew_limit_s < election.duration_s:
        raise InvalidValue(
            "election: retry_s must be below renew_limit_s, and that below duration_s: two would "
            "lead at once"
        )
