"""How an operator's API is reached: `Reach`, and what a fault on that way is called.

The two sources of one are `folder_reach` (the data folder of a `fleet up`) and `cluster_reach`
(the operator in a Kubernetes cluster).
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx

from harmony_fleet.contracts.errors import FleetError


class Faults(Protocol):
    """What goes wrong on one way, in sentences that say what to do there."""

    def unconnected(self, error: httpx.ConnectError) -> FleetError:
        """Nothing was sent."""

    def silent(self, limit_s: float) -> FleetError:
        """No answer in so many seconds. Whether the operator acted is unknown."""

    def broken(self, error: httpx.HTTPError) -> FleetError:
        """The connection ended before the answer. Whether the operator acted is unknown."""

    def refused(self, answer: httpx.Response) -> FleetError | None:
        """What only this way can explain; None: it is the operator's own word, as on any way."""

    def failed(self, answer: httpx.Response, message: str) -> FleetError:
        """It could not be done. `message`: the operator's sentence, or the best there is."""


@dataclass(frozen=True, slots=True)
class Reach:
    url: str
    """What stands before every path of the API."""
    headers: Mapping[str, str]
    tls: ssl.SSLContext
    faults: Faults
    auth: httpx.Auth | None = None
    trust_env: bool = False
    """Whether proxies of the environment are asked."""
    nats_url: str = ""
    """The message plane's, on the control plane's machine."""
    ca: Path | None = None
    """The authority that was named, or is the data folder's own. None: there is none to name."""
    has_files: bool = True
    """Whether releases' files are had there as well, as devices have them, without a token."""

    def client(self, timeout: httpx.Timeout) -> httpx.Client:
        """Nothing is sent yet."""
        return httpx.Client(
            base_url=self.url,
            headers=self.headers,
            timeout=timeout,
            trust_env=self.trust_env,
            verify=self.tls,
            auth=self.auth,
        )


def distrust(error: BaseException) -> str | None:
    """Why the certificate of what answered was not believed; None: it is another error."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, ssl.SSLCertVerificationError):
            return below.verify_message
        below = below.__cause__ or below.__context__
    return None
