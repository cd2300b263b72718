"""Arguments that several commands take, checked where they enter, completed from the operator."""

import math
import re
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from harmony_fleet.cli.settings import Settings, settings
from harmony_fleet.contracts.identity import check_device_id, check_upgrade_id, check_version
from harmony_fleet.labels import selector

if TYPE_CHECKING:
    from harmony_fleet.cli.client import Chosen

COMPLETION_LIMIT_S = 1.0
_NUMBER = r"([0-9]{1,9}(?:\.[0-9]{1,3})?)"
_DURATION = re.compile(
    rf"(?=.)(?:{_NUMBER}|(?:{_NUMBER}d)?(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?)", re.ASCII
)
_UNITS_S = (1, 86400, 3600, 60, 1)


class DeviceId(click.ParamType[str]):
    """Raises InvalidValue: not of a device id's form."""

    name = "device"

    def convert(
        self, value: str, _param: click.Parameter | None, _context: click.Context | None
    ) -> str:
        return check_device_id(value)

    def shell_complete(
        self, context: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return _offer(context, "/api/v1/devices", "devices", "device_id", incomplete)


class Version(click.ParamType[str]):
    """Raises InvalidValue: not of a version's form."""

    name = "version"

    def convert(
        self, value: str, _param: click.Parameter | None, _context: click.Context | None
    ) -> str:
        return check_version(value)

    def shell_complete(
        self, context: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return _offer(context, "/api/v1/releases", "releases", "version", incomplete)


class UpgradeId(click.ParamType[str]):
    """Raises InvalidValue: not of an upgrade id's form."""

    name = "upgrade"

    def convert(
        self, value: str, _param: click.Parameter | None, _context: click.Context | None
    ) -> str:
        return check_upgrade_id(value)


class Seconds(click.FloatRange):
    """Zero or more; `inf` is as long as it takes."""

    name = "number of seconds"

    def __init__(self) -> None:
        super().__init__(min=0.0)

    def convert(
        self, value: float, param: click.Parameter | None, context: click.Context | None
    ) -> float:
        seconds = super().convert(value, param, context)
        if math.isnan(seconds):
            self.fail(f"{value!r} is no number of seconds.", param, context)
        return seconds


class Duration(click.ParamType[float]):
    """`90s`, `5m`, `1h30m`, `2d`, or a number of seconds: between two bounds, in seconds."""

    name = "duration"

    def __init__(self, least_s: float, most_s: float) -> None:
        self._least_s, self._most_s = least_s, most_s

    def convert(
        self, value: str | float, param: click.Parameter | None, context: click.Context | None
    ) -> float:
        found = _DURATION.fullmatch(str(value))
        if found is None:
            self.fail(f"{value!r} is no duration, such as 90s, 5m or 1h30m.", param, context)
        parts = zip(found.groups(), _UNITS_S, strict=True)
        seconds = sum(float(number) * unit_s for number, unit_s in parts if number)
        if not self._least_s <= seconds <= self._most_s:
            from harmony_fleet.cli.words import exactly

            bounds = f"{exactly(self._least_s)} to {exactly(self._most_s)}"
            self.fail(f"{value!r} is out of bounds: {bounds}.", param, context)
        return seconds


class SelectorText(click.ParamType[str]):
    """Raises InvalidValue: not of a selector's form. The operator evaluates it."""

    name = "selector"

    def convert(
        self, value: str, _param: click.Parameter | None, _context: click.Context | None
    ) -> str:
        return str(selector(value))


def _offer(
    context: click.Context, path: str, field: str, name: str, incomplete: str
) -> list[CompletionItem]:
    """What the operator knows; nothing, and quickly, where it does not answer."""
    from harmony_fleet.cli.output import parsed
    from harmony_fleet.contracts.errors import FleetError

    try:
        with context.scope(cleanup=False):
            chosen: Settings = settings()
        with chosen.connect(COMPLETION_LIMIT_S) as client:
            found = [str(one[name]) for one in parsed(client.get(path))[field]]
    except (FleetError, OSError, LookupError, TypeError):
        return []
    return [CompletionItem(text) for text in found if text.startswith(incomplete)]


devices_argument = click.argument("devices", metavar="DEVICE...", type=DeviceId(), nargs=-1)
selector_option = click.option(
    "-l",
    "--selector",
    type=SelectorText(),
    metavar="LABELS",
    help="By labels: key=value, key!=value, key or !key, with commas between them.",
)
all_option = click.option("--all", "every", is_flag=True, help="Every device of the fleet.")
version_option = click.option(
    "--to", "version", type=Version(), required=True, help="A version that was added."
)
device_argument = click.argument("device", metavar="DEVICE", type=DeviceId())


def chosen_devices(
    devices: tuple[str, ...], selector: str | None, *, every: bool | None = None
) -> "Chosen":
    """`every` None: there is no --all here."""
    from harmony_fleet.cli.client import Chosen

    if (bool(devices), selector is not None, bool(every)).count(True) != 1:
        others = "-l LABELS" if every is None else "-l LABELS or --all"
        raise click.UsageError(f"Name the devices, or say {others}: one of these.")
    return Chosen(devices or None, selector)
