"""What boots an image's root folder as a virtual machine: the kernel of its distribution, and an
initrd of our own, which needs nothing of the root folder: no modules, no network configuration.

It loads the virtio modules, gives eth0 the address that the kernel's command line names, mounts the
disk and gives way to systemd. Without an address it says that it came so far, and powers off: so
one finds out whether guests run here at all.

    python -m tests.machines.kernel    builds all of them
"""

from dataclasses import dataclass
from pathlib import Path

from tests.machines.image import RECIPES, Recipe, build_all, built

SIGN_OF_LIFE = "a guest runs here"
ARGUMENTS = (
    "console=ttyS0",
    "quiet",
    "net.ifnames=0",
    "panic=-1",
    "mitigations=off",
    "systemd.mask=proc-sys-fs-binfmt_misc.automount",
    "systemd.mask=serial-getty@ttyS0.service",
    "systemd.mask=systemd-binfmt.service",
    "systemd.mask=systemd-modules-load.service",
)
"""The image has no udev, without which nobody finds the console, and no modules to load."""
_PACKAGES = ("linux-image-cloud-amd64", "busybox-static")
_MODULES = (
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "virtio_blk",
    "failover",
    "net_failover",
    "virtio_net",
)
"""In the order of their dependencies; some kernels have some of them built in, as all have ext4."""
_INIT = f"""#!/bin/busybox sh
cd /bin
for name in insmod ip mount poweroff switch_root umount; do ./busybox ln -s busybox $name; done
mount -t devtmpfs dev /dev
mount -t proc proc /proc
for module in /modules/*; do insmod $module; done
read words </proc/cmdline
for word in $words; do case $word in address=*) address=${{word#*=}}; esac; done
if [ -z "$address" ]; then echo "{SIGN_OF_LIFE}"; poweroff -f; fi
ip link set eth0 up
ip address add $address dev eth0
mount -t ext4 /dev/vda /root
umount /proc
mount --move /dev /root/dev
exec switch_root /root /sbin/init
"""
_MAKE = f"""
set -e
root=$1
rm -rf "$TARGET"
mkdir -p "$root/initrd/bin" "$root/initrd/modules" "$TARGET"
cd "$root/initrd"
mkdir dev proc root
busybox=$(ls "$root"/bin/busybox "$root"/usr/bin/busybox 2>/dev/null | head -n 1)
cp "$busybox" bin/busybox
number=10
for name in {" ".join(_MODULES)}; do
    for file in $(find "$root"/*/modules "$root"/usr/*/modules -name "$name.ko*" | head -n 1); do
        case $file in *.xz) unpack="$busybox unxz -c" ;; *) unpack=cat ;; esac
        $unpack "$file" >"modules/$number-$name.ko"
        number=$((number + 1))
    done
done
printf %s "$INIT" >init
chmod 755 init
find . | "$busybox" cpio -o -H newc >"$TARGET/initrd"
cp "$root"/boot/vmlinuz-* "$TARGET/vmlinuz"
"""


@dataclass(frozen=True, slots=True)
class Kernel:
    image: Recipe

    @property
    def name(self) -> str:
        return f"kernel-{self.image.name}"

    def argv(self, target: Path) -> list[str]:
        """Nothing is installed, only unpacked: no package's scripts run."""
        return [
            "env",
            f"TARGET={target}",
            f"INIT={_INIT}",
            "mmdebstrap",
            "--variant=extract",
            "--mode=root",
            "--format=null",
            f"--include={','.join(_PACKAGES)}",
            '--aptopt=Acquire::Retries "1"',
            '--aptopt=Acquire::http::Timeout "5"',
            f"--extract-hook={_MAKE}",
            self.image.suite,
            "/dev/null",
        ]


def kernel(image: Recipe) -> Path:
    """A folder with `vmlinuz` and `initrd`, built where it is missing. Raises NoImage."""
    return built(Kernel(image))


if __name__ == "__main__":
    build_all([Kernel(each) for each in RECIPES])
