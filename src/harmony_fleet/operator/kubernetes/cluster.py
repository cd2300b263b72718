"""Requests to the cluster's API server, by lightkube: `Cluster`. Errors are said in our words.

Rules
1. What the server puts off (429, or 503 with a Retry-After) is asked again when it says, for a
   while. No other refusal is: who asked decides anew.
2. Writes go out at a capped rate, each by its rank: nobody's burst takes the API server from
   others.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import httpx2
import msgspec
from lightkube import ApiError, AsyncClient, KubeConfig
from lightkube.config import client_adapter
from lightkube.config.kubeconfig import SingleConfig
from lightkube.core.exceptions import ConfigError
from lightkube.core.resource import Resource
from lightkube.types import PatchType

from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.operator.kubernetes.reflector import FIRST_WAIT_S, retry_after_s
from harmony_fleet.operator.kubernetes.turns import Rank, Turns
from harmony_fleet.operator.ports import Clock, Conflict, StoreError

T = TypeVar("T")
R = TypeVar("R", bound=Resource)

FIELD_MANAGER: Final = "harmony-fleet"
ANSWER_LIMIT_S: Final = 10.0
PUT_OFF_LIMIT_S: Final = 30.0
"""In all, for one request."""
WRITES_PER_S: Final = 50.0
BURST: Final = 100
IN_FLIGHT: Final = 8
"""Requests at once; the election's is one more, which waits for none of them. Each takes many turns
of the loop: among too many others the Lease would not be renewed in time."""
_MAX_WORDS: Final = 400
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
_FORBIDDEN: Final = frozenset({401, 403})
_PUT_OFF: Final = frozenset({429, 503})

logger = logging.getLogger(__name__)


class NoCluster(FleetError):
    """There is no cluster that this process was told of."""

    kind = "no_cluster"


class Forbidden(StoreError):
    """The operator's role does not allow it."""

    kind = "forbidden"


class Cluster:
    """Close it when done. Every request raises StoreError."""

    def __init__(
        self,
        configuration: SingleConfig,
        clock: Clock,
        rate: float = WRITES_PER_S,
        burst: int = BURST,
    ) -> None:
        self.namespace = configuration.namespace
        timeout = httpx2.Timeout(ANSWER_LIMIT_S, pool=None)  # a turn may be far, in a crowd
        self._client = AsyncClient(configuration, timeout=timeout, field_manager=FIELD_MANAGER)
        parameters = client_adapter.ConnectionParams(timeout=timeout)
        self.http = client_adapter.AsyncClient(configuration, parameters)
        """For watches, which hold a connection each."""
        self._clock = clock
        self._turns, self._in_flight = Turns(clock, rate, burst), asyncio.Semaphore(IN_FLIGHT)
        self.writes = 0
        """That the server was asked for so far, those put off once."""

    @classmethod
    def found(cls, clock: Clock, rate: float = WRITES_PER_S) -> "Cluster":
        """By the pod's service account, else by $KUBECONFIG, else by ~/.kube/config.

        Raises NoCluster.
        """
        try:
            configuration = KubeConfig.from_env().get()
        except (ConfigError, KeyError, OSError, msgspec.MsgspecError) as error:
            raise NoCluster(
                f"no cluster is known here ({error}): run it in a pod with a service account, or "
                "set KUBECONFIG"
            ) from error
        if configuration is None:
            raise NoCluster("the kubeconfig has no current context: set one")
        return cls(configuration, clock, rate)

    async def get(
        self, kind: type[R], namespace: str, name: str, rank: Rank = Rank.ORDER
    ) -> R | None:
        client: Any = self._client  # its types know its own resources only
        asked = self._asked(lambda: client.get(kind, name, namespace=namespace), rank)
        return await _or_none(asked)

    async def list(self, kind: type[R], namespace: str) -> list[R]:
        client: Any = self._client

        async def all_of_it() -> list[R]:
            return [one async for one in client.list(kind, namespace=namespace)]

        return await self._asked(all_of_it, Rank.ORDER)

    async def create(self, one: R, rank: Rank = Rank.ORDER) -> R:
        """Raises Conflict where it is there already."""
        client: Any = self._client
        return await self._written(lambda: client.create(one), rank)

    async def replace(self, one: R, rank: Rank = Rank.ORDER) -> R:
        """Raises Conflict where it is another one by now, or has gone."""
        client: Any = self._client
        return await self._written(lambda: client.replace(one), rank)

    async def merge(
        self,
        kind: type[R],
        namespace: str,
        name: str,
        patch: dict[str, Any],
        rank: Rank = Rank.ORDER,
    ) -> R:
        """A merge patch (RFC 7396). Raises Conflict, as `replace` does."""
        client: Any = self._client
        where: dict[str, Any] = {"namespace": namespace, "patch_type": PatchType.MERGE}
        return await self._written(lambda: client.patch(kind, name, patch, **where), rank)

    async def room(self) -> None:
        """Waits until a write of what was told would go out at once."""
        await self._turns.room()

    async def close(self) -> None:
        self._turns.close()
        await self.http.aclose()
        await self._client.close()

    async def _written(self, ask: Callable[[], Awaitable[T]], rank: Rank) -> T:
        await self._turns.take(rank)
        self.writes += 1
        try:
            return await self._asked(ask, rank)
        except _NotThere as error:
            raise Conflict(str(error)) from error

    async def _asked(self, ask: Callable[[], Awaitable[T]], rank: Rank) -> T:
        give_up_s = self._clock.monotonic() + PUT_OFF_LIMIT_S
        while True:
            try:
                if rank is Rank.ELECTION:
                    return await ask()
                async with self._in_flight:
                    return await ask()
            except httpx2.HTTPStatusError as error:  # an ApiError where the body is a Status
                wait_s = _put_off_s(error.response)
                if wait_s is None or self._clock.monotonic() + wait_s > give_up_s:
                    raise _in_our_words(error) from error
                await self._clock.sleep(wait_s)
            except httpx2.HTTPError as error:
                raise StoreError(
                    f"the cluster's API server does not answer ({error!r}): it is tried again"
                ) from error
            except (
                msgspec.MsgspecError,
                ValueError,
                KeyError,
            ) as error:  # no JSON, no Content-Type
                raise StoreError(f"the cluster's answer cannot be read: {error!r}") from error


class _NotThere(StoreError):
    pass


async def _or_none(asked: Awaitable[T]) -> T | None:
    try:
        return await asked
    except _NotThere:
        return None


def _put_off_s(answer: httpx2.Response) -> float | None:
    """None: it is an answer, not a delay."""
    if answer.status_code not in _PUT_OFF:
        return None
    wait_s = retry_after_s(answer.headers)
    return None if wait_s is None else max(wait_s, FIRST_WAIT_S)


def _in_our_words(error: httpx2.HTTPStatusError) -> StoreError:
    code = error.response.status_code
    if not isinstance(error, ApiError):  # of whoever stands before it, or that serves no such kind
        text = " ".join(error.response.text[:_MAX_WORDS].split())
        return StoreError(f"the cluster refused it ({code}): {text}")
    words = error.status.message
    if code == _NOT_FOUND:
        return _NotThere(str(words))
    if code == _CONFLICT:
        return Conflict(str(words))
    if code in _FORBIDDEN:
        return Forbidden(f"the cluster does not allow it: {words}; see the operator's role")
    return StoreError(f"the cluster refused it ({code}): {words}")
