"""Why this machine cannot run virtual machines for tests, in one sentence; tried out, not guessed.

python -m tests.machines.why_no_virtual_machine    says it, or how they run; status 1 where not
"""

import platform
import sys
from functools import cache

from tests.machines.acceleration import NoGuest, acceleration
from tests.machines.domain import Acceleration
from tests.machines.hub import HubFailed, Refused
from tests.machines.image import NoImage
from tests.machines.libvirt import NoLibvirt
from tests.machines.why_not import lacking

_ARCHITECTURE = "x86_64"
_PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "libvirtd": "libvirt-daemon",
    "virsh": "libvirt-clients",
    "e2fsck": "e2fsprogs",
    "setpriv": "util-linux",
}
"""With the Debian package that has it; libvirt-daemon-driver-qemu has no program."""
_WORDS = {
    Acceleration.KVM: "by KVM",
    Acceleration.EMULATION: "by emulation, as KVM runs no guest here",
}


@cache
def why_no_virtual_machine() -> str | None:
    """None: it can. Builds what is missing, and boots a guest as far as its first process."""
    if why := lacking(_PROGRAMS):
        return why
    if platform.machine() != _ARCHITECTURE:
        return f"virtual machines for tests are {_ARCHITECTURE}, and this is {platform.machine()}"
    try:
        acceleration()
    except (NoGuest, NoLibvirt, NoImage, HubFailed, Refused) as error:
        return " ".join(str(error).split())
    return None


def main() -> None:
    if why := why_no_virtual_machine():
        sys.exit(f"virtual machines for tests: not here, {why}")
    print(f"virtual machines for tests: {_WORDS[acceleration()]}")  # noqa: T201


if __name__ == "__main__":
    main()
