"""`fleet device`: what the operator knows of devices, and devices pretended on this machine."""

from typing import BinaryIO

import click

from harmony_fleet.cli.arguments import (
    DeviceId,
    UpgradeId,
    Version,
    all_option,
    chosen_devices,
    device_argument,
    devices_argument,
    selector_option,
)
from harmony_fleet.cli.settings import FleetGroup, MachineCommand, settings

MOST_AT_ONCE = 200
"""New devices by one command: each is a supervisor and an agent on this machine."""


@click.group(cls=FleetGroup)
def device() -> None:
    """Look at devices, label them, or start some on this machine."""


@device.command("list")
@selector_option
@click.option("--labels", is_flag=True, help="With each one's labels, also where room is short.")
@click.option("--watch", "watches", is_flag=True, help="Go on, and show what changes.")
def list_devices(selector: str | None, labels: bool, watches: bool) -> None:
    """All devices, or those that -l selects: what each runs, how far its newest upgrade is."""
    from harmony_fleet.cli import showing_devices, watch

    chosen, wanted = settings(), showing_devices.Wanted(selector, labels)
    if watches:
        watch.watch(chosen, wanted)
        return
    with chosen.connect() as client:
        showing_devices.show_list(chosen, wanted, client.devices(selector))


@device.command()
@device_argument
@click.argument("labels", metavar="KEY=VALUE... KEY-...", nargs=-1, required=True)
def label(device: str, labels: tuple[str, ...]) -> None:
    """Put labels on DEVICE by key=value, and remove some by key-.

    Keys and values are as in Kubernetes: at most 63 letters, digits and - _ . with a letter or a
    digit at both ends; a key may have a DNS name and a slash before it, a value may be empty.
    """
    from harmony_fleet.cli import showing_devices
    from harmony_fleet.labels import changes

    asked, chosen = changes(labels), settings()
    with chosen.connect() as client:
        showing_devices.show_labels(chosen, client.label(device, asked))


@device.command()
@devices_argument
@selector_option
@all_option
def pause(devices: tuple[str, ...], selector: str | None, every: bool) -> None:
    """Order nothing new of DEVICE..., of those that -l selects, or of --all.

    Until they are resumed: orders are refused meanwhile, and not kept. An upgrade that is under
    way goes on, and `fleet abort` ends it. A device that is first heard afterwards is not paused.
    """
    from harmony_fleet.cli import ordering

    wanted, chosen = chosen_devices(devices, selector, every=every), settings()
    with chosen.connect() as client:
        answer = client.pause(wanted)
    ordering.report_pause(chosen, answer, "paused")


@device.command()
@devices_argument
@selector_option
@all_option
def resume(devices: tuple[str, ...], selector: str | None, every: bool) -> None:
    """Take the pause of DEVICE..., of those that -l selects, or of --all back.

    In a cluster, what a Device's spec asks for is ordered then.
    """
    from harmony_fleet.cli import ordering

    wanted, chosen = chosen_devices(devices, selector, every=every), settings()
    with chosen.connect() as client:
        answer = client.resume(wanted)
    ordering.report_pause(chosen, answer, "resumed")


@device.command()
@device_argument
def show(device: str) -> None:
    """Everything that is known of one device."""
    from harmony_fleet.cli import showing_devices

    chosen = settings()
    with chosen.connect() as client:
        showing_devices.show_one(chosen, client.device(device))


@device.command()
@device_argument
@click.option("--upgrade", type=UpgradeId(), metavar="ID", help="Of this one upgrade only.")
@click.option("--follow", is_flag=True, help="Line by line, and go on with what happens next.")
def events(device: str, upgrade: str | None, follow: bool) -> None:
    """What happened to one device, upgrade by upgrade, oldest first.

    Beside each event stands how long after the order of its upgrade it was, and whose word it is:
    what the operator did or saw itself, or what the device reported. All times are of the
    operator's clock; a device that was cut off is heard later than it acted.
    """
    from harmony_fleet.cli import showing_events

    chosen = settings()
    if follow:
        showing_events.follow_events(chosen, device, upgrade)
        return
    with chosen.connect() as client:
        showing_events.show_events(chosen, client, device, upgrade)


@device.command()
@device_argument
@click.option(
    "--public-key",
    type=click.File("rb"),
    required=True,
    metavar="FILE",
    help="What `fleet-agent credentials` printed on the device; - for standard input.",
)
@click.option(
    "--days",
    type=click.IntRange(1, 36500),
    help="So long does the message plane let it in; ten years unless said.",
)
def credentials(device: str, public_key: BinaryIO, days: int | None) -> None:
    """Sign the public key that DEVICE made, and print its credential for the message plane.

    It registers the device, and can be done again. The private key never leaves the device, and
    the credential is worth nothing without it:

    \b
      ssh HOST fleet-agent credentials | fleet device credentials DEVICE --public-key - |
        ssh HOST fleet-agent credentials --accept
    """
    from harmony_fleet.cli.credentials import sign

    sign(settings(), device, public_key, days)


@device.command("start-local", cls=MachineCommand)
@click.argument("what", metavar="[N | DEVICE...]", type=DeviceId(), nargs=-1)
@click.option("--version", type=Version(), help="What they run at first; else the highest release.")
@click.option("--plain-file", is_flag=True, help="Installed as a plain file, as a package would.")
@click.option(
    "--timing",
    type=click.Choice(["quick", "production"]),
    default="quick",
    show_default=True,
    help="How long they wait, and how long a new version is on probation.",
)
def start_local(what: tuple[str, ...], version: str | None, plain_file: bool, timing: str) -> None:
    """Start N new devices (one, unless said) as real processes on this machine.

    They are named local-1, local-2 and so on; each has its own key, its own folder below the data
    folder, and a supervisor that stands in for the machine's service manager. Where DEVICE... is
    named, those that were stopped are started again, as they were.
    """
    number, again = _number_or_names(what)
    from harmony_fleet.cli import local_devices

    if again:
        local_devices.start_again(settings(), again)
        return
    wanted = local_devices.Wanted(number, version, plain_file, timing)
    local_devices.start_new(settings(), wanted)


def _number_or_names(what: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
    if not what:
        return 1, ()
    if not any(text.isdigit() for text in what):
        return 0, what
    if len(what) > 1 or not 1 <= int(what[0]) <= MOST_AT_ONCE:
        raise click.UsageError(
            f"Say one number from 1 to {MOST_AT_ONCE}, or the names of devices that were stopped."
        )
    return int(what[0]), ()


@device.command("stop-local", cls=MachineCommand)
@devices_argument
def stop_local(devices: tuple[str, ...]) -> None:
    """End devices that start-local started; all of them if none is named."""
    from harmony_fleet.cli import local_devices

    local_devices.stop(settings(), devices)
