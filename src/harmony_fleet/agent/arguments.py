"""What can be typed after `fleet-agent`. The upgrade itself speaks this too, across versions:

    --version · --self-test [--json] · candidate --upgrade-id ID · guard [--dry-run | --expired]

An older agent runs these of a newer one and the reverse, so they never change their meaning. People
and installers also type `check-config` and `credentials [--accept]`.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import harmony_fleet
from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.contracts.identity import check_upgrade_id

if TYPE_CHECKING:
    from argparse import ArgumentParser


@dataclass
class Arguments:
    config: Path | None = None
    set: list[str] = field(default_factory=list)
    self_test: bool = False
    json: bool = False
    command: str | None = None
    upgrade_id: str = ""
    dry_run: bool = False
    expired: bool = False
    accept: bool = False


def parse(arguments: Sequence[str] | None = None) -> Arguments:
    """Exits with status 2 and a sentence where they cannot be understood."""
    words = sys.argv[1:] if arguments is None else arguments
    # The unit starts the primary without any: it then does without argparse, 1 MiB for good.
    return _parser().parse_args(words, namespace=Arguments()) if words else Arguments()


def _upgrade_id(text: str) -> str:
    from argparse import ArgumentTypeError

    try:
        return check_upgrade_id(text)
    except InvalidValue as error:
        raise ArgumentTypeError(str(error)) from error


def _parser() -> "ArgumentParser":
    import argparse

    parser = argparse.ArgumentParser(
        prog="fleet-agent",
        description="Heartbeats, answers commands, and upgrades itself. Without a command it is "
        "the device's primary.",
    )
    parser.add_argument("--version", action="version", version=harmony_fleet.__version__)
    parser.add_argument("--config", type=Path, help="configuration file (TOML)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one key, over the file's"
    )
    parser.add_argument("--self-test", action="store_true", help="would this version work here?")
    parser.add_argument("--json", action="store_true", help="the self-test's report as JSON")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    candidate = commands.add_parser("candidate", help="run beside the primary, in an upgrade")
    candidate.add_argument("--upgrade-id", required=True, type=_upgrade_id)
    guard = commands.add_parser("guard", help="decide about a start of the primary")
    which = guard.add_mutually_exclusive_group()
    which.add_argument("--dry-run", action="store_true", help="read everything, write nothing")
    which.add_argument("--expired", action="store_true", help="for the dead-man timer")
    check = commands.add_parser("check-config", help="read the configuration and say what is wrong")
    credentials = commands.add_parser(
        "credentials", help="print this device's public key; make its private key if there is none"
    )
    credentials.add_argument(
        "--accept",
        action="store_true",
        help="read what the control plane signed from standard input, and keep it",
    )
    for command in (check, credentials):
        command.add_argument("--config", type=Path, default=argparse.SUPPRESS)
    return parser
