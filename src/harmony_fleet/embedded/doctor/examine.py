"""All checks of this machine, in the order in which one would mend."""

from functools import partial
from pathlib import Path

from harmony_fleet.embedded.data_folder import DataFolder
from harmony_fleet.embedded.doctor import contents, folder, machine
from harmony_fleet.embedded.doctor.finding import Finding, guarded


def examine(data: Path, api_port: int, nats_server: Path | None = None) -> list[Finding]:
    """Blocks for as long as it takes to read every artifact. Never raises a FleetError."""
    found = guarded(machine.PYTHON, machine.look_at_python)
    found += guarded(machine.NATS, partial(machine.look_at_nats_server, nats_server))
    found += guarded(folder.FOLDER, partial(folder.look_at_folder, data))
    can_look = folder.can_be_listed(data)
    if can_look and data.is_dir():
        found += guarded(folder.SECRETS, partial(folder.look_at_secrets, data))
        found += guarded(folder.DISK, partial(folder.look_at_disk, data))
        found += guarded(contents.STORE, partial(contents.look_at_store, data))
        found += guarded(contents.KEYS, partial(contents.look_at_keys, data), contents.BACKUP)
        certificates = partial(contents.look_at_certificates, data)
        found += guarded(contents.TLS_DATES, certificates, contents.BACKUP)
        found += guarded(contents.API_TOKEN, partial(contents.look_at_token, data))
    if can_look and folder.server_of(data) is None:  # else the ports may be this fleet's own
        known = DataFolder(data, token="")
        ports = (api_port, known.nats_port(), known.nats_port_file)
        found += guarded(machine.PORTS, partial(machine.look_at_ports, *ports))
    return found
