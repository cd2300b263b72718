"""Who may log in to the machines, and how: one key for all of a hub, each machine's host key known.

The files serve OpenSSH and Ansible alike, from inside the hub's network.
"""

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.machines.image import HOST_KEY


@dataclass(frozen=True, slots=True)
class Access:
    name: str
    address: str
    config: Path
    """For `ssh -F`, where the machine goes by its name."""
    private_key: Path

    @property
    def public_key(self) -> str:
        return self.private_key.with_suffix(".pub").read_text()


def grant(folder: Path, name: str, address: str, image: Path) -> Access:
    key = folder / "key"
    if not key.exists():
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tests", "-f", str(key)]
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    known = folder / name / "known_hosts"
    known.write_text(f"{address} {(image / HOST_KEY).read_text()}")
    config = folder / name / "ssh_config"
    config.write_text(
        f"Host {name}\n"
        f"    HostName {address}\n"
        "    User root\n"
        f"    IdentityFile {key}\n"
        "    IdentitiesOnly yes\n"
        f"    UserKnownHostsFile {known}\n"
        "    StrictHostKeyChecking yes\n"
        "    BatchMode yes\n"
    )
    return Access(name, address, config, key)


def write_inventory(file: Path, machines: Iterable[Access]) -> None:
    """For Ansible, in its INI form; it is run inside the hub's network."""
    lines = [f'{each.name} ansible_ssh_common_args="-F {each.config}"' for each in machines]
    file.write_text("\n".join(["[devices]", *lines, ""]))
