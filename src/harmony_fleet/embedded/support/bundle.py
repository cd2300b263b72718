"""Writes a support bundle: all that was collected, redacted, in one zip, whole or not at all."""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from harmony_fleet.agent.upgrade.durable import PRIVATE, replacing
from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.embedded.doctor.folder import secret_files
from harmony_fleet.embedded.support.collect import collect, dumped
from harmony_fleet.embedded.support.redact import Redactor

_MOST_BYTES: Final = 1 << 20
"""Of a file of secrets. Those that we make are a thousandth of it."""


class BundleRefused(FleetError):
    """The file is there already, or its folder is not. Nothing was written."""

    kind = "bundle_refused"


class BundleFailed(FleetError):
    """The disk refused. There is no bundle."""

    kind = "bundle_failed"
    retryable = True


def write_bundle(file: Path, data: Path, documents: Mapping[str, Any]) -> list[str]:
    """The names in it. `documents` join what is collected here, and are redacted as well.

    Raises BundleRefused, BundleFailed.
    """
    if file.exists():
        raise BundleRefused(f"{file} is there already: name another file")
    if not file.absolute().parent.is_dir():
        raise BundleRefused(f"there is no folder {file.absolute().parent}: make it first")
    try:
        redactor = Redactor.knowing(_secrets(data))
        parts = [*documents.items(), *collect(data)]
        with replacing(file, PRIVATE) as out, zipfile.ZipFile(out, "w") as archive:
            return [_add(archive, name, redactor, part) for name, part in parts]
    except OSError as error:
        raise BundleFailed(
            f"no bundle was made, {error.filename or file}: {error.strerror or error}: look at its "
            "disk and its permissions, and run as the user of `fleet up`"
        ) from error


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
