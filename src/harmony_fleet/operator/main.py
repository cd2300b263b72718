"""`fleet-operator`: the operator in a Kubernetes cluster. Here alone its parts are put together.

`fleet up` is the same operator on one machine, with everything it needs beside it. What needs the
cluster's client is loaded once that is known to be installed: it is an extra of the package.
"""

import asyncio
import importlib.util
import logging
import secrets
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn
from urllib.parse import urlsplit

import click
import httpx
from starlette.types import ASGIApp

import harmony_fleet
from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.messaging.connection import Endpoint, Plane
from harmony_fleet.messaging.credentials import Credentials
from harmony_fleet.messaging.trust import plane_context
from harmony_fleet.operator.api import application
from harmony_fleet.operator.api_route import Services
from harmony_fleet.operator.certificate import Certificate
from harmony_fleet.operator.config import (
    DEFAULT_FILE,
    ConfigUnusable,
    OperatorConfig,
    Pod,
    pod,
    read_config,
    text_of,
)
from harmony_fleet.operator.credentials import KeyPair, device_jwt
from harmony_fleet.operator.http_server import listen, serving
from harmony_fleet.operator.loop import Settings
from harmony_fleet.operator.streams import StreamLimits
from harmony_fleet.operator.system import RandomIds, SystemClock

if TYPE_CHECKING:
    from harmony_fleet.operator.kubernetes.cluster import Cluster
    from harmony_fleet.operator.kubernetes.replica import Leading, Replica

CLOCK: Final = SystemClock()
FAILED: Final = 1
BAD_INPUT: Final = 2
EXTRA: Final = "harmony-fleet[kubernetes]"
CLIENT: Final = ("httpx2", "lightkube")
"""What that extra installs."""
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

logger = logging.getLogger(__name__)


class ClientMissing(FleetError):
    """The cluster's client is not installed. Nothing was started."""

    kind = "client_missing"

    def __init__(self, library: str) -> None:
        super().__init__(
            f"{library}, which reaches the cluster, is not installed: pip install '{EXTRA}'; on "
            "one machine without a cluster, `fleet up` is the operator"
        )


class PartEnded(FleetError):
    """A part that should run for ever has ended. The rest was ended in order."""

    kind = "part_ended"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(harmony_fleet.__version__, message="fleet-operator %(version)s")
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    default=DEFAULT_FILE,
    show_default=True,
    envvar="FLEET_OPERATOR_CONFIG",
)
@click.option("--check", is_flag=True, help="Read the configuration, and start nothing.")
def command(config: Path, check: bool) -> None:
    """The operator of a fleet, in a Kubernetes cluster."""
    _require_client()
    found = read_config(config)
    if check:
        click.echo(f"{config} can be used")
        return
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s %(message)s"
    )
    for library in ("httpx", "httpx2"):  # a line for each request
        logging.getLogger(library).setLevel(logging.WARNING)
    asyncio.run(_until_signalled(found))


def run() -> NoReturn:
    """For the entry point. A traceback is a defect of this program, and nothing else."""
    try:
        command(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except FleetError as error:
        click.echo(f"fleet-operator: {error}", err=True)
        sys.exit(BAD_INPUT if isinstance(error, ConfigUnusable | ClientMissing) else FAILED)
    sys.exit(0)


def _require_client() -> None:
    """Raises ClientMissing."""
    for library in CLIENT:
        if importlib.util.find_spec(library) is None:
            raise ClientMissing(library)


async def _until_signalled(config: OperatorConfig) -> None:
    loop, signalled = asyncio.get_running_loop(), asyncio.Event()
    for number in _SIGNALS:
        loop.add_signal_handler(number, signalled.set)
    work = asyncio.create_task(_serve(config, pod()))
    stop = asyncio.create_task(signalled.wait())
    await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
    for task in (stop, work):
        task.cancel()
    with suppress(asyncio.CancelledError):
        await work


async def _serve(config: OperatorConfig, this: Pod) -> None:
    """Raises FleetError, also where only a part of it has ended."""
    from harmony_fleet.operator.kubernetes.cluster import Cluster
    from harmony_fleet.operator.kubernetes.front import Front

    api = config.api
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(listen(api.address, api.port))
        cluster = Cluster.found(CLOCK)
        stack.push_async_callback(cluster.close)
        replica = _replica(config, this, cluster, listener.getsockname()[1])
        others = httpx.AsyncClient(
            verify=plane_context(api.ca) if api.ca else True, trust_env=False
        )
        await stack.enter_async_context(others)
        front = Front(replica, _made(config, this), others, api.name)
        certificate = Certificate(api.certificate, api.key) if api.certificate else None
        served = serving(front, listener, certificate)
        answering = await stack.enter_async_context(served)
        logger.info("%s answers on %s:%d", this.name, *listener.getsockname()[:2])
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(replica.run())
                group.create_task(_until_ended(answering))
        except BaseExceptionGroup as errors:
            raise _first(errors) from errors


def _replica(config: OperatorConfig, this: Pod, cluster: "Cluster", port: int) -> "Replica":
    from harmony_fleet.operator.kubernetes.lease import Timing
    from harmony_fleet.operator.kubernetes.replica import Replica, ReplicaSettings

    plane, api, election = config.plane, config.api, config.election
    credentials = Credentials.load(plane.credentials)
    endpoint = Endpoint(plane.servers, credentials, "operator", "_INBOX_operator", plane.ca)
    scheme = "https" if api.certificate else "http"
    host = f"[{this.address}]" if ":" in this.address else this.address
    settings = ReplicaSettings(
        identity=f"{this.name}_{secrets.token_hex(4)}",
        address=f"{scheme}://{host}:{port}",
        artifact_base_url=f"{api.url.rstrip('/')}/artifacts",
        lease=election.lease,
        all_namespaces=config.devices.all_namespaces,
        declared_only=config.devices.declared_only,
        operator=Settings(streams=StreamLimits(replicas=plane.replicas)),
        election=Timing(election.duration_s, election.renew_limit_s, election.retry_s),
    )
    return Replica(cluster, CLOCK, RandomIds(), lambda: Plane(endpoint), settings)


def _made(config: OperatorConfig, this: Pod) -> "Callable[[Leading], ASGIApp]":
    """What makes the API of one time of leading. Raises ConfigUnusable: a file is not there."""
    plane, api = config.plane, config.api
    token, ca = text_of(api.token), text_of(plane.ca) if plane.ca else ""
    signing = KeyPair.parse("A", text_of(plane.signing_key))
    names = frozenset({urlsplit(api.url).hostname or "", this.address, api.name})

    def mint(device_id: str, public_key: str, expires: int) -> str:
        return device_jwt(signing, plane.devices_account, device_id, public_key, expires)

    def made(leading: "Leading") -> ASGIApp:
        services = Services(
            leading.operator,
            leading.store,
            CLOCK,
            api.artifacts,
            f"{api.url.rstrip('/')}/artifacts",
            mint,
            plane.device_url,
            ca=ca,
        )
        return application(services, token, names)

    return made


async def _until_ended(server: asyncio.Task[None]) -> None:
    await asyncio.wait({server})
    raise PartEnded("the HTTP server ended by itself: see what it said before")


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Of those that ended it, one that says why."""
    found = [
        _first(error) if isinstance(error, BaseExceptionGroup) else error
        for error in errors.exceptions
    ]
    return next((one for one in found if isinstance(one, FleetError)), found[0])


if __name__ == "__main__":
    run()
