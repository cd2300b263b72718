"""What the API server of a cluster says instead of the operator, in sentences for its users."""

from dataclasses import dataclass

import httpx

from harmony_fleet.cli.cluster_errors import (
    PAGE,
    ClusterUnreachable,
    LoginFailed,
    NoOperator,
    NoReplica,
    NotAllowed,
)
from harmony_fleet.cli.errors import ServerFailed, Unreachable, WrongToken
from harmony_fleet.cli.reach import distrust
from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.printable import printable


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a cluster the operator is."""

    context: str
    namespace: str
    service: str
    secret: str = ""
    """Whose key `token` is the API's; known once the Service is."""

    @property
    def service_words(self) -> str:
        return f"the Service {self.service} in namespace {self.namespace}"

    @property
    def secret_words(self) -> str:
        return f"the Secret {self.secret} in namespace {self.namespace}"

    @property
    def log(self) -> str:
        """The command that shows what the operator says."""
        at = f"--context {self.context} -n {self.namespace}"
        return f"`kubectl {at} logs service/{self.service}`"


@dataclass(frozen=True, slots=True)
class ClusterFaults:
    place: Place
    server: str

    def unconnected(self, error: httpx.ConnectError) -> FleetError:
        reason = distrust(error) or str(error)
        return ClusterUnreachable(
            f"the cluster of context {self.place.context} is not reached at {self.server} "
            f"({reason}): see whether `kubectl --context {self.place.context} version` does"
        )

    def silent(self, limit_s: float) -> FleetError:
        return Unreachable(
            f"{self.place.service_words} did not answer within {limit_s:g} s: see {self.place.log}"
        )

    def broken(self, error: httpx.HTTPError) -> FleetError:
        return Unreachable(
            f"the connection to the cluster at {self.server} broke off ({type(error).__name__}); "
            "whether the operator acted is unknown"
        )

    def refused(self, answer: httpx.Response) -> FleetError | None:
        said = _status_of(answer)
        if said is None:
            return self._wrong_token() if answer.status_code == httpx.codes.UNAUTHORIZED else None
        match answer.status_code:
            case httpx.codes.UNAUTHORIZED:
                return LoginFailed(
                    f"the cluster of context {self.place.context} does not know who you are "
                    f"({said}): log in to it anew"
                )
            case httpx.codes.FORBIDDEN:
                return NotAllowed(
                    f"the cluster does not allow it: {said}; {PAGE} says what a role has to allow"
                )
            case httpx.codes.NOT_FOUND:
                return NoOperator(
                    f"{said} in namespace {self.place.namespace}: name the operator's by "
                    "--namespace and --service"
                )
            case httpx.codes.SERVICE_UNAVAILABLE:
                return NoReplica(
                    f"nobody answers behind {self.place.service_words} ({said}): see whether its "
                    "pods are ready"
                )
            case _:
                return self.failed(answer, said)

    def failed(self, answer: httpx.Response, message: str) -> FleetError:
        return ServerFailed(
            f"{self.place.service_words} failed with HTTP {answer.status_code} ({message}): see "
            f"{self.place.log}"
        )

    def _wrong_token(self) -> FleetError:
        return WrongToken(
            f"the operator does not take the token of {self.place.secret_words}: its replicas read "
            "it when they start; restart them where it was changed"
        )


def _status_of(answer: httpx.Response) -> str | None:
    """What the API server says in its own name; None: the answer is the operator's."""
    try:
        status = answer.json()
        if status["kind"] != "Status":
            return None
        return printable(str(status["message"]))
    except (ValueError, KeyError, TypeError):
        return None
