"""`python -m harmony_fleet.release build --version 1.2.3 --output dist/`.

Exit status 0, and one line with path, size and SHA-256 for what was built; 2, and one sentence on
standard error, for what could not be.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.release.build import artifact_name, build


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    try:
        built = build(chosen.version, chosen.output, chosen.source)
    except FleetError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    path = chosen.output / artifact_name(built.manifest.version)
    sys.stdout.write(f"{path}  {built.size_bytes} bytes  sha256 {built.sha256}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harmony_fleet.release", description="Make the file that devices run."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    command = commands.add_parser("build", help="build one artifact, reproducibly")
    command.add_argument("--version", required=True, help="SemVer, such as 1.4.0 or 2.0.0-rc.1")
    command.add_argument("--output", required=True, type=Path, help="the folder to put it in")
    command.add_argument(
        "--source", type=Path, help="a folder with the device's code (default: the installed one)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
