"""`fleet up`: the whole control plane in one process, and its NATS server beside it.

Here alone its parts are put together. Everything that can be refused (a folder in use, a port in
use) is refused before anything is started, and whatever was started is ended in reverse order.
Outside: nothing; devices go on without a control plane.
"""

import asyncio
import logging
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import harmony_fleet
from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.embedded.certificates import Certificates
from harmony_fleet.embedded.data_folder import DataFolder, held
from harmony_fleet.embedded.kept_nats import KeptNats
from harmony_fleet.embedded.nats import PortInUse
from harmony_fleet.embedded.nats_configuration import Listening
from harmony_fleet.embedded.reach import NATS_PORT, Reach
from harmony_fleet.messaging.connection import Endpoint, Plane, Timing
from harmony_fleet.operator.api import application
from harmony_fleet.operator.api_route import Services
from harmony_fleet.operator.certificate import Certificate
from harmony_fleet.operator.http_server import listen, serving
from harmony_fleet.operator.loop import Operator, Settings
from harmony_fleet.operator.ports import DeviceStore
from harmony_fleet.operator.releases import INCOMING, Shelf, incoming_file
from harmony_fleet.operator.sqlite_store import SqliteStore
from harmony_fleet.operator.storing import Storing
from harmony_fleet.operator.streams import ensure_streams
from harmony_fleet.operator.system import RandomIds, SystemClock
from harmony_fleet.printable import printable
from harmony_fleet.release.build import artifact_name, build

PORT: Final = 7700
CONNECT_LIMIT_S: Final = 10.0
CLOCK: Final = SystemClock()
RECONNECTS: Final = Timing(longest_retry_s=2.0)
"""The server is on this machine: it is back as soon as it can be."""
ROOM_BYTES: Final = 4 * 1024 * 1024
"""What the message plane's server needs to be worth a restart."""
_LOADED_CHECK_S: Final = 0.002
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

logger = logging.getLogger(__name__)


class PlaneSilent(FleetError):
    """The message plane was started and does not take the operator's connection."""

    kind = "plane_silent"
    retryable = True


class PlanePortTaken(FleetError):
    """Another program listens where the devices expect the message plane. Nothing was started."""

    kind = "plane_port_taken"
    retryable = True


class PartEnded(FleetError):
    """A part that should run for ever has ended. The rest was ended in order."""

    kind = "part_ended"


@dataclass(frozen=True, slots=True)
class UpSettings:
    data: Path
    port: int = PORT
    """For the API; 0: any that is free."""
    nats_port: int = 0
    """0: the one that this folder used last; else 4222 under TLS, and any that is free without."""
    nats_server: Path | None = None
    """A binary to run instead of the one that was installed along."""
    operator: Settings = field(default_factory=Settings)
    reach: Reach = field(default_factory=Reach)


@dataclass(frozen=True, slots=True)
class Up:
    """A control plane that takes requests."""

    data: Path
    url: str
    """As devices reach it, as is `nats_url`; `up.json` says how this machine does."""
    nats_url: str
    ca: Path | None = None
    """What devices have to trust; None without TLS."""


Ready = Callable[[Up], None]


def run(settings: UpSettings, ready: Ready | None = None) -> int:
    """Serve until SIGINT, SIGTERM, or SIGHUP where nohup does not hold it off. Blocks.

    The exit status, 0.

    `ready` is called once everything takes requests and `up.json` says where.
    Raises FleetError where it cannot start or go on: everything has ended then.
    """
    _log_to_stderr()
    asyncio.run(_until_signalled(settings, ready or _unheard))
    return 0


async def _until_signalled(settings: UpSettings, ready: Ready) -> None:
    loop, signalled = asyncio.get_running_loop(), asyncio.Event()
    for number in _SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            loop.add_signal_handler(number, signalled.set)
    work = asyncio.create_task(_serve(settings, ready))
    stop = asyncio.create_task(signalled.wait())
    await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
    if signalled.is_set():
        logger.info("ending: asked to by a signal")
    for task in (stop, work):
        task.cancel()
    with suppress(asyncio.CancelledError):
        await work


async def _serve(settings: UpSettings, ready: Ready) -> None:
    async with control_plane(settings) as (up, parts):
        ready(up)
        ended, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
        raise PartEnded("a part of the control plane ended by itself: start it again")


