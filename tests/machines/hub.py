"""The place where the machines stand: namespaces of our own for mounts, network, pids and cgroups.

All that a machine is, is in here: its mounts, its link, its processes. The first process in here
ends when the test process does, however that ends, and with it the kernel ends, unmounts and
detaches all of it. Only empty cgroups are left then; the next hub removes them.

The network is the hub's own: 10.77.0.1 and the machines at one switch, and nothing beyond it. A
control plane that the machines should reach is started inside `Hub.inside`.
"""

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count, cycle
from pathlib import Path

ADDRESS = "10.77.0.1"
BRIDGE = "switch"
PLUG = "to-1"
"""The switch's end of the hub's own cable."""
CGROUPS = Path("/sys/fs/cgroup")
"""As seen in here: the hub's own cgroup is the root, version 2 alone, whatever the host has."""
_NETWORK = "hub"
"""Beside the machines' networks: in that of the switch, the switch would answer for it."""
_PREFIX = "harmony-fleet-tests-"
_CLONE_NEWNET = 0x40000000
_SETUP = f"""
set -e
read pid rest </proc/self/stat
mount --make-rshared /
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/netns
mount -t cgroup2 cgroup2 {CGROUPS}
mkdir {CGROUPS}/$1
echo 0 >{CGROUPS}/$1/cgroup.procs
exec unshare --cgroup sh -ec "$2" sh $pid "$3"
"""
"""The pid is read before /proc is ours: it is the one that the test process knows us by. Shared,
in here alone: nspawn takes copies of all mounts along, which only so go when ours do.
"""
_INSIDE = f"""
umount {CGROUPS}
mount -t cgroup2 cgroup2 {CGROUPS}
mkdir {CGROUPS}/hub
echo 0 >{CGROUPS}/hub/cgroup.procs
for name in $(cat {CGROUPS}/cgroup.controllers); do
    echo +$name >{CGROUPS}/cgroup.subtree_control || true
done
ip link add {BRIDGE} type bridge
ip link set {BRIDGE} up
ip netns add {_NETWORK}
ip link add {PLUG} type veth peer eth0 netns {_NETWORK}
ip link set {PLUG} master {BRIDGE} up
ip -n {_NETWORK} link set lo up
ip -n {_NETWORK} address add {ADDRESS}/24 dev eth0
ip -n {_NETWORK} link set eth0 up
echo $1
exec "$2" -c 'import signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
sys.stdin.read()'
"""
"""The first process reaps whatever is left to it, and ends with its standard input."""
_SWEEP = f"""
mount -t cgroup2 cgroup2 {CGROUPS}
for folder in {CGROUPS}/{_PREFIX}*; do
    name=${{folder##*/}}
    pid=${{name##*-}}
    [ $name = "$1" ] || [ ! -d /proc/$pid ] || continue
    [ ! -d $folder ] || find $folder -depth -type d -exec rmdir {{}} +
done
"""


class HubFailed(Exception):
    """The kernel refused one of the namespaces, or what should be in them."""


class Refused(Exception):
    """A command failed. Its text is the command, its status and what it said."""


class Hub:
    """`close` it at the end."""

    _counted = count(1)

    def __init__(self, folder: Path) -> None:
        """Raises HubFailed. Machines have their disks in `folder`."""
        self.folder = folder
        self._cgroup = f"{_PREFIX}{next(self._counted)}-{os.getpid()}"
        _sweep(self._cgroup)
        argv = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child")
        words = ("sh", "-c", _SETUP, "sh", self._cgroup, _INSIDE, sys.executable)
        with (folder / "hub.log").open("w") as log:
            self._process = subprocess.Popen(
                [*argv, *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd="/",
                start_new_session=True,  # Ctrl-C is not for it: what ends in here needs it
            )
        assert self._process.stdout is not None
        pid = self._process.stdout.readline().strip()
        if not pid:
            self.close()
            said = (folder / "hub.log").read_text().strip().splitlines() or ["it said nothing"]
            raise HubFailed(f"no namespaces of its own for the tests' machines: {said[-1]}")
        self.pid = int(pid)
        self._numbers = cycle(range(11, 251))
        self._taken: set[int] = set()

    @property
    def root(self) -> Path:
        """Its mounts and its /run, as the test process may reach them."""
        return Path(f"/proc/{self.pid}/root")

    def take_number(self) -> int:
        """The last part of an address that nobody has, nor had of late."""
        number = next(each for each in self._numbers if each not in self._taken)
        self._taken.add(number)
        return number

    def give_back(self, number: int) -> None:
        self._taken.discard(number)

    def argv(self, *argv: str) -> list[str]:
        """So that it runs among the machines' mounts and pids, and ends with the hub."""
        return ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--cgroup", *argv]

    def network_argv(self, *argv: str) -> list[str]:
        """The same, on the hub's own address."""
        return self.argv("nsenter", f"--net=/run/netns/{_NETWORK}", *argv)

    def run(self, *argv: str, stdin: bytes = b"") -> str:
        """What it printed. Raises Refused."""
        return run(self.argv(*argv), stdin)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """This thread, and the processes that it starts, are on the hub's network meanwhile.

        Only the network is another: files and pids stay those of the test process.
        """
        with Path("/proc/thread-self/ns/net").open() as own:
            with (self.root / "run/netns" / _NETWORK).open() as hub:
                _enter(hub.fileno())
            try:
                yield
            finally:
                _enter(own.fileno())

    def close(self) -> None:
        """All that was in it has ended and is unmounted afterwards."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        _sweep(self._cgroup)


@contextmanager
def hub_at(folder: Path) -> Iterator[Hub]:
    hub = Hub(folder)
    try:
        yield hub
    finally:
        hub.close()


def run(argv: Sequence[str], stdin: bytes = b"") -> str:
    """What it printed. Raises Refused."""
    return output(argv, subprocess.run(argv, capture_output=True, input=stdin, cwd="/"))


def output(argv: Sequence[str], done: "subprocess.CompletedProcess[bytes]") -> str:
    """What it printed. Raises Refused."""
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise Refused(f"{' '.join(argv)}: status {done.returncode}: {said}")
    return done.stdout.decode(errors="replace")


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _sweep(own: str) -> None:
    """The cgroups of hubs whose test process is gone, and of this one."""
    argv = ("unshare", "--mount", "sh", "-c", _SWEEP, "sh", own)
    subprocess.run(argv, capture_output=True, cwd="/")
