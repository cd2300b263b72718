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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_CHECKOUT = Path(__file__).parents[2]
_PACKAGES = (
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "python3",
    "procps",
    "iproute2",
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
_SSHD = "PermitRootLogin prohibit-password\\nPasswordAuthentication no\\nUseDNS no\\n"
_HOOKS = (
    f'cd "$1/etc/systemd/system" && for unit in {" ".join(_MASKED)};'
    " do ln -sf /dev/null $unit; done",
    'ln -sf /lib/systemd/system/multi-user.target "$1/etc/systemd/system/default.target"',
    f"printf '{_SSHD}' > \"$1/etc/ssh/sshd_config.d/tests.conf\"",
    'cd "$1/etc/ssh" && rm -f ssh_host_*'
    " && ssh-keygen -q -t ed25519 -N '' -C machine -f ssh_host_ed25519_key",
    ': > "$1/etc/machine-id"; rm -f "$1/var/lib/dbus/machine-id" "$1/etc/resolv.conf"',
    'mkdir -p "$1/var/log/journal"',
)
HOST_KEY = Path("etc/ssh/ssh_host_ed25519_key.pub")


class NoImage(Exception):
    """The image is not there, and could not be built. Its text says why."""


@dataclass(frozen=True, slots=True)
class Recipe:
    name: str
    suite: str

    def argv(self, target: Path) -> list[str]:
        """No mirror is named: mmdebstrap knows those of each suite, updates included."""
        return [
            "mmdebstrap",
            "--variant=minbase",
            "--mode=root",
            "--format=directory",
            f"--include={','.join(_PACKAGES)}",
            '--aptopt=Acquire::Retries "1"',
            '--aptopt=Acquire::http::Timeout "15"',
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT),
            *(f"--customize-hook={hook}" for hook in _HOOKS),
            self.suite,
            str(target),
        ]

    def path(self) -> Path:
        recipe = "\0".join(self.argv(Path()))
        return cache() / f"{self.name}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


DEBIAN_12 = Recipe("debian-12", "bookworm")
DEBIAN_13 = Recipe("debian-13", "trixie")
RECIPES = (DEBIAN_12, DEBIAN_13)


def cache() -> Path:
    return Path(os.environ.get("HARMONY_FLEET_CACHE") or _CHECKOUT / ".cache") / "machines"


def image(recipe: Recipe) -> Path:
    """Its root folder, built where it is missing, by one process alone. Raises NoImage."""
    found = recipe.path()
    if found.exists():
        return found
    if shutil.which("mmdebstrap") is None:
        raise NoImage(f"there is no image of {recipe.name}, and mmdebstrap is not installed")
    with _alone(recipe):
        if not found.exists():
            _build(recipe, found)
    return found


def _build(recipe: Recipe, found: Path) -> None:
    for stale in cache().glob(f".{recipe.name}-*"):
        shutil.rmtree(stale)
    target = cache() / f".{found.name}"
    done = subprocess.run(recipe.argv(target), capture_output=True, text=True)
    if done.returncode != 0:
        shutil.rmtree(target, ignore_errors=True)
        said = [line for line in done.stderr.splitlines() if line.startswith(("E:", "Err:", "W:"))]
        reason = (said or done.stderr.splitlines() or ["it said nothing"])[0]
        raise NoImage(f"the image of {recipe.name} could not be built: {reason}")
    target.rename(found)


@contextmanager
def _alone(recipe: Recipe) -> Iterator[None]:
    """However many test processes want it at once. The lock goes with its holder."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f"{recipe.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> None:
    for recipe in RECIPES:
        begun_s = time.monotonic()
        try:
            path = image(recipe)
        except NoImage as error:
            sys.exit(str(error))
        print(f"{path}: {time.monotonic() - begun_s:.0f} s")  # noqa: T201


if __name__ == "__main__":
    main()
