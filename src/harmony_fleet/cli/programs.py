"""A release's file, from the control plane to this machine: verified as on a device."""

from pathlib import Path

from harmony_fleet.asset.download import DownloadableAsset
from harmony_fleet.cli.client import FleetClient
from harmony_fleet.cli.errors import CommandFailed
from harmony_fleet.cli.views import Releases, ReleaseView, read
from harmony_fleet.contracts.identity import precedence
from harmony_fleet.messaging.trust import download_context


def chosen_release(client: FleetClient, version: str | None) -> ReleaseView:
    """The highest where none is named. Raises CommandFailed, Refused."""
    if version is not None:
        return read(ReleaseView, client.release(version))
    releases = read(Releases, client.releases()).releases
    if not releases:
        raise CommandFailed("no release was added yet: add one with `fleet release add FILE`")
    return max(releases, key=lambda release: precedence(release.version))


def fetch(client: FleetClient, release: ReleaseView, file: Path) -> None:
    """Nothing is fetched where it is there already. Raises FleetError."""
    here = f"{client.url}/artifacts/{release.artifact_name}"
    url = here if release.stored_here else release.url
    trust = download_context(client.ca) if client.ca else None
    DownloadableAsset(url, release.size_bytes, release.sha256, trust=trust).fetch(file)
