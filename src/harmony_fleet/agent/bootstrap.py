"""The artifact's first code: keeps its archive open, then starts the agent.

It stands in the artifact twice. As `__main__` it runs; as `harmony_fleet.agent.bootstrap` it has
no effect and only answers `pinned_descriptor()`.

Rules
1. It parses on Python 3.6, so that a Python below the floor can say so in a sentence.
2. Before the archive is pinned, nothing is imported that could come from the archive.
3. Nothing is ever written into an archive that runs: a pin survives rename, swap and delete of
   the path, but not a write into the file itself.
"""

import os
import sys
import zipimport

FLOOR = (3, 11)
"""The oldest Python that the agent runs on. The manifest says the same."""

DESCRIPTORS = "/proc/self/fd/"

REFUSED = ("aiohttp", "multidict", "fast_mail_parser", "importlib.metadata")
"""What nats-py imports if it can, and does without if it cannot.

`-S` hides the site's packages, but the interpreter and its flags are the unit's choice, and aiohttp
alone triples the client's memory. `importlib.metadata` would cost 25 ms and 1.6 MiB to learn that
a zip has no metadata.
"""


def main() -> None:
    """Never returns: leaves with the agent's exit status, or 1 where Python is too old."""
    if sys.version_info[:2] < FLOOR:
        sys.exit(_too_old())
    archive = sys.path[0]
    if os.path.isfile(archive):  # noqa: PTH113 - pathlib could come from the archive
        pin(archive)
    refuse_optional_imports()
    from harmony_fleet.agent.main import run

    sys.exit(run())


def pinned_descriptor() -> "int | None":
    """The descriptor of the archive that this process runs from, open until the process ends.

    Read it by `os.pread`, or reopen its `/proc/self/fd` path; never close it. None where the code
    does not run from an artifact, or the machine has no /proc.
    """
    first = sys.path[0] if sys.path else ""
    number = first[len(DESCRIPTORS) :]
    return int(number) if first.startswith(DESCRIPTORS) and number.isdigit() else None


def pin(archive: str) -> None:
    """Have every later import read the archive by a descriptor instead of by its path.

    Links are followed by the open itself, once: between a swap before it and one after it there
    is no mixture, because all but this file is then read from what was opened. Without /proc the
    path stays: an agent that a swap can break is better than none.
    """
    descriptor = _open_above_standard(archive)
    pinned = DESCRIPTORS + str(descriptor)
    if not os.path.exists(pinned):  # noqa: PTH110
        os.close(descriptor)
        return
    sys.path[0] = pinned
    sys.path_importer_cache.pop(archive, None)
    getattr(zipimport, "_zip_directory_cache", {}).pop(archive, None)
    _rehome_main(zipimport.zipimporter(pinned))


def refuse_optional_imports() -> None:
    """From now on importing one of REFUSED is an ImportError, whatever the site has installed."""
    for name in REFUSED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # documented: None refuses


def _open_above_standard(path: str) -> int:
    """Python opens close-on-exec; never 0 to 2, which others close and replace without asking."""
    descriptor = os.open(path, os.O_RDONLY)
    if descriptor > 2:
        return descriptor
    try:
        return _open_above_standard(path)
    finally:
        os.close(descriptor)


def _rehome_main(importer: zipimport.zipimporter) -> None:
    """Tracebacks ask the main module's loader for source lines; the old one reads the path."""
    main_module = sys.modules["__main__"]
    main_module.__loader__ = importer
    if main_module.__spec__ is not None:
        main_module.__spec__.loader = importer  # type: ignore[assignment]  # typeshed: no Loader


def _too_old() -> str:
    floor = ".".join(map(str, FLOOR))
    found = ".".join(map(str, sys.version_info[:3]))
    return (
        f"fleet-agent needs Python {floor} or newer, but {sys.executable} is {found}: "
        f"start it as `python{floor} -IS {sys.argv[0]}`, or name that one in its service unit."
    )


if __name__ == "__main__":
    main()
