"""A virtual machine's disk: a file that is an ext4, made of an image's root folder."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from tests.machines.any_machine import ENVIRONMENT, write_argv
from tests.machines.disk import Disk
from tests.machines.hub import Hub, Refused, run

_FORMAT = ("-t", "ext4", "-b", "4096", "-m", "0", "-E", "lazy_itable_init=0", "-F")
"""Else the guest goes on to format it while it is up."""


def make_disk(
    hub: Hub, image: Path, files: Iterable[tuple[str, str, int]], disk: Path, size_bytes: int
) -> None:
    """Of the image, with `files` (path, content, mode) laid over it."""
    draft = Disk.make(hub, image, disk.with_name("draft"))
    draft.mount()
    enter = ("chroot", str(draft.root), *ENVIRONMENT)
    for path, content, mode in files:
        hub.run(*enter, *write_argv(path, mode), stdin=content.encode())
    with disk.open("wb") as file:
        file.truncate(size_bytes)
    hub.run("mke2fs", "-q", *_FORMAT, "-d", str(draft.root), str(disk))
    draft.unmount()
    shutil.rmtree(draft.folder)


def flaws(disk: Path) -> str:
    """What fsck finds once it has replayed the journal, in a copy; empty: nothing."""
    copy = disk.with_name("copy")
    run(["cp", "--sparse=always", str(disk), str(copy)])
    try:
        run(["sh", "-c", 'e2fsck -p "$1" || [ $? -eq 1 ]', "sh", str(copy)])
        run(["e2fsck", "-fn", str(copy)])
    except Refused as refused:
        return str(refused)
    finally:
        copy.unlink()
    return ""
