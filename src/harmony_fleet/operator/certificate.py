"""What the HTTP server shows over TLS: `Certificate`, of one file or of two.

It is read again once its files have changed, so that whoever renews it, as cert-manager does in a
mounted Secret, need not restart anything: connections from then on are shown the new one. One that
cannot be used is told, and the one before stays.
"""

import asyncio
import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harmony_fleet.contracts.errors import FleetError

LOOK_AGAIN_S: Final = 60.0

logger = logging.getLogger(__name__)


class CertificateUnusable(FleetError):
    """A file of it is missing, or holds no certificate or not its key."""

    kind = "certificate_unusable"
    retryable = True


@dataclass(frozen=True, slots=True)
class Certificate:
    chain: Path
    """The server's certificate and those between it and its authority, in PEM."""
    key: Path | None = None
    """None: it is in the chain's file."""
    look_again_s: float = LOOK_AGAIN_S

    def context(self) -> ssl.SSLContext:
        """Raises CertificateUnusable."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._load(context)
        return context

    async def keep(self, context: ssl.SSLContext) -> None:
        """The context shows what the files hold. Until cancelled."""
        shown = self._contents()
        while True:
            await asyncio.sleep(self.look_again_s)
            found = self._contents()
            if found in {None, shown}:
                continue
            try:
                self.context()  # one that fails would leave half of it in the context in use
                self._load(context)
            except CertificateUnusable as error:
                logger.error("the certificate before stays in use: %s", error)
                continue
            shown = found
            logger.info("%s is read again: it has changed", self.chain)

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self.chain, self.key)
        except OSError as error:  # ssl.SSLError is one
            files = f"{self.chain}{f' and {self.key}' if self.key else ''}"
            raise CertificateUnusable(
                f"{files}: no certificate with its key, in PEM ({error.strerror or error})"
            ) from error

    def _contents(self) -> tuple[bytes, bytes] | None:
        """None: they cannot be read now."""
        try:
            return self.chain.read_bytes(), self.key.read_bytes() if self.key else b""
        except OSError:
            return None