@asynccontextmanager
async def control_plane(
    settings: UpSettings,
) -> AsyncIterator[tuple[Up, frozenset[asyncio.Task[None]]]]:
    """Everything is up inside, and ended in order afterwards; none of the tasks ends by itself.

    Raises FleetError: nothing was left running.
    """
    async with AsyncExitStack() as stack:
        folder, reach = stack.enter_context(held(settings.data)), settings.reach
        listener = stack.enter_context(listen(reach.address, settings.port))
        listening = _listening(folder, reach)
        port = listener.getsockname()[1]
        store = await stack.enter_async_context(SqliteStore(folder.store, CLOCK))
        first = asyncio.create_task(_first_release(folder, store))
        stack.callback(first.cancel)
        nats, plane = await _message_plane(stack, folder, settings, listening)
        artifacts = f"{reach.api(port)}/artifacts"
        operator = Operator(store, plane, CLOCK, RandomIds(), artifacts, settings.operator)
        operating = await stack.enter_async_context(_operating(operator, store))
        await first
        storing = Storing(plane, CLOCK, lambda: _restart_with_room(nats, folder))
        probing = asyncio.create_task(storing.run())
        stack.callback(probing.cancel)
        services = Services(
            operator,
            store,
            CLOCK,
            folder.artifacts,
            artifacts,
            nats.accounts.mint_device,
            reach.plane(nats.port),
            lambda: storing.stores,
            listening.ca.read_text("ascii") if listening.ca else "",
        )
        app = application(services, folder.token, reach.hosts)
        shown = Certificate(listening.certificate) if listening.certificate else None
        served = serving(app, listener, shown)
        answering = await stack.enter_async_context(served)
        folder.announce(reach.api_here(port), nats.url)
        stack.callback(folder.withdraw)
        up = Up(folder.path, reach.api(port), services.nats_url, listening.ca)
        logger.info("up: API at %s, message plane at %s, data in %s", up.url, up.nats_url, up.data)
        yield up, frozenset({operating, answering, probing})


def _listening(folder: DataFolder, reach: Reach) -> Listening:
    if not reach.tls:
        return Listening(reach)
    certificates = Certificates.open(folder.tls, reach.hosts)
    return Listening(reach, certificates.server, certificates.ca)


async def _restart_with_room(nats: KeptNats, folder: DataFolder) -> None:
    """A server whose disk was full stores again only after a restart, and only with room."""
    free_bytes = shutil.disk_usage(folder.nats).free
    if free_bytes < ROOM_BYTES:
        logger.error("%s has %d bytes free: free some space on its disk", folder.nats, free_bytes)
        return
    logger.warning("the NATS server stores nothing: restarting it")
    await nats.restart()


async def _message_plane(
    stack: AsyncExitStack, folder: DataFolder, settings: UpSettings, listening: Listening
) -> tuple[KeptNats, Plane]:
    """The server, and the operator's connection to it with the streams made."""
    nats = await _nats(folder, settings, listening)
    stack.push_async_callback(nats.stop)
    who = nats.accounts.operator_credentials
    endpoint = Endpoint((nats.url,), who, "operator", "_INBOX_operator", listening.ca)
    plane = Plane(endpoint, RECONNECTS)
    stack.push_async_callback(plane.close)
    await plane.start()
    if not await plane.wait_connected(CONNECT_LIMIT_S):
        raise PlaneSilent(
            f"the NATS server at {nats.url} does not take the operator's connection: see its log "
            f"in {folder.nats}"
        )
    await ensure_streams(plane, settings.operator.streams)
    return nats, plane


async def _nats(folder: DataFolder, settings: UpSettings, listening: Listening) -> KeptNats:
    known = settings.nats_port or folder.nats_port()
    port = known or (NATS_PORT if settings.reach.tls else 0)
    try:
        nats = await KeptNats.start(folder.nats, port, settings.nats_server, listening)
    except PortInUse as error:
        if settings.nats_port or not known:
            raise
        raise PlanePortTaken(
            f"port {port}, under which this folder's devices know the message plane, is in use by "
            f"another program: end that one; or delete {folder.nats_port_file}, and start local "
            "devices anew"
        ) from error
    folder.remember_nats_port(nats.port)
    return nats


@asynccontextmanager
async def _operating(operator: Operator, store: DeviceStore) -> AsyncIterator[asyncio.Task[None]]:
    """The operator's task, once it knows every device that is stored."""
    stored = len(await store.load_all())
    task = asyncio.create_task(operator.run())
    try:
        while len(operator.sights()) < stored and not task.done():  # noqa: ASYNC110 - it sets no event
            await asyncio.sleep(_LOADED_CHECK_S)
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _first_release(folder: DataFolder, store: DeviceStore) -> None:
    """Where there is none: the agent of this very version, so that a first device has one to run.

    Not having it is no reason not to start.
    """
    version = harmony_fleet.__version__
    if await store.releases():
        return
    try:
        with incoming_file(folder.artifacts) as path:
            await asyncio.to_thread(_build, version, path)
            await Shelf(folder.artifacts, store, CLOCK).add(path, version)
    except FleetError as error:
        logger.warning("no agent of version %s was added: %s", version, error)
        return
    logger.info("the agent of this version, %s, is the first release", version)


def _build(version: str, path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=INCOMING, dir=path.parent) as made:
        build(version, Path(made))
        Path(made, artifact_name(version)).rename(path)


def _unheard(_up: Up) -> None:
    pass


class _OneLine(logging.Formatter):
    """What a log record says, in one line whatever it carries, and whoever said it."""

    def format(self, record: logging.LogRecord) -> str:
        return " | ".join(printable(line) for line in super().format(record).splitlines())


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)-7s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
