"""Releases, in and out."""

from pathlib import Path

from harmony_fleet.cli.client import FleetClient
from harmony_fleet.cli.errors import CommandFailed
from harmony_fleet.cli.layout import lines, releases
from harmony_fleet.cli.output import on_terminal, remark, say, say_answer
from harmony_fleet.cli.settings import Settings
from harmony_fleet.cli.views import Devices, Releases, ReleaseView, read
from harmony_fleet.cli.words import NOTHING, count, place_of, size, time_of
from harmony_fleet.contracts.identity import check_version
from harmony_fleet.contracts.upgrade import Artifact
from harmony_fleet.printable import printable
from harmony_fleet.release.manifest import ReleaseFile, describe


def look_into(file: Path) -> ReleaseFile:
    """Raises NotAnArtifact. Before anything is sent anywhere."""
    return describe(file)


def add(settings: Settings, client: FleetClient, file: Path, found: ReleaseFile) -> None:
    """Raises CommandFailed: the file changed while it was being sent."""
    with file.open("rb") as artifact:
        answer, new = client.add_release(found.manifest.version, artifact)
    added = read(ReleaseView, answer)
    if added.sha256 != found.sha256:
        raise CommandFailed(
            f"{file} changed while it was being added: release {added.version} has the SHA-256 "
            f"{added.sha256}; add what you meant under a version of its own"
        )
    if settings.as_json:
        say_answer(answer)
        return
    what = "added" if new else "was there already, with the same bytes"
    say(f"release {added.version} {what}: {size(added.size_bytes)}, SHA-256 {added.sha256[:16]}…")
    _remark_withdrawn(added)


def elsewhere(version: str, url: str, sha256: str, size_bytes: int) -> Artifact:
    """Raises InvalidValue, also for the version. Before anything is sent anywhere."""
    check_version(version)
    return Artifact(url, size_bytes, sha256.lower())


def refer(settings: Settings, client: FleetClient, version: str, artifact: Artifact) -> None:
    answer, new = client.refer_release(version, artifact)
    if settings.as_json:
        say_answer(answer)
        return
    found = read(ReleaseView, answer)
    what = "added" if new else "was there already, with the same bytes, and is now"
    say(f"release {found.version} {what}: {size(found.size_bytes)} at {printable(found.url)}")
    if not found.python:
        say("not checked here: whether it is that version, and which Python it needs")
    _remark_withdrawn(found)


def _remark_withdrawn(one: ReleaseView) -> None:
    if one.withdrawn is not None:
        remark(
            f"it is withdrawn all the same: {printable(one.withdrawn)}; `fleet release withdraw "
            f"{one.version} --undo` takes that back"
        )


def show_withdrawn(settings: Settings, client: FleetClient, answer: bytes) -> None:
    """And how many go on to it all the same."""
    if settings.as_json:
        say_answer(answer)
        return
    one = read(ReleaseView, answer)
    if one.withdrawn is None:
        say(f"release {one.version} may be ordered again")
        return
    say(f"release {one.version} withdrawn: {printable(one.withdrawn)}")
    devices = read(Devices, client.devices()).devices
    upgrades = [device.upgrade for device in devices if device.upgrade]
    open_ones = [u for u in upgrades if not u.final and u.to_version == one.version]
    if open_ones:
        remark(f"still under way: {count(len(open_ones), 'upgrade')} to it; see `fleet abort`")


def show_list(settings: Settings, answer: bytes) -> None:
    if settings.as_json:
        say_answer(answer)
        return
    found = read(Releases, answer).releases
    if not found:
        remark("no release was added yet: add one with `fleet release add FILE`")
    elif on_terminal():
        from harmony_fleet.cli.render import Screen

        Screen().show(releases(found))
    else:
        for line in lines(releases(found)):
            say(line)


def show_one(settings: Settings, answer: bytes) -> None:
    if settings.as_json:
        say_answer(answer)
        return
    one = read(ReleaseView, answer)
    facts = {
        "version": one.version,
        "size": f"{size(one.size_bytes)} ({one.size_bytes} bytes)",
        "SHA-256": one.sha256,
        "Python": printable(one.python) or "not known: its manifest was never read here",
        "added": time_of(one.added_at),
        "where": place_of(one),
        "artifact": printable(one.artifact_name) or NOTHING,
    }
    if one.withdrawn is not None:
        facts["withdrawn"] = printable(one.withdrawn)
    for label, text in facts.items():
        say(f"{label:14}{text}")
