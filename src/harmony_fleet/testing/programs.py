"""Whole programs for tests of what keeps them: an archive behind its interpreter's line."""

import zipfile
from hashlib import sha256
from pathlib import Path

SHEBANG = b"#!/usr/bin/env python3\n"


def write_program(path: Path, source: str) -> str:
    """A program at `path`, in a new file, executable; its SHA-256."""
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.write(SHEBANG)
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("__main__.py", source)
    path.chmod(0o755)
    return sha256(path.read_bytes()).hexdigest()
