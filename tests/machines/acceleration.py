"""Whether KVM runs guests on this machine; tried out, as /dev/kvm may be there and not run any.

A guest without a disk boots as far as its first process, says so, and powers itself off.
"""

import time
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.machines.domain import Acceleration, Domain
from tests.machines.hub import Hub, Refused, hub_at
from tests.machines.image import DEBIAN_12
from tests.machines.kernel import ARGUMENTS, SIGN_OF_LIFE, kernel
from tests.machines.libvirt import Libvirt

_LIMITS_S = {Acceleration.KVM: 12.0, Acceleration.EMULATION: 90.0}


class NoGuest(Exception):
    """No guest boots on this machine. Its text says what became of the one that was tried."""


@cache
def acceleration() -> Acceleration:
    """Raises NoGuest, NoLibvirt, NoImage, HubFailed. Found out once, in a hub of its own."""
    with TemporaryDirectory() as folder, hub_at(Path(folder)) as hub:
        if Path("/dev/kvm").exists() and _failure(hub, Acceleration.KVM) is None:
            return Acceleration.KVM
        if failure := _failure(hub, Acceleration.EMULATION):
            raise NoGuest(f"no virtual machine boots here: {failure}")
        return Acceleration.EMULATION


def _failure(hub: Hub, tried: Acceleration) -> str | None:
    name = f"probe-{tried}"
    console = hub.folder / f"{name}.log"
    libvirt = Libvirt.of(hub)
    try:
        libvirt.create(Domain(name, tried, kernel(DEBIAN_12), ARGUMENTS, console))
    except Refused as refused:
        return str(refused)
    ends_s = time.monotonic() + _LIMITS_S[tried]
    while libvirt.is_on(name) and time.monotonic() < ends_s:
        time.sleep(0.1)
    libvirt.destroy(name)
    shown = console.read_text(errors="replace")
    if SIGN_OF_LIFE in shown:
        return None
    return (shown.strip().splitlines() or ["its console shows nothing"])[-1]
