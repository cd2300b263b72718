"""Why this machine cannot run machines for tests, in one sentence; tried out, not guessed.

python -m tests.machines.why_not    says it; status 1 where it cannot
"""

import os
import shutil
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.machines.hub import HubFailed, Refused, hub_at
from tests.machines.image import DEBIAN_12, NoImage, image
from tests.machines.machine import Kind, machine
from tests.machines.nspawn import BootFailed

PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "mke2fs": "e2fsprogs",
}
"""With the Debian package that has it."""


@cache
def why_not() -> str | None:
    """None: it can. Builds the first image where there is none, and boots a machine from it."""
    if why := lacking({}):
        return why
    try:
        image(DEBIAN_12)
        with (
            TemporaryDirectory() as folder,
            hub_at(Path(folder)) as hub,
            machine(hub, "probe", Kind(DEBIAN_12)),
        ):
            return None
    except (NoImage, HubFailed, Refused, BootFailed) as error:
        return " ".join(str(error).split())


def lacking(programs: Mapping[str, str]) -> str | None:
    """Root, or a program: one that every machine needs, or one of these."""
    if os.geteuid() != 0:
        return f"only root may boot machines for tests, and this is user {os.geteuid()}"
    for program, package in {**PROGRAMS, **programs}.items():
        if shutil.which(program) is None:
            return f"{program} is not installed; on Debian and Ubuntu: apt-get install {package}"
    return None


def main() -> None:
    if why := why_not():
        sys.exit(f"machines for tests: not here, {why}")
    print("machines for tests: can be booted here")  # noqa: T201


if __name__ == "__main__":
    main()
