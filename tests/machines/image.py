"""Root file systems of real distributions, each built once by mmdebstrap and then only read.

They lie in `.cache/machines` of the checkout, or in the folder that HARMONY_FLEET_CACHE names, as
`<name>-<hash of the recipe>`: a changed recipe is another image. Root logs in by key only.

    python -m tests.machines.image    builds all of them
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO

LIMIT_S = 120.0
"""It takes half a minute where the mirror is near; tests do not wait for one that is far."""
BUILD_ALL = "python -m tests.machines.image"
_PATIENT_S = 1800.0
_CHECKOUT = Path(__file__).parents[2]
_PACKAGES = (
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "python3",
    "procps",
    "iproute2",
    "sudo",
)
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
_MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "getty-static.service",
    "systemd-firstboot.service",
)
"""What a machine of a test must not do on its own account."""
_SSHD = "PermitRootLogin prohibit-password\nPasswordAuthentication no\nUseDNS no"
_SETTLE = f"""
set -e
cd "$1/etc"
for unit in {" ".join(_MASKED)}; do ln -sf /dev/null systemd/system/$unit; done
ln -sf /lib/systemd/system/multi-user.target systemd/system/default.target
echo "{_SSHD}" >ssh/sshd_config.d/tests.conf
rm -f ssh/ssh_host_* resolv.conf "$1/var/lib/dbus/machine-id"
ssh-keygen -q -t ed25519 -N "" -C machine -f ssh/ssh_host_ed25519_key
: >machine-id
mkdir -p "$1/var/log/journal"
"""
"""Each machine gets an id of its own at its first boot; its journal outlives its boots."""
HOST_KEY = Path("etc/ssh/ssh_host_ed25519_key.pub")


class NoImage(Exception):
    """The image is not there, and could not be built. Its text says why."""


class Buildable(Protocol):
    """Something that mmdebstrap makes, once."""

    @property
    def name(self) -> str: ...

    def argv(self, target: Path) -> list[str]:
        """A command that leaves `target` complete, or fails."""


def path_of(buildable: Buildable) -> Path:
    recipe = "\0".join(buildable.argv(Path()))
    return cache() / f"{buildable.name}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


@dataclass(frozen=True, slots=True)
class Recipe:
    name: str
    suite: str
    further: tuple[str, ...] = ()
    """Packages, beside those that every machine has."""

    def argv(self, target: Path) -> list[str]:
        """No mirror is named: mmdebstrap knows those of each suite, updates included."""
        return [
            "mmdebstrap",
            "--variant=minbase",
            "--mode=root",
            "--format=directory",
            f"--include={','.join(_PACKAGES + self.further)}",
            '--aptopt=Acquire::Retries "1"',
            '--aptopt=Acquire::http::Timeout "5"',
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT),
            f"--customize-hook={_SETTLE}",
            self.suite,
            str(target),
        ]


DEBIAN_12 = Recipe("debian-12", "bookworm")
DEBIAN_13 = Recipe("debian-13", "trixie")
RECIPES = (DEBIAN_12, DEBIAN_13)
"""What the agent has to work on."""
WITH_MENDER = Recipe("debian-12-mender", "bookworm", ("mender-client", "mender-artifact"))
"""For what it is compared with."""


def cache() -> Path:
    folder = os.environ.get("HARMONY_FLEET_CACHE") or _CHECKOUT / ".cache"
    return Path(folder).resolve() / "machines"


def image(recipe: Recipe) -> Path:
    """Its root folder, built where it is missing. Raises NoImage."""
    return built(recipe)


def built(recipe: Buildable, limit_s: float = LIMIT_S) -> Path:
    """Raises NoImage.

    However many test processes want it at once, one of them builds; the others wait, and do not
    try again what it could not do.
    """
    found = path_of(recipe)
    if found.exists():
        return found
    if shutil.which("mmdebstrap") is None:
        raise NoImage(f"there is no image of {recipe.name}, and mmdebstrap is not installed")
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f"{recipe.name}.lock").open("a+") as lock:
        if not _was_free(lock) and not found.exists():
            lock.seek(0)
            raise NoImage(lock.read())
        if not found.exists():
            _build(recipe, found, lock, limit_s)
    return found


def _was_free(lock: TextIO) -> bool:
    """It is ours now in any case."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return False
    return True


def _build(recipe: Buildable, found: Path, lock: TextIO, limit_s: float) -> None:
    """mmdebstrap holds the lock as well: it may outlive the process that began it."""
    target = found.with_name(f".{recipe.name}")
    shutil.rmtree(target, ignore_errors=True)
    argv = ["unshare", "--mount", "--pid", "--fork", "--kill-child", *recipe.argv(target)]
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=limit_s,
            pass_fds=(lock.fileno(),),
        )
        reason = "" if done.returncode == 0 else _reason(done.stderr)
    except subprocess.TimeoutExpired:
        reason = f"it took longer than {limit_s:.0f} s; try: {BUILD_ALL}"
    if not reason:
        target.rename(found)
        return
    lock.truncate(0)
    lock.write(f"no image of {recipe.name} could be built: {reason}")
    lock.flush()
    raise NoImage(f"no image of {recipe.name} could be built: {reason}")


def _reason(said: str) -> str:
    """apt's first complaint: what follows is how the others fared after it."""
    lines = said.splitlines() or ["it said nothing"]
    return next((line for line in lines if line.startswith("E: ")), lines[-1])


def build_all(recipes: Sequence[Buildable]) -> None:
    """However long it takes."""
    for recipe in recipes:
        begun_s = time.monotonic()
        try:
            path = built(recipe, _PATIENT_S)
        except NoImage as error:
            sys.exit(str(error))
        print(f"{path}: {time.monotonic() - begun_s:.0f} s")  # noqa: T201


if __name__ == "__main__":
    build_all((*RECIPES, WITH_MENDER))
