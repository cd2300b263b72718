"""A libvirt of the hub's own: its daemon runs inside the hub, and ends with it.

What it reads and writes in /etc and /var is its alone: a layer over this machine's, in a mount
namespace that only the daemon and its virtual machines are in. So it neither needs nor disturbs a
libvirt that this machine itself runs. Its sockets lie in the hub's /run.
"""

import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tests.machines.domain import Domain
from tests.machines.hub import Hub, Refused

_START_LIMIT_S = 30.0
_URI = "qemu:///system"
_PID = Path("run/libvirtd.pid")
_DAEMON = """
set -e
for parent in /etc /var/lib /var/log /var/cache; do
    layer=/run/libvirtd$parent
    mkdir -p $layer/upper $layer/work
    mount -t overlay -o lowerdir=$parent,upperdir=$layer/upper,workdir=$layer/work overlay $parent
    mkdir -p $parent/libvirt
    mount -t tmpfs tmpfs $parent/libvirt
done
if ! grep -q ^libvirt-qemu: /etc/passwd; then
    echo libvirt-qemu:x:64055:64055::/:/bin/false >>/etc/passwd
fi
for group in kvm libvirt-qemu; do
    if ! grep -q ^$group: /etc/group; then echo $group:x:64055: >>/etc/group; fi
done
cat >/etc/libvirt/libvirtd.conf <<END
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
END
cat >/etc/libvirt/qemu.conf <<END
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = [ ]
cgroup_controllers = [ ]
stdio_handler = "file"
END
LIBVIRT_LOG_OUTPUTS="4:file:$1" exec libvirtd --daemon
"""
"""Debian's build looks up its user and groups even where it is told to use others."""
_starting = threading.Lock()


class NoLibvirt(Exception):
    """The daemon does not start. Its text says why."""


@dataclass(frozen=True, slots=True)
class Libvirt:
    hub: Hub

    @classmethod
    def of(cls, hub: Hub) -> "Libvirt":
        """The hub's, started where nobody wanted it yet. Raises NoLibvirt."""
        libvirt = cls(hub)
        with _starting:
            if not (hub.root / _PID).exists():
                libvirt._start()
        return libvirt

    def create(self, domain: Domain) -> None:
        """It is on then; once it is off, libvirt knows nothing of it. Raises Refused."""
        self._virsh("create", "/dev/stdin", stdin=domain.xml().encode())

    def destroy(self, name: str) -> None:
        """As by the mains: the guest is told nothing. One that is off already stays so."""
        try:
            self._virsh("destroy", name)
        except Refused:
            if self.is_on(name):
                raise

    def is_on(self, name: str) -> bool:
        return name in self._virsh("list", "--name").split()

    def _start(self) -> None:
        log = self.hub.folder / "libvirtd.log"
        try:
            self.hub.run("unshare", "--mount", "sh", "-c", _DAEMON, "sh", str(log))
        except Refused as refused:
            raise NoLibvirt(
                f"no libvirt of its own for the tests' machines: {refused}"
            ) from refused
        ends_s = time.monotonic() + _START_LIMIT_S
        while why := self._refusal():
            if time.monotonic() > ends_s or not self._lives():
                said = log.read_text(errors="replace").strip().splitlines() or [why]
                (self.hub.root / _PID).unlink(missing_ok=True)
                raise NoLibvirt(f"libvirtd does not serve: {said[-1].rpartition(' : ')[2]}")
            time.sleep(0.05)

    def _refusal(self) -> str:
        """Empty: it serves."""
        try:
            self._virsh("uri")
        except Refused as refused:
            return str(refused)
        return ""

    def _lives(self) -> bool:
        try:
            self.hub.run("sh", "-c", f"kill -0 $(cat /{_PID})")
        except Refused:
            return False
        return True

    def _virsh(self, *words: str, stdin: bytes = b"") -> str:
        return self.hub.run("virsh", "-q", "-c", _URI, *words, stdin=stdin)
