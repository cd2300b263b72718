"""The installation's own authority, and the certificate that it signs for the installation.

Rules
1. The authority is made once, its certificate last. Where that is lost, none is made in its place:
   every device would be locked out. Its key is needed only where something has to be signed.
2. A server certificate is renewed at a start only, so it outlives any run: it is signed anew once
   less than two years are left of it, or where it is not for the names of now.
"""

import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from harmony_fleet.agent.upgrade.durable import replacing, sync, write_file
from harmony_fleet.embedded.accounts import DataFolderUnusable, unusable
from harmony_fleet.embedded.signing import authority_certificate, due, server_certificate

CA: Final = "ca.pem"
CA_KEY: Final = "ca.key"
SERVER: Final = "server.pem"
"""Key and certificate in one file, so that they are replaced together."""

AUTHORITY_LASTS: Final = timedelta(days=3653)
SERVER_LASTS: Final = timedelta(days=3 * 365)
WARN: Final = timedelta(days=365)
"""Before the authority's end: each device needs a new file by then."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Certificates:
    folder: Path

    @classmethod
    def open(
        cls, folder: Path, names: Iterable[str], now: datetime | None = None
    ) -> "Certificates":
        """Those of the folder: made where there are none, the server's renewed where it must be.

        Raises DataFolderUnusable: what is there is left as it was.
        """
        found, now = cls(folder), now or datetime.now(UTC)
        try:
            if not found.ca.exists():
                found._make_authority(now)
            authority = x509.load_pem_x509_certificate(found.ca.read_bytes())
            found._heed_end(authority.not_valid_after_utc, now)
            if due(found._server(), authority, frozenset(names), now):
                found._sign_server(authority, frozenset(names), now)
                logger.info("signed a new certificate for %s", ", ".join(sorted(names)))
        except OSError as error:
            raise unusable(folder, error) from error
        except (ValueError, TypeError) as error:
            raise found._damaged(error) from error
        return found

    @property
    def ca(self) -> Path:
        """What devices and people trust."""
        return self.folder / CA

    @property
    def server(self) -> Path:
        """For the servers: key and certificate."""
        return self.folder / SERVER

    def ends(self) -> tuple[datetime, datetime]:
        """Of the authority and of the server's. Raises DataFolderUnusable."""
        try:
            found = (x509.load_pem_x509_certificate(p.read_bytes()) for p in (self.ca, self.server))
            authority, server = (certificate.not_valid_after_utc for certificate in found)
        except OSError as error:
            raise unusable(self.folder, error) from error
        except ValueError as error:
            raise self._damaged(error) from error
        return authority, server

    def _damaged(self, error: Exception) -> DataFolderUnusable:
        return DataFolderUnusable(
            f"the certificates in {self.folder} are damaged ({error}): put them back from a backup"
        )

    def _server(self) -> x509.Certificate | None:
        """None: there is none that could be used, and nothing is lost by making another."""
        with suppress(OSError, ValueError):
            return x509.load_pem_x509_certificate(self.server.read_bytes())
        return None

    def _heed_end(self, ends: datetime, now: datetime) -> None:
        """Of the authority. Once it has ended, no device believes what it signs."""
        if ends <= now:
            raise DataFolderUnusable(
                f"the authority {self.ca} ended on {ends:%Y-%m-%d}, and no device believes it any "
                "more: docs/reach.md says how to replace it"
            )
        if ends - now < WARN:
            logger.warning(
                "the authority %s ends on %s: docs/reach.md says how to replace it in time",
                *(self.ca, f"{ends:%Y-%m-%d}"),
            )

    def _make_authority(self, now: datetime) -> None:
        if self.server.exists():
            raise DataFolderUnusable(
                f"{self.ca} is gone, and a new one would lock every device out: put it back from a "
                f"backup or from a device; or remove {self.folder} to begin anew"
            )
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        write_file(self.folder / CA_KEY, _pem(key))
        with replacing(self.ca, 0o644) as file:
            file.write(authority_certificate(key, now + AUTHORITY_LASTS).public_bytes(Encoding.PEM))
        sync(self.folder.parent)

    def _sign_server(
        self, authority: x509.Certificate, names: frozenset[str], now: datetime
    ) -> None:
        key, signer = ec.generate_private_key(ec.SECP256R1()), self._signer(authority)
        ends = min(now + SERVER_LASTS, authority.not_valid_after_utc)
        certificate = server_certificate(authority, signer, key.public_key(), names, ends)
        write_file(self.server, _pem(key) + certificate.public_bytes(Encoding.PEM))

    def _signer(self, authority: x509.Certificate) -> ec.EllipticCurvePrivateKey:
        path = self.folder / CA_KEY
        try:
            key = load_pem_private_key(path.read_bytes(), None)
        except FileNotFoundError as error:
            raise DataFolderUnusable(
                f"the server needs a new certificate, and {path}, which signs it, is gone: put it "
                "back for this start"
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or (
            key.public_key() != authority.public_key()
        ):
            raise ValueError(f"{CA_KEY} is not the key of {CA}")
        return key


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
