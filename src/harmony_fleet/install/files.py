"""Where a file on a device comes from: four primitives, and the form in which the role takes each.

Every source is a value that was checked when it was made. What brings it to the device is one
module of Ansible each: `copy` with a content, `copy` from here, `get_url`, and `file` with
`state: link`. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.contracts.identity import check_count, check_sha256, check_url

MODES: Final = range(0o10000)

Form = Mapping[str, Any]
"""As a role variable."""


@dataclass(frozen=True, slots=True)
class Content:
    """A text that is known here."""

    text: str = field(repr=False)

    def form(self) -> Form:
        return {"content": self.text}


@dataclass(frozen=True, slots=True)
class Local:
    """A file of this machine. With a digest, the device checks what arrived before it is used."""

    path: Path
    sha256: str | None = None

    def __post_init__(self) -> None:
        _check_absolute(str(self.path), "a local file")
        if self.sha256 is not None:
            check_sha256(self.sha256)

    def form(self) -> Form:
        digest = {} if self.sha256 is None else {"sha256": self.sha256}
        return {"local": str(self.path), **digest}


@dataclass(frozen=True, slots=True)
class Download:
    """What the device fetches by itself, and checks before it gives it its name."""

    url: str
    sha256: str
    size_bytes: int

    def __post_init__(self) -> None:
        check_url(self.url)
        check_sha256(self.sha256)
        check_count(self.size_bytes, "size_bytes")

    def form(self) -> Form:
        return {"download": self.url, "sha256": self.sha256, "size_bytes": self.size_bytes}


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symbolic link. Its target may be relative to the folder that the link is in."""

    target: str

    def __post_init__(self) -> None:
        if not self.target or "\0" in self.target:
            raise InvalidValue("a symbolic link needs a target")

    def form(self) -> Form:
        return {"symlink": self.target}


class FileSource:
    """The four primitives by name. Each raises InvalidValue where it cannot be one."""

    @staticmethod
    def content(text: str) -> Content:
        return Content(text)

    @staticmethod
    def local(path: Path, sha256: str | None = None) -> Local:
        return Local(path, sha256)

    @staticmethod
    def download(url: str, sha256: str, size_bytes: int) -> Download:
        return Download(url, sha256, size_bytes)

    @staticmethod
    def symlink(target: str) -> Symlink:
        return Symlink(target)


Source = Content | Local | Download | Symlink


@dataclass(frozen=True, slots=True)
class Delivery:
    """One file of a device."""

    path: str
    source: Source
    mode: int = 0o644

    def __post_init__(self) -> None:
        _check_absolute(self.path, "a device's file")
        if self.mode not in MODES:
            raise InvalidValue(f"mode {self.mode:#o} is none of a file")

    def form(self) -> Form:
        """A link has no mode of its own."""
        mode = {} if isinstance(self.source, Symlink) else {"mode": f"{self.mode:04o}"}
        return {"path": self.path, **mode, **self.source.form()}


def check_place(path: str, name: str) -> str:
    """The path that is meant: without a slash at its end, one too many, or a dot between two.

    Raises InvalidValue unless it can stand in a unit's file, and in a command, as it is.
    """
    _check_absolute(path, name)
    if (
        not path.isascii()
        or not path.isprintable()
        or set(path) & set(" \t\"'\\%$;*?[]{}()<>|&!`#~")
    ):
        raise InvalidValue(f"{name} {path!r} holds a character that a unit's file does not take")
    if not (parts := Path(path).parts[1:]):
        raise InvalidValue(f"{name} cannot be {path!r}: name a path below it")
    return f"/{'/'.join(parts)}"


def _check_absolute(path: str, name: str) -> None:
    if not path.startswith("/") or "\0" in path or ".." in Path(path).parts:
        raise InvalidValue(f"{name} needs an absolute path, not {path[:200]!r}")


__all__ = ["Content", "Delivery", "Download", "FileSource", "Form", "Local", "Source", "Symlink"]
