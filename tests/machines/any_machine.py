"""What a test does with a machine, be it a container or a virtual machine: by its `run` alone."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from tests.machines.hub import ADDRESS, Hub, run
from tests.machines.network import Link
from tests.machines.nspawn import Process
from tests.machines.ssh import Access

ENVIRONMENT = (
    "env",
    "-i",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LANG=C.UTF-8",
)
_WRITE = 'mkdir -p "${1%/*}" && cat >"$1" && chmod "$2" "$1"'


class AnyMachine(ABC):
    hub: Hub
    name: str
    access: Access
    link: Link

    @property
    def address(self) -> str:
        return self.access.address

    # Its power

    @abstractmethod
    def start(self) -> None:
        """Turn it on; `wait_up` may follow later, so that several boot side by side."""

    @abstractmethod
    def wait_up(self) -> None:
        """Raises BootFailed."""

    @abstractmethod
    def is_on(self) -> bool: ...

    @abstractmethod
    def cut_power(self) -> None: ...

    @abstractmethod
    def reboot(self) -> None:
        """In good order, from inside."""

    @abstractmethod
    def remove(self) -> None:
        """With all that it wrote."""

    def boot(self) -> None:
        """On the disk as it is. Raises BootFailed."""
        self.start()
        self.wait_up()

    # What goes on in it

    @abstractmethod
    def run(self, *argv: str, stdin: bytes = b"") -> str:
        """What it printed. Raises Refused, MachineOff. It runs in no unit of the machine's."""

    @abstractmethod
    def processes(self) -> list[Process]:
        """Those that the machine itself started; not what `run` does in it."""

    def unit_run(self, unit: str, *argv: str, properties: tuple[str, ...] = ()) -> str:
        """As a transient unit, until it ends; what it printed. Raises Refused."""
        options = [f"--property={each}" for each in properties]
        words = ("--quiet", "--wait", "--pipe", "--collect", f"--unit={unit}", *options)
        return self.run("systemd-run", *words, *argv)

    def systemctl(self, *words: str) -> str:
        return self.run("systemctl", *words)

    def show(self, unit: str, name: str) -> str:
        """One property of a unit, as `ActiveState`."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def journal(self, unit: str) -> list[str]:
        """Its lines, of all boots."""
        return self.run("journalctl", "-q", "-o", "cat", "-u", unit).splitlines()

    def write(self, path: str, content: bytes | str, mode: int = 0o644) -> None:
        """Its folders are made; nothing is synced."""
        data = content.encode() if isinstance(content, str) else content
        self.run(*write_argv(path, mode), stdin=data)

    def read(self, path: str) -> str:
        return self.run("cat", path)

    def ssh(self, *argv: str) -> str:
        """As the people who install do it. Raises Refused."""
        with self.hub.inside():
            return run(["ssh", "-F", str(self.access.config), self.name, *argv])


M = TypeVar("M", bound=AnyMachine)


@contextmanager
def booted(made: M) -> Iterator[M]:
    """Up, and removed at the end. Raises BootFailed."""
    try:
        made.boot()
        yield made
    finally:
        made.remove()


def write_argv(path: str, mode: int = 0o644) -> tuple[str, ...]:
    """A command that writes its input there."""
    return ("sh", "-c", _WRITE, "sh", path, f"{mode:o}")


def own_files(access: Access, volatile_journal: bool) -> Iterator[tuple[str, str, int]]:
    """What tells one machine of an image from the others: path, content and mode."""
    yield "/etc/hostname", f"{access.name}\n", 0o644
    yield "/etc/hosts", f"127.0.0.1 localhost {access.name}\n{ADDRESS} hub\n", 0o644
    yield "/root/.ssh/authorized_keys", access.public_key, 0o600
    if volatile_journal:
        yield "/etc/systemd/journald.conf.d/t.conf", "[Journal]\nStorage=volatile\n", 0o644
