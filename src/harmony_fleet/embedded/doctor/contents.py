"""What the data folder holds: the store, the releases' artifacts, the keys, the token."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from harmony_fleet.embedded.accounts import SERVER_CONFIGURATION, Accounts
from harmony_fleet.embedded.backup.make import is_whole
from harmony_fleet.embedded.certificates import WARN, Certificates
from harmony_fleet.embedded.data_folder import TLS, TOKEN
from harmony_fleet.embedded.doctor.finding import Finding, ok, problem, warning
from harmony_fleet.operator.ports import StoreError
from harmony_fleet.operator.records import Release
from harmony_fleet.operator.sqlite_file import RESTORE
from harmony_fleet.operator.sqlite_snapshot import stored

STORE: Final = "store"
RELEASES: Final = "releases"
KEYS: Final = "account keys"
TLS_DATES: Final = "certificates"
REPLACE: Final = "give each device a new authority first: docs/reach.md"
API_TOKEN: Final = "token"  # noqa: S105 - a check's name
BACKUP: Final = "`fleet restore FILE --replace` puts a backup in its place"


def look_at_store(data: Path) -> Iterable[Finding]:
    """The store, and where it can be read the releases in it."""
    path = data / "fleet.db"
    if not path.exists():
        yield _no_store(data, path)
        return
    try:
        found = stored(path)
    except StoreError as error:
        yield _no_use(str(error))
        return
    yield ok(STORE, f"whole; devices: {len(found.devices)}, releases: {len(found.releases)}")
    yield _releases(data / "artifacts", found.releases)


def _no_use(words: str) -> Finding:
    """A backup is for what is damaged; a file that is busy or newer has a mend of its own."""
    what, _, mend = words.rpartition(": ")
    damaged = words.endswith(RESTORE)
    return problem(STORE, what, f"end `fleet up`; {BACKUP}" if damaged else mend)


def _no_store(data: Path, path: Path) -> Finding:
    if (data / "nats").exists():
        return problem(STORE, f"{path} is gone", f"{BACKUP}; `fleet up` begins with an empty one")
    return warning(STORE, "there is none yet", "`fleet up` makes it")


def _releases(artifacts: Path, releases: tuple[Release, ...]) -> Finding:
    here = [one for one in releases if one.url is None]
    bad = [one for one in here if not is_whole(artifacts / one.artifact_name, one)]
    if bad:
        versions = ", ".join(one.version for one in bad[:5])
        return problem(
            RELEASES,
            f"the artifact of {versions} is missing or has other bytes: {bad[0].artifact_name}",
            "add the same file again by `fleet release add FILE`: it is put back in its place",
        )
    if not releases:
        return warning(RELEASES, "there is none", "add one by `fleet release add FILE`")
    elsewhere = f"; on other servers, not looked at: {len(releases) - len(here)}"
    words = f"each has its artifact, whole: {len(here)}"
    return ok(RELEASES, words + (elsewhere if len(here) < len(releases) else ""))


def look_at_keys(data: Path) -> Iterable[Finding]:
    """Never opens accounts that are not there: opening makes them."""
    folder = data / "nats/accounts"
    if (folder / "keys.json").exists():
        Accounts.open(folder)
        yield ok(KEYS, "they can be read")
    elif (data / "nats" / SERVER_CONFIGURATION).exists():
        yield problem(
            KEYS, f"{folder / 'keys.json'} is gone: no device can be let in without it", BACKUP
        )
    else:
        yield warning(KEYS, "there are none yet", "`fleet up` makes them")


def look_at_certificates(data: Path, now: datetime | None = None) -> Iterable[Finding]:
    """Nothing where the installation was never open to a network."""
    found = Certificates(data / TLS)
    if not found.folder.is_dir():
        return
    now = now or datetime.now(UTC)
    authority, server = found.ends()
    if authority <= now:
        yield problem(TLS_DATES, f"the authority {found.ca} ended on {authority:%Y-%m-%d}", REPLACE)
    elif server <= now:
        yield problem(TLS_DATES, f"{found.server} ended on {server:%Y-%m-%d}", "restart `fleet up`")
    elif authority - now < WARN:
        yield warning(TLS_DATES, f"the authority ends on {authority:%Y-%m-%d}", REPLACE)
    elif server - now < WARN:
        yield warning(
            TLS_DATES,
            f"the certificate of `fleet up` ends on {server:%Y-%m-%d}",
            "restart it by then: it signs a new one",
        )
    else:
        yield ok(
            TLS_DATES,
            f"the server's lasts until {server:%Y-%m-%d}, the authority until {authority:%Y-%m-%d}",
        )


def look_at_token(data: Path) -> Iterable[Finding]:
    path = data / "token"
    if not path.exists():
        yield warning(API_TOKEN, "there is none yet", "`fleet up` makes it")
    elif TOKEN.fullmatch(path.read_text("ascii", "replace").strip()):
        yield ok(API_TOKEN, "it can be used")
    else:
        yield problem(
            API_TOKEN, f"{path} holds none that is safe", "restart `fleet up`: it makes one"
        )
