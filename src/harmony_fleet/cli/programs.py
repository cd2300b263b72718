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


def fetch(
    client: FleetClient, release: ReleaseView, file: Path, devices_ca: Path | None = None
) -> None:
    """Nothing is fetched where it is there already; from where devices do, where it must be.

    `devices_ca`: the authority that they trust. Raises FleetError.
    """
    reach = client.reach
    here = release.stored_here and reach.has_files
    url = f"{reach.url}/artifacts/{release.artifact_name}" if here else release.url
    ca = reach.ca if reach.has_files else devices_ca
    trust = download_context(ca) if ca else None
    DownloadableAsset(url, release.size_bytes, release.sha256, trust=trust).fetch(file)
