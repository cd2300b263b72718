"""An install and an uninstall from end to end: plan, Ansible's play, labels, the first heartbeats.

Everything that can be refused is refused before a device is touched. What became of one device is
no matter of the others: each has its line, and one failure makes the exit status 1.
"""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from harmony_fleet.cli.client import FleetClient
from harmony_fleet.cli.errors import FAILED, CommandFailed, Interrupted
from harmony_fleet.cli.first_heartbeats import FirstHeartbeats, known
from harmony_fleet.cli.interrupts import heeding_interrupts
from harmony_fleet.cli.programs import chosen_release, fetch
from harmony_fleet.cli.settings import Settings
from harmony_fleet.cli.showing_install import (
    Result,
    State,
    not_heard,
    of_install,
    of_uninstall,
    show,
)
from harmony_fleet.cli.views import PlaneView, ReleaseView, read
from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.install import ansible
from harmony_fleet.install.files import FileSource
from harmony_fleet.install.plan import (
    Install,
    Program,
    check_reachable,
    install_variables,
    uninstall_variables,
)
from harmony_fleet.install.plan import (
    settings as agent_settings,
)
from harmony_fleet.install.play_folder import Run
from harmony_fleet.install.targets import (
    Access,
    Inventory,
    Target,
    targets,
)
from harmony_fleet.labels import Changes, changes

STDIN: Final = Path("-")
_FLEET: Final = "from harmony_fleet.cli.main import run; run()"


@dataclass(frozen=True, slots=True)
class Hosts:
    words: tuple[str, ...]
    inventory: Path | None
    access: Access


@dataclass(frozen=True, slots=True)
class Places:
    """On a device. As they were typed."""

    versions_folder: str
    link: str
    previous: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the devices are to be like. As it was typed."""

    version: str | None
    labels: tuple[str, ...]
    pairs: tuple[str, ...]
    places: Places
    replaces: tuple[str, ...]
    new_credentials: bool


@heeding_interrupts()
def install(
    settings: Settings, hosts: Hosts, wanted: Wanted, check: bool, wait_s: float | None
) -> int:
    """The exit status. `wait_s` None: nobody waits for heartbeats."""
    ansible.require()
    found = _targets(hosts, named=True)
    labels = changes(wanted.labels) if wanted.labels else None
    try:
        with settings.connect() as client, tempfile.TemporaryDirectory() as folder:
            asked = _asked(settings, client, wanted, Path(folder))
            first = FirstHeartbeats(known(client))
            run = Run(found, install_variables(asked), check)
            results = [of_install(one, out, check) for one, out in _played(settings, run)]
            if not check:
                results = [_labelled(client, one, labels) for one in results]
        if wait_s is not None:
            results = _waited(settings, found, results, _Wait(first, wait_s, asked.link))
    except KeyboardInterrupt as error:
        raise Interrupted("stopped; what is half installed is finished by a second run") from error
    show(settings, results, check)
    return FAILED if any(one.state is State.FAILED for one in results) else 0


@heeding_interrupts()
def uninstall(settings: Settings, hosts: Hosts, check: bool) -> int:
    ansible.require()
    run = Run(_targets(hosts, named=False), uninstall_variables(), check)
    try:
        results = [of_uninstall(one, outcome, check) for one, outcome in _played(settings, run)]
    except KeyboardInterrupt as error:
        raise Interrupted("stopped; what is left is removed by a second run") from error
    show(settings, results, check)
    return FAILED if any(one.state is State.FAILED for one in results) else 0


def _played(settings: Settings, run: Run) -> Sequence[tuple[Target, ansible.Outcome]]:
    from harmony_fleet.cli.showing_install import progress

    with progress(settings, len(run.targets)) as hear:
        outcomes = ansible.run(run, hear)
    return [(target, outcomes[target.host]) for target in run.targets]


def _targets(hosts: Hosts, *, named: bool) -> tuple[Target, ...]:
    return targets(hosts.words, hosts.access, _inventory(hosts.inventory), named=named)


def _inventory(source: Path | None) -> Inventory | None:
    if source is None:
        return None
    if source != STDIN:
        return ansible.read_inventory(source)
    with tempfile.NamedTemporaryFile(prefix="inventory-") as file:
        file.write(sys.stdin.buffer.read())
        file.flush()
        return ansible.read_inventory(Path(file.name))


def _asked(settings: Settings, client: FleetClient, wanted: Wanted, folder: Path) -> Install:
    """Raises FleetError: a release, or a place, that no device could use."""
    plane = read(PlaneView, client.plane())
    check_reachable(plane.nats_url)
    return Install(
        program=_program(client, chosen_release(client, wanted.version), folder, plane.ca),
        servers=(plane.nats_url,),
        ca=plane.ca,
        sign=_sign(settings),
        sign_again=wanted.new_credentials,
        versions_folder=wanted.places.versions_folder,
        link=wanted.places.link,
        previous=wanted.places.previous,
        settings=agent_settings(wanted.pairs),
        replaces=wanted.replaces,
    )


def _sign(settings: Settings) -> tuple[str, ...]:
    """This very command line, as Ansible starts it on this machine for each device."""
    options = (*settings.words(), "--public-key", "-")
    return (sys.executable, "-P", "-c", _FLEET, "device", "credentials", *options)


def _program(client: FleetClient, release: ReleaseView, folder: Path, ca: str) -> Program:
    """What is on another server is fetched by the devices themselves, as in an upgrade.

    `ca`: the authority that they trust, in PEM.
    """
    version, digest, size = release.version, release.sha256, release.size_bytes
    if not release.stored_here:
        return Program(version, FileSource.download(release.url, digest, size), size)
    file = folder / release.artifact_name
    authority = folder / "ca.pem"
    authority.write_text(ca)
    fetch(client, release, file, authority if ca else None)
    return Program(version, FileSource.local(file, digest), size)


def _labelled(client: FleetClient, result: Result, labels: Changes | None) -> Result:
    if labels is None or result.state is State.FAILED or result.device_id is None:
        return result
    try:
        client.label(result.device_id, labels)
    except FleetError as error:
        return _failed(result, f"is installed, without labels: {error}")
    return result


def _waited(
    settings: Settings, found: Sequence[Target], results: list[Result], wait: "_Wait"
) -> list[Result]:
    """With the version that each was heard to run, or as failed, with what hinders it."""
    try:
        wait.first.wait(settings, results, wait.limit_s)
    except CommandFailed as error:
        return [
            _failed(one, f"is installed; whether it is heard is unknown: {error}")
            for one in results
        ]
    heard = wait.first.heard
    installed = {one.host for one in results if one.state is not State.FAILED}
    silent = [one for one in found if one.host in installed and one.device_id not in heard]
    hinders = _self_tests(settings, silent, wait.link) if silent else {}
    return [
        replace(one, version=heard[one.device_id].current_version or one.version)
        if one.device_id in heard
        else _failed(one, not_heard(wait.limit_s, hinders.get(one.host, "")))
        for one in results
    ]


def _self_tests(settings: Settings, silent: Sequence[Target], link: str) -> dict[str, str]:
    """Of devices that were not heard, what they themselves say."""
    run = Run(silent, {"fleet_agent_link": link}, entry="explain")
    played = _played(settings, run)
    return {one.host: str(outcome.report.get("self_test", "")) for one, outcome in played}


def _failed(result: Result, cause: str) -> Result:
    """What had failed already keeps its cause."""
    return replace(result, state=State.FAILED, cause=result.cause or cause)


@dataclass(frozen=True, slots=True)
class _Wait:
    first: FirstHeartbeats
    limit_s: float
    link: str
