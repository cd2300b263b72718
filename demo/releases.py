"""The releases of the story: good ones, and bad ones made by overlaying modules on the source."""

import shutil
from pathlib import Path

import harmony_fleet
from harmony_fleet.release.build import artifact_name, build

OVERLAYS = Path(__file__).parent / "overlays"
SOURCE = Path(harmony_fleet.__file__).parent


def build_release(version: str, folder: Path, overlay: str | None = None) -> Path:
    """The artifact's file. `overlay` names a folder whose modules replace or join the source's."""
    if overlay is None:
        build(version, folder)
        return folder / artifact_name(version)
    source = folder / f"source-{version}"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(OVERLAYS / overlay, source, dirs_exist_ok=True)
    build(version, folder, source)
    return folder / artifact_name(version)


BEFORE = b"#!/usr/bin/python3 -IS\n"
AFTER = b"#!/usr/bin/python3 -SI\n"
"""The same flags, the same size, a working agent: nothing but its digest tells."""


def tamper(file: Path) -> None:
    """Change a release's file without changing its size or what it does."""
    content = file.read_bytes()
    if not content.startswith(BEFORE):
        raise ValueError(f"{file} does not begin as an agent does")
    new = file.with_name(f".{file.name}.new")
    new.write_bytes(AFTER + content[len(BEFORE) :])
    new.replace(file)
