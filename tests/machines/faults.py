"""What may be wrong with a machine's disk, for as long as a test wants it."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.machines.any_machine import AnyMachine
from tests.machines.machine import Machine

_FILLER = "/filler"
_FILL = f"""
cat /dev/zero >{_FILLER}
for time in 1 2 3 4 5; do dd if=/dev/zero bs=4k >>{_FILLER}; sync; done
"""
"""In small steps at last: a big one fails while there is still room for a small one. Again after
each sync, which gives back what was set aside for data that is now in its place.
"""


@contextmanager
def disk_full(machine: AnyMachine) -> Iterator[None]:
    """No byte more fits on it meanwhile. Only for a machine with a disk of its own."""
    shared = isinstance(machine, Machine) and machine.kind.disk_bytes is None
    assert not shared, "this would fill the disk of all tests"
    machine.run("sh", "-c", _FILL)
    try:
        yield
    finally:
        machine.run("rm", _FILLER)


@contextmanager
def mounted(machine: AnyMachine, folder: str, option: str) -> Iterator[None]:
    """The folder is a mount with that option meanwhile, as `noexec` or `ro`; until a boot at most.

    Services see it from their next start on.
    """
    machine.run("mount", "--bind", folder, folder)
    machine.run("mount", "-o", f"remount,bind,{option}", folder)
    try:
        yield
    finally:
        machine.run("sh", "-c", 'mountpoint -q "$1" && umount --lazy "$1"; true', "sh", folder)
