"""Which TLS servers are believed: those that an authority vouches for, under the name they have.

Imported only where TLS is asked for. The file is read anew for each context, so that one which was
missing, or was replaced, counts from the next connection on, without a restart.
"""

import ssl
from pathlib import Path
from typing import Final

from harmony_fleet.contracts.errors import FleetError

MAX_BYTES: Final = 1024 * 1024
"""Of an authority's file: more than all that a system trusts."""


class AuthorityUnreadable(FleetError):
    """The file of the authority is missing, unreadable, or holds no certificate."""

    kind = "authority_unreadable"
    retryable = True


def plane_context(ca: Path | None) -> ssl.SSLContext:
    """For the message plane: trusts `ca` and nobody else; None: whom the system trusts.

    Raises AuthorityUnreadable.
    """
    return ssl.create_default_context(cadata=None if ca is None else authority(ca))


def download_context(ca: Path | None) -> ssl.SSLContext:
    """For files, which may lie on anybody's server: trusts `ca` beside whom the system trusts.

    Raises AuthorityUnreadable.
    """
    context = ssl.create_default_context()
    if ca is not None:
        context.load_verify_locations(cadata=authority(ca))
    return context


def authority(ca: Path) -> str:
    """The certificates in the file, in PEM; at least one. Raises AuthorityUnreadable."""
    try:
        with ca.open("rb") as file:
            text = file.read(MAX_BYTES + 1)[:MAX_BYTES].decode("ascii")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise AuthorityUnreadable(
            f"{ca} holds no certificate of an authority in PEM: copy the control plane's "
            "tls/ca.pem there"
        ) from error
    except OSError as error:
        raise AuthorityUnreadable(
            f"the authority's file {ca} cannot be read ({error.strerror or error}): copy the "
            "control plane's tls/ca.pem there"
        ) from error
    return text
