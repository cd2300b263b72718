"""The versions of one program in memory, with the promises of `ports.Versions`.

They are a device's disk: they survive their process, so give the same ones to the next, after
setting `running`.
"""

from dataclasses import dataclass, field
from hashlib import sha256

from harmony_fleet.agent.upgrade.ports import UpgradeFault
from harmony_fleet.agent.upgrade.pruning import superfluous
from harmony_fleet.contracts.identity import check_version
from harmony_fleet.contracts.upgrade import CauseKind


@dataclass(frozen=True, slots=True)
class FakeFile:
    content: bytes
    whole: bool = True
    """What its own manifest would say."""

    @property
    def sha256(self) -> str:
        return sha256(self.content).hexdigest()


@dataclass
class FakeVersions:
    running: str
    """The version that this process runs from; what its file held at first is held open."""
    files: dict[str, FakeFile] = field(default_factory=dict)
    place: FakeFile | str | None = None
    """At the link's place: a plain install, or the version that a link leads to."""
    previous: str | None = None
    attempt_open: bool = False
    kept: int = 3
    faults: dict[str, UpgradeFault] = field(default_factory=dict)
    """By the name of a method: raised, with nothing done, for as long as it stands here."""
    calls: list[tuple[str, ...]] = field(default_factory=list)
    """Name and versions of each call, in their order, refused ones too."""
    held_open: FakeFile = field(init=False)

    def __post_init__(self) -> None:
        self.files.setdefault(self.running, FakeFile(f"program {self.running}".encode()))
        self.held_open = self.files[self.running]

    def restart(self, running: str) -> None:
        """The next process runs from the file of `running`."""
        self.running, self.held_open = running, self.files[running]

    def link_version(self) -> str | None:
        return self.place if isinstance(self.place, str) else None

    def link_gone(self) -> bool:
        return self.place is None

    def previous_version(self) -> str | None:
        return self.previous

    def capture_revert_target(self, version: str) -> None:
        self._called("capture_revert_target", version)
        if not isinstance(self.place, FakeFile):
            return
        if self.files.setdefault(version, self.place) != self.place:
            raise _fault(CauseKind.DEVICE_FAULT, f"another program is kept as {version}")

    def check_target(self, version: str, sha256: str | None) -> None:
        self._called("check_target", version)
        if self._is_sound(self.files.get(version), sha256):
            return
        if version != self.running or not self._is_sound(self.held_open, sha256):
            raise _fault(CauseKind.ROLLBACK_TARGET_DAMAGED, f"version {version} is damaged")
        self.files[version] = self.held_open

    def point_previous(self, version: str) -> None:
        self._called("point_previous", version)
        self.previous = self._there(version)

    def swap_link(self, version: str) -> None:
        self._called("swap_link", version)
        self.place = self._there(version)

    def open_attempt(self) -> None:
        self._called("open_attempt")
        self.attempt_open = True

    def close_attempt(self) -> None:
        self._called("close_attempt")
        self.attempt_open = False

    def prune(self, keep: frozenset[str]) -> None:
        self.calls.append(("prune", *sorted(keep)))
        if self.attempt_open:
            return
        linked = {self.link_version(), self.previous, self.running}
        needed = keep.union(version for version in linked if version)
        prefix = "fake-v"
        for name in superfluous([prefix + v for v in self.files], prefix, needed, self.kept):
            del self.files[name.removeprefix(prefix)]

    def make_durable(self) -> None:
        self._called("make_durable")

    def _called(self, method: str, *versions: str) -> None:
        self.calls.append((method, *versions))
        for version in versions:
            check_version(version)
        if fault := self.faults.get(method):
            raise fault

    def _there(self, version: str) -> str:
        if version not in self.files:
            raise _fault(CauseKind.DEVICE_FAULT, f"there is no file of version {version}")
        return version

    def _is_sound(self, file: FakeFile | None, sha256: str | None) -> bool:
        if file is None:
            return False
        return file.whole if sha256 is None else file.sha256 == sha256


def _fault(cause: CauseKind, sentence: str) -> UpgradeFault:
    return UpgradeFault(cause, f"{sentence}, in this fake")
