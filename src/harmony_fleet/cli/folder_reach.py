"""The operator that serves a data folder: where it listens, its token, its authority stand there.

No proxy of the environment is used: the operator is on this machine, or named by its URL.
"""

import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from harmony_fleet.cli.errors import NotTrusted, NotUp, ServerFailed, Unreachable, WrongToken
from harmony_fleet.cli.reach import Reach, distrust
from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.contracts.identity import check_url
from harmony_fleet.messaging.trust import plane_context

CA: Final = "tls/ca.pem"
"""In the data folder."""


def folder_reach(data: Path, ca: Path | None = None) -> Reach:
    """`ca`: the authority to trust, where it is not the data folder's own.

    Raises NotUp, ServerFailed, WrongToken, AuthorityUnreadable.
    """
    url, nats_url = _where(data)
    trusted = (ca or data / CA) if url.startswith("https://") else None
    return Reach(
        url,
        {"Authorization": f"Bearer {_token(data)}"},
        # Without TLS it trusts nobody. Loading the authorities of the world would take longer than
        # most requests.
        tls=plane_context(trusted) if trusted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        faults=FolderFaults(data, url, trusted),
        nats_url=nats_url,
        ca=trusted,
    )


@dataclass(frozen=True, slots=True)
class FolderFaults:
    data: Path
    url: str
    ca: Path | None

    def unconnected(self, error: httpx.ConnectError) -> FleetError:
        reason = distrust(error)
        return NotUp(self.data) if reason is None else NotTrusted(self.url, self.ca, reason)

    def silent(self, limit_s: float) -> FleetError:
        return Unreachable(
            f"the operator at {self.url} did not answer within {limit_s:g} s: "
            "look at what `fleet up` says"
        )

    def broken(self, error: httpx.HTTPError) -> FleetError:
        return Unreachable(
            f"the connection to the operator at {self.url} broke off "
            f"({type(error).__name__}): look at what `fleet up` says"
        )

    def refused(self, answer: httpx.Response) -> FleetError | None:
        if answer.status_code not in {401, 403}:
            return None
        return WrongToken(
            f"the operator at {self.url} does not take the token in {self.data / 'token'}: "
            "run as the user who ran `fleet up`, with the same --data"
        )

    def failed(self, answer: httpx.Response, message: str) -> FleetError:
        return ServerFailed(
            f"the operator at {self.url} failed with HTTP {answer.status_code} ({message}): "
            "look at what `fleet up` says"
        )


def _where(data: Path) -> tuple[str, str]:
    """The operator's URL, and the message plane's."""
    try:
        up = json.loads((data / "up.json").read_bytes())
        return check_url(up["url"]), str(up.get("nats_url", ""))
    except FileNotFoundError as error:
        raise NotUp(data) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ServerFailed(
            f"{data / 'up.json'} does not say where the operator is ({error}): restart `fleet up`"
        ) from error


def _token(data: Path) -> str:
    path = data / "token"
    try:
        token = path.read_text(encoding="ascii").strip()
    except FileNotFoundError as error:
        raise NotUp(data) from error
    except ValueError as error:
        raise WrongToken(f"{path} holds no token: restart `fleet up`") from error
    if not token.isprintable() or " " in token:
        raise WrongToken(f"{path} holds no token: restart `fleet up`")
    return token
