"""The operator in a cluster: found by its Service, asked through the API server's service proxy.

So nothing of it has to be exposed, and the cluster's own roles say who may ask. The API server
takes `Authorization` for itself; the operator's token, which a Secret holds, goes in `Fleet-Token`.
The API server does not look whose certificate the operator has.
"""

import base64
import re
import ssl
from collections.abc import Generator
from dataclasses import replace
from typing import Any, Final

import httpx

from harmony_fleet.cli.client import ANSWER_LIMIT_S, FleetClient
from harmony_fleet.cli.cluster_errors import KubeconfigUnusable, KubernetesMissing, NoOperator
from harmony_fleet.cli.cluster_faults import ClusterFaults, Place
from harmony_fleet.cli.output import parsed
from harmony_fleet.cli.reach import Reach
from harmony_fleet.cli.settings import ClusterChoice
from harmony_fleet.contracts.errors import InvalidValue

try:
    from lightkube import ConfigError, SingleConfig
    from lightkube.config.client_adapter import user_auth, verify_cluster
    from lightkube.config.models import User

    from harmony_fleet.cli.kubeconfig import chosen_configuration
except ModuleNotFoundError as missing:
    raise KubernetesMissing from missing

PORT: Final = "api"
"""The name of the Service's port."""
TOKEN_SECRET: Final = "harmony-fleet.dev/token-secret"  # noqa: S105 - an annotation's name
OPAQUE: Final = "Opaque"
TOKEN_HEADER: Final = "Fleet-Token"  # noqa: S105 - a header's name
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def cluster_reach(chosen: ClusterChoice, limit_s: float = ANSWER_LIMIT_S) -> Reach:
    """Asks the API server for the Service and the Secret; `limit_s` for each answer.

    Raises InvalidValue, and a CommandFailed.
    """
    configuration = chosen_configuration(chosen.kubeconfig, chosen.context)
    namespace = configuration.namespace if chosen.namespace is None else chosen.namespace
    place = Place(configuration.context_name, _name(namespace), _name(chosen.service))
    to_server = _to_server(configuration, place)
    inside = f"/api/v1/namespaces/{place.namespace}"
    with FleetClient(to_server, limit_s) as server:
        service = parsed(server.get(f"{inside}/services/{place.service}"))
        scheme = _scheme(service, place)
        place = replace(place, secret=_secret(service, place))
        token = _token(parsed(server.get(f"{inside}/secrets/{place.secret}")), place)
    return replace(
        to_server,
        url=f"{to_server.url}{inside}/services/{scheme}:{place.service}:{PORT}/proxy",
        headers={TOKEN_HEADER: token},
        faults=ClusterFaults(place, to_server.url),
        has_files=False,
    )


def _name(text: str) -> str:
    if _NAME.fullmatch(text):
        return text
    raise InvalidValue(f"{text[:80]!r} is no name of a namespace or a Service")


def _to_server(configuration: SingleConfig, place: Place) -> Reach:
    cluster, user = configuration.cluster, configuration.user or User()
    try:
        tls: ssl.SSLContext = verify_cluster(cluster, user, configuration.abs_file)
        auth = user_auth(user)
    except (OSError, ValueError, ConfigError) as error:
        raise KubeconfigUnusable(
            f"the certificates of context {place.context} cannot be used ({error}): see the "
            "kubeconfig"
        ) from error
    url = cluster.server.rstrip("/")
    borrowed = None if auth is None else _Borrowed(auth)
    return Reach(url, {}, tls, ClusterFaults(place, url), borrowed, trust_env=True)


class _Borrowed(httpx.Auth):
    """What lightkube has for its own HTTP library, which is a fork of ours."""

    def __init__(self, auth: Any) -> None:
        self._auth = auth

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        try:
            yield from self._auth.sync_auth_flow(request)
        except ConfigError as error:
            raise KubeconfigUnusable(f"{error}: see the kubeconfig") from error


def _scheme(service: Any, place: Place) -> str:
    """HTTPS, unless the Service says that it is HTTP."""
    try:
        schemes = {one["name"]: one.get("appProtocol") for one in service["spec"]["ports"]}
    except (KeyError, TypeError, AttributeError):
        schemes = {}
    if PORT not in schemes:
        raise NoOperator(
            f"{place.service_words} has no port named {PORT}: name the operator's by --service"
        )
    return "http" if schemes[PORT] == "http" else "https"


def _secret(service: Any, place: Place) -> str:
    """Which Secret holds the API's token."""
    annotations = service.get("metadata", {}).get("annotations") or {}
    return _name(str(annotations.get(TOKEN_SECRET) or f"{place.service}-api"))


def _token(secret: Any, place: Place) -> str:
    """No token of another kind is sent, such as a service account's, whatever the Service names."""
    try:
        kind = secret.get("type", OPAQUE)
        token = base64.b64decode(secret["data"]["token"], validate=True).decode("ascii").strip()
    except (KeyError, TypeError, ValueError, AttributeError):
        kind = token = ""
    if kind != OPAQUE or not token.isprintable() or not token or " " in token:
        raise NoOperator(f"{place.secret_words} holds no `token` that could be the API's")
    return token
