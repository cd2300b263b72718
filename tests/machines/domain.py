"""A virtual machine as libvirt is told of it: a kernel, a disk, a link, a console, and no more."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from xml.sax.saxutils import escape

MEMORY_MIB = 384
_DOMAIN = """
<domain type='{accelerator}'>
  <name>{name}</name>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{kernel}/vmlinuz</kernel>
    <initrd>{kernel}/initrd</initrd>
    <cmdline>{arguments}</cmdline>
  </os>
  <features><acpi/>{features}</features>
  <cpu mode='maximum'><feature policy='disable' name='la57'/></cpu>
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>{on_reboot}</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    {devices}
    <serial type='file'><source path='{console}' append='on'/></serial>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
"""
"""One processor: under emulation a second one costs more than it gives."""
_EMULATED = "<tcg><tb-cache unit='MiB'>256</tb-cache></tcg>"
"""QEMU's own default is a fifth of this machine's memory, for each guest."""
_DISK = """
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' cache='writeback'/>
      <source file='{disk}'/>
      <target dev='vda' bus='virtio'/>
    </disk>"""
"""Raw, so that QEMU keeps nothing of the disk in its own memory, and with a write cache that the
guest knows of: what it writes is in the file, in this machine's memory at least, once QEMU says so,
and what it flushes is on this machine's disk. This machine goes on when the guest's power is cut:
all that QEMU had taken stays, and what was only in the guest's memory is gone.
"""
_LINK = """
    <interface type='ethernet'>
      <mac address='52:54:00:4d:00:{number:02x}'/>
      <target dev='{tap}' managed='no'/>
      <model type='virtio'/>
    </interface>"""


class Acceleration(StrEnum):
    """How a guest's instructions are executed, as libvirt names it."""

    KVM = "kvm"
    EMULATION = "qemu"


@dataclass(frozen=True, slots=True)
class Domain:
    name: str
    acceleration: Acceleration
    kernel: Path
    arguments: tuple[str, ...]
    console: Path
    """A file to which the guest's serial console is appended."""
    disk: Path | None = None
    tap: str | None = None
    number: int = 0
    reboots: bool = False
    """Else a guest that reboots is off."""

    def xml(self) -> str:
        disk = "" if self.disk is None else _DISK.format(disk=_quoted(self.disk))
        link = "" if self.tap is None else _LINK.format(tap=self.tap, number=self.number)
        return _DOMAIN.format(
            accelerator=self.acceleration,
            name=self.name,
            memory=MEMORY_MIB,
            kernel=_quoted(self.kernel),
            arguments=_quoted(" ".join(self.arguments)),
            features=_EMULATED if self.acceleration is Acceleration.EMULATION else "",
            on_reboot="restart" if self.reboots else "destroy",
            devices=disk + link,
            console=_quoted(self.console),
        )


def _quoted(text: object) -> str:
    return escape(str(text), {"'": "&apos;"})
