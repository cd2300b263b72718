"""The command line's one entry, and the only place where errors become words and an exit status.

What a command needs beyond its arguments is loaded when it runs: `fleet --help` must be quick.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

import harmony_fleet
from harmony_fleet.cli.backup import backup, restore
from harmony_fleet.cli.completion import NAMES, completion
from harmony_fleet.cli.dev import dev
from harmony_fleet.cli.device import device
from harmony_fleet.cli.doctor import doctor
from harmony_fleet.cli.errors import BAD_INPUT, FAILED, INTERRUPTED, exit_status, kind_of
from harmony_fleet.cli.install import install, uninstall
from harmony_fleet.cli.plane import plane
from harmony_fleet.cli.preflight import preflight
from harmony_fleet.cli.release import release
from harmony_fleet.cli.settings import PLUGIN, FleetGroup, settings
from harmony_fleet.cli.simulate import simulate
from harmony_fleet.cli.support import support_bundle
from harmony_fleet.cli.up import up
from harmony_fleet.cli.upgrade import abort, rollback, upgrade
from harmony_fleet.cli.why import why
from harmony_fleet.contracts.errors import FleetError

PLUGIN_FILE = "kubectl-fleet"
"""By this name kubectl finds it on PATH."""
DEBUG = "FLEET_DEBUG"
"""Set: an error that nobody foresaw is shown with its traceback."""


@click.group(cls=FleetGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(harmony_fleet.__version__, message="%(prog)s %(version)s")
def fleet() -> None:
    """Upgrade the agent on every device of a fleet, and never leave one without it.

    \b
      fleet up                             start the control plane on this machine
      fleet device start-local 3           start three devices to try it on
      fleet release add FILE               add a version of the agent
      fleet upgrade --all --to 1.1.0 --wait
      fleet why local-1
    """


@fleet.command()
def version() -> None:
    """The version of this command line."""
    from harmony_fleet.cli.output import say, say_document

    if settings().as_json:
        say_document({"version": harmony_fleet.__version__})
    else:
        say(f"fleet {harmony_fleet.__version__}")


for command in (
    up,
    device,
    release,
    preflight,
    upgrade,
    abort,
    rollback,
    why,
    doctor,
    backup,
    restore,
    plane,
    support_bundle,
    simulate,
    dev,
    completion,
):
    fleet.add_command(command)


for command in (install, uninstall):
    device.add_command(command)


def run() -> NoReturn:
    """For the entry points."""
    _open_closed_streams()
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Runs one command to its end, and never raises an error: the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a sentence may hold what a C locale lacks
    try:
        status = fleet.main(list(arguments), prog_name=_name(), standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_left()
    except SystemExit as ended:  # click's own, where the reader of stdout has left
        return _reader_left() if ended.code == 1 else int(ended.code or 0)
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the runner: no command ends in a traceback
        return _complain(error, as_json="--json" in arguments)
    return status if isinstance(status, int) else 0


def _open_closed_streams() -> None:
    """What the caller closed (`>&-`) is as /dev/null, and no later file becomes descriptor 1."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            null = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - open to the end
            setattr(sys, name, null)


def _name() -> str:
    """As it was called: `fleet`, `harmony-fleet`, or `kubectl fleet`."""
    called = Path(sys.argv[0]).name
    if called == PLUGIN_FILE:
        return PLUGIN
    return called if called in NAMES else NAMES[0]


def _complain(error: Exception, *, as_json: bool) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError) and not as_json:
        click.echo(error.format_message())  # as click does; it is the answer to what was typed
        return BAD_INPUT
    from harmony_fleet.cli.output import as_called

    kind, said, status = _judge(error)
    message = as_called(said, _name())
    if os.environ.get(DEBUG):
        import traceback

        traceback.print_exception(error)
    if as_json:
        message = json.dumps({"error": {"kind": kind, "message": message}})
        click.echo(message, err=True)
    else:
        click.echo(f"fleet: {message}", err=True)
    return status


def _judge(error: Exception) -> tuple[str, str, int]:
    """Kind, sentence and exit status."""
    match error:
        case FleetError():
            return kind_of(error), str(error), exit_status(error)
        case click.exceptions.NoArgsIsHelpError():
            return "usage", _usage(error, "Missing command"), BAD_INPUT
        case click.UsageError():
            return "usage", _usage(error, error.format_message()), BAD_INPUT
        case click.ClickException():
            return "usage", error.format_message(), error.exit_code
        case OSError():
            return "os", _os_words(error), FAILED
        case _:
            words = f"{type(error).__name__}: {error}"
            return (
                "unforeseen",
                f"this should not happen ({words}): set {DEBUG}=1, and report it",
                FAILED,
            )


def _usage(error: click.UsageError, message: str) -> str:
    where = error.ctx.command_path if error.ctx else "fleet"
    return f"{message.rstrip('.')}: see `{where} --help`"


def _os_words(error: OSError) -> str:
    name = f" {error.filename}" if error.filename else ""
    return f"the machine refuses{name}: {error.strerror or error}"


def _reader_left() -> int:
    """Whoever read our output closed it: nothing more to say, and no complaint at the exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED
