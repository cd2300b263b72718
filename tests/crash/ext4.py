"""A real ext4 whose power can be cut: on an image file, shut down by the kernel as it stands.

Only for a process of its own that has left the machine's mounts behind (`alone` does that): when
it ends, however it ends, the kernel unmounts and detaches all that it had mounted.
"""

import fcntl
import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from tempfile import TemporaryDirectory

IMAGE_BYTES = 32 << 20
_SHUTDOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN, `_IOR('X', 125, __u32)`."""


class Loss(IntEnum):
    """What the cut takes, as the ioctl's flag."""

    UNSYNCED_DATA = 1
    """The file system's own journal is written out first: names without their bytes."""
    ALL_UNSYNCED = 2


@dataclass(frozen=True)
class Ext4:
    """Not mounted yet; empty."""

    image: Path
    root: Path

    @classmethod
    def make(cls, folder: Path) -> "Ext4":
        made = cls(folder / "image", folder / "mounted")
        made.root.mkdir(exist_ok=True)
        made.image.unlink(missing_ok=True)
        with made.image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        _run("mke2fs", "-q", "-t", "ext4", "-F", str(made.image))
        return made

    def mount(self) -> None:
        _run("mount", "-t", "ext4", "-o", "loop", str(self.image), str(self.root))

    def unmount(self) -> None:
        """And its loop device is free again."""
        _run("umount", str(self.root))

    def sync(self) -> None:
        """This file system alone: the machine's others are none of our business."""
        _run("sync", "-f", str(self.root))

    def cut_power(self, loss: Loss) -> None:
        """And the machine is up again, with what is left."""
        shut_down(self.root, loss)
        self.unmount()
        self.mount()


def shut_down(root: Path, loss: Loss) -> None:
    """Nothing that is not on the disk gets there any more. It stays mounted, of no use."""
    descriptor = os.open(root, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", loss))
    finally:
        os.close(descriptor)


def alone(module: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run one of our modules where its mounts are nobody else's, and go when it goes."""
    inside = (sys.executable, "-P", "-m", module, *words)
    argv = ("unshare", "--mount", "--propagation", "private", *inside)
    where = Path(__file__).parents[2]
    return subprocess.run(
        argv,
        capture_output=True,
        text=True,
        cwd=where,
        env={**os.environ, "PYTHONPATH": str(where)},
    )


def probed() -> str | None:
    """Why this machine allows no such file system; None: it does."""
    try:
        done = alone("tests.crash.ext4")
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return None if done.returncode == 0 else (done.stderr.strip() or "refused").splitlines()[-1]


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"{' '.join(argv[:1])}: {done.stderr.strip()}")


def _probe() -> None:
    with TemporaryDirectory() as folder:
        disk = Ext4.make(Path(folder))
        disk.mount()
        try:
            (disk.root / "unsynced").touch()
            disk.cut_power(Loss.ALL_UNSYNCED)
            if (disk.root / "unsynced").exists():
                raise OSError("a cut loses nothing here")
        finally:
            disk.unmount()


def main(words: Sequence[str]) -> None:
    """`say`: whether this machine can, for people; without a word: probe, as a process alone."""
    if not words:
        _probe()
        return
    refused = probed()
    print("ext4 on a loop device:", f"not here, {refused}" if refused else "can be cut off here")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
