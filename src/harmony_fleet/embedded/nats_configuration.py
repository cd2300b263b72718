"""What the embedded NATS server is told: where it listens, with which accounts and bounds.

Written anew at each start.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from harmony_fleet.embedded.accounts import SERVER_CONFIGURATION, Accounts
from harmony_fleet.embedded.reach import Reach

LOG: Final = "nats-server.log"
"""In the server's folder; each start goes on with it, and the server bounds it."""

_CONFIGURATION: Final = """\
# written by harmony-fleet at each start
{listening}
server_name: "embedded"
operator: {operator}
system_account: {system}
resolver {{ type: full, dir: {resolver}, allow_delete: false, interval: "2m" }}
# a device that floods its own key must not make the others' puts wait
jetstream {{ store_dir: {store}, max_buffered_msgs: 500, max_buffered_size: 4MB }}
# it remembers closed connections, 10000 of them by default at 2.5 KiB each, for a page nobody reads
max_closed_clients: 100
ports_file_dir: {ports}
log_file: {log}
log_size_limit: 4MB
logfile_max_num: 2
"""

_TLS: Final = """\
tls {{ cert_file: {certificate}, key_file: {certificate}, min_version: "1.3", timeout: 5 }}"""
"""Five seconds for a handshake: two, the default, are few over a bad mobile network."""


@dataclass(frozen=True, slots=True)
class Listening:
    """Where, and, where the reach is under TLS, with which certificate."""

    reach: Reach = field(default_factory=Reach)
    certificate: Path | None = None
    """A file of key and certificate."""
    ca: Path | None = None
    """The file of the authority that signed it."""

    def __post_init__(self) -> None:
        if self.reach.tls != (self.certificate is not None):
            raise ValueError("a certificate belongs to TLS, and TLS to a certificate")

    def at(self, port: int, *, monitor: bool) -> str:
        """For the configuration. Port 0: any that is free."""
        address = self.reach.address
        host = f"[{address}]" if ":" in address else address
        lines = [f'listen: "{host}:{port or -1}"']
        if self.certificate is not None:
            lines.append(_TLS.format(certificate=_quoted(self.certificate)))
        if monitor:
            lines.append('http: "127.0.0.1:-1"')
        return "\n".join(lines)


def configure(folder: Path, accounts: Accounts, listening: str) -> Path:
    """Writes the server's configuration, and removes where the last run listened."""
    (folder / "ports").mkdir(mode=0o700, exist_ok=True)
    for left in folder.glob("ports/*.ports"):
        left.unlink(missing_ok=True)
    text = _CONFIGURATION.format(
        listening=listening,
        operator=_quoted(accounts.operator_jwt),
        system=accounts.system_public,
        resolver=_quoted(accounts.resolver),
        store=_quoted(folder),
        ports=_quoted(folder / "ports"),
        log=_quoted(folder / LOG),
    )
    path = folder / SERVER_CONFIGURATION
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def _quoted(path: Path) -> str:
    return json.dumps(str(path.absolute()), ensure_ascii=False)
