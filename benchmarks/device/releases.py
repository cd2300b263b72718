"""Two releases of the agent, padded to one size: every contender ships the same files."""

import hashlib
import random
import zipfile
from dataclasses import dataclass
from pathlib import Path

from demo.releases import build_release

SIZE_BYTES = 5_000_000
_NAME = "padding"
_OF_THE_ZIP = 30 + 46 + 2 * len(_NAME)
"""Bytes that one more entry takes in a zip, beside its content."""


@dataclass(frozen=True, slots=True)
class Program:
    version: str
    file: Path
    sha256: str

    @property
    def path(self) -> str:
        """On a device."""
        return f"/usr/bin/fleet-agent-v{self.version}"


def padded(version: str, folder: Path) -> Program:
    """A working agent of exactly that size; what fills it cannot be compressed."""
    file = build_release(version, folder)
    room = SIZE_BYTES - file.stat().st_size - _OF_THE_ZIP
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(zipfile.ZipInfo(_NAME), random.Random(version).randbytes(room))
    assert file.stat().st_size == SIZE_BYTES
    return program(version, file)


def program(version: str, file: Path) -> Program:
    return Program(version, file, hashlib.sha256(file.read_bytes()).hexdigest())
