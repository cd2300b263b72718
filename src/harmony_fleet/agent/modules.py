"""Every module that the agent could ever import, and whether all of them can be imported here.

Minimal distributions lack parts of the standard library. Importing all costs memory for good:
only a process that is about to end does it.
"""

import importlib
import pkgutil
import sys
from collections.abc import Iterator

DEVICE_PACKAGES = ("contracts", "asset", "messaging", "agent")


class NotImportable(ImportError):
    """One of them; the text names it and says why."""


def modules() -> Iterator[str]:
    """Of the device's own packages."""
    for package in DEVICE_PACKAGES:
        root = importlib.import_module(f"harmony_fleet.{package}")
        yield root.__name__
        for found in pkgutil.walk_packages(root.__path__, f"{root.__name__}."):
            yield found.name


def import_all() -> int:
    """How many there are. Raises NotImportable."""
    count = 0
    for name in modules():
        try:
            importlib.import_module(name)
        except Exception as error:
            raise NotImportable(f"{name}: {type(error).__name__}: {error}") from error
        count += 1
    return count


def main() -> None:
    """Prints how many there are; leaves with a sentence and status 1 where one is missing."""
    try:
        sys.stdout.write(f"{import_all()}\n")
    except NotImportable as error:
        sys.exit(str(error))
