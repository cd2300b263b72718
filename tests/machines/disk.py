"""What a machine writes to: a layer over its image, which itself nobody writes to.

The layer lies in a folder of the test's; or, where that cannot hold one, or a test wants a disk
that gets full, goes bad or loses what was not synced, on an ext4 of its own in an image file.
"""

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.crash.ext4 import Loss, shut_down
from tests.machines.hub import Hub

_ROOMY = 2 << 30
"""Bytes, and a sparse file."""
_DETACHED_S = 20.0
_NO_LAYER_ON = ("overlayfs",)
"""Such a file system holds no upper layer of another one."""


@dataclass(frozen=True, slots=True)
class Disk:
    """Plug it in before the first boot."""

    hub: Hub
    image: Path
    folder: Path
    size_bytes: int | None
    """Of an ext4 of its own; None: the folder's file system."""

    @classmethod
    def make(cls, hub: Hub, image: Path, folder: Path, size_bytes: int | None = None) -> "Disk":
        for name in ("layer", "root"):
            (folder / name).mkdir(parents=True)
        if size_bytes is None and _file_system(folder) in _NO_LAYER_ON:
            size_bytes = _ROOMY
        disk = cls(hub, image, folder, size_bytes)
        if size_bytes is not None:
            with disk._ext4.open("wb") as file:
                file.truncate(size_bytes)
            hub.run("mke2fs", "-q", "-t", "ext4", "-b", "4096", "-m", "0", "-F", str(disk._ext4))
        return disk

    @property
    def root(self) -> Path:
        """The machine's root folder, as seen in the hub."""
        return self.folder / "root"

    def mount(self) -> None:
        layer = self.folder / "layer"
        if self.size_bytes is not None:
            options = "loop,errors=remount-ro"
            self.hub.run("mount", "-t", "ext4", "-o", options, str(self._ext4), str(layer))
        self.hub.run("mkdir", "-p", f"{layer}/upper", f"{layer}/work")
        layers = f"lowerdir={self.image},upperdir={layer}/upper,workdir={layer}/work"
        self.hub.run("mount", "-t", "overlay", "-o", layers, "overlay", str(self.root))

    def unmount(self) -> None:
        self.hub.run("umount", str(self.root))
        if self.size_bytes is not None:
            self.hub.run("umount", str(self.folder / "layer"))
            self._wait_detached()

    def lose_unsynced(self) -> None:
        """Whoever writes on gets errors. Of a folder nothing is lost: its power stays on."""
        if self.size_bytes is not None:
            shut_down(self._layer_from_here, Loss.ALL_UNSYNCED)

    def turn_read_only(self) -> None:
        """As ext4 does when it finds an error of the disk's; until it is mounted again."""
        device = self.hub.run("findmnt", "-no", "SOURCE", str(self.folder / "layer")).strip()
        trigger = f"/sys/fs/ext4/{Path(device).name}/trigger_fs_error"
        self.hub.run("sh", "-c", f"echo a test wants it >{trigger}")

    def _wait_detached(self) -> None:
        """Until then a new mount is the old one again, with what it still had in memory."""
        ends_s = time.monotonic() + _DETACHED_S
        while self.hub.run("losetup", "--associated", str(self._ext4)):
            assert time.monotonic() < ends_s, f"{self._ext4} is still mounted somewhere"

    @property
    def _ext4(self) -> Path:
        return self.folder / "ext4"

    @property
    def _layer_from_here(self) -> Path:
        return self.hub.root / str(self.folder / "layer").lstrip("/")


def _file_system(folder: Path) -> str:
    argv = ["stat", "--file-system", "--format=%T", str(folder)]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
