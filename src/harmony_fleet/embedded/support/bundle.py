"""Writes a support bundle: all that was collected, redacted, in one zip, whole or not at all."""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from harmony_fleet.embedded.doctor.folder import secret_files
from harmony_fleet.embedded.new_file import new_file
from harmony_fleet.embedded.support.collect import collect, dumped
from harmony_fleet.embedded.support.redact import Redactor

_MOST_BYTES: Final = 1 << 20
"""Of a file of secrets. Those that we make are a thousandth of it."""


def write_bundle(file: Path, data: Path, documents: Mapping[str, Any]) -> list[str]:
    """The names in it. `documents` join what is collected here, and are redacted as well.

    Raises FileRefused, FileFailed.
    """
    with new_file(file) as new:
        redactor = Redactor.knowing(_secrets(data))
        parts = [*documents.items(), *collect(data)]
        with zipfile.ZipFile(new, "w") as archive:
            names = [_add(archive, name, redactor, part) for name, part in parts]
    return names


def _add(archive: zipfile.ZipFile, name: str, redactor: Redactor, part: Any) -> str:
    text = redactor.text(part) if isinstance(part, str) else dumped(redactor.document(part))
    name = redactor.text(name)
    archive.writestr(name, text.encode("utf-8", "replace"), zipfile.ZIP_DEFLATED)
    return name


def _secrets(data: Path) -> Iterator[str]:
    """Raises OSError: of a secret that cannot be read nobody can say that it is not in there."""
    for path in secret_files(data):
        with path.open("rb") as file:
            yield file.read(_MOST_BYTES).decode("utf-8", "replace")
