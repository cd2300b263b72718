"""Keeps a mirror of the cluster's objects of one kind: `Reflector.run()`.

lightkube's own watch forgets what was deleted while it was cut off, and takes no bookmarks. This
one asks for a streamed list (WatchList), or for pages where the server has none; watches on from
where it was; and after 410 Gone lists again, and finds by comparison what has changed meanwhile.
https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes

An object that cannot be read (a newer version's) is told once, and passed over.
Whatever the server says or leaves unsaid, it is never asked again at once for the same in vain.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import httpx2
import msgspec

from harmony_fleet.operator.backoff import doubling_s
from harmony_fleet.operator.kubernetes.mirror import Key, Mirror, Mirrored, key_of

T = TypeVar("T", bound=Mirrored)

PAGE: Final = 500
SILENCE_LIMIT_S: Final = 90.0
"""A watch that says nothing for so long is dead: bookmarks come about every minute."""
WATCH_S: Final = (240, 300)
"""After which the server ends a watch by itself; at random, so that not all begin anew at once."""
SHORTEST_WATCH_S: Final = 1.0
"""One that ended before is not asked for again at once."""
PATIENCE: Final = 3
"""Failures in a row before all is listed again."""
FIRST_WAIT_S: Final = 0.2
LONGEST_WAIT_S: Final = 15.0
_GONE: Final = 410
_UNSUPPORTED: Final = frozenset({400, 403, 422})
"""What a server without WatchList answers to one who asks for it."""
_END_OF_LIST: Final = "k8s.io/initial-events-end"

logger = logging.getLogger(__name__)


class _Gone(Exception):
    """All is to be listed anew."""

    def __init__(self) -> None:
        super().__init__("what is known of it is too old to go on from")


class _CutShort(Exception):
    """A list that was not told to its end, or a watch that ended as it began."""

    def __init__(self) -> None:
        super().__init__("the answer ended too early")


class _Refused(Exception):
    def __init__(self, status: int, words: str, after_s: float | None) -> None:
        super().__init__(f"the cluster refused it ({status}): {words}")
        self.status, self.after_s = status, after_s


class _Metadata(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    annotations: dict[str, str] = {}
    name: str = ""
    namespace: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _Head(msgspec.Struct):
    """What must be readable of any object, however new; and of a Status that a watch ends with."""

    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    code: int = 0
    message: str = ""


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Page(msgspec.Struct):
    metadata: _Metadata
    items: list[msgspec.Raw]


@dataclass(frozen=True, slots=True)
class Collection(Generic[T]):
    """The objects of one kind, in one namespace or in all."""

    path: str
    """Such as `/apis/example.com/v1/namespaces/fleet/things`."""
    type: type[T]


class Reflector(Generic[T]):
    def __init__(
        self, http: httpx2.AsyncClient, collection: Collection[T], mirror: Mirror[T]
    ) -> None:
        self._http, self._collection, self._mirror = http, collection, mirror
        self._version = ""
        self._streams_lists = True
        self._listed_at = 0
        self._failures = 0
        self._unreadable: dict[Key, int] = {}
        self.synced = asyncio.Event()
        """Set once everything that there was has been seen."""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._once()
                self._failures = 0
            except _Gone as gone:
                self._version = ""
                await self._pause(gone)
            except _Refused as refusal:
                if refusal.status in _UNSUPPORTED and not self._version and self._streams_lists:
                    self._streams_lists = False
                    continue
                await self._pause(refusal, refusal.after_s)
            except (httpx2.HTTPError, msgspec.MsgspecError, TimeoutError, _CutShort) as error:
                await self._pause(error)

    async def _once(self) -> None:
        """One list where it is needed, and one watch."""
        if not self._version and not self._streams_lists:
            await self._list()
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        await self._watch(listing=not self._version)
        if not self._version or loop.time() - began_s < SHORTEST_WATCH_S:
            raise _CutShort

    async def _pause(self, error: Exception, after_s: float | None = None) -> None:
        self._failures += 1
        if self._failures % PATIENCE == 0:
            self._version = ""  # it may be one that the cluster has not reached: it was set back
        wait_s = doubling_s(self._failures, FIRST_WAIT_S, LONGEST_WAIT_S)
        wait_s = wait_s if after_s is None else after_s
        why = str(error) or repr(error)  # many of httpx have no words
        logger.warning("%s cannot be watched now: %s", self._collection.path, why)
        await asyncio.sleep(wait_s)

    # Lists

    async def _list(self) -> None:
        found: set[Key] = set()
        query: dict[str, Any] = {"limit": PAGE}
        while True:
            async with self._asked(query) as answer:
                page = msgspec.json.decode(await answer.aread(), type=_Page)
            found.update(filter(None, map(self._take, page.items)))
            if not page.metadata.continue_:
                break
            query["continue"] = page.metadata.continue_
        self._has_all(found, page.metadata.resource_version)

    def _has_all(self, found: set[Key], version: str) -> None:
        """Raises _Gone where the cluster was set back: nothing known of it counts any more."""
        if int(version) < max(self._listed_at, self._mirror.newest):
            logger.warning("%s was set back: it is read anew", self._collection.path)
            self._listed_at = 0
            self._mirror.clear()
            raise _Gone
        self._listed_at = int(version)
        self._mirror.listed(found, int(version))
        self._version = version
        self.synced.set()

    # Watches

    async def _watch(self, listing: bool) -> None:
        found: set[Key] = set()
        async with self._asked(self._query(listing)) as answer:
            async for line in answer.aiter_lines():
                event = msgspec.json.decode(line, type=_Event)
                head = msgspec.json.decode(event.object, type=_Head)
                if event.type == "ERROR":
                    raise _Gone if head.code == _GONE else _Refused(head.code, head.message, None)
                if event.type == "BOOKMARK":
                    if listing and head.metadata.annotations.get(_END_OF_LIST) == "true":
                        listing = False
                        self._has_all(found, head.metadata.resource_version)
                        continue  # a list alone makes no failure good: it is the dear part
                elif event.type == "DELETED":
                    key = (head.metadata.namespace, head.metadata.name)
                    self._mirror.remove(key, int(head.metadata.resource_version))
                elif (key_taken := self._take(event.object)) and listing:
                    found.add(key_taken)
                if not listing:
                    self._version = head.metadata.resource_version
                    self._failures = 0

    def _query(self, listing: bool) -> dict[str, Any]:
        query: dict[str, Any] = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": random.randint(*WATCH_S),
        }
        if not listing:
            return query | {"resourceVersion": self._version}
        return query | {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}

    @asynccontextmanager
    async def _asked(self, query: dict[str, Any]) -> AsyncIterator[httpx2.Response]:
        """Raises _Refused, _Gone, HTTPError."""
        timeout = httpx2.Timeout(10.0, read=SILENCE_LIMIT_S)
        request = self._http.stream("GET", self._collection.path, params=query, timeout=timeout)
        async with request as answer:
            if answer.status_code == _GONE:
                raise _Gone
            if answer.is_error:
                words = _words(await answer.aread())
                raise _Refused(answer.status_code, words, retry_after_s(answer.headers))
            yield answer

    def _take(self, body: msgspec.Raw) -> Key | None:
        """Its key, also where it cannot be read: it is there."""
        try:
            one = msgspec.json.decode(body, type=self._collection.type)
        except msgspec.MsgspecError as error:
            return self._pass_over(body, error)
        self._mirror.put(one)
        return key_of(one)

    def _pass_over(self, body: msgspec.Raw, error: Exception) -> Key:
        head = msgspec.json.decode(body, type=_Head).metadata
        key, version = (head.namespace, head.name), int(head.resource_version)
        if self._unreadable.get(key) != version:
            self._unreadable[key] = version
            logger.error("%s/%s is left as it is, it cannot be read: %s", *key, error)
        return key


def _words(body: bytes) -> str:
    """Of a Status, where it is one; in one line."""
    try:
        return msgspec.json.decode(body, type=_Head).message
    except msgspec.MsgspecError:
        return " ".join(body[:400].decode(errors="replace").split())


def retry_after_s(headers: httpx2.Headers) -> float | None:
    """What the server asks for (RFC 9110, 10.2.3), in seconds; None: nothing that can be read."""
    text = headers.get("Retry-After", "")
    if not (text.isascii() and text.isdigit() and len(text) < 4):
        return None
    return max(float(text), FIRST_WAIT_S)  # nought would be: at once, and again
